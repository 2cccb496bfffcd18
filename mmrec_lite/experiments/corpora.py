"""Pre-training on a corpus larger than the data set: MP4SR's Table 5 out of one data set."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset, split
from mmrec_lite.data.joining import join, part_of
from mmrec_lite.data.protocols import checked_options
from mmrec_lite.experiments.runs import claim, run_id
from mmrec_lite.methods import create, method_class
from mmrec_lite.methods.code import code_of
from mmrec_lite.training import fit

__all__ = ["halves", "pretrained_part"]

LEAST = 3  # interactions of a user, as many as leave-one-out needs
_OF_THE_RUN = ("save", "seed", "split_seed", "split_options", "protocol", "profile", "candidates", "ks")


def halves(dataset: MultimodalDataset) -> tuple[MultimodalDataset, MultimodalDataset]:
    """Return two shops of different goods out of one: every other category; without categories, every other item.

    Each keeps the users who took three or more of its items; who shops in both is two users.
    """
    number = np.arange(dataset.n_items)
    if "category" in dataset.items and dataset.items["category"].nunique() > 1:
        number = pd.factorize(dataset.items["category"], sort=True)[0]
    first = number % 2 == 0
    return part_of(dataset, first, LEAST, f"{dataset.name}-1"), part_of(dataset, ~first, LEAST, f"{dataset.name}-2")


@contextlib.contextmanager
def pretrained_part(
    method: str,
    dataset: MultimodalDataset,
    corpus: Literal["own", "both"],
    settings: Mapping[str, Any],
    wait: bool = True,
) -> Iterator[tuple[MultimodalDataset, Path]]:
    """Yield one half of a data set and a file with what a method learned by pre-training on it, or on both halves.

    `settings` are arguments of ``run``. With `save` among them the file stays there, and is not made twice; one that
    another process is at is waited for, or, with `wait=False`, refused as `Busy`.

    Source: MP4SR 4.7.
    """
    parts = halves(dataset)
    with contextlib.ExitStack() as stack:
        save = settings.get("save")
        folder = Path(save) / "pretrained" if save else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield parts[0], _pretrain(method, parts if corpus == "both" else parts[:1], settings, folder, wait)


def _pretrain(
    method: str, parts: Sequence[MultimodalDataset], settings: Mapping[str, Any], folder: Path, wait: bool
) -> Path:
    hyper = {name: value for name, value in settings.items() if name not in _OF_THE_RUN}
    corpus = join(parts) if len(parts) > 1 else parts[0]
    options = checked_options("pretrained_part", settings.get("split_options"))
    held = split(corpus, settings["protocol"], seed=settings["split_seed"], **options)
    if len(parts) > 1:  # the first part's rows stand first
        own = split(parts[0], settings["protocol"], seed=settings["split_seed"], **options)
        if np.isin(np.concatenate([own.valid, own.test]), held.train).any():
            raise ValueError(
                f"pretrained_part: protocol {settings['protocol']!r} splits two halves together in another way than "
                f"one alone: pre-training on both would see what is tested. Take 'leave-one-out'."
            )
    model = create(method, held, profile=settings["profile"], seed=settings["seed"], **hyper)
    what = {"stage": "pretrain"} | ({"code": code} if (code := code_of(method_class(method))) else {})
    name = run_id(method, held, settings["seed"], model.config.model_dump(mode="json"), what)
    file = folder / f"{name}.safetensors"
    if not file.exists():  # a folder that is closed to writing may hold it
        with claim(folder, name, wait):
            if not file.exists():
                fit(model, held, stages=["pretrain"], progress=False)
                model.save_pretrained(file)
    return file
