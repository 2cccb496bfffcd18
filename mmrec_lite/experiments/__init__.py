"""Runs, sweeps, ablations and their tables.

`runs` is one training and its row on disk, `sweeps` many of them side by side, `tables` what one says about them,
`lessons` the same over notebooks; `published` is what the papers printed, `studies` their tables and figures as cells,
`studying` runs those and judges the papers' claims; `peers` are methods of other libraries on the same splits.
"""

from mmrec_lite.experiments.curves import (
    at_the_same_training_loss,
    convergence,
    loss_curves,
    measured_curves,
    pretraining_curves,
)
from mmrec_lite.experiments.lessons import record, sweep_lesson
from mmrec_lite.experiments.peers import PEERS, PeerError, beside_study, run_peer, run_peers
from mmrec_lite.experiments.published import order_agreement, published
from mmrec_lite.experiments.runs import Result, collect, peak_memory, run, run_id
from mmrec_lite.experiments.studies import PLUGGED, STUDIES, Study, everything, studies
from mmrec_lite.experiments.studying import beside, judge, measured, noise, run_studies, run_study, tuning
from mmrec_lite.experiments.sweeps import ablate, run_cells, sweep
from mmrec_lite.experiments.tables import export, mean_and_sd, printed, summarise, versus

__all__ = [
    "PEERS",
    "PLUGGED",
    "STUDIES",
    "PeerError",
    "Result",
    "Study",
    "ablate",
    "at_the_same_training_loss",
    "beside",
    "beside_study",
    "collect",
    "convergence",
    "everything",
    "export",
    "judge",
    "loss_curves",
    "mean_and_sd",
    "measured",
    "measured_curves",
    "noise",
    "order_agreement",
    "peak_memory",
    "pretraining_curves",
    "printed",
    "published",
    "record",
    "run",
    "run_cells",
    "run_id",
    "run_peer",
    "run_peers",
    "run_studies",
    "run_study",
    "studies",
    "summarise",
    "sweep",
    "sweep_lesson",
    "tuning",
    "versus",
]
