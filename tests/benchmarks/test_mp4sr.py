"""MP4SR's two stages and SASRec beside plain forms: a padded row a prefix, MP4SR's experts at every position."""

from __future__ import annotations

import pytest

from tests.benchmarks import sequences
from tests.benchmarks.process import in_a_process

CASES = {
    "pretrain": {"MP4SR as released, plain loop": ("mp4sr-plain", 2), "MP4SR": ("mp4sr", 12)},
    "recommend": {
        "MP4SR as released, plain loop": ("mp4sr-plain", 2),
        "MP4SR": ("mp4sr", 8),
        "SASRec, padded prefixes": ("sasrec-plain", 3),
        "SASRec": ("sasrec", 12),
    },
    "evaluate": {"MP4SR": ("mp4sr", 0), "SASRec": ("sasrec", 0)},
}
WORDS = {
    "pretrain": "one epoch of MP4SR's pre-training, Pantry size",
    "recommend": "one epoch of learning to recommend, Pantry size",
    "evaluate": "full-ranking evaluation of sequences, Pantry size",
}


@pytest.fixture(scope="module")
def folder(bench_data):
    return sequences.folder(bench_data)


@pytest.mark.parametrize(
    ("stage", "label"),
    [
        pytest.param(s, label, marks=pytest.mark.benchmark(group=WORDS[s]))
        for s, rows in CASES.items()
        for label in rows
    ],
)
def test_speed(benchmark, folder, stage, label):
    method, batches = CASES[stage][label]
    in_a_process(benchmark, label, "sequences", stage, method, folder, "--batches", batches)
