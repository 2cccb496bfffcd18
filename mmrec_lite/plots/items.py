"""Items as pictures: a shelf of them, and an item beside its neighbours on several graphs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.plots.style import COLOURS, FONT, GREY, HATCHES, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NeighbourRow", "item_pictures", "item_title", "neighbour_panel", "shelf"]

TILE = 96  # pixels of a picture in a panel, and the unit of a panel's coordinates
BLANK = 232  # grey of a missing picture
STEP_X, STEP_Y, LABELS_END = TILE + 10, TILE + 36, 312


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

    @property
    def weights(self) -> np.ndarray:
        """The sum of the parts, (neighbours,)."""
        return np.sum([np.asarray(part, dtype=float) for part in self.parts.values()], axis=0)


def item_title(data: MultimodalDataset, item: int) -> str:
    """The title of an item; its id where there is none."""
    titles = data.items["title"] if "title" in data.items else data.items["item_id"]
    title = titles.iloc[item]
    return str(title) if isinstance(title, str) and title.strip() else str(data.items["item_id"].iloc[item])


def item_pictures(data: MultimodalDataset, items: Sequence[int]) -> np.ndarray:
    """The items' pictures as one array (items, 96, 96, 3) uint8; a grey tile stands for a missing one."""
    out = np.full((len(items), TILE, TILE, 3), BLANK, dtype=np.uint8)
    for place, item in enumerate(items):
        picture = data.image(int(item))
        if picture is None:
            continue
        if picture.size != (TILE, TILE):
            picture = picture.convert("RGB").copy()
            picture.thumbnail((TILE, TILE))
        tile = np.asarray(picture.convert("RGB"))
        top, left = (TILE - tile.shape[0]) // 2, (TILE - tile.shape[1]) // 2
        out[place, top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out


def shelf(
    data: MultimodalDataset, items: Sequence[int], captions: Sequence[str] | None = None, columns: int = 8
) -> Figure:
    """Draw items as a shelf of pictures, their titles (or `captions`) below."""
    words = captions or [item_title(data, item) for item in items]
    n_rows = -(-len(items) // columns)
    step_x, step_y = TILE + 14, TILE + 44
    ax, figure = _sheet(columns * step_x, n_rows * step_y)
    for place, (picture, text) in enumerate(zip(item_pictures(data, items), words, strict=True)):
        x, y = place % columns * step_x + 7, place // columns * step_y
        _picture(ax, picture, x, y)
        _caption(ax, text, x + TILE / 2, y + TILE + 3, width=16, lines=3)
    return figure


def neighbour_panel(
    data: MultimodalDataset, item: int, rows: Sequence[NeighbourRow], columns: int = 10, same: str = "category"
) -> Figure:
    """Draw an item (left) and, in each row, its neighbours on one graph: pictures, weights, and bars for the weights.

    A bar is stacked from the row's parts (the raw and the learned graph's share). At most `columns` neighbours a row
    are shown, the number of weaker ones is written behind. A tick marks neighbours whose column `same` of the item
    table equals the item's, if there is one.
    """
    panel = _Panel(data, item, rows, columns, same)
    for place, row in enumerate(rows):
        panel.label(row, place * STEP_Y)
        panel.neighbours(row, place * STEP_Y)
    panel.key(len(rows) * STEP_Y + 6)
    return panel.figure


class _Panel:
    """The sheet of `neighbour_panel` and what its rows share."""

    def __init__(self, data: MultimodalDataset, item: int, rows: Sequence[NeighbourRow], columns: int, same: str):
        self.data, self.item, self.columns, self.same = data, item, columns, same
        self.ax, self.figure = _sheet(LABELS_END + columns * STEP_X + 22, len(rows) * STEP_Y + 24)
        self.names = list(dict.fromkeys(name for row in rows for name in row.parts))
        self.longest = max((row.weights.max() for row in rows if len(row.items)), default=1.0)
        self.group = data.items[same].to_numpy() if same in data.items else None
        middle = len(rows) * STEP_Y / 2 - TILE / 2 - 16
        _picture(self.ax, item_pictures(data, [item])[0], 12, middle, frame=INK)
        _caption(self.ax, item_title(data, item), 12 + TILE / 2, middle + TILE + 5, width=18, lines=4, size=FONT - 1)

    def alike(self, items: Sequence[int]) -> np.ndarray:
        """Which of the items share the item's group, (items,) bool."""
        chosen = np.asarray(items, dtype=int)
        return np.zeros(len(chosen), bool) if self.group is None else self.group[chosen] == self.group[self.item]

    def label(self, row: NeighbourRow, y: float) -> None:
        """Write what the row is, and how many of its neighbours are of the item's kind."""
        note = row.note
        if self.group is not None and len(row.items):
            note += f"\n{self.alike(row.items).sum()} of {len(row.items)} same {self.same} ✓"
        below = y + 34 + 17 * row.label.count("\n")
        self.ax.text(134, y + 12, row.label, fontsize=FONT, fontweight="bold", color=INK, va="top")
        self.ax.text(134, below, note.strip(), fontsize=FONT - 2, color=GREY, va="top", linespacing=1.3)

    def neighbours(self, row: NeighbourRow, y: float) -> None:
        """Draw the pictures, bars and weights of one row."""
        ax, shown = self.ax, list(row.items[: self.columns])
        alike = self.alike(shown)
        for c, picture in enumerate(item_pictures(self.data, shown)):
            x = LABELS_END + c * STEP_X
            _picture(ax, picture, x, y)
            _weight_bar(ax, x, y + TILE + 3, {name: row.parts[name][c] for name in row.parts}, self.names, self.longest)
            words = f"{row.weights[c]:.3f}{' ✓' if alike[c] else ''}"
            ax.text(x + TILE / 2, y + TILE + 12, words, fontsize=FONT - 2.5, color=INK, ha="center", va="top")
        if len(row.items) > self.columns:
            edge, more = LABELS_END + self.columns * STEP_X + 18, f"+{len(row.items) - self.columns}"
            ax.text(edge, y + TILE / 2, more, fontsize=FONT - 2, color=GREY, ha="right", va="center")
        if not len(row.items):
            ax.text(LABELS_END, y + TILE / 2, "no neighbours", fontsize=FONT, color=GREY, va="center")

    def key(self, y: float) -> None:
        """Explain the bars."""
        x = LABELS_END
        for name in self.names:
            _weight_bar(self.ax, x, y + 3, {name: 1.0}, self.names, longest=TILE / 26)
            self.ax.text(x + 32, y + 7, name, fontsize=FONT - 2, color=INK, va="center")
            x += 46 + 7.2 * len(name)


def _sheet(width: float, height: float) -> tuple[Axes, Figure]:
    """One set of axes over the whole figure, in pixels from the upper left: a hundred small axes would be slow."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 110, height / 110), dpi=110, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.axis("off")
    return ax, figure


def _picture(ax: Axes, picture: np.ndarray, x: float, y: float, frame: str | None = None) -> None:
    from matplotlib.patches import Rectangle

    ax.imshow(picture, extent=(x, x + TILE, y + TILE, y), interpolation="antialiased", zorder=1)
    line = {"edgecolor": frame or "#bbbbbb", "linewidth": 2.5 if frame else 0.8}
    ax.add_patch(Rectangle((x, y), TILE, TILE, fill=False, **line))


def _caption(ax: Axes, text: str, x: float, y: float, width: int, lines: int, size: float = FONT - 2.5) -> None:
    wrapped = textwrap.shorten(text, width * lines - 2, placeholder="…")
    # A dollar sign in a title is a dollar, not the start of a formula.
    words = "\n".join(textwrap.wrap(wrapped, width)[:lines])
    ax.text(x, y, words, fontsize=size, color=INK, ha="center", va="top", linespacing=1.1, parse_math=False)


def _weight_bar(ax: Axes, x: float, y: float, parts: dict[str, float], names: list[str], longest: float) -> None:
    from matplotlib.patches import Rectangle

    for name, weight in parts.items():
        place, width = names.index(name), TILE * float(weight) / longest
        look = {"facecolor": COLOURS[place], "hatch": HATCHES[place], "edgecolor": "white", "linewidth": 0}
        ax.add_patch(Rectangle((x, y), width, 7, **look))
        x += width
