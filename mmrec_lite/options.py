"""A setting that is one of a few words: an unknown word is refused, never taken for one of them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["check_option"]


def check_option(where: str, name: str, value: object, options: Sequence[str]) -> None:
    """Raise ``ValueError`` with the list of options, two or more, unless the value is one of them."""
    if value not in options:
        *others, last = map(repr, options)
        raise ValueError(f"{where}: {name} = {value!r} is unknown; choose {', '.join(others)} or {last}.")
