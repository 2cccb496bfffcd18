"""What a representation can tell: linear probes against known factors, and how alike two representations are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.evaluation import Report
from mmrec_lite.methods.pamd import PAMD

__all__ = [
    "PLANTED",
    "cka_table",
    "linear_cka",
    "linear_probe",
    "neighbours_kept",
    "planted_factors",
    "probe_table",
    "shuffled_probes",
    "strongest_representation",
]

# Bazaar's factors by what shows them; `shape`, a category's three forms, has too few items of each.
PLANTED = {
    "common": ("category", "theme"),
    "image only": ("hue", "pattern", "tone"),
    "text only": ("material", "brand", "use", "quality"),
}


def planted_factors(data: MultimodalDataset, most: int = 16) -> dict[str, np.ndarray]:
    """Return the labels the truth plants in items, name -> (I,); in words where the data are Bazaar.

    Only one-dimensional whole numbers (``truth["item_<name>"]``) with 2 to `most` labels; nothing without a truth.
    """
    found = {}
    for name, values in data.truth.items():
        labels = name.startswith("item_") and values.ndim == 1 and values.dtype.kind in "iu"
        if labels and 2 <= len(np.unique(values)) <= most:
            found[name.removeprefix("item_")] = values
    if data.name == "bazaar":
        from mmrec_lite.data.bazaar import vocabulary as words

        lists = {"category": words.CATEGORIES, "theme": words.THEMES, "hue": words.HUES, "pattern": words.PATTERNS}
        lists |= {"tone": words.TONES, "brand": words.BRANDS, "use": words.USES, "quality": words.QUALITIES}
        found |= {name: np.asarray(lists[name])[found[name]] for name in lists if name in found}
    return found


def linear_probe(vectors: ArrayLike, labels: ArrayLike, folds: int = 3, seed: int = 0) -> float:
    """How well a linear classifier reads a label from vectors it was not fitted on, between chance and perfect.

    Shapes: vectors (N, d), labels (N,) of any discrete kind -> a number: (accuracy - chance) / (1 - chance), where
    chance is the share of the most frequent label. 0 is as good as to name that label always, 1 is perfect. Vectors
    that know nothing score somewhat *below* 0, for the classifier tries to use them, the more so the wider they are:
    ``shuffled_probes`` says how far.
    Columns are brought to mean 0 and variance 1 on the training folds; the classifier is ridge regression on one-hot
    labels. The folds are stratified and drawn with `seed`.
    Raises ``ValueError`` for rows that do not match, fewer than two labels, or a label with fewer rows than folds.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, labels = np.asarray(vectors, dtype=np.float64), np.asarray(labels)
    if vectors.ndim != 2 or len(vectors) != len(labels):
        raise ValueError(f"linear_probe: vectors are {vectors.shape}, labels {labels.shape}; give one label a row.")
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) < 2 or counts.min() < folds:
        raise ValueError(
            f"linear_probe: there are {len(counts)} labels, the rarest with {counts.min()} rows; {folds} folds need "
            f"two labels or more and {folds} rows of each. Merge rare labels, or take fewer folds."
        )
    chance = counts.max() / len(labels)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    accuracy = cross_val_score(make_pipeline(StandardScaler(), RidgeClassifier(10.0)), vectors, labels, cv=parts)
    return float((accuracy.mean() - chance) / (1 - chance))


def probe_table(
    representations: Mapping[str, ArrayLike], factors: Mapping[str, ArrayLike], folds: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Probe every representation for every factor: one row a representation, one column a factor.

    Shapes: representations name -> (N, d), factors name -> (N,) labels.
    """
    return pd.DataFrame(
        {
            factor: {name: linear_probe(vectors, labels, folds, seed) for name, vectors in representations.items()}
            for factor, labels in factors.items()
        }
    )


def shuffled_probes(
    vectors: ArrayLike, factors: Mapping[str, ArrayLike], shuffles: int = 19, folds: int = 3, seed: int = 0
) -> np.ndarray:
    """What probes score where there is nothing to know: their mean over the factors, for each shuffle of the rows.

    Shapes: vectors (N, d), factors name -> (N,) labels -> (shuffles,). All factors are shuffled together, so that they
    stay as they are to each other. A mean of scores above all of 19 is above chance (p = 1/20, one-sided).
    Raises ``ValueError`` as ``linear_probe`` does.
    """
    vectors, rng = np.asarray(vectors), np.random.default_rng(seed)
    orders = [rng.permutation(len(vectors)) for _ in range(shuffles)]
    scores = [[linear_probe(vectors[order], labels, folds, seed) for labels in factors.values()] for order in orders]
    return np.mean(scores, axis=1)


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """How alike two representations of the same items are, up to rotation and scale: 0 to 1 (identical).

    Shapes: (N, d), (N, e) -> a number. It compares which pairs of items are alike in either space, not the axes. With
    N not much larger than d and e, even noise looks alike: compare with a shuffled copy.
    Raises ``ValueError`` for rows that do not match or a representation that is the same for all items.
    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019, Eq. 3, linear kernel.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (x, y))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"linear_cka: representations are {x.shape} and {y.shape}; give the same items in rows.")
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if own == 0:
        raise ValueError("linear_cka: a representation is the same for all items; there is nothing to compare.")
    return float(np.linalg.norm(x.T @ y) ** 2 / own)


def cka_table(representations: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Compare every two representations by `linear_cka`: a symmetric table, 1 on its diagonal."""
    names = list(representations)
    out = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for place, one in enumerate(names):
        for other in names[:place]:
            out.loc[one, other] = out.loc[other, one] = linear_cka(representations[one], representations[other])
    return out


def neighbours_kept(vectors: ArrayLike, points: ArrayLike, k: int = 10) -> float:
    """How many of an item's k nearest by cosine are among its k nearest on a map, mean over the items: 0 to 1.

    Shapes: (N, d), (N, 2) -> a number. Chance is k / (N - 1).
    """
    from sklearn.neighbors import NearestNeighbors

    x, y = (np.asarray(v, dtype=np.float64) for v in (vectors, points))
    if len(x) != len(y) or not 1 <= k < len(x):
        raise ValueError(f"neighbours_kept: {len(x)} vectors, {len(y)} points, k = {k}; k must be below their number.")
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    near = [NearestNeighbors(n_neighbors=k).fit(v).kneighbors(return_distance=False) for v in (x, y)]
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]) / k)


def strongest_representation(model: PAMD, report: Report, k: int = 10, together: bool = False) -> pd.Series:
    """Which representation has the most attention in the pairs that were recommended rightly: name -> share.

    `report` is of ``mm.evaluate(model, ...)``; a pair counts if the held-out item is among the user's first k.
    `together` adds up the attention of the modalities' representations of a kind, and compares `common` and `specific`.
    Source: PAMD Table 6, counted with `together` (so its released program).
    Raises ``ValueError`` where no pair was recommended rightly, and for a k beyond the report's longest cut-off.
    """
    k = report.check_k(k, "strongest_representation")
    row, place = np.nonzero(report.hits[:, :k])
    if not len(row):
        raise ValueError(f"strongest_representation: no held-out item is among the first {k}; train longer.")
    users, items = report.per_user["user"].to_numpy()[row], report.top[row, place]
    weights = (
        model.modality_weights(users, items) if model.config.query == "user" else model.modality_weights(items=items)
    )
    names = list(model.representations)
    if together:  # they stand kind by kind
        names = list(model.kinds)
        weights = weights.unflatten(1, (len(names), -1)).sum(dim=2)
    most = weights.argmax(dim=1).numpy(force=True)
    shares = np.bincount(most, minlength=len(names)) / len(most)
    return pd.Series(shares, index=names, name=f"of {len(most)} pairs")
