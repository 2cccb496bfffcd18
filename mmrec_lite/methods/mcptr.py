"""MCPTR: multi-modal contrastive pre-training of user and item vectors, then LightGCN with MixGCF from there."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmrec_lite import parallel
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.batches import PairBatches, Triples
from mmrec_lite.data.reviews import mean_reviews
from mmrec_lite.data.splits import Split
from mmrec_lite.graphs import cooccurrence_graph, normalize_graph
from mmrec_lite.losses import cima_loss, interaction_bce
from mmrec_lite.methods.backbones import make_backbone
from mmrec_lite.methods.base import Modalities, PairwiseHyperparameters, Stage, VectorMethod
from mmrec_lite.nn import ModalEncoder, hop_layers, mixgcf_loss, principal_features

__all__ = ["MCPTR", "MCPTRConfig"]

LETTERS = {"R": "reviews", "T": "text", "V": "image", "G": "graph"}  # Figure 3's names


class MCPTRConfig(PairwiseHyperparameters):
    """MCPTR's settings. Source of the defaults: MCPTR 4.1.4, and MixGCF's released program for fine-tuning."""

    variant: Literal["full", "w/o CIMA", "w/o BCE", "Random", "CLIP"] = Field(
        "full", description="MCPTR, an ablation of Table 3, or an initialisation of Table 2 without pre-training"
    )
    modalities: Modalities = Field(
        None, description="reviews, graph and names of features, or the letters R, T, V, G; default: all there are"
    )
    graph_layers: int = Field(2, ge=0, description="L, propagation layers on the user and the item graph")
    norm: Literal["row_sqrt", "sym", "row"] = Field("row_sqrt", description="normalisation of both graphs (Eq. 1)")
    max_neighbors: int | None = Field(50, ge=1, description="strongest neighbours kept per node; None: all")
    adapter_dim: int = Field(512, ge=1, description="width of the linear maps before Eq. 11 and 12")
    lam: float = Field(0.2, ge=0, le=1, description="lambda, the share of CIMA in Eq. 16, 0 to 1")
    temperature: float = Field(0.1, gt=0, description="tau of Eq. 11")
    form: Literal["sigmoid", "softmax"] = Field("sigmoid", description="reading of Eq. 11")
    balanced: bool = Field(True, description="form='sigmoid': true and wrong pairs weigh the same in all")
    n_negatives: int = Field(4, ge=1, description="unobserved items drawn for each pair in Eq. 15")
    pretrain_lr: float = Field(1e-3, gt=0, description="Adam's learning rate in pre-training")
    pretrain_epochs: int = Field(200, ge=0, description="most epochs of pre-training")
    start_scale: float = Field(
        1.0, gt=0, description="factor on the pre-trained vectors as fine-tuning's start; long ones hardly move"
    )
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate in fine-tuning")
    batch_size: int = Field(2048, ge=1, description="training pairs a step")
    cf_layers: int = Field(3, ge=0, description="propagation layers of LightGCN in fine-tuning")
    n_candidates: int = Field(64, ge=1, description="M, items drawn for each pair to make its negative from")
    mixing: Literal["hop", "candidate"] = Field("hop", description="one alpha a pair and layer, or one a candidate too")


class MCPTR(VectorMethod):
    """User and item vectors pre-trained on reviews, texts, pictures and co-occurrence, then fine-tuned by LightGCN.

    Users have reviews (R) and the user graph (G), items their features (T, V, ...) and the item graph (G). A side none
    of whose modalities is chosen gets free vectors in pre-training, as the paper leaves open. Before fine-tuning has
    begun the score is that of the pre-trained vectors. Fine-tuning again goes on where it was; `load_pretrained`, or a
    new model, starts from the pre-trained vectors.
    The paper's protocol is `split(..., "ratio", ratios=(0.72, 0.08, 0.2))`; each user's counts are rounded as MICRO's
    program does, which makes 69, 15 and 16 % of it on the shop. Without the alignment (lambda = 0) its adapters go too.
    """

    name = "mcptr"
    summary = "vectors pre-trained on reviews, content and co-occurrence, fine-tuned by LightGCN with mixed negatives"
    source = "Liu et al., ICMR 2022"
    config: MCPTRConfig
    Config = MCPTRConfig
    pretrained: ClassVar[tuple[str, ...]] = ("pretraining.",)
    profiles: ClassVar = {
        "paper": {},
        "lecture": {
            "pretrain_lr": 5e-3,
            "pretrain_epochs": 30,
            "adapter_dim": 128,
            "start_scale": 0.2,
            "lr": 5e-3,
            "epochs": 60,
            "patience": 8,
            "n_candidates": 16,
        },
    }

    def __init__(self, split: Split, config: MCPTRConfig, seed: int):
        super().__init__(split, config, seed)
        self.modalities = self._chosen(split)
        self.backbone = make_backbone("lightgcn", split, config.dim, config.cf_layers)
        self.tuning_batches = PairBatches(split, config.batch_size, n_negatives=config.n_candidates)
        self.register_buffer("tuned", torch.tensor(config.variant in ("Random", "CLIP")))
        if config.variant in ("Random", "CLIP"):
            self.pretrained = ()
        if config.variant == "Random":
            return
        data = split.dataset
        features = {
            name: (torch.from_numpy(data.dense(name)), torch.tensor(data.present[name]))
            for name in self.modalities
            if name in data.features
        }
        if config.variant == "CLIP":
            vectors, present = zip(*features.values(), strict=True)
            start = principal_features(vectors, torch.stack(present), config.dim)
            known = torch.stack(present).any(dim=0)  # the others keep their random start, and so do users
            self.backbone.item.data[known] = start[known]
            return
        self.lam = self._share_of_cima(split, features)
        self.pretraining_batches = PairBatches(split, config.batch_size, n_negatives=config.n_negatives)
        adapters = config.adapter_dim if self.lam > 0 else None
        reviews = {}
        if "reviews" in self.modalities:
            reviews["reviews"] = tuple(torch.from_numpy(part) for part in mean_reviews(split))
        options = {"dim": config.dim, "layers": config.graph_layers}
        self.pretraining = nn.ModuleDict(
            {
                "user": ModalEncoder(reviews, self._graph(split, 0), self.n_users, **options),
                "item": ModalEncoder(features, self._graph(split, 1), self.n_items, **options, adapter_dim=adapters),
            }
        )

    # What the data and the settings allow -------------------------------------------------------------------------

    def _chosen(self, split: Split) -> tuple[str, ...]:
        """Return the modalities in the order reviews, features, graph, or refuse what the data set lacks."""
        data, config = split.dataset, self.config
        vectors = data.sequences.get("reviews")
        reviewed = vectors is not None and vectors.rows == "interactions"
        if clash := data.features.keys() & {"reviews", "graph"}:
            raise ValueError(f"mcptr has a modality {clash.pop()!r} of its own; rename that feature of {data.name!r}.")
        wanted = config.modalities
        if wanted is None:
            wanted = (*(("reviews",) if reviewed else ()), *data.modalities, "graph")
            self._say_what_is_missing(data, reviewed)
        wanted = [name if name in data.features else LETTERS.get(name, name) for name in wanted]
        content = data.check_modalities(name for name in wanted if name not in ("reviews", "graph"))
        if "reviews" in wanted and not reviewed:
            others = ",".join((*data.modalities, "graph"))
            raise ValueError(
                f"mcptr: modality 'reviews' needs review vectors, but data set {data.name!r} has none. Take "
                f"modalities={others!r}, which works without, or add sequences={{'reviews': ...}} "
                f"(features.encode_sentences of interactions['review'] with rows='interactions')."
            )
        if config.variant == "CLIP" and not content:
            raise ValueError(
                f"mcptr: variant='CLIP' starts from the items' features, but none is chosen of data set {data.name!r} "
                f"(it has: {', '.join(data.modalities) or 'none'}). Add some when reading it "
                f"(features={{'image': ...}}), or take variant='Random'."
            )
        return (*(("reviews",) if "reviews" in wanted else ()), *content, *(("graph",) if "graph" in wanted else ()))

    def _say_what_is_missing(self, data: MultimodalDataset, reviewed: bool) -> None:
        """Warn where the data set lacks what the paper's method reads, and nobody has chosen to do without."""
        if self.config.variant in ("Random", "CLIP"):
            return
        lacks = [] if reviewed else ["reviews (sequences={'reviews': ...}, see features.encode_sentences)"]
        if len(data.modalities) < 2 and self.config.variant != "w/o CIMA":
            lacks += ["two features that its contrast could align, so that BCE alone pre-trains"]
        if lacks:
            left = ",".join((*(("reviews",) if reviewed else ()), *data.modalities, "graph"))
            warnings.warn(
                f"mcptr: data set {data.name!r} has no {' and no '.join(lacks)}. It goes on with modalities={left!r}; "
                f"name them to say that this is meant.",
                stacklevel=5,
            )

    def _share_of_cima(self, split: Split, features: Mapping[str, tuple[Tensor, Tensor]]) -> float:
        """Return lambda as it acts: 0 without two modalities to align, 1 without BCE."""
        lam = {"w/o CIMA": 0.0, "w/o BCE": 1.0}.get(self.config.variant, self.config.lam)
        n_features = len(features)
        if n_features < 2 and lam == 1:
            raise ValueError(
                f"mcptr: without BCE (variant='w/o BCE' or lam=1) only the alignment of two features is trained, but "
                f"there are {n_features} among the modalities {', '.join(self.modalities) or 'none'}. Take another "
                f"variant, such as 'full', or choose two features."
            )
        trained = torch.tensor(split.train_counts) > 0
        if lam == 1 and not bool((sum((present & trained).int() for _, present in features.values()) > 1).any()):
            raise ValueError(
                f"mcptr: without BCE (variant='w/o BCE' or lam=1) only the alignment of two features is trained, but "
                f"no item of the training part has two of {', '.join(features)}. Take another variant, such as 'full'."
            )
        return lam if n_features >= 2 else 0.0

    def _graph(self, split: Split, side: int) -> tuple[Tensor, Tensor] | None:
        """Section 3.3: users with a common training item (side 0) or items with a common user (side 1).

        Returns the normalised graph (N, N) and who has a training interaction (N,): of the others it knows nothing.
        """
        if "graph" not in self.modalities:
            return None
        pairs, sizes = split.pairs("train"), (self.n_users, self.n_items)
        graph = cooccurrence_graph(
            pairs[side], pairs[1 - side], sizes[side], sizes[1 - side], self.config.max_neighbors
        )
        trained = (split.train_lengths, split.train_counts)[side] > 0
        return normalize_graph(graph, self.config.norm), torch.tensor(trained)

    # Pre-training: sections 3.3 to 3.5 ----------------------------------------------------------------------------

    def alignment(self, views: Mapping[str, Tensor], items: Tensor) -> Tensor:
        """Eq. 11 on a batch of different items (N,), on the CPU, whose `views` are name -> (N, d_m) -> scalar.

        With more than two features it is the mean over their pairs. Items that lack one of a pair stand back; where
        all do, it is zero.
        """
        c, encoder = self.config, self.pretraining["item"]
        parts = []
        for one, other in itertools.combinations(encoder.frozen, 2):
            both = (encoder.known[one] & encoder.known[other])[items.cpu()].nonzero().squeeze(1)
            if len(both):
                both = self.here(both)
                parts.append(cima_loss(views[one][both], views[other][both], c.temperature, c.form, c.balanced))
        if not parts:  # with a gradient, since without BCE there is no other term that has one
            return sum(0.0 * view.sum() for view in views.values())
        return torch.stack(parts).mean()

    def pretraining_loss(self, batch: Triples) -> dict[str, Tensor]:
        """Eq. 16: the terms `cima` (times lambda) and `bce` (times 1 - lambda) of one batch."""
        drawn, encoder = batch.on_host, self.pretraining["item"]
        different, place = torch.cat([drawn.positives[:, None], drawn.negatives], dim=1).unique(return_inverse=True)
        items, place = self.here(different), self.here(place)
        views = encoder.views(items)
        terms = {}
        if self.lam > 0:
            taken = parallel.whole(batch).on_host.positives.unique()  # once each: a second one would be a wrong pair
            where = self.here(torch.searchsorted(different, taken)) if parallel.current() is None else None
            here = self.here(taken)
            aligned = {
                k: views[k][where] if where is not None else parallel.mapped(lambda i, k=k: encoder.view(k, i), here)
                for k in encoder.frozen
            }
            terms["cima"] = self.lam * self.alignment(aligned, taken)
        if self.lam < 1:
            users, who = (self.here(part) for part in drawn.users.unique(return_inverse=True))
            user, item = self.pretraining["user"](users)[0], encoder(items, views)[0]
            scores = torch.einsum("bd,bnd->bn", user[who], item[place])
            labels = torch.zeros_like(scores)
            labels[:, 0] = 1
            terms["bce"] = (1 - self.lam) * interaction_bce(scores.flatten(), labels.flatten())
        return terms

    def pretrained_vectors(self) -> tuple[Tensor, Tensor]:
        """Eq. 7 and 13: the users' (U, d) and items' (I, d) multi-modal vectors."""
        return self.pretraining["user"]()[0], self.pretraining["item"]()[0]

    # Fine-tuning: section 3.6 -------------------------------------------------------------------------------------

    @torch.no_grad()
    def begin_tuning(self, epoch: int = 0) -> None:
        """Before an epoch of fine-tuning, start LightGCN from the pre-trained vectors, unless that was done before."""
        if not bool(self.tuned):  # Random and CLIP count as tuned from the beginning
            for target, source in zip((self.backbone.user, self.backbone.item), self.pretrained_vectors(), strict=True):
                target.copy_(self.config.start_scale * source)
            self.tuned.fill_(True)
            self.forget()

    def tuning_loss(self, batch: Triples) -> dict[str, Tensor]:
        """The terms `bpr` and `l2` of one batch: LightGCN against MixGCF's negatives."""
        b, c = self.backbone, self.config
        layers = hop_layers(b.graph, torch.cat([b.user, b.item]), b.layers, b.transpose)
        return mixgcf_loss(layers, self.n_users, *batch, c.l2, c.mixing)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the users' (U, d) and items' (I, d) vectors: the pre-trained ones until fine-tuning begins."""
        return self.backbone() if bool(self.tuned) else self.pretrained_vectors()

    def stages(self) -> list[Stage]:
        """`pretrain` (not for Random and CLIP), then `recommend`.

        Pre-training stops by the validation metric of its own scores; without BCE these say nothing, and all epochs
        are trained.
        """
        c, batches = self.config, self.tuning_batches
        groups = [{"params": list(self.backbone.parameters()), "lr": c.lr}]
        options = {"monitor": c.monitor, "patience": c.patience, "begin_epoch": self.begin_tuning}
        tune = Stage("recommend", batches, self.tuning_loss, groups, c.epochs, n_batches=len(batches), **options)
        if c.variant in ("Random", "CLIP"):
            return [tune]
        batches = self.pretraining_batches
        groups = [{"params": list(self.pretraining.parameters()), "lr": c.pretrain_lr}]
        options = {
            "monitor": c.monitor if self.lam < 1 else None,
            "patience": c.patience,
            "begin_epoch": lambda epoch: self.tuned.fill_(False),
            "n_batches": len(batches),
        }
        return [Stage("pretrain", batches, self.pretraining_loss, groups, c.pretrain_epochs, **options), tune]

    def pretraining_settings(self) -> dict[str, Any]:
        """Return what pre-training depends on; what fine-tuning reads, and when to stop, may differ."""
        names = ("dim", "graph_layers", "norm", "max_neighbors", "adapter_dim", "temperature", "form", "balanced")
        names += ("n_negatives", "pretrain_lr", "pretrain_epochs", "batch_size")
        own = {name: getattr(self.config, name) for name in names}
        return {"modalities": sorted(self.modalities), "share of cima": self.lam, **own}

    def load_pretrained(self, file: Any) -> None:
        """Take over a saved pre-trained part; the score is that part's until fine-tuning begins."""
        super().load_pretrained(file)
        self.tuned.fill_(False)

    # What a notebook looks at -------------------------------------------------------------------------------------

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return item representations (I, d): `final`, and of pre-training `fused` and each modality's e' (Eq. 12)."""
        out = {"id": self.backbone.item.detach().clone(), "final": self.vectors()[1].clone()}
        if hasattr(self, "pretraining"):
            encoder = self.pretraining["item"]
            if encoder.modalities:
                out |= dict(zip(encoder.modalities, encoder.pool.projected(encoder.views()), strict=True))
            out["fused"] = encoder()[0]
        return out

    @torch.no_grad()
    def modality_weights(self, users: Iterable[int] | None = None, items: Sequence[int] | None = None) -> Tensor:
        """Return the attention of Eq. 14, (items, M), or with `users` that of Eq. 8, (users, M).

        Columns follow `pretraining["item"].modalities` or `pretraining["user"].modalities`.
        """
        if not hasattr(self, "pretraining"):
            raise ValueError(f"mcptr: variant={self.config.variant!r} has no modality weights: nothing is pre-trained.")
        side, rows = ("item", items) if users is None else ("user", users)
        weights = self.pretraining[side]()[1].T
        return weights if rows is None else weights[torch.as_tensor(rows, device=weights.device)]
