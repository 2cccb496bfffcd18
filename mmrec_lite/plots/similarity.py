"""How cosines are spread: random pairs of items against pairs that one user took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmrec_lite.plots.style import COLOURS, FONT, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cosine_histograms"]


def cosine_histograms(samples: Mapping[str, tuple[np.ndarray, np.ndarray]], bins: int = 60) -> Figure:
    """Draw one panel a modality: random pairs (grey area) and pairs taken together (line), their means dashed."""
    figure, axes = new_figure(1, len(samples), (4.6 * len(samples), 3.2), sharey=True)
    for ax, (name, (random, together)) in zip(axes[0], samples.items(), strict=True):
        style_axes(ax, name, x="cosine", y="density" if ax is axes[0, 0] else "")
        edges = np.linspace(min(random.min(), together.min(), 1 - 1e-3), 1, bins)  # all items may be equal
        ax.hist(random, edges, density=True, color="#BBBBBB", label="random pairs")
        ax.hist(together, edges, density=True, histtype="step", linewidth=2, color=COLOURS[0], label="taken together")
        for values, colour in ((random, "#777777"), (together, COLOURS[0])):
            ax.axvline(values.mean(), color=colour, linestyle="--", linewidth=1.2)
    axes[0, 0].legend(frameon=False, fontsize=FONT - 1.5)
    return figure
