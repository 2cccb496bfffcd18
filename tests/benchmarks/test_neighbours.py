"""Ten nearest of more and more items: the exact search grows as the square, the approximate one does not."""

from __future__ import annotations

import pytest

from tests.benchmarks.process import in_a_process


@pytest.mark.benchmark(group="ten nearest neighbours of every item, 384 features")
@pytest.mark.parametrize("n", [7_000, 28_000, 112_000])
@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_search(benchmark, method, n):
    measured = in_a_process(benchmark, f"{method}, {n:,} items", "neighbours", method, n)
    assert measured["found"] > (0.999 if method == "exact" else 0.9)
