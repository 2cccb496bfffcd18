"""Ranking metrics over full score rows; ties are broken by the item's index, never in favour of a hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmrec_lite.ops import top_columns

__all__ = ["NAMES", "hit_metrics", "ranking_metrics", "top_items"]

NAMES = ("recall", "precision", "ndcg", "hit", "mrr")


def top_items(scores: Tensor, k: int) -> Tensor:
    """Return each user's k best items, best first; equal scores are ordered by the lower item index.

    Shapes: scores (B, I) -> (B, min(k, I)) int64. Raises ``ValueError`` if a score is NaN.
    """
    if scores.numel() and bool(scores.amax().isnan()):  # any NaN makes it NaN, and it is found far faster than by isnan
        row = int(torch.isnan(scores).any(dim=1).nonzero()[0, 0])
        raise ValueError(f"top_items: row {row} of the scores holds NaN, so it has no order; did training diverge?")
    return top_columns(scores, min(k, scores.shape[1]))


def hit_metrics(hits: np.ndarray, n_relevant: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Turn the hits along each user's ranking into metrics.

    Shapes: hits (B, K) bool, best rank first, n_relevant (B,) int -> dict of (B,) float64 such as ``"recall@20"``.
    With g relevant items and the first k ranks: recall = hits / g, precision = hits / k, hit = any, mrr = 1 / rank of
    the first hit (0 without one), ndcg = DCG / DCG of the ideal ranking with min(g, k) hits at the top.
    A user without a relevant item gets NaN, so that no mean can count it by accident.
    """
    hits = np.asarray(hits, dtype=bool)
    relevant = np.asarray(n_relevant, dtype=np.int64)
    width = hits.shape[1]
    discount = 1 / np.log2(np.arange(2, max(width, max(ks)) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    found = np.cumsum(hits, axis=1)
    gain = np.cumsum(hits * discount[:width], axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0)
    empty = relevant == 0
    safe = np.where(empty, 1, relevant)
    out = {}
    for k in ks:
        last = min(k, width) - 1
        values = {
            "recall": found[:, last] / safe,
            "precision": found[:, last] / k,
            "ndcg": gain[:, last] / ideal[np.minimum(safe, k)],
            "hit": (found[:, last] > 0).astype(np.float64),
            "mrr": np.where((first > 0) & (first <= k), 1 / np.maximum(first, 1), 0.0),
        }
        out |= {f"{name}@{k}": np.where(empty, np.nan, values[name]) for name in NAMES}
    return out


def ranking_metrics(
    scores: Tensor, relevant: Tensor, seen: Tensor | None = None, ks: Sequence[int] = (20,)
) -> dict[str, np.ndarray]:
    """Rank all items by their scores and compare the top with the relevant items.

    Shapes: scores (B, I) float, relevant (B, I) bool, seen (B, I) bool or None -> dict of (B,) float64 arrays named
    ``"recall@20"``, ``"precision@20"``, ``"ndcg@20"``, ``"hit@20"``, ``"mrr@20"`` (see ``hit_metrics``). Seen items
    (those of the training set) cannot be recommended. Ties go to the lower item index. Users without relevant items
    get NaN; leave them out of means. Raises ``ValueError`` for shapes that differ, k < 1, or NaN scores.

    >>> scores = torch.tensor([[0.9, 0.8, 0.1, 0.7]])
    >>> relevant = torch.tensor([[False, True, False, True]])
    >>> seen = torch.tensor([[True, False, False, False]])
    >>> {name: round(float(v[0]), 3) for name, v in ranking_metrics(scores, relevant, seen, ks=(1,)).items()}
    {'recall@1': 0.5, 'precision@1': 1.0, 'ndcg@1': 1.0, 'hit@1': 1.0, 'mrr@1': 1.0}
    """
    ks = check_ks(ks)
    for name, other in (("relevant", relevant), ("seen", seen)):
        if other is not None and other.shape != scores.shape:
            raise ValueError(f"ranking_metrics: {name} is {tuple(other.shape)}, but the scores {tuple(scores.shape)}")
    if seen is not None:
        scores = scores.masked_fill(seen, -torch.inf)
    top = top_items(scores, max(ks))
    hits = relevant.gather(1, top) & (scores.gather(1, top) > -torch.inf)
    return hit_metrics(hits.numpy(force=True), relevant.sum(dim=1).numpy(force=True), ks)


def check_ks(ks: int | Sequence[int]) -> tuple[int, ...]:
    """Return the cut-offs, or the only one, as a tuple of whole numbers >= 1, or say which is not."""
    ks = tuple(ks) if np.iterable(ks) else (ks,)
    bad = [k for k in ks if not isinstance(k, int | np.integer) or k < 1]
    if not ks or bad:
        raise ValueError(f"ks = {ks}: give at least one cut-off, each a whole number >= 1")
    return tuple(int(k) for k in ks)
