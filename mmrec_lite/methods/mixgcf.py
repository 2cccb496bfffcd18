"""LightGCN trained against the mixed negatives of MixGCF; what MCPTR fine-tunes, without its pre-training."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.splits import Split
from mmrec_lite.methods.backbones import LightGCN
from mmrec_lite.methods.base import PairwiseHyperparameters, Stage, pairwise_stage
from mmrec_lite.nn import hop_layers, mixgcf_loss

__all__ = ["MixGCF", "MixGCFConfig"]


class MixGCFConfig(PairwiseHyperparameters):
    """MixGCF's settings. Source of the defaults: its released program, M = 64 from MCPTR 4.1.4."""

    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    batch_size: int = Field(2048, ge=1, description="training pairs a step")
    layers: int = Field(3, ge=0, description="propagation layers on the user-item graph")
    graph: Literal["sym", "row+self"] = Field("sym", description="normalisation of the user-item graph")
    n_candidates: int = Field(64, ge=1, description="M, items drawn for each pair to make its negative from")
    mixing: Literal["hop", "candidate"] = Field("hop", description="one alpha a pair and layer, or one a candidate too")


class MixGCF(LightGCN):
    """LightGCN whose negatives are mixed from positives, candidates and layers."""

    name = "mixgcf"
    summary = "LightGCN against hard negatives mixed from 64 candidates"
    source = "Huang et al., KDD 2021"
    config: MixGCFConfig
    Config = MixGCFConfig
    profiles: ClassVar = {
        "paper": {},
        "lecture": {"lr": 5e-3, "l2": 1e-3, "epochs": 60, "patience": 8, "n_candidates": 16},
    }

    def __init__(self, split: Split, config: MixGCFConfig, seed: int):
        super().__init__(split, config, seed)
        self.batches = PairBatches(split, config.batch_size, n_negatives=config.n_candidates)

    def loss(self, batch: Triples) -> dict[str, Tensor]:
        """Return the terms `bpr` and `l2` of one batch."""
        b = self.backbone
        layers = hop_layers(b.graph, torch.cat([b.user, b.item]), b.layers, b.transpose)
        return mixgcf_loss(layers, self.n_users, *batch, self.config.l2, self.config.mixing)

    def stages(self) -> list[Stage]:
        """One stage: BPR with L2, called `recommend` as in MCPTR."""
        return [pairwise_stage(self, "recommend")]
