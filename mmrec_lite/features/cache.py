"""Vectors on disk, found again by what was encoded and by what model: a second run encodes only what is new."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["VectorCache", "content_key", "folder_fingerprint", "model_fingerprint"]

_KEY = 32  # hexadecimal digits of a SHA-256 that are kept: 128 bits


class VectorCache:
    """Vectors by content, in one folder for each model: ``folder/<model's fingerprint>/NNNNNN-<random>.npy``.

    A shard is one npy file of (key, vector) records, written beside and then renamed: a run that is killed loses the
    shard it was working on and nothing else. Two processes may fill one folder, each with shards of its own. Only
    keys are held in memory.
    ValueError where a shard is damaged or its vectors have another width.
    """

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.folder = Path(folder) / fingerprint[:_KEY]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[Path] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self.width: int | None = None
        for path in sorted(self.folder.glob("[0-9]*.npy")):
            self._register(path)

    def __len__(self) -> int:
        """The number of different contents whose vector is stored."""
        return len(self._place)

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._place

    def add(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Store (n, d) vectors under their keys as one more shard."""
        if len(keys) != len(vectors):
            raise ValueError(f"{len(keys)} keys but {len(vectors)} vectors.")
        if not len(keys):
            return
        self._check_width(vectors.shape[1], f"{len(keys)} vectors to add")  # before they are written, not after it
        records = np.empty(len(keys), dtype=[("key", f"S{_KEY}"), ("vector", "<f4", (vectors.shape[1],))])
        records["key"] = [key.encode() for key in keys]
        records["vector"] = vectors
        # A name of its own: of two processes that take the next free number at once, one would lose its shard, and read
        # the other's vectors under its own keys.
        path = self.folder / f"{len(self._shards):06d}-{uuid.uuid4().hex[:12]}.npy"
        partial = self.folder / f".{path.stem}.partial"
        with partial.open("wb") as file:
            np.save(file, records, allow_pickle=False)
        partial.replace(path)
        self._register(path)

    def get(self, keys: Sequence[str]) -> np.ndarray:
        """The vectors (n, d) float32 of keys that are all stored; KeyError otherwise."""
        places = np.array([self._place[key.encode()] for key in keys], dtype=np.int64).reshape(-1, 2)
        out = np.empty((len(keys), self.width or 0), dtype=np.float32)
        for shard in np.unique(places[:, 0]):
            rows = np.flatnonzero(places[:, 0] == shard)
            out[rows] = self._open(self._shards[shard])["vector"][places[rows, 1]]
        return out

    def _register(self, path: Path) -> None:
        records = self._open(path)
        self.width = self._check_width(records.dtype["vector"].shape[0], str(path))
        number = len(self._shards)
        self._shards.append(path)
        for row, key in enumerate(records["key"].tolist()):
            self._place.setdefault(key, (number, row))

    def _check_width(self, width: int, what: str) -> int:
        if self.width not in (None, width):
            raise ValueError(f"{what}: width {width} among others of width {self.width}; delete {self.folder}.")
        return width

    @staticmethod
    def _open(path: Path) -> np.ndarray:
        try:
            records = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{path}: not a shard of vectors ({error}); delete this file, it is made again.") from None
        if records.dtype.names != ("key", "vector"):
            raise ValueError(f"{path}: not a shard of vectors; delete this file, it is made again.")
        return records


def content_key(content: str | bytes) -> str:
    """What a text or the bytes of a picture are stored under: 32 digits of its SHA-256."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:_KEY]


def folder_fingerprint(folder: str | Path) -> str:
    """SHA-256 over the names and bytes of a model's files, whatever folder they lie in."""
    folder = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(folder).as_posix()}|".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def model_fingerprint(weights: Iterable[tuple[str, Any]], *settings: object) -> str:
    """SHA-256 over a model's named tensors and whatever else decides its vectors (preprocessing, pooling)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}|{tuple(values.shape)}|{values.dtype}|".encode())
        digest.update(values.reshape(-1).view(_bytes()).numpy().tobytes() if values.numel() else b"")
    for setting in settings:
        digest.update(repr(setting).encode())
    return digest.hexdigest()


def _bytes() -> Any:
    import torch

    return torch.uint8
