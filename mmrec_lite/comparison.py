"""Is one result better than another: paired over users, or over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mmrec_lite.evaluation import Report

__all__ = ["compare"]


class _Kept(Protocol):
    """What a `Result` has, also one that was read from disk."""

    row: Mapping[str, Any]
    per_user: pd.DataFrame
    report: Report | None


def _held_out(report: Report) -> np.ndarray:
    users, items = report.split.pairs(report.part)
    return np.sort(users * report.split.n_items + items)


def _check_kept(a: _Kept, b: _Kept, metric: str) -> None:
    """Raise ``ValueError`` unless two runs asked the same question, as far as their rows tell."""
    for name, remedy in (("split hash", "run both on the same split"), ("candidates", "take the same")):
        if a.row.get(name) != b.row.get(name):
            raise ValueError(f"compare: {a!r} and {b!r} differ in {name!r}; {remedy}.")
    if a.row.get("candidates") != "all" and a.row.get("split_seed") != b.row.get("split_seed"):
        raise ValueError(f"compare: {a!r} and {b!r} drew their candidates with another split_seed; take the same.")
    for side in (a, b):
        metrics = [name for name in side.per_user if "@" in str(name)]
        if metric not in metrics:
            raise ValueError(
                f"compare: there is no {metric!r} in {side!r}, which has {', '.join(metrics)}; run with ks that have "
                f"it, or name another metric."
            )
    if not np.array_equal(a.per_user["user"], b.per_user["user"]):
        raise ValueError(f"compare: {a!r} and {b!r} are about different users.")


def _check_pair(a: Report, b: Report, metric: str) -> None:
    """Raise ``ValueError`` unless two reports asked the same question."""
    if not np.array_equal(a.per_user["user"], b.per_user["user"]):
        raise ValueError("compare: the two reports are about different users; evaluate both on the same split.")
    if a.part != b.part or not np.array_equal(*(_held_out(report) for report in (a, b))):
        raise ValueError(
            f"compare: {a.split.name}, {a.part}, and {b.split.name}, {b.part}, hold out different interactions; "
            f"evaluate both on the same part of the same split."
        )
    if a.candidates != b.candidates:
        raise ValueError(f"compare: one ranked {a.candidates} candidates, the other {b.candidates}; take the same.")
    if set(a.mask) != set(b.mask):
        raise ValueError(
            f"compare: one left out what users have in {' and '.join(a.mask) or 'no part'}, the other in "
            f"{' and '.join(b.mask) or 'no part'}; evaluate both with the same mask."
        )
    if not isinstance(a.candidates, str) and a.seed != b.seed:
        raise ValueError(
            f"compare: one drew its {a.candidates} candidates with seed {a.seed}, the other with {b.seed}; evaluate "
            f"both with the same seed."
        )
    for report in (a, b):
        if metric not in report.metrics:
            raise ValueError(
                f"compare: there is no {metric!r} in a report with {', '.join(report.metrics)}; evaluate with ks that "
                f"have it, or name another metric."
            )


def compare(
    a: Report | _Kept | Sequence[float],
    b: Report | _Kept | Sequence[float],
    metric: str = "recall@20",
    confidence: float = 0.95,
) -> dict[str, float]:
    """Test whether a is better than b on the same users, or on the same seeds.

    Two reports, or two results, kept ones too, are paired user by user, two sequences (one figure a seed) place by
    place. Returns the mean `difference` a - b, its confidence interval `low`..`high` and `p_t` (paired t-test),
    `p_wilcoxon` (signed ranks, two-sided) and `n`. Wilcoxon's test leaves out pairs that are equal and asks whether the
    others lie symmetrically about 0, not whether the mean is 0: where few users lose much and many gain a little, it
    may speak for the other side than `difference`. For the mean `p_t` is the one to read.
    A p-value over users speaks of these two trained models; that training again would give the same order, only
    seeds can tell. Where every pair differs by the very same amount, as it does when two methods without chance are
    run several times on one split, there is nothing to test with: interval and p are NaN.
    Raises ``ValueError`` for reports or results on other held-out interactions, ranked among other candidates (drawn
    with another seed, or masked otherwise), or without the metric, and for one of them beside a sequence.
    """
    from scipy import stats  # here, since it doubles the time to import the package

    reports = [getattr(side, "report", side) for side in (a, b)]  # a `Result` has one, unless it was read from disk
    if all(side is not None for side in reports):
        a, b = reports
    if isinstance(a, Report) and isinstance(b, Report):
        _check_pair(a, b, metric)
        x, y = a.per_user[metric].to_numpy(), b.per_user[metric].to_numpy()
    elif all(hasattr(side, "per_user") and hasattr(side, "row") for side in (a, b)):
        _check_kept(a, b, metric)
        x, y = a.per_user[metric].to_numpy(), b.per_user[metric].to_numpy()
    elif any(side is None or hasattr(side, "per_user") for side in (a, b)):
        raise ValueError(
            "compare: give two reports, two results or two sequences of figures, not one of each; a result that was "
            "read from disk has no report, but stands for itself: mm.compare(result, other)."
        )
    else:
        x, y = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(f"compare: needs two equally long series of at least 2, got {x.shape} and {y.shape}.")
    gap = np.round(x - y, 12)  # 1 - 2/3 and 1/3 differ in their last bit: they are one gap, and of one rank
    out = {"difference": float(gap.mean()), "n": len(gap)}
    if np.ptp(gap) == 0:  # the t-test divides by the gaps' spread
        unknown = 1.0 if gap[0] == 0 else math.nan
        bound = 0.0 if gap[0] == 0 else math.nan
        return out | {"low": bound, "high": bound, "p_t": unknown, "p_wilcoxon": unknown}
    test = stats.ttest_1samp(gap, 0)
    interval = test.confidence_interval(confidence)
    return out | {
        "low": float(interval.low),
        "high": float(interval.high),
        "p_t": float(test.pvalue),
        "p_wilcoxon": float(stats.wilcoxon(gap).pvalue),
    }
