"""The one loop: every stage of every method, in plain sight."""

from __future__ import annotations

import copy
import math
import numbers
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmrec_lite import parallel
from mmrec_lite._random import epoch_seed, own_random_numbers, repeatable
from mmrec_lite._threads import ALONE
from mmrec_lite.checkpoints import (
    CHECKPOINT_VERSION,
    CheckpointError,
    check_stages,
    identity_of,
    named,
    read_checkpoint,
)
from mmrec_lite.data.batches import OnDevice, remembering
from mmrec_lite.data.errors import expect
from mmrec_lite.data.splits import Split
from mmrec_lite.evaluation import check_candidates, evaluate
from mmrec_lite.files import apart, refuse_closed, write_tensors
from mmrec_lite.methods.base import Method, Stage

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["CheckpointError", "History", "TrainingDiverged", "fit"]

CHECKED = 100  # a GPU's terms are looked at so often, since looking makes the host wait for the step


class TrainingDiverged(RuntimeError):
    """A loss term became NaN or infinite."""


@dataclass
class History:
    """What happened: one row an epoch (stage, epoch, named loss terms, validation metric, rate, seconds)."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, dict[str, float]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)

    @property
    def seconds(self) -> float:
        """Seconds spent in training and validation."""
        return float(sum(row["seconds"] for row in self.rows))

    def __repr__(self) -> str:
        parts = []
        for stage, best in self.best.items():
            rows = [row for row in self.rows if row["stage"] == stage]
            name = next((key for row in rows for key in row if key.startswith("valid ")), "")
            figure = f", best {name} {best['metric']:.4f} in epoch {best['epoch']}" if "metric" in best else ""
            parts.append(f"{stage}: {len(rows)} epochs ({self.stopped.get(stage, 'running')}){figure}")
        return f"History({'; '.join(parts) or 'nothing trained'}; {self.seconds:.1f} s)"


@dataclass
class _Progress:
    """Where training stands: all that a checkpoint holds besides tensors."""

    stage: int = 0
    epoch: int = 0
    waited: int = 0
    best_metric: float | None = None
    history: History = field(default_factory=History)


def fit(
    model: Method,
    split: Split,
    *,
    epochs: int | None = None,
    stages: str | Sequence[str] | None = None,
    device: str = "auto",
    devices: int | str = 1,
    precision: str = "32-true",
    candidates: str | int = "all",
    checkpoint: str | Path | None = None,
    progress: bool = True,
    callback: Callable[[dict[str, Any]], bool | None] | None = None,
) -> History:
    """Train a method's stages, keep the best state by validation, and return the history.

    `epochs` caps every stage, `stages` names those to train (default: all). `checkpoint` names a folder: the state is
    written there after every epoch, and a second call with the same model and split goes on where the first one
    ended, to the same final weights as without the break (all randomness of an epoch comes from seed, stage and
    epoch; on a CPU the same number of threads adds up in the same order). A later call may raise `epochs`: the stage
    that was under way goes on, those that were over stay as they are. `callback(row)` sees each epoch's row and
    ends the training by returning False. Ctrl-C restores the best state so far and leaves the history in
    `model.history`. `device` is "cpu", "cuda" or "auto", a CUDA GPU where there is one; `precision` is Lightning
    Fabric's ("bf16-mixed" ...; graphs are propagated in 32 bits in any case). `candidates` are those that validation
    ranks, "all" items, the "held-out" ones of a cold-items split, or a number drawn with seed 0 (see `evaluate`):
    choose the best epoch by the question that the test is going to ask. The state before the first epoch is not among
    those compared: training a trained model again can leave it worse.

    `devices=2` trains on two processes, each with the whole model and its share of every batch, to the result of one
    process, where loss terms are means over a batch's cases (`Stage`); the others run the same script again up to here
    (`parallel.start`), or `fabric run` has started them. Process 0 validates, writes the checkpoint, shows the bar and
    asks `callback`; all of them must see the checkpoint.

    Raises ``TrainingDiverged`` when a loss term or, after an epoch, a weight is not finite (the best state is restored
    first, if one was validated, and no checkpoint is written), ``CheckpointError``
    for a checkpoint that is damaged or not of this model, split, pre-trained part and version, or of other stages,
    ``ValueError`` for another split than the model's and for a loss that does not return the same terms every time.
    """
    expect("fit", model, Method, "mm.create() makes one")
    expect("fit", split, Split, "pass the one that the model was made with")
    if model.split_hash != split.hash:
        raise ValueError(f"fit: the model was made for another split than {split.name}; make it anew with mm.create().")
    if epochs is not None and (not isinstance(epochs, numbers.Integral) or epochs < 0):
        raise ValueError(f"fit: epochs = {epochs!r}, but it is the most epochs of a stage, a whole number from 0.")
    check_candidates(candidates, split, "valid")
    candidates = candidates if isinstance(candidates, str) else int(candidates)
    fabric = parallel.start(device, devices, precision)
    chosen = _choose(model, stages)
    state = _Progress()
    model.history = state.history
    file = Path(checkpoint) / "checkpoint.safetensors" if checkpoint is not None else None
    if file is not None:
        refuse_closed(file.parent)
    saved = read_checkpoint(file, identity_of(model, candidates)) if file is not None and file.exists() else None
    if fabric.world_size > 1 and parallel.agree(bool(saved)) != bool(saved):
        raise CheckpointError(f"{file}: not every process sees this checkpoint; name a folder that all of them share.")
    if saved:
        state = _restore_progress(saved)
        model.history = state.history
        names = [stage.name for stage in model.stages()]
        check_stages(file, names, list(chosen), state.stage, state.history.best)
        later = min(chosen, default=state.stage) > state.stage
        if later:
            state.history.stopped.setdefault(names[state.stage], "interrupted")
        former = named(saved, "best") if later else {}  # an earlier stage ends with its best state
        model.load_state_dict(former or named(saved, "model"))
    for index, stage in chosen.items():
        if index < state.stage:
            continue
        if state.stage != index:
            state = _Progress(stage=index, history=state.history)
        limit = stage.epochs if epochs is None else min(epochs, stage.epochs)
        trainer = _Trainer(fabric, model, split, stage, state, file, limit, candidates)
        if saved and index == saved["progress"]["stage"]:
            trainer.restore(saved)
        saved = None
        trainer.run(progress, callback)
        if state.history.stopped[stage.name] == "callback":
            break
    model.eval()
    return state.history


def make_optimizer(stage: Stage) -> torch.optim.Optimizer:
    """Return the optimiser of a stage's weights; Adam in one pass over weights, gradient and moments (`fused`)."""
    if stage.optimizer == "sgd":
        return torch.optim.SGD(stage.parameters)
    return torch.optim.Adam(stage.parameters, fused=True)


def _choose(model: Method, names: str | Sequence[str] | None) -> dict[int, Stage]:
    """Return the stages to train by their place in the method's order."""
    stages, names = dict(enumerate(model.stages())), (names,) if isinstance(names, str) else names
    known = [stage.name for stage in stages.values()]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"fit: {model.name} has no stage {unknown[0]!r}; it has: {', '.join(known) or 'none'}.")
    return {index: stage for index, stage in stages.items() if names is None or stage.name in names}


class _Trainer:
    """One stage's optimiser, best state and epochs."""

    def __init__(
        self,
        fabric: Fabric,
        model: Method,
        split: Split,
        stage: Stage,
        state: _Progress,
        file: Path | None,
        limit: int,
        candidates: str | int,
    ):
        self.fabric, self.model, self.split, self.stage = fabric, model, split, stage
        self.state, self.file, self.limit, self.candidates = state, file, limit, candidates
        self.rates = [group["lr"] for group in stage.parameters]
        optimizer = make_optimizer(stage)
        self.module, self.optimizer = fabric.setup(model, optimizer)
        self.best: dict[str, Tensor] | None = None
        self.several = fabric.world_size > 1
        self.weights = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.several:
            parallel.same_start(list(model.state_dict().values()))

    def run(self, progress: bool, callback: Callable | None) -> None:
        """Train until the epochs are over, validation stops improving or the callback says so."""
        state, stage, history = self.state, self.stage, self.state.history
        reason = "all epochs"
        history.best.setdefault(stage.name, {})
        history.stopped.pop(stage.name, None)  # of a checkpoint from which it goes on
        bar = tqdm(
            total=self.limit, initial=state.epoch, desc=stage.name, unit="epoch", disable=not (progress and self.leads)
        )
        try:
            while state.epoch < self.limit:
                if stage.monitor and state.waited >= stage.patience:
                    reason = "early stop"
                    break
                row = self.epoch()
                history.rows.append(row)
                bar.update()
                bar.set_postfix(
                    {k: f"{v:.4f}" for k, v in row.items() if isinstance(v, float) and k not in ("lr", "seconds")}
                )
                state.epoch += 1
                self.save()
                go_on = callback(row) if callback is not None and self.leads else None
                if (parallel.agree(go_on) if self.several and callback is not None else go_on) is False:
                    reason = "callback"
                    break
            history.stopped[stage.name] = reason
            self.save()  # before the best state takes the place of the last one, from which more epochs would go on
        except BaseException:
            self.finish("interrupted")
            raise
        finally:
            bar.close()
        self.finish(reason)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that validates and writes."""
        return self.fabric.is_global_zero

    def epoch(self) -> dict[str, Any]:
        """Train one epoch and validate; return its row of the history."""
        started = time.perf_counter()
        state, stage = self.state, self.stage
        decay = float(stage.lr_decay(state.epoch)) if stage.lr_decay else 1.0
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * decay
        seed = epoch_seed(self.model.seed, state.stage, state.epoch)
        with ALONE, repeatable(self.fabric.device), own_random_numbers(self.fabric.device, seed) as generator:
            self.model.train()
            if stage.begin_epoch:
                stage.begin_epoch(state.epoch)
            totals = self.steps(generator)
        row = {"stage": stage.name, "epoch": state.epoch + 1, **totals}
        if stage.monitor:
            row[f"valid {stage.monitor}"] = self.validate()
        return row | {"lr": self.rates[0] * decay, "seconds": time.perf_counter() - started}

    def steps(self, generator: torch.Generator) -> dict[str, float]:
        """Take one optimiser step a batch; return each term's mean over the epoch and their sum, `loss`."""
        seen: list[Tensor] = []
        names: list[str] = []
        every = 1 if self.fabric.device.type == "cpu" else CHECKED
        for batch in self.stage.batches(generator):
            batch, share, weight = parallel.take_share(batch, self.fabric.global_rank, self.fabric.world_size)
            with parallel.taking(share):
                moved = batch.to(self.fabric.device) if isinstance(batch, OnDevice) else self.fabric.to_device(batch)
                terms = self.module(remembering(self.stage.loss, batch), moved)
                names = self.stage.term_names(terms, names, len(seen))
                seen.append(torch.stack([terms[name].detach().float() for name in names]))
                self.optimizer.zero_grad(set_to_none=True)
                self.fabric.backward(sum(terms.values()) * weight if self.several else sum(terms.values()))
            if self.several:  # the processes' terms travel with the gradients, and all stop together
                seen[-1] = parallel.sum_gradients(self.weights, weight * seen[-1])
            if len(seen) % every == 0:
                self._check(names, seen, every)
            self.optimizer.step()
        if not seen:
            raise ValueError(f"stage {self.stage.name!r}: `batches` yields none, so nothing is learned; leave it out.")
        self._check(names, seen, len(seen) % every)
        means = torch.stack(seen).mean(dim=0).tolist()
        self._check_weights(dict(zip(names, means, strict=True)), len(seen))
        return dict(zip(names, means, strict=True)) | {"loss": sum(means)}

    def _check(self, names: list[str], seen: list[Tensor], last: int) -> None:
        """Raise ``TrainingDiverged`` for the first of the last steps that has a term which is not finite."""
        for number, terms in enumerate(torch.stack(seen[-last:]).tolist() if last else (), len(seen) - last):
            if not all(map(math.isfinite, terms)):
                bad = ", ".join(name for name, value in zip(names, terms, strict=True) if not math.isfinite(value))
                raise self._diverged(bad, number, f"terms: {dict(zip(names, terms, strict=True))}")

    def _check_weights(self, means: dict[str, float], batches: int) -> None:
        """Raise ``TrainingDiverged`` where finite terms had gradients that were not; it is never written."""
        trained = {id(weight) for weight in self.weights}
        named = ((name, weight) for name, weight in self.model.named_parameters() if id(weight) in trained)
        bad = ", ".join(name for name, weight in named if not bool(weight.isfinite().all()))
        if bad:
            raise self._diverged(f"weight {bad}", batches - 1, f"all terms are, on average {means}: a gradient was not")

    def _diverged(self, what: str, batch: int, terms: str) -> TrainingDiverged:
        kept = f" {self.file} holds epoch {self.state.epoch}." if self.file and self.file.exists() else ""
        restored = "The best state so far is restored" if self.best else "No state was validated, so none is restored"
        return TrainingDiverged(
            f"{self.model.name}, stage {self.stage.name!r}: {what} is not finite in epoch {self.state.epoch + 1}, "
            f"batch {batch + 1} ({terms}). {restored}; lower the learning rate ({self.rates[0]}) or look at the "
            f"features' scale.{kept}"
        )

    def validate(self) -> float:
        """Evaluate on the validation part and keep the state if it is the best so far."""
        state, stage = self.state, self.stage
        k = int(stage.monitor.rsplit("@", 1)[1])
        figure = None
        if self.leads:
            report = evaluate(self.model, self.split, part="valid", ks=(k,), candidates=self.candidates)
            figure = report.metrics[stage.monitor]
        figure = parallel.agree(figure) if self.several else figure
        state.waited += 1
        if state.best_metric is None or figure > state.best_metric:
            state.best_metric, state.waited = figure, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            state.history.best[stage.name] = {"metric": figure, "epoch": state.epoch + 1}
        return figure

    def finish(self, reason: str) -> None:
        """Restore the best state and note why the stage ended."""
        self.state.history.stopped[self.stage.name] = reason
        if self.best is not None:
            self.model.load_state_dict(self.best)

    # Checkpoints: one safetensors file, tensors by name and the rest as JSON in its header -----------------------

    def save(self) -> None:
        """Write the checkpoint, if there is to be one; every process goes on when it is written."""
        if self.file is None:
            return
        if self.leads:
            self.write(self.file)
        if self.several:  # a process ahead of the writing one would resume from the checkpoint before, or from none
            parallel.agree(None)

    def write(self, file: Path) -> None:
        """Write the state beside the old checkpoint, then rename: there is always one whole file."""
        tensors = {f"model/{name}": tensor for name, tensor in apart(self.model.state_dict()).items()}
        tensors |= {f"best/{name}": tensor for name, tensor in (self.best or {}).items()}
        for number, entry in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": value for name, value in entry.items()}
        header = {
            "version": CHECKPOINT_VERSION,
            **identity_of(self.model, self.candidates),
            "progress": {
                "stage": self.state.stage,
                "epoch": self.state.epoch,
                "waited": self.state.waited,
                "best_metric": self.state.best_metric,
                "rows": self.state.history.rows,
                "best": self.state.history.best,
                "stopped": self.state.history.stopped,
            },
        }
        write_tensors(file, tensors, header)

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over a checkpoint's optimiser and best state, and its weights again, in training precision."""
        self.model.load_state_dict(named(saved, "model"))
        self.best = named(saved, "best") or None
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in named(saved, "optimizer").items():
            number, entry = name.split("/")
            state.setdefault(int(number), {})[entry] = tensor
        groups = copy.deepcopy(self.optimizer.state_dict()["param_groups"])
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _restore_progress(saved: dict[str, Any]) -> _Progress:
    p = saved["progress"]
    history = History(p["rows"], p["best"], p["stopped"])
    return _Progress(p["stage"], p["epoch"], p["waited"], p["best_metric"], history)
