"""The papers' protocols: how interactions are shared out, leak-free and without a loop over users."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .checks import PARTS, frozen
from .dataset import MultimodalDataset
from .errors import DataError, expect, listing
from .splits import FEWEST, TEST, TRAIN, VALID, Split, by_time, by_user

__all__ = ["PROTOCOLS", "SPLIT_OPTIONS", "checked_options", "split"]

PROTOCOLS = ("ratio", "leave-one-out", "kfold", "cold-items", "given")
SPLIT_OPTIONS = ("by", "ratios", "fold", "folds", "cold")


def split(
    dataset: MultimodalDataset,
    protocol: str = "ratio",
    *,
    seed: int = 0,
    by: str | None = None,
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    fold: int = 0,
    folds: int = 5,
    cold: float = 0.2,
) -> Split:
    """Share the interactions of `dataset` out to training, validation and test.

    Protocols (but for cold-items, a user with fewer than 3 interactions stays in training whole):
        ratio          per user, `ratios` of the interactions; what is held out is drawn (by="random", the
                       default) or the latest, test after validation (by="time", or by="order" for row
                       order). A user with fewer than 10 interactions gives one to validation and one to test.
                       Source: MICRO 4.1.3 and its released preparation.
        leave-one-out  the last is test, the one before validation, by="time" (default) or by="order".
                       Source: MP4SR 4.1.2.
        kfold          each user's interactions dealt to `folds`; `fold` is test, the next one validation, the
                       rest training: 3:1:1 with five. Source: PAMD 5.2.
        cold-items     `cold` of the items that anybody took lose all interactions, half of these items to
                       validation, half to test. Source: MICRO 4.1.3.
        given          the data's own `split` column.
    Ties in time are broken by row order; a random split depends on seed and pairs alone.
    Raises `DataError` for an unknown protocol or option value, missing columns and empty parts.
    """
    expect("split", dataset, MultimodalDataset, "mm.load() reads one, as in mm.split(mm.load('bazaar'))")
    if protocol not in PROTOCOLS:
        raise DataError(f"split: unknown protocol {protocol!r}; there are: {listing(PROTOCOLS)}.")
    if by is not None and protocol not in ("ratio", "leave-one-out"):
        raise DataError(f"split: by={by!r} has no meaning for protocol {protocol!r}; leave it out.")
    for name, value, default, needs in (
        ("ratios", tuple(ratios) if isinstance(ratios, Iterable) else ratios, (0.8, 0.1, 0.1), "ratio"),
        ("fold", fold, 0, "kfold"),
        ("folds", folds, 5, "kfold"),
        ("cold", cold, 0.2, "cold-items"),
    ):
        if value != default and protocol != needs:
            raise DataError(
                f"split: {name}={value!r} belongs to protocol {needs!r}, not to {protocol!r}; leave it out."
            )
    for name, value in (("seed", seed), ("fold", fold), ("folds", folds)):
        if not isinstance(value, int | np.integer) or value < 0:
            raise DataError(f"split: {name} = {value!r}, but it is a whole number from 0.")
    rng = np.random.default_rng(seed)
    held_out: dict[str, np.ndarray] = {}
    options: dict = {}
    if protocol == "ratio":
        options = {"by": by or "random", "ratios": _checked_ratios(ratios)}
        part = _ratio(dataset, rng, **options)
    elif protocol == "leave-one-out":
        options = {"by": by or "time"}
        part = _leave_one_out(dataset, **options)
    elif protocol == "kfold":
        options = {"fold": int(fold), "folds": int(folds)}
        part = _kfold(dataset, rng, **options)
    elif protocol == "cold-items":
        part, held_out = _cold_items(dataset, rng, cold)
        options = {"cold": float(cold)}
    else:
        part = _given(dataset)
    rows = [np.flatnonzero(part == number) for number in (TRAIN, VALID, TEST)]
    return Split(dataset, protocol, int(seed), *rows, held_out_items=held_out, options=json.loads(json.dumps(options)))


def checked_options(where: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options of ``split`` that a caller hands on, or raise `DataError` for what is none."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise DataError(f"{where}: split_options = {options!r}, but they are names and values, as in {{'folds': 5}}.")
    for name in options:
        if name not in SPLIT_OPTIONS:
            hint = " Its seed is split_seed (--split-seed)." if name == "seed" else ""
            raise DataError(f"{where}: a split has no option {name!r}; there are: {listing(SPLIT_OPTIONS)}.{hint}")
    return dict(options)


def _checked_ratios(ratios: tuple[float, float, float]) -> tuple[float, ...]:
    shares = isinstance(ratios, Iterable) and all(isinstance(share, numbers.Real) for share in ratios)
    if not shares or len(ratios) != 3 or not all(0 < share < 1 for share in ratios) or abs(sum(ratios) - 1) > 1e-6:
        raise DataError(
            f"split: ratios {ratios} must be three positive shares (train, valid, test) that add up to 1, "
            f"as in (0.8, 0.1, 0.1)."
        )
    return tuple(float(share) for share in ratios)


def _ratio(dataset: MultimodalDataset, rng: np.random.Generator, by: str, ratios: tuple) -> np.ndarray:
    from_end, counts = _places(dataset, _order(dataset, by, ("random", "time", "order"), rng))
    held_share = ratios[1] + ratios[2]
    # The 1e-9 keeps 0.1 + 0.1 of 10 at two; an odd one goes to validation, as MICRO released it.
    held = np.where(counts < 10, 2, np.maximum(2, np.floor(counts * held_share + 1e-9).astype(np.int64)))
    held = np.where(counts < FEWEST, 0, np.minimum(held, counts - 1))
    test = np.floor(held * ratios[2] / held_share + 1e-9).astype(np.int64)
    test = np.where(held > 0, np.clip(test, 1, held - 1), 0)
    return np.where(from_end < test, TEST, np.where(from_end < held, VALID, TRAIN))


def _leave_one_out(dataset: MultimodalDataset, by: str) -> np.ndarray:
    from_end, counts = _places(dataset, _order(dataset, by, ("time", "order")))
    part = np.where(from_end == 0, TEST, np.where(from_end == 1, VALID, TRAIN))
    return np.where(counts < FEWEST, TRAIN, part)


def _kfold(dataset: MultimodalDataset, rng: np.random.Generator, fold: int, folds: int) -> np.ndarray:
    if folds < 3:
        raise DataError(
            f"split: folds={folds} is too few: test, validation and training need one each, so take 3 or more."
        )
    if not 0 <= fold < folds:
        raise DataError(f"split: there is no fold {fold}; with folds={folds} they are numbered 0..{folds - 1}.")
    place, counts = _places(dataset, _random_order(dataset, rng))
    # Every user starts at a fold of its own, or the last folds would lack the users with few interactions.
    start = rng.integers(folds, size=dataset.n_users)[dataset.interactions["user"].to_numpy()]
    dealt = (place + start) % folds
    part = np.where(dealt == fold, TEST, np.where(dealt == (fold + 1) % folds, VALID, TRAIN))
    return np.where(counts < FEWEST, TRAIN, part)


def _cold_items(dataset: MultimodalDataset, rng: np.random.Generator, cold: float) -> tuple[np.ndarray, dict]:
    if not isinstance(cold, numbers.Real) or not 0 < cold < 1:
        raise DataError(f"split: cold={cold!r} must be a share between 0 and 1, as in 0.2.")
    items = dataset.interactions["item"].to_numpy()
    taken = np.unique(items)
    chosen = rng.permutation(taken)[: round(cold * len(taken))]
    valid, test = np.sort(chosen[: len(chosen) // 2]), np.sort(chosen[len(chosen) // 2 :])
    part_of = np.full(dataset.n_items, TRAIN)
    part_of[valid], part_of[test] = VALID, TEST
    return part_of[items], {"valid": frozen(valid.astype(np.int64)), "test": frozen(test.astype(np.int64))}


def _given(dataset: MultimodalDataset) -> np.ndarray:
    if "split" not in dataset.interactions:
        raise DataError(
            f"split: data set {dataset.name!r} brings no split of its own (interactions has no column "
            f"`split`). Name the column when reading (split='...'), or take another protocol: "
            f"{listing(PROTOCOLS[:-1])}."
        )
    number = {part: place for place, part in enumerate(PARTS)}
    return dataset.interactions["split"].map(number).to_numpy()


def _order(
    dataset: MultimodalDataset, by: str, known: tuple[str, ...], rng: np.random.Generator | None = None
) -> np.ndarray:
    """All rows, user by user, within a user from first to last."""
    if by not in known:
        raise DataError(f"split: unknown by={by!r}; this protocol knows: {listing(known)}.")
    if by == "random":
        return _random_order(dataset, rng)
    if by == "time" and "timestamp" not in dataset.interactions:
        raise DataError(
            f"split: data set {dataset.name!r} has no time stamps (no `timestamp` column in interactions). "
            f"Pass by='order' if its rows stand in time order, or read the data with timestamp='...'."
        )
    rows = np.arange(len(dataset))
    return by_time(dataset, rows) if by == "time" else by_user(dataset, rows)


def _random_order(dataset: MultimodalDataset, rng: np.random.Generator) -> np.ndarray:
    """User by user in random order, drawn in (user, item) order so that the order of rows does not matter."""
    users, items = (dataset.interactions[key].to_numpy() for key in ("user", "item"))
    keys = np.empty(len(dataset))
    keys[np.lexsort((items, users))] = rng.random(len(dataset))
    return np.lexsort((keys, users))


def _places(dataset: MultimodalDataset, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row: how many of its user's rows come after it in `order`, and how many the user has."""
    users = dataset.interactions["user"].to_numpy()
    counts = np.bincount(users, minlength=dataset.n_users)
    ends = np.cumsum(counts)
    from_end = np.empty(len(users), dtype=np.int64)
    from_end[order] = ends[users[order]] - 1 - np.arange(len(users))
    return from_end, counts[users]
