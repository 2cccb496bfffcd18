"""A user's history above what methods recommend, in pictures; what was really taken afterwards is framed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.plots.items import TILE, Sheet, item_pictures, item_title
from mmrec_lite.plots.style import FONT, GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shelf", "recommendation_panel"]

HIT = "#009E73"
LABELS, STEP_X, STEP_Y = 150, TILE + 12, TILE + 54
WIDTH = 12  # letters of a label's line
FIRST = ("image", "text")  # the same colours whatever else there is
# Places in COLOURS: not the third, which is a hit's frame.
BARS = (0, 1, 3, 4, 5, 6)


@dataclass(frozen=True)
class Shelf:
    """One row of the panel: a label, a note below it, the items, which of them to frame, and a word under each.

    `parts` name -> shares (items,) that add up to one are drawn as a bar below each picture.
    """

    label: str
    items: Sequence[int]
    note: str = ""
    hits: Sequence[bool] = ()
    words: Sequence[str] = ()
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)


def _labels(names: Sequence[str]) -> list[list[str]]:
    """Wrap each name into three lines at most; of those that would then look alike, beginning and end are shown."""
    short = {name: textwrap.wrap(name, WIDTH, max_lines=3, placeholder="…") for name in names}
    alike = [name for name in short if sum(lines == short[name] for lines in short.values()) > 1]
    for name in alike:
        lines = textwrap.wrap(name, WIDTH)
        short[name] = [lines[0], "…", lines[-1]] if len(lines) > 3 else lines
    return [short[name] for name in names]


def recommendation_panel(data: MultimodalDataset, rows: Sequence[Shelf], columns: int = 10) -> Figure:
    """Draw one shelf of pictures a row; hits get a thick green frame and a tick, so that colour never stands alone."""
    found = {name for row in rows for name in row.parts}
    order = [*FIRST, *sorted(found - set(FIRST))]
    names = {name: BARS[place % len(BARS)] for place, name in enumerate(order) if name in found}  # -> colour
    sheet = Sheet(LABELS + columns * STEP_X + 10, len(rows) * STEP_Y + 6 + (24 if names else 0))
    for place, (row, label) in enumerate(zip(rows, _labels([row.label for row in rows]), strict=True)):
        y = place * STEP_Y + 6
        sheet.text(4, y + 8, "\n".join(label), size=FONT, fontweight="bold", va="top", linespacing=1.1)
        below = y + 12 + 18 * max(len(label), 1)
        sheet.text(4, below, row.note, size=FONT - 1.5, color=GREY, va="top", linespacing=1.3)
        shown = list(row.items)[:columns]
        hits = list(row.hits) or [False] * len(shown)
        words = list(row.words) or [item_title(data, item) for item in shown]
        for column, picture in enumerate(item_pictures(data, shown)):
            x = LABELS + column * STEP_X
            sheet.picture(picture, x, y, colour=HIT if hits[column] else "")
            tick = "✓ " if hits[column] else ""
            sheet.caption(tick + words[column], x + TILE / 2, y + TILE + (13 if row.parts else 6), width=15, lines=2)
            left = x
            for name, shares in row.parts.items():
                sheet.bars.setdefault(names[name], []).append((left, y + TILE + 5, TILE * float(shares[column])))
                left += TILE * float(shares[column])
    x, y = LABELS, len(rows) * STEP_Y + 12
    for name, colour in names.items():  # what the bars mean
        sheet.bars.setdefault(colour, []).append((x, y, 26))
        sheet.text(x + 32, y + 4, f"attention to {name}", va="center")
        x += 136 + round(7.2 * len(name))
    return sheet.finish()
