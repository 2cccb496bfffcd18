"""What a checkpoint is: one safetensors file, tensors by name and the rest as JSON in its header."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmrec_lite.files import DamagedFile, read_tensors
from mmrec_lite.methods.base import Method
from mmrec_lite.methods.code import code_of

__all__ = ["CHECKPOINT_VERSION", "CheckpointError", "check_stages", "identity_of", "named", "read_checkpoint"]

CHECKPOINT_VERSION = 3


class CheckpointError(ValueError):
    """A checkpoint that is damaged or belongs to another model, split or version."""


def identity_of(model: Method, candidates: str | int) -> dict[str, Any]:
    """Return what must agree between a checkpoint and the training that goes on with it."""
    from mmrec_lite import __version__  # not there yet when this file is imported

    code = code_of(type(model))
    return {
        "version of mmrec_lite": __version__,
        "method": model.name,
        "config": model.config.model_dump(mode="json"),
        "seed": model.seed,
        "split": model.split_hash,
        "choice of candidates": candidates,
        "pre-trained part": model.pretrained_from,
    } | ({"code": code} if code else {})


def check_stages(file: Path, names: Sequence[str], chosen: Sequence[int], at: int, trained: Container[str]) -> None:
    """Raise ``CheckpointError`` where a checkpoint does not lead to the stages to train.

    `names` are all stages, in order; `chosen` are the places of those to train. The checkpoint stands in place `at` and
    has been through the stages `trained`.
    """
    if max(chosen, default=at) < at:
        raise CheckpointError(
            f"{file} is past the stages to train ({', '.join(names[place] for place in chosen)}): it holds "
            f"{names[at]!r}. Name that stage too, or another checkpoint folder."
        )
    left_out = [names[place] for place in chosen if place < at and names[place] not in trained]
    if left_out:
        raise CheckpointError(
            f"{file} holds {names[at]!r}, trained without {left_out[0]!r} before it, which is to be trained here. Name "
            f"the same stages as then, or another checkpoint folder."
        )


def named(saved: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint whose names begin with a prefix ("model", "best", "optimizer"), without it."""
    prefix += "/"
    return {name.removeprefix(prefix): t for name, t in saved["tensors"].items() if name.startswith(prefix)}


def read_checkpoint(file: Path, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint whole, or say why it cannot be used."""
    try:
        header, tensors = read_tensors(file)
    except DamagedFile as error:
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
