"""The one exception of the data layer, and the sentence it is made of."""

from __future__ import annotations

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # an OSError's number: trying again does not help


class DataError(ValueError):
    """Input that cannot be used; the message names table, row and remedy."""


def first(items, limit: int = 3) -> str:
    """Show at most `limit` of `items`, and say how many there are beyond them."""
    items = list(items)
    shown = ", ".join(repr(item) if isinstance(item, str) else str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def listing(names) -> str:
    """The names there are, for a message that refuses another one."""
    return ", ".join(map(str, names)) or "none"
