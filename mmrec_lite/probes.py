"""What a representation can tell: linear probes against known factors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

__all__ = ["linear_probe", "probe_table"]


def linear_probe(vectors: ArrayLike, labels: ArrayLike, folds: int = 3, seed: int = 0) -> float:
    """How well a linear classifier reads a label from vectors it was not fitted on, between chance and perfect.

    Shapes: vectors (N, d), labels (N,) of any discrete kind -> a number: (accuracy - chance) / (1 - chance), where
    chance is the share of the most frequent label. 0 is no better than chance, 1 is perfect, below 0 is worse.
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
