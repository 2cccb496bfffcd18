"""Who an item's neighbours are: on the raw graph, on the learned one, and on their mixture (MICRO Eq. 1-5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.explorers.base import BUTTONS, SLIDER, Explorer, one_of, within
from mmrec_lite.explorers.picking import item_number, picture_source, title_search
from mmrec_lite.explorers.shelf import PictureShelf
from mmrec_lite.graphs import edges, knn_graph
from mmrec_lite.methods.micro import MICRO
from mmrec_lite.plots.items import NeighbourRow, item_pictures, item_title, neighbour_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NearestTable", "NeighboursExplorer"]


class NearestTable:
    """Every item's nearest up to `k_max`, from which the normalised graph of any smaller k is read off at once.

    Shapes: features (I, d). A row of the graph of k is the first k entries of the row of k_max, and a degree of
    Eq. 3 is a prefix sum: nothing is computed again when a slider moves.
    """

    def __init__(
        self,
        features: Tensor,
        k_max: int,
        self_loops: bool = True,
        norm: str = "sym",
        search: Literal["exact", "approximate"] = "exact",
    ):
        graph = knn_graph(features, k_max, self_loops, search)
        rows, cols, weights = (t.numpy(force=True) for t in edges(graph))
        order = np.lexsort((cols, -weights, rows != cols, rows))  # by row: itself first, then the strongest
        rows, cols, weights = rows[order], cols[order], weights[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows, side="left")
        self.items = np.full((len(features), k_max), -1)
        self.cosines = np.zeros((len(features), k_max))
        self.items[rows, place], self.cosines[rows, place] = cols, weights
        self.degrees = self.cosines.cumsum(axis=1)
        self.k_max, self.norm = k_max, norm

    def row(self, item: int, k: int) -> dict[int, float]:
        """Return neighbour -> weight after Eq. 3 on the graph of k, the strongest first."""
        if not 1 <= k <= self.k_max:
            raise ValueError(f"the table holds the {self.k_max} nearest; k = {k} must be between 1 and that")
        keep = self.cosines[item, :k] > 0
        items, cosines, degree = self.items[item, :k][keep], self.cosines[item, :k][keep], self.degrees[:, k - 1]
        other = degree[items] if self.norm == "sym" else degree[item]
        weights = cosines / np.sqrt(degree[item] * other)
        order = np.argsort(-weights, kind="stable")
        return dict(zip(items[order].tolist(), weights[order].tolist(), strict=True))


class NeighboursExplorer(Explorer):
    """Pick an item by its picture, its title or its number, and move k, lambda and the modality.

    `model` is a MICRO model, trained or not, on `data`; the learned graph is that of its weights when the explorer was
    made. Raises ``ValueError`` for data of other items than the model's.
    """

    title = "Neighbours: raw graph, learned graph, and their mixture"

    def __init__(self, model: MICRO, data: MultimodalDataset, item: int = 0, k_max: int = 12, shelf: int = 8):
        if model.n_items != data.n_items:
            raise ValueError(
                f"NeighboursExplorer: the model knows {model.n_items} items, data set {data.name!r} has "
                f"{data.n_items}; give the data set that the model's split was made of."
            )
        self.data, self.config = data, model.config
        self.modalities = model.modalities
        k_max = min(k_max, data.n_items - 1)
        c = model.config
        made_by = {"k_max": k_max, "self_loops": c.self_loops, "norm": c.norm, "search": c.search}
        with torch.no_grad():
            learned = {name: model.transformed(name) for name in self.modalities}
        self.tables = {
            name: {
                "raw": NearestTable(torch.from_numpy(data.dense(name)), **made_by),
                "learned": NearestTable(learned[name], **made_by),
            }
            for name in self.modalities
        }
        self.search = title_search(data, self._choose)
        super().__init__(self._controls(item, k_max), above=[self._shelf(shelf), self.search])

    def _controls(self, item: int, k_max: int) -> dict[str, widgets.Widget]:
        k, counted = min(self.config.k, k_max), "k, with itself" if self.config.self_loops else "k, neighbours"
        return {
            "item": item_number(self.data, item),
            "modality": widgets.ToggleButtons(options=list(self.modalities), description="modality", **BUTTONS),
            "k": widgets.IntSlider(k, min=1, max=k_max, description=counted, **SLIDER),
            "lam": widgets.FloatSlider(self.config.lam, min=0, max=1, step=0.05, description="λ, raw share", **SLIDER),
        }

    def _shelf(self, n: int) -> widgets.Widget:
        chosen = _spread(self.data, n)
        sources = map(picture_source, item_pictures(self.data, chosen))
        titles = [item_title(self.data, item) for item in chosen]
        shelf = PictureShelf(entries=[{"title": t, "source": s} for t, s in zip(titles, sources, strict=True)])

        def clicked(change: Any) -> None:
            if change["new"] >= 0:
                self._choose(chosen[change["new"]])
                shelf.clicked = -1  # else a second click on this picture would be no change, and unheard

        shelf.observe(clicked, "clicked")
        return widgets.VBox([widgets.HTML("Pick an item:"), shelf])

    def _choose(self, item: int) -> None:
        self.controls["item"].value = item

    def rows(self, params: dict[str, Any]) -> list[NeighbourRow]:
        """Return the item's neighbours on the raw, the learned and the mixed graph."""
        item, k, lam = params["item"], params["k"], params["lam"]
        tables = self.tables[params["modality"]]
        raw, learned = tables["raw"].row(item, k), tables["learned"].row(item, k)
        return [
            _row("raw, λ = 1", item, {"raw": raw}),
            _row("learned, λ = 0", item, {"learned": learned}),
            _row(f"mixed, λ = {lam:g}", item, _shares(raw, learned, lam)),
        ]

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the three rows of pictures."""
        return neighbour_panel(self.data, params["item"], self.rows(params))

    def describe(self, params: dict[str, Any]) -> str:
        """Name the item, the settings and how far the two graphs agree."""
        raw, learned, mixed = (set(row.items) for row in self.rows(params))
        strongest = next(iter(self.rows(params)[2].items), None)
        first = f" Strongest in the mixture: {item_title(self.data, strongest)}." if strongest is not None else ""
        return (
            f"{item_title(self.data, params['item'])}: {params['modality']} graph, k = {params['k']}, "
            f"lambda = {params['lam']:g}. Raw and learned graph share {len(raw & learned)} of {len(raw)} neighbours, "
            f"the mixture has {len(mixed)}.{first}"
        )

    def static(
        self, item: int = 0, modality: str | None = None, k: int | None = None, lams: Sequence[float] = (1, 0.7, 0.3, 0)
    ) -> Figure:
        """Draw several lambdas under one another: what the slider shows, for a page without a kernel.

        `k` is the model's unless given, and as the slider's at most the explorer's `k_max`.
        """
        within("NeighboursExplorer.static", "item", item, 0, self.data.n_items - 1)
        modality = one_of("NeighboursExplorer.static", "modality", modality or self.modalities[0], self.modalities)
        tables = self.tables[modality]
        k = k or min(self.config.k, tables["raw"].k_max)
        raw, learned = tables["raw"].row(item, k), tables["learned"].row(item, k)
        names = {1: ": raw alone", 0: ": learned"}
        rows = [_row(f"λ = {lam:g}{names.get(lam, '')}", item, _shares(raw, learned, lam)) for lam in lams]
        return neighbour_panel(self.data, item, rows)


def _shares(raw: dict[int, float], learned: dict[int, float], lam: float) -> dict[str, dict[int, float]]:
    """Return both graphs' shares of the mixture (Eq. 5); a graph whose share is nothing has no edges."""
    shares = {"raw": (lam, raw), "learned": (1 - lam, learned)}
    return {name: {i: share * w for i, w in row.items()} if share > 0 else {} for name, (share, row) in shares.items()}


def _row(label: str, item: int, parts: dict[str, dict[int, float]]) -> NeighbourRow:
    """Order the union of the parts' neighbours by weight; the item itself goes into the note."""
    total: dict[int, float] = {}
    for part in parts.values():
        for i, weight in part.items():
            total[i] = total.get(i, 0.0) + weight
    own = total.pop(item, 0.0)
    items = sorted(total, key=lambda i: (-total[i], i))
    return NeighbourRow(
        label, items, {name: [part.get(i, 0.0) for i in items] for name, part in parts.items()}, f"itself {own:.3f}"
    )


def _spread(data: MultimodalDataset, n: int) -> list[int]:
    """Choose at most n different items: of n categories or more one each, else evenly spaced."""
    if "category" in data.items:
        firsts = np.flatnonzero(~data.items["category"].duplicated().to_numpy())
        if len(firsts) >= n:
            return firsts[:n].tolist()
    return np.unique(np.linspace(0, data.n_items - 1, n).astype(int)).tolist()
