"""Where encoders run: the device that Lightning Fabric would choose."""

from __future__ import annotations

from typing import Any


def choose_device(wanted: str | None = "auto") -> Any:
    """The torch.device for "auto", "cpu", "cuda", "mps" or one by number ("cuda:1").

    "auto" (or None) is the accelerator that Lightning Fabric finds, or else the CPU. ValueError where the one asked
    for is not there.
    """
    import torch
    from lightning_fabric import Fabric

    wanted = wanted or "auto"
    try:
        if ":" in wanted:
            return torch.zeros(0, device=wanted).device
        return Fabric(accelerator=wanted, devices=1).device
    except Exception as error:  # Fabric and torch raise several kinds for a device that is not there
        raise ValueError(f"device {wanted!r} cannot be used ({error}); 'auto' takes what there is.") from None
