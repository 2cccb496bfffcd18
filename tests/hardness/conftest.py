"""`tried`: how a test says what it has tried."""

from __future__ import annotations

import pytest

from tests.hardness.ledger import KEY


@pytest.fixture
def tried(record_property):
    """`tried(what, how_often, outcome)`, called at the end of a test that passed, adds to one row of the table."""

    def note(what: str, times: int, outcome: str) -> None:
        record_property(KEY, [what, times, outcome])

    return note
