"""Losses that every method shares."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["bpr_loss", "embedding_l2"]


def bpr_loss(pos_scores: Tensor, neg_scores: Tensor) -> Tensor:
    """Bayesian personalised ranking: the mean of -log sigmoid(positive - negative).

    Shapes: (B,), (B,) -> scalar, computed as softplus(negative - positive), which cannot overflow.
    Raises ``ValueError`` for different shapes (broadcasting would compare every positive with every negative).

    Source: MICRO Eq. 15. Differs: the mean over the batch's triples instead of the sum.

    >>> import torch
    >>> round(float(bpr_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))), 4)  # (log(1+1/e) + log 2) / 2
    0.5032
    """
    if pos_scores.shape != neg_scores.shape:
        raise ValueError(f"bpr_loss: {tuple(pos_scores.shape)} positives against {tuple(neg_scores.shape)} negatives")
    return F.softplus(neg_scores - pos_scores).mean()


def embedding_l2(*embeddings: Tensor) -> Tensor:
    """Half the squared length of a batch's embeddings per training case.

    Shapes: any number of (B, d) -> scalar: sum of squares / (2 B). The weight of it (1e-4) is the caller's.

    Source: LightGCN Eq. 15, of the vectors before propagation. Differs: MICRO's released program takes the propagated
    and fused ones.
    """
    return sum(e.square().sum() for e in embeddings) / (2 * len(embeddings[0]))
