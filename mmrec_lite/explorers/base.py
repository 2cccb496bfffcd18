"""What every explorer is: controls, a pure drawing of their values, and a line that says what was done."""

from __future__ import annotations

import gc
import html
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from mmrec_lite.explorers.status import StatusLine
from mmrec_lite.plots.style import img, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BUTTONS", "LABEL", "SLIDER", "Explorer", "one_of", "within"]

KEPT = 64  # pictures kept for moves that come back
# Plain dicts: a Layout given here would be one for all controls, and closed with the first of them.
LABEL = {"description_width": "9em"}  # a label is words, not three letters and dots
SLIDER = {"continuous_update": False, "style": LABEL, "layout": {"width": "26em"}}
# Space at the right: two controls side by side must not look like one with more buttons.
BUTTONS = {"style": LABEL | {"button_width": "auto"}, "layout": {"width": "auto", "margin": "2px 24px 2px 2px"}}


def within(where: str, name: str, value: float, low: float, high: float) -> float:
    """Return `value`, or raise ``ValueError`` for one outside `low` to `high`: a slider would move it in silence."""
    if not low <= value <= high:
        raise ValueError(f"{where}: {name} = {value} is outside {low:g} to {high:g}.")
    return value


def one_of(where: str, name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Return `value`, or raise ``ValueError`` that names the choices."""
    if value not in (known := list(choices)):
        raise ValueError(f"{where}: {name} = {value!r} is unknown; choose one of {', '.join(map(str, known))}.")
    return value


class Explorer:
    """Widgets whose values are drawn; the picture carries its description, so that a screen reader has it, too.

    A subclass gives the controls by name and implements `render(params)` and `describe(params)`: both depend on
    their argument alone and on what the explorer was made with. Pictures are kept by their parameters. Of several
    moves, the last one's picture stays. An error becomes a sentence in the status line, never a traceback
    somewhere in a log.
    """

    title = "explorer"

    def __init__(self, controls: Mapping[str, widgets.Widget], above: Sequence[widgets.Widget] = ()):
        self.controls = dict(controls)
        self.picture = self.make_picture()
        self.status = StatusLine()
        self._kept: OrderedDict[tuple, tuple[str, str]] = OrderedDict()  # parameters -> picture, words
        self._lock = threading.Lock()
        self._ticket = 0
        heading = widgets.HTML(f"<b>{html.escape(self.title)}</b>")
        rows = widgets.Box(
            list(self.controls.values()), layout=widgets.Layout(flex_flow="row wrap", align_items="center")
        )
        self.widget = widgets.VBox([heading, *above, rows, self.status, self.picture])
        for control in self.controls.values():
            control.observe(self._moved, "value")
        self.initial = self.params
        """What it shows first: the words of a picture made by `static` must not follow the controls."""
        self.refresh()

    # What a subclass says ------------------------------------------------------------------------------------------

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the parameters."""
        raise NotImplementedError

    def describe(self, params: dict[str, Any]) -> str:
        """Say in a sentence or two what `render` draws: the picture's alternative text and the status line."""
        raise NotImplementedError

    def make_picture(self) -> widgets.DOMWidget:
        """Return the widget whose `value` the picture becomes."""
        return widgets.HTML()

    def shown(self, params: dict[str, Any]) -> None:
        """Do what must follow when a picture was put on the page; nothing by default."""

    # What all share ------------------------------------------------------------------------------------------------

    @property
    def params(self) -> dict[str, Any]:
        """The controls' values of the moment."""
        return {name: control.value for name, control in self.controls.items()}

    def element(self, params: dict[str, Any]) -> tuple[str, str, bool]:
        """Return the parameters' <img>, its description, and whether both were kept from before."""
        key = tuple(sorted(params.items()))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return *self._kept[key], True
        figure, words = self.render(params), self.describe(params)
        drawn = img(png(figure, fast=True), words)
        with self._lock:
            self._kept[key] = drawn, words
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawn, words, False

    def refresh(self) -> None:
        """Draw the controls' values and say so."""
        with _young_garbage():
            self._refresh()

    def _refresh(self) -> None:
        with self._lock:
            self._ticket += 1
            ticket = self._ticket
        params, started = self.params, time.perf_counter()
        try:
            picture, said, kept = self.element(params)
            cost = "shown again" if kept else f"drawn in {1000 * (time.perf_counter() - started):.0f} ms"
            words = f"{html.escape(said)} <i>({cost})</i>"
        except Exception as error:  # a callback's traceback would end in a log that nobody reads
            picture, words = None, f"<b>Not drawn:</b> {html.escape(f'{type(error).__name__}: {error}')}"
        with self._lock:
            if ticket != self._ticket:  # a later move has begun, its picture counts
                return
            self.picture.value = picture or ""  # the former one would stand beside words of another
            if picture is not None:
                self.shown(params)
            self._say(words)

    def _say(self, words: str) -> None:
        """Write HTML into the status line, which a screen reader speaks."""
        self.status.value = words

    def _moved(self, change: Any) -> None:
        self.refresh()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)


@contextmanager
def _young_garbage() -> Iterator[None]:
    """Collect what was made inside at its end, and nothing older.

    A figure is a knot of ten thousand objects. Left to themselves they grow old, and every few moves a collection of
    *all* the kernel's objects stands for half a second between a slider and its picture.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.collect(1)
