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
from mmrec_lite.explorers.base import BUTTONS, LABEL, SLIDER, Explorer, one_of, within
from mmrec_lite.explorers.picking import item_number, thumbnail, title_search
from mmrec_lite.explorers.pointer import PointPicture
from mmrec_lite.maps import ONE_LAYOUT, Frame, align, project
from mmrec_lite.plots.items import item_pictures, item_title
from mmrec_lite.plots.maps import MapPanel, map_sheet, point_places
from mmrec_lite.probes import linear_probe, planted_factors

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
    stays, and the line says why. Probes of a representation that was not shown before are measured in the background,
    too. `factors` name -> (I,) labels are what the probes read and what may colour; default: `probes.planted_factors`,
    else the column category. An item whose label is missing or "" has none. Labels of fewer than three items are one
    label, "other", to the probes. `shared` is the fit to begin with: one for both suits parts of one model, not models
    of different scales. Raises ``ValueError`` for no frame, and for frames, counts or factors of other items than
    `data`'s.
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
        if not self.frames:
            raise ValueError("EmbeddingMapExplorer: there is no frame; give Frame.of(model), or Recorder.finish().")
        self.data, self.seed = data, seed
        self.factors = {n: _labels(v) for n, v in (_factors(data) if factors is None else factors).items()}
        self._check_items({} if counts is None else {"counts": counts})
        self.values = {} if counts is None else {"popularity": np.log1p(np.asarray(counts, dtype=float))}
        if twice := self.values.keys() & self.factors.keys():
            raise ValueError(f"EmbeddingMapExplorer: a factor is called {twice.pop()!r}, as the counts are; rename it.")
        self.values |= {f"attention: {name}": name for name in self.frames[-1].weights}
        self._maps: dict[tuple, list[np.ndarray]] = {}
        self._failed: dict[tuple, str] = {}  # UMAPs that could not be laid out, and why
        self._missing = ""  # why none can, where UMAP cannot be imported
        self._probes: dict[tuple[int, str], pd.Series] = {}
        self._probing = threading.Lock()  # one measurement at a time
        self._unread: set[tuple[int, str]] = set()  # what could not be probed in the background
        self.preview = widgets.HTML(HINT)
        names = list(self.frames[-1].spaces)
        shown = [one_of("EmbeddingMapExplorer", "shown", name, names) for name in shown]
        shown = [*shown, *names, names[0]][:2] if not shown else [*shown, shown[0]][:2]
        for name in shown:  # the first picture has all: it may become a page's
            self.probes(len(self.frames) - 1, name)
        super().__init__(
            self._controls(names, shown, item, shared), above=[title_search(data, self._choose, "an item's title")]
        )
        self.widget.children = [*self.widget.children, self.preview]
        self.picture.observe(self._pointed, "hovered")
        self.picture.observe(self._clicked, "clicked")

    def _check_items(self, more: Mapping[str, np.ndarray]) -> None:
        """Refuse what is not of these items: a dot would bear another's title."""
        sizes = {f"frame {f.label!r}, {name}": len(space) for f in self.frames for name, space in f.spaces.items()}
        sizes |= {f"factor {name!r}": len(labels) for name, labels in self.factors.items()}
        sizes |= {name: len(values) for name, values in more.items()}
        for name, size in sizes.items():
            if size != self.data.n_items:
                raise ValueError(
                    f"EmbeddingMapExplorer: {name} has {size} rows, data set {self.data.name!r} {self.data.n_items} "
                    f"items; give the data set that the frames' models were made for."
                )

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
        """The controls' values, what is still being computed for them, and why UMAP could not be, if so."""
        params = super().params
        sides = [(params["moment"], params[side]) for side in ("left", "right")]
        params["probing"] = not all(side in self._probes or side in self._unread for side in sides)
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

        Items without a label do not count. A factor that cannot be probed, such as a label for each item, is left out.
        """
        if (moment, name) not in self._probes:
            vectors, found = self.frames[moment].spaces[name], {}
            for factor, labels in self.factors.items():
                known = labels != "" if labels.dtype == object else np.ones(len(labels), dtype=bool)
                if (merged := _merge_rare(labels[known])) is not None:
                    found[factor] = linear_probe(vectors[known], merged, FOLDS)
            self._probes[moment, name] = pd.Series(found, dtype=float)
        return self._probes[moment, name]

    def _read(self, params: dict[str, Any]) -> dict[str, pd.Series]:
        """Return the probes of both sides: those that are there, while others are being measured."""
        known = {name: (params["moment"], name) for name in (params["left"], params["right"])}
        if params.get("probing"):
            return {name: self._probes.get(key, pd.Series(dtype=float)) for name, key in known.items()}
        return {name: self.probes(*key) for name, key in known.items()}

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
        item = params["item"]
        picture, title = item_pictures(self.data, [item])[0], item_title(self.data, item)
        return map_sheet(self._panels(params), params["colour"], self._read(params), item, picture, title)

    def describe(self, params: dict[str, Any]) -> str:
        """Say what is mapped, how, when, and what the probes read best."""
        how = params["projection"] + (" is being laid out, PCA until then" if params.get("waiting") else "")
        how += f" failed ({params['failed']}), PCA shown" if params.get("failed") else ""
        words = [f"{how}, {params['fit']}, {self.frames[params['moment']].label}, coloured by {params['colour']}."]
        read = self._read(params)
        for side in ("left", "right"):
            probes = read[params[side]].sort_values(ascending=False)
            scores = ", ".join(f"{name} {round(score, 2) + 0.0:.2f}" for name, score in probes.items())
            waits = params.get("probing") and (params["moment"], params[side]) not in self._probes
            said = "probes are being measured" if waits else f"probes read {scores or 'nothing'}"
            words.append(f"{side.capitalize()}, {params[side]}: {said}.")
        return " ".join([*words, f"Chosen: {item_title(self.data, params['item'])}."])

    def static(self, how: str = "PCA", colours: Sequence[str] = (), **changes: Any) -> Figure:
        """Draw the same two maps in several colours below one another, for a page without a kernel.

        `changes` are parameters that differ from those that it showed first (left, right, moment, fit, item);
        ``ValueError`` for others, and for values that the controls do not have.
        """
        self._check_changes(changes | {"projection": how}, colours)
        params = self.initial | changes | {"projection": how, "waiting": False, "failed": "", "probing": False}
        rows = [(colour, self._panels(params | {"colour": colour})) for colour in colours or [params["colour"]]]
        item = params["item"]
        picture, title = item_pictures(self.data, [item])[0], item_title(self.data, item)
        return map_sheet(rows[0][1], rows[0][0], self._read(params), item, picture, title, more=rows[1:])

    def _check_changes(self, changes: Mapping[str, Any], colours: Sequence[str]) -> None:
        where = "EmbeddingMapExplorer.static"
        for name, value in [*changes.items(), *(("colour", colour) for colour in colours)]:
            control = self.controls[one_of(where, "parameter", name, self.controls)]
            if hasattr(control, "options"):
                one_of(where, name, value, control.options)
            else:
                within(where, name, value, control.min, control.max)

    # What follows a picture, the pointer and the background -----------------------------------------------------------

    def shown(self, params: dict[str, Any]) -> None:
        """Tell the picture where its points are, and begin what is waited for."""
        self.picture.points = point_places(self.maps(params)).astype(np.float32).tobytes()
        for waited, compute in (("waiting", self._background), ("probing", self._probe)):
            if params[waited]:
                threading.Thread(target=compute, args=(params,), daemon=True).start()

    def _probe(self, params: dict[str, Any]) -> None:
        """Measure the probes of both sides, then draw them if they are still asked for."""
        moment, names = params["moment"], (params["left"], params["right"])
        with self._probing:
            for name in names:
                if self._is_at(moment, name):  # else the slider has moved on
                    try:
                        self.probes(moment, name)
                    except Exception:  # the next drawing, which tries it again, says why
                        self._unread.add((moment, name))
        if any(self._is_at(moment, name) for name in names):
            self.refresh()

    def _is_at(self, moment: int, name: str) -> bool:
        now = {side: self.controls[side].value for side in ("moment", "left", "right")}
        return now["moment"] == moment and name in (now["left"], now["right"])

    def _background(self, params: dict[str, Any]) -> None:
        key = self._key(params, "UMAP")
        with ONE_LAYOUT:
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
    return found or ({"category": data.items["category"]} if "category" in data.items else {})


def _labels(values: Any) -> np.ndarray:
    """Return labels (I,): numbers as they are, else words, "" where one is missing."""
    values = np.asarray(values)
    if values.dtype.kind in "iub":
        return values
    # Not NumPy's own strings: pandas gives those as wide as the missing value's "", one letter.
    return pd.Series(values).astype(object).fillna("").map(str).to_numpy(object)


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
