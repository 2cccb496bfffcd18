"""MCPTR's Eq. 11 on a few items in the plane: sigmoid or softmax, cell by cell, and what each row adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch

from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer, within
from mmrec_lite.losses import cima_loss
from mmrec_lite.ops import unit_rows
from mmrec_lite.plots.charts import draw_matrix
from mmrec_lite.plots.style import FONT, GREY, INK, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["READINGS", "Alignment", "AlignmentExplorer"]

MOST = 8  # items: three matrices of 8 x 8 with numbers can still be read
READINGS = {
    "sigmoid, half and half": {"form": "sigmoid", "balanced": True},
    "sigmoid, all pairs alike": {"form": "sigmoid", "balanced": False},
    "softmax": {"form": "softmax"},
}


@dataclass(frozen=True)
class Alignment:
    """Everything Eq. 11 computes on n texts and pictures.

    Shapes: `cosines`, `probabilities` and `costs` (n, n), texts against pictures. A probability is that of its pair
    ("sigmoid") or the picture's share of its row ("softmax"). `costs` add up to `loss`. `undefined` counts the
    logarithms of Eq. 11 as printed, with s = cosine / temperature, that do not exist.
    """

    reading: str
    cosines: np.ndarray
    probabilities: np.ndarray
    costs: np.ndarray
    loss: float
    undefined: int

    @classmethod
    def of(cls, text: np.ndarray, image: np.ndarray, temperature: float, reading: str) -> Alignment:
        """Compute it: the loss by `losses.cima_loss`, the cells apart from it."""
        t, v = (torch.as_tensor(x, dtype=torch.float64) for x in (text, image))
        cosines = (unit_rows(t) @ unit_rows(v).T).numpy()
        s, n = cosines / temperature, len(cosines)
        true, costs = np.eye(n, dtype=bool), np.zeros((n, n))
        if READINGS[reading]["form"] == "softmax":
            rows, columns = _log_softmax(s), _log_softmax(s.T).T
            probabilities = np.exp(rows)
            costs[true] = -(rows + columns)[true] / (2 * n)
        else:
            probabilities = 1 / (1 + np.exp(-s))
            half_and_half = READINGS[reading]["balanced"] and n > 1
            share = np.where(true, 1 / (2 * n), 1 / (2 * max(n * n - n, 1))) if half_and_half else 1 / (n * n)
            costs = share * np.logaddexp(0, np.where(true, -s, s))
        undefined = int((s[true] <= 0).sum() + (s[~true] >= 1).sum())
        loss = cima_loss(t, v, temperature=temperature, **READINGS[reading]).item()
        return cls(reading, cosines, probabilities, costs, loss, undefined)

    @property
    def row_sums(self) -> np.ndarray:
        """What each text's probabilities add up to, (n,)."""
        return self.probabilities.sum(axis=1)

    @property
    def of_true_pairs(self) -> float:
        """The share of the loss that the true pairs pay."""
        return float(np.trace(self.costs) / max(self.costs.sum(), 1e-300))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    top = logits - logits.max(axis=1, keepdims=True)
    return top - np.log(np.exp(top).sum(axis=1, keepdims=True))


class AlignmentExplorer(Explorer):
    """Move the temperature, the number of items and the reading of Eq. 11; see what a row adds up to, and who pays."""

    title = "Alignment: which picture belongs to which text?"

    def __init__(self, seed: int = 0, temperature: float = 0.5, items: int = 4):
        rng = np.random.default_rng(seed)
        at_text = rng.uniform(0, 2 * np.pi, MOST)
        at_image = at_text + rng.normal(0, 0.5, MOST)
        self.points = tuple(np.stack([np.cos(a), np.sin(a)], axis=1) for a in (at_text, at_image))
        scale = {"min": -2, "max": 0.5, "step": 0.1, "readout_format": ".3f"}
        within("AlignmentExplorer", "temperature", temperature, 10 ** scale["min"], 10 ** scale["max"])
        within("AlignmentExplorer", "items", items, 2, MOST)
        super().__init__(
            {
                "temperature": widgets.FloatLogSlider(temperature, description="temperature τ", **scale, **SLIDER),
                "items": widgets.IntSlider(items, min=2, max=MOST, description="items", **SLIDER),
                "reading": widgets.ToggleButtons(options=list(READINGS), description="reading", **BUTTONS),
            }
        )

    def state(self, params: dict[str, Any]) -> Alignment:
        """Compute the loss of the parameters' items."""
        n = params["items"]
        return Alignment.of(self.points[0][:n], self.points[1][:n], params["temperature"], params["reading"])

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw cosines, probabilities with their rows' sums, and what each cell pays."""
        state = self.state(params)
        figure, axes = new_figure(1, 3, (12, 3.4), layout="none", width_ratios=(1, 1.15, 1))
        figure.subplots_adjust(0.05, 0.16, 0.99, 0.91, wspace=0.22)
        names = [f"text {i + 1}" for i in range(params["items"])], [str(i + 1) for i in range(params["items"])]
        draw_matrix(axes[0, 0], state.cosines, *names, title="cosines, texts against pictures", limit=1)
        draw_probabilities(axes[0, 1], state)
        draw_matrix(
            axes[0, 2], state.costs, names[1], names[1], title=f"what each pair pays of {state.loss:.3f}", form="{:.3f}"
        )
        return figure

    def describe(self, params: dict[str, Any]) -> str:
        """Give the loss, the rows' sums, who pays, and how much of the printed form exists."""
        state, n = self.state(params), params["items"]
        low, high = state.row_sums.min(), state.row_sums.max()
        sums = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
        return (
            f"{n} items at temperature {params['temperature']:.3f}, {state.reading}: loss {state.loss:.3f}, of which "
            f"the {n} true pairs pay {state.of_true_pairs:.0%}. Rows add up to {sums}. "
            f"As printed, {state.undefined} of the {n * n} logarithms do not exist."
        )

    def static(self, temperatures: Sequence[float] = (0.1, 0.5, 2.0), items: int = 4) -> Figure:
        """Draw both forms' probabilities at several temperatures, for a page without a kernel."""
        within("AlignmentExplorer.static", "items", items, 2, MOST)
        readings = ("sigmoid, half and half", "softmax")
        figure, axes = new_figure(2, len(temperatures), (11, 5.4))
        for row, reading in enumerate(readings):
            for column, temperature in enumerate(temperatures):
                state = self.state({"temperature": temperature, "items": items, "reading": reading})
                words = f"{READINGS[reading]['form']}, τ = {temperature:g}: loss {state.loss:.2f}"
                draw_probabilities(axes[row, column], state, words)
        return figure


def draw_probabilities(ax: Axes, state: Alignment, title: str = "") -> None:
    """Draw the probabilities, the true pairs framed, and to the right what each row adds up to."""
    from matplotlib.patches import Rectangle

    n = len(state.cosines)
    numbers = [str(i + 1) for i in range(n)]
    draw_matrix(ax, state.probabilities, numbers, numbers, title=title or f"read as {state.reading}", limit=1)
    for i, total in enumerate(state.row_sums):
        ax.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.8))
        ax.text(n - 0.35, i, f"Σ {total:.2f}", va="center", fontsize=FONT - 1, color="#a84300")
    ax.set_xlim(-0.5, n + 0.04 * n + 0.6)
    style_axes(ax, x="picture", grid=None).spines[:].set_visible(False)
    ax.xaxis.label.set_color(GREY)
