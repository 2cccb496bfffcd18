"""InfoNCE on a handful of points in the plane: matrix, softmax, loss and where the gradient pulls (MICRO Eq. 10-12)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch

from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer, within
from mmrec_lite.losses import micro_contrast
from mmrec_lite.plots.style import COLOURS, FONT, GREY, HATCHES, INK, PALE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["InfoNCE", "LossExplorer"]

MOST = 11  # negatives: a matrix of 12 x 24 can still be read
GOLDEN = np.pi * (3 - 5**0.5)  # steps by this angle spread any number of points around a circle
WHITE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
INNER = 0.68  # radius at which fused vectors are drawn: a cosine does not see the length, the eye needs it


@dataclass(frozen=True)
class InfoNCE:
    """Everything Eq. 10-12 computes on n items' views and fused vectors in the plane.

    Shapes: points `view`, `fused` (n, 2) of length 1; `logits` (n, 2n): an anchor's view against all fused vectors
    (inter-view), then against all views (intra-view; -inf against itself), over the temperature; `softmax` of its
    rows; `per_row` (n,) the loss of each anchor, both directions averaged if `symmetric`; `pull` (2, n, 2) minus the
    gradient of the loss at views and fused vectors.
    """

    view: np.ndarray
    fused: np.ndarray
    temperature: float
    symmetric: bool
    logits: np.ndarray
    softmax: np.ndarray
    per_row: np.ndarray
    pull: np.ndarray
    loss: float

    @classmethod
    def of(cls, view: np.ndarray, fused: np.ndarray, temperature: float, symmetric: bool) -> InfoNCE:
        """Compute it: loss and gradient by `losses.micro_contrast`, the rows by an explicit softmax."""
        v, f = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (view, fused))
        loss = micro_contrast(v, f, temperature=temperature, symmetric=symmetric)
        pull = -torch.stack(torch.autograd.grad(loss, (v, f)))
        forth = _logits(view, fused, temperature)
        per_row = _minus_log(forth)
        if symmetric:
            per_row = (per_row + _minus_log(_logits(fused, view, temperature))) / 2
        softmax = np.exp(forth - forth.max(axis=1, keepdims=True))
        softmax /= softmax.sum(axis=1, keepdims=True)
        return cls(view, fused, temperature, symmetric, forth, softmax, per_row, pull.numpy(), loss.item())

    @property
    def uninformed(self) -> float:
        """The loss of a model that cannot tell the items apart: log of the number of terms."""
        return math.log(2 * len(self.view) - 1)


def _logits(anchor: np.ndarray, other: np.ndarray, temperature: float) -> np.ndarray:
    inside = anchor @ anchor.T / temperature
    np.fill_diagonal(inside, -np.inf)
    return np.concatenate([anchor @ other.T / temperature, inside], axis=1)


def _minus_log(logits: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - np.diagonal(logits)


class LossExplorer(Explorer):
    """Move the temperature, the number of negatives and the form; watch one anchor's row of the softmax."""

    title = "Loss: InfoNCE on points in the plane"

    def __init__(self, seed: int = 0, temperature: float = 0.5, negatives: int = 7):
        rng = np.random.default_rng(seed)
        at_view = GOLDEN * np.arange(MOST + 1) + rng.normal(0, 0.15, MOST + 1)
        at_fused = at_view + rng.normal(0, 0.45, MOST + 1)
        self.points = tuple(np.stack([np.cos(a), np.sin(a)], axis=1) for a in (at_view, at_fused))
        scale = {"min": -2, "max": 0.5, "step": 0.1, "readout_format": ".3f"}
        forms = {"both directions": True, "view to fused": False}
        within("LossExplorer", "temperature", temperature, 10 ** scale["min"], 10 ** scale["max"])
        within("LossExplorer", "negatives", negatives, 1, MOST)
        super().__init__(
            {
                "temperature": widgets.FloatLogSlider(temperature, description="temperature τ", **scale, **SLIDER),
                "negatives": widgets.IntSlider(negatives, min=1, max=MOST, description="other items", **SLIDER),
                "symmetric": widgets.ToggleButtons(options=forms, description="form", **BUTTONS),
                "anchor": widgets.IntSlider(1, min=1, max=negatives + 1, description="look at item", **SLIDER),
            }
        )

    def _moved(self, change: Any) -> None:
        """Let the items there are be the items to look at."""
        if change["owner"] is self.controls["negatives"]:
            anchor = self.controls["anchor"]
            before, anchor.max = anchor.value, change["new"] + 1
            if anchor.value != before:  # it lay beyond the last, and its move drew both
                return
        super()._moved(change)

    def state(self, params: dict[str, Any]) -> InfoNCE:
        """Compute the loss of the parameters' items."""
        n = params["negatives"] + 1
        return InfoNCE.of(self.points[0][:n], self.points[1][:n], params["temperature"], params["symmetric"])

    def _anchor(self, params: dict[str, Any]) -> int:
        return min(params["anchor"], params["negatives"] + 1) - 1

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw cosines, points with pulls, the anchor's softmax and every row's loss."""
        state, anchor = self.state(params), self._anchor(params)
        figure, axes = new_figure(2, 2, (11, 6.2), layout="none", width_ratios=(1.75, 1))
        figure.subplots_adjust(0.04, 0.085, 0.99, 0.95, wspace=0.1, hspace=0.28)
        draw_cosines(axes[0, 0], state, anchor)
        draw_pulls(axes[0, 1], state, anchor)
        draw_softmax(axes[1, 0], state, anchor)
        draw_rows(axes[1, 1], state, anchor)
        return figure

    def describe(self, params: dict[str, Any]) -> str:
        """Give the loss, that of chance, and the anchor's probability."""
        state, anchor = self.state(params), self._anchor(params)
        form = "both directions" if params["symmetric"] else "view to fused alone"
        return (
            f"InfoNCE of {len(state.view)} items at temperature {params['temperature']:.3f}, {form}: loss "
            f"{state.loss:.3f}, where chance has {state.uninformed:.3f}. Item {anchor + 1} gives its own fused vector "
            f"{state.softmax[anchor, anchor]:.1%} of its softmax."
        )

    def static(self, temperatures: Sequence[float] = (0.05, 0.5, 2.0), negatives: int = 7, anchor: int = 1) -> Figure:
        """Draw softmax and pulls for several temperatures, for a page without a kernel."""
        within("LossExplorer.static", "negatives", negatives, 1, MOST)
        within("LossExplorer.static", "anchor", anchor, 1, negatives + 1)
        figure, axes = new_figure(2, len(temperatures), (11, 5.6))
        for column, temperature in enumerate(temperatures):
            params = {"temperature": temperature, "negatives": negatives, "symmetric": True, "anchor": anchor}
            state = self.state(params)
            draw_pulls(axes[0, column], state, anchor - 1, title=f"temperature {temperature:g}: loss {state.loss:.2f}")
            draw_softmax(axes[1, column], state, anchor - 1, key=column == 0)
        return figure


# A slider wants a picture in a tenth of a second. Ticks, legends and a line for each point are most of what matplotlib
# takes: numbers are texts here, points are two collections, and titles say where they stand.


def draw_cosines(ax: Axes, state: InfoNCE, anchor: int) -> None:
    """Draw the cosines of every anchor (row) with all fused vectors and all other views, the positives framed."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    n = len(state.view)
    cosines = np.where(np.isfinite(state.logits), state.logits * state.temperature, np.nan)
    ax.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    _title(ax, "cosines: view · fused   |   view · other views")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    for column, cosine in enumerate(cosines[anchor]):  # numbers in this row alone: all would take too long to draw
        if np.isfinite(cosine):
            colour = "white" if abs(cosine) > 0.62 else INK
            _number(ax, column, anchor, f"{cosine + 0:.1f}".replace("-0.0", "0.0"), fontsize=FONT - 2.5, color=colour)
    for i in range(n):
        _number(ax, -0.8, i, i + 1, fontsize=FONT - 2)
    _numbers_below(ax, [*range(n), *range(n)], FONT - 2)
    positives = [Rectangle((i - 0.5, i - 0.5), 1, 1) for i in range(n)]
    ax.add_collection(PatchCollection(positives, facecolor="none", edgecolor=INK, linewidth=1.8))
    ax.axvline(n - 0.5, color=INK, linewidth=2.5)
    ax.add_patch(Rectangle((-0.5, anchor - 0.5), 2 * n, 1, fill=False, edgecolor=COLOURS[4], linewidth=3))


def draw_pulls(ax: Axes, state: InfoNCE, anchor: int, title: str = "") -> None:
    """Draw views (outer circle), fused vectors (inner circle) and minus the gradient at each as an arrow."""
    from matplotlib.collections import LineCollection

    _title(ax, title or "where descent pulls")
    longest = max(float(np.linalg.norm(state.pull, axis=2).max()), 1e-12)
    chosen, fused = np.arange(len(state.view)) == anchor, INNER * state.fused
    pairs = np.stack([state.view, fused], axis=1)
    colours = [COLOURS[4] if own else PALE for own in chosen]
    ax.add_collection(LineCollection(pairs, colors=colours, linewidths=np.where(chosen, 3, 1.5)))
    for points, colour, marker in ((state.view, COLOURS[0], "o"), (fused, COLOURS[1], "s")):
        look = {"c": colour, "marker": marker, "edgecolors": "white", "zorder": 2}
        ax.scatter(*points.T, s=np.where(chosen, 100, 49), **look)
    for i, view in enumerate(1.2 * state.view):
        _number(ax, *view, i + 1, fontsize=FONT - 2)
    points, pull = np.concatenate([state.view, fused]), np.concatenate(state.pull) / longest * 0.55
    ax.quiver(*points.T, *pull.T, angles="xy", scale_units="xy", scale=1, color=INK, width=0.011, zorder=3)
    ax.set(xlim=(-1.35, 1.35), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    words = f"● views\n■ fused\nlongest\npull {longest:.2g}"
    _number(ax, 0, 0, words, fontsize=FONT - 2, color=GREY)


def draw_softmax(ax: Axes, state: InfoNCE, anchor: int, key: bool = True) -> None:
    """Draw the anchor's softmax: its positive, the other fused vectors, the other views."""
    from matplotlib.patches import Rectangle

    n = len(state.view)
    _title(ax, f"softmax of item {anchor + 1}", "compared with item")
    others = [j for j in range(n) if j != anchor]
    blocks = (("its own fused vector", [anchor], 0), ("other fused vectors", others, 0), ("other views", others, n))
    for place, (_, items, offset) in enumerate(blocks):
        x = [j + 0.38 * (place == 2) - 0.19 for j in items]
        look = {"color": COLOURS[place], "hatch": HATCHES[place], "edgecolor": "white", "linewidth": 0}
        ax.bar(x, [state.softmax[anchor, j + offset] for j in items], width=0.36, **look)
    ax.set(xticks=[], yticks=[0, 0.5, 1], xlim=(-0.7, n - 0.3), ylim=(0, 1))
    _numbers_below(ax, range(n))
    for place, (name, _, _) in enumerate(blocks if key else ()):
        y, look = 0.93 - 0.085 * place, {"facecolor": COLOURS[place], "hatch": HATCHES[place], "edgecolor": "white"}
        ax.add_patch(Rectangle((0.66, y - 0.02), 0.04, 0.04, transform=ax.transAxes, linewidth=0, **look))
        ax.text(0.72, y, name, transform=ax.transAxes, va="center", fontsize=FONT - 2, color=INK)


def draw_rows(ax: Axes, state: InfoNCE, anchor: int) -> None:
    """Draw the loss of every anchor, their mean, and the loss of chance."""
    n = len(state.view)
    _title(ax, "loss of each item", "anchor")
    colours = [COLOURS[4] if i == anchor else COLOURS[5] for i in range(n)]
    ax.bar(range(n), state.per_row, color=colours, edgecolor=[INK if i == anchor else "white" for i in range(n)])
    ax.axhline(state.loss, color=INK, linewidth=1.8)
    ax.axhline(state.uninformed, color=GREY, linestyle="--", linewidth=1.5)
    look = {"fontsize": FONT - 2, "bbox": WHITE}  # over bars, too; on the side of its line where the other is not
    sides = ("bottom", "top") if state.loss > state.uninformed else ("top", "bottom")
    ax.text(n - 0.4, state.loss, f"mean {state.loss:.2f}", ha="right", va=sides[0], **look)
    ax.text(-0.4, state.uninformed, f"chance {state.uninformed:.2f}", va=sides[1], color=GREY, **look)
    top = 1.15 * max(state.per_row.max(), state.uninformed)
    step = next(s * 10**e for e in range(-1, 9) for s in (1, 2, 5) if top < 5 * s * 10**e)
    ax.set(xticks=[], yticks=np.arange(0, top, step), xlim=(-0.7, n - 0.3), ylim=(0, top))
    _numbers_below(ax, range(n))


def _title(ax: Axes, title: str, x: str = "") -> None:
    """The common look is there already; a title whose height is given need not be looked for."""
    ax.set_title(title, y=1.0, fontsize=FONT, loc="left", color=INK, fontweight="bold")
    if x:
        ax.text(0.5, -0.1, x, transform=ax.transAxes, ha="center", va="top", fontsize=FONT, color=INK)


def _number(ax: Axes, x: float, y: float, words: object, **look: Any) -> None:
    ax.text(x, y, str(words), ha="center", va="center", **({"color": INK} | look))


def _numbers_below(ax: Axes, items: Sequence[int], font: float = FONT - 1.5) -> None:
    below = ax.get_xaxis_transform()  # x in data, y in shares of the axes' height
    for place, item in enumerate(items):
        ax.text(place, -0.035, str(item + 1), transform=below, ha="center", va="top", fontsize=font, color=INK)
