"""Write the table of what was tried into tests/README.md, from what every test counted when it last ran.

A row is written anew where every test that counts, of every file that names the row, has run and passed; else it stays
as it is in the page, and what has to run is named.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

from tests.hardness.ledger import FAILED, KEY, LEDGER, mark, read

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests" / "README.md"
BEGIN, END = "<!-- hardness -->", "<!-- /hardness -->"


class Broken(Exception):
    """Tests that cannot be collected, a row that no source names, or two tests that disagree on an outcome."""


Row = tuple[str, str]  # how often, outcome


class Counting:
    """A pytest plugin that lists the tests that count, and runs none."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the ids."""
        self.tests = [item.nodeid for item in mark(session.items)]


def counting(root: Path = ROOT) -> list[str]:
    """The ids of all tests that ask for `tried`; `Broken` where a file cannot be read."""
    files = sorted(str(f) for f in (root / "tests").rglob("test_*.py") if KEY in f.read_text(encoding="utf-8"))
    found, said = Counting(), io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *files], plugins=[found])
    if code:
        raise Broken(f"The tests cannot be collected:\n{said.getvalue()[-2000:]}")
    return found.tests


def named(root: Path = ROOT) -> dict[str, set[str]]:
    """Which files name a row: what -> the files, relative to the root, that call `tried("what", ...)`."""
    found: dict[str, set[str]] = {}
    for file in sorted((root / "tests").rglob("test_*.py")):
        for what in re.findall(r'\btried\(\s*"([^"]+)",', file.read_text(encoding="utf-8")):
            found.setdefault(what, set()).add(file.relative_to(root).as_posix())
    return found


def missing(tests: list[str], ends: dict[str, list | str]) -> dict[str, list[str]]:
    """The tests that have not run, or have failed, by their file."""
    files: dict[str, list[str]] = {}
    for test in tests:
        if ends.get(test, FAILED) == FAILED:
            files.setdefault(test.split("::")[0], []).append(test)
    return files


def rows(
    tests: list[str], ends: dict[str, list | str], sources: dict[str, set[str]], former: dict[str, Row]
) -> dict[str, Row]:
    """Return the table's rows from how these tests ended, and the former ones where some of a row's have not.

    Tests that are no more, those in `ends` alone, do not count, nor do rows that no source names. A test that was
    always skipped adds nothing.
    """
    open_, counted = missing(tests, ends), {}
    for test in tests:
        for what, times, outcome in ends[test] if isinstance(ends.get(test), list) else []:
            if what not in sources:
                raise Broken(f'{test}: no file has tried("{what}", ...) in these words; write the row out there.')
            before, said = counted.get(what, (0, outcome))
            if said != outcome:
                raise Broken(f"{test}: {what!r} ended in {outcome!r}, elsewhere in {said!r}. Run both files again.")
            counted[what] = (before + times, outcome)
    table = {what: row for what, row in former.items() if sources.get(what, set()) & open_.keys()}
    whole = {what: row for what, row in counted.items() if not sources[what] & open_.keys()}
    return table | {what: (f"{times:,}", outcome) for what, (times, outcome) in whole.items()}


def shown(text: str) -> dict[str, Row]:
    """The rows that stand in the page."""
    lines = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    return {what: (times, outcome) for what, times, outcome in cells}


def page(text: str, table: dict[str, Row]) -> str:
    """Return the page with this table between its marks."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    lines = ["| Fault or input | Tried | Outcome |", "|---|---|---|"]
    lines += [f"| {what} | {times} | {outcome} |" for what, (times, outcome) in sorted(table.items())]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def main() -> int:
    """Replace the table between the page's marks; 1 where tests have to run first for some of its rows."""
    text, ends = PAGE.read_text(encoding="utf-8"), read(LEDGER)
    try:
        tests = counting()
        table = rows(tests, ends, named(), shown(text))
    except Broken as error:
        print(f"{PAGE.relative_to(ROOT)} stays as it is. {error}", file=sys.stderr)
        return 1
    PAGE.write_text(page(text, table), encoding="utf-8")
    print(f"{len(table)} rows in {PAGE.relative_to(ROOT)}")
    lacking = missing(tests, ends)
    for file, those in lacking.items():
        failed = sum(ends.get(test) == FAILED for test in those)
        print(f"{file}: {len(those) - failed} tests have not run, {failed} failed; its rows stay.", file=sys.stderr)
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
