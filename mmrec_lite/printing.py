"""Words of others' data where they are shown: none of them may steer a terminal or break a line."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """Return `text` with a space for each character that cannot be printed, such as a line break."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
