"""The one exception of the data layer, and the sentence it is made of."""

from __future__ import annotations

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # an OSError's number: trying again does not help


class DataError(ValueError):
    """Input that cannot be used; the message names table, row and remedy."""


def expect(what: str, value: object, kind: type, remedy: str) -> None:
    """Raise `DataError` for a value of another type, as where a name stands in the place of a data set."""
    if not isinstance(value, kind):
        shown = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise DataError(f"{what}: {shown} is no {kind.__name__}; {remedy}.")


def first(items, limit: int = 3) -> str:
    """Show at most `limit` of `items`, and say how many there are beyond them."""
    items = list(items)
    shown = ", ".join(repr(item) if isinstance(item, str) else str(item) for item in items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def listing(names) -> str:
    """The names there are, for a message that refuses another one."""
    return ", ".join(map(str, names)) or "none"
