"""Foresee what does not fit, and say so before the machine does."""

from __future__ import annotations

import os

import psutil

__all__ = ["available_memory", "require_memory"]

LIMIT = "MMREC_MEMORY"  # in MiB; for containers, whose limit the system's figures do not show


def available_memory() -> int:
    """Bytes this process may still take: what the system can give without swapping, or what `MMREC_MEMORY` leaves.

    `MMREC_MEMORY` (MiB) limits the whole process. Raises ``ValueError`` when it is no positive number.
    """
    free = psutil.virtual_memory().available
    limit = os.environ.get(LIMIT)
    if not limit:
        return free
    if not limit.isascii() or not limit.isdecimal() or int(limit) == 0:
        raise ValueError(f"{LIMIT}={limit!r}: give a whole number of MiB, or unset it.")
    return min(free, int(limit) * 2**20 - psutil.Process().memory_info().rss)


def require_memory(needed: int, what: str, remedy: str) -> None:
    """Raise ``MemoryError`` if `needed` bytes are more than there are, with what to change."""
    free = available_memory()
    if needed > free:
        raise MemoryError(
            f"{what} needs about {needed / 2**30:,.1f} GiB, but {max(free, 0) / 2**30:,.1f} GiB are free. {remedy}"
        )
