"""`nursery`: where programs are run that will be killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
