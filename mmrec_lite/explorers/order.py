"""PAMD's Eq. 10 in its three forms on one item in the plane: what length buys, and what parting buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer, one_of, within
from mmrec_lite.losses import cosine_gap, gap, order_loss
from mmrec_lite.plots.style import COLOURS, FONT, GREY, HATCHES, INK, MARKERS, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMS", "OrderExplorer", "OrderState"]

FORMS = ("printed", "bounded", "infonce")
PICTURE, TEXT = (3.0, 1.0), (1.0, 3.0)
SCALES = 2.0 ** np.linspace(-2, 3, 41)
LEAST = 0.05  # with nothing specific there is no cosine
PARTINGS = np.linspace(LEAST, 1, 20)
TICKS = 4  # of an axis of numbers, at most: they take much of the time of a picture


@dataclass(frozen=True)
class OrderState:
    """Eq. 10 on one item, from its picture to its text; every vector is `scale` times as long as drawn at scale 1.

    The common part lies `parting` of the way from the picture's vector (0: all is common) to the mean of its entries
    (1), the specific part is the rest. `gaps` are (common, primitive, specific): mean squares for "printed" and
    "bounded", one minus the cosine for "infonce". `growth` is the derivative of `loss` by the scale's logarithm:
    below 0, longer vectors alone lower the loss.
    """

    form: str
    scale: float
    parting: float
    parts: dict[str, np.ndarray]
    gaps: tuple[float, float, float]
    loss: float
    growth: float

    @classmethod
    @lru_cache(maxsize=512)  # drawing and describing ask for the same one
    def of(cls, form: str, scale: float, parting: float) -> OrderState:
        """Compute it by `losses.order_loss`."""
        log = torch.tensor(scale, dtype=torch.float64).log().requires_grad_()
        parts = _parts(log.exp(), parting)
        gaps = _gaps(form, parts)
        loss = order_loss(*gaps, form=form)
        (growth,) = torch.autograd.grad(loss, log, allow_unused=True)
        vectors = {name: part[0].detach().numpy() for name, part in parts.items()}
        return cls(form, scale, parting, vectors, tuple(g.item() for g in gaps), loss.item(), growth.item())


def _parts(scale: Tensor, parting: Tensor | float) -> dict[str, Tensor]:
    picture, text = (scale * torch.tensor([v], dtype=torch.float64) for v in (PICTURE, TEXT))
    common = picture + parting * (picture.mean(dim=1, keepdim=True) - picture)
    return {"text": text, "common": common, "primitive": picture, "specific": picture - common}


def _gaps(form: str, parts: dict[str, Tensor]) -> list[Tensor]:
    measure = cosine_gap if form == "infonce" else gap
    return [measure(parts["text"], parts[name]).mean() for name in ("common", "primitive", "specific")]


@lru_cache(maxsize=512)  # a move of one control leaves the curve over it as it was
def losses_over(axis: str, form: str, held: float) -> np.ndarray:
    """The loss at each of `SCALES`, the parting held, or at each of `PARTINGS`, the scale held; all at once."""
    fixed = torch.tensor(held, dtype=torch.float64)

    def at(value: Tensor) -> Tensor:
        parts = _parts(value, fixed) if axis == "scale" else _parts(fixed, value)
        return order_loss(*_gaps(form, parts), form=form)

    return torch.vmap(at)(torch.from_numpy(SCALES if axis == "scale" else PARTINGS)).numpy()


class OrderExplorer(Explorer):
    """Move the length of all vectors, the parting and the form of Eq. 10; see which of them the loss rewards."""

    title = "Order: PAMD's Eq. 10 on one item"

    def __init__(self, form: str = "printed", scale: float = 1.0, parting: float = 1.0):
        powers = {"base": 2, "min": -2, "max": 3, "step": 0.25, "readout_format": ".2f"}
        one_of("OrderExplorer", "form", form, FORMS)
        within("OrderExplorer", "scale", scale, 2 ** powers["min"], 2 ** powers["max"])
        within("OrderExplorer", "parting", parting, LEAST, 1)
        super().__init__(
            {
                "scale": widgets.FloatLogSlider(scale, description="length × k", **powers, **SLIDER),
                "parting": widgets.FloatSlider(parting, min=LEAST, max=1, step=0.05, description="parted", **SLIDER),
                "form": widgets.ToggleButtons(options=FORMS, value=form, description="form of Eq. 10", **BUTTONS),
            }
        )

    def state(self, params: dict[str, Any]) -> OrderState:
        """Compute the loss of the parameters."""
        return OrderState.of(params["form"], params["scale"], params["parting"])

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the vectors, the three gaps, and the loss over the length and over the parting."""
        state = self.state(params)
        figure, axes = new_figure(1, 4, (12, 3.3), layout="none", width_ratios=(1, 0.8, 1.1, 1.1))
        figure.subplots_adjust(0.03, 0.165, 0.965, 0.91, wspace=0.31)  # to find these takes longer than to draw
        draw_parts(axes[0, 0], state)
        draw_gaps(axes[0, 1], state)
        draw_over(axes[0, 2], state, "scale")
        draw_over(axes[0, 3], state, "parting")
        return figure

    def describe(self, params: dict[str, Any]) -> str:
        """Give gaps and loss, and what longer vectors alone would do to it."""
        state = self.state(params)
        common, primitive, specific = state.gaps
        kept = "kept" if common < primitive < specific else "not kept"
        change = f"changes it by {state.growth:+.3g} a unit of ln k"
        longer = "leaves it as it is" if abs(state.growth) < 1e-9 else change
        return (
            f"Eq. 10, {state.form}, vectors {state.scale:.2f} times as long, parted {state.parting:.2f}: gaps common "
            f"{common:.3g}, primitive {primitive:.3g}, specific {specific:.3g}, the order is {kept}; loss "
            f"{state.loss:.4g}. Length alone {longer}."
        )

    def static(self, scales: Sequence[float] = (0.5, 1, 4), parting: float = 1.0) -> Figure:
        """Draw each form's loss over the length, with the loss at `scales`, for a page without a kernel."""
        figure, axes = new_figure(1, len(FORMS), (11, 3))
        for ax, form in zip(axes[0], FORMS, strict=True):
            draw_over(ax, OrderState.of(form, scales[0], parting), "scale")
            for scale in scales[1:]:
                mark(ax, scale, OrderState.of(form, scale, parting).loss)
            ax.set_title(f"Eq. 10, {form}", fontsize=FONT, loc="left", fontweight="bold")
        return figure


def draw_parts(ax: Axes, state: OrderState) -> None:
    """Draw the text's vector and the picture's three as arrows from the origin."""
    style_axes(ax, "the vectors", grid="both")
    reach = 1.1 * max(np.abs(v).max() for v in state.parts.values())
    for place, (name, (x, y)) in enumerate(state.parts.items()):
        colour = COLOURS[place]
        if x or y:
            look = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (x, y), (0, 0), arrowprops=look)
        ax.plot(x, y, MARKERS[place], color=colour, markersize=7, label=name)
    ax.set(xlim=(-reach / 2, reach), ylim=(-reach / 2, reach), aspect="equal")
    ax.legend(frameon=False, fontsize=FONT - 3, loc="lower left", handletextpad=0.2)


def draw_gaps(ax: Axes, state: OrderState) -> None:
    """Draw the three gaps as bars with their numbers."""
    style_axes(ax, "gaps to the text" if state.form != "infonce" else "1 − cosine to the text")
    names = ("common", "primitive", "specific")
    bars = ax.bar(names, state.gaps, color=COLOURS[1:4], edgecolor="white", linewidth=0)
    for bar, hatch, value in zip(bars, HATCHES, state.gaps, strict=False):
        bar.set_hatch(hatch)
        ax.text(bar.get_x() + bar.get_width() / 2, value, f"{value:.3g}", ha="center", va="bottom", fontsize=FONT - 2)
    ax.tick_params(axis="x", labelsize=FONT - 2.5)
    ax.margins(y=0.12)
    ax.locator_params(axis="y", nbins=TICKS)


def draw_over(ax: Axes, state: OrderState, axis: str) -> None:
    """Draw the loss over the length or over the parting, the other held, and mark where it stands."""
    values = SCALES if axis == "scale" else PARTINGS
    held = {"scale": state.scale, "parting": state.parting}
    losses = losses_over(axis, state.form, state.parting if axis == "scale" else state.scale)
    words = {"scale": "length × k", "parting": "parted (left: nearly all is common)"}
    style_axes(ax, {"scale": "longer", "parting": "better parted"}[axis], words[axis], "loss", grid="both")
    ax.plot(values, losses, color=COLOURS[0], linewidth=2)
    ax.axhline(0, color=GREY, linewidth=0.8, linestyle="dashed")
    ax.margins(y=0.14)
    ax.locator_params(axis="y", nbins=TICKS)
    if axis == "scale":
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    mark(ax, held[axis], state.loss)


def mark(ax: Axes, x: float, loss: float) -> None:
    """Mark a loss on its curve, with its number."""
    ax.plot(x, loss, "o", color=COLOURS[1], markersize=8, markeredgecolor="white")
    ax.annotate(f"{loss:.3g}", (x, loss), (6, 5), textcoords="offset points", fontsize=FONT - 2, color=INK)
