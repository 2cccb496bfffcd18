"""MICRO beside itself: the contrast as one first writes it, exact in tiles, in 16 bits, sampled; LightGCN as the floor.

Every case runs in a process of its own, so that its peak memory is its own. An epoch's first batches are timed and the
rest extrapolated (`batches`): the plain form would take minutes.
"""

from __future__ import annotations

import pytest

from mmrec_lite.ops import multiplies_bfloat16
from tests.benchmarks import worlds
from tests.benchmarks.process import in_a_process

EPOCHS = {
    "MICRO, contrast as first written": ("micro-plain", {"symmetric": False}, 3),
    "MICRO, exact": ("micro", {}, 4),
    "MICRO, exact, one direction": ("micro", {"symmetric": False}, 4),
    "MICRO, exact, bfloat16": ("micro", {"contrast_precision": "bfloat16"}, 6),
    "MICRO, 1,024 sampled negatives": ("micro", {"negatives": 1024}, 20),
    "MICRO w/o contrast": ("micro", {"variant": "w/o contrast"}, 20),
    "LightGCN": ("lightgcn", {}, 20),
}


def needs_a_unit(hyper: dict) -> None:
    """Without one the row would measure 32 bits again, see `MICRO._contrast_dtype`."""
    if "contrast_precision" in hyper and not multiplies_bfloat16("cpu"):
        pytest.skip("this processor has no unit for 16-bit products")


TRAINING = {"lr": 2e-3, "epochs": 60, "patience": 8}


@pytest.fixture(scope="module")
def folder(bench_data):
    return worlds.folder(bench_data)


@pytest.mark.benchmark(group="one training epoch, Baby size")
@pytest.mark.parametrize("label", EPOCHS)
def test_epoch(benchmark, folder, label):
    method, hyper, batches = EPOCHS[label]
    needs_a_unit(hyper)
    in_a_process(benchmark, label, "measure", "epoch", method, folder, hyper, "--batches", batches)


@pytest.mark.benchmark(group="one epoch of LightGCN, by optimiser, Baby size")
@pytest.mark.parametrize(
    ("label", "method"), [("Adam, PyTorch's default", "lightgcn-plain"), ("Adam, fused", "lightgcn")]
)
def test_optimizer(benchmark, folder, label, method):
    in_a_process(benchmark, label, "measure", "epoch", method, folder, {}, "--batches", 40)


@pytest.mark.benchmark(group="full-ranking evaluation, Baby size")
@pytest.mark.parametrize("method", ["micro", "lightgcn"])
def test_evaluation(benchmark, folder, method):
    in_a_process(benchmark, method, "measure", "evaluate", method, folder)


@pytest.mark.benchmark(group="training to the best epoch, a tenth of Baby, mean of three seeds")
@pytest.mark.parametrize("label", [label for label in EPOCHS if "one direction" not in label])
def test_quality(benchmark, bench_data, label):
    """What the fast forms cost in Recall@20: three seeds each, the same split."""
    method, hyper, _ = EPOCHS[label]
    needs_a_unit(hyper)
    hyper = hyper | {"negatives": 128} if "negatives" in hyper else hyper  # a tenth of the items, a tenth of the draws
    folder = worlds.folder(bench_data, "baby-tenth")
    in_a_process(benchmark, label, "measure", "train", method, folder, hyper | TRAINING)
