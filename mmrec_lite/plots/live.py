"""Training curves that grow while a method trains."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd

from mmrec_lite.plots.charts import NOT_A_TERM, training_curves
from mmrec_lite.plots.style import img, png

__all__ = ["LiveCurves"]


class LiveCurves:
    """A callback for ``mm.fit`` that draws named terms and validation metric below the cell while it trains.

        with plots.LiveCurves() as live:
            mm.fit(model, split, callback=live, progress=False)

    It draws at most once in `every` seconds and once at the end, so that drawing never slows the training much. The
    alternative text says where the training stands.
    """

    def __init__(self, every: float = 1.0):
        self.every = every
        self.rows: list[dict[str, Any]] = []
        self._drawn = 0.0
        self._handle = None

    def __enter__(self) -> LiveCurves:
        self.rows, self._handle = [], None
        return self

    def __exit__(self, *_: object) -> None:
        if self.rows:
            self.draw()

    def __call__(self, row: dict[str, Any]) -> None:
        """Take an epoch's row of the history; one that does not go on where the last one ended begins another."""
        last = self.rows[-1] if self.rows else row
        if last.get("stage") == row.get("stage") and row.get("epoch", 0) <= last.get("epoch", -1):
            self.rows, self._handle = [], None
        self.rows.append(row)
        if time.monotonic() - self._drawn >= self.every:
            self.draw()

    def alt(self) -> str:
        """Say in words where the curves of each stage begin and end."""
        stages: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            stages.setdefault(row.get("stage", ""), []).append(row)
        words = [
            f"{f'{stage}, {len(rows)} epochs, ' if len(stages) > 1 else ''}{_moves(rows[0], rows[-1])}"
            for stage, rows in stages.items()
        ]
        return f"Training curves over {len(self.rows)} epochs: {'; '.join(words)}."

    def draw(self) -> None:
        """Show the curves of the epochs so far, in the place of the former picture."""
        from IPython.display import HTML, display

        picture = HTML(img(png(training_curves(pd.DataFrame(self.rows))), self.alt()))
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._drawn = time.monotonic()


def _moves(first: dict[str, Any], last: dict[str, Any]) -> str:
    names = [n for n in last if n not in NOT_A_TERM and n in first]
    return ", ".join(f"{name} from {first[name]:.4f} to {last[name]:.4f}" for name in names)
