"""From a method's name to a row of results on disk."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib.metadata
import json
import numbers
import os
import platform
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from mmrec_lite import parallel
from mmrec_lite.data import MultimodalDataset, load, split
from mmrec_lite.data.protocols import SPLIT_OPTIONS, checked_options
from mmrec_lite.data.splits import Split
from mmrec_lite.evaluation import KS, Report, check_candidates, evaluate
from mmrec_lite.methods import configure, create, method_class
from mmrec_lite.methods.base import Method
from mmrec_lite.methods.code import code_of, function_id
from mmrec_lite.metrics import check_ks
from mmrec_lite.training import History, fit

__all__ = ["Busy", "Result", "claim", "collect", "peak_memory", "run", "run_id"]

FORMAT = 1
PACKAGES = ("mmrec_lite", "torch", "numpy", "scipy", "pandas", "lightning-fabric")


@dataclass
class Result:
    """One run: a flat `row` (configuration, metrics, versions, hashes, cost) and the tables behind it.

    `report`, `model` and `split` are there right after a run, not after `Result.load`.
    """

    row: dict[str, Any]
    history: pd.DataFrame
    per_user: pd.DataFrame
    slices: pd.DataFrame
    report: Report | None = field(default=None, repr=False)
    model: Method | None = field(default=None, repr=False)
    split: Split | None = field(default=None, repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """The test metrics, keyed "recall@20"."""
        return {name: value for name, value in self.row.items() if "@" in name and " " not in name}

    def __repr__(self) -> str:
        shown = {name: round(self.metrics[name], 4) for name in ("recall@20", "ndcg@20") if name in self.metrics}
        return f"Result({self.row['method']} on {self.row['split']}, seed {self.row['seed']}: {shown})"

    def save(self, folder: str | Path) -> Path:
        """Write the run to `folder`/<its id>/ (row.json and Parquet tables), beside first, then renamed."""
        target = Path(folder) / self.row["id"]
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        former = beside.with_name(beside.name + ".former")  # never without a whole one, under this name or the other
        beside.mkdir()
        try:
            for name in ("history", "per_user", "slices"):
                getattr(self, name).to_parquet(beside / f"{name}.parquet")
            (beside / "row.json").write_text(json.dumps(self.row, indent=1))
            with contextlib.suppress(OSError):
                os.replace(target, former)
            with contextlib.suppress(OSError):  # another process wrote the same run a moment ago: theirs is as good
                os.replace(beside, target)
            read_row(target)
        finally:
            if former.exists() and not target.exists():  # the new one did not get its name: the old one keeps it
                os.replace(former, target)
            for left in (beside, former):
                shutil.rmtree(left, ignore_errors=True)
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """Read a run's folder; ``ValueError`` where there is none, or one of its files is damaged or missing."""
        folder = Path(folder)
        row, tables = read_row(folder), {}
        for name in ("history", "per_user", "slices"):
            try:
                tables[name] = pd.read_parquet(folder / f"{name}.parquet")
            except (OSError, ValueError) as error:  # Arrow's own are of both
                raise ValueError(_damaged(folder, f"{name}.parquet", error)) from None
        return cls(row, **tables)


def read_row(folder: Path) -> dict[str, Any]:
    """Read the row.json of a run or of a lesson's point."""
    try:
        row = json.loads((folder / "row.json").read_text(encoding="utf-8"))
        if not isinstance(row, dict):
            raise ValueError("no object")
    except FileNotFoundError as error:
        inside = [file.parent.name for file in sorted(folder.glob("[!.]*/row.json"))]
        more = f"one of those in it, such as {inside[0]}, or read all with collect" if inside else "one that was saved"
        raise ValueError(f"{folder} holds no result of a run: {error}. Name the run's own folder: {more}.") from None
    except (OSError, ValueError) as error:  # not UTF-8 and not JSON are ValueErrors, too
        raise ValueError(_damaged(folder, "row.json", error)) from None
    if row.get("format") != FORMAT:
        raise ValueError(f"{folder} has result format {row.get('format')}; this program reads {FORMAT}. Run it again.")
    return row


def _damaged(folder: Path, file: str, error: Exception) -> str:
    what = "is missing" if isinstance(error, FileNotFoundError) else str(error)
    return f"{folder} is damaged ({file}: {what}): delete it and run again."


def run_id(method: str, split: Split, seed: int, config: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """Name a run by what decides its outcome, the kit's version included, so that a repeated call finds it."""
    from mmrec_lite import __version__  # here: the package imports this module

    parts = json.dumps([__version__, method, split.hash, seed, config, extra], sort_keys=True)
    return f"{method}-{split.name}-r{seed}-{hashlib.sha256(parts.encode()).hexdigest()[:10]}"


def whole_number(where: str, name: str, value: Any) -> int:
    """Return a seed as Python's own number, which JSON holds, or raise ``ValueError`` for what is none."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where}: {name} = {value!r}, but it is a whole number from 0.")
    return int(value)


def run(
    method: str,
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    protocol: str = "ratio",
    seed: int = 0,
    split_seed: int = 0,
    profile: str = "paper",
    ks: Sequence[int] = KS,
    candidates: str | int = "all",
    split_options: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    save: str | Path | None = None,
    progress: bool = False,
    device: str = "auto",
    devices: int | str = 1,
    wait: bool = True,
    pretrained: str | Path | None = None,
    also: Callable[[Result], Mapping[str, Any]] | None = None,
    **hyper: Any,
) -> Result:
    """Load, split, create, fit and evaluate: a method's test metrics on a data set.

    `seed` decides weights and batches, `split_seed` what is held out. `candidates` are those of ``evaluate``; with
    "held-out" validation ranks the held-out items, too, with a number it ranks all. `hyper` changes the profile's
    settings, `split_options` are those of ``mm.split``. With `save`, the result is written below that folder, and a
    run that this version of the kit left there is read instead of repeated; one that another process is at is waited
    for, or, with `wait=False`, refused as `Busy`. `pretrained` names a file of `Method.save_pretrained`: the stage
    "pretrain" is read from it instead of trained. `devices=2` trains on two processes (see ``fit``), of which one holds
    the claim and writes.
    `also(result)` gives further figures for the row, under names that it does not have; it is asked once, after the
    training, while model and report are there. A kept run that was not asked by this function is made again and takes
    the other's place.

    >>> import mmrec_lite as mm
    >>> result = mm.run("popularity", "bazaar")
    >>> sorted(result.metrics)[:2]
    ['hit@10', 'hit@20']
    """
    if not isinstance(method, str):
        raise ValueError(f"run: method = {method!r}, but it is one name; mm.sweep runs several.")
    options = checked_options("run", split_options)
    for name in set(SPLIT_OPTIONS) & set(hyper) - set(method_class(method).Config.model_fields):
        raise ValueError(
            f"run: {name!r} is an option of the split: split_options={{{name!r}: {hyper[name]!r}}}, or "
            f"--split {name}=... on the command line."
        )
    config = configure(method, profile, **hyper)
    by = None if also is None else function_id(also)  # refused now, not after the training
    seed, split_seed = (whole_number("run", n, v) for n, v in (("seed", seed), ("split_seed", split_seed)))
    asked = devices != 1 or "LT_DEVICES" in os.environ
    fabric = parallel.start(device, devices) if asked else None  # before the data are read: further processes start
    several = fabric is not None and fabric.world_size > 1
    leads, agree = not several or fabric.is_global_zero, parallel.agree if several else (lambda value: value)
    dataset = load(data)
    parts = split(dataset, protocol, seed=split_seed, **options)
    ks = check_ks(ks)  # now, not after the training
    check_candidates(candidates, parts, "test")
    candidates = candidates if isinstance(candidates, str) else int(candidates)
    how: dict[str, Any] = {"ks": list(ks), "candidates": candidates}
    valid = "held-out" if candidates == "held-out" else "all"  # validation is cheap enough to need no sample
    if valid != "all":
        how["valid"] = valid
    if pretrained is not None:
        how["pretrained"] = hashlib.sha256(Path(pretrained).read_bytes()).hexdigest()
    if code := code_of(method_class(method)):
        how["code"] = code
    name = run_id(method, parts, seed, config.model_dump(mode="json"), how)

    def kept() -> Result | None:
        if save is None or not agree((Path(save) / name / "row.json").exists()):
            return None
        found = Result.load(Path(save) / name)
        # Two profiles may have the same settings, two splits the same rows.
        found.row |= split_columns(parts) | {"profile": profile, "split_seed": split_seed}
        return found if by in (None, found.row.get("further figures by")) else None

    if save is not None and not several and not _to_tidy(Path(save) / name):
        with contextlib.suppress(ValueError):  # damaged, or replaced at this moment: the claim tells
            if found := kept():  # without a claim, since the folder may be closed to writing
                return found
    with claim(save if leads else None, name, wait):
        if save is not None and leads:
            _tidy(Path(save) / name)
        if found := kept():
            return found
        _forget_peak()
        started = time.perf_counter()
        model = create(method, parts, profile=profile, seed=seed, **hyper)
        stages = None
        if pretrained is not None:
            model.load_pretrained(pretrained)
            stages = [stage.name for stage in model.stages() if stage.name != "pretrain"]
        made = time.perf_counter()
        where = {"device": device, "devices": devices}
        history = fit(model, parts, stages=stages, checkpoint=checkpoint, progress=progress, candidates=valid, **where)
        trained = time.perf_counter()
        report = evaluate(model, parts, ks=ks, candidates=candidates, seed=split_seed)
        fitted = max(trained - made, history.seconds)  # with a checkpoint part of it was trained by an earlier call
        seconds = {"create": made - started, "fit": fitted, "evaluate": time.perf_counter() - trained}
        row = _row(name, model, parts, history, report, seconds)
        row |= {"seed": seed, "split_seed": split_seed, "profile": profile, "candidates": str(candidates)}
        row |= {"ks": str(ks)} | {key: how[key] for key in ("pretrained", "code") if key in how}
        slices = report.slices("popularity")
        result = Result(row, history.frame, report.per_user, slices, report, model, parts)
        if also is not None:
            if save is not None and leads:
                result.save(save)  # the training is not lost where `also` fails
            figures = _further(also, result)
            row |= figures | {"further figures": ", ".join(figures), "further figures by": by}
        if save is not None and leads:
            result.save(save)
        agree(None)  # what process 0 wrote is there when any process goes on
    return result


def _further(also: Callable[[Result], Mapping[str, Any]], result: Result) -> dict[str, Any]:
    """Ask for further figures; ``ValueError`` for names that the row has and for what JSON does not hold."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray | torch.Tensor):
            return value.tolist()
        raise ValueError(f"also: {type(value).__name__} {value!r} is no figure of a row; give numbers or strings.")

    figures = dict(also(result))
    for name in figures:
        if name in result.row or name in ("further figures", "further figures by"):
            raise ValueError(f"also: the row has a {name!r} of its own; give the figure another name.")
    return json.loads(json.dumps(figures, default=plain))


def _to_tidy(target: Path) -> list[Path]:
    """What a killed process left beside a run, or another one is writing; none where nothing could be taken away."""
    closed = target.parent.exists() and not os.access(target.parent, os.W_OK)
    return [] if closed else [*target.parent.glob(f".{glob.escape(target.name)}.*")]


def _tidy(target: Path) -> None:
    """Take away what a killed process left beside a run; what it had written whole becomes the run."""
    for left in _to_tidy(target):
        if not target.exists():
            with contextlib.suppress(ValueError, OSError):
                Result.load(left)
                os.replace(left, target)
        shutil.rmtree(left, ignore_errors=True)


class Busy(RuntimeError):
    """Another process is at this run."""


@contextlib.contextmanager
def claim(folder: str | Path | None, name: str, wait: bool = True) -> Iterator[None]:
    """Hold one run of a folder, so that two sweeps share the work and never repeat or overwrite a row.

    The claim is the operating system's lock on a file: it ends with the process that holds it, however that dies.
    """
    if folder is None:
        yield
        return
    place = Path(folder) / ".claims"
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{name}.lock", timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"another process is at {name}") from None
    try:
        yield
    finally:
        lock.release()


def _row(
    name: str, model: Method, parts: Split, history: History, report: Report, seconds: dict[str, float]
) -> dict[str, Any]:
    """Everything about a run in one flat, JSON-able row."""
    row: dict[str, Any] = {"format": FORMAT, "id": name, "method": model.name, "data": parts.dataset.name}
    row |= split_columns(parts) | report.metrics
    for stage, best in history.best.items():
        row |= {f"{stage} best {key}": value for key, value in best.items()}
        row[f"{stage} ended"] = history.stopped[stage]
    row |= {f"set {key}": value for key, value in model.config.model_dump(mode="json").items()}
    row |= {f"seconds {key}": round(value, 3) for key, value in seconds.items()}
    row |= {
        "epochs trained": len(history.rows),
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak memory MiB": peak_memory(),
        "data hash": parts.dataset.hash,
        "split hash": parts.hash,
        "threads": torch.get_num_threads(),
        "version python": platform.python_version(),
        "finished": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
    }
    for package in PACKAGES:
        try:
            row[f"version {package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            row[f"version {package}"] = "not installed"
    return row


def split_columns(parts: Split) -> dict[str, Any]:
    """What a row says of its split."""
    row: dict[str, Any] = {"split": parts.name, "protocol": parts.protocol}
    # A list is no figure of a table: written out, rows with it can be grouped and compared.
    return row | {f"split {k}": str(tuple(v)) if isinstance(v, list | tuple) else v for k, v in parts.options.items()}


def _forget_peak() -> None:
    """Let the system count the peak memory anew from what is held now (Linux; elsewhere it only ever grows)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Return the most memory this process held so far, or since its last run began, in MiB.

    NaN where the system does not tell.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        # Linux. getrusage would also count the process that started this one, as it was at that moment.
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10, 1)
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def collect(folder: str | Path) -> pd.DataFrame:
    """Return all runs saved below a folder, or the one saved in it, as one table, one row a run, sorted by id.

    What cannot be read is left out, with a warning that names it. Raises ``ValueError`` where nothing is left.
    """
    rows, refused = [], []
    own = Path(folder) / "row.json"
    for file in [own] if own.exists() else sorted(own.parent.glob("[!.]*/row.json")):  # .name: begun, not ended
        try:
            rows.append(read_row(file.parent))
        except ValueError as error:
            refused.append(str(error))
    if not rows and refused:
        raise ValueError(f"{folder} holds no result that can be read: {refused[0]}")
    if not rows:
        raise ValueError(f"{folder} holds no results; run(save=...), sweep(save=...) or `mmrec run --save` write them.")
    for sentence in refused:
        warnings.warn(f"left out: {sentence}", stacklevel=2)
    return pd.DataFrame(rows)
