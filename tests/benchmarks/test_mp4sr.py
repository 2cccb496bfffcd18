"""MP4SR's two stages and SASRec beside plain forms: a padded row a prefix, MP4SR's experts at every position."""

from __future__ import annotations

import pytest

from tests.benchmarks import sequences
from tests.benchmarks.process import in_a_process

DRAWN = {"negatives": 1024}
CASES = {
    "pretrain": {"MP4SR as released, plain loop": ("mp4sr-plain", 2, {}), "MP4SR": ("mp4sr", 12, {})},
    "recommend": {
        "MP4SR as released, plain loop": ("mp4sr-plain", 2, {}),
        "MP4SR": ("mp4sr", 8, {}),
        "MP4SR, 1,024 drawn items": ("mp4sr", 12, DRAWN),
        "SASRec, padded prefixes": ("sasrec-plain", 3, {}),
        "SASRec": ("sasrec", 12, {}),
        "SASRec, 1,024 drawn items": ("sasrec", 12, DRAWN),
    },
    "evaluate": {"MP4SR": ("mp4sr", 0, {}), "SASRec": ("sasrec", 0, {})},
}
TRAINED = {
    "MP4SR": ("mp4sr", {}),
    "MP4SR, 1,024 drawn items": ("mp4sr", DRAWN),
    "MP4SR, 256 drawn items": ("mp4sr", {"negatives": 256}),
    "SASRec": ("sasrec", {}),
    "SASRec, 1,024 drawn items": ("sasrec", DRAWN),
    "SASRec, 256 drawn items": ("sasrec", {"negatives": 256}),
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
    method, batches, hyper = CASES[stage][label]
    in_a_process(benchmark, label, "sequences", stage, method, folder, hyper, "--batches", batches)


@pytest.mark.benchmark(group="learning to recommend on the shop, an epoch and what comes of it, mean of three seeds")
@pytest.mark.parametrize("label", TRAINED)
def test_quality(benchmark, label):
    """What drawing items for the softmax costs in Recall@20."""
    method, hyper = TRAINED[label]
    in_a_process(benchmark, label, "sequences", "train", method, "bazaar", hyper)
