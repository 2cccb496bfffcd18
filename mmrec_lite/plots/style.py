"""One look for every figure, and the ways out of Python: as an <img> with alternative text, or as files.

Everything here draws through matplotlib's object API. pyplot keeps global state, and a widget's callback may run
beside a cell.
"""

from __future__ import annotations

import base64
import html
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmrec_lite.files import beside

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from PIL import Image

__all__ = [
    "COLOURS",
    "GREY",
    "HATCHES",
    "INK",
    "MARKERS",
    "img",
    "new_figure",
    "png",
    "save_figure",
    "show",
    "style_axes",
]

# Okabe and Ito's colours: told apart by everybody, in print, too. Yellow is left out, it is too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # colour never stands alone
HATCHES = ("", "////", "----", "xxxx")  # of straight lines: dots make an SVG ten times as large
INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"
FONT = 11  # points; a figure 9 inches wide fills a projector, so that this reads from the last row
DPI = 110


def new_figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (9, 3.2), layout: str = "constrained", **grid: object
) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its axes, always as an array (rows, columns).

    `size` is in inches, `grid` goes to ``Figure.subplots`` (width_ratios, sharey ...).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout=layout, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    for ax in axes.flat:
        style_axes(ax)
    return figure, axes


def style_axes(ax: Axes, title: str = "", x: str = "", y: str = "", grid: str | None = "y") -> Axes:
    """Give axes the common look and their words; `grid` is "x", "y", "both" or None."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=FONT - 1.5, length=3)
    ax.grid(False)
    if grid:
        ax.grid(axis=grid, color=PALE, linewidth=0.7)
    ax.set_axisbelow(True)
    if title:
        # Finding a title's height takes a tenth of drawing: where the layout is fixed, so is the title.
        place = {} if ax.figure.get_layout_engine() else {"y": 1.0}
        ax.set_title(title, fontsize=FONT, loc="left", color=INK, fontweight="bold", **place)
    if x:
        ax.set_xlabel(x, fontsize=FONT, color=INK)
        if x == "epoch":
            from matplotlib.ticker import MaxNLocator

            if isinstance(locator := ax.xaxis.get_major_locator(), MaxNLocator):
                locator.set_params(integer=True)  # there is no epoch 2.5
    if y:
        ax.set_ylabel(y, fontsize=FONT, color=INK)
    return ax


def png(figure: Figure, dpi: int = DPI, fast: bool = False) -> bytes:
    """Render a figure as a PNG of at most 256 colours; `fast` leaves out what makes the file small.

    A committed lesson holds a dozen of them. A moving slider wants speed instead.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    words_as_they_are(figure)
    canvas = FigureCanvasAgg(figure)
    drawn_at = figure.dpi
    try:
        figure.set_dpi(dpi)
        # A shop's emoji: an empty box says enough. For good, since `catch_warnings` in two threads may undo, or leave
        # behind, the filters of all others.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        canvas.draw()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    finally:
        figure.set_dpi(drawn_at)
    out = io.BytesIO()
    if fast:
        picture.save(out, "PNG", compress_level=1)
    else:
        _few_colours(picture).save(out, "PNG", optimize=True)
    return out.getvalue()


def words_as_they_are(figure: Figure) -> None:
    """Draw dollar signs as dollar signs: a title such as "$5, now $4" is no formula, and half a formula is an error.

    Labels of logarithmic axes stay formulas, since matplotlib writes their powers of ten as such.
    """
    from matplotlib.ticker import LogFormatter

    for text in _texts(figure):
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for label in axis.get_ticklabels(which="both"):
                    label.set_parse_math(True)


def _texts(artist: Artist) -> Iterator[Text]:
    """Yield every text that will be drawn. An axis that is switched off has none, but would make them if asked."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    if isinstance(artist, Axis) and not (artist.axes.axison and artist.get_visible()):
        return
    if isinstance(artist, Text):
        yield artist
    for child in artist.get_children():
        yield from _texts(child)


def _few_colours(picture: Image.Image) -> Image.Image:
    """Bring a picture down to 256 colours, ours among them: a short bar's blue must not become the next best green."""
    from PIL import Image

    ours = [tuple(bytes.fromhex(c.removeprefix("#"))) for c in (*COLOURS, "#ffffff", INK)]
    found = picture.quantize(256 - len(ours), dither=Image.Dither.NONE)
    pixels, places = np.asarray(picture), np.array(found)
    own = np.asarray(found.getpalette(), dtype=np.uint8)[: 3 * (256 - len(ours))]
    packed = pixels[..., 0].astype(np.uint32) << 16 | pixels[..., 1].astype(np.uint32) << 8 | pixels[..., 2]
    for number, (red, green, blue) in enumerate(ours):
        places[packed == (red << 16 | green << 8 | blue)] = len(own) // 3 + number
    out = Image.fromarray(places, mode="P")
    out.putpalette([*own.tolist(), *(value for colour in ours for value in colour)])
    return out


def img(data: bytes, alt: str) -> str:
    """Return an <img> element that holds the PNG itself and says what it shows."""
    if not alt.strip():
        raise ValueError("a figure needs an alternative text: say in one sentence what one sees in it")
    source = base64.b64encode(data).decode()
    words = html.escape(" ".join(alt.split()))
    return f'<img alt="{words}" style="max-width:100%" src="data:image/png;base64,{source}">'


def show(figure: Figure, alt: str, dpi: int = DPI) -> HTML:
    """Return a figure for the end of a notebook cell, as an <img> with the alternative text `alt`."""
    from IPython.display import HTML

    return HTML(img(png(figure, dpi), alt))


def save_figure(figure: Figure, name: str, alt: str, dpi: int = 160) -> Path | None:
    """Write `name`.svg, .png and .txt (the alternative text) to the folder $MMREC_FIGURES; return it.

    `make figures` sets the variable. Without it nothing is written and None returned: a lesson that is run, or
    tested, must not draw over the committed figures.
    """
    named = os.environ.get("MMREC_FIGURES")
    if not named:
        return None
    if not alt.strip():
        raise ValueError("save_figure: a figure needs an alternative text: say in one sentence what one sees in it")
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    words = (" ".join(alt.split()) + "\n").encode()
    for ending, content in (("svg", _svg(figure)), ("png", png(figure, dpi)), ("txt", words)):
        with beside(folder / f"{name}.{ending}") as partial:
            partial.write_bytes(content)
    return folder


def _svg(figure: Figure) -> bytes:
    """A figure as SVG, the same bytes each time; letters stay letters, so that a browser finds and scales them."""
    from matplotlib import rc_context

    words_as_they_are(figure)
    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "mmrec_lite", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, dpi=DPI)
    return re.sub(rb"(?<=data:image/png;base64,)[A-Za-z0-9+/=\s]+", _small, out.getvalue())


def _small(picture: re.Match[bytes]) -> bytes:
    """Write an embedded PNG again with 256 colours: a third of the size."""
    from PIL import Image

    full = Image.open(io.BytesIO(base64.b64decode(picture[0]))).convert("RGB")
    out = io.BytesIO()
    _few_colours(full).save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue())
