"""VBPR: matrix factorisation that also reads the items' features; the baseline of every paper here."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.splits import Split
from mmrec_lite.losses import bpr_loss, embedding_l2
from mmrec_lite.methods.backbones import pair_scores
from mmrec_lite.methods.base import (
    Modalities,
    PairwiseHyperparameters,
    Stage,
    VectorMethod,
    chosen_features,
    pairwise_stage,
)
from mmrec_lite.ops import constant_columns

__all__ = ["VBPR", "VBPRConfig"]


class VBPRConfig(PairwiseHyperparameters):
    """VBPR's settings; training as for the other collaborative baselines."""

    modalities: Modalities = Field(None, description="features to use, side by side; default: all the data set has")
    content_dim: int = Field(64, ge=1, description="D, width of the users' and items' content vectors")
    standardize: bool = Field(True, description="features to mean 0, variance 1 a column, then divided by sqrt(width)")


class VBPR(VectorMethod):
    """A user's taste in hidden factors and in content, on top of how liked an item is in general.

    ``x_ui = b_i + g_u . g_i + t_u . (E f_i) + c . f_i`` with the items' features f_i (I, d_f) side by side. The
    user's own bias and the global one cancel in BPR and are left out. An item without a modality has zeros there.

    Source: VBPR Eq. 4 and 8. Differs: several modalities instead of the picture alone, as the later papers use it.
    """

    name = "vbpr"
    summary = "matrix factorisation that also scores an item's features"
    source = "He and McAuley, AAAI 2016"
    config: VBPRConfig
    Config = VBPRConfig
    profiles: ClassVar = {"paper": {}, "lecture": {"lr": 5e-3, "l2": 0.3, "epochs": 120, "patience": 15}}

    def __init__(self, split: Split, config: VBPRConfig, seed: int):
        super().__init__(split, config, seed)
        data = split.dataset
        names = chosen_features(self.name, data, config.modalities, "method 'mf'")
        self.batches = PairBatches(split, config.batch_size)
        blocks = [self._columns(torch.from_numpy(data.dense(n)), torch.tensor(data.present[n])) for n in names]
        self.register_buffer("features", torch.cat(blocks, dim=1), persistent=False)
        width = self.features.shape[1]
        self.user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(split.n_users, config.dim)))
        self.item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(split.n_items, config.dim)))
        self.taste = nn.Parameter(nn.init.xavier_uniform_(torch.empty(split.n_users, config.content_dim)))
        self.project = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, config.content_dim)))
        self.bias = nn.Parameter(torch.zeros(split.n_items))
        self.content_bias = nn.Parameter(torch.zeros(width))

    def _columns(self, features: Tensor, present: Tensor) -> Tensor:
        """Bring a modality's columns to one scale over the items that have it; the others stay zero."""
        if not self.config.standardize or not present.any():
            return features
        there = features[present]
        scaled = (features - there.mean(0)) / (there.std(0, correction=0) + 1e-6) / features.shape[1] ** 0.5
        return scaled.masked_fill(constant_columns(there), 0.0) * present[:, None]

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d + D + 1) and items (I, d + D + 1) whose inner product is Eq. 8's score."""
        general = self.bias + self.features @ self.content_bias
        users = torch.cat([self.user, self.taste, torch.ones_like(self.user[:, :1])], dim=1)
        return users, torch.cat([self.item, self.features @ self.project, general[:, None]], dim=1)

    def stages(self) -> list[Stage]:
        """One stage: BPR with L2."""
        return [pairwise_stage(self)]

    def loss(self, batch: Triples) -> dict[str, Tensor]:
        """Return the terms `bpr` and `l2` of one batch."""
        if self.n_items > 4 * self.config.batch_size:
            margin = self.margins(batch)
            bpr = bpr_loss(margin, torch.zeros_like(margin))
        else:
            bpr = bpr_loss(*pair_scores(*self.vectors(), batch))
        length = embedding_l2(
            self.user[batch.users],
            self.taste[batch.users],
            self.item[batch.positives],
            self.item[batch.negatives],
        )
        return {"bpr": bpr, "l2": self.config.l2 * length}

    def margins(self, batch: Triples) -> Tensor:
        """Return x_ui - x_uj of a batch's triples, (B,), from the differences of their items' features alone.

        Projecting the catalogue costs I rows of features a step, this B: what pays depends on which is larger.
        """
        content = self.features[batch.positives] - self.features[batch.negatives]
        hidden = F.embedding(batch.positives, self.item) - F.embedding(batch.negatives, self.item)
        general = self.bias[batch.positives] - self.bias[batch.negatives] + content @ self.content_bias
        taste = F.embedding(batch.users, self.taste) * (content @ self.project)
        return general + (F.embedding(batch.users, self.user) * hidden).sum(1) + taste.sum(1)

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return `id`, `content` (projected features) and `final`, what is scored: (I, ...) each."""
        content = (self.features @ self.project).detach()
        return {"id": self.item.detach().clone(), "content": content, "final": self.vectors()[1].clone()}
