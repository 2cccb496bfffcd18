"""Protocols of ranking, slices of users and items, and tests of differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmrec_lite.data.errors import expect
from mmrec_lite.data.splits import Split
from mmrec_lite.methods.base import Method
from mmrec_lite.metrics import NAMES, check_ks, hit_metrics, top_items
from mmrec_lite.ops import CHUNK_ELEMENTS

__all__ = ["KS", "Report", "best_items", "evaluate", "recommend"]

KS = (5, 10, 20, 40, 60)


@dataclass(frozen=True)
class Report:
    """How well a ranking found the held-out items.

    `metrics` holds means over the users, keyed "recall@20"; `per_user` one row a user with the same columns;
    `top` the ranked items (users, K) behind them, -1 where a user had fewer candidates. The others are what
    ``evaluate`` was asked.
    """

    metrics: dict[str, float]
    per_user: pd.DataFrame
    top: np.ndarray
    split: Split = field(repr=False)
    part: str = "test"
    ks: tuple[int, ...] = KS
    candidates: str | int = "all"
    mask: tuple[str, ...] = ("train",)
    seed: int = 0

    def __repr__(self) -> str:
        k = 20 if 20 in self.ks else max(self.ks)
        figures = ", ".join(f"{name}@{k} {self.metrics[f'{name}@{k}']:.4f}" for name in ("recall", "ndcg"))
        return f"Report({self.split.name}, {self.part}, {len(self.per_user):,} users: {figures})"

    @cached_property
    def hits(self) -> np.ndarray:
        """Which of the ranked items are held out, (users, K) bool."""
        users = self.per_user["user"].to_numpy()
        return _isin(users[:, None], self.top, *self.split.pairs(self.part), self.split.n_items)

    def check_k(self, k: int, asker: str) -> int:
        """Return a cut-off, or raise ``ValueError`` for one outside 1 .. the longest of the ranking's."""
        (k,) = check_ks(k)
        if k > max(self.ks):
            raise ValueError(f"{asker}: k = {k} is beyond the ranking's {max(self.ks)}; evaluate with ks up to {k}.")
        return k

    def slices(self, by: str = "popularity", edges: Sequence[int] | None = None, k: int | None = None) -> pd.DataFrame:
        """Split recall@k up by how often an item, or how much of a user, was seen in training.

        `by="popularity"`: for the relevant items with a training count in a bin, the share found in the top k, mean
        over the users that have such items. `by="length"`: mean recall of the users with that many training items.
        `edges` are the bins' inclusive lower bounds (default 0, 1, 3, 6, 11, 21), k is 20 or, where the ranking is
        shorter, its longest cut-off. Returns columns bin, users, pairs, recall@k. Raises ``ValueError`` for another
        `by` and a k outside 1 .. the longest of the ranking's cut-offs.
        """
        if by not in ("popularity", "length"):
            raise ValueError(f"slices: by = {by!r} is unknown; choose 'popularity' or 'length'.")
        k = min(20, max(self.ks)) if k is None else self.check_k(k, "slices")
        bounds = sorted(edges if edges is not None else (0, 1, 3, 6, 11, 21))
        if (
            not bounds
            or any(not isinstance(edge, int | np.integer) for edge in bounds)
            or len(set(bounds)) < len(bounds)
        ):
            raise ValueError(f"slices: edges = {edges!r}, but they are different whole numbers, one or more.")
        users, items = self.split.pairs(self.part)
        row = np.searchsorted(self.per_user["user"].to_numpy(), users)
        ranked = np.where(self.hits[:, :k], self.top[:, :k], -1)
        found = (ranked[row] == items[:, None]).any(axis=1)
        seen = self.split.train_counts[items] if by == "popularity" else self.split.train_lengths[users]
        table = pd.DataFrame({"bin": np.searchsorted(bounds, seen, side="right") - 1, "user": users, "found": found})
        table = table[table["bin"] >= 0]
        recall = table.groupby(["bin", "user"])["found"].agg(["mean", "size"]).groupby("bin")
        out = pd.DataFrame(
            {"users": recall.size(), "pairs": recall["size"].sum(), f"recall@{k}": recall["mean"].mean()}
        ).reset_index()
        names = [_bin_name(bounds, b) for b in out["bin"]]
        return out.assign(bin=names)


def _bin_name(bounds: Sequence[int], index: int) -> str:
    low = bounds[index]
    if index + 1 == len(bounds):
        return f"{low}+"
    high = bounds[index + 1] - 1
    return str(low) if low == high else f"{low}-{high}"


def _isin(users: np.ndarray, items: np.ndarray, in_users: np.ndarray, in_items: np.ndarray, n_items: int) -> np.ndarray:
    """Tell which (user, item) pairs are among others; shapes broadcast."""
    known = np.sort(in_users * n_items + in_items)
    keys = users * n_items + items
    place = np.minimum(np.searchsorted(known, keys), max(len(known) - 1, 0))
    return (known[place] == keys) & (items >= 0) if len(known) else np.zeros(keys.shape, dtype=bool)


def _comparable(scores: Tensor) -> Tensor:
    """Return a copy of scores in which none become equal that were not; half precision is widened."""
    if not scores.is_floating_point():
        return scores.double()
    return scores.float() if scores.dtype.itemsize < 4 else scores.clone()


def _as_parts(mask: str | Sequence[str] | None) -> tuple[str, ...]:
    return (mask,) if isinstance(mask, str) else tuple(mask or ())


def _mask_pairs(scores: Tensor, users: np.ndarray, split: Split, parts: Sequence[str]) -> None:
    """Set the scores of what the users have in some parts to -inf, in place."""
    for part in parts:
        rows = split.matrix(part)[users].tocoo()
        index = [torch.from_numpy(ids.astype(np.int64)).to(scores.device) for ids in (rows.row, rows.col)]
        scores[index[0], index[1]] = -torch.inf


def _sample_candidates(scores: Tensor, users: np.ndarray, split: Split, part: str, n: int, seed: int) -> None:
    """Leave each user's held-out items and n items the user has in no part; the rest becomes -inf, in place."""
    keys = torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed + int(users[0])))
    _mask_pairs(keys, users, split, ("train", "valid", "test"))
    chosen = keys.topk(min(n, keys.shape[1]), dim=1).indices
    keep = torch.zeros(scores.shape, dtype=torch.bool).scatter_(1, chosen, keys.gather(1, chosen) > -torch.inf)
    rows = split.matrix(part)[users].tocoo()
    keep[torch.from_numpy(rows.row.astype(np.int64)), torch.from_numpy(rows.col.astype(np.int64))] = True
    scores[~keep.to(scores.device)] = -torch.inf


def _ranked(
    model: Method,
    users: np.ndarray,
    split: Split,
    part: str,
    mask: Sequence[str],
    candidates: str | int,
    k: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Yield blocks of the users' k best items, -1 where there is none left."""
    # A user's candidates depend on the seed and on the block; blocks of one size make them repeatable.
    step = 256 if not isinstance(candidates, str) else max(1, min(1024, CHUNK_ELEMENTS // split.n_items))
    for start in range(0, len(users), step):
        block = users[start : start + step]
        scores = _comparable(model.score(torch.from_numpy(block)))
        if scores.shape != (len(block), split.n_items):
            raise ValueError(
                f"{model.name}.score gave {tuple(scores.shape)} for {len(block)} users, {split.n_items} items"
            )
        _mask_pairs(scores, block, split, mask)
        if not isinstance(candidates, str):
            _sample_candidates(scores, block, split, part, candidates, seed)
        elif candidates == "held-out":
            barred = torch.ones(split.n_items, dtype=torch.bool)
            barred[torch.from_numpy(split.held_out_items[part].copy())] = False
            scores[:, barred.to(scores.device)] = -torch.inf
        top = top_items(scores, k)
        top = torch.where(scores.gather(1, top) > -torch.inf, top, -1).numpy(force=True)
        yield np.pad(top, ((0, 0), (0, k - top.shape[1])), constant_values=-1)


@torch.no_grad()
def evaluate(
    model: Method,
    split: Split,
    *,
    part: str = "test",
    ks: Sequence[int] = KS,
    candidates: str | int = "all",
    mask: Sequence[str] = ("train",),
    seed: int = 0,
) -> Report:
    """Rank items for every user with held-out items and measure what the top holds.

    `candidates`: "all" items (the default and the only figure to trust), "held-out" (the cold items of a
    "cold-items" split alone), or a number n: each user's held-out items against n others drawn with `seed` (PAMD's
    protocol uses 1,000; sampled figures are larger and can order methods differently). What a user has in the parts
    of `mask` is not recommended; validation items stay candidates at test, as in the papers' programs. Methods that
    read sequences see what `Split.history_parts` says: at a test under leave-one-out the validation item as well.
    Ties go to the lower item index. Users without held-out items are left out.
    Raises ``ValueError`` for another part, candidates, ks or a split that the model was not made for.
    """
    ks, mask = check_ks(ks), _as_parts(mask)
    if part not in ("train", "valid", "test"):
        raise ValueError(f"evaluate: part = {part!r} is unknown; choose 'valid' or 'test'.")
    if part in mask:
        raise ValueError(f"evaluate: part {part!r} is among the masked {tuple(mask)}, so nothing could be found.")
    check_candidates(candidates, split, part)
    _check_split("evaluate", model, split)
    users = split.users(part)
    with model.scoring(split.history_parts(part)):
        blocks = _ranked(model, users, split, part, mask, candidates, min(max(ks), split.n_items), seed)
        top = np.concatenate(list(blocks))
    hits = _isin(users[:, None], top, *split.pairs(part), split.n_items)
    relevant = np.diff(split.matrix(part).indptr)[users]
    per_user = pd.DataFrame({"user": users, "relevant": relevant} | hit_metrics(hits, relevant, ks))
    metrics = {f"{name}@{k}": float(per_user[f"{name}@{k}"].mean()) for k in ks for name in NAMES}
    return Report(metrics, per_user, top, split, part, ks, candidates, tuple(mask), seed)


def _check_split(what: str, model: Method, split: Split) -> None:
    """Raise ``ValueError`` for a split that the model was not made for: it may have learned what is held out there."""
    expect(what, model, Method, "mm.create() makes one, mm.run() returns one as result.model")
    expect(what, split, Split, "pass the one that the model was made with")
    if (model.n_users, model.n_items) != (split.n_users, split.n_items):
        raise ValueError(
            f"{what}: the model knows {model.n_users} users and {model.n_items} items, "
            f"but split {split.name} has {split.n_users} and {split.n_items}; pass the split it was made with."
        )
    if model.split_hash != split.hash:
        raise ValueError(
            f"{what}: the model was made for another split than {split.name} and may have learned from what is held "
            f"out here; pass the split it was made with, or make it anew with mm.create()."
        )


def check_candidates(candidates: str | int, split: Split, part: str) -> None:
    """Raise ``ValueError`` unless candidates is "all", a number >= 1, or "held-out" with held-out items."""
    if isinstance(candidates, int | np.integer) and not isinstance(candidates, bool) and candidates >= 1:
        return
    if candidates == "held-out":
        if part not in split.held_out_items:
            raise ValueError(
                f"evaluate: split {split.name} holds no items out; candidates='held-out' needs the protocol "
                f"'cold-items'."
            )
        return
    if candidates != "all":
        raise ValueError(f"evaluate: candidates = {candidates!r}; choose 'all', 'held-out' or a number of negatives.")


@torch.no_grad()
def best_items(
    model: Method, split: Split, users: Sequence[int], k: int = 10, mask: Sequence[str] = ("train",)
) -> tuple[np.ndarray, np.ndarray]:
    """Return some users' k best items that they do not have in the parts of `mask`, and their scores, (users, k) each.

    What is masked is past, as training always is, the rest is yet to come: methods that read sequences read training
    and the parts of `mask`. So the default gives the lists of ``evaluate(part="valid")``, `mask=("train", "valid")`
    those of a test under leave-one-out with that mask.
    Where a user has fewer than k such items the rest is -1, with score -inf. Raises ``ValueError`` for a user outside
    0 .. U - 1, one without a training interaction where the method knows nothing to give them, or a split that the
    model was not made for.
    """
    _check_split("recommend", model, split)
    rows, mask = np.asarray(users), _as_parts(mask)
    if not np.issubdtype(rows.dtype, np.integer) or rows.size == 0 or rows.min() < 0 or rows.max() >= split.n_users:
        raise ValueError(
            f"recommend: users = {users!r}, but users are whole numbers from 0 to {split.n_users - 1}, the rows of the "
            f"data set's `users`, where their ids stand."
        )
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"recommend: k = {k!r}, but it is a number of items, 1 or more.")
    rows = rows.astype(np.int64) if model.knows_newcomers else split.require_history(rows.astype(np.int64))
    model.eval()
    former = model.read_history(tuple(dict.fromkeys(("train", *mask))))
    try:
        scores = _comparable(model.score(torch.from_numpy(rows)))
    finally:
        model.read_history(former)
    _mask_pairs(scores, rows, split, mask)
    top = top_items(scores, min(k, split.n_items))
    values = scores.gather(1, top)
    top = torch.where(values > -torch.inf, top, -1).numpy(force=True)
    missing = ((0, 0), (0, k - top.shape[1]))
    return (
        np.pad(top, missing, constant_values=-1),
        np.pad(values.numpy(force=True), missing, constant_values=-np.inf),
    )


def _rows_of_users(split: Split, user: int | str | Sequence[int] | Sequence[str]) -> np.ndarray:
    """Return users' rows, given as rows or as the data's own ids; not both, since 3 and "3" may be two people."""
    given = np.atleast_1d(np.asarray(user, dtype=object))
    named = [isinstance(one, str) for one in given]
    if any(named) and not all(named):
        raise ValueError(f"recommend: user = {user!r} names users by rows and by ids; take rows, or ids, for all.")
    return split.dataset.rows("user", given) if any(named) else np.atleast_1d(np.asarray(given.tolist()))


def recommend(
    model: Method,
    split: Split,
    user: int | str | Sequence[int] | Sequence[str] | None = None,
    k: int = 10,
    mask: Sequence[str] = ("train",),
) -> pd.DataFrame:
    """Return a user's k best items that are not in the parts of `mask`, best first; or those of many users.

    A number is a user's row, a string the id that the data have.
    Columns: item (its row), item_id, score, relevant (held out in validation or test) and, where the data have them,
    title. With several users, or None for all whom the method has something to recommend, the columns user, user_id and
    rank (from 1) stand before them. With `mask=("train", "valid", "test")` nobody is shown what they have already, and
    methods that read sequences go on from each user's latest item (see ``best_items``).
    Fewer rows where fewer are left. Raises ``ValueError`` as ``best_items`` does.
    """
    if user is None:
        users = np.arange(split.n_users) if model.knows_newcomers else np.flatnonzero(split.train_lengths)
    else:
        users = _rows_of_users(split, user)
    step = max(1, min(1024, CHUNK_ELEMENTS // split.n_items))
    blocks = [best_items(model, split, users[n : n + step], k, mask) for n in range(0, max(len(users), 1), step)]
    items, scores = (np.concatenate(part) for part in zip(*blocks, strict=True))
    held = [np.concatenate(ids) for ids in zip(split.pairs("valid"), split.pairs("test"), strict=True)]
    relevant = _isin(users[:, None], items, *held, split.n_items)
    row, place = np.nonzero(items >= 0)
    items, data = items[row, place], split.dataset
    columns = {"user": users[row], "user_id": data.users["user_id"].iloc[users[row]].to_numpy(), "rank": place + 1}
    columns = {} if np.ndim(user) == 0 and user is not None else columns
    columns |= {"item": items, "item_id": data.items["item_id"].iloc[items].to_numpy()}
    columns |= {"score": scores[row, place], "relevant": relevant[row, place]}
    if "title" in data.items:
        columns["title"] = data.items["title"].iloc[items].to_numpy()
    return pd.DataFrame(columns)
