"""How long a move of each explorer takes, from the control's value to the picture; other settings each time."""

from __future__ import annotations

import itertools
import resource

import pytest

import mmrec_lite as mm
from mmrec_lite import explorers
from mmrec_lite.maps import Frame

LIMITS = {"neighbours": 0.2, "loss": 0.2, "shop": 0.5, "recommendations": 0.5, "embedding map": 0.5}  # seconds, median


@pytest.fixture(scope="module")
def made():
    """Every explorer on the shop, and the values each control is moved through."""
    shop = mm.load("bazaar")
    split = mm.split(shop, "ratio", seed=0)
    models = {n: mm.create(n, split, profile="lecture", seed=0) for n in ("micro", "content_knn", "lightgcn")}
    mm.fit(models["micro"], split, epochs=2, progress=False)
    frame = Frame.of(models["micro"], only=["image", "text", "fused"])
    every = range(10**6)
    return {
        "neighbours": (explorers.NeighboursExplorer(models["micro"], shop), "item", (7 * n % 2500 for n in every)),
        "loss": (explorers.LossExplorer(), "temperature", (0.05 + 0.001 * n for n in every)),
        "shop": (explorers.ShopExplorer(shop), "user", (7 * n % 2000 for n in every)),
        "recommendations": (
            explorers.RecommendationsExplorer(models, split), "place", (7 * n % 1900 for n in every),
        ),
        "embedding map": (
            explorers.EmbeddingMapExplorer(frame, shop, split.train_counts, shown=("image", "text")),
            "item", (7 * n % 2500 for n in every),
        ),
    }  # fmt: skip


@pytest.mark.benchmark(group="a move of an explorer, the shop")
@pytest.mark.parametrize("name", LIMITS)
def test_move(benchmark, made, name):
    explorer, control, values = made[name]
    explorer.controls[control].value = next(itertools.islice(values, 3, None))  # what is computed once, is

    def move(value):
        explorer.controls[control].value = value
        assert "Not drawn" not in explorer.status.value

    benchmark.pedantic(move, setup=lambda: ((next(values),), {}), rounds=20)
    median = benchmark.stats.stats.median
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of this process: one for all explorers
    benchmark.extra_info |= {"label": f"{name}, {control}", "seconds": median, "MiB": peak}
    assert median < LIMITS[name]
