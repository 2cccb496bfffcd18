"""Files that are there whole or not at all: written beside, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = ["DamagedFile", "apart", "beside", "read_tensors", "refuse_closed", "write_tensors"]


class DamagedFile(ValueError):
    """A file of tensors that is not what was written; says why, without the file's name."""


@contextmanager
def beside(file: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `file` when the block ends, and is removed when the block fails.

    The path lies in the same folder (made if missing), since only there a rename is one step. Two processes never
    share it.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def write_tensors(file: str | Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> Path:
    """Write tensors to one safetensors file, with `note` as JSON in its header and a checksum over both.

    Raises ``OSError`` where the disk is full or closed; the former file is then left as it was.
    """
    file = Path(file)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with beside(file) as partial, partial.open("wb") as stream:
        # Not save_file: its error for a full disk is no OSError and does not name the file.
        words = json.dumps(note)
        stream.write(save(plain, metadata={"mmrec_lite": words, "sha256": _checksum(plain, words)}))
        stream.flush()
        os.fsync(stream.fileno())
    return file


def read_tensors(file: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the note and the tensors of a file of `write_tensors`; ``DamagedFile`` if one bit of them is another."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        words, checksum = metadata["mmrec_lite"], metadata["sha256"]
    except KeyError as error:
        raise DamagedFile(f"no {error} in it: another program or an older version wrote it") from None
    except (SafetensorError, OSError) as error:
        raise DamagedFile(str(error)) from None
    if checksum != _checksum(tensors, words):
        raise DamagedFile("its checksum is another")
    return json.loads(words), tensors


def _checksum(tensors: Mapping[str, Tensor], note: str) -> str:
    digest = hashlib.sha256(note.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def refuse_closed(folder: str | Path) -> None:
    """Make the folder and write into it once, so that a closed or full one is named before the work, not after it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"\0")


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, all but one of those that share memory copied: a safetensors file holds none twice."""
    out, seen = {}, set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided and tensor.numel() else None
        out[name] = tensor.clone() if place in seen else tensor
        seen |= {place} - {None}
    return out
