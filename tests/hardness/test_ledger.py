"""The table of what was tried changes by what ran, and by nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.hardness import report
from tests.hardness.ledger import Ledger, mark, read

CONFTEST = """
from pathlib import Path
from tests.hardness.ledger import Ledger, mark, tried
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(Path(__file__).parent / "ledger.json"), "a ledger")
def pytest_collection_modifyitems(items):
    mark(items)
"""
TESTS = """
import os, pytest
@pytest.mark.parametrize("n", [1, 20])
def test_cut(n, tried):
    tried(*["files cut", n, "refused"])
    assert os.environ.get("BREAK") != str(n)
@pytest.mark.skipif("SKIP" in os.environ, reason="asked for")
def test_full(tried):
    tried(*["disk full", 300, "refused"])
def test_plain():
    pass
"""
SOURCES = {"files cut": {"test_it.py"}, "disk full": {"test_it.py"}}
A, B, C = "test_it.py::test_cut[1]", "test_it.py::test_cut[20]", "test_it.py::test_full"


@pytest.fixture
def run(tmp_path):
    """Run tests of the file, with these variables set; returns the ledger afterwards."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    def start(*arguments: str, **settings: str) -> dict:
        environment = {**os.environ, "PYTHONPATH": str(report.ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **settings}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        return read(tmp_path / "ledger.json")

    return start


def test_a_run_of_some_tests_replaces_what_they_counted_and_nothing_else(run):
    whole = run()
    expected = {"files cut": ("21", "refused"), "disk full": ("300", "refused")}
    assert report.rows([A, B, C], whole, SOURCES, {}) == expected
    assert run(A) == whole, "one of a row's two tests: the row keeps the other's count"
    assert run("test_it.py::test_plain") == whole
    assert run("-p", "xdist", "-n2") == whole, "under pytest-xdist the controlling process sees all"


def test_a_test_that_failed_holds_its_rows_until_it_passes(run):
    whole = run()
    broken = run(BREAK="20")
    assert broken == whole | {B: "failed"}
    former = {"files cut": ("1,000", "refused"), "gone": ("7", "fine")}
    assert report.rows([A, B, C], broken, SOURCES, former) == {"files cut": ("1,000", "refused")}
    assert report.missing([A, B, C], broken) == {"test_it.py": [B]}
    assert run(B) == whole


def test_a_skipped_test_keeps_what_it_counted_where_it_ran(run):
    first = run(SKIP="1")
    assert first[C] == "skipped" and report.rows([A, B, C], first, SOURCES, {}) == {"files cut": ("21", "refused")}
    whole = run()
    assert run(SKIP="1") == whole


def test_a_row_is_written_anew_where_all_files_that_name_it_have_run():
    cut, other = "test_a.py::test_cut", "test_b.py::test_cut"
    sources = {"files cut": {"test_a.py", "test_b.py"}, "disk full": {"test_a.py"}}
    ends = {cut: [["files cut", 1000, "refused"], ["disk full", 2, "fine"]], "test_a.py::test_gone": [["x", 7, "fine"]]}
    former = {"files cut": ("9", "refused"), "disk full": ("9", "fine")}
    held = {"files cut": ("9", "refused"), "disk full": ("2", "fine")}
    assert report.rows([cut, other], ends, sources, former) == held
    ends[other] = [["files cut", 500, "refused"]]
    both = {"files cut": ("1,500", "refused"), "disk full": ("2", "fine")}
    assert report.rows([cut, other], ends, sources, former) == both
    with pytest.raises(report.Broken, match="'files cut' ended in 'taken', elsewhere in 'refused'"):
        report.rows([cut, other], ends | {other: [["files cut", 1, "taken"]]}, sources, former)
    with pytest.raises(report.Broken, match=r'no file has tried\("cut files", ...\) in these words'):
        report.rows([cut, other], ends | {other: [["cut files", 1, "taken"]]}, sources, former)


def test_a_ledger_of_the_older_form_counts_nothing(tmp_path):
    """It was kept by row, so that nobody could know whose counts a row had."""
    file = tmp_path / "ledger.json"
    file.write_text(json.dumps({"files cut": {"tried": 4, "outcome": "refused"}, A: []}))
    assert read(file) == {A: []} and read(tmp_path / "none") == {}


def test_the_page_s_table_is_replaced_between_its_marks():
    text = report.page(
        "a\n<!-- hardness -->\nold\n<!-- /hardness -->\nz\n", {"x": ("1,200", "fine"), "b": ("1", "good")}
    )
    assert text == (
        "a\n<!-- hardness -->\n| Fault or input | Tried | Outcome |\n|---|---|---|\n| b | 1 | good |\n"
        "| x | 1,200 | fine |\n<!-- /hardness -->\nz\n"
    )
    assert report.shown(text) == {"b": ("1", "good"), "x": ("1,200", "fine")}


def test_the_committed_page_has_no_row_that_nothing_tries():
    sources = report.named()
    assert report.shown(report.PAGE.read_text(encoding="utf-8")).keys() <= sources.keys()
    assert sources["zip bomb"] == {"tests/hardness/test_security.py"}


def test_tests_that_ask_for_the_fixture_are_marked():
    class Test:
        def __init__(self, *names):
            self.fixturenames, self.user_properties = names, []

    counts, not_ = Test("tmp_path", "tried"), Test("tmp_path")
    assert mark(mark([counts, not_])) == [counts]
    assert counts.user_properties == [("counts", True)] and not not_.user_properties
    assert Ledger().tests == {}
