"""One user of the shop: what they took, when, why, and which part of a split each choice goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset, Split, split
from mmrec_lite.data.checks import PARTS
from mmrec_lite.data.times import EARLIEST_DATE
from mmrec_lite.explorers.base import LABEL, SLIDER, Explorer, one_of, within
from mmrec_lite.plots.data import HistoryRow, history_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PROTOCOL_OPTIONS", "ShopExplorer"]

PROTOCOL_OPTIONS: dict[str, dict[str, Any]] = {
    "ratio, random": {"protocol": "ratio"},
    "ratio, latest": {"protocol": "ratio", "by": "time"},
    "leave one out": {"protocol": "leave-one-out"},
    "k-fold": {"protocol": "kfold"},
    "cold items": {"protocol": "cold-items"},
}
ROWS = 4  # of pictures: a history of a thousand choices would be a sheet that no page shows
GROUPS = {"common": "common", "image_only": "image only", "text_only": "text only"}


class ShopExplorer(Explorer):
    """Choose a user and a protocol: the history in pictures, in time order, framed by the part of the split.

    Of a long history the latest four rows are drawn; words count them all. Where the data bring the planted truth, bars
    show what the user cares about and, where there are time stamps, what spoke for each choice. Protocols that the data
    cannot follow (no time stamps) are not offered. Times that are mere positions (0, 1, 2 ...) order the choices and
    are not shown as dates.
    """

    title = "Shop: one user's history"

    def __init__(self, data: MultimodalDataset, user: int = 0, seed: int = 0, columns: int = 8):
        within("ShopExplorer", "user", user, 0, data.n_users - 1)
        self.data, self.seed, self.columns = data, seed, columns
        self._splits: dict[str, Split] = {}
        self._parts: dict[str, np.ndarray] = {}
        self._rows = pd.Series(np.arange(len(data))).groupby(data.interactions["user"].to_numpy()).indices
        self._timed = "timestamp" in data.interactions
        self._dated = self._timed and data.interactions["timestamp"].max() >= EARLIEST_DATE
        known = [name for name in PROTOCOL_OPTIONS if self._timed or name not in ("ratio, latest", "leave one out")]
        wide = {"style": LABEL | {"button_width": "auto"}, "layout": widgets.Layout(width="52em")}
        super().__init__(
            {
                "user": widgets.IntSlider(user, min=0, max=data.n_users - 1, description="user, row", **SLIDER),
                "protocol": widgets.ToggleButtons(options=known, description="protocol", **wide),
            }
        )

    def split(self, protocol: str) -> Split:
        """Return the split of a protocol's name; made once."""
        if protocol not in self._splits:
            self._splits[protocol] = split(self.data, seed=self.seed, **PROTOCOL_OPTIONS[protocol])
        return self._splits[protocol]

    def rows(self, user: int) -> np.ndarray:
        """Return the rows of a user's interactions, the earliest first."""
        rows = self._rows.get(user, np.zeros(0, dtype=np.int64))
        if self._timed:
            rows = rows[np.argsort(self.data.interactions["timestamp"].to_numpy()[rows], kind="stable")]
        return rows

    def parts(self, user: int, protocol: str) -> list[str]:
        """Return the part of each of the user's interactions, the earliest first."""
        if protocol not in self._parts:
            part_of = np.full(len(self.data), "", dtype=object)  # "": in no part of the split
            for part in PARTS:
                part_of[getattr(self.split(protocol), part)] = part
            self._parts[protocol] = part_of
        return self._parts[protocol][self.rows(user)].tolist()

    def history(self, user: int, protocol: str) -> HistoryRow:
        """Return everything that is drawn of a user: the latest choices, as many as there is room for."""
        every = self.rows(user)
        rows = every[-ROWS * self.columns :]
        label = f"user {user}: {len(every)} choices"
        items = self.data.interactions["item"].to_numpy()[rows].tolist()
        parts = self.parts(user, protocol)[len(every) - len(rows) :]
        earlier = len(every) - len(rows)
        return HistoryRow(label, items, parts, self._dates(rows), self._shares(user), self._why(user, rows), earlier)

    def _dates(self, rows: np.ndarray) -> list[str]:
        if not self._dated:
            return []
        days = pd.to_datetime(self.data.interactions["timestamp"].iloc[rows], unit="s")
        return [f"{day:%b %Y}" for day in days]

    def _shares(self, user: int) -> dict[str, float] | None:
        """How much the user cares about each group, where the data know."""
        if "user_weights" not in self.data.truth:
            return None
        return dict(zip(GROUPS.values(), self.data.truth["user_weights"][user].tolist(), strict=True))

    def _why(self, user: int, rows: np.ndarray) -> dict[str, np.ndarray] | None:
        """What each group of factors added to the utility of each choice, at its time; None where either is unknown."""
        if "user_weights" not in self.data.truth or not self._timed:
            return None
        from mmrec_lite.data.bazaar import oracle_scores

        items, at = (self.data.interactions[key].to_numpy()[rows] for key in ("item", "timestamp"))
        place, users = np.arange(len(rows)), np.full(len(rows), user)
        base = oracle_scores(self.data, users, at=at, groups=())[place, items]
        known = {g: oracle_scores(self.data, users, at=at, groups=(g,))[place, items] for g in GROUPS}
        return {GROUPS[g]: scores - base for g, scores in known.items()}

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the user's history."""
        return history_panel(self.data, [self.history(params["user"], params["protocol"])], self.columns)

    def describe(self, params: dict[str, Any]) -> str:
        """Count the choices in each part and those test choices that lie before a training choice."""
        rows, parts = self.rows(params["user"]), self.parts(params["user"], params["protocol"])
        counts = ", ".join(f"{parts.count(part)} {part}" for part in PARTS)
        cares = ""
        if shares := self._shares(params["user"]):
            cares = " Cares: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) + "."
        order = ""
        if self._timed and parts:
            times, kinds = self.data.interactions["timestamp"].to_numpy()[rows], np.array(parts)
            last = times[kinds == "train"].max(initial=np.iinfo(np.int64).min)
            early = int((times[kinds == "test"] < last).sum())  # of one day's choices none is earlier
            order = f" Earlier than a training choice: {early} of {parts.count('test')} test choices."
        ends = self._dates(rows[[0, -1]]) if len(rows) else []
        when = f" from {ends[0]} to {ends[1]}" if ends else ""
        return f"User {params['user']}{when}; {params['protocol']}: {counts}.{cares}{order}"

    def examples(self) -> list[int]:
        """Choose, for each group, the user who cares for it most, of those whose history fills one row at most."""
        lengths = np.bincount(self.data.interactions["user"].to_numpy(), minlength=self.data.n_users)
        fits = (lengths >= 5) & (lengths <= self.columns)
        if "user_weights" not in self.data.truth or not fits.any():
            return np.argsort(-lengths * (lengths <= self.columns), kind="stable")[:3].tolist()
        weights = np.where(fits[:, None], self.data.truth["user_weights"], -1.0)
        return list(dict.fromkeys(weights.argmax(axis=0).tolist()))

    def static(self, users: Sequence[int] | None = None, protocol: str = "ratio, random") -> Figure:
        """Draw several users (default: `examples`) under one protocol, for a page without a kernel."""
        one_of("ShopExplorer.static", "protocol", protocol, self.controls["protocol"].options)
        chosen = self.examples() if users is None else list(users)
        for user in chosen:
            within("ShopExplorer.static", "user", user, 0, self.data.n_users - 1)
        return history_panel(self.data, [self.history(user, protocol) for user in chosen], self.columns)
