"""MICRO: latent structure mining with contrastive modality fusion, in the order of the paper."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.splits import Split
from mmrec_lite.graphs import knn_graph, mix_graphs, normalize_graph, propagate, transpose_graph
from mmrec_lite.losses import bpr_loss, micro_contrast
from mmrec_lite.methods.backbones import batch_l2, make_backbone
from mmrec_lite.methods.base import (
    Modalities,
    PairwiseHyperparameters,
    Stage,
    VectorMethod,
    chosen_features,
    pairwise_stage,
)
from mmrec_lite.nn import AttentionFusion, ModulesByName
from mmrec_lite.ops import multiplies_bfloat16, unit_rows

__all__ = ["MICRO", "MICROConfig"]


class MICROConfig(PairwiseHyperparameters):
    """MICRO's settings. Source of the defaults: MICRO 4.1.4; the rate's decay is the released program's.

    The paper starts all weights with Xavier's; here the IDs alone, linear layers have PyTorch's own start.
    """

    modalities: Modalities = Field(None, description="features to use; default: all the data set has")
    variant: Literal["full", "w/o contrast", "micro/feats", "cf+feats", "cf"] = Field(
        "full", description="MICRO, or one of the ablations of Table 5"
    )
    backbone: Literal["lightgcn", "ngcf", "mf"] = Field("lightgcn", description="the method that models interactions")
    k: int = Field(10, ge=1, description="neighbours kept per item and modality")
    lam: float = Field(0.7, ge=0, le=1, description="lambda, the share of the raw graph in Eq. 5, 0 to 1")
    layers: int = Field(1, ge=0, description="L, propagation layers on the item graphs")
    beta: float = Field(0.03, ge=0, description="weight of the contrastive loss in Eq. 16")
    temperature: float = Field(0.5, gt=0, description="tau of Eq. 11-12")
    symmetric: bool = Field(True, description="both directions of Eq. 10; False: view to fused alone, as released")
    negatives: int | None = Field(None, ge=1, description="items drawn for the contrast; default: all items")
    contrast_precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="arithmetic of the contrast; 'bfloat16' where the processor multiplies it"
    )
    rebuild: Literal["epoch", "batch"] = Field("epoch", description="how often the learned graph is rebuilt")
    self_loops: bool = Field(True, description="an item is one of its own k neighbours, as released")
    search: Literal["exact", "approximate"] = Field(
        "exact", description="of the k nearest items; 'approximate' for catalogues beyond some 100,000 items"
    )
    norm: Literal["sym", "row"] = Field("sym", description="normalisation of the item graphs (Eq. 3)")
    cf_layers: int = Field(2, ge=0, description="propagation layers of the backbone")
    cf_graph: Literal["sym", "row+self"] = Field("sym", description="'row+self' is D^-1 (A + I), as released")


class MICRO(VectorMethod):
    """Item graphs from each modality's features, a fused item vector from them, added to a CF method's.

    `split.dataset` must have at least one modality. Missing modalities of an item (`dataset.present`) get no edges,
    no attention and no part in the contrast.
    """

    name = "micro"
    summary = "item graphs mined from content, fused by attention under a contrastive loss"
    source = "Zhang et al., TKDE 2022"
    config: MICROConfig
    Config = MICROConfig
    profiles: ClassVar = {
        "paper": {},
        "lecture": {"lr": 5e-3, "l2": 0.03, "epochs": 60, "patience": 10, "negatives": 256},
    }

    def __init__(self, split: Split, config: MICROConfig, seed: int):
        super().__init__(split, config, seed)
        data = split.dataset
        needed = config.variant != "cf"
        self.modalities = chosen_features(self.name, data, config.modalities, "variant='cf'", needed)
        self.batches = PairBatches(split, config.batch_size)
        self.backbone = make_backbone(config.backbone, split, config.dim, config.cf_layers, config.cf_graph)
        self.mined = config.variant not in ("cf", "cf+feats")
        self.forget()  # nothing is kept yet
        if config.variant == "cf":
            return
        self.fusion = AttentionFusion(config.dim)
        self.transform = ModulesByName()
        for name in self.modalities:
            features = torch.from_numpy(data.dense(name))
            self.register_buffer(f"features_{name}", features, persistent=False)
            self.register_buffer(f"present_{name}", torch.tensor(data.present[name]), persistent=False)
            if self.mined and config.lam > 0:
                self.register_buffer(f"raw_{name}", self._graph(features), persistent=False)
            self.transform[name] = nn.Linear(features.shape[1], config.dim)

    # Section 3.1: latent structures -----------------------------------------------------------------------------

    def _graph(self, features: Tensor) -> Tensor:
        """Eq. 1-3: the normalised graph of each item's k nearest by features (I, d_m) -> CSR (I, I)."""
        c = self.config
        return normalize_graph(knn_graph(features, c.k, c.self_loops, c.search), c.norm)

    def transformed(self, name: str) -> Tensor:
        """Eq. 4: a modality's features as learned vectors (I, d); items without the modality get zeros."""
        features = self.transform[name](getattr(self, f"features_{name}"))
        return features * getattr(self, f"present_{name}")[:, None]

    def item_graph(self, name: str) -> Tensor:
        """Eq. 5: the raw and the learned graph of a modality mixed by lambda -> CSR (I, I)."""
        lam = self.config.lam
        learned = self._graph(self.transformed(name)) if lam < 1 else None
        return mix_graphs(getattr(self, f"raw_{name}") if lam > 0 else learned, learned, lam)

    def _current_graph(self, name: str) -> tuple[Tensor, Tensor | None]:
        """Return a modality's graph and its transpose, rebuilt as often as `rebuild` says.

        With "epoch" the first batch gets a graph with gradient, the others the same graph without, as released.
        """
        if name in self._kept:
            return self._kept[name]
        graph = self.item_graph(name)
        if self.config.lam == 1 or self.config.rebuild == "epoch":
            with torch.no_grad():
                constant = graph.detach()
                self._kept[name] = constant, transpose_graph(constant)
        return (graph, None) if graph.requires_grad else (graph, transpose_graph(graph))

    def _forget_graphs(self, epoch: int = 0) -> None:
        if self.config.lam < 1:
            self._kept = {}

    def forget(self) -> None:
        """Drop the learned graphs as well; they are rebuilt with the weights of the moment."""
        super().forget()
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}  # this epoch's graphs without gradient, and transposed
        self._complete: bool | None = None  # whether every item has every modality; asking a GPU makes the host wait

    # Sections 3.2 and 3.3.1: propagation and fusion ---------------------------------------------------------------

    def views(self) -> Tensor:
        """Eq. 6: every modality's item vectors (M, I, d)."""
        out = []
        for name in self.modalities:
            if self.config.variant in ("micro/feats", "cf+feats"):
                start = self.transformed(name)
            else:
                start = self.backbone.item
            if self.mined:
                graph, transpose = self._current_graph(name)
                start = propagate(graph, start, self.config.layers, "last", transpose)
            out.append(start)
        return torch.stack(out)

    def fuse(self) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 7-9: views (M, I, d), fused item vectors (I, d) and attention weights (M, I)."""
        views = self.views()
        return views, *self.fusion(views, self._present())

    def _present(self) -> Tensor | None:
        """Which item has which modality, (M, I) bool; None if none is missing."""
        present = torch.stack([getattr(self, f"present_{name}") for name in self.modalities])
        if self._complete is None:
            self._complete = bool(present.all())
        return None if self._complete else present

    # Sections 3.3.2 to 3.5: contrast, prediction, loss ------------------------------------------------------------

    def contrast(self, views: Tensor, fused: Tensor) -> Tensor:
        """Eq. 10-12 over the items that have the modality -> scalar."""
        c = self.config
        options = {
            "temperature": c.temperature,
            "symmetric": c.symmetric,
            "negatives": c.negatives,
            "dtype": self._contrast_dtype(fused.device),
        }
        present = self._present()
        if present is None:
            return micro_contrast(views, fused, **options)
        pairs = [(view[has], fused[has]) for view, has in zip(views, present, strict=True) if has.any()]
        if not pairs:  # every item of the catalogue lacks every modality: nothing to contrast
            return views.sum() * 0
        return torch.stack([micro_contrast(*pair, **options) for pair in pairs]).mean()

    _told_of_precision = False

    def _contrast_dtype(self, device: torch.device) -> torch.dtype | None:
        """Arithmetic other than that of the vectors; None for theirs."""
        if self.config.contrast_precision == "float32":
            return None
        if multiplies_bfloat16(device.type):
            return torch.bfloat16
        if not self._told_of_precision:  # once a model: Python forgets between epochs what it has shown
            self._told_of_precision = True
            warnings.warn(
                "micro: contrast_precision='bfloat16', but this processor has no unit for 16-bit products, which would "
                "take many times as long; the contrast is computed in 32 bits.",
                stacklevel=2,
            )
        return None

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Eq. 13: users (U, d) and items (I, d), whose inner product is the score (Eq. 14)."""
        user, item = self.backbone()
        if self.config.variant == "cf":
            return user, item
        return user, (item + unit_rows(self.fuse()[1])).to(user.dtype)

    def loss(self, batch: Triples) -> dict[str, Tensor]:
        """Eq. 15-16: the terms `bpr`, `contrast` (times beta) and `l2` of one batch."""
        c = self.config
        user, item = self.backbone()
        terms = {}
        if c.variant != "cf":
            views, fused, _ = self.fuse()
            item = item + unit_rows(fused)
            if c.variant in ("full", "micro/feats") and c.beta > 0:
                terms["contrast"] = c.beta * self.contrast(views, fused)
        u = user[batch.users]
        scores = [(u * item[chosen]).sum(1) for chosen in (batch.positives, batch.negatives)]
        return {"bpr": bpr_loss(*scores), **terms, "l2": batch_l2(self.backbone, batch, c.l2)}

    def stages(self) -> list[Stage]:
        """One stage: everything together."""
        decay = {"lr_decay": lambda epoch: 0.96 ** (epoch / 50)}
        return [dataclasses.replace(pairwise_stage(self, "joint"), begin_epoch=self._forget_graphs, **decay)]

    # What a notebook looks at -------------------------------------------------------------------------------------

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return item representations (I, d): `id`, one a modality, `fused` and `final`."""
        with self.scoring():
            out = {"id": self.backbone.item.detach().clone(), "final": self.vectors()[1].detach().clone()}
        if self.config.variant != "cf":
            views, fused, _ = self.fuse()
            out |= dict(zip(self.modalities, views, strict=True)) | {"fused": fused}
        return out

    @torch.no_grad()
    def modality_weights(self, users: Sequence[int] | None = None, items: Sequence[int] | None = None) -> Tensor:
        """Return the attention of Eq. 8, (items, M) in the order of `modalities`; the same for every user.

        Raises ``ValueError`` for variant="cf", which reads no content.
        """
        if self.config.variant == "cf":
            raise ValueError("micro: variant='cf' has no modality weights: it reads interactions alone.")
        weights = self.fuse()[2].T
        return weights if items is None else weights[torch.as_tensor(items, device=weights.device)]

    @torch.no_grad()
    def item_graphs(self, name: str) -> dict[str, Tensor]:
        """Return a modality's graphs `raw`, `learned` and `mixed`, CSR (I, I) each.

        Raises ``ValueError`` for the variants "cf" and "cf+feats", which mine none.
        """
        if not self.mined:
            raise ValueError(f"micro: variant={self.config.variant!r} has no item graphs; take variant='full'.")
        features = getattr(self, f"features_{name}")
        return {
            "raw": self._graph(features),
            "learned": self._graph(self.transformed(name)),
            "mixed": self.item_graph(name),
        }
