"""Check what a reader has filled in: right, not yet, or not yet answered. What is expected stays out of the lessons.

>>> from mmrec_lite import exercises
>>> exercises.compare(None, 0.5), exercises.compare(0.25, 0.5), exercises.compare(0.5, 0.5)
('not yet answered', 'not yet: 0.25 is not it', 'right')
>>> exercises.check("09-1", 0.5)
'not yet: 0.5 is not it'
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mmrec_lite.data import MultimodalDataset, Split, mean_reviews
from mmrec_lite.data.bazaar.vocabulary import HUES
from mmrec_lite.data.masking import mask_modalities
from mmrec_lite.experiments import run
from mmrec_lite.graphs import cooccurrence_graph, normalize_graph
from mmrec_lite.probes import linear_probe
from mmrec_lite.similarity import mean_cosines, users_with_similar_items

__all__ = ["EXPECTED", "check", "compare", "exercise"]

Expected = Callable[..., ArrayLike | None]
EXPECTED: dict[str, tuple[Expected, float]] = {}  # by lesson and exercise, "11-2": what is expected, and how closely


def compare(got: Any, expected: Any, tolerance: float = 1e-3) -> str:
    """Return "right", "not yet: …" or "not yet answered" for a number, or several; whatever a reader wrote.

    `expected` may be a function without arguments: it is called only if there is an answer (None, also within a tuple
    or list, is none), and may return None where the data cannot tell. `tolerance` is absolute; 1e-5 of the expected
    value comes on top of it.
    """
    if got is None or (isinstance(got, tuple | list) and any(part is None for part in got)):
        return "not yet answered"
    try:
        numbers = _numbers(got)
    except (TypeError, ValueError, RuntimeError):
        return f"not yet: {_short(got)} is no number"
    except OverflowError:  # a whole number beyond all floats
        return "not yet: a number so large is not it"
    expected = expected() if callable(expected) else expected
    if expected is None:
        return "these data cannot tell"
    expected = _numbers(expected)
    if numbers.shape != expected.shape:
        return f"not yet: {_count(expected)} wanted, {_count(numbers)} given"
    return "right" if np.allclose(numbers, expected, atol=tolerance) else f"not yet: {_short(got)} is not it"


def check(name: str, got: Any, **inputs: Any) -> str:
    """Return `compare` with what is expected of an exercise, "10-2" or "00-A", computed from `inputs` if it needs any.

    Raises ``ValueError`` for an exercise that is not known, and for inputs that are missing or not asked for.
    """
    if name not in EXPECTED:
        raise ValueError(f"exercise {name!r} is not known: it is one of {', '.join(sorted(EXPECTED))}.")
    expected, tolerance = EXPECTED[name]
    try:
        inspect.signature(expected).bind(**inputs)
    except TypeError as error:
        raise ValueError(f"exercise {name!r}: {error}.") from None
    return compare(got, lambda: expected(**inputs), tolerance)


def exercise(name: str, tolerance: float = 1e-3) -> Callable[[Expected], Expected]:
    """Register the function below as what is expected of an exercise; it takes the inputs by name."""

    def register(function: Expected) -> Expected:
        if name in EXPECTED:
            raise ValueError(f"exercise {name!r} is there twice.")
        EXPECTED[name] = function, tolerance
        return function

    return register


def _numbers(values: Any) -> np.ndarray:
    values = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(values, dtype=float).squeeze()


def _count(numbers: np.ndarray) -> str:
    return "one number is" if numbers.ndim == 0 else f"{' x '.join(map(str, numbers.shape))} numbers are"


def _short(got: Any) -> str:
    text = str(got)
    return text if len(text) <= 60 else text[:59] + "…"


def _recall(method: str, data: MultimodalDataset, settings: Mapping[str, Any], **more: Any) -> float:
    return run(method, data, **{**settings, **more}).metrics["recall@20"]


@exercise("00-A", tolerance=1e-4)  # as printed; one user of the shop is 0.0005
def _image_alone(*, data: MultimodalDataset, settings: Mapping[str, Any]) -> float | None:
    return _recall("micro", data, settings, modalities=("image",)) if "image" in data.modalities else None


@exercise("00-B", tolerance=1e-4)
def _cold(*, data: MultimodalDataset, settings: Mapping[str, Any]) -> list[float]:
    """`settings` are those of both runs; `epochs` is LightGCN's alone, `content_knn` has none."""
    plain = {name: value for name, value in settings.items() if name != "epochs"}
    runs = {"lightgcn": settings, "content_knn": plain}
    return [_recall(name, data, how, protocol="cold-items") for name, how in runs.items()]


@exercise("01-1", tolerance=5e-3)
def _share_of_the_head(*, counts: ArrayLike) -> float:
    most = np.sort(np.asarray(counts))[::-1]
    return most[: len(most) // 10].sum() / most.sum()


@exercise("01-3", tolerance=0.02)
def _hue_in_reviews(*, split: Split, probe: Any) -> float | None:
    from sklearn.model_selection import cross_val_score

    vectors, written = mean_reviews(split, "item")
    if "item_hue" not in split.dataset.truth:
        return None
    return cross_val_score(probe, vectors[written], split.dataset.truth["item_hue"][written], cv=3).mean()


@exercise("02-A")
def _centred(*, data: MultimodalDataset) -> tuple[float, float]:
    there, vectors = data.present["text"][:, None], data.dense("text")
    moved = np.where(there, vectors - vectors[there[:, 0]].mean(axis=0), 0)
    return mean_cosines(data.replace(features=data.features | {"text": moved}), "text")


@exercise("02-B")
def _hues_named(*, data: MultimodalDataset, encoder: Any, colours: list[str], count: int = 100) -> float | None:
    from mmrec_lite.features import image_to_words

    if "item_hue" not in data.truth:
        return None
    said = image_to_words(encoder.encode([data.image(item) for item in range(count)]), encoder, colours, n=1)
    planted = [HUES[hue] for hue in data.truth["item_hue"][:count]]
    return float(np.mean([words[0] == hue for words, hue in zip(said, planted, strict=True) if hue in colours]))


@exercise("03-3", tolerance=1e-4)
def _smallest_temperature() -> float:
    return 1 / np.log(float(np.finfo(np.float16).max))


@exercise("04-1", tolerance=0.01)
def _where_the_bounded_order_stops() -> float:
    return -np.log(np.expm1(0.01))


@exercise("06-1")
def _loss_of_a_row() -> float:
    right, wrong = np.exp(2 * np.array([1.0, 0.0])).sum(), np.exp(2 * np.array([0.6, 0.8])).sum()
    return -np.log(right / (right + wrong))


@exercise("06-3", tolerance=0.5)
def _padding() -> float:
    return 9 * 50**2 / 9**2


@exercise("08-1", tolerance=2e-4)
def _least_difference() -> float:
    return 2.447 * 0.0122 * (2 / 4) ** 0.5


@exercise("09-1")
def _seeds_needed() -> float:
    return (0.006 / 0.002) ** 2


@exercise("09-2", tolerance=3e-4)
def _best_of_ten() -> tuple[float, float]:
    return 1.5388 * 0.006, 0.0


@exercise("10-1")
def _recall_and_hit_by_chance() -> tuple[float, float]:
    return 20 / 250, 1 - (230 * 229 * 228) / (250 * 249 * 248)


@exercise("10-2", tolerance=5e-4)
def _texts_hidden(*, data: MultimodalDataset, settings: Mapping[str, Any]) -> float | None:
    """MICRO's recall@20 with every text hidden, less that with pictures alone."""
    if not {"image", "text"} <= set(data.modalities):
        return None
    hidden = mask_modalities(data, 1.0, modalities="text")
    return _recall("micro", hidden, settings) - _recall("micro", data, settings, modalities=("image",))


@exercise("11-2")
def _popularity_in(*, vectors: ArrayLike, counts: ArrayLike) -> float:
    return linear_probe(np.asarray(vectors), np.asarray(counts) > np.median(counts))


@exercise("12-A", tolerance=6e-4)  # as printed; one of 615 customers is 0.0016
def _titles_alone(*, data: MultimodalDataset, encoder: Any, settings: Mapping[str, Any], cache: Any = None) -> float:
    from mmrec_lite.features import add_features

    short = data.replace(items=data.items.assign(text=data.items["title"]))
    short, _ = add_features(short, encoder, sentences=False, reviews=False, cache=cache)
    return _recall("micro", short, settings, modalities=("text",))


@exercise("12-B")
def _gain_that_survives(*, runs: pd.DataFrame) -> float | None:
    """`runs`: rows by variant, with the column "against no content"."""
    gain = runs["against no content"]
    return gain["micro, both shuffled"] / gain["micro, both"] if gain["micro, both"] else None


@exercise("02-C", tolerance=0.05)
def _times_chance(*, data: MultimodalDataset, seed: int, modality: str = "text", k: int = 10) -> float | None:
    found = users_with_similar_items(data, modality, (k,))[k]
    by_chance = users_with_similar_items(data, modality, (k,), shuffled=True, seed=seed)[k]
    return found / by_chance if by_chance else None


@exercise("13-A", tolerance=1e-6)
def _taken_together(*, split: Split) -> ArrayLike:
    """The weights of the graph of what is taken together in training, 10 neighbours an item."""
    users, items = split.pairs("train")
    return normalize_graph(cooccurrence_graph(items, users, split.n_items, split.n_users, 10)).values()


@exercise("13-B", tolerance=1e-9)
def _best_on_validation(*, grid: pd.DataFrame | None) -> float | None:
    return None if grid is None else float(grid.loc[grid["bpr best metric"].idxmax(), "weight"])
