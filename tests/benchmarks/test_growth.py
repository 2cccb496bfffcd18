"""The documented sizes, from the embedded shop to a million items: how time and memory grow with them."""

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
LARGE = {"100,000": 100_000, "a million": 1_000_000}  # items, with half as many users and four interactions an item
LARGE_JOBS = {
    "large catalogues: making MICRO, approximate item graphs": ("graph", "micro"),
    "large catalogues: one epoch of MICRO, approximate, 1,024 sampled negatives": ("epoch", "micro", "--batches", 3),
    "large catalogues: one epoch of LightGCN": ("epoch", "lightgcn", "--batches", 3),
    "large catalogues: full-ranking evaluation of LightGCN, all users": ("evaluate", "lightgcn"),
}
LARGE_CASES = [
    pytest.param(name, *job[:2], job[2:], id=f"{group} {name}", marks=pytest.mark.benchmark(group=group))
    for group, job in LARGE_JOBS.items()
    for name in LARGE
]


def label(size: str) -> str:
    """The size in users, items and interactions, as the table shows it."""
    counts = (2_000, 2_500, 14_000) if size == "bazaar" else worlds.SIZES[size]
    return f"{size}: {' x '.join(f'{n:,}' for n in counts)}"


@pytest.mark.parametrize(("size", "what", "method", "hyper", "more"), CASES)
def test_growth(benchmark, bench_data, size, what, method, hyper, more):
    folder = "bazaar" if size == "bazaar" else worlds.folder(bench_data, size)
    in_a_process(benchmark, label(size), "measure", what, method, folder, hyper, *more)


@pytest.mark.parametrize(("name", "what", "method", "more"), LARGE_CASES)
def test_large(benchmark, name, what, method, more):
    in_a_process(benchmark, f"{name} items", "large", what, method, LARGE[name], *more)
