"""Maps of items: points coloured by a label or a number, beside what probes read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmrec_lite.plots.style import COLOURS, DPI, FONT, GREY, HATCHES, INK, MARKERS, PALE, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MapPanel", "map_sheet", "point_places"]

WIDTH, HEIGHT = 11.2, 5.0  # inches of a row of two maps
SIDE, LEFT, BOTTOM, GAP = 4.05, 0.15, 0.55, 0.2  # of a map, in inches
MARGIN = 0.04  # of a map's width, free around the points
# A label that is a colour's word has that colour, as far as everybody can tell them apart; the marker tells, too.
NAMED = {"red": "#D55E00", "orange": "#E69F00", "yellow": "#d8c800", "green": "#009E73", "teal": "#2f8f9d"}
NAMED |= {"blue": "#0072B2", "purple": "#7a4fa3", "pink": "#CC79A7", "brown": "#7b4a1e", "black": "#000000"}
NAMED |= {"grey": "#6b6b6b", "gray": "#6b6b6b", "white": "#cfdde6"}  # on a white page
LAYERS = 5
SHOWN = min(len(MARKERS), len(COLOURS))  # labels with a colour and a marker of their own, the most frequent
OTHERS = "#a8a8a8"  # the rest, in the maps and in their key


MARKER, LETTER, NARROW = 3.5, 1.35, 1.1  # widths in the key, per cent of it; narrow: where words are cut


@dataclass(frozen=True)
class MapPanel:
    """One map: its name, points (I, 2), what colours them (I,) or None, and whether that is a number or a label.

    The label "" is none.
    """

    name: str
    points: np.ndarray
    colour: np.ndarray | None = None
    continuous: bool = False


def _limits(maps: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the lower left corner and the side of the square that holds all maps' points."""
    points = np.concatenate(list(maps))
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()), 1e-9) * (1 + 2 * MARGIN)
    return (low + high - side) / 2, side


def point_places(maps: Sequence[np.ndarray], rows: int = 1) -> np.ndarray:
    """Return where `map_sheet` draws points, as shares of its width and height from the upper left, (maps * I, 2)."""
    corner, side = _limits(maps)
    places = []
    for number, points in enumerate(maps):
        inches = (points - corner) / side * SIDE + [LEFT + number * (SIDE + GAP), BOTTOM + (rows - 1) * HEIGHT]
        places.append(np.stack([inches[:, 0] / WIDTH, 1 - inches[:, 1] / (rows * HEIGHT)], axis=1))
    return np.concatenate(places)


def map_sheet(
    panels: Sequence[MapPanel],
    colour: str,
    probes: Mapping[str, pd.Series],
    item: int,
    picture: np.ndarray,
    title: str,
    more: Sequence[tuple[str, Sequence[MapPanel]]] = (),
) -> Figure:
    """Draw two maps on one scale, the probes' scores as bars, and one item: ringed in the maps, its picture beside.

    `more` are further rows, (what colours, panels), without probes.
    """
    from matplotlib.figure import Figure

    rows = 1 + len(more)
    figure = Figure(figsize=(WIDTH, rows * HEIGHT), dpi=DPI, facecolor="white")
    for number, (words, row) in enumerate([(colour, panels), *more]):
        base = (rows - 1 - number) * HEIGHT + BOTTOM
        corner, side = _limits([panel.points for panel in row])
        for place, panel in enumerate(row):
            ax = _axes(figure, LEFT + place * (SIDE + GAP), base, SIDE, SIDE)
            _draw_map(ax, panel, item)
            ax.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1], corner[1] + side))
        _key(figure, row[0], words, base - 0.08)
    base = (rows - 1) * HEIGHT + BOTTOM
    x = LEFT + 2 * (SIDE + GAP)
    _draw_probes(_axes(figure, x + 0.75, base + 1.75, WIDTH - x - 0.95, SIDE - 1.75), probes)
    ax = _axes(figure, x + 0.75, base, 96 / DPI, 96 / DPI)
    ax.imshow(picture)
    ax.axis("off")
    place = {"va": "bottom", "parse_math": False}
    figure.text(
        (x + 0.75) / WIDTH, (base + 0.93) / (rows * HEIGHT), f"○ {_short(title, 26)}", fontsize=FONT - 2, **place
    )
    return figure


def _axes(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    w, h = figure.get_size_inches()
    return style_axes(figure.add_axes((x / w, y / h, width / w, height / h)), grid=None)


def _draw_map(ax: Axes, panel: MapPanel, item: int) -> None:
    ax.set_title(panel.name, fontsize=FONT, loc="left", fontweight="bold", parse_math=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(PALE)
    points = panel.points
    if panel.colour is None:
        ax.plot(*points.T, ".", color=GREY, markersize=3)
    elif panel.continuous:
        ax.scatter(*points.T, c=panel.colour, cmap="cividis", s=9, linewidths=0)
    else:
        names = _frequent(panel.colour)
        others = ~np.isin(panel.colour, names)
        ax.plot(*points[others].T, ".", color=OTHERS, markersize=3)
        colours, members = _colours(names), [np.flatnonzero(panel.colour == name) for name in names]
        for turn in range(LAYERS):  # in turns: else the last label would lie on top of all others
            for rows, marker, colour in zip(members, MARKERS, colours, strict=False):
                look = {"color": colour, "markersize": 4, "markeredgewidth": 0}
                ax.plot(*points[rows[turn::LAYERS]].T, marker, alpha=0.85, **look)
    ax.plot(*points[item], "o", markersize=15, markerfacecolor="none", markeredgecolor="white", markeredgewidth=5)
    ax.plot(*points[item], "o", markersize=15, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2.2)


def _frequent(labels: np.ndarray) -> np.ndarray:
    """Return the most frequent labels, at most as many as there are colours, in their own order."""
    known = labels[labels != ""] if labels.dtype.kind in "OU" else labels
    names, counts = np.unique(known, return_counts=True)
    return np.sort(names[np.argsort(-counts, kind="stable")[:SHOWN]])


def _colours(names: Sequence[object]) -> list[str]:
    """Return a colour for each label: that of its word, else one that no other label has."""
    own = {name: NAMED[str(name).lower()] for name in names if str(name).lower() in NAMED}
    free = iter([colour for colour in COLOURS if colour not in own.values()])
    return [own[name] if name in own else next(free) for name in names]


def _key(figure: Figure, panel: MapPanel, words: str, y: float) -> None:
    """Explain the colours below the maps."""
    ax = _axes(figure, LEFT, y - 0.34, 2 * SIDE + GAP, 0.3)
    ax.axis("off")
    ax.set(xlim=(0, 100), ylim=(0, 1))
    words_shown = _short(words, 24)
    ax.text(0, 0.5, f"{words_shown}:", va="center", fontsize=FONT - 1, parse_math=False)
    start = 2 + LETTER * (len(words_shown) + 1)
    if panel.continuous and panel.colour is not None:
        ax.imshow(np.linspace(0, 1, 64)[None], cmap="cividis", extent=(start + 8, start + 28, 0.2, 0.8), aspect="auto")
        ends = (float(panel.colour.min()), float(panel.colour.max()))
        ends = tuple(np.expm1(ends)) if words == "popularity" else ends
        ax.text(start + 7.5, 0.5, f"{ends[0]:.3g}", ha="right", va="center", fontsize=FONT - 1)
        ax.text(
            start + 28.5,
            0.5,
            f"{ends[1]:.3g}" + (" times taken" if words == "popularity" else ""),
            va="center",
            fontsize=FONT - 1,
        )
    elif panel.colour is not None:
        names = _frequent(panel.colour)
        entries = [
            (str(name), marker, colour, 7)
            for name, marker, colour in zip(names, MARKERS, _colours(names), strict=False)
        ]
        if not np.isin(panel.colour, names).all():
            entries.append(("others", ".", OTHERS, 6))
        for (x, y, room), (name, marker, colour, size) in zip(_places(entries, start), entries, strict=True):
            ax.plot(x, y, marker, color=colour, markersize=size)
            ax.text(x + 1, y, _short(name, room), va="center", fontsize=FONT - 1, parse_math=False)
    ax.set(xlim=(0, 100), ylim=(0, 1))


def _places(entries: Sequence[tuple], start: float) -> list[tuple[float, float, int]]:
    """Return where each entry of the key stands, and how many letters it has room for: one row, else two of columns."""
    widths = MARKER + LETTER * np.array([len(name) for name, *_ in entries])
    squeeze = min(1, (100 - start) / widths.sum())
    if squeeze > 0.9:
        starts = start + np.append(0, widths.cumsum()) * squeeze
        return [(x, 0.5, len(name)) for x, (name, *_) in zip(starts, entries, strict=False)]
    columns = -(-len(entries) // 2)
    width = (100 - start) / columns
    room = max(int((width - MARKER) / NARROW), 2)
    return [(start + n % columns * width, 0.85 - 0.75 * (n // columns), room) for n in range(len(entries))]


def _draw_probes(ax: Axes, probes: Mapping[str, pd.Series]) -> None:
    """Draw a bar a factor and representation: how much of the factor a linear probe reads."""
    style_axes(ax, "probes read", grid="x")
    for number, (_, scores) in enumerate(probes.items()):
        height = 0.8 / len(probes)
        places = np.arange(len(scores)) + (number - (len(probes) - 1) / 2) * height
        side = ("left", "right")[number] if len(probes) > 1 else "both"
        look = {"color": COLOURS[number], "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0.5}
        ax.barh(places, scores.clip(lower=0), height * 0.9, label=side, **look)
    names = max(probes.values(), key=len).index  # one side may not be measured yet
    ax.set_yticks(range(len(names)), names, fontsize=FONT - 2)
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xticks=[0, 0.5, 1])
    ax.set_xticklabels(["chance", "", "all"], fontsize=FONT - 2)
    if len(names):
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.07), "columnspacing": 1, "handlelength": 1.5}
        ax.legend(frameon=False, fontsize=FONT - 2, ncols=2, **place)


def _short(words: str, letters: int) -> str:
    return words if len(words) <= letters else words[: letters - 1].rstrip() + "…"
