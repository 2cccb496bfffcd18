"""The ledger: what each test tried, how often and how it ended, for the table in tests/README.md.

Kept by test, not by row of the table: a run of some tests replaces what these tests counted, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

LEDGER = Path(__file__).resolve().parents[2] / "build" / "hardness.json"
KEY, COUNTS = "tried", "counts"
FAILED, SKIPPED = "failed", "skipped"


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[str, int, str], None]:
    """`tried(what, how_often, outcome)`, called at the end of a test that passed, adds to one row of the table."""

    def note(what: str, times: int, outcome: str) -> None:
        record_property(KEY, [what, times, outcome])

    return note


def mark(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests that count: each says so in its reports, for one that fails or is skipped notes nothing else."""
    counting = [item for item in items if KEY in getattr(item, "fixturenames", ())]
    for item in counting:
        if (COUNTS, True) not in item.user_properties:
            item.user_properties.append((COUNTS, True))
    return counting


class Ledger:
    """A pytest plugin that collects what the tests' reports carry, and writes it once, in the process that sees all.

    Under pytest-xdist every report, its properties with it, reaches the controlling process: workers write nothing.
    `tests` has, by the test's id: its rows [what, how often, outcome] if it passed, else "failed" or "skipped".
    """

    def __init__(self, file: Path = LEDGER) -> None:
        self.file, self.tests = file, {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how a test that counts has ended; a failure of its setting up or clearing away is one, too."""
        if (COUNTS, True) not in map(tuple, report.user_properties):
            return
        if report.failed:
            self.tests[report.nodeid] = FAILED
        elif report.skipped:
            self.tests[report.nodeid] = SKIPPED
        elif report.when == "call":
            self.tests[report.nodeid] = [value for key, value in report.user_properties if key == KEY]

    def pytest_sessionfinish(self) -> None:
        """Keep how the tests of this session ended, beside those that did not run; a skipped one did not."""
        if not self.tests:
            return
        self.file.parent.mkdir(exist_ok=True)
        tests = read(self.file)
        tests |= {test: end for test, end in self.tests.items() if end != SKIPPED or test not in tests}
        beside = self.file.with_suffix(".tmp")
        beside.write_text(json.dumps(tests, indent=1, sort_keys=True), encoding="utf-8")
        beside.replace(self.file)


def read(file: Path = LEDGER) -> dict[str, list | str]:
    """How each test ended when it last ran; nothing where no test ran, or where an older form of the file lies."""
    tests = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {test: end for test, end in tests.items() if not isinstance(end, dict)}
