"""Test loss against training loss along a training, with and without pre-training: MP4SR's Figure 3."""

from __future__ import annotations

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
from mmrec_lite.training import fit

__all__ = ["at_the_same_training_loss", "loss_curves", "measured_curves", "next_item_loss_of"]

STARTS = {"pre-trained": {}, "random start": {"variant": "w/o pre-train"}}
_USERS = 512


@torch.no_grad()
def next_item_loss_of(model: SequenceMethod, parts: Split, part: str = "test") -> float:
    """Return the mean cross-entropy (nats) of a part's items among the whole catalogue, each after its user's history.

    The scores are those of ``model.score``, as in fine-tuning's loss; what a user has is not taken out.

    Source: MP4SR Eq. 12-13.
    """
    users, items = (torch.from_numpy(column.astype(np.int64)) for column in parts.pairs(part))
    training, former = model.training, model.read_history(parts.history_parts(part))
    try:
        model.eval()
        total = 0.0
        for rows in torch.arange(len(users)).split(_USERS):
            scores = model.score(users[rows].to(model.device))
            target = items[rows].to(model.device)
            total += float(torch.nn.functional.cross_entropy(scores, target, reduction="sum"))
    finally:
        model.read_history(former)
        model.train(training)
    return total / len(users)


def loss_curves(
    data: str | Path | MultimodalDataset = "bazaar",
    seeds: Sequence[int] = (0, 1, 2),
    profile: str = "lecture",
    **hyper: Any,
) -> pd.DataFrame:
    """Fine-tune MP4SR from pre-trained and from random weights; one row a seed, start and epoch.

    Columns: seed, start, epoch, train (mean cross-entropy of the epoch's training cases, with dropout), test (that of
    the test items, without), both in nats. Nothing is stopped early. A seed decides split, weights and batches.

    Source: MP4SR 3.4.3, Fig. 3.
    """
    dataset, rows = load(data), []
    for seed in seeds:
        parts = split(dataset, "leave-one-out", seed=seed)
        for start, changes in STARTS.items():
            model = create("mp4sr", parts, profile=profile, seed=seed, **({"patience": 10**6} | hyper | changes))

            def note(row: dict[str, Any], model: SequenceMethod = model, start: str = start, seed: int = seed) -> None:
                if row["stage"] == "recommend":
                    test = next_item_loss_of(model, model.split)
                    at = {"seed": seed, "start": start, "epoch": row["epoch"]}
                    rows.append(at | {"train": row["next item"], "test": test})

            fit(model, parts, progress=False, callback=note)
    return pd.DataFrame(rows)


def measured_curves() -> pd.DataFrame:
    """Return the curves that `make reproduction` measured on the embedded shop, as ``loss_curves`` does."""
    with (resources.files("mmrec_lite.experiments") / "loss_curves.csv").open(encoding="utf-8") as opened:
        return pd.read_csv(opened)


def at_the_same_training_loss(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the test loss of each seed and start at the lowest training loss that both starts reached.

    Between epochs the curves are joined by straight lines. Columns: seed, start, train, test. Only the way down to a
    start's lowest training loss is read; `test` is NaN for a start that was below the common one from the first epoch.
    """
    found = []
    for seed, runs in curves.groupby("seed"):
        ways = {}
        for start, run in runs.groupby("start", sort=False):
            run = run.sort_values("epoch")
            run = run[run["train"] == run["train"].cummin()]
            ways[start] = run["train"].to_numpy()[::-1], run["test"].to_numpy()[::-1]
        common = max(train[0] for train, _ in ways.values())
        found += [
            {"seed": seed, "start": start, "train": common, "test": float(np.interp(common, *way, np.nan, np.nan))}
            for start, way in ways.items()
        ]
    return pd.DataFrame(found)
