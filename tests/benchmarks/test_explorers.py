"""How long a move of each explorer takes, from the control's value to the picture, drawn anew each time."""

from __future__ import annotations

import itertools
import resource

import ipywidgets as widgets
import pytest

import mmrec_lite as mm
from mmrec_lite import explorers
from mmrec_lite.maps import Recorder

# Seconds that the median is asked to stay below: moves that compute something, and those that only draw; "training" is
# what can be done before Run.
LIMITS = {
    ("neighbours", "item"): 0.2,
    ("neighbours", "k"): 0.2,
    ("neighbours", "lam"): 0.2,
    ("loss", "temperature"): 0.2,
    ("loss", "anchor"): 0.2,
    ("shop", "user"): 0.5,
    ("recommendations", "place"): 0.5,
    ("recommendations", "off"): 0.5,
    ("embedding map", "item"): 0.5,
    ("embedding map", "colour"): 0.5,
    ("embedding map", "moment"): 0.5,
    ("training", "lam"): 0.5,
    ("studies", "study"): 0.5,
    ("features", "share"): 0.2,
    ("order", "parting"): 0.2,
    ("alignment", "temperature"): 0.2,
}


@pytest.fixture(scope="module")
def made():
    """Every explorer on the shop."""
    shop = mm.load("bazaar")
    split = mm.split(shop, "ratio", seed=0)
    models = {n: mm.create(n, split, profile="lecture", seed=0) for n in ("micro", "content_knn", "lightgcn")}
    recorder = Recorder(models["micro"], only=["image", "text", "fused"])
    mm.fit(models["micro"], split, epochs=2, progress=False, callback=recorder)
    training = explorers.TrainingExplorer(split, ["micro", "lightgcn"], epochs=2)
    training.run(lam=0.0)  # a ghost behind
    return {
        "neighbours": explorers.NeighboursExplorer(models["micro"], shop),
        "loss": explorers.LossExplorer(),
        "shop": explorers.ShopExplorer(shop),
        "recommendations": explorers.RecommendationsExplorer(models, split),
        "embedding map": explorers.EmbeddingMapExplorer(
            recorder.finish(), shop, split.train_counts, shown=("image", "text")
        ),
        "training": training,
        "studies": explorers.StudiesExplorer(),
        "features": explorers.FeaturesExplorer(shop, 9),
        "order": explorers.OrderExplorer(),
        "alignment": explorers.AlignmentExplorer(),
    }


def positions(control):
    """A control's values again and again, never the same twice in a row."""
    if hasattr(control, "options"):
        return itertools.cycle([value for _, value in control._options_full])
    if isinstance(control, widgets.FloatLogSlider):
        return itertools.cycle([0.05 + 0.001 * n for n in range(100)])
    step = getattr(control, "step", 1) if isinstance(control, widgets.FloatSlider) else 1
    count = round((control.max - control.min) / step) + 1
    return itertools.cycle([control.min + 7 * n % count * step for n in range(count)])


@pytest.mark.benchmark(group="a move of an explorer, the shop")
@pytest.mark.parametrize(("name", "control"), LIMITS)
def test_move(benchmark, made, name, control):
    explorer = made[name]
    values = positions(explorer.controls[control])

    def move(value):
        explorer.controls[control].value = value
        assert "Not drawn" not in explorer.status.value

    def another():
        value = next(v for v in values if v != explorer.controls[control].value)
        explorer._kept.clear()  # pictures that come back cost nothing: each of these is drawn
        return (value,), {}

    for _ in range(3):  # what is computed once, is
        move(another()[0][0])
    benchmark.pedantic(move, setup=another, rounds=20)
    median = benchmark.stats.stats.median
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of this process: one for all explorers
    asked = {"asked for": LIMITS[name, control], "slowest": benchmark.stats.stats.max}
    benchmark.extra_info |= {"label": f"{name}, {control}", "seconds": median, "MiB": peak} | asked
    assert median < LIMITS[name, control]
