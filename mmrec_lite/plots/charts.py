"""Curves, points with intervals and matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmrec_lite.plots.style import COLOURS, FONT, GREY, INK, MARKERS, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_matrix", "matrix", "method_points", "popularity_curve", "training_curves"]

NOT_A_TERM = ("stage", "epoch", "step", "lr", "seconds", "loss")


def training_curves(history: Any, size: tuple[float, float] | None = None) -> Figure:
    """Draw each named loss term, and the validation metric, over the epochs; one panel each, on its own scale.

    `history` is a ``History``, its frame, or a mapping label -> either: then each run is a line in every panel. A
    star marks the best epoch of each stage. Stages stand one after the other, a dashed line between them where all runs
    change at the same epoch: after early stopping they may not. Raises ``ValueError`` where nothing was recorded.
    """
    runs = dict(history) if isinstance(history, Mapping) else {"": history}
    frames = {label: _frame(run) for label, run in runs.items()}
    names = list(dict.fromkeys(c for frame in frames.values() for c in frame if c not in NOT_A_TERM))
    names.sort(key=lambda name: name.startswith("valid "))
    if not names:
        raise ValueError("training_curves: the history names no loss term and no metric; there is nothing to draw.")
    borders = zip(*map(stage_ends, frames.values()), strict=False)
    common = [steps[0] for steps in borders if len(set(steps)) == 1]
    figure, axes = new_figure(1, len(names), size or (min(3.1 * len(names), 11), 2.7))
    for name, ax in zip(names, axes[0], strict=True):
        style_axes(ax, name, "epoch")
        for place, (label, frame) in enumerate(frames.items()):
            if name in frame:
                _curve(ax, frame, name, place, label)
        for step in common:
            ax.axvline(step, color=GREY, linestyle="--", linewidth=1)
    if len(frames) > 1:  # over all panels: none of them need have every run
        lines = {line.get_label(): line for ax in axes[0] for line in reversed(ax.get_lines())}
        ax = next((ax for ax in axes[0, ::-1] if set(frames) <= {line.get_label() for line in ax.get_lines()}), None)
        place = {"loc": "outside lower center", "ncols": 4} if ax is None else {}
        (ax or figure).legend(
            handles=[lines[label] for label in frames if label in lines], frameon=False, fontsize=FONT - 2, **place
        )
    return figure


def _frame(run: Any) -> pd.DataFrame:
    frame = run if isinstance(run, pd.DataFrame) else run.frame
    if frame.empty:
        raise ValueError("training_curves: the history has no epoch; train first (epochs >= 1).")
    return frame.assign(step=np.arange(1, len(frame) + 1))


def _curve(ax: Axes, frame: pd.DataFrame, name: str, place: int, label: str) -> None:
    curve, colour = frame[["step", name]].dropna(), COLOURS[place % len(COLOURS)]
    marker = MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]  # with another colour from the eighth run on
    every = max(1, len(curve) // 6)
    ax.plot(curve["step"], curve[name], color=colour, marker=marker, markevery=every, markersize=4.5, label=label)
    if name.startswith("valid "):
        for best in best_places(frame, name):
            ax.plot(best + 1, frame[name].iloc[best], "*", color=colour, markersize=15, markeredgecolor="white")


def best_places(frame: pd.DataFrame, name: str) -> list[int]:
    """Return each stage's best value as a row's place from 0; a stage without values has none.

    Each stage ends with its own best state: the last of them is that of the model which training returned.
    """
    values = pd.Series(frame[name].to_numpy(dtype=float))
    stages = pd.Series(frame["stage"].to_numpy()) if "stage" in frame else pd.Series(0, values.index)
    return [int(place) for place in values.dropna().groupby(stages.ne(stages.shift()).cumsum()).idxmax()]


def stage_ends(frame: pd.DataFrame) -> list[float]:
    """Return where one stage ends and the next begins, between two epochs counted from 1 over all stages."""
    if "stage" not in frame:
        return []
    starts = np.flatnonzero(frame["stage"].ne(frame["stage"].shift()))
    return [float(start) + 0.5 for start in starts[1:]]


def method_points(
    rows: pd.DataFrame,
    value: str = "recall@20",
    by: str = "label",
    references: Mapping[str, float] | None = None,
    size: tuple[float, float] | None = None,
    form: str = "{:.3f}",
    x: str = "",
) -> Figure:
    """Draw one line a method: every run as a pale tick, their mean as a point, ± one standard deviation as a bar.

    A run that failed has no figure and is left out; a method without any keeps its line, empty.
    `rows` holds one row a run (as ``mm.sweep`` returns); `by` names the method's column. Where there are columns
    `low` and `high`, they are the interval instead. `references` are vertical lines with a name (a ceiling, a floor).
    The axis is named `x`, else by the column, or by `metric` where the column is a study's "value".
    """
    groups = rows.groupby(by, sort=False)
    names = list(groups.groups)
    figure, axes = new_figure(1, 1, size or (9, 1.0 + 0.42 * len(names)))
    named = str(rows["metric"].iloc[0]) if value == "value" and "metric" in rows else value
    ax = style_axes(axes[0, 0], x=x or named, grid="x")
    colour = COLOURS[0]  # of all: the line's name tells them apart
    for place, (_, group) in enumerate(groups):
        group = group.dropna(subset=[value])
        if group.empty:
            continue
        values = group[value].to_numpy(dtype=float)
        mean = values.mean()
        if {"low", "high"} <= set(rows):
            reach = [[mean - group["low"].mean()], [group["high"].mean() - mean]]
        else:
            reach = values.std(ddof=1) if len(values) > 1 else None
        if len(values) > 1:
            ax.plot(values, np.full(len(values), place), "|", color=colour, alpha=0.6, markersize=11)
        ax.errorbar(mean, place, xerr=reach, fmt="o", color=colour, markersize=8, capsize=4)
        label = {"textcoords": "offset points", "ha": "center", "fontsize": FONT - 2}
        ax.annotate(form.format(mean), (mean, place), (0, 8), **label)
    for name, at in (references or {}).items():
        ax.axvline(at, color=GREY, linestyle=":", linewidth=1.5)
        ax.annotate(name, (at, -0.75), ha="center", va="bottom", fontsize=FONT - 2, color=GREY)
    ax.set_yticks(range(len(names)), [str(name) for name in names], fontsize=FONT)
    ax.set_ylim(len(names) - 0.5, -0.8)
    return figure


def popularity_curve(
    counts: Mapping[str, Sequence[float]], x: str = "rank of the item", y: str = "interactions"
) -> Figure:
    """Draw how counts fall from the most to the least popular, on logarithmic axes; one line a name.

    Raises ``ValueError`` for a name without a count above 0.
    """
    figure, axes = new_figure(1, 1, (6, 3.4))
    ax = style_axes(axes[0, 0], x=x, y=y, grid="both")
    for place, (name, values) in enumerate(counts.items()):
        falling = np.sort(np.asarray(values, dtype=float))[::-1]
        falling = falling[falling > 0]
        if not len(falling):
            raise ValueError(
                f"popularity_curve: {name!r} has no count above 0, and a logarithm none of 0; leave it out."
            )
        marks = np.unique(np.geomspace(1, len(falling), 9).astype(int)) - 1
        look = {"color": COLOURS[place % 7], "marker": MARKERS[place % 7], "markevery": list(marks)}
        ax.loglog(np.arange(1, len(falling) + 1), falling, label=name, **look)
    ax.legend(frameon=False, fontsize=FONT - 1.5)
    return figure


def matrix(
    values: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str = "",
    **options: Any,
) -> Figure:
    """Draw a matrix as a heat map with its numbers; `options` go to ``draw_matrix``."""
    values = np.asarray(values, dtype=float)
    height = 0.9 + min(0.42 * values.shape[0], 5)
    figure, axes = new_figure(1, 1, (min(1.6 + 0.62 * values.shape[1], 9), height))
    draw_matrix(axes[0, 0], values, rows, columns, title=title, **options)
    return figure


def draw_matrix(
    ax: Axes,
    values: Any,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    title: str = "",
    limit: float | None = None,
    form: str = "{:.2f}",
    numbers: bool | None = None,
    font: float = FONT - 2,
    aspect: str = "auto",
) -> Axes:
    """Fill axes with a heat map: blue below zero, white at zero, red above; NaN stays blank.

    `limit` is the value of the fullest colour (default: the largest there is), `form` formats the numbers, which are
    written where at most 12 x 26 cells leave room for them.
    """
    values = np.asarray(values, dtype=float)
    finite = np.abs(values[np.isfinite(values)])
    limit = limit or (float(finite.max()) if finite.size and finite.max() > 0 else 1.0)
    ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect=aspect)
    style_axes(ax, title, grid=None)
    ax.spines[:].set_visible(False)
    if numbers if numbers is not None else values.shape[0] <= 12 and values.shape[1] <= 26:
        for (r, c), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if abs(value) > 0.62 * limit else INK
                ax.text(c, r, form.format(value), ha="center", va="center", fontsize=font, color=colour)
    for axis, names, n in ((ax.yaxis, rows, values.shape[0]), (ax.xaxis, columns, values.shape[1])):
        if names is not None:
            axis.set_ticks(range(n), [str(name) for name in names], fontsize=font)
        else:
            axis.set_ticks([])
    ax.tick_params(length=0)
    return ax
