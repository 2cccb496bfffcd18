"""MP4SR: multimodal pre-training for sequential recommendation, in the order of the paper."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmrec_lite import parallel
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.sentences import SENTENCES, item_sentences
from mmrec_lite.data.sequences import SequenceBatch, SequenceBatches
from mmrec_lite.data.splits import Split
from mmrec_lite.losses import catalogue_scores, cross_modal_loss, next_item_loss
from mmrec_lite.methods.base import Modalities, Stage
from mmrec_lite.methods.sequences import SequenceConfig, SequenceMethod
from mmrec_lite.nn import ContentEncoder, ModulesByName, complementary_mixup, drop_items
from mmrec_lite.ops import CHUNK_ELEMENTS, standardized

__all__ = ["MP4SR", "MP4SRConfig"]

VARIANTS = Literal[
    "full",
    "ResNet-style",
    "w/o NIP",
    "w/o CMCL",
    "w/o C-Mixup",
    "w/o pre-train",
    "w/o Proj",
    "E2E",
    "Shared",
    "-V",
    "-T",
]

_ITEMS = 1024  # items of a large catalogue whose sentences are attended to at a time


class _Places(NamedTuple):
    """Where some items' sentences lie; kept on the CPU, since what it holds shapes a step."""

    which: slice | Tensor  # the vectors that any of the items has, (N,); a slice need not be copied
    index: Tensor  # (R, L) into those, -1 for padding
    filled: Tensor  # (S,) entries of the flattened index that are no padding


class MP4SRConfig(SequenceConfig):
    """MP4SR's settings. Source of the defaults: MP4SR 4.1.4; fine-tuning's rate and decay the released program's.

    variant="E2E" trains both stages' terms at once, with `lr`, fine-tuning's batches, `weight_decay` and `epochs`, on
    all items: `warm`, `finetune_lr` and what begins with `pretrain_` are not asked.
    """

    modalities: Modalities = Field(None, description="one or two to use; default: text and image")
    variant: VARIANTS = Field("full", description="MP4SR, or one of the variants of Tables 4 and 6")
    ids: bool = Field(True, description="item-ID embeddings in fine-tuning; False: content alone, for cold items")
    experts: int = Field(8, ge=1, description="O, experts a modality")
    attention_dim: int = Field(64, ge=1, description="d_a, width of the sentence attention")
    sentences: int = Field(10, ge=1, description="most sentences (pictures) of an item")
    standardize: bool = Field(False, description="bring every column of the sentence vectors to mean 0 and variance 1")
    lam: float = Field(0.01, ge=0, description="lambda, weight of the cross-modality contrast in Eq. 11")
    rho: float = Field(0.2, ge=0, lt=1, description="rho, share of items dropped from sequences in pre-training")
    drop: Literal["fixed", "uniform"] = Field("fixed", description="'uniform': U(0, rho) a batch, as released")
    mixup: float = Field(0.5, ge=0, le=0.5, description="p of the mixup is drawn from U(0, this) once a batch")
    same_item: Literal["mask", "zero", "keep"] = Field("mask", description="cases with the same next item as negatives")
    own_negatives: bool = Field(False, description="prefixes of one sequence are one another's negatives")
    contrast: Literal["intra", "printed"] = Field("intra", description="'printed': Eq. 9 without the second sum's hats")
    finetune_batch_size: int | None = Field(None, ge=1, description="cases a step in fine-tuning; default: batch_size")
    warm: int = Field(0, ge=0, description="pre-train on items with at least this many training interactions")
    pretrain_epochs: int = Field(300, ge=0, description="most epochs of pre-training")
    pretrain_patience: int | None = Field(None, ge=1, description="early stopping of pre-training; default: none")
    finetune_temperature: float | None = Field(None, gt=0, description="tau of normalize=True; default: temperature")
    finetune_lr: float = Field(1e-4, gt=0, description="Adam's learning rate in fine-tuning")
    weight_decay: float = Field(1e-3, ge=0, description="Adam's L2 weight in fine-tuning")


class MP4SR(SequenceMethod):
    """Sentences of texts and of pictures, mixed in sequences, pre-trained by contrast, fine-tuned with item IDs.

    Reads `sequences["sentences"]` as text and `sequences["keywords"]` (a picture's words as a sentence) as image. Where
    there are no sentences, the feature "text" counts as one sentence; a picture's vector, the feature "image", is read
    by variant="ResNet-style"; any other modality is the feature of that name. Items may lack any of them.
    """

    name = "mp4sr"
    summary = "pre-trained transformer over histories of mixed text and picture words, fine-tuned with item IDs"
    source = "Zhang et al., 2024 (Multimodal Pre-training for Sequential Recommendation via Contrastive Learning)"
    config: MP4SRConfig
    Config = MP4SRConfig
    profiles: ClassVar = {
        "paper": {},
        "lecture": {
            "standardize": True,
            "batch_size": 512,
            "lr": 3e-3,
            "pretrain_epochs": 10,
            "normalize": True,
            "finetune_temperature": 0.2,
            "finetune_batch_size": 1024,
            "finetune_lr": 3e-3,
            "weight_decay": 1e-5,
            "epochs": 12,
            "patience": 3,
        },
    }
    pretrained = ("encoders.", "transformer.", "projections.", "phase")

    def __init__(self, split: Split, config: MP4SRConfig, seed: int):
        super().__init__(split, config, seed)
        c, data = config, split.dataset
        if c.finetune_batch_size:
            self.batches = SequenceBatches(split, c.finetune_batch_size, c.max_length)
        self.modalities = check_modalities(c, data)
        unread = {"-V": "text", "-T": "image"}.get(c.variant)
        self.scored = tuple(name for name in self.modalities if name != unread)
        contents = {name: item_sentences(data, name, c.variant == "ResNet-style") for name in self.modalities}
        for name, content in contents.items():
            vectors = shared(content.vectors)  # as stored, often in 16 bits; a step makes 32 of what it needs
            if c.standardize:  # sentence vectors share a direction: raw, every item looks alike for many epochs
                vectors = standardized(vectors.float(), torch.from_numpy(content.used))
            self.register_buffer(f"vectors_{name}", vectors, persistent=False)
            index = torch.from_numpy(content.index[:, : c.sentences].astype(np.int64))
            self.register_buffer(f"index_{name}", index, persistent=False)
        self.forget()  # nothing is kept yet
        widths = {name: content.vectors.shape[1] for name, content in contents.items()}
        if c.variant == "Shared" and len(set(widths.values())) > 1:
            raise ValueError(
                f"mp4sr: variant='Shared' encodes all modalities by one encoder, but their widths differ ({widths}); "
                f"make the vectors with one text encoder, or take variant='full'."
            )
        shape = (c.dim, c.attention_dim, c.experts, c.dropout)
        owners = (max(self.modalities),) if c.variant == "Shared" else self.modalities  # whatever their order
        self.encoders = ModulesByName({name: ContentEncoder(widths[name], *shape) for name in owners})
        if c.ids:
            self.item = self.id_embeddings()
        self.register_buffer("phase", torch.zeros((), dtype=torch.uint8))  # 1: pre-trained and not fine-tuned
        if c.variant == "w/o pre-train":
            return
        if c.variant != "w/o Proj":
            self.projections = ModulesByName({name: nn.Linear(c.dim, c.dim) for name in self.modalities})
        if c.variant != "E2E":
            keep = split.train_counts >= c.warm if c.warm else None
            self.pretrain_batches = SequenceBatches(split, c.batch_size, c.max_length, keep)

    # Section 3.3.2: text and image encoders -------------------------------------------------------------------------

    def content(self, name: str, items: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """A modality's sentences, as its encoder reads them; default: those of all items.

        Returns vectors (N, width), the items' index (R, L) into them, -1 for padding, and which entries of the
        flattened index are none (S,).
        """
        if items is not None:
            return self._read(name, self._places(self._index[name][items.cpu()]))
        index = self._index[name]
        filled = (index >= 0).flatten().nonzero().squeeze(1)
        return self._read(name, _Places(slice(None), index, filled))

    @staticmethod
    def _places(known: Tensor) -> _Places:
        """Find where the sentences of some rows (R, L) of the index lie."""
        told = known >= 0
        filled = told.flatten().nonzero().squeeze(1)
        used, place = known[told].unique(return_inverse=True)
        first, last = (int(used[0]), int(used[-1])) if len(used) else (0, -1)
        which = slice(first, last + 1) if last - first == len(used) - 1 else used  # side by side they need no copy
        return _Places(which, known.masked_scatter(told, place), filled)

    def _read(self, name: str, places: _Places) -> tuple[Tensor, Tensor, Tensor]:
        which = places.which if isinstance(places.which, slice) else self.here(places.which)
        vectors = getattr(self, f"vectors_{name}")[which]
        dtype = self.encoder(name).attention.first.weight.dtype
        return vectors.to(dtype), self.here(places.index), self.here(places.filled)

    def forget(self) -> None:
        """Drop the tables, and look again which sentences there are: a modality may have been switched off."""
        super().forget()
        # On the CPU: how many sentences some items have shapes a step.
        self._index: dict[str, Tensor] = {name: getattr(self, f"index_{name}").cpu() for name in self.modalities}
        self._catalogue: dict[str, list[_Places]] = {}  # where the sentences of all items lie

    def encoder(self, name: str) -> ContentEncoder:
        """A modality's encoder; the one that all share where variant="Shared"."""
        return self.encoders[name if name in self.encoders else max(self.modalities)]

    def item_vectors(self, name: str, items: Tensor | None = None) -> Tensor:
        """Eq. 3-5: z, the items' representation in a modality (R, d); zero for an item without it.

        Of all items of a large catalogue, or of many, no more than a block of sentence vectors is ever held in 32 bits:
        what the attention needs of them on the way back is made again.
        """
        encoder, index, vectors = self.encoder(name), getattr(self, f"index_{name}"), getattr(self, f"vectors_{name}")
        few = items is not None and len(items) * index.shape[1] * vectors.shape[1] <= 4 * CHUNK_ELEMENTS
        if few or vectors.numel() <= CHUNK_ELEMENTS:
            return encoder(*self.content(name, items))
        index = index if items is None else index[self.here(items)]

        def fuse(places: _Places) -> Tensor:
            return encoder.attention(*self._read(name, places))[0]

        once_more = {"use_reentrant": False, "preserve_rng_state": False}  # attention draws no random numbers
        fused = torch.cat([checkpoint(fuse, places, **once_more) for places in self._blocks(name, items)])
        return encoder.experts(fused) * (index >= 0).any(dim=1, keepdim=True)

    def _blocks(self, name: str, items: Tensor | None) -> list[_Places]:
        """Where the sentences of many items lie, a block after the other; for all items it is found once."""
        if items is not None:
            return [self._places(block) for block in self._index[name][items.cpu()].split(_ITEMS)]
        if name not in self._catalogue:
            self._catalogue[name] = [self._places(block) for block in self._index[name].split(_ITEMS)]
        return self._catalogue[name]

    # Sections 3.3.1, 3.3.3, 3.3.4 and 3.4: pre-training -------------------------------------------------------------

    def mixed_sequences(self, batch: SequenceBatch, place: Tensor, items: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drop items, mix modalities, encode: h of every training case, a modality each (C, d).

        `place` (B, L), on the CPU, says which row of `items[name]` (n, d) stands where in the batch's sequences.
        """
        c = self.config
        rho = c.rho * torch.rand(()).item() if c.drop == "uniform" else c.rho
        kept, _, last = (self.here(x) for x in drop_items(place[:, :-1], batch.on_host.lengths - 1, rho))
        mixed = [items[name][kept] for name in self.modalities]
        if len(mixed) == 2 and c.variant != "w/o C-Mixup":
            mixed = complementary_mixup(*mixed, ratio=c.mixup * torch.rand(()).item())
        hidden = self.transformer(torch.cat(list(mixed))).unflatten(0, (len(mixed), -1))
        ends = last[None, :, :, None].expand(len(mixed), -1, -1, hidden.shape[-1])
        rows, places = batch.places()
        return dict(zip(self.modalities, hidden.gather(2, ends)[:, rows, places], strict=True))

    def project(self, name: str, sequences: Tensor) -> Tensor:
        """Eq. 6: sequence representations in a modality's space (..., d); unchanged where variant="w/o Proj"."""
        return sequences if self.config.variant == "w/o Proj" else self.projections[name](sequences)

    def pretrain_loss(self, batch: SequenceBatch, items: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Eq. 7-11: the terms `nip ...` and `cmcl ...` (times lambda), one a modality.

        Every item of the batch is encoded once; `items` are those, in the order of their ids, where they are at hand.
        """
        c = self.config
        everybody, share = parallel.whole(batch).on_host, parallel.current()
        ids, place = everybody.items.unique(return_inverse=True)
        items = {n: self._encoded(n, ids) for n in self.modalities} if items is None else items
        h = self.mixed_sequences(batch, place if share is None else place[share.rows], items)
        h = {name: parallel.gather_cases(cases) for name, cases in h.items()}  # negatives are those of all processes
        rows, places = everybody.cases.nonzero(as_tuple=True)
        next_item = place[rows, places + 1]
        groups = None if c.own_negatives else self.here(everybody.users[rows])  # a long history has several rows
        target, options = self.here(next_item), {"temperature": c.temperature, "groups": groups}
        terms = {}
        for name in self.modalities:
            own, *other = (self.project(name, h[n]) for n in sorted(h, key=lambda n: n != name))  # m-hat, m-tilde
            if c.variant != "w/o NIP":
                terms[f"nip {name}"] = self._next_item(name, ids[next_item], own, *other, items[name][target], options)
            if other and c.variant != "w/o CMCL":
                contrast = cross_modal_loss(own, *other, item_ids=target, form=c.contrast, **options)
                terms[f"cmcl {name}"] = c.lam * contrast
        return terms

    def _next_item(self, name: str, targets: Tensor, *rest: Any) -> Tensor:
        """Eq. 7-8 over the cases whose next item (`targets`, on the CPU) has the modality; zero where there is none."""
        *rows, options = rest
        there = (self._index[name][targets] >= 0).any(dim=1).nonzero().squeeze(1)
        if not len(there):
            return 0.0 * rows[0].sum()
        where, targets = self.here(there), self.here(targets[there])
        options = {k: v[where] if isinstance(v, Tensor) else v for k, v in options.items()}
        own, *other, items = (row[where] for row in rows)
        return next_item_loss(
            own, other[0] if other else None, items, targets, same_item=self.config.same_item, **options
        )

    # Section 3.5: fine-tuning ---------------------------------------------------------------------------------------

    def tables(self, items: Tensor | None = None) -> Tensor:
        """F + E, items in each modality that is scored (V, n, d); default: all. Source: MP4SR Eq. 12."""
        return self._with_ids({name: self._encoded(name, items) for name in self.scored}, items)

    def _with_ids(self, content: dict[str, Tensor], items: Tensor | None) -> Tensor:
        tables = torch.stack([content[name] for name in self.scored])
        if not self.config.ids:
            return tables
        return tables + (self.item if items is None else F.embedding(self.here(items), self.item))

    def _encoded(self, name: str, items: Tensor | None = None) -> Tensor:
        """`item_vectors`, of which each of several processes encodes a part."""
        if parallel.current() is None:
            return self.item_vectors(name, items)
        items = torch.arange(self.n_items) if items is None else items
        return parallel.mapped(lambda part: self.item_vectors(name, part), items)

    def _similarity(self) -> dict[str, Any]:
        c = self.config
        return {"normalize": True, "temperature": c.finetune_temperature or c.temperature} if c.normalize else {}

    def joint_loss(self, batch: SequenceBatch) -> dict[str, Tensor]:
        """Variant E2E: the terms of pre-training and of fine-tuning together."""
        among, ids = self.candidates(batch), parallel.whole(batch).on_host.items.unique()
        content = {name: self._encoded(name, among.items) for name in self.modalities}
        here = self.here(ids) if among.items is None else slice(len(ids))  # those of the batch come first
        terms = self.pretrain_loss(batch, {name: vectors[here] for name, vectors in content.items()})
        return terms | {"next item": self.recommend_loss(batch, among, self._with_ids(content, among.items))}

    def stages(self) -> list[Stage]:
        """Pre-training, then fine-tuning; only the latter for "w/o pre-train", both in one for "E2E"."""
        c = self.config
        if c.variant == "E2E":
            joint = self.recommend_stage(list(self.parameters()), c.lr)
            return [dataclasses.replace(joint, name="joint", loss=self.joint_loss)]
        modules = [self.transformer, *dict.fromkeys(self.encoder(name) for name in self.scored)]
        weights = [p for module in modules for p in module.parameters()] + ([self.item] if c.ids else [])
        recommend = dataclasses.replace(
            self.recommend_stage(weights, c.finetune_lr), begin_epoch=lambda _: self.phase.fill_(0)
        )
        if c.variant == "w/o pre-train":
            return [recommend]
        weights = [p for name, p in self.named_parameters() if name.startswith(self.pretrained)]
        pretrain = Stage(
            "pretrain",
            self.pretrain_batches,
            self.pretrain_loss,
            [{"params": weights, "lr": c.lr}],
            c.pretrain_epochs,
            c.monitor if c.pretrain_patience else None,
            c.pretrain_patience or 1,
            begin_epoch=lambda _: self.phase.fill_(1),
            n_batches=len(self.pretrain_batches),
        )
        return [pretrain, recommend]

    def pretraining_settings(self) -> dict[str, Any]:
        """Return what pre-training depends on; ids, which modality is scored and all of fine-tuning may differ."""
        names = ("dim", "layers", "heads", "inner", "max_length", "experts", "attention_dim", "sentences")
        names += ("standardize", "temperature", "lam", "rho", "drop", "mixup", "same_item", "own_negatives")
        names += ("contrast", "warm", "lr", "batch_size", "dropout", "pretrain_epochs", "pretrain_patience")
        own = {name: getattr(self.config, name) for name in names}
        variant = "full" if self.config.variant in ("-V", "-T") else self.config.variant
        return {"modalities": sorted(self.modalities), "variant": variant, **own}

    # Scoring, also between the stages, and what a notebook looks at ---------------------------------------------------

    def scored_tables(self) -> Tensor:
        """Eq. 12's tables; after pre-training alone, every modality's without IDs, which nothing has trained yet."""
        return torch.stack([self.item_vectors(name) for name in self.modalities]) if self.phase else self.tables()

    def compare(self, sequences: Tensor, tables: Tensor) -> Tensor:
        """Eq. 12; after pre-training alone the cosines of Eq. 7-8, projected sequences against items, added up."""
        if not self.phase:
            return super().compare(sequences, tables)
        projected = torch.stack([self.project(name, h) for name, h in zip(self.modalities, sequences, strict=True)])
        return catalogue_scores(projected, tables, normalize=True, temperature=self.config.temperature)

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return item representations: one a modality and `id` (I, d), and `final`, what is scored, side by side."""
        out = {"id": self.item.detach().clone()} if self.config.ids else {}
        with self.scoring():
            out |= {name: self.item_vectors(name) for name in self.modalities}
            return out | {"final": torch.cat(list(self.scored_tables()), dim=1)}

    @torch.no_grad()
    def sentence_weights(self, name: str, items: Tensor) -> Tensor:
        """Eq. 3's attention over a modality's sentences: (R,) items -> (R, L)."""
        return self.encoder(name).attention(*self.content(name, torch.as_tensor(items, device=self.device)))[1]

    @torch.no_grad()
    def expert_weights(self, name: str, items: Tensor) -> Tensor:
        """Eq. 4's gates of a modality: (R,) items -> (R, O)."""
        encoder, content = self.encoder(name), self.content(name, torch.as_tensor(items, device=self.device))
        return encoder.experts.gates(encoder.attention(*content)[0])


def shared(array: np.ndarray) -> Tensor:
    """Return an array as a tensor in the same memory; a read-only one, so nobody may write to the tensor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")
        return torch.from_numpy(array)


def check_modalities(config: MP4SRConfig, data: MultimodalDataset) -> tuple[str, ...]:
    """Return the modalities to use, or raise ``ValueError`` where a variant has nothing to do with them."""
    names = tuple(dict.fromkeys(SENTENCES if config.modalities is None else config.modalities))
    if not 1 <= len(names) <= 2:
        got = ", ".join(names) or "none"
        raise ValueError(f"mp4sr mixes two modalities, but got {got}; name one or two of them.")
    needed = {"-V": "image", "-T": "text", "ResNet-style": "image"}.get(config.variant)
    if needed and needed not in names:
        raise ValueError(f"mp4sr: variant={config.variant!r} needs {needed!r}, but modalities are {', '.join(names)}.")
    if len(names) == 1 and config.variant == "w/o NIP":
        raise ValueError(
            "mp4sr: with one modality variant='w/o NIP' leaves nothing to pre-train; take 'w/o pre-train'."
        )
    return names
