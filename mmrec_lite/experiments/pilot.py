"""MICRO's pilot study: do people take alike things together? Counted on the training interactions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mmrec_lite.data.splits import Split
from mmrec_lite.graphs import edges, knn_graph

__all__ = ["alike_pairs", "users_with_alike_items"]


def alike_pairs(split: Split) -> pd.DataFrame:
    """Mean cosine of all pairs of different items, and of pairs that a user took both; one row a modality.

    Items without the modality are left out. A pair counts once, however many users took both. Source: MICRO Table 1.
    """
    taken = split.matrix("train").astype(np.int32)
    together = (taken.T @ taken).tocoo()
    out = {}
    for name in split.dataset.modalities:
        unit, has = _unit(split, name)
        n = int(has.sum())
        every = (np.square(unit[has].sum(axis=0)).sum() - n) / (n * (n - 1))  # the sum over pairs, without the pairs
        keep = (together.row < together.col) & has[together.row] & has[together.col]
        both = np.einsum("pd,pd->p", unit[together.row[keep]], unit[together.col[keep]]).mean()
        out[name] = {"all items": every, "co-interacted items": both}
    return pd.DataFrame(out).T


def users_with_alike_items(split: Split, ks: Sequence[int] = (5, 10, 15, 20)) -> pd.DataFrame:
    """Share (%) of users who took two items of which one is among the other's k nearest. Source: MICRO Table 2."""
    taken = split.matrix("train").astype(np.int32).tocsr()
    takers = np.diff(taken.indptr) > 0
    out = {}
    for name in split.dataset.modalities:
        unit, _ = _unit(split, name)
        out[name] = {}
        for k in ks:
            rows, cols, _ = edges(knn_graph(torch.from_numpy(unit), k, self_loops=False))
            found = np.zeros(split.n_users, dtype=bool)
            for start in range(0, len(rows), 4096):  # a block of edges at a time: users x edges is large
                pair = slice(start, start + 4096)
                has_both = taken[:, rows[pair].numpy()].multiply(taken[:, cols[pair].numpy()])
                found |= np.asarray(has_both.sum(axis=1)).ravel() > 0
            out[name][f"k={k}"] = 100 * found[takers].mean()
    return pd.DataFrame(out).T


def _unit(split: Split, name: str) -> tuple[np.ndarray, np.ndarray]:
    values = split.dataset.dense(name).astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0), split.dataset.present[name]
