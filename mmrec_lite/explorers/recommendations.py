"""One user: the history in pictures, and the best items of up to three methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from mmrec_lite.data import Split
from mmrec_lite.evaluation import best_items
from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer, one_of, within
from mmrec_lite.maps import attention
from mmrec_lite.methods import Method
from mmrec_lite.methods.switches import modalities_off, switchable
from mmrec_lite.plots.items import item_title
from mmrec_lite.plots.recommendations import Shelf, recommendation_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RecommendationsExplorer"]

MOST = 3
BLOCK = 512  # users ranked at a time: the next user's list is there before the slider moves
NOTHING = "nothing"
PAST = {("train",): "training", ("train", "valid"): "training and validation"}


class RecommendationsExplorer(Explorer):
    """Choose a user: what they took in training, and what each method puts first; held-out items are framed.

    `models` maps a label to a trained method, three at most. Users without training or test items are left out;
    ``ValueError`` where nobody is left. What is past when the framed part is to be predicted (`Split.history_parts`)
    is the history, and not recommended again. A bar below a picture is the item's attention to each modality, where a
    method has one. With a modality switched off (`methods.switches.modalities_off`: missing when scoring, the weights
    stay) items that were not there before are marked "new". Lists are kept: after training a method further, call
    `forget`.
    """

    title = "Recommendations: one user, several methods"

    def __init__(self, models: Mapping[str, Method], split: Split, k: int = 10):
        if not 1 <= len(models) <= MOST:
            raise ValueError(f"RecommendationsExplorer draws 1 to {MOST} methods, got {len(models)}: {list(models)}.")
        self.models, self.split, self.k = dict(models), split, k
        self.users = np.intersect1d(split.users("train"), split.users("test"))
        if not len(self.users):
            raise ValueError(
                f"RecommendationsExplorer: no user of {split.dataset.name!r} has items both in training "
                f"({len(split.train):,} interactions) and in the test part ({len(split.test):,}); give another split."
            )
        titles = {True: "held out for the test", False: "held out for validation"}
        self._parts = {titles[part == "test"]: part for part in ("test", "valid")}
        self._ranked: dict[tuple, np.ndarray] = {}
        self._weights: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        read = dict.fromkeys(name for model in models.values() for name in switchable(model))
        super().__init__(
            {
                "place": widgets.IntSlider(0, min=0, max=len(self.users) - 1, description="user, place", **SLIDER),
                "part": widgets.ToggleButtons(options=list(self._parts), description="framed", **BUTTONS),
                "off": widgets.ToggleButtons(options=[NOTHING, *read], description="switched off", **BUTTONS),
            }
        )

    def forget(self) -> None:
        """Rank and draw anew: what was kept is of the weights that the methods had."""
        with self._lock:
            self._kept.clear()
        self._ranked.clear()
        self._weights.clear()
        self.refresh()

    def past(self, part: str) -> tuple[str, ...]:
        """Return the parts of the split that are past for what is framed."""
        return self.split.history_parts(self._parts[one_of("RecommendationsExplorer", "part", part, self._parts)])

    def ranked(self, label: str, place: int, off: str = NOTHING, past: tuple[str, ...] = ("train",)) -> np.ndarray:
        """Return a method's best items for the user at a place, with a modality switched off or not; kept by blocks.

        k items that are not in the parts `past`, fewer where the user has fewer left.
        """
        block = place // BLOCK
        key = label, off, past, block
        if key not in self._ranked:
            model = self.models[label]
            users = self.users[block * BLOCK : (block + 1) * BLOCK]  # one without a history could not be ranked
            with modalities_off(model, [off]) if off in switchable(model) else nullcontext():
                self._weights[label, off] = _by_modality(attention(model))
                self._ranked[key] = best_items(model, self.split, users, self.k, past)[0]
        best = self._ranked[key][place % BLOCK]
        return best[best >= 0]  # -1 fills up where fewer are left

    def shelves(self, place: int, part: str, off: str = NOTHING) -> list[Shelf]:
        """Return the history and each method's shelf."""
        within("RecommendationsExplorer", "place", place, 0, len(self.users) - 1)
        user, past = int(self.users[place]), self.past(part)
        indptr, taken = self.split.sequences(past)
        history = taken[indptr[user] : indptr[user + 1]]
        wanted = self.split.pairs(self._parts[part])
        held = wanted[1][wanted[0] == user]
        ordered = "timestamp" in self.split.dataset.interactions or self.split.options.get("by") == "order"
        rows = [Shelf(f"user {user}", history[::-1], f"{len(history)} taken" + ",\nthe latest first" * ordered)]
        for label in self.models:
            items = self.ranked(label, place, off, past)
            hits = np.isin(items, held)
            note, words = f"{hits.sum()} of {len(held)} found\nin the top {self.k}", ()
            if off != NOTHING:
                new = ~np.isin(items, self.ranked(label, place, past=past))
                moved = off in switchable(self.models[label])
                note += f",\n{new.sum()} new without\n{off}" if moved else ",\nunchanged"
                words = [f"new: {self._title(i)}" if n else self._title(i) for i, n in zip(items, new, strict=True)]
            weights = {name: values[items] for name, values in self._weights[label, off].items()}
            rows.append(Shelf(label, items.tolist(), note, hits, words, weights))
        return rows

    def _title(self, item: int) -> str:
        return item_title(self.split.dataset, int(item))

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the shelves."""
        return recommendation_panel(self.split.dataset, self._rows(params), self.k)

    def _rows(self, params: dict[str, Any]) -> list[Shelf]:
        return self.shelves(params["place"], params["part"], params.get("off", NOTHING))

    def describe(self, params: dict[str, Any]) -> str:
        """Say how many held-out items each method found."""
        history, *rows = self._rows(params)
        found = "; ".join(f"{row.label}: {row.note.replace(chr(10), ' ')}" for row in rows)
        return (
            f"{history.label.capitalize()}, {len(history.items)} items in {PAST[self.past(params['part'])]}, "
            f"{params['part']}, switched off: {params.get('off', NOTHING)}. {found}."
        )

    def telling(self, n: int = 1) -> list[int]:
        """Return the places of the users on whom the methods differ most in hits, the first of equals first."""
        gaps = []
        for place in range(min(len(self.users), 400)):
            counts = [sum(row.hits) for row in self.shelves(place, next(iter(self._parts)))[1:]]
            gaps.append(max(counts) - min(counts))
        return np.argsort(-np.asarray(gaps), kind="stable")[:n].tolist()

    def static(self, places: Sequence[int] | None = None, off: Sequence[str] = (NOTHING,)) -> Figure:
        """Draw some users below one another, each with every of `off` switched off, for a page without a kernel.

        `places` default to two users on whom the methods differ most; ``ValueError`` where there is none of either.
        """
        for name in off:
            one_of("RecommendationsExplorer.static", "off", name, self.controls["off"].options)
        chosen = self.telling(2) if places is None else list(places)
        if not chosen or not len(off):
            raise ValueError(
                "RecommendationsExplorer.static: nothing to draw; give a place, and something to switch off."
            )
        part = next(iter(self._parts))
        rows = []
        for place in chosen:
            for number, name in enumerate(off):
                history, *shelves = self.shelves(place, part, name)
                rows += [*([history] if number == 0 else []), *shelves]
        return recommendation_panel(self.split.dataset, rows, self.k)


def _by_modality(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add up what belongs to one modality ("image common" and "image specific"); shares (I,) add up to one."""
    out: dict[str, np.ndarray] = {}
    for name, values in weights.items():
        key = name.partition(" ")[0]
        out[key] = out.get(key, 0) + values
    return out
