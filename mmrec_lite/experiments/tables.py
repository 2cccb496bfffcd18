"""From rows of runs to what a paper prints: means, intervals, tests, and files of three kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_lite.evaluation import compare
from mmrec_lite.files import beside

__all__ = ["FORMATS", "export", "mean_and_sd", "printed", "render", "summarise", "versus"]

METRICS = ("recall@20", "ndcg@20")
SEEDS = ("seed", "split_seed")  # what the runs of a label may differ in
FORMATS = {".csv": "csv", ".md": "markdown", ".tex": "latex"}


def mean_and_sd(rows: pd.DataFrame, metrics: Sequence[str] = METRICS, by: str = "label") -> pd.DataFrame:
    """Summarise runs over their seeds: mean and sample standard deviation of each metric, and the runs that have all.

    A run that failed has no figure and is left out.

    Raises ``ValueError`` where a label's runs differ in more than the seed.
    """
    groups = _sample(rows, metrics, by).groupby(by, sort=False)
    table = {f"{m} {what}": groups[m].agg(what) for m in metrics for what in ("mean", "std")}
    return pd.DataFrame(table | {"runs": groups.size()}).astype({"runs": np.int64})


def summarise(
    rows: pd.DataFrame, metric: str = "recall@20", by: str = "label", confidence: float = 0.95
) -> pd.DataFrame:
    """Return mean, std, runs and the confidence interval `low`..`high` of the mean over seeds, one row a label.

    The interval is Student's t; with a single run there is none (NaN). Raises ``ValueError`` where a label's runs
    differ in more than the seed: those are no sample.
    """
    from scipy import stats

    groups = _sample(rows, [metric], by).groupby(by, sort=False)[metric]
    table = groups.agg(["mean", "std", "size"]).rename(columns={"size": "runs"})
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = stats.t.ppf((1 + confidence) / 2, table["runs"] - 1) * table["std"] / np.sqrt(table["runs"])
    return table.assign(low=table["mean"] - reach, high=table["mean"] + reach)


def versus(
    rows: pd.DataFrame,
    reference: str,
    metric: str = "recall@20",
    by: str = "label",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test every label against a reference, paired by seed: difference, interval, p and p after Holm's correction.

    A pair has the same `seed` and the same `split_seed`, where the rows have both. A run that failed is left out. Pairs
    that share a split are not independent of each other: with several seeds a split, p is too small.

    One row a label but the reference: `difference` (label - reference), `low`, `high`, `p_t` (paired t-test),
    `p_holm` (Holm over all rows: the chance of *any* false alarm among them stays below it), `n` pairs. NaN where
    nothing varies (see ``compare``). At least two seeds are needed. Raises ``ValueError`` for an unknown reference, one
    that stands alone, or one that has no two seeds in common with a label.
    """
    from statsmodels.stats.multitest import multipletests  # a second to import

    rows = _sample(rows, [metric], by)
    pair, labels = _seeds(rows, by), rows[by].unique().tolist()
    if not pair:
        raise ValueError(f"versus: the rows have none of the columns {', '.join(SEEDS)} to pair runs by.")
    if reference not in labels:
        raise ValueError(f"versus: there is no {by} {reference!r}; there are {', '.join(map(str, labels))}.")
    if len(labels) == 1:
        raise ValueError(f"versus: no other {by} than {reference!r} has a {metric!r}; there is nothing to test.")
    wide = rows.pivot(index=pair, columns=by, values=metric)  # refuses two runs of one cell
    out = {}
    for label in labels:
        if label == reference:
            continue
        both = wide[[label, reference]].dropna()
        if len(both) < 2:
            raise ValueError(
                f"versus: {label!r} and {reference!r} have {len(both)} pairs of runs with the same "
                f"{' and '.join(pair)}; a test needs 2 or more. Run both with the same seeds, or more."
            )
        out[label] = compare(both[label].to_numpy(), both[reference].to_numpy(), metric, confidence)
    table = pd.DataFrame(out).T[["difference", "low", "high", "p_t", "n"]].rename_axis(by).astype({"n": int})
    table.insert(4, "p_holm", np.nan)
    tested = table["p_t"].notna()
    if tested.any():
        table.loc[tested, "p_holm"] = multipletests(table.loc[tested, "p_t"], method="holm")[1]
    return table


def printed(
    rows: pd.DataFrame, metrics: Sequence[str] = METRICS, by: str = "label", digits: int = 4, reference: str = ""
) -> pd.DataFrame:
    """Return the table as a paper prints it: "mean ± standard deviation" a metric, and p (Holm) against a reference."""
    out = {}
    for metric in metrics:
        table = summarise(rows, metric, by)
        many = table["runs"] > 1
        spread = np.where(many, table["std"].map(f" ± {{:.{digits}f}}".format), "")
        out[metric] = table["mean"].map(f"{{:.{digits}f}}".format) + spread
    shown = pd.DataFrame(out)
    if reference:
        shown["p (Holm)"] = versus(rows, reference, metrics[0], by)["p_holm"].map(_p).reindex(shown.index).fillna("")
    return shown


def _p(value: float) -> str:
    return "–" if np.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def render(table: pd.DataFrame, form: str, digits: int = 4) -> str:
    """Write a table as "csv" (all digits), "markdown" or "latex" (`digits` digits; special characters escaped)."""
    if form == "csv":
        return table.to_csv(index=_named(table))
    if form == "markdown":
        return table.to_markdown(index=_named(table), floatfmt=f".{digits}f") + "\n"
    if form == "latex":
        styler = table.style.format(precision=digits, escape="latex", na_rep="")
        styler = styler.format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
        if not _named(table):
            styler = styler.hide(axis="index")
        return styler.to_latex(hrules=True).replace("±", r"$\pm$")
    raise ValueError(f"there is no format {form!r}; choose one of {', '.join(FORMATS.values())}.")


def export(table: pd.DataFrame, file: str | Path, digits: int = 4) -> Path:
    """Write a table to a .csv, .md or .tex file, beside first, then renamed."""
    file = Path(file)
    if file.suffix not in FORMATS:
        raise ValueError(f"{file}: a table is written as {', '.join(FORMATS)}, told by the file's ending.")
    with beside(file) as partial:
        partial.write_text(render(table, FORMATS[file.suffix], digits), encoding="utf-8")
    return file


def _named(table: pd.DataFrame) -> bool:
    return not isinstance(table.index, pd.RangeIndex)


def _seeds(rows: pd.DataFrame, by: str) -> list[str]:
    return [name for name in SEEDS if name in rows and name != by]


def _sample(rows: pd.DataFrame, metrics: Sequence[str], by: str) -> pd.DataFrame:
    """Return the rows that have a label and all metrics.

    Raises ``ValueError`` for a missing column, or a label whose rows differ in more than the seed.
    """
    missing = [name for name in (*metrics, by) if name not in rows]
    if missing:
        raise ValueError(f"the rows have no column {missing[0]!r}; they have {', '.join(map(str, rows.columns))}.")
    rows, seeds = rows.dropna(subset=[*metrics, by]), _seeds(rows, by)
    twice = rows.duplicated([by, *seeds], keep=False)
    if seeds and twice.any():
        _refuse_settings(rows[twice], by, seeds)
    return rows


def _refuse_settings(rows: pd.DataFrame, by: str, seeds: Sequence[str]) -> None:
    """Raise ``ValueError`` about the first label that has several rows of one seed."""
    (label, *_), group = next(iter(rows.groupby([by, *seeds], sort=False, dropna=False)))
    settings = [name for name in group if str(name).startswith("set ") or name in ("data", "protocol", "candidates")]
    varying = [name for name in settings if group[name].astype(str).nunique() > 1]
    raise ValueError(
        f"{by} {label!r} has {len(group)} rows of one seed, which differ in {', '.join(varying) or 'no setting'}. "
        + (
            f"Give each point a label of its own, such as "
            f"rows.assign(label=rows[{by!r}] + ', ' + rows[{varying[0]!r}].astype(str)), or choose one of them."
            if varying
            else "Keep one of them: rows.drop_duplicates('id')."
        )
    )
