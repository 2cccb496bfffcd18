"""One user of the shop: what they took, when, why, and which part of a split each choice goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset, Split, split
from mmrec_lite.data.times import EARLIEST_DATE
from mmrec_lite.explorers.base import LABEL, SLIDER, Explorer
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
GROUPS = {"common": "common", "image_only": "image only", "text_only": "text only"}


class ShopExplorer(Explorer):
    """Choose a user and a protocol: the history in pictures, in time order, framed by the part of the split.

    Where the data bring the planted truth, bars show what the user cares about and what spoke for each choice.
    Protocols that the data cannot follow (no time stamps) are not offered. Times that are mere positions (0, 1, 2 ...)
    order the choices and are not shown as dates.
    """

    title = "Shop: one user's history"

    def __init__(self, data: MultimodalDataset, user: int = 0, seed: int = 0, columns: int = 8):
        self.data, self.seed, self.columns = data, seed, columns
        self._splits: dict[str, Split] = {}
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
        chosen = self.split(protocol)
        return [next(p for p in ("train", "valid", "test") if row in getattr(chosen, p)) for row in self.rows(user)]

    def history(self, user: int, protocol: str) -> HistoryRow:
        """Return everything that is drawn of a user."""
        rows = self.rows(user)
        table = self.data.interactions.iloc[rows]
        dates = []
        if self._dated:
            dates = [f"{day:%b %Y}" for day in pd.to_datetime(table["timestamp"], unit="s")]
        shares = None
        if "user_weights" in self.data.truth:
            shares = dict(zip(GROUPS.values(), self.data.truth["user_weights"][user].tolist(), strict=True))
        label = f"user {user}: {len(rows)} choices"
        items = table["item"].tolist()
        return HistoryRow(label, items, self.parts(user, protocol), dates, shares, self._why(user, rows))

    def _why(self, user: int, rows: np.ndarray) -> dict[str, np.ndarray] | None:
        """What each group of factors added to the utility of each choice, at its time."""
        if "user_weights" not in self.data.truth:
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
        row = self.history(params["user"], params["protocol"])
        counts = ", ".join(f"{row.parts.count(part)} {part}" for part in ("train", "valid", "test"))
        cares = ""
        if row.shares:
            cares = " Cares: " + ", ".join(f"{name} {share:.0%}" for name, share in row.shares.items()) + "."
        last = max((place for place, part in enumerate(row.parts) if part == "train"), default=-1)
        early = row.parts[: last + 1].count("test")
        order = ""
        if self._timed and row.items:
            order = f" Earlier than a training choice: {early} of {row.parts.count('test')} test choices."
        when = f" from {row.dates[0]} to {row.dates[-1]}" if row.dates else ""
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
        chosen = self.examples() if users is None else users
        return history_panel(self.data, [self.history(user, protocol) for user in chosen], self.columns)
