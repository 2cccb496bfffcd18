"""What the papers printed, as one table, and how far an order measured here agrees with theirs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np
import pandas as pd

__all__ = ["order_agreement", "published"]

_MOST_ORDERS = 50_000


def published(paper: str | None = None, table: str | None = None, **where: str) -> pd.DataFrame:
    """Return the papers' printed values, one row a value: paper, table, dataset, row, metric, value, line.

    `line` is the line of the paper's text that holds the value (`source` names the text). Filter by `paper`
    ("MICRO", "PAMD", "MCPTR", "MP4SR"), `table` ("Table 5") and the other columns. Percentages carry "%" in `metric`
    or `row`. Raises ``ValueError`` for a column that there is not, or if nothing is left.

    >>> published("MICRO", "Table 5", dataset="Clothing", metric="recall@20", row="CF (MF)")["value"].tolist()
    [0.0191]
    """
    file = resources.files("mmrec_lite.experiments") / "published.csv"
    with file.open(encoding="utf-8") as opened:
        rows = pd.read_csv(opened, dtype={"row": str, "table": str})
    for column in where.keys() - set(rows.columns):
        raise ValueError(f"published: there is no column {column!r} to choose by; there are {', '.join(rows.columns)}.")
    for column, value in {"paper": paper, "table": table, **where}.items():
        if value is not None:
            rows = rows[rows[column] == value]
    if rows.empty:
        raise ValueError(f"published: no printed value has paper={paper!r}, table={table!r}, {where}.")
    return rows.reset_index(drop=True)


def order_agreement(
    measured: Mapping[str, float] | pd.Series, printed: Mapping[str, float] | pd.Series, variants: int = 1
) -> dict[str, float]:
    """Compare two orders of the same things: Kendall's tau-b (1 same order, -1 reversed), its p, and n in common.

    Names that only one of them has are left out; with fewer than two in common tau is NaN. p takes every order of the
    names for equally likely by chance. That is too small a p where rows go together: with `variants` = 5, `measured`
    names five variants of a first method, the same five of a second, and so on, and p is the share of those orders that
    shuffle methods and variants as such of which tau is as far from 0.
    Raises ``ValueError`` where such groups are not whole, or have more than 50,000 orders.
    """
    from scipy import stats

    names = [name for name in measured.keys() if name in printed.keys() and pd.notna(measured[name])]  # noqa: SIM118 (Series, too)
    if len(names) < 2:
        return {"tau": float("nan"), "p": float("nan"), "n": len(names)}
    ours, theirs = ([float(values[name]) for name in names] for values in (measured, printed))
    test = stats.kendalltau(ours, theirs)
    p = test.pvalue if variants == 1 else _shuffled_in_groups(ours, theirs, variants)
    return {"tau": float(test.statistic), "p": float(p), "n": len(names)}


def _shuffled_in_groups(ours: Sequence[float], theirs: Sequence[float], variants: int) -> float:
    """Return the share of orders of whole methods, and of their variants, of which tau is as far from 0."""
    from scipy import stats

    methods, rest = divmod(len(ours), max(variants, 1))
    orders = math.factorial(methods) * math.factorial(max(variants, 1))
    if variants < 1 or rest or orders > _MOST_ORDERS:
        raise ValueError(
            f"order_agreement: {len(ours)} names in common with variants = {variants}: whole groups are needed, and at "
            f"most {_MOST_ORDERS:,} orders of groups and variants, not {orders:,}."
        )
    grid = np.reshape(ours, (methods, variants))
    taus = [
        stats.kendalltau(grid[list(rows)][:, list(columns)].ravel(), theirs).statistic
        for rows in itertools.permutations(range(methods))
        for columns in itertools.permutations(range(variants))
    ]
    return float(np.mean(np.abs(taus) >= abs(taus[0]) - 1e-9))  # the first order is the one that was measured
