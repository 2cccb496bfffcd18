"""Collaborative filtering without content: MF, NGCF and LightGCN, alone or under a content method."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.splits import Split
from mmrec_lite.graphs import bipartite_graph, propagate, transpose_graph
from mmrec_lite.losses import bpr_loss, embedding_l2
from mmrec_lite.methods.base import PairwiseHyperparameters, Stage, VectorMethod, pairwise_stage
from mmrec_lite.options import check_option

__all__ = ["MF", "NGCF", "Backbone", "LightGCN", "make_backbone", "pair_scores"]


class Backbone(nn.Module):
    """User and item embeddings, Xavier-initialised, and how they are propagated over the user-item graph."""

    def __init__(self, split: Split, dim: int):
        super().__init__()
        self.n_users = split.n_users
        self.user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(split.n_users, dim)))
        self.item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(split.n_items, dim)))

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' (U, d') and the items' (I, d') vectors. MF: the embeddings themselves."""
        return self.user, self.item


class GraphBackbone(Backbone):
    """A backbone on the user-item graph of the training interactions."""

    def __init__(self, split: Split, dim: int, graph: str):
        super().__init__(split, dim)
        norm, self_loops = ("sym", False) if graph == "sym" else ("row", True)
        users, items = split.pairs("train")
        adjacency = bipartite_graph(users, items, split.n_users, split.n_items, norm, self_loops)
        self.register_buffer("graph", adjacency, persistent=False)
        transpose = adjacency if norm == "sym" else transpose_graph(adjacency)
        self.register_buffer("transpose", transpose, persistent=False)

    def split_nodes(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Part the graph's nodes (U + I, d) into users and items."""
        return nodes[: self.n_users], nodes[self.n_users :]


class LightGCNBackbone(GraphBackbone):
    """Mean of the embeddings propagated 0..L times. Source: LightGCN Eq. 3-4."""

    def __init__(self, split: Split, dim: int, layers: int, graph: str):
        super().__init__(split, dim, graph)
        self.layers = layers

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d)."""
        nodes = torch.cat([self.user, self.item])
        return self.split_nodes(propagate(self.graph, nodes, self.layers, "mean", self.transpose))


class NGCFBackbone(GraphBackbone):
    """Message passing with weights and products of neighbours, all layers side by side. Source: NGCF Eq. 3-8."""

    def __init__(self, split: Split, dim: int, layers: int, graph: str, dropout: float, pool: str):
        super().__init__(split, dim, graph)
        self.pool = pool
        self.sums = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.products = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        self.dropout = dropout
        for layer in (*self.sums, *self.products):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return users and items: every layer's vector, length 1 from the first on, side by side or their mean."""
        nodes = torch.cat([self.user, self.item])
        layers = [nodes]
        for combine, interact in zip(self.sums, self.products, strict=True):
            near = propagate(self.graph, nodes, 1, "last", self.transpose)
            nodes = F.leaky_relu(combine(near + nodes) + interact(near * nodes), negative_slope=0.2)
            nodes = F.dropout(nodes, self.dropout, self.training)
            layers.append(F.normalize(nodes, dim=1))
        return self.split_nodes(torch.cat(layers, dim=1) if self.pool == "concat" else torch.stack(layers).mean(0))


def make_backbone(
    name: str,
    split: Split,
    dim: int,
    layers: int = 2,
    graph: str = "sym",
    dropout: float = 0.1,
    pool: str = "mean",
) -> Backbone:
    """Make the backbone "mf", "ngcf" or "lightgcn" for a split; `pool` ("mean" or "concat") is NGCF's.

    `graph` is "sym" or "row+self", D^-1 (A + I). Raises ``ValueError`` for another name, graph or pool.
    """
    check_option("make_backbone", "name", name, ("mf", "ngcf", "lightgcn"))
    check_option("make_backbone", "graph", graph, ("sym", "row+self"))
    check_option("make_backbone", "pool", pool, ("mean", "concat"))
    if name == "mf":
        return Backbone(split, dim)
    if name == "ngcf":
        return NGCFBackbone(split, dim, layers, graph, dropout, pool)
    return LightGCNBackbone(split, dim, layers, graph)


class CollaborativeConfig(PairwiseHyperparameters):
    """Settings of MF; MICRO's, who use the same for all their baselines."""


class GraphConfig(CollaborativeConfig):
    """Settings of the graph methods."""

    layers: int = Field(2, ge=0, description="propagation layers on the user-item graph")
    graph: Literal["sym", "row+self"] = Field("sym", description="'row+self' is D^-1 (A + I), as MICRO released it")


class NGCFConfig(GraphConfig):
    """Settings of NGCF."""

    dropout: float = Field(0.1, ge=0, lt=1, description="share of message entries set to zero in training")
    pool: Literal["concat", "mean"] = Field("concat", description="how the layers' vectors become one")


# The lecture profiles' l2, dropout and rates of the encoders are chosen on validation: tests/tuning.py.
LECTURE = {"lr": 5e-3, "epochs": 120, "patience": 15}


class MF(VectorMethod):
    """Matrix factorisation with BPR: a user's and an item's embedding, nothing else."""

    name = "mf"
    summary = "matrix factorisation with BPR"
    source = "Rendle et al., UAI 2009"
    config: PairwiseHyperparameters
    Config = CollaborativeConfig
    backbone_name: ClassVar[str] = "mf"  # not `name`: a class derived from it has another
    profiles: ClassVar = {"paper": {}, "lecture": {**LECTURE, "l2": 0.1}}

    def __init__(self, split: Split, config: PairwiseHyperparameters, seed: int):
        super().__init__(split, config, seed)
        self.batches = PairBatches(split, config.batch_size)
        self.backbone = make_backbone(self.backbone_name, split, config.dim, **self._graph_options(config))

    def _graph_options(self, config: Any) -> dict[str, Any]:
        return {}

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return users (U, d) and items (I, d)."""
        return self.backbone()

    def stages(self) -> list[Stage]:
        """One stage: BPR with L2."""
        return [pairwise_stage(self)]

    def loss(self, batch: Triples) -> dict[str, Tensor]:
        """Return the terms `bpr` and `l2` of one batch."""
        scores = pair_scores(*self.vectors(), batch)
        return {"bpr": bpr_loss(*scores), "l2": batch_l2(self.backbone, batch, self.config.l2)}

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return `id`, the item embeddings, and `final`, what is scored: (I, d) each."""
        with self.scoring():
            return {"id": self.backbone.item.detach().clone(), "final": self.vectors()[1].clone()}


def pair_scores(user: Tensor, item: Tensor, batch: Triples) -> tuple[Tensor, Tensor]:
    """Inner products of a batch's users with their positives and negatives: (U, d), (I, d) -> (B,), (B,)."""
    positive = (user[batch.users] * item[batch.positives]).sum(1)
    negative = (user[batch.users] * item[batch.negatives]).sum(1)
    return positive, negative


def batch_l2(backbone: Backbone, batch: Triples, weight: float) -> Tensor:
    """Half the squared length of the batch's ID embeddings per triple, times its weight -> scalar."""
    if weight == 0:  # the term's gradient would be as large as the embedding tables, and all zeros
        return backbone.user.new_zeros(())
    rows = backbone.user[batch.users], backbone.item[batch.positives], backbone.item[batch.negatives]
    return weight * embedding_l2(*rows)


class NGCF(MF):
    """Neural graph collaborative filtering."""

    name = "ngcf"
    summary = "graph convolution with weights and neighbour products"
    source = "Wang et al., SIGIR 2019"
    Config = NGCFConfig
    backbone_name: ClassVar[str] = "ngcf"
    profiles: ClassVar = {"paper": {}, "lecture": {**LECTURE, "l2": 0.03}}

    def _graph_options(self, config: NGCFConfig) -> dict[str, Any]:
        names = ("layers", "graph", "dropout", "pool")
        return {name: getattr(config, name) for name in names}


class LightGCN(MF):
    """Graph convolution reduced to the mean of neighbours."""

    name = "lightgcn"
    summary = "graph convolution without weights: means over the user-item graph"
    source = "He et al., SIGIR 2020"
    Config = GraphConfig
    backbone_name: ClassVar[str] = "lightgcn"
    profiles: ClassVar = {"paper": {}, "lecture": {**LECTURE, "l2": 0.03}}

    def _graph_options(self, config: GraphConfig) -> dict[str, Any]:
        return {"layers": config.layers, "graph": config.graph}
