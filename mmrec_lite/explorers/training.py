"""Train a method by a button: live curves of its named terms, earlier runs behind, a table of all, and a way out."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pandas as pd

from mmrec_lite.data import Split
from mmrec_lite.explorers.base import BUTTONS, LABEL, SLIDER, Explorer
from mmrec_lite.methods import configure, create, method_class
from mmrec_lite.plots.runs import run_curves
from mmrec_lite.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Run", "TrainingExplorer"]

SHARED = ("method", "epochs", "seed")
REDRAW = 0.7  # seconds between two live pictures: drawing must not slow the training much


class _Cancelled(Exception):
    """Raised in the training's thread before the next batch."""


@dataclass
class Run:
    """One training: its settings, the rows of its history so far, and where it stands."""

    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    state: str = "running"
    seconds: float = 0.0

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)

    @property
    def best(self) -> tuple[float, int] | None:
        """The best validation figure and the row, counted from 1, that had it."""
        name = next((n for row in self.rows for n in row if n.startswith("valid ")), None)
        if name is None:
            return None
        known = self.frame[name].dropna()
        return float(known.max()), int(known.idxmax()) + 1

    def words(self) -> str:
        """Name the settings in one line."""
        names = {"lam": "λ", "beta": "β", "epochs": "at most"}
        pairs = [(names.get(k, k), "+".join(v) if isinstance(v, tuple) else v, k) for k, v in self.settings.items()]
        return ", ".join(f"{v}" if k == "method" else f"{n} {v}{' epochs' * (k == 'epochs')}" for n, v, k in pairs)


class TrainingExplorer(Explorer):
    """Choose a method and its settings, press Run, watch, press Cancel.

    Trains on `split` in a thread of its own, so that sliders and Cancel go on working; Cancel stops before the next
    batch. A run is kept by its settings: asked for again, it is shown and not trained. The test part is never looked
    at. Torch's random state is shared: another training in a cell at the same time would disturb either.
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
        self.split, self.profile = split, profile
        self.runs: list[Run] = []
        self._stop = threading.Event()
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
        number = {"style": LABEL, "layout": widgets.Layout(width="16em"), "continuous_update": False}
        scale = {"min": -4, "max": 0, "step": 0.25, "readout_format": ".2g"}
        return {
            "method": widgets.Dropdown(options=methods, description="method", style=LABEL),
            "lam": widgets.FloatSlider(0.7, min=0, max=1, step=0.05, description="λ, lam", **SLIDER),
            "k": widgets.IntSlider(10, min=1, max=50, description="k, neighbours", **SLIDER),
            "beta": widgets.FloatLogSlider(0.03, description="β, contrast", **scale, **SLIDER),
            "modalities": widgets.ToggleButtons(
                options={" + ".join(c): c for c in choices}, description="modalities", **BUTTONS
            ),
            "epochs": widgets.IntSlider(epochs, min=1, max=60, description="most epochs", **SLIDER),
            "seed": widgets.BoundedIntText(seed, min=0, max=99, description="seed", **number),
        }

    # What the controls mean ----------------------------------------------------------------------------------------

    def _adopt(self, method: str) -> None:
        """Enable the settings a method has and set them to the profile's; grey the others out."""
        config = configure(method, self.profile)
        self._setting = True
        for name, control in self.controls.items():
            if name not in SHARED:
                control.disabled = name not in type(config).model_fields
            if name in ("lam", "k", "beta") and not control.disabled:
                control.value = getattr(config, name)
        self._setting = False
        self.refresh()

    def _moved(self, change: Any) -> None:
        if self._setting:
            return
        if change["owner"] is self.controls["method"]:
            self._adopt(change["new"])
        else:
            self.refresh()

    def settings(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return what of the controls' values concerns their method, to hand to ``mm.create`` and ``mm.fit``."""
        known = method_class(params["method"]).Config.model_fields
        chosen = {name: value for name, value in params.items() if name in SHARED or name in known}
        if chosen.get("modalities") == self.split.dataset.modalities:
            del chosen["modalities"]  # all there are: the method's default, which may hold more (reviews, a graph)
        for name, value in chosen.items():
            chosen[name] = round(value, 6) if isinstance(value, float) else value
        return chosen

    def kept(self, params: dict[str, Any]) -> Run | None:
        """Return the latest run with these settings."""
        settings = self.settings(params)
        return next((run for run in reversed(self.runs) if run.settings == settings), None)

    # Run and Cancel ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the training of the controls' settings, unless it is kept or another one goes on."""
        if self._thread is not None and self._thread.is_alive():
            return
        before = self.kept(self.params)
        if before is not None and before.state not in ("cancelled", "failed"):
            self.refresh()
            return
        run = Run(self.settings(self.params))
        self.runs.append(run)
        self._stop.clear()
        self.run_button.disabled, self.cancel_button.disabled = True, False
        self._thread = threading.Thread(target=self._work, args=(run,), daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop the training before its next batch."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the training to end; return whether it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def run(self, **changes: Any) -> Run:
        """Train here and now with the controls' settings, some of them changed; return the run, kept or new.

        What the training raises is raised here, too; the run then counts as failed, and may be run again.
        """
        params = self.params | changes
        if "method" in changes:  # its own defaults, not those of the method chosen before
            config = configure(changes["method"], self.profile)
            own = {n: getattr(config, n) for n in ("lam", "k", "beta") if hasattr(config, n)}
            params = self.params | own | changes
        before = self.kept(params)
        if before is not None and before.state not in ("cancelled", "failed", "running"):
            return before
        self.runs.append(run := Run(self.settings(params)))
        self._stop.clear()
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
        try:
            self._train(run, live=True)
        except Exception as error:  # a thread's traceback would end in a log
            self._failed(run, error)
        else:
            self.refresh()
        finally:
            self.run_button.disabled, self.cancel_button.disabled = False, True

    def _failed(self, run: Run, error: Exception) -> None:
        run.state = "failed"
        self.refresh()
        self._say(f"<b>Not trained:</b> {html.escape(f'{type(error).__name__}: {error}')}")

    def _train(self, run: Run, live: bool) -> None:
        started = drawn = time.monotonic()
        hyper = {k: v for k, v in run.settings.items() if k not in SHARED}

        def ask(*_: Any) -> None:
            if self._stop.is_set():
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

    def element(self, params: dict[str, Any]) -> tuple[str, bool]:
        """Draw anew each time: runs grow."""
        with self._lock:
            self._kept.clear()
        return super().element(params)

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw the curves of the settings' run, of the others as ghosts."""
        run = self.kept(params)
        ghosts = [other.frame for other in self.runs if other is not run and other.rows]
        words = run.words() if run else Run(self.settings(params)).words()
        return run_curves(run.frame if run else pd.DataFrame(), ghosts, words)

    def describe(self, params: dict[str, Any]) -> str:
        """Say where the settings' run stands, and how many others are drawn behind it."""
        run = self.kept(params)
        others = sum(other is not run and bool(other.rows) for other in self.runs)
        behind = f" {others} other run{'s' * (others != 1)} behind it."
        if run is None:
            return f"{Run(self.settings(params)).words()}: not run yet, press Run.{behind if others else ''}"
        best = f", best validation {run.best[0]:.4f} after {run.best[1]}" if run.best else ""
        return f"{run.words()}: {run.state}, {len(run.rows)} epochs in {run.seconds:.1f} s{best}.{behind}"

    def frame(self) -> pd.DataFrame:
        """Return a table of all runs: settings, epochs, best validation figure, seconds, how each ended."""
        rows = [
            {**run.settings, "epochs": len(run.rows), "best validation": run.best[0] if run.best else float("nan"),
             "seconds": round(run.seconds, 1), "ended": run.state}
            for run in self.runs
        ]  # fmt: skip
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="run"))

    def shown(self, params: dict[str, Any]) -> None:
        """Write the table below the picture."""
        if self.runs:
            frame = self.frame().reset_index().rename(columns={"lam": "λ", "beta": "β"})
            look = {"index": False, "border": 0, "justify": "left", "col_space": 56}
            table = frame.to_html(na_rep="", float_format="{:.4g}".format, **look)
            # A data frame shown in any cell moves the headings of this class to the right, on the whole page.
            self.table.value = table.replace(' class="dataframe"', "")

    def static(self) -> Figure:
        """Draw the last run before the earlier ones, for a page without a kernel; `run` some first."""
        if not self.runs:
            raise ValueError("TrainingExplorer.static: nothing has been run; call run() first.")
        *ghosts, last = self.runs
        return run_curves(last.frame, [ghost.frame for ghost in ghosts], last.words())
