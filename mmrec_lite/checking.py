"""Is a method of your own sound? What the kit asks of its own methods, tried on a small shop in seconds."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmrec_lite.data import IndexedVectors, load, split
from mmrec_lite.data.joining import part_of
from mmrec_lite.data.splits import Split
from mmrec_lite.methods import Method, create
from mmrec_lite.training import History, fit

__all__ = ["check_method"]

OK, FAULT, NOTE = "ok", "fault", "note"
EPOCHS = 2
Finding = tuple[str, str]


def check_method(method: str, parts: Split | None = None, **hyper: Any) -> pd.DataFrame:
    """Try whether a method keeps the promises that `fit`, `evaluate` and `sweep` rely on.

    Columns: check, outcome and what was found. "fault": results would be wrong, or could not be had again; "note":
    worth a look, and may be meant; "ok": not found wanting, which is no proof. After an exception nothing more is
    tried. The method is trained several times for two epochs a stage, by default on a part of the embedded shop (300
    items); pass a split of data that have what the method reads (`parts`), and hyper-parameters, as to ``create``.

    >>> import mmrec_lite as mm
    >>> set(mm.check_method("mf")["outcome"])
    {'ok'}
    """
    trial = _Trial(method, small_split() if parts is None else parts, hyper)
    rows, broken = [], False
    for name, check in CHECKS.items():
        outcome, found = NOTE, "not tried, for what is said above"
        if not broken:
            try:
                outcome, found = check(trial)
            except Exception as error:  # whatever the method raises is what was found
                outcome, found, broken = FAULT, f"{type(error).__name__}: {error}", True
        rows.append({"check": name, "outcome": outcome, "found": found})
    return pd.DataFrame(rows)


def small_split() -> Split:
    """The 300 most taken products of the shop and who took at least five of them."""
    shop = load("bazaar")
    counts = np.bincount(shop.interactions["item"], minlength=shop.n_items)
    return split(part_of(shop, np.argsort(-counts, kind="stable")[:300], least=5), "ratio", seed=0)


class _Trial:
    """A method on a split; what several checks need is made once."""

    def __init__(self, method: str, parts: Split, hyper: dict[str, Any]):
        self.method, self.parts, self.hyper = method, parts, hyper
        self.users = torch.from_numpy(parts.users("test")[:64].copy())

    def make(self, parts: Split | None = None) -> Method:
        return create(self.method, self.parts if parts is None else parts, profile="lecture", **self.hyper)

    def train(self, parts: Split | None = None, **options: Any) -> tuple[Method, History]:
        model = self.make(parts)
        # On the CPU, where every model is made that it is compared with; "auto" would leave it on a GPU.
        options |= {"epochs": EPOCHS, "progress": False, "device": "cpu"}
        history = fit(model, self.parts if parts is None else parts, **options)
        return model, history

    @cached_property
    def trained(self) -> tuple[Method, History]:
        return self.train()

    @torch.no_grad()
    def score(self, model: Method, users: Tensor | None = None) -> Tensor:
        model.eval()
        return model.score(self.users if users is None else users).clone()

    def changed(self, part: str) -> Split:
        """The same split, with other items (and other people's reviews) in the rows of a held-out part."""
        data, rows, draw = self.parts.dataset, getattr(self.parts, part), np.random.default_rng(0)
        table = data.interactions.copy()
        taken = {user: set(items) for user, items in table.groupby("user")["item"]}
        for row in rows:
            own = taken[table.at[row, "user"]]
            free = np.setdiff1d(np.arange(data.n_items), np.fromiter(own, dtype=np.int64))
            if len(free):
                table.at[row, "item"] = draw.choice(free)
                own.add(table.at[row, "item"])
        told = {}
        for name, sequence in data.sequences.items():
            index = sequence.index.copy()
            if sequence.rows == "interactions":
                index[rows] = index[draw.permutation(rows)]
            told[name] = IndexedVectors(sequence.vectors, index, sequence.rows)
        return dataclasses.replace(self.parts, dataset=data.replace(interactions=table, sequences=told))


def _same(a: Method, b: Method) -> list[str]:
    """Return the names of weights and buffers in which two models differ by a bit."""
    return [
        name for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True) if not x.equal(y)
    ]


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _is_made(trial: _Trial) -> Finding:
    first, again = trial.make(), trial.make()
    if differing := _same(first, again):
        return FAULT, f"one seed gives two starts: {_names(differing)}; draw with PyTorch's generator, not with others."
    return OK, f"{sum(p.numel() for p in first.parameters()):,} weights"


def _losses(trial: _Trial) -> Finding:
    model, said = trial.make(), []
    for number, stage in enumerate(model.stages()):
        model.train()
        if stage.begin_epoch:
            stage.begin_epoch(0)
        batch = next(iter(stage.batches(torch.Generator().manual_seed(number))))
        terms = stage.loss(batch.to(model.device))
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.shape != () or not bool(term.isfinite()):
                return FAULT, f"stage {stage.name!r}: term {name!r} is no finite scalar tensor: {term!r}."
        if not any(term.requires_grad for term in terms.values()):
            return FAULT, f"stage {stage.name!r}: no term ({', '.join(terms)}) has a gradient; was it detached?"
        said.append(f"{stage.name}: {', '.join(terms)}")
    return OK, "; ".join(said) or "nothing is trained"


def _trains(trial: _Trial) -> Finding:
    model, history = trial.trained
    if not history.rows:
        return OK, "nothing is trained"
    start = trial.make().state_dict()
    still = [name for name, weight in model.named_parameters() if weight.detach().equal(start[name])]
    frame = history.frame
    first, last = (frame[frame["epoch"] == epoch].set_index("stage")["loss"] for epoch in (1, EPOCHS))
    rising = [
        f"{stage} ({first[stage]:.4g} to {last[stage]:.4g})" for stage in last.index if last[stage] >= first[stage]
    ]
    said = [f"never changed: {_names(still)}"] if still else []
    said += [f"the loss does not fall: {_names(rising)}"] if rising else []
    return (NOTE, "; ".join(said)) if said else (OK, "every weight moves, every stage's loss falls")


def _scores(trial: _Trial) -> Finding:
    model = trial.make()
    scores = trial.score(model)
    wanted = (len(trial.users), trial.parts.n_items)
    if tuple(scores.shape) != wanted:
        return FAULT, f"score gave {tuple(scores.shape)} for {wanted[0]} users and {wanted[1]} items, not {wanted}."
    if bool(scores.isnan().any()):
        return FAULT, "some scores are NaN, before any training."
    if not trial.score(model).equal(scores):
        return FAULT, "two calls differ: something is random while scoring (dropout that ignores self.training?)."
    fewer = trial.users[::2].flip(0)  # half of them, in another order
    if not torch.allclose(trial.score(model, fewer).flip(0), scores[::2], rtol=1e-4, atol=1e-5):
        return FAULT, "a user's scores depend on which other users are asked about."
    return OK, f"{wanted[0]} x {wanted[1]}; a user's row does not depend on who else is asked about"


def _repeats(trial: _Trial) -> Finding:
    if differing := _same(trial.trained[0], trial.train()[0]):
        return FAULT, f"trained twice from one seed, these differ: {_names(differing)}."
    return OK, "trained twice from one seed: the same weights to the bit"


def _resumes(trial: _Trial) -> Finding:
    if not trial.trained[1].rows:
        return OK, "nothing is trained"
    with tempfile.TemporaryDirectory() as folder:
        trial.train(checkpoint=folder, callback=lambda row: False)
        model, history = trial.train(checkpoint=folder)
    differing = _same(trial.trained[0], model)
    if _figures(history) != _figures(trial.trained[1]):  # the weights may be alike: those of the best epoch, the first
        differing += ["the losses"]
    if differing:
        return FAULT, (
            f"stopped after an epoch and taken up again, these differ: {_names(differing)}; what changes in training "
            f"must be a parameter, a buffer, or made in begin_epoch."
        )
    return OK, "stopped after an epoch and taken up again: the same weights to the bit"


def _state(trial: _Trial) -> Finding:
    model, _ = trial.trained
    other = trial.make()
    other.load_state_dict(model.state_dict())
    gap = float((trial.score(other) - trial.score(model)).nan_to_num().abs().max())
    if gap > 1e-5:
        return FAULT, (
            f"a new model with the trained state scores otherwise (by up to {gap:.2g}): something learned is "
            f"neither a parameter nor a buffer, so no checkpoint holds it."
        )
    return OK, "state_dict() holds all that scoring needs"


def _held_out(trial: _Trial) -> Finding:
    if trial.parts.held_out_items:
        return NOTE, "not tried: pass a split without held-out items (another protocol than cold-items)."
    model, history = trial.trained
    test, valid = (trial.train(trial.changed(part)) for part in ("test", "valid"))
    if _same(model, test[0]) or not trial.score(model).equal(trial.score(test[0])):
        return FAULT, "with other items in the test part it learns or scores otherwise: it has seen the test part."
    if not history.rows:
        learned = not trial.score(model).equal(trial.score(valid[0]))
    else:  # validation may choose the epoch that a stage keeps, and with it where the next stage starts
        learned = _first_losses(history) != _first_losses(valid[1])
    if learned:
        return FAULT, "with other items in the validation part its losses or scores are others: it learns from them."
    return OK, "other items in the validation and test parts change no loss, and test no weight"


def _first_losses(history: History) -> list[dict[str, Any]]:
    """Return the loss terms of the first stage's epochs."""
    rows = [row for row in _figures(history) if row["stage"] == history.rows[0]["stage"]]
    return [{k: v for k, v in row.items() if not k.startswith("valid ")} for row in rows]


def _figures(history: History) -> list[dict[str, Any]]:
    """Return the epochs' rows without what the clock said."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def _embeddings(trial: _Trial) -> Finding:
    model, _ = trial.trained
    vectors = model.embeddings()
    for name, matrix in vectors.items():
        if matrix.ndim != 2 or len(matrix) != trial.parts.n_items or not bool(matrix.isfinite().all()):
            return FAULT, f"{name!r} is {tuple(matrix.shape)}, or not finite; each is (items, d)."
    return (OK, ", ".join(vectors)) if vectors else (NOTE, "none: no map or probe of this method can be drawn")


CHECKS: dict[str, Callable[[_Trial], Finding]] = {
    "is made": _is_made,
    "losses": _losses,
    "scores": _scores,
    "learns": _trains,
    "repeats": _repeats,
    "resumes": _resumes,
    "state": _state,
    "held-out data": _held_out,
    "embeddings": _embeddings,
}
