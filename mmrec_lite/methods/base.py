"""What a method is: hyper-parameters, stages to train, scores to rank by."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mmrec_lite.data.splits import Split
from mmrec_lite.files import write_tensors

__all__ = ["HyperparameterError", "Hyperparameters", "Method", "Modalities", "Stage", "VectorMethod"]


def _split_names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Modalities = Annotated[tuple[str, ...] | None, BeforeValidator(_split_names)]
"""Names of features; "image,text", as a command line gives it, is taken apart. None: all the data set has."""


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
    monitor: str = Field("recall@20", pattern=r"^(recall|precision|ndcg|hit|mrr)@[1-9]\d*$", description="metric")


@dataclass(frozen=True)
class Stage:
    """One thing to train: which batches, which loss, for how long.

    `loss` returns named terms whose sum is trained. `batches(generator)` yields one epoch. `parameters` are the
    optimiser's groups ("adam" or "sgd"); `lr_decay(epoch)` multiplies every group's rate. `monitor` names the
    validation metric of early stopping (None: train all epochs and keep the last state). `begin_epoch(epoch)` runs
    before each epoch.
    """

    name: str
    batches: Callable[[torch.Generator], Iterable[Any]]
    n_batches: int
    loss: Callable[[Any], dict[str, Tensor]]
    parameters: list[dict[str, Any]]
    epochs: int
    monitor: str | None = "recall@20"
    patience: int = 10
    lr_decay: Callable[[int], float] | None = None
    begin_epoch: Callable[[int], None] | None = None
    optimizer: Literal["adam", "sgd"] = "adam"


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
    knows_newcomers: ClassVar[bool] = False  # has something to recommend to who took nothing in training

    def __init__(self, split: Split, config: Hyperparameters, seed: int):
        super().__init__()
        self.config = config
        self.seed = seed
        self.n_users, self.n_items = split.n_users, split.n_items
        self.split_hash = split.hash
        self.history_parts: tuple[str, ...] = ("train",)

    @property
    def device(self) -> torch.device:
        """Where the method's tensors are."""
        return next((t.device for t in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    def stages(self) -> list[Stage]:
        """Return what is trained, in order; nothing by default."""
        return []

    def forward(self, loss: Callable[[Any], dict[str, Tensor]], batch: Any) -> dict[str, Tensor]:
        """Run a stage's loss on a batch. The loop calls the module, so that wrappers (DDP) see the step."""
        return loss(batch)

    def score(self, users: Tensor) -> Tensor:
        """Score every item for some users, higher is better. Shapes: (B,) int64 -> (B, I)."""
        raise NotImplementedError

    def read_history(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Say which parts of the split are a user's history when scoring; return those that were.

        ``evaluate`` calls it with `Split.history_parts`: before a test under leave-one-out the validation item is past.
        Only methods that read sequences look at `history_parts`; nothing is trained on them.
        """
        former, self.history_parts = self.history_parts, tuple(parts)
        return former

    def embeddings(self) -> dict[str, Tensor]:
        """Return the named item representations, (I, d) each."""
        return {}

    def save_pretrained(self, file: str | Path) -> Path:
        """Write what pre-training made (`pretrained`) to one safetensors file, beside first, then renamed."""
        if not self.pretrained:
            raise ValueError(f"{self.name} has no pre-trained part to save.")
        part = {name: tensor for name, tensor in self.state_dict().items() if name.startswith(self.pretrained)}
        return write_tensors(file, part, {"pretrained": self.name})

    def load_pretrained(self, file: str | Path) -> None:
        """Take over a part that `save_pretrained` wrote; ``ValueError`` if it is damaged or does not fit."""
        try:
            with safe_open(file, framework="pt") as opened:
                maker = json.loads((opened.metadata() or {})["mmrec_lite"])["pretrained"]
                part = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
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
        self.load_state_dict({**self.state_dict(), **part})


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

    def train(self, mode: bool = True) -> VectorMethod:
        """Switch between training and evaluation; the vectors of former weights are dropped."""
        if mode or self.training:
            self._vectors = None
        return super().train(mode)

    def load_state_dict(self, *args, **kwargs):
        """Load weights and drop the vectors that were made with the former ones."""
        self._vectors = None
        return super().load_state_dict(*args, **kwargs)

    @torch.no_grad()
    def score(self, users: Tensor) -> Tensor:
        """Score every item for some users. Shapes: (B,) int64 -> (B, I)."""
        if self.training:
            self.eval()
        if self._vectors is None:
            self._vectors = self.vectors()
        user, item = self._vectors
        return user[users.to(user.device)] @ item.T
