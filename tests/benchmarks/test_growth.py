"""The documented sizes, from the embedded shop to Amazon Clothing's: how time and memory grow with them."""

from __future__ import annotations

import pytest

from tests.benchmarks import worlds
from tests.benchmarks.process import in_a_process

SIZES = ("bazaar", "baby", "sports", "clothing")
JOBS = {  # group -> what to measure
    "making MICRO: item graphs, exact, by size": ("graph", "micro", {"negatives": 1024}),
    "one epoch of MICRO, 1,024 sampled negatives, by size": ("epoch", "micro", {"negatives": 1024}, "--batches", 10),
    "one epoch of LightGCN, by size": ("epoch", "lightgcn", {}, "--batches", 10),
    "full-ranking evaluation of LightGCN, by size": ("evaluate", "lightgcn", {}),
}
CASES = [
    pytest.param(size, *job[:3], job[3:], id=f"{group} {size}", marks=pytest.mark.benchmark(group=group))
    for group, job in JOBS.items()
    for size in SIZES
]


def label(size: str) -> str:
    """The size in users, items and interactions, as the table shows it."""
    counts = (2_000, 2_500, 14_000) if size == "bazaar" else worlds.SIZES[size]
    return f"{size}: {' x '.join(f'{n:,}' for n in counts)}"


@pytest.mark.parametrize(("size", "what", "method", "hyper", "more"), CASES)
def test_growth(benchmark, bench_data, size, what, method, hyper, more):
    folder = "bazaar" if size == "bazaar" else worlds.folder(bench_data, size)
    in_a_process(benchmark, label(size), "measure", what, method, folder, hyper, *more)
