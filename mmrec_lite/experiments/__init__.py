"""Runs, sweeps, ablations and their tables.

`runs` is one training and its row on disk, `sweeps` many of them side by side, `tables` what one says about them,
`lessons` the same over notebooks, `published` what the papers printed.
"""

from mmrec_lite.experiments.lessons import record, sweep_lesson
from mmrec_lite.experiments.published import order_agreement, published
from mmrec_lite.experiments.runs import Result, collect, peak_memory, run, run_id
from mmrec_lite.experiments.sweeps import ablate, run_cells, sweep
from mmrec_lite.experiments.tables import export, mean_and_sd, printed, summarise, versus

__all__ = [
    "Result",
    "ablate",
    "collect",
    "export",
    "mean_and_sd",
    "order_agreement",
    "peak_memory",
    "printed",
    "published",
    "record",
    "run",
    "run_cells",
    "run_id",
    "summarise",
    "sweep",
    "sweep_lesson",
    "versus",
]
