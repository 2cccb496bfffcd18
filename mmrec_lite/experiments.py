"""From a method's name to a row of results on disk: run, ablate, sweep, collect."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import os
import platform
import shutil
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from mmrec_lite.data import MultimodalDataset, load, split
from mmrec_lite.data.splits import Split
from mmrec_lite.evaluation import KS, Report, evaluate
from mmrec_lite.methods import configure, create, method_class
from mmrec_lite.methods.base import Method
from mmrec_lite.training import History, fit

__all__ = ["Result", "ablate", "collect", "run", "sweep"]

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
        beside.mkdir()
        try:
            for name in ("history", "per_user", "slices"):
                getattr(self, name).to_parquet(beside / f"{name}.parquet")
            (beside / "row.json").write_text(json.dumps(self.row, indent=1))
            shutil.rmtree(target, ignore_errors=True)
            os.replace(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """Read a run's folder."""
        folder = Path(folder)
        row = _read_row(folder)
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "per_user", "slices")}
        return cls(row, **tables)


def _read_row(folder: Path) -> dict[str, Any]:
    try:
        row = json.loads((folder / "row.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder} holds no result of a run: {error}. Name a folder that run(save=...) wrote."
        ) from None
    if row.get("format") != FORMAT:
        raise ValueError(f"{folder} has result format {row.get('format')}; this program reads {FORMAT}. Run it again.")
    return row


def run_id(method: str, split: Split, seed: int, config: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """Name a run by what decides its outcome, so that a repeated call finds it."""
    parts = json.dumps([method, split.hash, seed, config, extra], sort_keys=True, default=str)
    return f"{method}-{split.name}-r{seed}-{hashlib.sha256(parts.encode()).hexdigest()[:10]}"


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
    **hyper: Any,
) -> Result:
    """Load, split, create, fit and evaluate: a method's test metrics on a data set.

    `seed` decides weights and batches, `split_seed` what is held out. `hyper` changes the profile's settings,
    `split_options` are those of ``mm.split``. With `save`, the result is written below that folder, and a run that is
    already there is read instead of repeated.

    >>> import mmrec_lite as mm
    >>> result = mm.run("popularity", "bazaar")
    >>> sorted(result.metrics)[:2]
    ['hit@10', 'hit@20']
    """
    config = configure(method, profile, **hyper)
    dataset = load(data)
    parts = split(dataset, protocol, seed=split_seed, **(split_options or {}))
    how = {"ks": list(ks), "candidates": candidates}
    name = run_id(method, parts, seed, config.model_dump(mode="json"), how)
    if save is not None and (Path(save) / name / "row.json").exists():
        return Result.load(Path(save) / name)
    started = time.perf_counter()
    model = create(method, parts, profile=profile, seed=seed, **hyper)
    made = time.perf_counter()
    history = fit(model, parts, checkpoint=checkpoint, progress=progress, device=device)
    trained = time.perf_counter()
    report = evaluate(model, parts, ks=ks, candidates=candidates, seed=split_seed)
    seconds = {"create": made - started, "fit": trained - made, "evaluate": time.perf_counter() - trained}
    row = _row(name, model, parts, history, report, seconds)
    row |= {"seed": seed, "split_seed": split_seed, "profile": profile, "candidates": str(candidates)}
    slices = report.slices("popularity", k=min(20, max(report.ks)))
    result = Result(row, history.frame, report.per_user, slices, report, model, parts)
    if save is not None:
        result.save(save)
    return result


def _row(
    name: str, model: Method, parts: Split, history: History, report: Report, seconds: dict[str, float]
) -> dict[str, Any]:
    """Everything about a run in one flat, JSON-able row."""
    row: dict[str, Any] = {"format": FORMAT, "id": name, "method": model.name, "data": parts.dataset.name}
    row |= {"split": parts.name, "protocol": parts.protocol}
    row |= report.metrics
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


def peak_memory() -> float:
    """Return the most memory this process held so far, in MiB (NaN where the system does not tell)."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def sweep(
    methods: str | Iterable[str] | Mapping[str, Mapping[str, Any]],
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0,),
    save: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Run methods on every point of a grid and every seed; one row a run.

    `methods` is a name, several, or a mapping label -> {"method": name, hyper-parameters...}. `grid` maps a
    hyper-parameter to its values. Other `options` go to ``run``. With `save`, finished runs are read, not repeated, so
    a stopped sweep goes on where it was. A run that fails becomes a row with its `error`; the others are kept.
    """
    dataset = load(data)
    if isinstance(methods, str):
        methods = [methods]
    if not isinstance(methods, Mapping):
        methods = {name: {"method": name} for name in methods}
    for recipe in methods.values():
        method_class(recipe["method"])
    points = [dict(zip(grid or {}, values, strict=True)) for values in itertools.product(*(grid or {}).values())]
    cells = list(itertools.product(methods.items(), points, seeds))
    rows = []
    for (label, recipe), point, seed in tqdm(cells, desc="runs", disable=not progress):
        hyper = {k: v for k, v in recipe.items() if k != "method"} | point
        row: dict[str, Any] = {"label": label, **point, "seed": seed}
        try:
            row |= run(recipe["method"], dataset, seed=seed, save=save, **options, **hyper).row
        except Exception as error:  # one failing cell must not lose the others
            row |= {"method": recipe["method"], "error": f"{type(error).__name__}: {error}"}
        rows.append(row)
    return pd.DataFrame(rows)


def ablate(
    method: str, data: str | Path | MultimodalDataset = "bazaar", *, seeds: Sequence[int] = (0,), **options: Any
) -> pd.DataFrame:
    """Run a method, each of its published variants and each modality alone; one row a run, `label` says which.

    `options` go to ``sweep`` and ``run``.
    """
    dataset = load(data)
    fields = method_class(method).Config.model_fields
    recipes: dict[str, dict[str, Any]] = {method: {"method": method}}
    if "variant" in fields:
        others = [v for v in get_args(fields["variant"].annotation) if v != fields["variant"].default]
        recipes |= {variant: {"method": method, "variant": variant} for variant in others}
    if "modalities" in fields and len(dataset.modalities) > 1:
        recipes |= {f"{name} only": {"method": method, "modalities": (name,)} for name in dataset.modalities}
    return sweep(recipes, dataset, seeds=seeds, **options)


def collect(folder: str | Path) -> pd.DataFrame:
    """Return all runs saved below a folder as one table, one row a run, sorted by id."""
    rows = [_read_row(file.parent) for file in sorted(Path(folder).glob("*/row.json"))]
    if not rows:
        raise ValueError(f"{folder} holds no results; run(save=...), sweep(save=...) or `mmrec run --save` write them.")
    return pd.DataFrame(rows)


def mean_and_sd(
    rows: pd.DataFrame, metrics: Sequence[str] = ("recall@20", "ndcg@20"), by: str = "label"
) -> pd.DataFrame:
    """Summarise runs over their seeds: mean and sample standard deviation of each metric, and the number of runs."""
    groups = rows.groupby(by, sort=False)
    table = {f"{m} {what}": groups[m].agg(what) for m in metrics for what in ("mean", "std")}
    return pd.DataFrame(table | {"runs": groups.size()}).astype({"runs": np.int64})
