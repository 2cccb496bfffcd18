"""Readers: one file a source, each returns a checked `MultimodalDataset`."""

from .frames import read_frames

__all__ = ["read_frames"]
