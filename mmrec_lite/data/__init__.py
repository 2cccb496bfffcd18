"""Data: what is passed around, how it is split, and where it is read from."""

from .dataset import DataError, IndexedVectors, MultimodalDataset
from .loading import load

__all__ = ["DataError", "IndexedVectors", "MultimodalDataset", "load"]
