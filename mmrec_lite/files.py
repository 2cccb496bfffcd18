"""Files that are there whole or not at all: written beside, then renamed."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

__all__ = ["beside", "refuse_closed", "write_tensors"]


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
    """Write tensors to one safetensors file, with `note` as JSON in its header.

    Raises ``OSError`` where the disk is full or closed; the former file is then left as it was.
    """
    file = Path(file)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with beside(file) as partial, partial.open("wb") as stream:
        # Not save_file: its error for a full disk is no OSError and does not name the file.
        stream.write(save(plain, metadata={"mmrec_lite": json.dumps(note)}))
        stream.flush()
        os.fsync(stream.fileno())
    return file


def refuse_closed(folder: str | Path) -> None:
    """Make the folder and write into it once, so that a closed or full one is named before the work, not after it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        stream.write(b"\0")
