"""One user: the history in pictures, and the best items of up to three methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from mmrec_lite.data import Split
from mmrec_lite.evaluation import recommend
from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer
from mmrec_lite.methods import Method
from mmrec_lite.plots.recommendations import Shelf, recommendation_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RecommendationsExplorer"]

MOST = 3


class RecommendationsExplorer(Explorer):
    """Choose a user: what they took in training, and what each method puts first; held-out items are framed.

    `models` maps a label to a trained method, three at most. Users without training or test items are left out.
    """

    title = "Recommendations: one user, several methods"

    def __init__(self, models: Mapping[str, Method], split: Split, k: int = 10):
        if not 1 <= len(models) <= MOST:
            raise ValueError(f"RecommendationsExplorer draws 1 to {MOST} methods, got {len(models)}: {list(models)}.")
        self.models, self.split, self.k = dict(models), split, k
        self.users = np.intersect1d(split.users("train"), split.users("test"))
        titles = {True: "held out for the test", False: "held out for validation"}
        self._parts = {titles[part == "test"]: part for part in ("test", "valid")}
        super().__init__(
            {
                "place": widgets.IntSlider(0, min=0, max=len(self.users) - 1, description="user, place", **SLIDER),
                "part": widgets.ToggleButtons(options=list(self._parts), description="framed", **BUTTONS),
            }
        )

    def shelves(self, place: int, part: str) -> list[Shelf]:
        """Return the history and each method's shelf."""
        user = int(self.users[place])
        history = self.split.history(user)
        wanted = self.split.pairs(self._parts[part])
        held = wanted[1][wanted[0] == user]
        rows = [Shelf(f"user {user}", history[::-1], f"{len(history)} taken,\nthe latest first")]
        for label, model in self.models.items():
            items = recommend(model, self.split, user, self.k)["item"].to_numpy()
            hits = np.isin(items, held)
            rows.append(Shelf(label, items.tolist(), f"{hits.sum()} of {len(held)} found\nin the top {self.k}", hits))
        return rows

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the shelves."""
        return recommendation_panel(self.split.dataset, self.shelves(params["place"], params["part"]), self.k)

    def describe(self, params: dict[str, Any]) -> str:
        """Say how many held-out items each method found."""
        history, *rows = self.shelves(params["place"], params["part"])
        found = "; ".join(f"{row.label}: {row.note.replace(chr(10), ' ')}" for row in rows)
        return f"{history.label.capitalize()}, {len(history.items)} items in training, {params['part']}: {found}."

    def telling(self, n: int = 1) -> list[int]:
        """Return the places of the users on whom the methods differ most in hits, the first of equals first."""
        gaps = []
        for place in range(min(len(self.users), 400)):
            counts = [sum(row.hits) for row in self.shelves(place, next(iter(self._parts)))[1:]]
            gaps.append(max(counts) - min(counts))
        return np.argsort(-np.asarray(gaps), kind="stable")[:n].tolist()

    def static(self, places: Sequence[int] | None = None) -> Figure:
        """Draw some users below one another, for a page without a kernel."""
        part = next(iter(self._parts))
        rows = [row for place in places or self.telling(2) for row in self.shelves(place, part)]
        return recommendation_panel(self.split.dataset, rows, self.k)
