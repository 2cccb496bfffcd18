"""What a split does, and one user's history as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmrec_lite.data.checks import PARTS
from mmrec_lite.data.splits import Split
from mmrec_lite.data.times import EARLIEST_DATE
from mmrec_lite.plots.items import TILE, Sheet, item_pictures, item_title
from mmrec_lite.plots.style import COLOURS, FONT, GREY, INK, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmrec_lite.data import MultimodalDataset

__all__ = ["PART_LOOK", "HistoryRow", "history_panel", "split_timeline"]

PART_LOOK = {"train": (GREY, "o"), "valid": (COLOURS[4], "s"), "test": (COLOURS[3], "D")}  # colour, marker
STEP_X, STEP_Y, HEAD = TILE + 28, TILE + 92, 50


def split_timeline(splits: Mapping[str, Split], users: Sequence[int]) -> Figure:
    """Draw some users' interactions over time, a panel a split: grey dots are training, diamonds test.

    All splits must be of one data set with time stamps; mere positions (below `EARLIEST_DATE`) are drawn as such.
    """
    figure, axes = new_figure(1, len(splits), (11, 1.5 + 0.33 * len(users)), sharey=True)
    times = next(iter(splits.values())).dataset.interactions["timestamp"]
    dated = len(times) > 0 and int(times.max()) >= EARLIEST_DATE
    for (label, split), ax in zip(splits.items(), axes[0], strict=True):
        style_axes(ax, label, grid="y")
        table = split.dataset.interactions
        for part in PARTS:
            rows = getattr(split, part)
            rows = rows[np.isin(table["user"].to_numpy()[rows], users)]
            place = [list(users).index(user) for user in table["user"].iloc[rows]]
            when = table["timestamp"].iloc[rows]
            when = pd.to_datetime(when, unit="s") if dated else when
            colour, marker = PART_LOOK[part]
            look = {"markersize": 5 if part == "train" else 8, "markeredgecolor": "white", "markeredgewidth": 0.6}
            ax.plot(when, place, marker, color=colour, label=part, **look)
        ax.set_ylim(len(users) - 0.5, -0.5)
        if dated:
            _dates(ax)
        else:
            ax.set_xlabel("order", fontsize=FONT)
    axes[0, 0].set_yticks(range(len(users)), [f"user {user}" for user in users], fontsize=FONT - 1.5)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=FONT - 1
    )
    return figure


def _dates(ax: Axes) -> None:
    """Mark years where there are several, else months or days, whatever the axis has room for."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, YearLocator

    low, high = ax.get_xlim()
    if high - low > 2 * 365:
        ax.xaxis.set_major_locator(YearLocator())
        ax.xaxis.set_major_formatter(lambda day, _: f"'{pd.Timestamp(day, unit='D').year % 100:02d}")
    else:
        places = AutoDateLocator(minticks=3, maxticks=5)
        ax.xaxis.set_major_locator(places)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(places))


@dataclass(frozen=True)
class HistoryRow:
    """One user's choices in time order: `items` and `parts` ("train", ... or "") (n,), `dates` (n,) words or none.

    `shares` says how much the user cares about each group of factors, name -> share; `why` how much each group spoke
    for each choice, name -> (n,), signed. `earlier` counts choices before these, which are not drawn.
    """

    label: str
    items: Sequence[int]
    parts: Sequence[str]
    dates: Sequence[str] = ()
    shares: Mapping[str, float] | None = None
    why: Mapping[str, Sequence[float]] | None = None
    earlier: int = 0


def history_panel(data: MultimodalDataset, rows: Sequence[HistoryRow], columns: int = 8) -> Figure:
    """Draw users' histories as pictures in time order, framed in the colour of the part of the split.

    Above the pictures a bar shows the user's shares; below each picture a bar a group, to the right where the group
    speaks for the choice, to the left where it speaks against it. Raises ``ValueError`` without a user.
    """
    if not rows:
        raise ValueError("history_panel: there is no user to draw; give one or more.")
    heights = [HEAD + STEP_Y * -(-len(row.items) // columns) for row in rows]
    sheet = Sheet(columns * STEP_X + 10, sum(heights))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        _head(sheet, row, top)
        longest = max((float(np.abs(values).max(initial=0)) for values in (row.why or {}).values()), default=1.0)
        for place, picture in enumerate(item_pictures(data, row.items)):
            x, y = place % columns * STEP_X + 14, top + HEAD + place // columns * STEP_Y
            _choice(sheet, row, place, picture, item_title(data, row.items[place]), (x, y), longest)
        top += height
    return sheet.finish()


def _head(sheet: Sheet, row: HistoryRow, top: int) -> None:
    """Write who the user is, and draw the shares as one bar with a name to each piece."""
    sheet.text(14, top + 14, row.label, size=FONT, fontweight="bold", va="center")
    if row.earlier:
        end = sheet.pixels.shape[1] - 14
        sheet.text(end, top + 14, f"+{row.earlier:,} earlier", color=GREY, ha="right", va="center")
    x = 300.0
    for place, (name, share) in enumerate((row.shares or {}).items()):
        sheet.bars.setdefault(place, []).append((x, top + 10, 110 * float(share)))
        sheet.text(x + 110 * float(share) + 6, top + 14, f"{name} {share:.0%}", va="center")
        x += 110 * float(share) + 16 + 9.8 * len(f"{name} {share:.0%}")


def _choice(
    sheet: Sheet, row: HistoryRow, place: int, picture: np.ndarray, title: str, corner: tuple[int, int], longest: float
) -> None:
    """Draw one picture, its frame, its bars and words; `longest` is the value of a bar half a picture long."""
    x, y = corner
    part = row.parts[place]
    sheet.picture(picture, x, y, colour=PART_LOOK[part][0] if part else "")
    above = " ".join(filter(None, [row.dates[place] if row.dates else "", part]))
    sheet.text(
        x + TILE / 2, y - 7, above, ha="center", va="bottom", color=INK if part != "train" else GREY,
        fontweight="bold" if part not in ("", "train") else "normal",
    )  # fmt: skip
    for number, values in enumerate((row.why or {}).values()):
        width = TILE / 2 * float(values[place]) / max(longest, 1e-9)
        bar = (x + TILE / 2 + min(width, 0), y + TILE + 8 + 9 * number, abs(width))
        sheet.bars.setdefault(number, []).append(bar)
    sheet.caption(title, x + TILE / 2, y + TILE + (36 if row.why else 8), width=17, lines=2)
