"""The ledger: what was tried, how often and how it ended, for the table in tests/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

LEDGER = Path(__file__).resolve().parents[2] / "build" / "hardness.json"
KEY = "tried"


class Ledger:
    """A pytest plugin that collects what the tests' reports carry, and writes it once, in the process that sees all.

    Under pytest-xdist every report, its properties with it, reaches the controlling process: workers write nothing.
    """

    def __init__(self, file: Path = LEDGER) -> None:
        self.file, self.rows = file, {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a test that passed has noted."""
        if report.when != "call" or not report.passed:
            return
        for key, value in report.user_properties:
            if key == KEY:
                what, times, outcome = value
                self.rows.setdefault(what, {"tried": 0})
                self.rows[what] = {"tried": self.rows[what]["tried"] + times, "outcome": outcome}

    def pytest_sessionfinish(self) -> None:
        """Keep what this session tried; rows of tests that did not run stay as they were."""
        if not self.rows:
            return
        self.file.parent.mkdir(exist_ok=True)
        rows = json.loads(self.file.read_text()) if self.file.exists() else {}
        beside = self.file.with_suffix(".tmp")
        beside.write_text(json.dumps(rows | self.rows, indent=1, sort_keys=True))
        beside.replace(self.file)
