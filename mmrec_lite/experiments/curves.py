"""Losses along a training: MP4SR's Figure 3 (test over training loss), and how soon PAMD's pre-training converges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mmrec_lite.data import MultimodalDataset, load, split
from mmrec_lite.data.splits import Split
from mmrec_lite.methods import create
from mmrec_lite.methods.sequences import SequenceMethod
from mmrec_lite.options import check_option
from mmrec_lite.training import fit

__all__ = [
    "at_the_same_training_loss",
    "convergence",
    "loss_curves",
    "measured_curves",
    "next_item_loss_of",
    "pretraining_curves",
]

STARTS = {"pre-trained": {}, "random start": {"variant": "w/o pre-train"}}
LAYERS = (1, 2, 3)  # of the transformer, those of the paper's figure
ORDERS = {"PAMD": {}, "PAMD-CON": {"variant": "pamd-con"}}
_USERS = 512


@torch.no_grad()
def next_item_loss_of(model: SequenceMethod, parts: Split, part: str = "test") -> float:
    """Return the mean cross-entropy (nats) of a part's items among the whole catalogue, each after its user's history.

    The scores are those of ``model.score``, as in fine-tuning's loss; what a user has is not taken out.

    Source: MP4SR Eq. 12-13.
    """
    users, items = (torch.from_numpy(column.astype(np.int64)) for column in parts.pairs(part))
    total = 0.0
    with model.scoring(parts.history_parts(part)):
        for rows in torch.arange(len(users)).split(_USERS):
            scores = model.score(users[rows].to(model.device))
            target = items[rows].to(model.device)
            total += float(torch.nn.functional.cross_entropy(scores, target, reduction="sum"))
    return total / len(users)


def loss_curves(
    data: str | Path | MultimodalDataset = "bazaar",
    seeds: Sequence[int] = (0, 1, 2),
    profile: str = "lecture",
    layers: Sequence[int] = LAYERS,
    **hyper: Any,
) -> pd.DataFrame:
    """Fine-tune MP4SR from pre-trained and from random weights; one row a depth, seed, start and epoch.

    Columns: data, layers (of the transformer), seed, start, epoch, train (mean cross-entropy of the epoch's training
    cases, with dropout), test (that of the test items, without), both in nats. Nothing is stopped early. A seed decides
    weights and batches; the split (leave-one-out) is one for all.

    Source: MP4SR 3.4.3, Fig. 3.
    """
    dataset, rows = load(data), []
    for depth, seed in itertools.product(layers, seeds):
        parts = split(dataset, "leave-one-out", seed=seed)
        for start, changes in STARTS.items():
            settings = {"patience": 10**6, "layers": depth} | hyper | changes
            model = create("mp4sr", parts, profile=profile, seed=seed, **settings)
            at = {"data": dataset.name, "layers": depth, "seed": seed, "start": start}

            def note(row: dict[str, Any], model: SequenceMethod = model, at: dict[str, Any] = at) -> None:
                if row["stage"] == "recommend":
                    test = next_item_loss_of(model, model.split)
                    rows.append(at | {"epoch": row["epoch"], "train": row["next item"], "test": test})

            fit(model, parts, progress=False, callback=note)
    return pd.DataFrame(rows)


def measured_curves(data: str = "bazaar", name: str = "loss_curves") -> pd.DataFrame:
    """Return the curves that `make reproduction` measured on a data set: "loss_curves" or "pretraining_curves".

    Raises ``ValueError`` for another name and for a data set that they were not measured on.
    """
    check_option("measured_curves", "name", name, ("loss_curves", "pretraining_curves"))
    with (resources.files("mmrec_lite.experiments") / f"{name}.csv").open(encoding="utf-8") as opened:
        rows = pd.read_csv(opened)
    own = rows[rows["data"] == data].reset_index(drop=True)
    if own.empty:
        raise ValueError(f"{name} was not measured on {data!r}, only on {', '.join(rows['data'].unique())}.")
    return own


def at_the_same_training_loss(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the test loss of each depth, seed and start at the lowest training loss that both starts reached.

    Between epochs the curves are joined by straight lines. Columns: layers, seed, start, train, test. Only the way down
    to a start's lowest training loss is read; `test` is NaN for a start that was below the common one from the first
    epoch.
    """
    found = []
    for (depth, seed), runs in curves.groupby(["layers", "seed"]):
        ways = {}
        for start, run in runs.groupby("start", sort=False):
            run = run.sort_values("epoch")
            run = run[run["train"] == run["train"].cummin()]
            ways[start] = run["train"].to_numpy()[::-1], run["test"].to_numpy()[::-1]
        common = max(train[0] for train, _ in ways.values())
        at = {"layers": depth, "seed": seed}
        found += [
            at | {"start": start, "train": common, "test": float(np.interp(common, *way, np.nan, np.nan))}
            for start, way in ways.items()
        ]
    return pd.DataFrame(found)


def pretraining_curves(
    data: str | Path | MultimodalDataset = "bazaar",
    seeds: Sequence[int] = (0, 1, 2),
    profile: str = "lecture",
    pretrain_epochs: int = 100,
    **hyper: Any,
) -> pd.DataFrame:
    """Pre-train PAMD and PAMD-CON; one row a seed, label and epoch: the loss (Eq. 11 and 14) and the seconds it took.

    Columns: data, seed, label, epoch, loss (mean of the epoch's batches), seconds. A seed decides weights and batches.

    Source: PAMD 5.6.
    """
    dataset, rows = load(data), []
    for seed in seeds:
        parts = split(dataset, "kfold", seed=seed)
        for label, changes in ORDERS.items():
            settings = {"pretrain_epochs": pretrain_epochs} | hyper | changes
            history = fit(
                create("pamd", parts, profile=profile, seed=seed, **settings),
                parts,
                stages=("pretrain",),
                progress=False,
            )
            at = {"data": dataset.name, "seed": seed, "label": label}
            rows += [at | {key: row[key] for key in ("epoch", "loss", "seconds")} for row in history.rows]
    return pd.DataFrame(rows)


def convergence(curves: pd.DataFrame, share: float = 0.95) -> pd.DataFrame:
    """Return when each pre-training had converged: the first epoch with `share` of the whole fall of its loss done.

    The fall is that from the first epoch's loss to the lowest. Columns: seed, label, epochs, seconds (up to there).
    The paper does not say what it calls convergence.
    """
    found = []
    for (seed, label), run in curves.groupby(["seed", "label"], sort=False):
        run = run.sort_values("epoch")
        loss = run["loss"].to_numpy()
        at = int(np.argmax(loss <= loss[0] - share * (loss[0] - loss.min())))
        epochs, seconds = int(run["epoch"].iloc[at]), float(run["seconds"].iloc[: at + 1].sum())
        found.append({"seed": seed, "label": label, "epochs": epochs, "seconds": seconds})
    return pd.DataFrame(found)
