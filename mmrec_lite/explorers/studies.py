"""Every table and figure of the papers, as measured on the shop, beside what was printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pandas as pd

from mmrec_lite.experiments import STUDIES, judge, measured, published
from mmrec_lite.explorers.base import LABEL, Explorer
from mmrec_lite.plots.studies import study_beside_paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StudiesExplorer"]


class StudiesExplorer(Explorer):
    """Choose a table or figure: ours (all seeds) left, the paper's data sets right, the verdicts in words.

    `rows` are those of ``run_studies``; by default what was measured for the reproduction page. `study` is shown first.
    """

    title = "The papers' tables and figures, measured here and printed there"

    def __init__(self, rows: pd.DataFrame | None = None, study: str | None = None):
        self.rows = measured() if rows is None else rows
        names = [name for name in STUDIES if name in set(self.rows["study"])]
        if not names:
            raise ValueError("StudiesExplorer: the rows hold no study; run_studies gives such rows.")
        if study is not None and study not in names:
            raise ValueError(f"StudiesExplorer: the rows hold no study {study!r}, but {', '.join(names)}.")
        layout = widgets.Layout(width="30em")
        options = [(f"{name}: {STUDIES[name].title}", name) for name in names]
        super().__init__(
            {
                "study": widgets.Dropdown(
                    options=options, value=study or names[0], description="artefact", style=LABEL, layout=layout
                )
            }
        )

    def render(self, params: dict[str, Any]) -> Figure:
        """Draw ours beside the paper's."""
        study = STUDIES[params["study"]]
        printed = None
        if study.printed:
            printed = published(study.paper, study.artefact, metric=study.metric.removesuffix(" rare"))
        rows = self.rows[self.rows["study"] == study.name]
        return study_beside_paper(rows, printed, study.printed, f"{study.name}, measured")

    def describe(self, params: dict[str, Any]) -> str:
        """Say the claim, and each verdict."""
        study = STUDIES[params["study"]]
        table = judge(study, self.rows)
        said = "; ".join(
            f"{row.better} over {row.worse}: {row.verdict} ({row.difference:+.4f})" for row in table.itertuples()
        )
        return f"The paper: {study.says} Here: {said or 'no comparison'}."

    def static(self, study: str) -> Figure:
        """Draw one artefact, for a page without a kernel."""
        return self.render({"study": study})
