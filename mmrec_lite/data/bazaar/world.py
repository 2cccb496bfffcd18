"""The planted world behind Bazaar: items' factors, users' tastes and drift, and every choice that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mmrec_lite.data.bazaar.vocabulary import GROUPS, SHAPES_PER_CATEGORY

if TYPE_CHECKING:
    from mmrec_lite.data.dataset import MultimodalDataset

GROUP_NAMES = tuple(GROUPS)  # common, image_only, text_only: also the columns of truth["user_weights"]
DAY = 86_400
OPENING = 1_609_459_200  # 1 January 2021, 00:00 UTC, in seconds

# how much one attribute counts within its group
IMPORTANCE = {
    "category": 1.0, "shape": 0.5, "theme": 0.8,
    "hue": 1.0, "pattern": 0.8, "tone": 0.5,
    "material": 0.9, "brand": 0.9, "use": 0.8, "quality": 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What the world is made of; every number of the choice model.

    ``decisiveness`` multiplies the taste part of the utility (the inverse temperature of a choice), ``archetypes``
    is the number of taste types users are drawn from, ``conformity`` the correlation of a user's taste with the
    type's, ``drift`` how far a taste has moved at the end of a user's time, ``follow`` the share of users who move
    to their type's successor, ``appeal`` the spread of the items' popularity, ``focus`` the concentration of the
    Dirichlet law that shares a user's attention among the three groups (small: one group is nearly all).
    """

    users: int = 2000
    items: int = 2500
    interactions: int = 14_000
    archetypes: int = 20
    conformity: float = 0.8
    decisiveness: float = 4.5
    drift: float = 0.5
    follow: float = 0.7
    appeal: float = 0.8
    focus: float = 1.5
    peakedness: float = 2.0

    def __post_init__(self) -> None:
        if self.users < 1 or self.items < 10:
            raise ValueError(f"Bazaar needs at least 1 user and 10 items, got {self.users} and {self.items}.")
        if not 3 * self.users <= self.interactions <= self.users * min(self.items // 2, 40):
            raise ValueError(
                f"interactions={self.interactions} does not fit {self.users} users and {self.items} items: every "
                f"user makes at least 3 and at most {min(self.items // 2, 40)} choices."
            )


@dataclass(frozen=True)
class World:
    """Everything planted, as arrays; rows are users or items, ``interactions`` is ordered by user, then time.

    ``attributes[name]`` (I,) int16; ``codes[group]`` (I, d) 0/1; ``tastes[group]`` (U, 2, d) float32, the taste at
    the beginning and at the end of a user's time, in units of utility; ``weights`` (U, 3) sums to one.
    """

    seed: int
    settings: Settings
    attributes: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    tastes: dict[str, np.ndarray]
    weights: np.ndarray
    archetypes: np.ndarray  # (U, 2)
    popularity: np.ndarray  # (I,)
    span: np.ndarray  # (U, 2) int64: seconds at which the user's time begins and ends
    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    rating: np.ndarray

    @cached_property
    def truth(self) -> dict[str, np.ndarray]:
        """The planted truth under the names of ``MultimodalDataset.truth``."""
        out: dict[str, np.ndarray] = {f"item_{name}": values for name, values in self.attributes.items()}
        out |= {f"item_{group}": code.astype(np.uint8) for group, code in self.codes.items()}
        for group, taste in self.tastes.items():
            out[f"user_taste_{group}_start"] = taste[:, 0].astype(np.float16)
            out[f"user_taste_{group}_end"] = taste[:, 1].astype(np.float16)
        out["user_weights"] = self.weights.astype(np.float32)
        out["user_archetype"] = self.archetypes.astype(np.int16)
        out["user_span"] = self.span
        out["item_popularity"] = self.popularity.astype(np.float32)
        return out


def make_world(seed: int = 0, settings: Settings | None = None) -> World:
    """Draw the whole world from one seed; the same seed and settings give the same arrays."""
    settings = settings or Settings()
    streams = [np.random.default_rng([seed, step]) for step in range(5)]
    attributes, codes = _draw_items(streams[0], settings.items)
    people = _draw_users(streams[1], settings, codes)
    popularity = settings.appeal * streams[2].standard_normal(settings.items)
    n_choices = _choices_per_user(streams[3], settings)
    truth = {f"item_{g}": c for g, c in codes.items()}
    truth |= {"user_weights": people["weights"], "item_popularity": popularity}
    for g in GROUP_NAMES:
        truth[f"user_taste_{g}_start"], truth[f"user_taste_{g}_end"] = people["tastes"][g].swapaxes(0, 1)
    user, item, progress, utility = _choose(streams[4], truth, n_choices)
    span = people["span"]
    timestamp = span[user, 0] + np.floor(progress * (span[user, 1] - span[user, 0])).astype(np.int64)
    rating = _rate(streams[4], utility)
    return World(
        seed, settings, attributes, codes, people["tastes"], people["weights"], people["archetypes"], popularity,
        span, user.astype(np.int32), item.astype(np.int32), _strictly_later(user, timestamp), rating,
    )  # fmt: skip


def _draw_items(rng: np.random.Generator, n: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Independent attributes (so that no modality can guess what it is not shown) and their one-hot codes."""
    attributes: dict[str, np.ndarray] = {}
    codes: dict[str, np.ndarray] = {}
    for group, sizes in GROUPS.items():
        blocks = []
        for name, size in sizes.items():
            if name == "shape":
                values = attributes["category"] * SHAPES_PER_CATEGORY + rng.integers(SHAPES_PER_CATEGORY, size=n)
            else:
                values = rng.choice(size, n, p=rng.dirichlet(np.full(size, 30.0)))
            attributes[name] = values.astype(np.int16)
            blocks.append(np.eye(size, dtype=np.float32)[values])
        codes[group] = np.concatenate(blocks, axis=1)
    return attributes, codes


def _draw_tastes(rng: np.random.Generator, n: int, peakedness: float) -> dict[str, np.ndarray]:
    """(n, d) likings a group; powers of Gaussians, so that a few values of an attribute are loved or disliked."""
    tastes = {}
    for group, sizes in GROUPS.items():
        blocks = []
        for name, size in sizes.items():
            x = rng.standard_normal((n, size))
            x = np.sign(x) * np.abs(x) ** peakedness
            blocks.append(IMPORTANCE[name] * x / x.std(axis=1, keepdims=True))
        tastes[group] = np.concatenate(blocks, axis=1)
    return tastes


def _draw_users(rng: np.random.Generator, s: Settings, codes: dict[str, np.ndarray]) -> dict[str, Any]:
    n_types = max(2, min(s.archetypes, s.users // 10))
    types, own = _draw_tastes(rng, n_types, s.peakedness), _draw_tastes(rng, s.users, s.peakedness)
    ring = rng.permutation(n_types)
    successor = np.empty_like(ring)
    successor[ring] = np.roll(ring, -1)  # one ring through all types, so that where a user goes can be learnt
    first = rng.integers(n_types, size=s.users)
    last = np.where(rng.random(s.users) < s.follow, successor[first], rng.integers(n_types, size=s.users))
    weights = rng.dirichlet(np.full(len(GROUP_NAMES), s.focus), s.users)
    tastes = {}
    for group, code in codes.items():
        begin = s.conformity * types[group][first] + np.sqrt(1 - s.conformity**2) * own[group]
        aim = s.conformity * types[group][last] + np.sqrt(1 - s.conformity**2) * own[group]
        both = np.stack([begin, (1 - s.drift) * begin + s.drift * aim], axis=1)
        # unit spread over the catalogue, so that a group counts by the user's weight and not by its number of values
        spread = np.stack([(both[:, t] @ code.T).std(axis=1) for t in range(2)], axis=1)
        tastes[group] = (s.decisiveness * both / np.maximum(spread, 1e-6)[:, :, None]).astype(np.float32)
    begin_day = OPENING + rng.integers(0, 700 * DAY, s.users)
    span = np.stack([begin_day, begin_day + rng.integers(90 * DAY, 720 * DAY, s.users)], axis=1).astype(np.int64)
    return {"tastes": tastes, "weights": weights, "archetypes": np.stack([first, last], 1), "span": span}


def _choices_per_user(rng: np.random.Generator, s: Settings) -> np.ndarray:
    """(U,) numbers of choices, at least 3, most 5 to 10, that add up to ``interactions``."""
    most = min(s.items // 2, 40)
    share = rng.gamma(2.0, size=s.users) + 0.4
    n = np.full(s.users, 3)
    while (left := s.interactions - n.sum()) > 0:
        open_ = share * (n < most)
        n = np.minimum(n + rng.multinomial(left, open_ / open_.sum()), most)
    return n


def _choose(
    rng: np.random.Generator, truth: dict[str, np.ndarray], n_choices: np.ndarray, block: int = 256
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Let every user choose items one after the other (Gumbel-max, without replacement) while the taste drifts.

    Returns user, item, progress in 0..1 and the taste part of the utility, ordered by user, then time.
    """
    parts = []
    for lo in range(0, len(n_choices), block):
        users = np.arange(lo, min(lo + block, len(n_choices)))
        n = n_choices[users]
        progress = np.full((len(users), n.max()), 2.0)
        for row, count in enumerate(n):
            progress[row, :count] = np.sort(rng.random(count))
        start, end = (_utility(truth, users, p) for p in (0.0, 1.0))
        popularity = truth["item_popularity"]
        taken = np.zeros_like(start, dtype=bool)
        for step in range(n.max()):
            live = np.flatnonzero(n > step)
            p = progress[live, step][:, None]
            utility = (1 - p) * start[live] + p * end[live]
            noisy = utility + rng.gumbel(size=utility.shape)
            noisy[taken[live]] = -np.inf
            pick = noisy.argmax(axis=1)
            taken[live, pick] = True
            fit = utility[np.arange(len(live)), pick] - popularity[pick]
            parts.append(np.stack([users[live], pick, np.full(len(live), step), p[:, 0], fit]))
    table = np.concatenate(parts, axis=1)
    table = table[:, np.lexsort((table[2], table[0]))]
    return table[0].astype(np.int64), table[1].astype(np.int64), table[3], table[4]


def _rate(rng: np.random.Generator, utility: np.ndarray) -> np.ndarray:
    """(N,) stars 1..5: the better an item fits, the higher, with a mood added."""
    fit = (utility - utility.mean()) / max(utility.std(), 1e-9)
    return np.clip(np.rint(4.0 + 0.8 * fit + 0.6 * rng.standard_normal(len(fit))), 1, 5).astype(np.float32)


def _strictly_later(user: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    """No two choices of a user in the same second, so that the order in time is the order of the rows."""
    out = timestamp.copy()
    for row in range(1, len(out)):
        if user[row] == user[row - 1] and out[row] <= out[row - 1]:
            out[row] = out[row - 1] + 1
    return out.astype(np.int64)


def _utility(
    truth: dict[str, np.ndarray],
    users: np.ndarray,
    progress: float | np.ndarray,
    groups: tuple[str, ...] = GROUP_NAMES,
) -> np.ndarray:
    """(B, I) utility of every item for ``users`` when ``progress`` (scalar or (B,)) of their time has passed."""
    p = np.broadcast_to(np.asarray(progress, dtype=np.float32), (len(users),))[:, None]
    weights = truth["user_weights"][users].astype(np.float32)
    weights = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    out = np.tile(truth["item_popularity"].astype(np.float32), (len(users), 1))
    for column, group in enumerate(GROUP_NAMES):
        if group in groups:
            start = truth[f"user_taste_{group}_start"][users].astype(np.float32)
            end = truth[f"user_taste_{group}_end"][users].astype(np.float32)
            taste = (1 - p) * start + p * end
            out += (weights[:, [column]] * taste) @ truth[f"item_{group}"].astype(np.float32).T
    return out


def oracle_scores(
    dataset: MultimodalDataset,
    users: np.ndarray,
    *,
    at: np.ndarray | str | None = None,
    groups: tuple[str, ...] = GROUP_NAMES,
) -> np.ndarray:
    """Score every item for ``users`` by the planted utility: the ceiling no recommender can pass.

    Only ``dataset.truth`` is read. ``at`` says when: ``None`` averages over the user's time (right when test rows
    are drawn at random), ``"end"`` is the end of it (right for the last interaction), an array (B,) of time stamps
    in seconds is exact. ``groups`` limits the oracle to some of ``common``, ``image_only``, ``text_only``; the
    item's popularity is always known to it. Returns (B, I) float32. ValueError if the truth is missing.
    """
    truth = dataset.truth
    if "user_weights" not in truth:
        raise ValueError(f"'{dataset.name}' has no planted truth, so there is no oracle; use mm.load('bazaar').")
    unknown = [g for g in groups if g not in GROUP_NAMES]
    if unknown:
        raise ValueError(f"unknown factor group {unknown[0]!r}; choose from {', '.join(GROUP_NAMES)}.")
    users = np.asarray(users, dtype=np.int64)
    if at is None:
        progress: float | np.ndarray = 0.5
    elif isinstance(at, str):
        if at != "end":
            raise ValueError(f"at={at!r} is not known: give None, 'end' or an array of time stamps.")
        progress = 1.0
    else:
        begin, end = truth["user_span"][users].T
        progress = np.clip((np.asarray(at) - begin) / (end - begin), 0, 1)
    return _utility(truth, users, progress, groups)
