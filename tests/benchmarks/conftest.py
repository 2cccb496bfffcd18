"""Where the generated data lie: build/bench, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def bench_data() -> Path:
    """The folder that holds the generated data sets."""
    return REPOSITORY / "build" / "bench"
