"""From rows of runs to what a paper prints: means, intervals, tests, and files of three kinds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrec_lite.comparison import compare
from mmrec_lite.files import beside

__all__ = ["FORMATS", "export", "mean_and_sd", "printed", "render", "settings_of", "summarise", "versus"]

METRICS = ("recall@20", "ndcg@20")
SEEDS = ("seed", "split_seed", "split fold")  # what the runs of a label may differ in
_TEST = ("protocol", "candidates")  # with the split's options: what a run was tested on, whatever the method
_SETTINGS = ("method", "data", "data hash", *_TEST, "profile", "ks", "pretrained", "code", "version mmrec_lite")
_DUST = 1e-12  # of the mean: figures that are equal differ by their last bits
_NOT_NAMED = ("id", "finished", "split", "split hash")  # differ from run to run, or say again what a setting says
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

    The interval is Student's t. Runs that share a split are not independent of each other: with several seeds on each
    of several splits (or folds) mean and interval are those of the splits' means; `std` is that of the runs. With one
    split for all it speaks of training it again, not of other splits or users. Folds of one deal, and random splits of
    one data set, share most of their training data: the interval is too narrow for what *other* data would give (Nadeau
    and Bengio, 2003; lesson 07 widens it). There is none (NaN) for a single run, nor where nothing varies (ItemKNN on
    one split).
    Raises ``ValueError`` where a label's runs differ in more than the seed: those are no sample.
    """
    from scipy import stats

    rows = _sample(rows, [metric], by)
    table = rows.groupby(by, sort=False)[metric].agg(["mean", "std", "size"]).rename(columns={"size": "runs"})
    draws = rows.set_index(by)[metric]
    if seeds := _seeds(rows, by):
        draws = rows.groupby([by, *_draws(rows, seeds)], sort=False, dropna=False)[metric].mean()
    n, spread, middle = (draws.groupby(level=0, sort=False).agg(what) for what in ("size", "std", "mean"))
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = (stats.t.ppf((1 + confidence) / 2, n - 1) * spread / np.sqrt(n)).where(spread > _DUST * middle.abs())
    return table.assign(mean=middle, low=middle - reach, high=middle + reach)


def versus(
    rows: pd.DataFrame,
    reference: str,
    metric: str = "recall@20",
    by: str = "label",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Test every label against a reference, paired by seed: difference, interval, p and p after Holm's correction.

    A pair has the same `seed` and the same `split_seed`, where the rows have both. A run that failed is left out. Pairs
    that share a split are not independent of each other: with several seeds on each of several splits a split's mean
    difference counts as one. With one split for all, training is the only chance there is, and a warning says so.

    One row a label but the reference: `difference` (label - reference), `low`, `high`, `p_t` (paired t-test),
    `p_holm` (Holm over all rows: the chance of *any* false alarm among them stays below it), `n` differences. NaN where
    nothing varies (see ``compare``). At least two seeds are needed. Raises ``ValueError`` for an unknown reference, one
    that stands alone, one that has no two seeds in common with a label, or one that was tested on something else
    (protocol, its options, or candidates).
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
    _refuse_other_tests(rows, reference, by)
    wide = rows.pivot(index=pair, columns=by, values=metric)  # refuses two runs of one cell
    draws, out = _draws(rows, pair), {}
    if len(wide) > 1 and "split hash" in rows and rows["split hash"].nunique() == 1:
        warnings.warn(
            "versus: all runs have one split. Seeds vary the training alone, and p says whether training again would "
            "change the order, not whether other users' orders would: for that, mm.compare takes two reports.",
            stacklevel=2,
        )
    for label in labels:
        if label == reference:
            continue
        both = wide[[label, reference]].dropna()
        if len(both) < 2:
            raise ValueError(
                f"versus: {label!r} and {reference!r} have {len(both)} pairs of runs with the same "
                f"{' and '.join(pair)}; a test needs 2 or more. Run both with the same seeds, or more."
            )
        both = both.groupby(level=draws).mean()
        if len(both) < 2:
            raise ValueError(
                f"versus: {label!r} and {reference!r} have {draws[0]} {both.index[0]} alone in common, and another "
                f"label has more; pairs that share a split count as one. Run both on two splits or more."
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


def settings_of(rows: pd.DataFrame) -> list[str]:
    """Return the columns that say how a run was made, but for its seeds: runs that differ in one are no sample."""
    swept = {name for names in rows["swept"].dropna() for name in str(names).split(", ")} if "swept" in rows else set()
    named = {*_SETTINGS, *swept} - {*SEEDS}
    other = {"split hash", *SEEDS}
    return [c for c in rows if c in named or (str(c).startswith(("set ", "split ")) and c not in other)]


def render(table: pd.DataFrame, form: str, digits: int = 4) -> str:
    """Write a table as "csv" (all digits), "markdown" or "latex" (`digits` digits; special characters escaped)."""
    if form == "csv":
        return table.to_csv(index=_named(table))
    if form == "markdown":
        return _markdown(table, digits)
    if form == "latex":
        for axis in (0, 1):  # Styler escapes what stands in an index, not its name
            table = table.rename_axis([name and _latex(str(name)) for name in table.axes[axis].names], axis=axis)
        styler = table.style.format(precision=digits, escape="latex", na_rep="")
        styler = styler.format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
        if not _named(table):
            styler = styler.hide(axis="index")
        written = styler.to_latex(hrules=True)
        for sign, command in _SIGNS.items():  # which Styler leaves, and LaTeX's own fonts print as something else
            written = written.replace(sign, command)
        return written
    raise ValueError(f"there is no format {form!r}; choose one of {', '.join(FORMATS.values())}.")


def _markdown(table: pd.DataFrame, digits: int) -> str:
    """Write a table as Markdown; what looks like a number but is a word ("0.170", an id "12e34") stays as it is."""
    from tabulate import tabulate

    keys = [table.index.get_level_values(n) for n in range(table.index.nlevels)] if _named(table) else []
    columns = [*keys, *(table.iloc[:, n] for n in range(table.shape[1]))]
    names = [*(table.index.names if keys else []), *table.columns]
    cells = [[_cell(value, digits) for value in column] for column in columns]
    sides = ["right" if pd.api.types.is_numeric_dtype(column) else "left" for column in columns]
    heads = ["" if name is None else _cell(name, digits) for name in names]
    rows = list(zip(*cells, strict=True))
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides if rows else None) + "\n"


def _cell(value: Any, digits: int) -> str:
    """Write one value for Markdown; nothing for a gap."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}f}"
    return " ".join(str(value).split()).replace("|", r"\|")


_SIGNS = {"±": r"$\pm$", "<": r"$<$", ">": r"$>$", "|": r"\textbar{}"}
_LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {c: "\\" + c for c in "&%$#_{}"}
)


def _latex(words: str) -> str:
    return words.translate(_LATEX)


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
    return [name for name in SEEDS if name in rows and name != by and rows[name].notna().any()]


def _sample(rows: pd.DataFrame, metrics: Sequence[str], by: str) -> pd.DataFrame:
    """Return the rows that have a label and all metrics.

    Raises ``ValueError`` for a missing column, or a label whose rows differ in more than the seed.
    """
    missing = [name for name in (*metrics, by) if name not in rows]
    if missing:
        failed = rows["error"].dropna() if "error" in rows else []
        why = f" {len(failed)} of {len(rows)} runs failed, the first: {failed.iloc[0]}" if len(failed) else ""
        raise ValueError(f"the rows have no column {missing[0]!r}; they have {', '.join(map(str, rows.columns))}.{why}")
    rows, seeds = rows.dropna(subset=[*metrics, by]), _seeds(rows, by)
    settings = [name for name in settings_of(rows) if name != by]
    kept = rows.assign(pretrained=rows["pretrained"].notna()) if "pretrained" in rows else rows  # a file a seed is one
    for label, group in kept.groupby(by, sort=False):
        if varying := _varying(group, settings):
            raise ValueError(
                f"{by} {label!r} has {len(group)} rows that differ in {', '.join(varying)}, not in the seed alone: "
                f"they are no sample. Give each point a label of its own, such as "
                f"rows.assign(label=rows[{by!r}].astype(str) + ', ' + rows[{varying[0]!r}].astype(str)), or choose one."
            )
    twice = rows.duplicated([by, *seeds], keep=False)
    if seeds and twice.any():
        _refuse_twice(rows[twice], by, seeds)
    return rows


def _draws(rows: pd.DataFrame, pair: list[str]) -> list[str]:
    """Return the columns that tell independent runs apart: the split's where there are several, or else all."""
    return [name for name in pair if name != "seed" and rows[name].nunique() > 1] or pair


def _refuse_other_tests(rows: pd.DataFrame, reference: str, by: str) -> None:
    """Raise ``ValueError`` about the first label that was tested on something else than the reference."""
    tested = [c for c in settings_of(rows) if c != by and (c in _TEST or str(c).startswith("split "))]
    first = rows.groupby(by, sort=False)[tested].first().astype(str)  # a label's rows have one value each
    there = rows.groupby(by, sort=False)[tested].count() > 0
    for label in first.index:
        for name in tested:
            if there.loc[[label, reference], name].all() and first.loc[label, name] != first.loc[reference, name]:
                raise ValueError(
                    f"versus: {label!r} and {reference!r} were tested on different things, {name} = "
                    f"{first.loc[label, name]} and {first.loc[reference, name]}: their seeds are no pairs. Compare "
                    f"labels that share it, or test by={name!r}."
                )


def _varying(rows: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    return [name for name in columns if rows[name].astype(str).nunique() > 1]


def _refuse_twice(rows: pd.DataFrame, by: str, seeds: Sequence[str]) -> None:
    """Raise ``ValueError`` about the first label that has several rows of one seed and the same settings."""
    (label, *_), group = next(iter(rows.groupby([by, *seeds], sort=False, dropna=False)))
    what = f"{by} {label!r} has {len(group)} rows of one seed"
    if "id" in group and group["id"].nunique(dropna=False) == 1:
        raise ValueError(f"{what}, which are one run (their id is equal). Keep one: rows.drop_duplicates('id').")
    others = [n for n in group if n not in (by, *_NOT_NAMED) and not str(n).startswith(("seconds", "peak "))]
    varying = _varying(group, others)
    more = ", ..." if len(varying) > 5 else ""
    differ = f"differ in {', '.join(map(str, varying[:5]))}{more}" if varying else "are equal"
    raise ValueError(f"{what} and the same settings, which {differ}. Choose one of them a seed.")
