"""`tried`: how a test says what it has tried; `nursery`: where programs are run that will be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hardness.ledger import KEY
from tests.hardness.nursery import Nursery


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Callable[..., Nursery]]:
    """Start a nursery with these first lines; it is closed after the test."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that can fork and send SIGKILL")
    begun: list[Nursery] = []

    def start(first: str, *arguments: str) -> Nursery:
        begun.append(Nursery(tmp_path, first, *arguments))
        return begun[-1]

    yield start
    for one in begun:
        one.close()


@pytest.fixture
def tried(record_property):
    """`tried(what, how_often, outcome)`, called at the end of a test that passed, adds to one row of the table."""

    def note(what: str, times: int, outcome: str) -> None:
        record_property(KEY, [what, times, outcome])

    return note
