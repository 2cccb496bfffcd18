"""Items as pictures: a shelf of them, and an item beside its neighbours on several graphs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.storage import image_bytes
from mmrec_lite.plots.style import COLOURS, DPI, FONT, GREY, HATCHES, INK
from mmrec_lite.printing import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image
    from torch import Tensor

__all__ = ["NeighbourRow", "item_pictures", "item_title", "item_titles", "neighbour_panel", "shelf"]

TILE = 96  # pixels of a picture in a panel, and the unit of a panel's coordinates
BLANK = 232  # grey of a missing picture
STEP_X, STEP_Y, LABELS_END = TILE + 10, TILE + 36, 328


@dataclass(frozen=True)
class NeighbourRow:
    """One graph's neighbours of an item, strongest first.

    `items` are item numbers, `parts` names what each weight is made of: part -> weights, as long as `items`. `label`
    and `note` stand at the row's left.
    """

    label: str
    items: Sequence[int]
    parts: dict[str, Sequence[float]]
    note: str = ""

    @classmethod
    def of(cls, label: str, graph: Tensor, item: int, part: str) -> NeighbourRow:
        """Read an item's row of a CSR graph; the item itself goes into the note."""
        start, stop = graph.crow_indices()[item : item + 2].tolist()
        items, weights = graph.col_indices()[start:stop].tolist(), graph.values()[start:stop].tolist()
        pairs = sorted(zip(items, weights, strict=True), key=lambda pair: (-pair[1], pair[0]))
        own = sum(weight for i, weight in pairs if i == item)
        others = [pair for pair in pairs if pair[0] != item]
        return cls(label, [i for i, _ in others], {part: [w for _, w in others]}, f"itself {own:.3f}")

    @property
    def weights(self) -> np.ndarray:
        """The sum of the parts, (neighbours,)."""
        return np.sum([np.asarray(part, dtype=float) for part in self.parts.values()], axis=0)


def item_title(data: MultimodalDataset, item: int) -> str:
    """The title of an item, in one line of characters that can be printed; its id where there is none."""
    titles = data.items["title"] if "title" in data.items else data.items["item_id"]
    return _title(titles.iloc[item], data.items["item_id"].iloc[item])


def item_titles(data: MultimodalDataset) -> list[str]:
    """`item_title` of every item, in their order."""
    ids = data.items["item_id"].tolist()
    return list(map(_title, data.items["title"].tolist() if "title" in data.items else ids, ids))


def _title(title: object, item_id: object) -> str:
    words = printable(title).split() if isinstance(title, str) else ()
    return " ".join(words) or str(item_id)


def item_pictures(data: MultimodalDataset, items: Sequence[int]) -> np.ndarray:
    """The items' pictures as one array (items, 96, 96, 3) uint8.

    A grey tile stands for one that is missing or cannot be read.
    """
    out = np.full((len(items), TILE, TILE, 3), BLANK, dtype=np.uint8)
    for place, item in enumerate(items):
        picture = _picture(data, int(item))
        if picture is None:
            continue
        if picture.size != (TILE, TILE):
            picture.thumbnail((TILE, TILE))
        tile = np.asarray(picture)
        top, left = (TILE - tile.shape[0]) // 2, (TILE - tile.shape[1]) // 2
        out[place, top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out


def _picture(data: MultimodalDataset, item: int) -> Image.Image | None:
    """An item's picture as encoders see it (turned upright, on white, 16 bits scaled), None without a usable one."""
    from mmrec_lite.features.pictures import BadPicture, read_picture

    if not 0 <= item < data.n_items:
        raise DataError(f"item_pictures: there is no item {item}; items are numbered 0..{data.n_items - 1}.")
    name = data.items["image"].iloc[item] if "image" in data.items else ""
    if data.image_root is None or pd.isna(name) or not name:
        return None
    try:
        return read_picture(image_bytes(data.image_root, name), name)[0]
    except (BadPicture, DataError):
        return None


def shelf(
    data: MultimodalDataset, items: Sequence[int], captions: Sequence[str] | None = None, columns: int = 8
) -> Figure:
    """Draw items as a shelf of pictures, their titles (or `captions`) below; ``ValueError`` without an item."""
    if not len(items):
        raise ValueError("shelf: there is no item to draw; give one or more.")
    words = [item_title(data, item) for item in items] if captions is None or not len(captions) else captions
    n_rows = -(-len(items) // columns)
    step_x, step_y = TILE + 14, TILE + 46
    sheet = Sheet(columns * step_x, n_rows * step_y)
    for place, (picture, text) in enumerate(zip(item_pictures(data, items), words, strict=True)):
        x, y = place % columns * step_x + 7, place // columns * step_y + 2
        sheet.picture(picture, x, y)
        sheet.caption(text, x + TILE / 2, y + TILE + 3, width=15, lines=3)
    return sheet.finish()


def neighbour_panel(
    data: MultimodalDataset, item: int, rows: Sequence[NeighbourRow], columns: int = 10, same: str = "category"
) -> Figure:
    """Draw an item (left) and, in each row, its neighbours on one graph: pictures, weights, and bars for the weights.

    A bar is stacked from the row's parts (the raw and the learned graph's share); a negative part has no length. At
    most `columns` neighbours a row are shown, the number of weaker ones is written behind. A tick marks neighbours
    whose column `same` of the item table equals the item's, if there is one.
    """
    panel = _Panel(data, item, rows, columns, same)
    for place, row in enumerate(rows):
        panel.label(row, place * STEP_Y)
        panel.neighbours(row, place * STEP_Y)
    return panel.finish(len(rows) * STEP_Y + 6)


class _Panel:
    """The sheet of `neighbour_panel` and what its rows share.

    All pictures are pasted into one array and all bars of a part into one collection: a hundred matplotlib artists
    would take longer than a slider may.
    """

    def __init__(self, data: MultimodalDataset, item: int, rows: Sequence[NeighbourRow], columns: int, same: str):
        self.data, self.item, self.columns, self.same = data, item, columns, same
        self.sheet = Sheet(LABELS_END + columns * STEP_X + 24, len(rows) * STEP_Y + 26)
        self.names = list(dict.fromkeys(name for row in rows for name in row.parts))
        lengths = [
            np.sum([np.clip(part, 0, None) for part in row.parts.values()], axis=0).max()
            for row in rows
            if len(row.items)
        ]
        self.longest = max([*lengths, 1e-12])
        self.group = data.items[same].astype(object).fillna("").to_numpy() if same in data.items else None
        middle = max(len(rows) * STEP_Y // 2 - TILE // 2 - 16, 6)
        self.sheet.picture(item_pictures(data, [item])[0], 12, middle, thick=True)
        self.sheet.caption(item_title(data, item), 12 + TILE / 2, middle + TILE + 8, width=13, lines=4, size=FONT - 1)

    def alike(self, items: Sequence[int]) -> np.ndarray:
        """Which of the items share the item's group, (items,) bool; those without one share none."""
        chosen = np.asarray(items, dtype=int)
        own = "" if self.group is None else self.group[self.item]
        return np.zeros(len(chosen), bool) if own == "" else self.group[chosen] == own

    def label(self, row: NeighbourRow, y: int) -> None:
        """Write what the row is, and how many of its neighbours are of the item's kind."""
        note = row.note
        if self.group is not None and len(row.items):
            note += f"\n{self.alike(row.items).sum()} of {len(row.items)} same {self.same} ✓"
        self.sheet.text(124, y + 12, row.label, size=FONT, fontweight="bold", va="top")
        below = y + 34 + 17 * row.label.count("\n")
        self.sheet.text(124, below, note.strip(), size=FONT - 1.5, color=GREY, va="top", linespacing=1.3)

    def neighbours(self, row: NeighbourRow, y: int) -> None:
        """Draw the pictures, bars and weights of one row."""
        sheet, shown = self.sheet, list(row.items[: self.columns])
        alike = self.alike(shown)
        for c, picture in enumerate(item_pictures(self.data, shown)):
            x = LABELS_END + c * STEP_X
            sheet.picture(picture, x, y + 2)
            self.bar(x, y + TILE + 5, {name: row.parts[name][c] / self.longest for name in row.parts})
            words = f"{row.weights[c]:.3f}{' ✓' if alike[c] else ''}"
            sheet.text(x + TILE / 2, y + TILE + 14, words, size=FONT - 0.5, ha="center", va="top")
        if len(row.items) > self.columns:
            more = f"+{len(row.items) - self.columns}"
            sheet.text(LABELS_END + self.columns * STEP_X + 20, y + TILE / 2, more, color=GREY, ha="right", va="center")
        if not len(row.items):
            sheet.text(LABELS_END, y + TILE / 2, "no neighbours", size=FONT, color=GREY, va="center")

    def bar(self, x: float, y: float, shares: dict[str, float]) -> None:
        """Stack a bar of the parts; a share of 1 is as long as a picture is wide."""
        for name, share in shares.items():
            width = TILE * max(float(share), 0.0)
            self.sheet.bars.setdefault(self.names.index(name), []).append((x, y, width))
            x += width

    def finish(self, y: float) -> Figure:
        """Explain the bars and return the figure."""
        x = LABELS_END
        for name in self.names:
            self.bar(x, y + 3, {name: 26 / TILE})
            self.sheet.text(x + 32, y + 7, name, va="center")
            x += 46 + round(7.2 * len(name))
        return self.sheet.finish()


class Sheet:
    """A figure in pixels from the upper left: pictures in one array, bars, and words over both."""

    def __init__(self, width: int, height: int):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.axis("off")
        self.pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        self.bars: dict[int, list[tuple[float, float, float]]] = {}  # part -> (x, y, width)

    def picture(self, picture: np.ndarray, x: int, y: int, thick: bool = False, colour: str = "") -> None:
        """Paste a picture, a line around it; a line in a `colour` ("#rrggbb") of its own is thick."""
        line = 4 if colour else 3 if thick else 1
        frame = list(bytes.fromhex(colour.removeprefix("#"))) if colour else 34 if thick else 187
        self.pixels[max(y - line, 0) : y + TILE + line, max(x - line, 0) : x + TILE + line] = frame
        self.pixels[y : y + TILE, x : x + TILE] = picture

    def text(self, x: float, y: float, words: str, size: float = FONT - 2, color: str = INK, **look: object) -> None:
        """Write words; a dollar sign in them is a dollar, not the start of a formula."""
        self.ax.text(x, y, words, fontsize=size, color=color, parse_math=False, **look)

    def caption(self, words: str, x: float, y: float, width: int, lines: int, size: float = FONT - 2.5) -> None:
        """Write words below a picture, in lines of at most `width` letters."""
        wrapped = "\n".join(textwrap.wrap(words, width, max_lines=lines, placeholder="…"))
        self.text(x, y, wrapped, size=size, ha="center", va="top", linespacing=1.1)

    def finish(self) -> Figure:
        """Put pictures and bars under the words."""
        from matplotlib.collections import PolyCollection

        height, width = self.pixels.shape[:2]
        self.ax.imshow(self.pixels, extent=(0, width, height, 0), interpolation="antialiased", aspect="auto")
        for place, bars in self.bars.items():
            corners = [[(x, y), (x + w, y), (x + w, y + 7), (x, y + 7)] for x, y, w in bars]
            colour, hatch = COLOURS[place % len(COLOURS)], HATCHES[place % len(HATCHES)]
            look = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
            self.ax.add_collection(PolyCollection(corners, **look), autolim=False)
        self.ax.set(xlim=(0, width), ylim=(height, 0))
        return self.figure
