"""Data: what is passed around, how it is split, and where it is read from."""

from .dataset import DataError, IndexedVectors, MultimodalDataset
from .loading import load
from .protocols import PROTOCOLS, split
from .reviews import mean_reviews
from .splits import Split

__all__ = ["PROTOCOLS", "DataError", "IndexedVectors", "MultimodalDataset", "Split", "load", "mean_reviews", "split"]
