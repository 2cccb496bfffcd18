"""Score as if a modality were missing: what a trained method owes to it at the moment of recommending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from mmrec_lite.methods.base import Method

__all__ = ["modalities_off", "switchable"]

# A method's buffers by modality, and what they hold for an item that lacks it.
MISSING = {"present_": False, "index_": -1, "unit_": 0}


def _buffers(model: Method, name: str) -> dict[Tensor, float]:
    held = dict(model.named_buffers())
    return {held[prefix + name]: value for prefix, value in MISSING.items() if prefix + name in held}


def switchable(model: Method) -> tuple[str, ...]:
    """Return the modalities that a method reads when it scores; none for one that has them in its vectors already."""
    return tuple(name for name in getattr(model, "modalities", ()) if _buffers(model, name))


@contextmanager
def modalities_off(model: Method, names: Sequence[str]) -> Iterator[Method]:
    """Let every item lack some modalities, for the time of a `with` block; nothing is trained anew.

    Differs from training without a modality: the weights learned with it, item IDs among them, stay. Names the model
    does not read change nothing. Raises ``ValueError`` if nothing would be left of what it reads.
    """
    chosen = [name for name in switchable(model) if name in names]
    if chosen and len(chosen) == len(switchable(model)):
        raise ValueError(f"{model.name} reads {' and '.join(chosen)} alone; leave one of them on.")
    model.eval()
    saved = [(held, held.clone(), value) for name in chosen for held, value in _buffers(model, name).items()]
    try:
        for held, _, value in saved:
            held.fill_(value)
        model.forget()
        yield model
    finally:
        for held, before, _ in saved:
            held.copy_(before)
        model.forget()
