"""Methods of kept libraries beside ours: the same split through an export, their program, our metrics.

RecBole does not install beside current NumPy, so the peers have an environment of their own (`make peers`), and each
run is a process there. What comes back is a ranking, which ``evaluate`` measures as it measures every method of ours.
"""

from __future__ import annotations

import json
import os
import subprocess  # a list of words, no shell, an interpreter that the caller names  # nosec B404
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmrec_lite.data import MultimodalDataset, Split, load, split
from mmrec_lite.data.export import to_recbole
from mmrec_lite.data.protocols import checked_options
from mmrec_lite.evaluation import KS, Report, check_candidates, evaluate
from mmrec_lite.experiments.runs import FORMAT, Result, claim, run_id, split_columns, whole_number
from mmrec_lite.experiments.studies import Study
from mmrec_lite.experiments.sweeps import check_seeds
from mmrec_lite.methods.base import Hyperparameters, Method
from mmrec_lite.metrics import check_ks

__all__ = ["PEERS", "Peer", "PeerError", "absent", "beside_study", "interpreter", "run_job", "run_peer", "run_peers"]

RUNNER = Path(__file__).with_name("peer_runner.py")
HOW = "`make peers` installs it in .venv-peers; MMREC_PEERS names the Python of another environment that has it"


class PeerError(RuntimeError):
    """A peer that is not installed, failed, or returned no ranking."""


@dataclass(frozen=True)
class Peer:
    """A method of another library: its name there, which method of ours it stands beside, and its settings.

    Settings that ours has too are given ours (width 64, Adam, batches of 1,024); others keep the library's defaults.
    `epochs` are the most a run trains; RecBole stops early by its own validation, cornac trains them all.
    """

    library: str
    model: str
    beside: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 200
    needs: tuple[str, ...] = ()


_PAIRS = {"embedding_size": 64, "learning_rate": 5e-3, "train_batch_size": 1024}
PEERS: dict[str, Peer] = {
    "recbole lightgcn": Peer("recbole", "LightGCN", "lightgcn", {**_PAIRS, "n_layers": 2, "reg_weight": 1e-4}),
    "recbole sgl": Peer("recbole", "SGL", None, {**_PAIRS, "n_layers": 2}),
    "recbole itemknn": Peer("recbole", "ItemKNN", "item_knn", {"k": 100}, epochs=1),
    "recbole sasrec": Peer("recbole", "SASRec", "sasrec", {"train_batch_size": 512, "learning_rate": 1e-3}),
    "cornac bpr": Peer("cornac", "BPR", "mf", {"k": 64, "learning_rate": 0.05}, epochs=100),
    "cornac vbpr": Peer(
        "cornac", "VBPR", "vbpr", {"k": 64, "k2": 64, "batch_size": 1024, "learning_rate": 5e-3}, 20, ("features",)
    ),
}


def interpreter(python: str | Path | None = None) -> Path | None:
    """Return the peers' Python: the one given, MMREC_PEERS, or .venv-peers here or in a folder above; None without.

    The path is absolute, for the peer's process stands elsewhere, and not resolved: an environment's Python is a link.
    """
    named = python or os.environ.get("MMREC_PEERS")
    if named:
        return Path(named).absolute()
    for folder in (Path.cwd(), *Path.cwd().parents, *Path(__file__).parents):
        for place in ("bin/python", "Scripts/python.exe"):
            if (folder / ".venv-peers" / place).exists():
                return folder / ".venv-peers" / place
    return None


def absent(name: str, python: str | Path | None = None) -> str:
    """Say in a sentence why a peer cannot run and what to do; empty when it can. ``ValueError`` for an unknown name."""
    peer = _peer(name)
    found = interpreter(python)
    if found is None or not found.exists():
        where = f"there is no {found}" if found else "there is no environment for peers"
        return f"{name}: {peer.library} is not installed ({where}): {HOW}."
    if _version(str(found), peer.library) is None:
        return f"{name}: {peer.library} is not installed in the environment of {found}: {HOW}."
    return ""


def _version(python: str, library: str) -> str | None:
    """Return the version of a library that an interpreter has; None without (looked up, not imported: seconds).

    Asked every time, in some 0.1 s: `make peers` may have installed it since.
    """
    code = f"import importlib.metadata as m; print(m.version({library!r}))"
    try:
        told = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)  # nosec B603
    except OSError:  # no program
        return None
    return told.stdout.strip() if told.returncode == 0 else None


def _peer(name: str) -> Peer:
    if name not in PEERS:
        raise ValueError(f"there is no peer {name!r}; peers: {', '.join(PEERS)}.")
    return PEERS[name]


class Ranking(Method):
    """A ranking that was made elsewhere, as a method: what comes first scores highest, what is not in it not at all."""

    name = "ranking"
    summary = "a ranking made elsewhere"

    def __init__(self, split: Split, users: np.ndarray, top: np.ndarray):
        super().__init__(split, Hyperparameters(), 0)
        self.row = torch.full((split.n_users,), -1)
        self.row[torch.from_numpy(users)] = torch.arange(len(users))
        self.top = torch.from_numpy(np.vstack([top, np.full((1, top.shape[1]), -1)]).astype(np.int64))

    def score(self, users: Tensor) -> Tensor:
        """Place in the ranking, counted from its end: (B,) -> (B, I), -inf for what is not in it."""
        top = self.top[self.row[users]]
        scores = torch.full((len(users), self.n_items + 1), -torch.inf)  # the last column takes what is not there
        places = torch.arange(top.shape[1], 0, -1, dtype=scores.dtype).expand(top.shape)
        return scores.scatter_(1, torch.where(top < 0, self.n_items, top), places)[:, : self.n_items]


def run_peer(
    name: str,
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    protocol: str = "ratio",
    seed: int = 0,
    split_seed: int = 0,
    split_options: Mapping[str, Any] | None = None,
    ks: Sequence[int] = KS,
    candidates: str | int = "all",
    epochs: int | None = None,
    patience: int = 10,
    threads: int | None = None,
    save: str | Path | None = None,
    python: str | Path | None = None,
    runner: str | Path = RUNNER,
    **settings: Any,
) -> Result:
    """Train a peer on a split and measure its ranking: as ``run``, for a method of another library.

    `epochs` are the most it trains (default: the peer's), `settings` change those of its library, under its names,
    `ks` and `candidates` are ``evaluate``'s. With `save`, a run of the installed version of the library that is kept
    there is read. The row has ``run``'s columns of data, split, metrics, settings and cost (no stages, and of versions
    the kit's, the library's and its PyTorch's), and `seconds an epoch`, `valid recall@20`, `valid by its own metric`;
    the memory is that of the whole process of the peer. Raises ``PeerError`` when the peer is not installed, fails or
    ranks badly, ``ValueError`` for ks, candidates and epochs that cannot be.
    """
    peer = _peer(name)
    if epochs is not None and epochs < 1:
        raise ValueError(f"{name}: epochs = {epochs}, but it is the most epochs to train, 1 or more.")
    seed, split_seed = (whole_number("run_peer", n, v) for n, v in (("seed", seed), ("split_seed", split_seed)))
    parts = split(load(data), protocol, seed=split_seed, **checked_options("run_peer", split_options))
    ks = check_ks(ks)  # now, not after the training
    for part in ("valid", "test"):
        check_candidates(candidates, parts, part)
    candidates = candidates if isinstance(candidates, str) else int(candidates)
    config = {**peer.settings, **settings, "epochs": peer.epochs if epochs is None else epochs}
    found = interpreter(python)
    how = {"ks": list(ks), "candidates": candidates, "patience": patience}
    how["library"] = found and _version(str(found), peer.library)
    run_name = run_id(name.replace(" ", "-"), parts, seed, config, how)
    if save is not None and (Path(save) / run_name / "row.json").exists():  # the folder may be closed to writing
        return Result.load(Path(save) / run_name)
    with claim(save, run_name):
        if save is not None and (Path(save) / run_name / "row.json").exists():
            return Result.load(Path(save) / run_name)
        started = time.perf_counter()
        job = {"epochs": config["epochs"], "patience": patience, "seed": seed, "threads": threads}
        job["k"] = max(ks) if candidates == "all" else parts.n_items  # who is left out is decided here
        done, tops = run_job(name, parts, job | {"settings": {**peer.settings, **settings}}, python, runner)
        fitted = time.perf_counter()
        reports = {part: _report(name, parts, part, top, ks, candidates, split_seed) for part, top in tops.items()}
        seconds = {"fit": float(np.sum(done["epoch seconds"])), "evaluate": time.perf_counter() - fitted}
        seconds["create"] = fitted - started - seconds["fit"]  # the process, its imports, the export
        row = _row(run_name, name, parts, done, reports, seconds, config)
        row |= {"seed": seed, "split_seed": split_seed, "profile": "peer", "candidates": str(candidates)}
        row |= {"ks": str(ks)}
        report = reports["test"]
        history = pd.DataFrame({"epoch": range(1, len(done["epoch seconds"]) + 1), "seconds": done["epoch seconds"]})
        slices = report.slices("popularity")
        result = Result(row, history, report.per_user, slices, report, None, parts)
        if save is not None:
            result.save(save)
    return result


def run_peers(
    names: str | Iterable[str],
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    seeds: Sequence[int] = (0,),
    python: str | Path | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Run peers ("recbole sgl, cornac vbpr", or a list) on every seed, which draws the split, too; one row a run.

    A peer that is absent or fails has one row with its `error` and no figures. `options` are those of ``run_peer``.
    Raises ``ValueError`` for an unknown name, before any is run.
    """
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    names = list(names)
    for name in names:
        _peer(name)
    check_seeds("run_peers", seeds)
    dataset, rows = load(data), []
    for name in names:
        missing = absent(name, python)
        for seed in () if missing else seeds:
            try:
                row = run_peer(name, dataset, seed=seed, split_seed=seed, python=python, **options).row
            except PeerError as error:
                row = {"seed": seed, "error": str(error)}
            rows.append({"label": name, "seed": seed} | row)
        if missing:
            rows.append({"label": name, "error": missing})
    return pd.DataFrame(rows)


def beside_study(study: Study, names: str | Iterable[str], data: MultimodalDataset, **options: Any) -> pd.DataFrame:
    """Run peers as a study runs its cells (its protocol, candidates, metric); rows as ``run_study``'s, with `error`.

    `options` are those of ``run_peers``; `protocol=None` is the study's.
    """
    recipe = [*study.recipes.values()][-1]
    how = {key: recipe[key] for key in ("protocol", "split_options", "candidates", "ks") if key in recipe}
    how |= {key: value for key, value in options.items() if value is not None}
    rows = run_peers(names, data, **how)
    return rows.assign(study=study.name, metric=study.metric, value=rows.get(study.metric, np.nan))


def run_job(
    name: str, parts: Split, job: Mapping[str, Any], python: str | Path | None = None, runner: str | Path = RUNNER
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Export a split, run the peer's process on it, and return what it noted and its rankings by part.

    A job that only times something (`only`: "epoch" or "evaluation") returns no rankings.
    """
    peer = _peer(name)
    if missing := absent(name, python):
        raise PeerError(missing)
    if "features" in peer.needs and not parts.dataset.modalities:
        raise PeerError(f"{name} needs features, but data set {parts.dataset.name!r} has none.")
    with tempfile.TemporaryDirectory(prefix="mmrec-peer-") as folder:
        plain = _numbered(parts, features="features" in peer.needs)
        export = to_recbole(plain, Path(folder) / plain.dataset.name)  # RecBole: files named as their folder
        full = {"batches": None, "only": "", "threads": None, "patience": 10, "seed": 0, "k": 20}
        full |= {"settings": dict(peer.settings), "epochs": peer.epochs} | dict(job)
        full |= {"library": peer.library, "model": peer.model, "folder": str(export), "name": plain.dataset.name}
        full |= {"n_items": parts.n_items, "modalities": list(plain.dataset.modalities), "out": folder}
        full["history"] = {part: list(parts.history_parts(part)) for part in ("valid", "test")}
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(full))
        command = [str(interpreter(python)), "-I", str(Path(runner).absolute()), str(path)]
        # A kernel's own backend of Matplotlib is unknown there, and importing cornac would fail.
        environment = os.environ | {"MPLBACKEND": "agg"}
        ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)  # nosec B603
        try:
            done = json.loads((path.parent / "done.json").read_text())
        except OSError:
            raise PeerError(f"{name} failed (exit {ended.returncode}):\n{ended.stderr.strip()[-1500:]}") from None
        files = {part: path.parent / f"{part}.npy" for part in ("valid", "test")}
        tops = {part: np.load(file, allow_pickle=False) for part, file in files.items() if file.exists()}
    return done, tops


def _numbered(parts: Split, features: bool) -> Split:
    """The same split of a data set whose ids are row numbers, without texts: any id survives another program so."""
    data = parts.dataset
    columns = [name for name in ("user", "item", "timestamp") if name in data.interactions]
    plain = MultimodalDataset(
        name="peer",
        users=pd.DataFrame({"user_id": np.arange(data.n_users).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(data.n_items).astype(str)}),
        interactions=data.interactions[columns],
        features=dict(data.features) if features else {},
        present=dict(data.present) if features else {},
    )
    return replace(parts, dataset=plain)


def _report(
    name: str, parts: Split, part: str, top: np.ndarray, ks: Sequence[int], candidates: str | int, seed: int
) -> Report:
    """Measure a ranking as every other one; refuse what is none."""
    users = parts.users(part)
    good = top.ndim == 2 and len(top) == len(users) and top.dtype.kind == "i"
    if not good or top.min(initial=0) < -1 or top.max(initial=-1) >= parts.n_items:
        raise PeerError(f"{name}: the ranking for {part} is {top.dtype} {top.shape}, not {len(users)} rows of items.")
    return evaluate(Ranking(parts, users, top), parts, part=part, ks=ks, candidates=candidates, seed=seed)


def _row(
    run_name: str,
    name: str,
    parts: Split,
    done: Mapping[str, Any],
    reports: Mapping[str, Report],
    seconds: Mapping[str, float],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    from mmrec_lite import __version__  # here: the package imports this module

    peer, epochs = PEERS[name], done["epoch seconds"]
    row: dict[str, Any] = {"format": FORMAT, "id": run_name, "method": name, "data": parts.dataset.name}
    row |= split_columns(parts) | reports["test"].metrics
    row |= {f"valid {metric}": value for metric, value in reports["valid"].metrics.items() if metric == "recall@20"}
    row |= {f"set {key}": value for key, value in config.items()}
    row |= {f"seconds {key}": round(value, 3) for key, value in seconds.items()}
    row |= {
        "valid by its own metric": done.get("best valid"),
        "seconds an epoch": float(np.median(epochs)) if epochs else float("nan"),
        "epochs trained": len(epochs),
        "parameters": done.get("parameters"),
        "peak memory MiB": done["MiB"],
        "data hash": parts.dataset.hash,
        "split hash": parts.hash,
        "finished": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
        "version mmrec_lite": __version__,
        f"version {peer.library}": done.get("version"),
        "version torch": done.get("version torch"),
    }
    return row
