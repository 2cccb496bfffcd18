"""Data: what is passed around, how it is split, and where it is read from."""

from .dataset import DataError, IndexedVectors, MultimodalDataset
from .loading import load
from .splits import PROTOCOLS, Split, split

__all__ = ["PROTOCOLS", "DataError", "IndexedVectors", "MultimodalDataset", "Split", "load", "split"]
