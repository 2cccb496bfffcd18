"""Random numbers and sums that the same seed makes again: what belongs to the process is set for a while, and put back.

Whoever sets it holds `_threads.ALONE`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["epoch_seed", "own_random_numbers", "repeatable"]


@contextlib.contextmanager
def own_random_numbers(device: torch.device, seed: int) -> Iterator[torch.Generator]:
    """Draw from `seed` for a while: the generator yielded, and, for what a loss draws, PyTorch's, NumPy's and Python's.

    Only the generators that training draws from are set and put back: PyTorch's default would wake up every GPU.
    """
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng(devices=[]) if on_cpu else torch.random.fork_rng([device], device_type=device.type):
        (torch.default_generator.manual_seed if on_cpu else torch.manual_seed)(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU: add up in one order, so that the same seed and threads give the same bits.

    Else the gradient of `weight[index]`, large enough for several threads, is added up in whatever order they come.
    """
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False  # a help to find bugs that costs time
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled


def epoch_seed(seed: int, stage: int, epoch: int) -> int:
    """Derive an epoch's seed, so that a resumed run draws what an uninterrupted one would have drawn."""
    return (seed * 1_000_003 + stage * 10_007 + epoch) % 2**63
