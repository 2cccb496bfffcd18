"""MCPTR's encoders: a graph, frozen features, and the attention that makes one vector of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmrec_lite.graphs import propagate, transpose_graph
from mmrec_lite.nn.named import ModulesByName
from mmrec_lite.ops import masked_softmax, unit_rows

__all__ = ["GraphEncoder", "ModalAttentionPool", "ModalEncoder", "principal_features"]


class GraphEncoder(nn.Module):
    """A trainable vector a node, averaged over the layers of a propagation without weights.

    Source: MCPTR Eq. 1-2, 5 and 9. The normalisation is the graph's (``graphs.normalize_graph``, "row_sqrt" as
    printed).
    """

    def __init__(self, graph: Tensor, dim: int, layers: int):
        super().__init__()
        self.layers = layers
        self.nodes = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.shape[0], dim)))
        self.register_buffer("graph", graph, persistent=False)
        self.register_buffer("transpose", transpose_graph(graph), persistent=False)

    def forward(self) -> Tensor:
        """Return the nodes' vectors (N, d)."""
        return propagate(self.graph, self.nodes, self.layers, "mean", self.transpose)


class ModalAttentionPool(nn.Module):
    """Map each modality to one space and add them up, weighed by a softmax over ReLU(a^T e').

    The ReLU makes all modalities with a^T e' <= 0 equal: they share what the others leave, and a gets no gradient
    through them.

    Source: MCPTR Eq. 6-8 (users) and 12-14 (items).
    """

    def __init__(self, widths: Mapping[str, int], dim: int):
        super().__init__()
        self.project = ModulesByName({name: nn.Linear(width, dim) for name, width in widths.items()})
        self.attention = nn.Parameter(torch.randn(dim) / dim**0.5)

    def projected(self, views: Mapping[str, Tensor]) -> Tensor:
        """Eq. 6 and 12: every modality's vectors (N, d_m) in the common space -> (M, N, d)."""
        return torch.stack([layer(views[name]) for name, layer in self.project.items()])

    def forward(self, views: Mapping[str, Tensor], present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pool M modalities.

        Shapes: views name -> (N, d_m), present (M, N) bool or None (an absent modality gets weight 0; a row without
        any gets a zero vector) -> pooled (N, d), weights (M, N), which add up to 1 over the present modalities.
        """
        common = self.projected(views)
        importance = torch.relu(common @ self.attention)
        weights = masked_softmax(importance, present, dim=0)
        return torch.einsum("mn,mnd->nd", weights, common), weights


class ModalEncoder(nn.Module):
    """All that is known of one side, the users or the items, made one vector each.

    `features` are frozen vectors by modality, (N, d_m) with their `present` (N,) bool; `graph` is a normalised graph
    (N, N) with the nodes that took part in training, (N,) bool. With `adapter_dim`, a trainable linear map to that
    width stands on every feature, the identity at first where the widths agree: frozen encoders leave the
    alignment (MCPTR Eq. 11) nothing to train. A side of which nothing is known gets a free vector each.
    """

    def __init__(
        self,
        features: Mapping[str, tuple[Tensor, Tensor]],
        graph: tuple[Tensor, Tensor] | None,
        size: int,
        dim: int,
        layers: int = 2,
        adapter_dim: int | None = None,
    ):
        super().__init__()
        self.frozen = tuple(features)
        self.modalities = self.frozen + (("graph",) if graph is not None else ())
        self.known = {name: present for name, (_, present) in features.items()}  # the same on the CPU, wherever it runs
        self.adapters = ModulesByName()
        widths = {}
        for name, (vectors, present) in features.items():
            self.register_buffer(f"features_{name}", vectors, persistent=False)
            self.register_buffer(f"present_{name}", present, persistent=False)
            if adapter_dim is not None:
                self.adapters[name] = nn.Linear(vectors.shape[1], adapter_dim)
                if vectors.shape[1] == adapter_dim:
                    nn.init.eye_(self.adapters[name].weight)
                    nn.init.zeros_(self.adapters[name].bias)
            widths[name] = vectors.shape[1] if adapter_dim is None else adapter_dim
        if graph is not None:
            self.graph = GraphEncoder(graph[0], dim, layers)
            self.register_buffer("present_graph", graph[1], persistent=False)
            widths["graph"] = dim
        if widths:
            self.pool = ModalAttentionPool(widths, dim)
        else:
            self.free = nn.Parameter(nn.init.xavier_uniform_(torch.empty(size, dim)))

    def views(self, rows: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Return each modality's vectors before the pool, name -> (R, d_m), for some rows."""
        out = {}
        for name in self.frozen:
            out[name] = self.view(name, rows)
        if "graph" in self.modalities:
            out["graph"] = self.graph()[rows]
        return out

    def view(self, name: str, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return one feature's vectors before the pool (R, d_m)."""
        vectors = getattr(self, f"features_{name}")[rows]
        return self.adapters[name](vectors) if name in self.adapters else vectors

    def present(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return who has which modality, (M, R) bool."""
        return torch.stack([getattr(self, f"present_{name}")[rows] for name in self.modalities])

    def forward(
        self, rows: Tensor | slice = slice(None), views: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return vectors (R, d) and the modalities' weights (M, R) for some rows; `views` if they are at hand."""
        if not self.modalities:
            vectors = self.free[rows]
            return vectors, vectors.new_zeros(0, len(vectors))
        return self.pool(self.views(rows) if views is None else views, self.present(rows))


@torch.no_grad()
def principal_features(features: Sequence[Tensor], present: Tensor, dim: int) -> Tensor:
    """Make one short vector a row of frozen features: their mean, on its principal axes.

    Rows are brought to length 1 first. Features of one width are taken for vectors of one space and averaged over
    what is present; others are set side by side.

    Shapes: features M x (N, d_m), present (M, N) bool -> (N, dim), centred, zero for a row without any feature and in
    the columns that a width below `dim` leaves over. The axes come from a randomised decomposition.

    Source: MCPTR appendix B, baseline CLIP (average pooling of image and text). Differs: brought to `dim`, since the
    recommender's vectors are shorter than CLIP's.
    """
    units = [unit_rows(vectors) for vectors in features]
    one_space = len({unit.shape[1] for unit in units}) == 1
    joined = torch.stack(units).sum(dim=0) if one_space else torch.cat(units, dim=1)
    known = present.any(dim=0)
    joined = joined[known] / present[:, known].sum(dim=0)[:, None]
    axes = torch.pca_lowrank(joined, q=min(dim, *joined.shape), niter=4)[2]
    out = joined.new_zeros(len(known), dim)
    out[known, : axes.shape[1]] = (joined - joined.mean(dim=0)) @ axes
    return out
