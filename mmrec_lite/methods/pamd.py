"""PAMD: pre-trained modality-disentangled item representations, in the order of the paper."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from mmrec_lite import parallel
from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.splits import Split
from mmrec_lite.losses import bpr_loss, cosine_gap, disentangle_loss, gap, order_loss, pointwise_loss
from mmrec_lite.methods.backbones import batch_l2, make_backbone
from mmrec_lite.methods.base import MONITOR, Method, Modalities, PairwiseHyperparameters, Stage
from mmrec_lite.nn import CrossModalMap, DisentangledEncoder, ModulesByName
from mmrec_lite.nn.heads import AttentionHead, Head, make_head
from mmrec_lite.ops import standardized

__all__ = ["PAMD", "PAMDConfig"]

# The terms each variant pre-trains; the representations each recommends with, where these are not common and specific.
TERMS = dict.fromkeys(("full", "w/o specific", "w/o common"), ("align", "orthogonal", "order"))
TERMS |= {"pamd-con": ("align", "orthogonal", "gap"), "en only": ("align", "orthogonal"), "de only": ("order",)}
KINDS = {"w/o specific": ("common",), "w/o common": ("specific",), "features": ("primitive",), "cf": ()}


class PAMDConfig(PairwiseHyperparameters):
    """PAMD's settings. Source of the defaults: PAMD 5.4; what it leaves open is the released program's.

    Six defaults are not the paper's. As released: Adam for pre-training (the paper: SGD, `pretrain_optimizer`), and
    `lr` 1e-3 for embeddings and head (the paper: 1e-4, which the encoders have). Ours: a Xavier start (the paper:
    U(0, 1), the program: N(0, 1), `init`), `standardize`, `order` bounded and `anchors` detached.
    """

    modalities: Modalities = Field(None, description="the two features to part; default: the data set's first two")
    variant: Literal[
        "full", "w/o specific", "w/o common", "pamd-con", "en only", "de only", "w/o pre-training", "features", "cf"
    ] = Field(
        "full", description="PAMD, an ablation of Tables 3-5, encoders without parting ('features'), or IDs alone"
    )
    base: Literal["bpr", "bpr++", "nfm++", "neumf++", "lightgcn++"] = Field(
        "bpr", description="what the representations are plugged into; 'bpr' is PAMD's own, with attention"
    )
    dim: int = Field(150, ge=1, description="width of all representations and embeddings")
    standardize: bool = Field(
        True, description="features to mean 0, variance 1 a column: unit-length ones saturate Eq. 10 at once"
    )
    depth: int = Field(2, ge=1, description="linear layers of every MLP; 1 is the released plain linear map")
    order: Literal["bounded", "printed", "infonce"] = Field("bounded", description="form of Eq. 10")
    temperature: float = Field(0.5, gt=0, description="of order='infonce'")
    anchors: Literal["detached", "attached", "raw"] = Field(
        "detached", description="what Eq. 5, 8 and 9 map to: primitive representations, or features ('raw', released)"
    )
    pretrain_epochs: int = Field(100, ge=0, description="epochs of pre-training; the paper gains little after 100")
    pretrain_lr: float = Field(1e-3, gt=0, description="learning rate of pre-training")
    pretrain_batch_size: int = Field(100, ge=1, description="items a step of pre-training")
    pretrain_optimizer: Literal["adam", "sgd"] = Field("adam", description="'sgd' is the paper's, 'adam' the released")
    query: Literal["item", "user"] = Field("item", description="whose embedding asks in Eq. 12; 'user' as released")
    scaled: bool = Field(True, description="attention over 1 / sqrt(d); False as released")
    objective: Literal["pairwise", "pointwise"] = Field("pairwise", description="BPR, or the released cross-entropy")
    init: Literal["xavier", "uniform", "normal"] = Field(
        "xavier", description="start of user and item embeddings; the paper's is uniform (0, 1), the released N(0, 1)"
    )
    cf_layers: int = Field(2, ge=0, description="propagation layers of base='lightgcn++'")
    lr: float = Field(1e-3, gt=0, description="learning rate of embeddings and head")
    encoder_lr: float = Field(1e-4, ge=0, description="learning rate of the encoders' fine-tuning; 0 freezes them")
    l2: float = Field(1e-5, ge=0, description="weight of the squared embeddings of a batch")
    weight_decay: float = Field(
        0.0, ge=0, description="the optimiser's, on all weights in both stages; 1e-5 as released, where there is no l2"
    )
    batch_size: int = Field(100, ge=1, description="training pairs a step")
    monitor: str = Field(
        "recall@10", pattern=MONITOR, description="validation metric of early stopping, such as ndcg@10"
    )


class PAMD(Method):
    """Encoders that part two modalities into common and specific, pre-trained on the items, then BPR with attention.

    Pre-training sees the items that have both modalities, and no interactions. A representation that an item lacks
    (`dataset.present`) is zero and gets no attention.
    """

    name = "pamd"
    summary = "two modalities parted into common and specific, pre-trained, weighed by attention"
    source = "Han et al., WWW 2022"
    config: PAMDConfig
    Config = PAMDConfig
    profiles: ClassVar = {
        "paper": {},
        "lecture": {
            "dim": 64,
            "pretrain_epochs": 20,
            "lr": 1e-2,
            "l2": 0.1,
            "encoder_lr": 0.0,
            "batch_size": 1024,
            "epochs": 120,
            "patience": 15,
        },
    }
    pretrained = ("encoder.", "maps.")
    pretrains_on_split: ClassVar[bool] = False

    def __init__(self, split: Split, config: PAMDConfig, seed: int):
        super().__init__(split, config, seed)
        data = split.dataset
        self.modalities = _modalities(split, config)
        self.terms = TERMS.get(config.variant, ())
        self.kinds = KINDS.get(config.variant, ("common", "specific"))
        self.representations = tuple(f"{name} {kind}" for kind in self.kinds for name in self.modalities)
        self.encoder, self.maps = ModulesByName(), ModulesByName()
        for name in self.modalities:
            features, present = torch.from_numpy(data.dense(name)), torch.tensor(data.present[name])
            features = standardized(features, present) if config.standardize else features
            self.register_buffer(f"features_{name}", features, persistent=False)
            self.register_buffer(f"present_{name}", present, persistent=False)
            parted = config.variant != "features"
            self.encoder[name] = DisentangledEncoder(features.shape[1], config.dim, config.depth, parted)
        if {"order", "gap"} & set(self.terms):
            for here, there in self._directions():
                width = getattr(self, f"features_{there}").shape[1] if config.anchors == "raw" else config.dim
                self.maps[here] = CrossModalMap(config.dim, width, config.depth)
        graph = "lightgcn" if config.base == "lightgcn++" else "mf"
        self.backbone = make_backbone(graph, split, config.dim, config.cf_layers)
        for embedding in (self.backbone.user, self.backbone.item):
            if config.init != "xavier":
                (nn.init.uniform_ if config.init == "uniform" else nn.init.normal_)(embedding)
        self.head = self._make_head()
        self.batches = PairBatches(split, config.batch_size)
        self.register_buffer("complete", self._complete_items(), persistent=False)
        self._kept: tuple[Tensor, tuple[Tensor, ...]] | None = None
        self._frozen: Tensor | None = None

    # Section 4.1: the disentangled encoder ------------------------------------------------------------------------

    def parts(self, name: str, items: Tensor | None = None) -> dict[str, Tensor]:
        """Eq. 1-2: a modality's `primitive`, `common` and `specific` representations of some items or all, (B, d).

        Zero where an item lacks the modality.
        """
        features, present = getattr(self, f"features_{name}"), getattr(self, f"present_{name}")
        if items is not None:
            features, present = features[items], present[items]
        return {kind: part * present[:, None] for kind, part in self.encoder[name](features).items()}

    # Section 4.2: contrastive learning ----------------------------------------------------------------------------

    def _directions(self) -> tuple[tuple[str, str], tuple[str, str]]:
        a, b = self.modalities
        return (a, b), (b, a)

    def anchor(self, name: str, parts: dict[str, Tensor], items: Tensor) -> Tensor:
        """What is mapped to this modality is compared with this: (B, d), or (B, d_m) with raw anchors."""
        if self.config.anchors == "raw":
            return getattr(self, f"features_{name}")[items]
        return parts["primitive"].detach() if self.config.anchors == "detached" else parts["primitive"]

    def mapped(self, items: Tensor, parts: dict[str, dict[str, Tensor]]) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Eq. 4, 6, 7: for both directions the anchor and what each part becomes on the other side."""
        for here, there in self._directions():
            outputs = self.maps[here](torch.cat(list(parts[here].values()))).chunk(len(parts[here]))
            yield self.anchor(there, parts[there], items), dict(zip(parts[here], outputs, strict=True))

    def gaps(self, items: Tensor, parts: dict[str, dict[str, Tensor]] | None = None) -> dict[str, Tensor]:
        """Eq. 5, 8, 9: L_c, L_p and L_s as `common`, `primitive` and `specific`, both directions added -> scalars."""
        both = list(self.mapped(items, parts or {name: self.parts(name, items) for name in self.modalities}))
        return {kind: sum(gap(target, out[kind]) for target, out in both) for kind in both[0][1]}

    def order(self, items: Tensor, parts: dict[str, dict[str, Tensor]]) -> Tensor:
        """Eq. 10 -> scalar. The released form compares cosines item by item, each direction on its own."""
        c = self.config
        ranks = ("common", "primitive", "specific")
        if c.order != "infonce":
            gaps = {kind: parallel.mean(value) for kind, value in self.gaps(items, parts).items()}  # Eq. 10 bends
            return order_loss(*(gaps[kind] for kind in ranks), form=c.order)
        cosines = ([cosine_gap(target, out[kind]) for kind in ranks] for target, out in self.mapped(items, parts))
        return sum(order_loss(*gaps, form="infonce", temperature=c.temperature) for gaps in cosines)

    # Section 4.3: pre-training and recommendation -----------------------------------------------------------------

    def _complete_items(self) -> Tensor:
        """The items that pre-training learns from: those with both modalities; none if the variant has no terms."""
        if not self.terms:
            return torch.empty(0, dtype=torch.int64)
        present = torch.stack([getattr(self, f"present_{name}") for name in self.modalities])
        complete = present.all(dim=0).nonzero().squeeze(1)
        if not len(complete):
            names = " and ".join(self.modalities)
            warnings.warn(f"pamd: no item has both {names}: stage 'pretrain' has no data and is left out", stacklevel=4)
        return complete

    def pretrain_batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield one epoch's items in random order, (B,) int64 at a time."""
        order = torch.randperm(len(self.complete), generator=generator).to(self.device)
        yield from self.complete[order].split(self.config.pretrain_batch_size)

    def pretrain_loss(self, items: Tensor) -> dict[str, Tensor]:
        """Eq. 11 (PAMD-CON: Eq. 14): the variant's terms among `align`, `orthogonal`, `order` and `gap`."""
        parts = {name: self.parts(name, items) for name in self.modalities}
        a, b = parts.values()
        terms = (
            disentangle_loss(a["common"], b["common"], a["specific"], b["specific"]) if "align" in self.terms else {}
        )
        if "order" in self.terms:
            terms["order"] = self.order(items, parts)
        if "gap" in self.terms:
            terms["gap"] = self.gaps(items, parts)["common"]
        return terms

    def content(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """The representations some items are recommended by, (B, K, d), and which of them an item has, (B, K)."""
        if not self.kinds:
            return self.backbone.item.new_zeros(len(items), 0, self.config.dim), items.new_zeros(len(items), 0).bool()
        if self.config.encoder_lr > 0:
            views = self._views(items)
        else:  # encoders that stay as they are: each item is encoded once an epoch
            self._frozen = self._encode_all() if self._frozen is None else self._frozen
            views = self._frozen[items]
        present = torch.stack([getattr(self, f"present_{name}")[items] for name in self.modalities], dim=1)
        return views, present.repeat(1, len(self.kinds))

    def _views(self, items: Tensor) -> Tensor:
        parts = [self.parts(name, items) for name in self.modalities]
        return torch.stack([part[kind] for kind in self.kinds for part in parts], dim=1)

    @torch.no_grad()
    def _encode_all(self) -> Tensor:
        return torch.cat([self._views(part) for part in torch.arange(self.n_items, device=self.device).split(4096)])

    def _make_head(self) -> Head:
        """Eq. 12-13, or the model that the representations are plugged into (section 5.8)."""
        c = self.config
        if c.base == "bpr":
            return AttentionHead(c.query, c.scaled)
        return make_head(c.base, self.n_users, self.n_items, c.dim, len(self.representations))

    def recommend_loss(self, batch: Triples) -> dict[str, Tensor]:
        """The terms `bpr` and `l2` of one batch; an item that occurs several times is encoded once."""
        user, item = self.backbone()
        drawn = batch.on_host
        different = torch.cat([drawn.positives, drawn.negatives]).unique(return_inverse=True)
        index, place = (self.here(part) for part in different)
        side = self.head.items(index, item[index], *self.content(index))
        users = self.head.users(batch.users, user[batch.users])
        scores = [self.head.pairs(users, tuple(part[half] for part in side)) for half in place.chunk(2)]
        loss = (bpr_loss if self.config.objective == "pairwise" else pointwise_loss)(*scores)
        return {"bpr": loss, "l2": batch_l2(self.backbone, batch, self.config.l2)}

    def stages(self) -> list[Stage]:
        """`pretrain` on the items' content, then `recommend` on the interactions."""
        c, out, decay = self.config, [], {"weight_decay": self.config.weight_decay}
        if len(self.complete):
            weights = [*self.encoder.parameters(), *self.maps.parameters()]
            groups = [{"params": weights, "lr": c.pretrain_lr, **decay}]
            how = {"optimizer": c.pretrain_optimizer, "n_batches": -(-len(self.complete) // c.pretrain_batch_size)}
            work = (self.pretrain_batches, self.pretrain_loss, groups, c.pretrain_epochs, None)
            out.append(Stage("pretrain", *work, **how))
        groups = [{"params": [*self.backbone.parameters(), *self.head.parameters()], "lr": c.lr, **decay}]
        if c.encoder_lr > 0 and self.kinds:
            groups.append({"params": list(self.encoder.parameters()), "lr": c.encoder_lr, **decay})
        work = (self.batches, self.recommend_loss, groups, c.epochs, c.monitor, c.patience)
        return [*out, Stage("recommend", *work, n_batches=len(self.batches))]

    def pretraining_settings(self) -> dict[str, Any]:
        """Return what pre-training depends on; base, query, objective and all of the second stage may differ."""
        names = ("dim", "standardize", "depth", "order", "temperature", "anchors", "pretrain_epochs", "pretrain_lr")
        names += ("pretrain_batch_size", "pretrain_optimizer", "weight_decay")
        own = {name: getattr(self.config, name) for name in names}
        return {"modalities": sorted(self.modalities), "terms": list(self.terms), **own}

    # Ranking ------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Drop both sides, and what frozen encoders made of the items."""
        super().forget()
        self._kept = self._frozen = None

    def sides(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The users' embeddings (U, d) and the head's side of all items, with gradient."""
        user, item = self.backbone()
        index = torch.arange(self.n_items, device=self.device)
        return user, self.head.items(index, item, *self.content(index))

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Score every item for some users. Shapes: (B,) int64 -> (B, I)."""
        self.eval()
        if self._kept is None:
            self._kept = self.sides()
        user, items = self._kept
        users = users.to(user.device)
        return self.head.table(self.head.users(users, user[users]), items)

    # What a notebook looks at -------------------------------------------------------------------------------------

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return item vectors (I, d): `id`, "<modality> <primitive, common or specific>" and `final`, what is matched.

        `final` is missing where no single vector stands for an item: query="user", nfm++, neumf++.
        """
        out = {"id": self.backbone.item.detach().clone()}
        for name in self.modalities:
            out |= {f"{name} {kind}": part for kind, part in self.parts(name).items()}
        return out | ({"final": self.sides()[1][0].clone()} if self.head.vectors else {})

    @torch.no_grad()
    def modality_weights(self, users: Sequence[int] | None = None, items: Sequence[int] | None = None) -> Tensor:
        """Return the attention of Eq. 12, (n, K) in the order of `representations`.

        query="item": one row for each of `items` (default: all), the same for every user. query="user": one row for
        each pair (users[j], items[j]). Raises ``ValueError`` without attention or without the pairs' users.
        """
        c = self.config
        if c.base != "bpr" or not self.kinds:
            raise ValueError(f"pamd with base={c.base!r}, variant={c.variant!r} has no attention; take base='bpr'.")
        index = torch.arange(self.n_items) if items is None else torch.tensor(np.asarray(items))
        index = index.to(self.device)
        query = self.backbone.item[index]
        if c.query == "user":
            if users is None or len(users) != len(index):
                raise ValueError("pamd with query='user' weighs pairs: give as many users as items.")
            query = self.backbone.user[torch.tensor(np.asarray(users), device=self.device)]
        return self.head.attention.weights(query, *self.content(index))


def _modalities(split: Split, config: PAMDConfig) -> tuple[str, ...]:
    """The two modalities to part, or ``ValueError`` that says what is missing and which variant does without."""
    data, variant = split.dataset, config.variant
    if variant == "cf":
        return ()
    names = data.check_modalities(data.modalities[:2] if config.modalities is None else config.modalities)
    if len(names) == 2 or (variant == "features" and names):
        return names
    has = ", ".join(map(repr, names)) or "none"
    kind = f"data set {data.name!r} has" if config.modalities is None else "chosen are"
    raise ValueError(
        f"pamd parts two different modalities into what they share and what they do not, but {kind}: {has}. Add "
        f"features when reading the data (features={{'image': ..., 'text': ...}}), or take variant='features', which "
        f"works with one modality, or variant='cf', which needs none."
    )
