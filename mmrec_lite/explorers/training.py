"""Train a method by a button: live curves of its named terms, earlier runs behind, a table of all, and a way out."""

from __future__ import annotations

import html
import math
import numbers
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets
import pandas as pd

from mmrec_lite.data import Split
from mmrec_lite.explorers.base import BUTTONS, LABEL, SLIDER, Explorer, one_of, within
from mmrec_lite.explorers.sliders import hold, lambda_slider
from mmrec_lite.methods import configure, create, method_class
from mmrec_lite.plots.charts import best_places
from mmrec_lite.plots.runs import run_curves
from mmrec_lite.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Best", "Run", "TrainingExplorer"]

SHARED = ("method", "epochs", "seed")
SLIDERS = ("lam", "k", "beta")  # set to the method's own when it is chosen
MOST_SEED = 2**31 - 1
REDRAW = 0.7  # seconds between two live pictures: drawing must not slow the training much
# PyTorch's random numbers are the process's: two trainings at once would mix them, and neither could be repeated.
_ONE_TRAINING = threading.Lock()
BUSY = "another training goes on, here or in another explorer; wait for its end or cancel it"


class _Cancelled(Exception):
    """Raised in the training's thread before the next batch."""


class Best(NamedTuple):
    """A run's best validation figure, the row that had it, counted from 1, and the figure's name, "recall@20"."""

    value: float
    row: int
    metric: str


@dataclass
class Run:
    """One training: its settings, the rows of its history so far, and where it stands; `stop` asks it to end."""

    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    state: str = "running"
    seconds: float = 0.0
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)

    @property
    def best(self) -> Best | None:
        """The best validation figure of the last stage that has one; methods are validated by different ones."""
        name = next((n for row in self.rows for n in row if n.startswith("valid ")), None)
        places = best_places(self.frame, name) if name else []
        if not places:
            return None
        return Best(float(self.frame[name].iloc[places[-1]]), places[-1] + 1, name.removeprefix("valid "))

    @property
    def ended(self) -> str:
        """Where it stands, and what went wrong."""
        return f"{self.state} ({self.error})" if self.error else self.state

    def words(self) -> str:
        """Name the settings in one line."""
        forms = {"method": "{}", "lam": "λ {}", "beta": "β {}", "epochs": "at most {} epochs a stage"}
        return ", ".join(forms.get(k, f"{k} {{}}").format(_word(v)) for k, v in self.settings.items())


def _word(value: Any) -> Any:
    return "+".join(value) if isinstance(value, tuple) else value


class TrainingExplorer(Explorer):
    """Choose a method and its settings, press Run, watch, press Cancel.

    Trains on `split` in a thread of its own, so that sliders and Cancel go on working; Cancel stops before the next
    batch. A run is kept by its settings: asked for again, it is shown and not trained. The test part is never looked
    at. Each stage of a method trains `epochs` epochs at most. Torch's random state is shared: while one explorer
    trains, all others refuse to, sweeps wait, and ``mm.fit`` in a cell would disturb either.
    """

    title = "Training: one run before the earlier ones"

    def __init__(
        self,
        split: Split,
        methods: Sequence[str] = ("micro", "pamd", "mcptr", "mp4sr", "lightgcn", "mf"),
        profile: str = "lecture",
        epochs: int = 15,
        seed: int = 0,
    ):
        within("TrainingExplorer", "epochs", epochs, 1, math.inf)
        within("TrainingExplorer", "seed", seed, 0, MOST_SEED)
        if not methods:
            raise ValueError("TrainingExplorer: there is no method to choose; give one or more names.")
        self.split, self.profile = split, profile
        self.runs: list[Run] = []
        self._thread: threading.Thread | None = None
        self._setting = False
        self.run_button = widgets.Button(description="Run", icon="play", button_style="success")
        self.cancel_button = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self.table = widgets.HTML()
        self.run_button.on_click(lambda _: self.start())
        self.cancel_button.on_click(lambda _: self.cancel())
        super().__init__(self._controls(list(methods), epochs, seed))
        heading, rows, status, picture = self.widget.children
        buttons = widgets.HBox([self.run_button, self.cancel_button])
        self.widget.children = [heading, rows, buttons, status, picture, self.table]
        self._adopt(self.controls["method"].value)

    def _controls(self, methods: list[str], epochs: int, seed: int) -> dict[str, widgets.Widget]:
        names = self.split.dataset.modalities
        choices = [c for size in range(len(names), 0, -1) for c in combinations(names, size)]
        number = {"style": LABEL, "layout": {"width": "16em"}, "continuous_update": False}
        scale = {"min": -4, "max": 0, "step": 0.25, "readout_format": ".2g"}
        return {
            "method": widgets.Dropdown(options=methods, description="method", style=LABEL),
            "lam": widgets.FloatSlider(0.7, min=0, max=1, step=0.05, description="λ, lam", **SLIDER),
            "k": widgets.IntSlider(10, min=1, max=50, description="k, neighbours", **SLIDER),
            "beta": widgets.FloatLogSlider(0.03, description="β, contrast", **scale, **SLIDER),
            "modalities": widgets.ToggleButtons(
                options={" + ".join(c): c for c in choices}, description="modalities", **BUTTONS
            ),
            "epochs": widgets.IntSlider(epochs, min=1, max=max(60, epochs), description="most epochs", **SLIDER),
            "seed": widgets.BoundedIntText(seed, min=0, max=MOST_SEED, description="seed", **number),
        }

    # What the controls mean ----------------------------------------------------------------------------------------

    def _adopt(self, method: str) -> None:
        """Enable the settings a method has and set them to the profile's; grey the others out."""
        config = configure(method, self.profile)
        fields = type(config).model_fields
        held = self._held(method)
        self._setting = True
        try:
            if "lam" in held:
                self._replace("lam", lambda_slider(method, config))
            for name, control in self.controls.items():
                if name not in SHARED:
                    control.disabled = name not in (held if name in SLIDERS else fields)
                if name in SLIDERS and not control.disabled:
                    hold(control, getattr(config, name))
        finally:
            self._setting = False
        self.refresh()

    def _held(self, method: str) -> list[str]:
        """Name the settings of a method that a slider can hold: a number, whole for k and above zero for beta."""
        config = configure(method, self.profile)
        values = {name: getattr(config, name, None) for name in SLIDERS}
        number = {n: v for n, v in values.items() if isinstance(v, numbers.Real) and not isinstance(v, bool)}
        return [n for n, v in number.items() if (n != "k" or v == int(v)) and (n != "beta" or v > 0)]

    def _replace(self, name: str, new: widgets.Widget) -> None:
        """Put another control into the place of one."""
        old, self.controls[name] = self.controls[name], new
        rows = self.widget.children[1]
        rows.children = [new if child is old else child for child in rows.children]
        new.observe(self._moved, "value")
        for part in (old.layout, old.style, old):
            part.close()

    def _moved(self, change: Any) -> None:
        if self._setting:
            return
        if change["owner"] is self.controls["method"]:
            self._adopt(change["new"])
        else:
            self.refresh()

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what of the controls' values concerns their method, to hand to ``mm.create`` and ``mm.fit``.

        Settings that no slider can hold (None, say) are left out: the method's own.
        """
        known = {*method_class(params["method"]).Config.model_fields} - {*SLIDERS} | {*self._held(params["method"])}
        chosen = {name: value for name, value in params.items() if name in SHARED or name in known}
        if chosen.get("modalities") == self.split.dataset.modalities:
            del chosen["modalities"]  # all there are: the method's default, which may hold more (reviews, a graph)
        for name, value in chosen.items():
            chosen[name] = float(f"{value:.6g}") if isinstance(value, float) else value
        return chosen

    def kept(self, params: dict[str, Any]) -> Run | None:
        """Return the latest run with these settings."""
        settings = self.settings(params)
        return next((run for run in reversed(self.runs) if run.settings == settings), None)

    # Run and Cancel ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the training of the controls' settings, unless it is kept; while another goes on, say so."""
        before = self.kept(self.params)
        if before is not None and before.state not in ("cancelled", "failed"):
            self.refresh()
            return
        if not _ONE_TRAINING.acquire(blocking=False):  # given back by the thread
            self._say(f"<b>Not trained:</b> {BUSY}.")
            return
        run = Run(self.settings(self.params))
        self.runs.append(run)
        self.run_button.disabled, self.cancel_button.disabled = True, False
        self._thread = threading.Thread(target=self._work, args=(run,), daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop the training before its next batch."""
        for run in self.runs:
            if run.state == "running":
                run.stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the training to end; return whether it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def run(self, **changes: Any) -> Run:
        """Train here and now with the controls' settings, some of them changed; return the run, kept or new.

        What the training raises is raised here, too; the run then counts as failed, and may be run again. Raises
        ``ValueError`` for a change that the method does not have, ``RuntimeError`` while another training goes on.
        """
        method = changes.get("method", self.controls["method"].value)
        config = configure(method, self.profile)
        known = [name for name in self.controls if name in SHARED or name in type(config).model_fields]
        for name in changes:
            one_of(f"TrainingExplorer.run, method {method!r}", "setting", name, known)
        within("TrainingExplorer.run", "epochs", changes.get("epochs", 1), 1, math.inf)
        own = {}
        if "method" in changes:  # its own defaults, not those of the method chosen before
            own = {name: getattr(config, name) for name in self._held(method)}
        params = self.params | own | changes
        before = self.kept(params)
        if before is not None and before.state not in ("cancelled", "failed", "running"):
            return before
        if self.runs and self.runs[-1].stop.is_set():
            self.wait()  # for the one that was cancelled: it ends with its batch
        if not _ONE_TRAINING.acquire(blocking=False):
            raise RuntimeError(f"TrainingExplorer.run: {BUSY}.")
        try:
            return self._here(Run(self.settings(params)))
        finally:
            _ONE_TRAINING.release()

    def _here(self, run: Run) -> Run:
        self.runs.append(run)
        try:
            self._train(run, live=False)
        except KeyboardInterrupt:  # the kernel was interrupted
            run.state = "cancelled"
            self.refresh()
            raise
        except Exception as error:
            self._failed(run, error)
            raise
        self.refresh()
        return run

    def _work(self, run: Run) -> None:
        failed = None
        try:
            self._train(run, live=True)
        except Exception as error:  # a thread's traceback would end in a log
            failed = error
        finally:  # before the words that say so: who reads them may press Run
            _ONE_TRAINING.release()
            self.run_button.disabled, self.cancel_button.disabled = False, True
        if failed is None:
            self.refresh()
        else:
            self._failed(run, failed)

    def _failed(self, run: Run, error: Exception) -> None:
        run.state, run.error = "failed", f"{type(error).__name__}: {error}"
        self.refresh()
        self._say(f"<b>Not trained:</b> {html.escape(run.error)}")

    def _train(self, run: Run, live: bool) -> None:
        started = drawn = time.monotonic()
        hyper = {k: v for k, v in run.settings.items() if k not in SHARED}

        def ask(*_: Any) -> None:
            if run.stop.is_set():
                raise _Cancelled

        def row_done(row: dict[str, Any]) -> None:
            nonlocal drawn
            run.rows.append(row)
            run.seconds = time.monotonic() - started
            if live and time.monotonic() - drawn > REDRAW:
                self.refresh()
                drawn = time.monotonic()

        model = create(run.settings["method"], self.split, profile=self.profile, seed=run.settings["seed"], **hyper)
        model.register_forward_pre_hook(ask)  # the loop calls the model once a batch
        if live:
            self.refresh()
        try:
            history = fit(model, self.split, epochs=run.settings["epochs"], progress=False, callback=row_done)
            run.state = next(reversed(history.stopped.values()), "nothing to train")
        except _Cancelled:
            run.state = "cancelled"
        run.seconds = time.monotonic() - started

    # What is drawn -------------------------------------------------------------------------------------------------

    def element(self, params: dict[str, Any]) -> tuple[str, str, bool]:
        """Draw anew each time: runs grow."""
        with self._lock:
            self._kept.clear()
        return super().element(params)

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the curves of the settings' run, of the others as ghosts."""
        run = self.kept(params)
        ghosts = [other.frame for other in self.runs if other is not run and other.rows]
        if run is None:
            return run_curves(pd.DataFrame(), ghosts, Run(self.settings(params)).words())
        return run_curves(run.frame, ghosts, run.words(), run.state)

    def describe(self, params: dict[str, Any]) -> str:
        """Say where the settings' run stands, and how many others are drawn behind it."""
        run = self.kept(params)
        others = sum(other is not run and bool(other.rows) for other in self.runs)
        behind = f" {others} other run{'s' * (others != 1)} behind it." if others else ""
        if run is None:
            return f"{Run(self.settings(params)).words()}: not run yet, press Run.{behind}"
        best = ""
        if found := run.best:
            best = f", best validation {found.metric} {found.value:.4f} after epoch {found.row}"
        return f"{run.words()}: {run.ended}, {len(run.rows)} epochs in {run.seconds:.1f} s{best}.{behind}"

    def frame(self) -> pd.DataFrame:
        """Return a table of all runs: settings, epochs trained, best validation figure, seconds, how each ended.

        `metric` names the figure: one of recall@10 is not to be compared with one of recall@20.
        """
        rows = []
        for run in self.runs:
            settings = {"most epochs" if k == "epochs" else k: _word(v) for k, v in run.settings.items()}
            value, _, metric = run.best or (float("nan"), 0, "")
            ended = {"best validation": value, "metric": metric, "seconds": round(run.seconds, 1), "ended": run.state}
            rows.append({**settings, "epochs": len(run.rows), **ended})
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="run"))

    def shown(self, params: dict[str, Any]) -> None:
        """Write the table below the picture."""
        if self.runs:
            frame = self.frame().reset_index().rename(columns={"lam": "λ", "beta": "β"})
            known, metrics = frame["best validation"], frame.pop("metric")
            frame["best validation"] = [f"{m} {v:.4g}" if m else "" for v, m in zip(known, metrics, strict=True)]
            look = {"index": False, "border": 0, "justify": "left", "col_space": 56}
            table = frame.to_html(na_rep="", float_format="{:.4g}".format, **look)
            # A data frame shown in any cell moves the headings of this class to the right, on the whole page.
            self.table.value = table.replace(' class="dataframe"', "")

    def static(self) -> Figure:
        """Draw the last run before the earlier ones, for a page without a kernel; `run` some first."""
        if not self.runs:
            raise ValueError("TrainingExplorer.static: nothing has been run; call run() first.")
        *ghosts, last = self.runs
        return run_curves(last.frame, [ghost.frame for ghost in ghosts], last.words(), last.state)
