"""What a method is: hyper-parameters, stages to train, scores to rank by."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import numbers
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.batches import sent
from mmrec_lite.data.splits import Split
from mmrec_lite.files import DamagedFile, apart, read_tensors, write_tensors
from mmrec_lite.metrics import NAMES
from mmrec_lite.options import check_option

__all__ = [
    "MONITOR",
    "HyperparameterError",
    "Hyperparameters",
    "Method",
    "Modalities",
    "PairwiseHyperparameters",
    "Stage",
    "VectorMethod",
    "chosen_features",
    "pairwise_stage",
]

MONITOR = rf"^({'|'.join(NAMES)})@[1-9]\d*$"  # a validation metric, such as recall@20


def _split_names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Modalities = Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)]
"""Names of features; "image,text", as a command line gives it, is taken apart. None: all the data set has; (): none."""


def chosen_features(
    method: str, data: MultimodalDataset, named: Sequence[str] | None, instead: str, needed: bool = True
) -> tuple[str, ...]:
    """Return the features that a method reads: those named, or all the data set has (None).

    Raises ``ValueError`` where that is none and some are `needed`; `instead` says what works without.
    """
    names = data.check_modalities(data.modalities if named is None else named)
    if names or not needed:
        return names
    if data.modalities:
        why = f"modalities={named!r} names none of those of data set {data.name!r}. Name some of them: "
        why += ", ".join(data.modalities)
    else:
        why = f"data set {data.name!r} has none. Add some when reading it (features={{'image': ...}})"
    raise ValueError(f"{method} needs features, but {why}; or take {instead}.")


class HyperparameterError(ValueError):
    """A hyper-parameter that does not exist or is out of its range."""


class Hyperparameters(BaseModel):
    """The settings every method shares; the defaults are the paper's.

    A string, as papermill or a command line hands it over, becomes the number it stands for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    epochs: int = Field(1000, ge=0, description="most epochs of a stage; early stopping usually ends it before")

    @classmethod
    def checked(cls, method: str, values: dict[str, Any]) -> Hyperparameters:
        """Validate values, or raise `HyperparameterError` with one sentence for each that is refused."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise HyperparameterError(" ".join(cls._sentence(method, e) for e in error.errors())) from None

    @classmethod
    def _sentence(cls, method: str, error: dict) -> str:
        name = str(error["loc"][0]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, cls.model_fields, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            return f"{method} has no hyper-parameter {name!r}; {hint}It has: {', '.join(sorted(cls.model_fields))}."
        meaning = cls.model_fields[name].description if name in cls.model_fields else None
        message = error["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        return f"{method}: {name} = {error['input']!r} is refused: {message}" + (f" ({meaning})." if meaning else ".")


class PairwiseHyperparameters(Hyperparameters):
    """What methods trained with BPR on pairs share. Source of the defaults: MICRO 4.1.4."""

    dim: int = Field(64, ge=1, description="width of user and item embeddings")
    lr: float = Field(5e-4, gt=0, description="Adam's learning rate")
    l2: float = Field(1e-4, ge=0, description="weight of the squared embeddings of a batch")
    batch_size: int = Field(1024, ge=1, description="training pairs a step")
    patience: int = Field(10, ge=1, description="epochs without a better validation metric before stopping")
    monitor: str = Field(
        "recall@20", pattern=MONITOR, description="validation metric of early stopping, such as ndcg@10"
    )


_COLUMNS = ("stage", "epoch", "loss", "lr", "seconds")  # of a history's rows, beside the terms


@dataclass(frozen=True)
class Stage:
    """One thing to train: which batches, which loss, for how long.

    `loss` returns named terms whose sum is trained; on several processes each term must be a mean over the batch's
    cases, and what it draws come from ``parallel.rand`` and ``parallel.dropout``. `batches(generator)` yields one
    epoch. `parameters` are the optimiser's groups ("adam" or "sgd"); `lr_decay(epoch)` multiplies every group's rate.
    `monitor` names the validation metric of early stopping (None: train all epochs and keep the last state).
    `begin_epoch(epoch)` runs before each epoch. `n_batches`, the batches of an epoch, is for whoever wants to know;
    training does not need it.

    Raises ``ValueError`` for an unknown optimiser or monitor, groups without weights or rate, epochs below 0 and
    patience below 1.
    """

    name: str
    batches: Callable[[torch.Generator], Iterable[Any]]
    loss: Callable[[Any], dict[str, Tensor]]
    parameters: list[dict[str, Any]]
    epochs: int
    monitor: str | None = "recall@20"
    patience: int = 10
    lr_decay: Callable[[int], float] | None = None
    begin_epoch: Callable[[int], None] | None = None
    optimizer: Literal["adam", "sgd"] = "adam"
    n_batches: int | None = None

    def __post_init__(self) -> None:
        where = f"stage {self.name!r}"
        if not (callable(self.batches) and callable(self.loss)):
            raise ValueError(f"{where}: batches and loss, its second and third argument, are functions.")
        check_option(where, "optimizer", self.optimizer, ("adam", "sgd"))
        if self.monitor is not None and not re.fullmatch(MONITOR, str(self.monitor)):
            raise ValueError(
                f"{where}: monitor = {self.monitor!r} is no validation metric; take one of {', '.join(NAMES)} with its "
                f"k, such as 'recall@20', or None to train all epochs."
            )
        if not isinstance(self.epochs, numbers.Integral) or self.epochs < 0:
            raise ValueError(f"{where}: epochs = {self.epochs!r}, but it is a whole number from 0.")
        if not isinstance(self.patience, numbers.Integral) or self.patience < 1:
            raise ValueError(f"{where}: patience = {self.patience!r}, but it is a whole number of epochs from 1.")
        for number, group in enumerate(self.parameters):
            missing = [key for key in ("params", "lr") if not isinstance(group, dict) or key not in group]
            if missing:
                raise ValueError(
                    f"{where}: parameter group {number} has no {missing[0]!r}; each group is a dict "
                    f"{{'params': weights, 'lr': learning rate}}."
                )

    def term_names(self, terms: Mapping[str, Tensor], before: Sequence[str] = (), batch: int = 0) -> list[str]:
        """Return the names of a batch's loss terms, those of the batch `before` if there was one.

        Raises ``ValueError`` where they are others than before, have the name of a column of the history, or a term is
        no scalar tensor.
        """
        where = f"stage {self.name!r}, batch {batch + 1}: the loss"
        if not isinstance(terms, Mapping) or not terms:
            raise ValueError(f"{where} returns {terms!r}; return its terms by name, {{'bpr': ...}}.")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.shape != ():
                found = f"of shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                raise ValueError(f"{where}'s term {name!r} is {found}; return a tensor of one number, such as a mean.")
        if taken := [name for name in terms if name in _COLUMNS or str(name).startswith("valid ")]:
            raise ValueError(f"{where}'s term {taken[0]!r} has the name of a column of the history; choose another.")
        if before and set(before) != terms.keys():
            raise ValueError(
                f"{where} returns {', '.join(terms)}, but {', '.join(before)} in the batch before; return the same "
                f"names every time, with a zero where there is nothing to learn."
            )
        return list(before or terms)


class Method(nn.Module):
    """A recommender. It says what to train (`stages`) and how to rank (`score`); it holds no training loop.

    Subclasses set `name`, `summary`, `source`, `Config` and `profiles` ("paper" is the defaults, "lecture" trains
    in about a minute on the embedded shop, on two cores).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = ""
    Config: ClassVar[type[Hyperparameters]] = Hyperparameters
    profiles: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "lecture": {}}
    pretrained: tuple[str, ...] = ()  # prefixes of the state's names that pre-training makes
    pretrains_on_split: ClassVar[bool] = True  # pre-training sees interactions, not the items' content alone
    knows_newcomers: ClassVar[bool] = False  # has something to recommend to who took nothing in training

    def __init__(self, split: Split, config: Hyperparameters, seed: int):
        super().__init__()
        self.config = config
        self.seed = seed
        self.n_users, self.n_items = split.n_users, split.n_items
        self.split_hash, self.origin = split.hash, split.origin
        self.pretrained_from: str | None = None  # SHA-256 of the file that `load_pretrained` took over
        self.history_parts: tuple[str, ...] = ("train",)
        self._seen: tuple[tuple[int, int], ...] = ()  # the weights that what is kept was made with

    @property
    def device(self) -> torch.device:
        """Where the method's tensors are."""
        return next((t.device for t in itertools.chain(self.parameters(), self.buffers())), torch.device("cpu"))

    def here(self, tensor: Tensor) -> Tensor:
        """Return a tensor where the method's are, without waiting for a GPU (`data.batches.sent`)."""
        return sent(tensor, self.device)

    def stages(self) -> list[Stage]:
        """Return what is trained, in order; nothing by default."""
        return []

    def forward(self, loss: Callable[[Any], dict[str, Tensor]], batch: Any) -> dict[str, Tensor]:
        """Run a stage's loss on a batch. The loop calls the module, so that wrappers (DDP) see the step."""
        return loss(batch)

    def score(self, users: Tensor) -> Tensor:
        """Score every item for some users, higher is better. Shapes: (B,) int64 -> (B, I)."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop what was computed with the weights of a moment ago and kept for scoring; nothing by default.

        Called when training goes on, other weights are loaded or the model moves. A subclass that keeps more drops it
        here, too.
        """

    def train(self, mode: bool = True) -> Method:
        """Switch between training and evaluation; from evaluation to evaluation all is kept while no weight changes."""
        changed = self._weights_changed()
        if mode or self.training or changed:
            self.forget()
        return super().train(mode)

    def _weights_changed(self) -> bool:
        """Whether a weight was replaced or changed in place, by hand or in a part, since this was last asked."""
        former = self._seen
        self._seen = tuple((id(t), 0 if t.is_inference() else t._version) for t in self.parameters())
        return self._seen != former

    def load_state_dict(self, *args, **kwargs):
        """Load weights and drop what was kept of the former ones."""
        self.forget()
        return super().load_state_dict(*args, **kwargs)

    def _apply(self, *args, **kwargs):
        self.forget()  # `to`, `double` and the like: what is kept would stay where and as wide as it was
        return super()._apply(*args, **kwargs)

    def read_history(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Say which parts of the split are a user's history when scoring; return those that were.

        ``evaluate`` calls it with `Split.history_parts`: before a test under leave-one-out the validation item is past;
        ``recommend`` with training and what it masks.
        Only methods that read sequences look at `history_parts`; nothing is trained on them.
        """
        former, self.history_parts = self.history_parts, tuple(parts)
        return former

    @contextmanager
    def scoring(self, history: tuple[str, ...] | None = None) -> Iterator[None]:
        """A `with` block without dropout, in which `history` is read (`read_history`); then all is as before."""
        training, former = self.training, self.history_parts
        self.eval()
        try:
            self.read_history(former if history is None else history)
            yield
        finally:
            self.read_history(former)
            self.train(training)

    def embeddings(self) -> dict[str, Tensor]:
        """Return the named item representations, (I, d) each. What drops at random does it in ``self.scoring()``."""
        return {}

    def pretraining_settings(self) -> dict[str, Any]:
        """Return what must agree between a pre-trained part and a method that takes it over, by name.

        All settings by default. A method whose later stages have settings of their own leaves those out, so that one
        pre-training serves them all.
        """
        return self.config.model_dump(mode="json")

    def save_pretrained(self, file: str | Path) -> Path:
        """Write what pre-training made (`pretrained`) to one safetensors file, beside first, then renamed.

        The file knows the data, the split and the settings that it was made with.
        """
        if not self.pretrained:
            raise ValueError(f"{self.name} has no pre-trained part to save.")
        part = {name: tensor for name, tensor in self.state_dict().items() if name.startswith(self.pretrained)}
        note = {"origin": self.origin, "settings": self.pretraining_settings()}
        return write_tensors(file, apart(part), {"pretrained": self.name, **note})

    def load_pretrained(self, file: str | Path) -> None:
        """Take over a part that `save_pretrained` wrote, perhaps on other data.

        Raises ``ValueError`` if it is damaged or does not fit, if it was made with other `pretraining_settings`, or on
        another split of the same interactions (where it may have learned what is held out here).
        """
        try:
            note, part = read_tensors(file)
            maker = note["pretrained"]
        except (DamagedFile, KeyError) as error:
            raise ValueError(f"{file} is not a whole pre-trained part ({error}); write it again.") from None
        mine = {n: t for n, t in self.state_dict().items() if n.startswith(self.pretrained)} if self.pretrained else {}
        if maker != self.name or part.keys() != mine.keys():
            raise ValueError(
                f"{file} holds the pre-trained part of another method or variant ({maker}, here {self.name})."
            )
        for name, tensor in part.items():
            if tensor.shape != mine[name].shape:
                raise ValueError(
                    f"{file}: {name} is {tuple(tensor.shape)}, here {tuple(mine[name].shape)}; pre-train with the same "
                    f"settings and data."
                )
        self._check_origin(file, note)
        self.load_state_dict({**self.state_dict(), **part})
        with Path(file).open("rb") as stream:
            self.pretrained_from = hashlib.file_digest(stream, "sha256").hexdigest()

    def _check_origin(self, file: str | Path, note: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` unless a pre-trained part's note says that this model may take it over."""
        if not {"origin", "settings"} <= note.keys():
            raise ValueError(
                f"{file} does not say with which data, split and settings it was made: an older version wrote it. "
                f"Pre-train and save it again."
            )
        theirs = note["origin"]
        same = theirs["interactions"] == self.origin["interactions"]  # whatever features stand beside them
        if self.pretrains_on_split and same and theirs["parts"] != self.origin["parts"]:
            raise ValueError(
                f"{file} was pre-trained on another split of the same interactions, and may have learned from what is "
                f"held out here; pre-train on this split, or take the split it was made with."
            )
        theirs, mine = note["settings"], json.loads(json.dumps(self.pretraining_settings()))
        differing = sorted(key for key in theirs.keys() | mine.keys() if theirs.get(key) != mine.get(key))
        if differing:
            theirs, mine = ({key: settings.get(key) for key in differing} for settings in (theirs, mine))
            raise ValueError(
                f"{file} was pre-trained with other settings ({theirs}, here {mine}); take these, or pre-train again."
            )


def pairwise_stage(model: Method, name: str = "bpr") -> Stage:
    """The stage of a method that has one: all its weights at one rate, by its `batches` and its `loss`."""
    c = model.config
    groups = [{"params": list(model.parameters()), "lr": c.lr}]
    options = {"monitor": c.monitor, "patience": c.patience, "n_batches": len(model.batches)}
    return Stage(name, model.batches, model.loss, groups, c.epochs, **options)


class VectorMethod(Method):
    """A method whose score is the inner product of a user's and an item's vector.

    The final vectors are computed once after training and kept until training goes on or other weights are loaded.
    """

    def __init__(self, split: Split, config: Hyperparameters, seed: int):
        super().__init__(split, config, seed)
        self._vectors: tuple[Tensor, Tensor] | None = None

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the users' (U, d) and items' (I, d) final vectors, with gradient."""
        raise NotImplementedError

    def forget(self) -> None:
        """Drop the vectors."""
        super().forget()
        self._vectors = None

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Score every item for some users. Shapes: (B,) int64 -> (B, I)."""
        self.eval()
        if self._vectors is None:
            self._vectors = self.vectors()
        user, item = self._vectors
        return user[users.to(user.device)] @ item.T
