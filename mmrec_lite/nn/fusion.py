"""Attention over modalities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmrec_lite.ops import masked_softmax

__all__ = ["AttentionFusion"]


class AttentionFusion(nn.Module):
    """Weigh an item's modality-aware vectors by a learned query and add them up.

    Source: MICRO Eq. 7-9: w_m = q^T tanh(W h_m + b), softmax over the modalities, one W, b and q for all of them.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, 1, bias=False)

    def forward(self, views: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Fuse M views.

        Shapes: views (M, I, d), present (M, I) bool or None (an absent view gets weight 0; an item without any gets a
        zero vector) -> fused (I, d), weights (M, I), which add up to 1 over the present views of an item.
        """
        importance = self.query(torch.tanh(self.project(views))).squeeze(-1)
        weights = masked_softmax(importance, present, dim=0)
        return torch.einsum("mi,mid->id", weights, views), weights
