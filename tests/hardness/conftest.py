"""The ledger: what was tried, how often and how it ended, for the table in tests/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

LEDGER = Path(__file__).resolve().parents[2] / "build" / "hardness.json"
_tried: dict[str, tuple[int, str]] = {}


@pytest.fixture
def tried():
    """`tried(what, how_often, outcome)`, called at the end of a test that passed, adds to one row of the table."""

    def note(what: str, times: int, outcome: str) -> None:
        _tried[what] = (_tried.get(what, (0, ""))[0] + times, outcome)

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what this session tried; rows of tests that did not run stay as they were."""
    if not _tried:
        return
    LEDGER.parent.mkdir(exist_ok=True)
    rows = json.loads(LEDGER.read_text()) if LEDGER.exists() else {}
    rows |= {what: {"tried": times, "outcome": outcome} for what, (times, outcome) in _tried.items()}
    beside = LEDGER.with_suffix(".tmp")
    beside.write_text(json.dumps(rows, indent=1, sort_keys=True))
    beside.replace(LEDGER)
