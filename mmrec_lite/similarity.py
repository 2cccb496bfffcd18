"""How alike are items that one user took? The pilot study of MICRO, on any data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.graphs import nearest_rows

__all__ = ["cosine_samples", "mean_cosines", "nearest_items", "users_with_similar_items"]


def mean_cosines(data: MultimodalDataset, modality: str) -> tuple[float, float]:
    """Mean cosine of all pairs of different items, and of the pairs that at least one user took both of.

    Items that lack the modality are left out. Both means are over pairs, each once, and exact. Raises `DataError`
    where no user took two items. Source: MICRO Table 1.
    """
    unit, taken = _unit(data, modality)
    n = len(unit)
    everything = (np.square(unit.sum(axis=0)).sum() - np.square(unit).sum()) / (n * (n - 1))
    left, right = _together(taken, data.name)
    return float(everything), float(_dots(unit, left, right).mean())


def cosine_samples(
    data: MultimodalDataset, modality: str, n: int = 20_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of random pairs of items, and of random pairs that one user took, (at most n,) each, for a histogram."""
    rng = np.random.default_rng(seed)
    unit, taken = _unit(data, modality)
    left, right = rng.integers(0, len(unit), (2, n))
    different = left != right
    pairs = _together(taken, data.name)
    chosen = rng.permutation(len(pairs[0]))[:n]
    return _dots(unit, left[different], right[different]), _dots(unit, pairs[0][chosen], pairs[1][chosen])


def users_with_similar_items(
    data: MultimodalDataset,
    modality: str,
    ks: Sequence[int] = (5, 10, 15, 20),
    shuffled: bool = False,
    seed: int | None = None,
) -> pd.Series:
    """The share of users who took two items of which one is among the k most similar to the other, by k.

    With `shuffled` the items' vectors are permuted with `seed` (0) first: what chance gives to users with so many
    items. Users without two items of this modality count as not having any. Source: MICRO Table 2.
    """
    if seed is not None and not shuffled:
        raise ValueError(f"users_with_similar_items: seed = {seed} is of the permutation; pass shuffled=True as well.")
    unit, taken = _unit(data, modality)
    if shuffled:
        unit = unit[np.random.default_rng(seed or 0).permutation(len(unit))]
    if max(ks) >= len(unit):
        raise DataError(f"k = {max(ks)} neighbours were asked for, but only {len(unit)} items have {modality!r}.")
    shares, n = {}, len(unit)
    for k in ks:  # by rank: a neighbour counts whatever its cosine
        columns = nearest_rows(torch.from_numpy(unit), k, self_loops=False).numpy()
        near = sp.csr_array((np.ones(n * k), columns.ravel(), np.arange(n + 1) * k), shape=(n, n))
        pairs = ((taken @ near).multiply(taken)).sum(axis=1)  # ordered pairs (i, j) of a user with j near i
        shares[k] = float((np.asarray(pairs) > 0).mean())
    return pd.Series(shares, name=modality).rename_axis("k")


def nearest_items(data: MultimodalDataset, item: int, modalities: str | Sequence[str], n: int = 8) -> np.ndarray:
    """The ``n`` items most similar to one, nearest first; over several modalities by the mean of their cosines.

    Only other items that have all of the modalities take part; where there are fewer than n, all of them. Raises
    `DataError` for an item that lacks one, and for a number that is no item's.
    """
    if not 0 <= item < data.n_items:
        raise DataError(f"nearest_items: there is no item {item}; items are numbered 0..{data.n_items - 1}.")
    names = data.check_modalities(modalities)
    there = np.logical_and.reduce([data.present[name] for name in names])
    if not there[item]:
        raise DataError(f"item {item} lacks one of {', '.join(names)}; choose another.")
    likeness = np.zeros(data.n_items)
    for name in names:
        vectors = data.dense(name)
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        likeness += unit @ unit[item]
    likeness[~there] = -np.inf
    likeness[item] = -np.inf
    return np.argsort(-likeness, kind="stable")[: min(n, np.count_nonzero(likeness > -np.inf))]


def _unit(data: MultimodalDataset, modality: str) -> tuple[np.ndarray, sp.csr_array]:
    """Unit vectors of the items that have the modality, and who took them, (U, n)."""
    data.check_modalities(modality)
    there = np.flatnonzero(data.present[modality])
    vectors = data.dense(modality)[there]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    log = data.interactions
    shape = (data.n_users, data.n_items)
    taken = sp.csr_array((np.ones(len(log), dtype=np.float32), (log["user"], log["item"])), shape=shape)
    return unit, taken[:, there]


def _together(taken: sp.csr_array, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of items that at least one user took both of, each once."""
    pairs = sp.triu(taken.T @ taken, k=1).tocoo()
    if pairs.nnz == 0:
        raise DataError(f"data set {name!r}: no user took two items that have this modality.")
    return pairs.row, pairs.col


def _dots(unit: np.ndarray, left: np.ndarray, right: np.ndarray, chunk: int = 65_536) -> np.ndarray:
    out = np.empty(len(left), dtype=np.float32)
    for lo in range(0, len(left), chunk):
        part = slice(lo, lo + chunk)
        out[part] = np.einsum("nd,nd->n", unit[left[part]], unit[right[part]])
    return np.clip(out, -1, 1)  # rounding leaves equal items at 1.0000001
