"""What is shown: words of others' data, none of which may steer a terminal or break a line, and values as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

__all__ = ["json_line", "printable"]


def printable(text: str) -> str:
    """Return `text` with a space for each character that cannot be printed, such as a line break."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def json_line(content: Any) -> str:
    """Return `content` as JSON in one line: NumPy's numbers as Python's, paths as strings, NaN and infinity as null."""
    return json.dumps(_plain(content), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
