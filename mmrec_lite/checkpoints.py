"""What a checkpoint is: one safetensors file, tensors by name and the rest as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmrec_lite.methods.base import Method
from mmrec_lite.methods.code import code_of

__all__ = ["CHECKPOINT_VERSION", "CheckpointError", "identity_of", "named", "read_checkpoint"]

CHECKPOINT_VERSION = 2


class CheckpointError(ValueError):
    """A checkpoint that is damaged or belongs to another model, split or version."""


def identity_of(model: Method, candidates: str) -> dict[str, Any]:
    """Return what must agree between a checkpoint and the training that goes on with it."""
    code = code_of(type(model))
    return {
        "method": model.name,
        "config": model.config.model_dump(mode="json"),
        "seed": model.seed,
        "split": model.split_hash,
        "choice of candidates": candidates,
    } | ({"code": code} if code else {})


def named(saved: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint whose names begin with a prefix ("model", "best", "optimizer"), without it."""
    prefix += "/"
    return {name.removeprefix(prefix): t for name, t in saved["tensors"].items() if name.startswith(prefix)}


def read_checkpoint(file: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint whole, or say why it cannot be used."""
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})["mmrec_lite"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(
            f"{file} is not a whole checkpoint ({error}); delete it to start anew, or restore a copy."
        ) from None
    if header.get("version") != CHECKPOINT_VERSION:
        raise CheckpointError(
            f"{file} has checkpoint version {header.get('version')}, this program reads {CHECKPOINT_VERSION}; "
            f"finish it with the program that wrote it, or delete it."
        )
    for key, mine in identity.items():
        theirs = header.get(key)
        if theirs == mine:
            continue
        if key == "config":
            differing = sorted(k for k in theirs.keys() | mine.keys() if theirs.get(k) != mine.get(k))
            theirs, mine = ({k: c.get(k) for k in differing} for c in (theirs, mine))
        raise CheckpointError(
            f"{file} was written with another {key} ({theirs}, here {mine}); name another checkpoint folder, or "
            f"delete it to start anew."
        )
    return {"tensors": tensors, "progress": header["progress"]}
