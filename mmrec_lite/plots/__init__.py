"""Figures in one style; every function returns a matplotlib ``Figure``, `show` puts it into a notebook.

>>> from mmrec_lite import plots
>>> figure = plots.matrix([[1.0, 0.2], [0.2, 1.0]], rows=["mug", "hat"], columns=["mug", "hat"])
>>> plots.show(figure, alt="The cosine of mug and hat is 0.2.")
<IPython.core.display.HTML object>
"""

from mmrec_lite.plots.charts import draw_matrix, matrix, method_points, popularity_curve, training_curves
from mmrec_lite.plots.data import history_panel, split_timeline
from mmrec_lite.plots.items import NeighbourRow, item_pictures, item_title, neighbour_panel, shelf
from mmrec_lite.plots.live import LiveCurves
from mmrec_lite.plots.maps import MapPanel, map_sheet, point_places
from mmrec_lite.plots.recommendations import Shelf, recommendation_panel
from mmrec_lite.plots.runs import run_curves
from mmrec_lite.plots.similarity import cosine_histograms
from mmrec_lite.plots.studies import (
    claim_verdicts,
    cost_and_quality,
    loss_against_loss,
    sensitivity,
    study_beside_paper,
)
from mmrec_lite.plots.style import COLOURS, MARKERS, img, new_figure, png, save_figure, show, style_axes

__all__ = [
    "COLOURS",
    "MARKERS",
    "LiveCurves",
    "MapPanel",
    "NeighbourRow",
    "Shelf",
    "claim_verdicts",
    "cosine_histograms",
    "cost_and_quality",
    "draw_matrix",
    "history_panel",
    "img",
    "item_pictures",
    "item_title",
    "loss_against_loss",
    "map_sheet",
    "matrix",
    "method_points",
    "neighbour_panel",
    "new_figure",
    "png",
    "point_places",
    "popularity_curve",
    "recommendation_panel",
    "run_curves",
    "save_figure",
    "sensitivity",
    "shelf",
    "show",
    "split_timeline",
    "study_beside_paper",
    "style_axes",
    "training_curves",
]
