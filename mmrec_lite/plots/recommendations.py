"""A user's history above what methods recommend, in pictures; what was really taken afterwards is framed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.plots.items import TILE, Sheet, item_pictures, item_title
from mmrec_lite.plots.style import FONT, GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Shelf", "recommendation_panel"]

HIT = "#009E73"
LABELS, STEP_X, STEP_Y = 150, TILE + 12, TILE + 50


@dataclass(frozen=True)
class Shelf:
    """One row of the panel: a label, a note below it, the items, which of them to frame, and a word under each."""

    label: str
    items: Sequence[int]
    note: str = ""
    hits: Sequence[bool] = ()
    words: Sequence[str] = ()


def recommendation_panel(data: MultimodalDataset, rows: Sequence[Shelf], columns: int = 10) -> Figure:
    """Draw one shelf of pictures a row; hits get a thick green frame and a tick, so that colour never stands alone."""
    sheet = Sheet(LABELS + columns * STEP_X + 10, len(rows) * STEP_Y + 6)
    for place, row in enumerate(rows):
        y = place * STEP_Y + 6
        sheet.text(4, y + 8, row.label, size=FONT, fontweight="bold", va="top")
        sheet.text(4, y + 30, row.note, color=GREY, va="top", linespacing=1.3)
        shown = list(row.items)[:columns]
        hits = list(row.hits) or [False] * len(shown)
        words = list(row.words) or [item_title(data, item) for item in shown]
        for column, picture in enumerate(item_pictures(data, shown)):
            x = LABELS + column * STEP_X
            sheet.picture(picture, x, y, colour=HIT if hits[column] else "")
            tick = "✓ " if hits[column] else ""
            sheet.caption(tick + words[column], x + TILE / 2, y + TILE + 6, width=16, lines=2)
    return sheet.finish()
