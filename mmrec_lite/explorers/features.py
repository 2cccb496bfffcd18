"""An item's nearest by picture, by text and by any mixture of the two cosines: raw features, no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.explorers.base import SLIDER, Explorer, within
from mmrec_lite.explorers.picking import item_number, title_search
from mmrec_lite.plots.items import NeighbourRow, item_title, neighbour_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FeaturesExplorer"]


class FeaturesExplorer(Explorer):
    """Pick an item and move the share of each of two modalities in the mean of their cosines.

    `modalities` are two of `data`'s; items that lack either take no part.
    """

    title = "Features: who is near by picture, by text, by a mixture"

    def __init__(
        self, data: MultimodalDataset, item: int = 0, modalities: tuple[str, str] = ("image", "text"), n: int = 10
    ):
        if len(names := data.check_modalities(modalities)) != 2:
            raise DataError(f"FeaturesExplorer mixes two modalities, not {len(names)}: {', '.join(names)}.")
        within("FeaturesExplorer", "n", n, 1, 10)
        self.data, self.modalities = data, names
        self.there = np.logical_and.reduce([data.present[name] for name in names])
        self.unit = {}
        for name in names:
            vectors = data.dense(name)
            self.unit[name] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self.search = title_search(data, self._choose, "an item's title")
        share = f"share of {names[0]}"
        super().__init__(
            {
                "item": item_number(data, item),
                "share": widgets.FloatSlider(0.5, min=0, max=1, step=0.05, description=share, **SLIDER),
                "n": widgets.IntSlider(n, min=1, max=10, description="neighbours", **SLIDER),
            },
            above=[self.search],
        )

    def _choose(self, item: int) -> None:
        self.controls["item"].value = item

    def row(self, item: int, share: float, n: int) -> NeighbourRow:
        """Return the n nearest by share x the first modality's cosine + (1 - share) x the second's, nearest first.

        Raises `DataError` for an item that lacks a modality.
        """
        if not self.there[item]:
            raise DataError(f"item {item} lacks {' or '.join(self.modalities)}; choose another.")
        first, second = self.modalities
        parts = {first: share * (self.unit[first] @ self.unit[first][item])}
        parts[second] = (1 - share) * (self.unit[second] @ self.unit[second][item])
        likeness = np.where(self.there, parts[first] + parts[second], -np.inf)
        likeness[item] = -np.inf
        order = np.argsort(-likeness, kind="stable")[: min(n, self.there.sum() - 1)]
        label = {0: f"{second} alone", 1: f"{first} alone"}.get(
            share, f"{share:.0%} {first},\n{1 - share:.0%} {second}"
        )
        return NeighbourRow(label, order.tolist(), {name: part[order] for name, part in parts.items()})

    def rows(self, params: dict[str, Any]) -> list[NeighbourRow]:
        """Return the neighbours by the first modality, by the mixture and by the second."""
        return [self.row(params["item"], share, params["n"]) for share in (1.0, params["share"], 0.0)]

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the three rows of pictures."""
        return neighbour_panel(self.data, params["item"], self.rows(params))

    def describe(self, params: dict[str, Any]) -> str:
        """Name the item, the mixture, and how many of its neighbours either modality has, too."""
        first, mixed, second = (set(row.items) for row in self.rows(params))
        return (
            f"{item_title(self.data, params['item'])}, {self.modalities[0]} weighs {params['share']:.0%}: of "
            f"{len(mixed)} neighbours {len(mixed & first)} are also near by {self.modalities[0]} alone and "
            f"{len(mixed & second)} by {self.modalities[1]} alone; these two share {len(first & second)}."
        )

    def static(self, item: int, shares: Sequence[float] = (1, 0.5, 0), n: int = 8) -> Figure:
        """Draw several shares under one another: what the slider shows, for a page without a kernel."""
        return neighbour_panel(self.data, item, [self.row(item, share, n) for share in shares])
