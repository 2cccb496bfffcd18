"""A paper's table or figure beside ours; curves over a hyper-parameter; what quality costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmrec_lite.plots.style import COLOURS, DPI, FONT, GREY, MARKERS, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["claim_verdicts", "cost_and_quality", "loss_against_loss", "sensitivity", "study_beside_paper"]

PANELS = 3  # of `sensitivity` in a row


def study_beside_paper(
    rows: pd.DataFrame,
    printed: pd.DataFrame | None = None,
    names: Mapping[str, str] | None = None,
    title: str = "measured here",
) -> Figure:
    """Draw a study's labels as lines: left what was measured (each seed pale, the mean full), right what was printed.

    `rows` has columns label, seed, value and metric; `printed` has row, dataset and value (one metric), its `row`
    found by `names` (label -> printed row). Both panels share the labels, not the scale: other data, other numbers.
    """
    labels = list(dict.fromkeys(rows["label"]))
    panels = 1 if printed is None or printed.empty else 2
    width = max(len(label) for label in labels)
    figure, axes = new_figure(1, panels, (4.6 * panels + 0.075 * width, 1.2 + 0.34 * len(labels)), sharey=True)
    ax = axes[0, 0]
    style_axes(ax, title, str(rows["metric"].iloc[0]), grid="x")
    for place, label in enumerate(labels):
        values = rows.loc[rows["label"] == label, "value"].to_numpy(dtype=float)
        ax.plot(values, np.full(len(values), place), "|", color=COLOURS[0], alpha=0.7, markersize=10)
        ax.plot(np.nanmean(values), place, "o", color=COLOURS[0], markersize=7)
    ax.set_yticks(range(len(labels)), labels, fontsize=FONT - 1)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    if panels == 2:
        _printed(axes[0, 1], printed, labels, names or {label: label for label in labels})
    return figure


def _printed(ax: Axes, printed: pd.DataFrame, labels: list[str], names: Mapping[str, str]) -> None:
    style_axes(ax, "printed in the paper", str(printed["metric"].iloc[0]), grid="x")
    for number, (dataset, group) in enumerate(printed.groupby("dataset", sort=False)):
        value = group.set_index("row")["value"]
        known = [(place, value[names[label]]) for place, label in enumerate(labels) if names.get(label) in value]
        look = {"color": COLOURS[(number + 1) % 7], "marker": MARKERS[(number + 1) % 7]}
        ax.plot([v for _, v in known], [place for place, _ in known], linestyle=":", label=dataset, **look)
    ax.legend(frameon=False, fontsize=FONT - 2)


VERDICTS = {"agrees": 2, "not told apart": 6, "reversed": 1}  # colour and marker


def claim_verdicts(claims: pd.DataFrame, columns: int = 2) -> Figure:
    """Draw each claim's difference in units of the noise, a panel a paper; right of the grey band it is borne out.

    `claims` is what ``experiments.judge`` returns, of several studies one below the other, indexed by the study's name
    ("MICRO Table 5"). Papers are shared out so that the columns of panels are about equally high.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    papers = dict(iter(claims.groupby(claims.index.str.split().str[0], sort=False)))
    stacks: list[list[str]] = [[] for _ in range(min(columns, len(papers)))]
    for paper in sorted(papers, key=lambda name: -len(papers[name])):
        min(stacks, key=lambda stack: sum(len(papers[p]) for p in stack)).append(paper)
    height = max(sum(len(papers[p]) + 2.5 for p in stack) for stack in stacks)
    figure = Figure(figsize=(7 * len(stacks), 0.27 * height + 0.5), dpi=DPI, layout="constrained", facecolor="white")
    ratio = _in_noise(claims).abs()
    reach = 2 * max(1.0, float(ratio[np.isfinite(ratio)].max()))  # one seed has no noise to compare with
    for part, stack in zip(figure.subfigures(1, len(stacks), squeeze=False)[0], stacks, strict=True):
        ratios = [len(papers[paper]) for paper in stack]
        for paper, ax in zip(stack, part.subplots(len(stack), squeeze=False, height_ratios=ratios)[:, 0], strict=True):
            _claims(ax, paper, papers[paper], reach)
    keys = [Line2D([], [], linestyle="", markersize=9, label=name, **_look(name)) for name in VERDICTS]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False, fontsize=FONT)
    return figure


def _in_noise(claims: pd.DataFrame) -> pd.Series:
    """Differences in units of the noise; without noise infinite, or 0 where there is no difference either."""
    difference, noise = (claims[name].astype(float) for name in ("difference", "noise"))
    return (difference / noise).mask((difference == 0) & (noise == 0), 0.0)


def _look(verdict: str) -> dict[str, str]:
    return {"color": COLOURS[VERDICTS[verdict]], "marker": MARKERS[VERDICTS[verdict]]}


def _claims(ax: Axes, paper: str, claims: pd.DataFrame, reach: float) -> None:
    style_axes(ax, paper, "difference / noise", grid="x")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(-reach, reach)
    ax.axvspan(-1, 1, color="#eeeeee", zorder=0)
    ratios = _in_noise(claims).clip(-reach, reach)  # seeds that agree to the last digit: at the panel's edge
    for place, (ratio, verdict) in enumerate(zip(ratios, claims["verdict"], strict=True)):
        ax.plot(ratio, place, markersize=9, clip_on=False, **_look(verdict))
    names = claims.index.str.removeprefix(f"{paper} ") + ": " + claims["better"] + " > " + claims["worse"]
    ax.set_yticks(range(len(claims)), names)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    ax.set_ylim(len(claims) - 0.5, -0.5)


def sensitivity(
    rows: pd.DataFrame,
    marks: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    one_scale: bool = False,
    x: Mapping[str, str] | None = None,
) -> Figure:
    """Draw each study's value over its hyper-parameter, a panel each; seeds pale, the mean full.

    `rows` has columns study, label (the hyper-parameter's value), seed, value and metric. `marks` maps a study to the
    label the paper recommends (a dotted line), `titles` to the panel's title, `x` to what its axis is. Labels stand
    at equal distances; three panels stand in a row, so that a wall can show them. With `one_scale` the panels'
    heights can be compared. A label without a value (a cell that failed) is a gap.
    """
    names = list(dict.fromkeys(rows["study"]))
    columns = min(len(names), PANELS)
    lines = -(-len(names) // columns)
    figure, axes = new_figure(lines, columns, (max(3.0, 3.0 * columns), 2.9 * lines), sharey=one_scale)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    left = ""  # the metric that the panel at the left names for its row
    for ax, name in zip(axes.flat, names, strict=False):
        part = rows[rows["study"] == name]
        labels = list(dict.fromkeys(part["label"]))
        wide = part.pivot_table(index="label", columns="seed", values="value", sort=False).reindex(labels)
        metric = str(part["metric"].iloc[0])
        left = metric if ax in axes[:, 0] else left
        named = ax in axes[:, 0] or metric != left
        style_axes(ax, (titles or {}).get(name, name), (x or {}).get(name, ""), metric if named else "")
        for _, values in wide.items():
            ax.plot(range(len(labels)), values, color=COLOURS[0], alpha=0.35, linewidth=1)
        ax.plot(range(len(labels)), wide.mean(axis=1), color=COLOURS[0], marker="o", linewidth=2)
        if (marks or {}).get(name) in labels:
            ax.axvline(labels.index(marks[name]), color=GREY, linestyle=":", linewidth=1.5)
        ax.set_xticks(range(len(labels)), labels, fontsize=FONT - 1.5)
    return figure


def cost_and_quality(
    rows: pd.DataFrame, value: str = "recall@20", cost: str = "seconds fit", by: str = "label"
) -> Figure:
    """Draw each label's mean quality over its mean cost (logarithmic): up and to the left is good and cheap."""
    from matplotlib.ticker import LogLocator, NullFormatter

    means = rows.groupby(by, sort=False)[[cost, value]].mean()
    figure, axes = new_figure(1, 1, (7.5, 3.6))
    ax = style_axes(axes[0, 0], x=cost, y=value, grid="both")
    for place, (label, row) in enumerate(means.iterrows()):
        look = {"color": COLOURS[place % 7], "marker": MARKERS[place % 7]}
        ax.plot(max(row[cost], 0.01), row[value], markersize=9, linestyle="", **look)
        ax.annotate(
            str(label), (max(row[cost], 0.01), row[value]), (7, 4), textcoords="offset points", fontsize=FONT - 2
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(x=0.15, y=0.12)
    return figure


def loss_against_loss(curves: pd.DataFrame) -> Figure:
    """Draw test loss over training loss, a line a seed and start, both as logarithms: time runs from right to left.

    `curves` is what ``experiments.curves.loss_curves`` returns; a panel for each depth. Source: MP4SR Fig. 3.
    """
    depths = list(curves.groupby("layers"))
    width = 6.5 if len(depths) == 1 else 3.4 * len(depths)
    figure, axes = new_figure(1, len(depths), (width, 4), sharex=True, sharey=True)
    for ax, (depth, runs) in zip(axes[0], depths, strict=True):
        for n, (start, part) in enumerate(runs.groupby("start", sort=False)):
            for m, (_, run) in enumerate(part.groupby("seed")):
                label = start if m == 0 else None
                look = {"color": COLOURS[n % 7], "marker": MARKERS[n % 7], "markersize": 5}
                ax.plot(np.log(run["train"]), np.log(run["test"]), label=label, **look)
        y = "log of the test loss" if ax is axes[0, 0] else ""
        style_axes(ax, f"{depth} layer{'s' if depth != 1 else ''}", "log of the training loss", y, grid="both")
    axes[0, 0].legend(frameon=False, fontsize=FONT)
    return figure
