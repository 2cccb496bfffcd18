"""Sequential recommendation: what SASRec and the methods on top of it share, and SASRec itself."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite import parallel
from mmrec_lite.data.sequences import SequenceBatch, SequenceBatches, last_items
from mmrec_lite.data.splits import Split
from mmrec_lite.losses import catalogue_scores, next_item_cross_entropy
from mmrec_lite.methods.base import MONITOR, Hyperparameters, Method, Stage
from mmrec_lite.nn import CausalTransformer

__all__ = ["SASRec", "SequenceConfig", "SequenceMethod"]

_BLOCK = 256  # users encoded at a time when scoring, sorted by length


class SequenceConfig(Hyperparameters):
    """What the sequential methods share. Source of the defaults: MP4SR 4.1.4 and its released program."""

    dim: int = Field(64, ge=1, description="d_0, width of item and sequence representations; a multiple of heads")
    layers: int = Field(2, ge=0, description="L, transformer layers")
    heads: int = Field(2, ge=1, description="attention heads")
    inner: int = Field(256, ge=1, description="width inside the feed-forward networks")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout in the transformer and the experts")
    max_length: int = Field(50, ge=1, description="items of a history that are read, the latest")
    lr: float = Field(1e-3, gt=0, description="Adam's learning rate")
    weight_decay: float = Field(0.0, ge=0, description="Adam's L2 weight when learning to recommend")
    batch_size: int = Field(1024, ge=1, description="training cases a step (prefixes with their next items), about")
    normalize: bool = Field(False, description="cosines / temperature instead of Eq. 12's inner products, as released")
    temperature: float = Field(0.07, gt=0, description="tau: divides all cosines")
    negatives: int | None = Field(
        None, ge=1, description="items drawn a step for the softmax over next items; default: all items"
    )
    order: Literal["time", "rows"] = Field(
        "time", description="without time stamps: 'rows' says that rows stand in time order"
    )
    patience: int = Field(10, ge=1, description="epochs without a better validation metric before stopping")
    monitor: str = Field(
        "recall@20", pattern=MONITOR, description="validation metric of early stopping, such as ndcg@10"
    )


class Candidates(NamedTuple):
    """The items among which a step looks for the next ones: all, or those of the batch and some drawn for the others.

    The sum over drawn ones, each counted for as many as it stands for, is that over all items on average.
    """

    items: Tensor | None  # (n,) int64, those of the batch first, on the CPU; None: all
    place: Tensor  # (B, L) where the batch's items stand among them
    log_counts: Tensor | None  # (n,) logarithm of how many items each stands for; None: for itself
    barred: Tensor | None  # (n,) bool, items that are none


class SequenceMethod(Method):
    """A history's items through a causal transformer, scored against every item: `tables()` says what items are.

    Histories are a user's training items in time order, whatever the protocol; `read_history` adds parts. Who has no
    history gets the items' training popularity as scores. The tables are computed once after training and kept until
    training goes on or other weights are loaded.
    """

    config: SequenceConfig
    Config = SequenceConfig
    knows_newcomers = True  # what is popular

    def __init__(self, split: Split, config: SequenceConfig, seed: int):
        super().__init__(split, config, seed)
        data, c = split.dataset, config
        if "timestamp" not in data.interactions and c.order == "time" and split.options.get("by") != "order":
            raise ValueError(
                f"{self.name} reads histories in time order, but data set {data.name!r} has no time stamps. Read them "
                f"(timestamp='...'), or pass order='rows' if its rows stand in time order."
            )
        if "timestamp" in data.interactions and c.order == "rows" and split.options.get("by") != "order":
            raise ValueError(
                f"{self.name}: order='rows', but data set {data.name!r} has time stamps, and histories follow them. "
                f"Leave order out, or split with by='order', so that rows decide what is held out as well."
            )
        if c.dim % c.heads:
            raise ValueError(f"{self.name}: dim = {c.dim} must be a multiple of heads = {c.heads}.")
        self.split = split
        self.batches = SequenceBatches(split, c.batch_size, c.max_length)
        self.transformer = CausalTransformer(c.dim, c.layers, c.heads, c.inner, c.dropout, c.max_length)
        self.register_buffer("popularity", torch.tensor(split.train_counts, dtype=torch.float32), persistent=False)
        barred = torch.zeros(split.n_items, dtype=torch.bool)
        for items in split.held_out_items.values():  # not on sale yet: as eternal negatives they would learn to lose
            barred[torch.from_numpy(items.copy())] = True
        self.register_buffer("barred", barred if bool(barred.any()) else None, persistent=False)
        self.on_sale = ~barred  # on the CPU, where candidates are drawn
        self._kept: Tensor | None = None

    def id_embeddings(self) -> nn.Parameter:
        """Make item-ID embeddings (I, d), drawn from N(0, 0.02)."""
        return nn.Parameter(torch.empty(self.n_items, self.config.dim).normal_(std=0.02))

    def tables(self, items: Tensor | None = None) -> Tensor:
        """Return what items (n,) are in each view, both read and scored; default: all. (V, n, d)."""
        raise NotImplementedError

    def scored_tables(self) -> Tensor:
        """Return the tables of scoring; other than `tables` only where a method is scored between its stages."""
        return self.tables()

    # Training: every prefix at once --------------------------------------------------------------------------------

    def candidates(self, batch: SequenceBatch) -> Candidates:
        """Return the items of the step's softmax; `negatives` draws of those that the batch does not hold."""
        most, share = self.config.negatives, parallel.current()
        if most is None:
            return Candidates(None, batch.items, None, self.barred)
        free = self.on_sale.clone()
        ids, place = parallel.whole(batch).on_host.items.unique(return_inverse=True)
        free[ids] = False
        pool = free.nonzero().squeeze(1)
        if most >= len(pool):
            return Candidates(None, batch.items, None, self.barred)
        items = torch.cat([ids, pool[torch.randperm(len(pool))[:most]]])  # every process draws the same
        counts = torch.zeros(len(items))
        counts[len(ids) :] = math.log(len(pool) / most)
        barred = None if self.barred is None else self.here(~self.on_sale[items])
        return Candidates(items, self.here(place if share is None else place[share.rows]), self.here(counts), barred)

    def recommend_loss(
        self, batch: SequenceBatch, among: Candidates | None = None, tables: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy of each next item of the batch's sequences -> scalar. Source: MP4SR Eq. 12-13.

        `tables` (V, n, d) are those of the candidates `among`, where both are at hand.
        """
        among = self.candidates(batch) if among is None else among
        tables = self.tables(among.items) if tables is None else tables
        hidden = self.transformer(_look_up(tables, among.place[:, :-1])).unflatten(0, (len(tables), -1))
        rows, places = batch.places()
        chosen, targets = hidden[:, rows, places], among.place[rows, places + 1]
        options = {"barred": among.barred, "log_counts": among.log_counts}
        return next_item_cross_entropy(chosen, tables, targets, **self._similarity(), **options)

    def _similarity(self) -> dict[str, Any]:
        return {"normalize": True, "temperature": self.config.temperature} if self.config.normalize else {}

    # Scoring -------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Drop the tables."""
        super().forget()
        self._kept = None

    @torch.no_grad()
    def encode(self, users: Tensor) -> Tensor:
        """Return the users' sequences in each view, the state at the last item read: (B,) -> (V, B, d), 0 for none."""
        self.eval()
        if self._kept is None:
            self._kept = self.scored_tables()
        tables = self._kept
        sequences = self.split.sequences(self.history_parts)
        items, lengths = last_items(sequences, users.cpu().numpy(), self.config.max_length)
        out = tables.new_zeros(len(tables), len(users), tables.shape[2])
        order = lengths.argsort(stable=True)
        known = order[int((lengths == 0).sum()) :]
        for rows in known.split(_BLOCK) if len(known) else ():  # equally long histories together
            last = lengths[rows] - 1
            block = items[rows, : int(last[-1]) + 1].to(tables.device)
            hidden = self.transformer(_look_up(tables, block)).unflatten(0, (len(tables), -1))
            out[:, rows.to(tables.device)] = hidden[:, torch.arange(len(rows)), last]
        return out

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Score every item by the history's last state, by popularity for who has no history: (B,) -> (B, I)."""
        scores = self.compare(self.encode(users), self._kept)
        unknown = torch.from_numpy(self._history_lengths(users.cpu().numpy()) == 0).to(scores.device)
        return torch.where(unknown[:, None], self.popularity, scores)

    def compare(self, sequences: Tensor, tables: Tensor) -> Tensor:
        """Eq. 12 for scoring: (V, B, d), (V, I, d) -> (B, I)."""
        return catalogue_scores(sequences, tables, **self._similarity())

    def _history_lengths(self, users):
        indptr = self.split.sequences(self.history_parts).indptr
        return indptr[users + 1] - indptr[users]

    def recommend_stage(self, parameters: list[nn.Parameter], lr: float) -> Stage:
        """The stage that learns to predict the next item."""
        c, batches = self.config, self.batches
        groups = [{"params": parameters, "lr": lr, "weight_decay": c.weight_decay}]
        options = {"monitor": c.monitor, "patience": c.patience, "n_batches": len(batches)}
        return Stage("recommend", batches, self.loss, groups, c.epochs, **options)

    def loss(self, batch: SequenceBatch) -> dict[str, Tensor]:
        """Return the term `next item` of one batch."""
        return {"next item": self.recommend_loss(batch)}


def _look_up(tables: Tensor, items: Tensor) -> Tensor:
    """The rows of some items, one view's sequences after the other's: (V, I, d), (B, L) -> (V B, L, d)."""
    return torch.cat([F.embedding(items, table) for table in tables])


class SASRecConfig(SequenceConfig):
    """Settings of SASRec; those of MP4SR's transformer, as in the paper's comparison."""


class SASRec(SequenceMethod):
    """Self-attentive sequential recommendation: MP4SR's backbone with item IDs and nothing else."""

    name = "sasrec"
    summary = "the next item by self-attention over the history's item IDs"
    source = "Kang and McAuley, ICDM 2018"
    Config = SASRecConfig
    profiles: ClassVar = {
        "paper": {},
        "lecture": {
            "batch_size": 512,
            "lr": 2e-3,
            "dropout": 0.7,
            "normalize": True,
            "temperature": 0.2,
            "epochs": 60,
            "patience": 8,
        },
    }

    def __init__(self, split: Split, config: SASRecConfig, seed: int):
        super().__init__(split, config, seed)
        self.item = self.id_embeddings()

    def tables(self, items: Tensor | None = None) -> Tensor:
        """The ID embeddings are the one view: (1, n, d)."""
        return (self.item if items is None else F.embedding(self.here(items), self.item))[None]

    def stages(self) -> list[Stage]:
        """One stage: everything together."""
        return [self.recommend_stage(list(self.parameters()), self.config.lr)]

    @torch.no_grad()
    def embeddings(self) -> dict[str, Tensor]:
        """Return `id`, the item embeddings, and `final`, what is scored: the same (I, d)."""
        return {"id": self.item.detach().clone(), "final": self.item.detach().clone()}
