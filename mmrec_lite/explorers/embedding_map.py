"""Two representations of the same items as maps side by side, through the epochs of a training."""

from __future__ import annotations

import html
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.explorers.base import BUTTONS, LABEL, SLIDER, Explorer
from mmrec_lite.explorers.picking import item_number, thumbnail, title_search
from mmrec_lite.explorers.pointer import PointPicture
from mmrec_lite.maps import Frame, align, project
from mmrec_lite.plots.items import item_pictures, item_title
from mmrec_lite.plots.maps import MapPanel, map_sheet, point_places
from mmrec_lite.probes import planted_factors, probe_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EmbeddingMapExplorer"]

FITS = {"one fit for both": True, "a fit each, turned": False}
FOLDS = 3  # of a probe: a label needs as many items
HINT = "Point at a dot to see its item; click it to choose it."


class EmbeddingMapExplorer(Explorer):
    """Choose two representations, PCA or UMAP, a colour, a moment of the training and an item.

    `frames` come from `maps.Recorder.finish` or `maps.Frame.of`. `counts` (I,) are training interactions, for the
    colour *popularity*. Every map is turned onto the last frame's PCA map, so that what moves, moves. UMAP is laid out
    in the background: until it is ready the PCA map is shown, and the status line says so; where it fails the PCA map
    stays, and the line says why. `factors` name -> (I,) labels are what the probes read and what may colour; default:
    `probes.planted_factors`, else the column category. Labels of fewer than three items are one label, "other", to the
    probes.
    `shared` is the fit to begin with: one for both suits parts of one model, not models of different scales.
    """

    title = "Embedding map: what lies beside what"

    def __init__(
        self,
        frames: Sequence[Frame] | Frame,
        data: MultimodalDataset,
        counts: np.ndarray | None = None,
        *,
        factors: Mapping[str, np.ndarray] | None = None,
        shown: Sequence[str] = (),
        shared: bool = True,
        item: int = 0,
        seed: int = 0,
    ):
        self.frames = [frames] if isinstance(frames, Frame) else list(frames)
        self.data, self.seed = data, seed
        self.factors = dict(_factors(data) if factors is None else factors)
        self.values = {} if counts is None else {"popularity": np.log1p(np.asarray(counts, dtype=float))}
        self.values |= {f"attention: {name}": name for name in self.frames[-1].weights}
        self._maps: dict[tuple, list[np.ndarray]] = {}
        self._failed: dict[tuple, str] = {}  # UMAPs that could not be laid out, and why
        self._missing = ""  # why none can, where UMAP cannot be imported
        self._probes: dict[tuple[int, str], pd.Series] = {}
        self._umap = threading.Lock()  # one layout at a time: it has a core to itself
        self.preview = widgets.HTML(HINT)
        names = list(self.frames[-1].spaces)
        shown = [*shown, *names, names[0]][:2] if not shown else [*shown, shown[0]][:2]
        super().__init__(
            self._controls(names, shown, item, shared), above=[title_search(data, self._choose, "an item's title")]
        )
        self.widget.children = [*self.widget.children, self.preview]
        self.picture.observe(self._pointed, "hovered")
        self.picture.observe(self._clicked, "clicked")

    def _controls(self, names: list[str], shown: Sequence[str], item: int, shared: bool) -> dict[str, widgets.Widget]:
        wide, last = {"style": LABEL, "layout": widgets.Layout(width="26em")}, len(self.frames) - 1
        return {
            "item": item_number(self.data, item),
            "left": widgets.Dropdown(options=names, value=shown[0], description="left", **wide),
            "right": widgets.Dropdown(options=names, value=shown[1], description="right", **wide),
            "colour": widgets.Dropdown(
                options=[*self.factors, *self.values] or ["nothing"], description="colour", **wide
            ),
            "moment": widgets.IntSlider(last, min=0, max=last, description="moment", disabled=last == 0, **SLIDER),
            "projection": widgets.ToggleButtons(options=["PCA", "UMAP"], description="projection", **BUTTONS),
            "fit": widgets.ToggleButtons(
                options=list(FITS), value=list(FITS)[not shared], description="fit", **BUTTONS
            ),
        }

    def make_picture(self) -> PointPicture:
        """Return a picture that tells which point the pointer is at."""
        return PointPicture()

    # What is drawn -------------------------------------------------------------------------------------------------

    @property
    def params(self) -> dict[str, Any]:
        """The controls' values, whether UMAP is still being laid out for them, and why it could not be, if so."""
        params = super().params
        key = self._key(params, "UMAP")
        if params["projection"] != "UMAP" or key in self._maps:
            return params | {"waiting": False, "failed": ""}
        failed = self._failed.get(key) or self._missing
        return params | {"waiting": not failed, "failed": failed}

    def _key(self, params: dict[str, Any], how: str) -> tuple:
        return how, params["left"], params["right"], params["fit"], params["moment"]

    def maps(self, params: dict[str, Any]) -> list[np.ndarray]:
        """Return the two maps, (I, 2) each; computed once."""
        how = "PCA" if params.get("waiting") or params.get("failed") else params["projection"]
        key = self._key(params, how)
        if key not in self._maps:
            self._maps[key] = self._lay_out(params, how)
        return self._maps[key]

    def _lay_out(self, params: dict[str, Any], how: str) -> list[np.ndarray]:
        spaces = self.frames[params["moment"]].spaces
        found = project([spaces[params["left"]], spaces[params["right"]]], how, FITS[params["fit"]], self.seed)
        last = len(self.frames) - 1
        if how == "PCA" and params["moment"] == last:
            return found
        onto = self.maps(params | {"moment": last, "projection": "PCA"})
        if FITS[params["fit"]]:  # turned as one: places in the two maps must go on meaning the same
            return np.split(align(np.concatenate(found), np.concatenate(onto), same_size=True)[0], 2)
        return [align(one, other, same_size=True)[0] for one, other in zip(found, onto, strict=True)]

    def probes(self, moment: int, name: str) -> pd.Series:
        """Return what a linear probe reads from a representation at a moment, by factor; measured once.

        A factor that cannot be probed, such as a label for each item, is left out.
        """
        if (moment, name) not in self._probes:
            factors = {n: merged for n, v in self.factors.items() if (merged := _merge_rare(v)) is not None}
            table = probe_table({name: self.frames[moment].spaces[name]}, factors, FOLDS)
            self._probes[moment, name] = table.loc[name] if len(table) else pd.Series(dtype=float)
        return self._probes[moment, name]

    def _panels(self, params: dict[str, Any]) -> list[MapPanel]:
        colour = self.values.get(params["colour"], self.factors.get(params["colour"]))
        if isinstance(colour, str):  # attention: of the moment
            colour = self.frames[params["moment"]].weights[colour]
        names = (params["left"], params["right"])
        return [
            MapPanel(name, points, colour, params["colour"] in self.values)
            for name, points in zip(names, self.maps(params), strict=True)
        ]

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw two maps, the chosen item's picture, and what probes read from either representation."""
        probes = {name: self.probes(params["moment"], name) for name in (params["left"], params["right"])}
        item = params["item"]
        picture = item_pictures(self.data, [item])[0]
        return map_sheet(self._panels(params), params["colour"], probes, item, picture, item_title(self.data, item))

    def describe(self, params: dict[str, Any]) -> str:
        """Say what is mapped, how, when, and what the probes read best."""
        how = params["projection"] + (" is being laid out, PCA until then" if params.get("waiting") else "")
        how += f" failed ({params['failed']}), PCA shown" if params.get("failed") else ""
        words = [f"{how}, {params['fit']}, {self.frames[params['moment']].label}, coloured by {params['colour']}."]
        for side in ("left", "right"):
            probes = self.probes(params["moment"], params[side]).sort_values(ascending=False)
            scores = ", ".join(f"{name} {round(score, 2) + 0.0:.2f}" for name, score in probes.items())
            words.append(f"{side.capitalize()}, {params[side]}: probes read {scores or 'nothing'}.")
        return " ".join([*words, f"Chosen: {item_title(self.data, params['item'])}."])

    def static(self, how: str = "PCA", colours: Sequence[str] = (), **changes: Any) -> Figure:
        """Draw the same two maps in several colours below one another, for a page without a kernel.

        `changes` are parameters that differ from the controls' of now (left, right, moment, fit, item).
        """
        params = self.params | changes | {"projection": how, "waiting": False, "failed": ""}
        rows = [(colour, self._panels(params | {"colour": colour})) for colour in colours or [params["colour"]]]
        probes = {name: self.probes(params["moment"], name) for name in (params["left"], params["right"])}
        item = params["item"]
        picture, title = item_pictures(self.data, [item])[0], item_title(self.data, item)
        return map_sheet(rows[0][1], rows[0][0], probes, item, picture, title, more=rows[1:])

    # What follows a picture, the pointer and the background -----------------------------------------------------------

    def shown(self, params: dict[str, Any]) -> None:
        """Tell the picture where its points are, and begin the UMAP that is waited for."""
        self.picture.points = point_places(self.maps(params)).astype(np.float32).tobytes()
        if params["waiting"]:
            threading.Thread(target=self._background, args=(params,), daemon=True).start()

    def _background(self, params: dict[str, Any]) -> None:
        key = self._key(params, "UMAP")
        with self._umap:
            wanted = self._key(self.params, "UMAP") == key and self.params["projection"] == "UMAP"
            if not wanted or key in self._maps or key in self._failed:  # another is asked for, or this one is done
                return
            try:
                self._maps[key] = self._lay_out(params, "UMAP")
            except Exception as error:  # else it would end in a log
                self._failed[key] = f"{type(error).__name__}: {error}"
                if isinstance(error, ImportError):  # no other layout can do without it
                    self._missing = self._failed[key]
        if self._key(self.params, "UMAP") == key:
            self.refresh()

    def _choose(self, item: int) -> None:
        self.controls["item"].value = item

    def _clicked(self, change: Any) -> None:
        if change["new"] >= 0:
            self._choose(change["new"] % self.data.n_items)
            self.picture.clicked = -1  # else a second click on this dot would be no change, and unheard

    def _pointed(self, change: Any) -> None:
        if change["new"] < 0:
            return  # the last item stays: the way to read its title leads over empty space
        item = change["new"] % self.data.n_items
        title = item_title(self.data, item)
        picture = thumbnail(item_pictures(self.data, [item])[0], title)
        self.preview.value = f"{picture} {html.escape(title)} · {item}"


def _factors(data: MultimodalDataset) -> dict[str, np.ndarray]:
    found = planted_factors(data)
    return found or ({"category": data.items["category"].to_numpy(str)} if "category" in data.items else {})


def _merge_rare(labels: np.ndarray) -> np.ndarray | None:
    """Return labels (I,) with the rarest as one, "other", so that each has rows enough; None where one label is left.

    Where none is rare they come back as they are.
    """
    labels = np.asarray(labels)
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order, rare = np.argsort(counts, kind="stable"), int((counts < FOLDS).sum())
    if rare:  # where the rare ones together are too few, the next label joins them
        rare = max(rare, int(np.searchsorted(counts[order].cumsum(), FOLDS)) + 1)
        labels = np.where(np.isin(place, order[:rare]), len(counts), place)
    return labels if len(counts) - rare + (rare > 0) > 1 else None
