"""Every table and figure of the four papers on the embedded shop: `make reproduction`.

Trains the cells of all studies (lecture profile, five seeds; `--seeds 0 1`: two),
keeps runs in build/reproduction so that a stopped call goes on where it was, writes their figures to mmrec_lite/experiments/measured.csv, and draws notebooks/REPRODUCTION.md
from that file, figures/real_data.csv, figures/pilot_study.csv and the papers' printed values. With `--data amazon_giftcards` or
`--data movielens_small_mm` the same studies run on real orders, from the raw texts and pictures (see raw_to_trained).
"""

# ruff: noqa: E501 (a page's sentences)

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import joblib
import pandas as pd
from scipy import stats

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.experiments import (
    STUDIES,
    Study,
    at_the_same_training_loss,
    beside,
    convergence,
    judge,
    loss_curves,
    measured,
    measured_curves,
    noise,
    order_agreement,
    pretraining_curves,
    published,
    run_studies,
)
from mmrec_lite.experiments.curves import LAYERS
from mmrec_lite.experiments.studies import LONGEST, SHORTEST
from mmrec_lite.experiments.studying import AGREES, OPEN, REVERSED
from mmrec_lite.similarity import mean_cosines, users_with_similar_items

REPOSITORY = Path(__file__).resolve().parents[1]
KEPT = REPOSITORY / "build" / "reproduction"
MEASURED = REPOSITORY / "mmrec_lite" / "experiments" / "measured.csv"
PAGE = REPOSITORY / "notebooks" / "REPRODUCTION.md"
REAL_ROWS = REPOSITORY / "figures" / "real_data.csv"
TABLE_ROWS = REPOSITORY / "figures" / "bazaar_table.csv"  # the README's table
PILOT_ROWS = REPOSITORY / "figures" / "pilot_study.csv"
SEEDS = (0, 1, 2, 3, 4)
VERDICTS = (AGREES, OPEN, REVERSED)
REAL = ("amazon_giftcards", "movielens_small_mm")
HEAD = """# Reproduction

Every table and figure of the four papers: what the paper says, what came out on the embedded shop, where to rerun it. Made by `make reproduction` from measured rows
(`mmrec_lite/experiments/measured.csv`); do not edit it by hand.

**How to read it.** *Lecture* profile at full length. {seeds}; each cell ends with how many. A seed draws split, weights and batches (leave-one-out splits in one way only: there seeds vary the training); of PAMD's five folds it runs the first, of a new deal. A claim is a pair: the paper puts one above the other. It **agrees** or is
**reversed** when the difference of the means is larger than the noise (Fisher's least significant difference over labels and seeds, 95 %), else it is **not told apart**. A claim about *gains* (one lead
is larger than another; of *declines*: in shares of the better one's value) has the difference of the two leads, seed by seed, and for noise half of its 95 % interval (Student's t).
**How much luck is in it.** {luck} Where all seeds have one split (leave-one-out; MP4SR's) the noise is that of training again, not of other users, of which another draw may well move a mean by more.
τ is Kendall's agreement of our order with the paper's on each of its data sets. Bazaar is small, its signal planted and the trainings short: a disagreement is a result about
*this* setting, not a refutation. The {runs} trainings on the shop took {minutes:.0f} minutes in sum, two at a time on two cores that other work shared. One seed of every study and course
(`make reproduction ARGS="--seeds 0 --no-keep"`, which draws its page into `build/reproduction`) took 20 and a half minutes on two cores with little else to do.

**PAMD's Eq. 10** stands here in its *bounded* reading, which the length of vectors alone can satisfy (lesson 04, section 3): as printed it has no minimum. The released form (`order="infonce"`) was not run.

**MCPTR's shares** of 72, 8 and 20 % for training, validation and test come out as {shares} on the shop: a history of fewer than ten gives one to each of the last two, and an odd one goes to validation.

**The command** of a line measures its rows again (with `--data amazon_giftcards` or `movielens_small_mm` those, where the raw data are); the lesson beside it draws them with `-p epochs 0 -p seeds N`. Without these two
a lesson trains for a few epochs only, and its figures are others than here.

**On real sets**: the same studies on Amazon's gift cards, from raw texts, pictures and reviews: 458 users and 148 items, so that much stays within the noise (with the lecture settings, which were chosen on the
shop); PAMD's, most of MICRO's, MCPTR's tables and MP4SR's Table 2 also on MovieLens' films (610 users, 3,650 items, no reviews, so that MCPTR goes without; two seeds, of MICRO's cold start and PAMD's 5.6 five). For the tables that compare methods also `figures/real_data.csv`: recall@20 of the paper's method beside the best other one measured on that data set (best by the test part itself, which favours it a little), and whether its settings were **tuned** (a
small grid, on validation) or stand at **one setting**. Any data set does: `-p data FOLDER -p protocol given`.
"""
RARE = "recall@20 rare"  # of the test items with fewer than ten training interactions
GAINS = {  # claims about gains that no single artefact makes, judged by its rows
    "MICRO Table 4": (("MICRO", "LightGCN", RARE, "recall@20"),),
    "MP4SR Fig. 8": STUDIES["MP4SR Fig. 8"].gains,
}
CLAIMS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "content helps on cold items": (
        ("MICRO Fig. 3", "MICRO", "LightGCN"), ("MICRO Fig. 3", "VBPR", "LightGCN"),
        ("MICRO Fig. 3", "MICRO w/o contrast", "LightGCN"),
    ),
    "(asked here; no table of the papers' says it) content helps *most* on cold items: its gain on items with fewer than ten training interactions ({fewer}) is above its gain on all": (
        ("MICRO Table 4", f"gain of MICRO over LightGCN, {RARE}", "gain of MICRO over LightGCN, recall@20"),
    ),
    "short histories gain most: the gain of the fifth with the shortest is above that of the longest (of the paper over GRCN and S3-Rec, here over LightGCN)": (
        ("MP4SR Fig. 8", f"gain of MP4SR over LightGCN, {SHORTEST}", f"gain of MP4SR over LightGCN, {LONGEST}"),
    ),
    "more content is better; without any, BPR++ is ahead of PAMD": (
        ("PAMD Fig. 3b", "PAMD, 0% hidden", "PAMD, 100% hidden"), ("PAMD Fig. 3b", "BPR++, 0% hidden", "BPR++, 100% hidden"),
        ("PAMD Fig. 3b", "BPR++, 100% hidden", "PAMD, 100% hidden"),
    ),
    "two modalities beat one": (
        ("MICRO Table 6", "Both", "Visual"), ("MICRO Table 6", "Both", "Textual"), ("MP4SR Table 6", "MP4SR", "MP4SR-V"),
        ("MP4SR Table 6", "MP4SR", "MP4SR-T"), *(("MCPTR Fig. 3", "all", letter) for letter in "RTVG"),
    ),
    "contrast helps": (
        ("MICRO Table 5", "MICRO (LightGCN)", "MICRO w/o contrast (LightGCN)"), ("MICRO Fig. 3", "MICRO", "MICRO w/o contrast"),
        ("MICRO Fig. 5 β", "0.03", "0.0"), ("PAMD Table 4", "PAMD", "PAMD-CON"), ("MCPTR Table 3", "MCPTR", "w/o CIMA"),
        ("MP4SR Table 4", "MP4SR", "w/o CMCL"),
    ),
    "small k beats none and large k": (
        ("MICRO Fig. 4 k", "5", "0"), ("MICRO Fig. 4 k", "10", "0"), ("MICRO Fig. 4 k", "10", "1"),
        ("MICRO Fig. 4 k", "10", "50"),
    ),
    "λ has an inner optimum": (
        ("MICRO Fig. 4 λ", "0.7", "0.0"), ("MICRO Fig. 4 λ", "0.7", "1.0"), ("MCPTR Fig. 4", "0.4", "0.0"),
        ("MCPTR Fig. 4", "0.4", "1.0"),
    ),
    "pre-training helps": (
        ("PAMD Fig. 3a", "20", "0"), ("MCPTR Table 2", "MCPTR", "Random"), ("MP4SR Table 4", "MP4SR", "w/o pre-train"),
        ("MP4SR Table 3", "MP4SR", "w/o pre-train"),
    ),
}  # fmt: skip
LEFT_OUT = """
With one seed there is no noise to compare with, and nothing is told apart. Of each table one metric is judged. MICRO's and PAMD's rivals beyond the rows below are named with each table.
"""
_COMMAND, _PILOT = "`python -m tests.reproduction '{}'`", "; [02](02_features.ipynb)"
_DATA = ("what the data are", "lesson 01 prints Bazaar's", "`mmrec data info FOLDER`", "`mmrec data info bazaar`")
BESIDE: dict[str, dict[str, tuple[str, str, str, str]]] = {  # artefacts that are no comparison of trained methods
    "MICRO": {
        "Table 1: similarity of items": ("Items taken together are more alike than others.", "PILOT1", "PILOT1 real", _COMMAND.format("MICRO Table 1") + _PILOT),
        "Table 2: users and similar items": ("Most users take items that are among each other's nearest.", "PILOT2", "PILOT2 real",
                                             _COMMAND.format("MICRO Table 2") + _PILOT),
        "Table 3: statistics": _DATA,
    },
    "PAMD": {
        "Table 1: statistics": _DATA,
        "5.6: convergence of pre-training": (
            "PAMD's pre-training converges in 23.6 % less time than PAMD-CON's. *The paper does not say when a pre-training has converged; here: when its own loss (the two are not the same) has done 95 % of its whole fall in 100 epochs.*",
            "CONVERGED", "CONVERGED real", _COMMAND.format("PAMD 5.6")),
    },
    "MCPTR": {"Table 1: statistics": _DATA},
    "MP4SR": {
        "Table 1: statistics": _DATA,
        "Fig. 3: test loss over training loss": ("At the same training loss, pre-trained weights have the lower test loss; the more so the more layers.",
                                                 "CURVES", "CURVES real", _COMMAND.format("MP4SR Fig. 3")),
    },
}  # fmt: skip
TOO_MANY = {"MP4SR Fig. 5": "the shop has fifteen words a picture"}  # values of the paper's that cannot be run
PILOT_KS = (5, 10, 15, 20)


class Course(NamedTuple):
    """An artefact that is the course of a loss: its file, what measures it, the sets it is run on, and in which parts."""

    file: Path
    measure: Callable[..., pd.DataFrame]
    sets: tuple[str, ...]
    parts: tuple[dict, ...] = ({},)


COURSES = {
    "MP4SR Fig. 3": Course(
        MEASURED.with_name("loss_curves.csv"), loss_curves, ("bazaar", "amazon_giftcards"),
        tuple({"layers": (depth,)} for depth in LAYERS),
    ),
    "PAMD 5.6": Course(MEASURED.with_name("pretraining_curves.csv"), pretraining_curves, ("bazaar", *REAL)),
}  # fmt: skip
EXTRA = ("recall@10 full", "ndcg@10 full", "ndcg@10", "ndcg@20")
ONLY = {  # further columns, of these alone
    "MP4SR Fig. 8": (SHORTEST, LONGEST),
    "MICRO Table 4": (RARE, "recall@20"),
    "MCPTR Table 3": ("recall@20", "recall@60"),
}


def measure(names: list[str], data: mm.MultimodalDataset, seeds: tuple[int, ...], jobs: int) -> pd.DataFrame:
    """Run studies and return the rows to keep."""
    rows = run_studies(names, data, seeds=seeds, save=KEPT, jobs=jobs)
    failed = rows["error"].notna() if "error" in rows else pd.Series(False, rows.index)
    if failed.any():  # what went well is kept
        print(rows.loc[failed, ["study", "label", "seed", "error"]].to_string())
        rows = rows[~rows["study"].isin(rows.loc[failed, "study"])]
    groups = [c for c in rows if c.startswith("recall@20 length ")]
    only = {name: [*columns, *(groups if name == "MP4SR Fig. 8" else ())] for name, columns in ONLY.items()}
    further = list(dict.fromkeys(c for columns in only.values() for c in columns))
    kept = ["study", "label", "seed", "metric", "value", *EXTRA, *further, "seconds fit", "parameters", "id"]
    rows = rows.reindex(columns=kept).rename(columns={"id": "run"}).assign(data=data.name)
    for column in further:  # empty where no page reads it
        readers = [name for name, columns in only.items() if column in columns]
        rows.loc[~rows["study"].isin(readers), column] = float("nan")
    return rows.dropna(axis=1, how="all")


def keep(rows: pd.DataFrame) -> None:
    """Put rows in place of those of the same data and studies, in the papers' order, beside first, then renamed."""
    if MEASURED.exists():
        old, new = pd.read_csv(MEASURED, dtype={"label": str}), pd.MultiIndex.from_frame(rows[["data", "study"]])
        rows = pd.concat([old[~pd.MultiIndex.from_frame(old[["data", "study"]]).isin(new)], rows])
    place = {name: n for n, name in enumerate(STUDIES)}
    rows = rows.assign(place=rows["study"].map(place)).sort_values(["data", "place"], kind="stable")
    rows = rows.drop(columns="place")
    beside = MEASURED.with_suffix(".tmp")
    rows.to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, MEASURED)


def pilot(shared: Path) -> None:
    """Write MICRO's Tables 1 and 2 (no training) of the shop and of the sets with raw texts and pictures to a file."""
    from tests.raw_to_trained import SOURCES, WORK, prepare

    rows = []
    there = [name for name in SOURCES if (WORK / name / "data").exists() or (shared / "data" / name).exists()]
    for data in (mm.load("bazaar"), *(prepare(name, shared / "data" / name).replace(name=name) for name in there)):
        for modality in data.modalities:
            found = dict(zip(("all", "co-interacted"), mean_cosines(data, modality), strict=True))
            rows += [(data.name, "PILOT1", modality, what, value) for what, value in found.items()]
            shares = users_with_similar_items(data, modality, PILOT_KS)
            rows += [(data.name, "PILOT2", modality, f"k = {k}", 100 * value) for k, value in shares.items()]
    table = pd.DataFrame(rows, columns=["data", "table", "modality", "what", "value"])
    if PILOT_ROWS.exists():  # keep what could not be measured here
        old = pd.read_csv(PILOT_ROWS)
        table = pd.concat([table, old[~old["data"].isin(table["data"])]])
    beside = PILOT_ROWS.with_suffix(".tmp")
    table.to_csv(beside, index=False, float_format="%.4f")
    os.replace(beside, PILOT_ROWS)


# The page ---------------------------------------------------------------------------------------------------------------


def page(rows: pd.DataFrame | None = None, traced: Mapping[str, pd.DataFrame] | None = None) -> str:
    """Draw notebooks/REPRODUCTION.md: from the committed rows alone, or with others of the shop in their place."""
    traced = traced or {}
    rows, real = measured() if rows is None else rows, pd.read_csv(REAL_ROWS)
    once = rows.drop_duplicates("run")  # studies share runs
    minutes = once["seconds fit"].sum() / 60
    head = HEAD.format(seeds=_seeds(rows), runs=len(once), minutes=minutes, luck=_luck(rows), shares=_shares())
    parts = [head, "## What the papers claim\n"]
    parts += [_claims(rows), LEFT_OUT]
    figure = ". ![log test loss over log training loss](../figures/mp4sr_loss_curves.svg)"
    found = _pilot() | _drawn("CURVES", "MP4SR Fig. 3", _curves, traced, figure)
    found |= _drawn("CONVERGED", "PAMD 5.6", _converged, traced)
    for paper, others in BESIDE.items():
        parts += [
            f"\n## {paper}\n",
            "| artefact | the paper says | on Bazaar | τ with the paper | on real sets | command |",
        ]
        parts += ["|---|---|---|---|---|---|"]
        lines = {s.artefact: _line(s, rows, real) for s in STUDIES.values() if s.paper == paper}
        others = {a: tuple(found.get(cell, cell) for cell in cells) for a, cells in others.items()}
        lines |= {
            a: f"| {a} | {says} | {status} |  | {on_real} | {command} |"
            for a, (says, status, on_real, command) in others.items()
        }
        parts += [lines[artefact] for artefact in sorted(lines, key=_place)]
    return "\n".join(parts) + "\n"


def draw(
    target: Path = PAGE, rows: pd.DataFrame | None = None, traced: Mapping[str, pd.DataFrame] | None = None
) -> None:
    """Write the page, beside first, then renamed."""
    beside = target.with_suffix(".tmp")
    beside.write_text(page(rows, traced), encoding="utf-8")
    os.replace(beside, target)


def _place(artefact: str) -> tuple[int, str]:
    return (0 if artefact.startswith("Table") else 1, artefact)


def _seeds(rows: pd.DataFrame) -> str:
    """Which seeds the studies have, in words."""
    seeds = rows.groupby("study", sort=False)["seed"].agg(lambda s: tuple(sorted(set(s))))
    most = seeds.value_counts().idxmax()
    others = [f"{_range(found)} in {', '.join(part.index)}" for found, part in seeds[seeds != most].groupby(seeds)]
    return "; ".join([f"Seeds {_range(most)} in most" if others else f"Seeds {_range(most)}", *others])


def _range(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return " and ".join(map(str, seeds))


def _line(study: Study, rows: pd.DataFrame, real: pd.DataFrame) -> str:
    part = rows[rows["study"] == study.name]
    n = part["seed"].nunique()
    here = f"[{study.lesson[:2]}]({study.lesson}.ipynb) with `-p method {study.paper.lower()} -p epochs 0 -p seeds {n}`"
    rare = f"*{_fewer_than_ten('leave-one-out')}, of which pre-training sees none.*" if study.metric == RARE else ""
    says = " ".join(sentence for sentence in (study.says, _absent(study), _axis(study), rare) if sentence)
    command = f"{_COMMAND.format(study.name)}; {here}"
    cells = [
        f"{study.artefact}: {study.title}",
        says,
        _found(study, part),
        _tau(study, part),
        _real(study, real),
        command,
    ]
    return f"| {' | '.join(cells)} |"


def _absent(study: Study) -> str:
    """The rows of the paper's table, or lines of its figure, that are not run here."""
    if not study.printed:
        return f"*Not here: {study.absent}.*" if study.absent else ""
    rows = published(study.paper, study.artefact)["row"].unique()
    rows = [row for row in rows if row not in study.printed.values() and not row.startswith("improvement")]
    return f"*Not here: {', '.join(rows)}.*" if rows else ""


def _axis(study: Study) -> str:
    """Which values of the paper's axis are run, and which are not."""
    if not study.axis:
        return ""
    ran = ", ".join(f"{float(label):g}" for label in study.recipes)
    if not study.grid:
        return f"*Run: {ran} (the paper's text does not list all of its values).*"
    labels, grid = ({float(value): value for value in values} for values in (study.recipes, study.grid))
    left = [word for value, word in grid.items() if value not in labels]
    if more := [f"{value:g}" for value in labels if value not in grid]:
        ran += f" ({', '.join(more)} added)"
    if not left:
        return f"*Run: {ran}; all of the paper's values.*"
    why = f" ({TOO_MANY[study.name]})" if study.name in TOO_MANY else ""
    return f"*Run: {ran}; of the paper's values not {', '.join(left)}{why}.*"


def _found(study: Study, part: pd.DataFrame) -> str:
    """The verdicts in words, or the figures where nothing is claimed."""
    if part.empty:
        return "**not measured yet**: `python -m tests.reproduction '" + study.name + "'`"
    said, thin = [], _thin(study, part)
    for r in judge(study, part).itertuples():
        mark = "†" if (r.better, r.worse) in thin else ""
        own = f", noise {r.noise:.4f}" if r.better.startswith(("gain of ", "decline of ")) else ""
        said += [f"{r.better} over {r.worse}: **{r.verdict}**{mark} ({_signed(study, r.difference)}{own})"]
    if not said or study.columns:
        said += [_values(study, part)]
    return f"{'; '.join(said)}. *{_how(study, part)}*"


def _signed(study: Study, value: float) -> str:
    value = round(value, 10)  # a tie of the fourth digit is not left to the order of a sum
    return f"{value:+.1f} points" if study.metric.endswith("%") else f"{value:+.4f}"


def _values(study: Study, part: pd.DataFrame) -> str:
    """The means in figures; those that are percentages with the range that the paper prints."""
    means = part.groupby("label", sort=False)["value"].mean()
    if not study.metric.endswith("%"):
        return ", ".join(f"{label} {value:.4g}" for label, value in means.items())
    table = published(study.paper, study.artefact, metric=study.metric).groupby("row")["value"].agg(["min", "max"])
    near = {label: table.loc[study.printed[label]] for label in means.index}
    return ", ".join(f"{v:.1f} % {k} (paper {near[k]['min']:.0f}–{near[k]['max']:.0f} %)" for k, v in means.items())


def _how(study: Study, part: pd.DataFrame) -> str:
    """Metric, seeds and noise."""
    limit, seeds = noise(part), _many(part["seed"].nunique())
    if all(recipe.get("protocol") == "leave-one-out" for recipe in study.recipes.values()):
        seeds += " of one split"
    chance = f"noise {limit:.1f}" if study.metric.endswith("%") else f"noise {limit:.4f}"
    if study.metric.endswith("%") and limit > 100:
        chance = "noise larger than 100 points: so few seeds cannot say"
    chance = chance if limit == limit else "no noise to compare with"
    return f"{study.metric}, {seeds}, {chance}"


def _tau(study: Study, part: pd.DataFrame) -> str:
    """Kendall's tau with each of the paper's data sets."""
    found = beside(study, part)
    return ", ".join(f"{name} {t:+.2f}" for name, t in found["tau"].items()) + (
        f" (n = {found['n'].iloc[0]})" if len(found) else ""
    )


def _pilot() -> dict[str, str]:
    """MICRO's Tables 1 and 2 in words: on the shop, and on the real sets."""
    rows, out = pd.read_csv(PILOT_ROWS), {}
    for table in ("PILOT1", "PILOT2"):
        said = {}
        for (data, modality), part in rows[rows["table"] == table].groupby(["data", "modality"], sort=False):
            form = "{} {:.3f}" if table == "PILOT1" else "{} {:.0f} %"
            told = f"{modality}: " + ", ".join(form.format(r.what, r.value) for r in part.itertuples())
            said.setdefault(data, []).append(told)
        out[table] = "; ".join(said.pop("bazaar"))
        out[f"{table} real"] = "<br>".join(f"{data}: {'; '.join(told)}" for data, told in said.items()) or "not run"
    return out


def _drawn(
    key: str, name: str, say: Callable[[pd.DataFrame], str], traced: Mapping[str, pd.DataFrame], figure: str = ""
) -> dict[str, str]:
    """Both cells of a loss's course in words: on the shop (from `traced`, if there), and on real sets."""
    file = COURSES[name].file
    known = dict(tuple(pd.read_csv(file).groupby("data"))) if file.exists() else {}
    if name in traced:
        known |= {"bazaar": traced[name]}
    told = {data: say(rows) for data, rows in known.items()}
    here = told.pop("bazaar", f"**not measured yet**: `python -m tests.reproduction '{name}'`")
    return {key: here + figure, f"{key} real": "<br>".join(f"{d}: {t}" for d, t in told.items()) or "not run"}


def _paired(gap: pd.Series) -> tuple[float, str]:
    """The p-value of a paired t-test of differences over seeds, and the verdict on "it is below zero"."""
    chance = stats.ttest_1samp(gap, 0.0).pvalue if len(gap) > 1 else float("nan")
    return chance, OPEN if not chance < 0.05 else AGREES if gap.mean() < 0 else REVERSED


def _p(chance: float) -> str:
    if chance != chance:
        return "one seed"
    return "p < 0.001" if chance < 0.001 else f"p = {chance:.3f}"


def _curves(rows: pd.DataFrame) -> str:
    """MP4SR's Fig. 3 in words: both starts' test losses at the same training loss, with a paired t-test over seeds."""
    said, gaps = [], {}
    for depth, own in at_the_same_training_loss(rows).groupby("layers"):
        table = own.pivot(index="seed", columns="start")
        test, train = table["test"].dropna(), table["train"]["pre-trained"]
        gaps[depth] = test["pre-trained"] - test["random start"]
        chance, verdict = _paired(gaps[depth])
        said.append(
            f"{depth} layer{'s' if depth > 1 else ''}: **{verdict}** ({test['pre-trained'].mean():.3f} against "
            f"{test['random start'].mean():.3f} nats at training losses {train.min():.2f}-{train.max():.2f}, {_p(chance)})"
        )
    least, most = min(gaps), max(gaps)
    more = (gaps[most] - gaps[least]).dropna()
    chance, verdict = _paired(more)
    seeds = rows["seed"].nunique()
    return (
        f"pre-trained below random start, {'; '.join(said)}; more so with {most} layers than with {least}: **{verdict}** "
        f"({-more.mean():+.3f} nats, {_p(chance)}). *{_many(seeds)}, paired t-tests*"
    )


def _converged(rows: pd.DataFrame) -> str:
    """PAMD's 5.6 in words: epochs and seconds until both pre-trainings have converged."""
    table = convergence(rows).pivot(index="seed", columns="label")
    means = table.mean()
    epochs, seconds = table["epochs"], table["seconds"]
    chance, verdict = _paired(epochs["PAMD"] - epochs["PAMD-CON"])
    saved = [1 - means[what]["PAMD"] / means[what]["PAMD-CON"] for what in ("epochs", "seconds")]
    return (
        f"**{verdict}**: after {means['epochs']['PAMD']:.1f} epochs instead of {means['epochs']['PAMD-CON']:.1f} ({_p(chance)}); "
        f"{_less(saved[0])} epochs, {_less(saved[1])} time. *{_many(len(seconds))}, a paired t-test of the epochs*"
    )


def _many(seeds: int) -> str:
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _less(share: float) -> str:
    return f"{abs(share):.0%} {'less' if share > 0 else 'more'}".replace("%", " %")


def trace(names: list[str], data: mm.MultimodalDataset, seeds: tuple[int, ...], jobs: int) -> dict[str, pd.DataFrame]:
    """Measure the courses of losses, a seed and part a task."""
    tasks = [(name, seed, part) for name in names for part in COURSES[name].parts for seed in seeds]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        found = joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(COURSES[name].measure)(data, (seed,), **part) for name, seed, part in tasks
        )
    return {n: pd.concat([rows for rows, (m, *_) in zip(found, tasks, strict=True) if m == n]) for n in names}


def keep_course(name: str, rows: pd.DataFrame) -> None:
    """Put a course's rows in place of those of the same data set, beside first, then renamed."""
    file = COURSES[name].file
    if file.exists():
        old = pd.read_csv(file)
        rows = pd.concat([old[~old["data"].isin(rows["data"])], rows])
    beside = file.with_suffix(".tmp")
    rows.sort_values("data", kind="stable").to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, file)


def draw_curves() -> None:
    """Draw MP4SR's Fig. 3 as lesson 06 does."""
    curves = measured_curves()
    os.environ.setdefault("MMREC_FIGURES", str(REPOSITORY / "figures"))
    alt = (
        "Test loss over training loss in fine-tuning, both as logarithms, from pre-trained and from random weights, "
        f"with one, two and three layers, a line for each of {curves['seed'].nunique()} seeds."
    )
    plots.save_figure(plots.loss_against_loss(curves), "mp4sr_loss_curves", alt)


def _real(study: Study, real: pd.DataFrame) -> str:
    """What the study found on the real sets it was run on; for tables of methods the method beside the best other."""
    out = []
    for data in REAL:
        rows = measured(data=data)
        part = rows[rows["study"] == study.name]
        out += [f"{data}: {_verdicts(study, part)}. *{_how(study, part)}*"] if len(part) else []
    if study.lesson.startswith("07"):
        out += [_against_best(name, study.paper.lower(), group) for name, group in real.groupby("data")]
    return "<br>".join(filter(None, out)) or "not run"


def _against_best(data: str, method: str, rows: pd.DataFrame) -> str:
    """A data set's recall@20 of a method beside that of the best other one, with settings tried, seeds and noise."""
    means = rows.groupby("method")["recall@20"].mean()
    if method not in means or len(means) < 2:
        return ""
    best = means.drop(method).idxmax()
    told, seeds = {}, {}
    for name in (method, best):
        own = rows[rows["method"] == name]
        seeds[name] = own["seed"].nunique()
        how = "tuned" if own["tried"].max() > 1 else "one setting"
        told[name] = f"{means[name]:.3f} ({how}, {seeds[name]} seed{'s' if seeds[name] > 1 else ''})"
    both = rows[rows["method"].isin(seeds)].assign(label=rows["method"], value=rows["recall@20"])
    limit = noise(both) if len(set(seeds.values())) == 1 else float("nan")
    gap = means[method] - means[best]
    chance = f"noise {limit:.3f}: {_told(gap, limit)}" if limit == limit else "no noise to compare with"
    return f"{data}, recall@20: {method} {told[method]}, best other {best} {told[best]}; {gap:+.3f}, {chance}"


def _told(gap: float, limit: float) -> str:
    return "not told apart" if abs(gap) <= limit else "ahead" if gap > 0 else "behind"


def _verdicts(study: Study, part: pd.DataFrame) -> str:
    """The pairs that were told apart, by verdict, and how many were not; the figures where nothing is claimed."""
    table = judge(study, part)
    if study.claims and part["value"].nunique() == 1:  # fewer than 20 cold items: all are among the first 20
        return f"every label {part['value'].iloc[0]:.3f}, nothing to compare"
    if table.empty:
        return _values(study, part)
    said, thin = [], _thin(study, part)
    for verdict, found in table[table["verdict"] != OPEN].groupby("verdict", sort=True):
        form = "{:+.1f} points" if study.metric.endswith("%") else "{:+.3f}"
        marks = dict.fromkeys(thin, "†")
        pairs = [
            f"{r.better} > {r.worse}{marks.get((r.better, r.worse), '')} ({form.format(r.difference)})"
            for r in found.itertuples()
        ]
        said += [f"{verdict}: {', '.join(pairs)}"]
    near = int((table["verdict"] == OPEN).sum())
    said += [f"{near} of {len(table)} {'pair' if len(table) == 1 else 'pairs'} not told apart"] if near else []
    return "; ".join(said + ([_values(study, part)] if study.columns else []))


def _claims(rows: pd.DataFrame) -> str:
    lines = [
        "| claim | agrees | not told apart | reversed | not measured yet | on real sets |",
        "|---|---|---|---|---|---|",
    ]
    for claim, pairs in CLAIMS.items():
        found = list(_held(pairs, rows))
        kinds = (AGREES, OPEN, REVERSED, "not measured")
        cells = [", ".join(f"{n}: {pair}" for n, pair, v in found if v == kind) for kind in kinds]
        claim = claim.replace("{fewer}", f"MP4SR's bound; {_fewer_than_ten()}")
        lines.append(f"| {claim} | {' | '.join(cells)} | {_claim_on_real_sets(pairs)} |")
        if RARE in pairs[0][1]:
            lines.append(_rarer())
    lines.append(f"| sampled and full ranking order methods alike (PAMD Table 2) | {_rankings(rows)} |  |  |  |  |")
    return "\n".join(lines)


def _shares() -> str:
    """What MCPTR's shares come to on the shop."""
    split = mm.split(mm.load("bazaar"), **STUDIES["MCPTR Table 2"].recipes["Random"]["split_options"])
    sizes = [len(part) for part in (split.train, split.valid, split.test)]
    return ", ".join(f"{100 * size / sum(sizes):.0f}" for size in sizes)


def _fewer_than_ten(protocol: str = "ratio") -> str:
    """How much of the shop MP4SR's bound on Amazon takes for cold."""
    split = mm.split(mm.load("bazaar"), protocol)
    few = split.train_counts < 10
    _, items = split.pairs("test")
    return f"On Bazaar {few.mean():.0%} of the items, {few[items].mean():.0%} of the held-out pairs"


def _rarer() -> str:
    """The line of the same claim on items that were taken once or twice, from the README's table."""
    names = {"LightGCN": "LightGCN", "MICRO, image + text": "MICRO"}
    rows = pd.read_csv(TABLE_ROWS)
    rows = rows[rows["label"].isin(names)].assign(label=lambda t: t["label"].map(names), value=lambda t: t["recall@20"])
    claim = replace(STUDIES["MICRO Table 4"], claims=(), gains=GAINS["MICRO Table 4"])
    [found] = judge(claim, rows).itertuples()
    cells = [
        f"MICRO over LightGCN ({found.difference:+.4f}, noise {found.noise:.4f})" * (found.verdict == v)
        for v in VERDICTS
    ]
    return f"| the same on items that were taken once or twice (the README's table) | {' | '.join(cells)} |  |  |"


def _luck(rows: pd.DataFrame) -> str:
    """How many pairs were held against the noise, and what more careful tests leave of those told apart."""
    tested = pd.concat([_tested(study, rows[rows["study"] == study.name]) for study in STUDIES.values()])
    told = tested[tested["verdict"] != OPEN]
    known = tested["p"].notna()
    kept = stats.false_discovery_control(tested.loc[known, "p"]) < 0.05
    told_and_kept = int((kept & (tested.loc[known, "verdict"] != OPEN).to_numpy()).sum())
    return (
        f"{len(tested)} pairs of the shop's are judged, each at 5 %: were there no differences at all, about {0.05 * len(tested):.0f} would be told apart. "
        f"{len(told)} are; the noise takes one spread for all rows of a study, and {int((told['p'] >= 0.05).sum())} of these pairs, marked †, have p ≥ 0.05 in a paired t-test of their own. "
        f"After Benjamini and Hochberg's correction of those p for all pairs {told_and_kept} remain (after Holm's, against any single error, {_after_holm(tested.loc[known, 'p'])})."
    )


def _after_holm(chances: pd.Series) -> int:
    from statsmodels.stats.multitest import multipletests

    return int(multipletests(chances, alpha=0.05, method="holm")[0].sum())


def _tested(study: Study, part: pd.DataFrame) -> pd.DataFrame:
    """A study's claims about pairs with their verdicts, and p of a paired t-test of each pair alone."""
    if part.empty:
        return pd.DataFrame({"better": [], "worse": [], "verdict": [], "p": []})
    wide = (
        part.pivot_table(index="seed", columns="label", values="value", aggfunc="first")
        .dropna(axis=1, how="all")
        .dropna()
    )
    table = judge(replace(study, gains=(), declines=()), part)
    there = table["better"].isin(wide) & table["worse"].isin(wide) & (len(wide) > 1)
    table = table[there]
    return table.assign(p=[mm.compare(wide[r.better], wide[r.worse])["p_t"] for r in table.itertuples()])


def _thin(study: Study, part: pd.DataFrame) -> set[tuple[str, str]]:
    """The pairs that were told apart, but not by a test of their own."""
    table = _tested(study, part)
    return {(r.better, r.worse) for r in table.itertuples() if r.verdict != OPEN and r.p >= 0.05}


def _held(pairs: tuple[tuple[str, str, str], ...], rows: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """A claim's pairs with their verdicts: study, pair in words, verdict."""
    for name, better, worse in pairs:
        table = judge(replace(STUDIES[name], gains=GAINS.get(name, ())), rows)
        hit = table[(table["better"] == better) & (table["worse"] == worse)].iloc[0]
        known = hit["difference"] == hit["difference"]
        part = rows[rows["study"] == name] if "study" in rows else rows
        pair = f"{better} > {worse}" + ("†" if (better, worse) in _thin(STUDIES[name], part) else "")
        if known and better.startswith("gain of "):  # its own noise, of the seeds' differences
            pair += f" ({hit['difference']:+.4f}, noise {hit['noise']:.4f})"
        yield name, pair, hit["verdict"] if known else "not measured"


def _claim_on_real_sets(pairs: tuple[tuple[str, str, str], ...]) -> str:
    """A data set after the other: which pairs agree, which are reversed, and how many are not told apart."""
    said = []
    for data in REAL:
        found = [f for f in _held(pairs, measured(data=data)) if f[2] != "not measured"]
        told = [f"{v}: " + ", ".join(f"{n}: {p}" for n, p, w in found if w == v) for v in (AGREES, REVERSED)]
        told = [words for words in told if not words.endswith(": ")]
        near = sum(v == OPEN for _, _, v in found)
        told += [f"{near} not told apart"] if near else []
        said += [f"{data}: {'; '.join(told)}"] if told else []
    return "<br>".join(said)


def _rankings(rows: pd.DataFrame) -> str:
    """Whether two methods that sampled and full ranking both tell apart stand the same way round in both."""
    rows = rows[rows["study"] == "PAMD Table 2"]
    both = rows.groupby("label")[["value", "recall@10 full"]].mean()
    limits = noise(rows), noise(rows.assign(value=rows["recall@10 full"]))
    gaps = [both.loc[a] - both.loc[b] for a, b in itertools.combinations(both.index, 2)]
    told = [gap for gap in gaps if all(abs(gap.to_numpy()) > limits)]
    alike = sum(gap["value"] * gap["recall@10 full"] > 0 for gap in told)
    tau = order_agreement(both["value"], both["recall@10 full"])["tau"]
    word = "yes" if told and alike == len(told) else "no"
    return f"{word}: {alike} of the {len(told)} pairs that both tell apart (of {len(gaps)}); τ of all {tau:.2f}"


def _real_set(name: str, shared: Path) -> mm.MultimodalDataset:
    """A real set, encoded from its raw texts and pictures."""
    from tests.raw_to_trained import prepare

    return prepare(name, shared / "data" / name).replace(name=name)


def main() -> None:
    """Measure what is asked for, then draw the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", help="names or beginnings of names (MICRO, 'PAMD Table 3'); default: all")
    parser.add_argument("--seeds", type=int, nargs="*", help="default: 0 to 4")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--data", default="bazaar", choices=["bazaar", *REAL])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="where the real sets are")
    parser.add_argument("--draw-only", action="store_true", help="from the committed rows, without measuring")
    parser.add_argument("--no-keep", action="store_true", help="measure and draw into build/reproduction alone")
    args, missing = parser.parse_args(), []
    if not args.draw_only:
        asked = tuple(args.studies) or ("",)
        chosen = [n for n in STUDIES if n.startswith(asked)]
        started = time.perf_counter()
        if any(f"MICRO Table {n}".startswith(asked) for n in (1, 2)) and not args.no_keep:
            pilot(args.shared)
        data = mm.load("bazaar") if args.data == "bazaar" else _real_set(args.data, args.shared)
        courses = [name for name, c in COURSES.items() if name.startswith(asked) and args.data in c.sets]
        traced = trace(courses, data, tuple(args.seeds or SEEDS), args.jobs)
        for name in courses if not args.no_keep else ():
            keep_course(name, traced[name])
            if name == "MP4SR Fig. 3":
                draw_curves()
        if chosen:
            rows = measure(chosen, data, tuple(args.seeds or SEEDS), args.jobs)
            if not args.no_keep:
                keep(rows)
            missing = sorted(set(chosen) - set(rows["study"]))
        print(f"{len(chosen)} studies in {time.perf_counter() - started:.0f} s")
    if not args.no_keep:
        draw()
    elif not args.draw_only and args.data == "bazaar" and chosen:
        draw(KEPT / PAGE.name, rows, traced)
        print(f"its page: {KEPT / PAGE.name}")
    if missing:
        raise SystemExit(f"These failed, see above: {', '.join(missing)}")


if __name__ == "__main__":
    main()
