"""What is trained on one and on two processes: every method and stage, and what a method does only with a setting."""

from __future__ import annotations

import mmrec_lite as mm
from mmrec_lite import ops
from mmrec_lite.training import History
from tests.hardness.worlds import TRAINED, small, whole_shop

CASES: dict[str, tuple[str, dict]] = {name: (name, {}) for name in TRAINED} | {
    "micro, sampled": ("micro", {"negatives": 7, "rebuild": "batch"}),
    "micro on ngcf": ("micro", {"backbone": "ngcf"}),
    "pamd, released": ("pamd", {"order": "infonce", "anchors": "raw", "query": "user"}),
    "pamd-con": ("pamd", {"variant": "pamd-con", "base": "neumf++"}),
    "mcptr, softmax": ("mcptr", {"form": "softmax", "mixing": "candidate"}),
    "mp4sr, end to end": ("mp4sr", {"variant": "E2E"}),
    "mp4sr, released": ("mp4sr", {"drop": "uniform", "same_item": "zero", "normalize": True}),
    "mp4sr, drawn": ("mp4sr", {"negatives": 5, "batch_size": 16}),
    # The keys' biases have no gradient but rounding; with L2 decay Adam's steps of it grow from step to step.
    "mp4sr, end to end, drawn": ("mp4sr", {"variant": "E2E", "negatives": 5, "batch_size": 16, "weight_decay": 0}),
    "a last batch of one": ("lightgcn", {"batch_size": 239}),
    "early stop": ("mf", {"epochs": 9, "patience": 1, "lr": 0.05}),
    "resumed": ("vbpr", {"epochs": 3}),
}


def train(case: str, changes: dict | None = None, **options) -> tuple[mm.Method, History]:
    """Train one case in float64, so that nothing but the order of additions is left to differ."""
    name, hyper = CASES[case]
    split = mm.split(whole_shop(), "given")
    model = mm.create(name, split, seed=1, **small(name) | hyper | (changes or {}))
    options = {"progress": False, "device": "cpu", "precision": "64-true"} | options
    whole, ops.TILE = ops.TILE, 8  # the tiny catalogue in several tiles, so that each process gets some
    try:
        return model, mm.fit(model, split, **options)
    finally:
        ops.TILE = whole
