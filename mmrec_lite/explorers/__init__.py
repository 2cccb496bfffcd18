"""Explorers: a picture that follows sliders, for a lecture; each has a `static` twin for a page without a kernel.

Needs ipywidgets (`pip install 'mmrec_lite[notebooks]'`).
"""

from mmrec_lite.explorers.alignment import Alignment, AlignmentExplorer
from mmrec_lite.explorers.base import Explorer
from mmrec_lite.explorers.embedding_map import EmbeddingMapExplorer
from mmrec_lite.explorers.features import FeaturesExplorer
from mmrec_lite.explorers.loss import InfoNCE, LossExplorer
from mmrec_lite.explorers.neighbours import NearestTable, NeighboursExplorer
from mmrec_lite.explorers.order import OrderExplorer, OrderState
from mmrec_lite.explorers.recommendations import RecommendationsExplorer
from mmrec_lite.explorers.shop import ShopExplorer
from mmrec_lite.explorers.studies import StudiesExplorer
from mmrec_lite.explorers.training import TrainingExplorer

__all__ = [
    "Alignment",
    "AlignmentExplorer",
    "EmbeddingMapExplorer",
    "Explorer",
    "FeaturesExplorer",
    "InfoNCE",
    "LossExplorer",
    "NearestTable",
    "NeighboursExplorer",
    "OrderExplorer",
    "OrderState",
    "RecommendationsExplorer",
    "ShopExplorer",
    "StudiesExplorer",
    "TrainingExplorer",
]
