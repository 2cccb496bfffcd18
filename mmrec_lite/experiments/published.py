"""What the papers printed, as one table, and how far an order measured here agrees with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

import pandas as pd

__all__ = ["order_agreement", "published"]


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
    measured: Mapping[str, float] | pd.Series, printed: Mapping[str, float] | pd.Series
) -> dict[str, float]:
    """Compare two orders of the same things: Kendall's tau-b (1 same order, -1 reversed), its p, and n in common.

    Names that only one of them has are left out; with fewer than two in common tau is NaN. p takes every order of the
    names for equally likely by chance: it is too small where rows go together, such as five variants of three methods.
    """
    from scipy import stats

    names = [name for name in printed.keys() if name in measured.keys() and pd.notna(measured[name])]  # noqa: SIM118 (Series, too)
    if len(names) < 2:
        return {"tau": float("nan"), "p": float("nan"), "n": len(names)}
    test = stats.kendalltau([measured[name] for name in names], [printed[name] for name in names])
    return {"tau": float(test.statistic), "p": float(test.pvalue), "n": len(names)}
