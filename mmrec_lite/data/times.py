"""Time stamps: whole seconds since 1970, or mere positions where the data know an order but no dates."""

from __future__ import annotations

import numpy as np
import pandas as pd

# Below this many seconds (March 1973) a column of "times" only counts 0, 1, 2, ...: an order, not dates.
EARLIEST_DATE = 100_000_000
# 1 January 2100: what a public log calls later was counted in another unit, or is damaged.
LATEST_DATE = 4_102_444_800


def describe_time(seconds: pd.Series) -> str:
    """First and last day, or "order only" where the numbers are too small to be dates."""
    low, high = int(seconds.min()), int(seconds.max())
    if high < EARLIEST_DATE:
        return "order only, no dates"
    begin, end = np.array([low, high], dtype="datetime64[s]").astype("datetime64[D]").astype(str)  # pandas ends in 2262
    return f"{begin} to {end}"
