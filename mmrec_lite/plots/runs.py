"""Curves of one training before the pale curves of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from mmrec_lite.plots.charts import NOT_A_TERM, best_places, stage_ends
from mmrec_lite.plots.style import COLOURS, FONT, GREY, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["run_curves"]

MOST = 5  # panels in a row
GHOST = "#bdbdbd"


def run_curves(
    current: pd.DataFrame, ghosts: Sequence[pd.DataFrame] = (), title: str = "", state: str = "not run yet"
) -> Figure:
    """Draw each named term and the validation metric over the epochs, earlier runs as pale lines behind.

    `current` and `ghosts` are frames of a ``History``; an empty `current` leaves the ghosts alone, in the panels of
    the last of them, and the title says the `state`. A star marks the best validation epoch of each stage.
    """
    shown = current if len(current) else (ghosts[-1] if ghosts else current)
    names = [name for name in shown if name not in NOT_A_TERM]
    names.sort(key=lambda name: not name.startswith("valid "))
    names = names or ["valid recall"]
    rows = -(-len(names) // MOST)
    figure, axes = new_figure(rows, -(-len(names) // rows), (11, 0.4 + 2.6 * rows))
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for place, (name, ax) in enumerate(zip(names, axes.flat, strict=False)):
        colour = COLOURS[place % len(COLOURS)]
        style_axes(ax, name, "epoch")
        for ghost in ghosts:
            if name in ghost:
                ax.plot(range(1, len(ghost) + 1), ghost[name], color=GHOST, linewidth=2.5)
        if name in current:
            epochs = range(1, len(current) + 1)
            ax.plot(epochs, current[name], color=colour, linewidth=2, marker="o", markersize=3.5)
            for best in best_places(current, name) if name.startswith("valid ") else ():
                star = {"color": colour, "markersize": 16, "markeredgecolor": "white"}
                ax.plot(best + 1, current[name].iloc[best], "*", **star)
        for end in stage_ends(shown):
            ax.axvline(end, color=GREY, linestyle="--", linewidth=1)
        ax.xaxis.get_major_locator().set_params(integer=True)
    if not len(current):  # in the title: in the panels it would stand across the earlier runs
        title = f"{title}: {state}" if title else state
    if title:
        figure.suptitle(title, fontsize=FONT, x=0.01, ha="left", parse_math=False)
    return figure
