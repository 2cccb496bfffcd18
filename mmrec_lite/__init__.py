"""mmrec_lite: multimodal recommendation to learn, teach and analyse with.

>>> import mmrec_lite as mm
>>> shop = mm.load("bazaar")
>>> split = mm.split(shop, "ratio", seed=0)
>>> model = mm.create("micro", split, profile="lecture", seed=0)
>>> history = mm.fit(model, split)                              # doctest: +SKIP
>>> mm.evaluate(model, split).metrics["recall@20"]              # doctest: +SKIP
"""

import importlib

from mmrec_lite import _threads, graphs, losses, methods, metrics  # _threads before all that loads PyTorch
from mmrec_lite.checking import check_method
from mmrec_lite.comparison import compare
from mmrec_lite.data import DataError, IndexedVectors, MultimodalDataset, load, split
from mmrec_lite.evaluation import Report, evaluate, recommend
from mmrec_lite.experiments import Result, ablate, run, sweep
from mmrec_lite.methods import (
    Hyperparameters,
    Method,
    PairwiseHyperparameters,
    Stage,
    VectorMethod,
    create,
    register,
    settings,
)
from mmrec_lite.training import History, fit

del _threads

__version__ = "0.1.0"

_PARTS = ("explorers", "features", "maps", "plots", "probes", "similarity")  # read when they are asked for


def __getattr__(name: str) -> object:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DataError",
    "History",
    "Hyperparameters",
    "IndexedVectors",
    "Method",
    "MultimodalDataset",
    "PairwiseHyperparameters",
    "Report",
    "Result",
    "Stage",
    "VectorMethod",
    "ablate",
    "check_method",
    "compare",
    "create",
    "evaluate",
    "fit",
    "graphs",
    "load",
    "losses",
    "methods",
    "metrics",
    "recommend",
    "register",
    "run",
    "settings",
    "split",
    "sweep",
]
