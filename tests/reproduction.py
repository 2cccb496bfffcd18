"""Every table and figure of the four papers on the embedded shop: `make reproduction`.

Trains the cells of all studies (lecture profile, two seeds, five for tables of parts; `--seeds 0 1`: two for all),
keeps runs in build/reproduction so that a stopped call goes on where it was, writes their figures to mmrec_lite/experiments/measured.csv, and draws notebooks/REPRODUCTION.md
from that file, figures/real_data.csv and the papers' printed values. With `--data amazon_giftcards` the same studies
run on real orders, from the raw texts and pictures (see raw_to_trained).
"""

# ruff: noqa: E501 (a page's sentences)

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd
from scipy import stats

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.experiments import (
    STUDIES,
    Study,
    at_the_same_training_loss,
    judge,
    loss_curves,
    measured,
    noise,
    order_agreement,
    published,
    run_studies,
)
from mmrec_lite.experiments.studying import AGREES, OPEN, REVERSED
from mmrec_lite.similarity import mean_cosines, users_with_similar_items

REPOSITORY = Path(__file__).resolve().parents[1]
KEPT = REPOSITORY / "build" / "reproduction"
MEASURED = REPOSITORY / "mmrec_lite" / "experiments" / "measured.csv"
PAGE = REPOSITORY / "notebooks" / "REPRODUCTION.md"
REAL_ROWS = REPOSITORY / "figures" / "real_data.csv"
SEEDS = (0, 1)
MORE_SEEDS = (0, 1, 2, 3, 4)  # where parts of one method are compared, which lie close together
TABLES_OF_PARTS = (
    "MICRO Table 4", "MICRO Table 5", "PAMD Table 3", "PAMD Table 4", "PAMD Table 5", "MCPTR Table 2", "MCPTR Table 3",
)  # fmt: skip
REAL = "amazon_giftcards"
HEAD = """# Reproduction

Every table and figure of the four papers: what the paper says, what came out on the embedded shop, where to rerun it. Made by `make reproduction` from measured rows
(`mmrec_lite/experiments/measured.csv`); do not edit it by hand.

**How to read it.** *Lecture* profile, seeds 0 and 1, in tables of parts 0 to 4 (each line says how many); a seed draws split, weights and batches. A claim is a pair: the paper puts one above the other. It **agrees** or is
**reversed** when the difference of the means is larger than the noise (Fisher's least significant difference over labels and seeds, 95 %), else it is **not told apart**.
τ is Kendall's agreement of our order with the paper's on each of its data sets. Bazaar is small, its signal planted and the trainings short: a disagreement is a result about
*this* setting, not a refutation. The {runs} trainings on the shop took {minutes:.0f} minutes in sum, two at a time on two cores that other work shared.

**On real sets**: the same studies on Amazon's gift cards (`python -m tests.reproduction --data amazon_giftcards`), from raw texts, pictures and reviews: 458 users and 148 items, so that
much stays within the noise (with the lecture settings, which were chosen on the shop); and, for the tables that compare methods, `figures/real_data.csv` (tuned on validation, small grids). Any data set does: `-p data FOLDER -p protocol given`.
"""
CLAIMS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "content helps most on cold items": (
        ("MICRO Fig. 3", "MICRO", "LightGCN"), ("MICRO Fig. 3", "VBPR", "LightGCN"),
        ("MP4SR Table 3", "MP4SR", "w/o pre-train"),
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
    "small k beats none and large k": (("MICRO Fig. 4 k", "10", "1"), ("MICRO Fig. 4 k", "10", "50")),
    "λ has an inner optimum": (
        ("MICRO Fig. 4 λ", "0.7", "0.0"), ("MICRO Fig. 4 λ", "0.7", "1.0"), ("MCPTR Fig. 4", "0.4", "0.0"),
        ("MCPTR Fig. 4", "0.4", "1.0"),
    ),
    "pre-training helps": (
        ("PAMD Fig. 3a", "20", "0"), ("MCPTR Table 2", "MCPTR", "Random"), ("MP4SR Table 4", "MP4SR", "w/o pre-train"),
    ),
}  # fmt: skip
_DATA = ("what the data are", "lesson 01 prints Bazaar's", "`mmrec data info FOLDER`", "`mmrec data info bazaar`")
BESIDE: dict[str, dict[str, tuple[str, str, str, str]]] = {  # artefacts that are no comparison of trained methods
    "MICRO": {
        "Table 1: similarity of items": ("Items taken together are more alike than others.", "PILOT1", "not run", "`papermill notebooks/02_features.ipynb out.ipynb`"),
        "Table 2: users and similar items": ("Most users take items that are among each other's nearest.", "PILOT2", "not run",
                                             "`papermill notebooks/02_features.ipynb out.ipynb`"),
        "Table 3: statistics": _DATA,
    },
    "PAMD": {"Table 1: statistics": _DATA},
    "MCPTR": {"Table 1: statistics": _DATA},
    "MP4SR": {
        "Table 1: statistics": _DATA,
        "Fig. 3: test loss over training loss": ("At the same training loss, pre-trained weights have the lower test loss.",
                                                 "CURVES", "not run", "`python -m tests.reproduction 'MP4SR Fig. 3'`"),
    },
}  # fmt: skip
PILOT = {
    "PILOT1": lambda shop: "; ".join(
        "{}: all {:.3f}, co-interacted {:.3f}".format(name, *mean_cosines(shop, name)) for name in shop.modalities
    ),
    "PILOT2": lambda shop: "; ".join(
        f"{name}: " + ", ".join(f"k = {k} {100 * v:.0f} %" for k, v in users_with_similar_items(shop, name).items())
        for name in shop.modalities
    ),
}
CURVES, CURVES_NAME = MEASURED.with_name("loss_curves.csv"), "MP4SR Fig. 3"
CURVE_SEEDS = (0, 1, 2)
EXTRA = ("recall@10 full", "ndcg@10 full", "ndcg@10", "ndcg@20")


def measure(names: list[str], data: mm.MultimodalDataset, seeds: tuple[int, ...], jobs: int) -> pd.DataFrame:
    """Run studies and return the rows to keep."""
    rows = run_studies(names, data, seeds=seeds, save=KEPT, jobs=jobs)
    failed = rows["error"].notna() if "error" in rows else pd.Series(False, rows.index)
    if failed.any():  # what went well is kept
        print(rows.loc[failed, ["study", "label", "seed", "error"]].to_string())
        rows = rows[~rows["study"].isin(rows.loc[failed, "study"])]
    groups = [c for c in rows if c.startswith("recall@20 length ")]
    kept = ["study", "label", "seed", "metric", "value", *EXTRA, *groups, "seconds fit", "parameters", "id"]
    rows = rows.reindex(columns=kept).rename(columns={"id": "run"}).assign(data=data.name)
    rows.loc[~rows["study"].str.startswith("MP4SR Fig. 8"), groups] = float("nan")
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


# The page ---------------------------------------------------------------------------------------------------------------


def page() -> str:
    """Draw notebooks/REPRODUCTION.md from the committed rows alone."""
    rows, real, pilot = measured(), pd.read_csv(REAL_ROWS), mm.load("bazaar")
    once = rows.drop_duplicates("run")  # studies share runs
    head = HEAD.format(runs=len(once), minutes=once["seconds fit"].sum() / 60)
    parts = [head, "## What the papers claim\n"]
    parts += [_claims(rows), "\nWith one seed there is no noise to compare with, and nothing is told apart.\n"]
    for paper, others in BESIDE.items():
        parts += [
            f"\n## {paper}\n",
            "| artefact | the paper says | on Bazaar | τ with the paper | on real sets | command |",
        ]
        parts += ["|---|---|---|---|---|---|"]
        lines = {s.artefact: _line(s, rows, real) for s in STUDIES.values() if s.paper == paper}
        found = {key: tell(pilot) for key, tell in PILOT.items()} | {"CURVES": _curves()}
        others = {a: tuple(found.get(cell, cell) for cell in cells) for a, cells in others.items()}
        lines |= {
            a: f"| {a} | {says} | {status} |  | {on_real} | {command} |"
            for a, (says, status, on_real, command) in others.items()
        }
        parts += [lines[artefact] for artefact in sorted(lines, key=_place)]
    return "\n".join(parts) + "\n"


def draw() -> None:
    """Write the page, beside first, then renamed."""
    beside = PAGE.with_suffix(".tmp")
    beside.write_text(page(), encoding="utf-8")
    os.replace(beside, PAGE)


def _place(artefact: str) -> tuple[int, str]:
    return (0 if artefact.startswith("Table") else 1, artefact)


def _line(study: Study, rows: pd.DataFrame, real: pd.DataFrame) -> str:
    part = rows[rows["study"] == study.name]
    command = f"`papermill notebooks/{study.lesson}.ipynb out.ipynb -p method {study.paper.lower()}`"
    cells = [
        f"{study.artefact}: {study.title}",
        study.says,
        _found(study, part),
        _tau(study, part),
        _real(study, real),
        command,
    ]
    return f"| {' | '.join(cells)} |"


def _found(study: Study, part: pd.DataFrame) -> str:
    """The verdicts in words, or the figures where nothing is claimed."""
    if part.empty:
        return "**not measured yet**: `python -m tests.reproduction '" + study.name + "'`"
    means = part.groupby("label", sort=False)["value"].mean()
    said = [
        f"{r.better} over {r.worse}: **{r.verdict}** ({r.difference:+.4f})" for r in judge(study, part).itertuples()
    ]
    if not said:
        said = [f"{label} {value:.4g}" for label, value in means.items()]
    limit, seeds = noise(part), part["seed"].nunique()
    chance = f"noise {limit:.4f}" if limit == limit else "no noise to compare with"
    return f"{'; '.join(said)}. *{study.metric}, {seeds} seed{'s' if seeds > 1 else ''}, {chance}*"


def _tau(study: Study, part: pd.DataFrame) -> str:
    """Kendall's tau with each of the paper's data sets."""
    if not study.printed or part.empty:
        return ""
    means = {
        study.printed[label]: value
        for label, value in part.groupby("label")["value"].mean().items()
        if label in study.printed
    }
    table = published(study.paper, study.artefact, metric=study.metric.removesuffix(" rare"))
    found = {d: order_agreement(means, g.set_index("row")["value"]) for d, g in table.groupby("dataset", sort=False)}
    return (
        ", ".join(f"{name} {t['tau']:+.2f}" for name, t in found.items()) + f" (n = {next(iter(found.values()))['n']})"
    )


def _curves() -> str:
    """MP4SR's Fig. 3 in words: both starts' test losses at the same training loss, with a paired t-test over seeds."""
    if not CURVES.exists():
        return f"**not measured yet**: `python -m tests.reproduction '{CURVES_NAME}'`"
    table = at_the_same_training_loss(pd.read_csv(CURVES)).pivot(index="seed", columns="start")
    test, train = table["test"], table["train"]["pre-trained"]
    gap = test["pre-trained"] - test["random start"]
    chance = stats.ttest_1samp(gap, 0.0).pvalue
    verdict = OPEN if not chance < 0.05 else (AGREES if gap.mean() < 0 else REVERSED)
    return (
        f"pre-trained below random start: **{verdict}** ({test['pre-trained'].mean():.3f} against "
        f"{test['random start'].mean():.3f} nats at training losses {train.min():.2f}-{train.max():.2f}; paired t-test over "
        f"{len(gap)} seeds p = {chance:.3f}). ![log test loss over log training loss](../figures/mp4sr_loss_curves.svg)"
    )


def trace(seeds: tuple[int, ...]) -> None:
    """Measure MP4SR's Fig. 3 and draw it."""
    curves = loss_curves("bazaar", seeds)
    beside = CURVES.with_suffix(".tmp")
    curves.to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, CURVES)
    os.environ.setdefault("MMREC_FIGURES", str(REPOSITORY / "figures"))
    alt = (
        "Test loss over training loss of MP4SR's fine-tuning, a line a seed, from pre-trained and from random weights."
    )
    plots.save_figure(plots.loss_against_loss(curves), "mp4sr_loss_curves", alt)


def _real(study: Study, real: pd.DataFrame) -> str:
    """What the study found on the real sets it was run on; for tables of methods the tuned figures too."""
    cards = measured(data=REAL)
    cards = cards[cards["study"] == study.name]
    out = [f"{REAL}: {_verdicts(study, cards)}"] if len(cards) else []
    mine = real[real["method"] == study.paper.lower()] if study.lesson.startswith("07") else real[:0]
    for name, group in mine.groupby("data"):
        base = real[(real["data"] == name) & (real["method"] == "lightgcn")]["recall@20"]
        if len(base):
            gap, spread = group["recall@20"].mean() - base.mean(), max(group["recall@20"].std(), base.std())
            beats = f"{group['recall@20'].mean():.3f} against LightGCN's {base.mean():.3f}"
            near = " (within a seed's spread)" if spread == spread and abs(gap) < spread else ""
            out.append(f"{name}, tuned: {beats}{near}")
    return "; ".join(out) or "not run"


def _verdicts(study: Study, part: pd.DataFrame) -> str:
    """The pairs that were told apart, by verdict, and how many were not; the figures where nothing is claimed."""
    table = judge(study, part)
    if study.claims and part["value"].nunique() == 1:  # fewer than 20 cold items: all are among the first 20
        return f"every label {part['value'].iloc[0]:.3f}, nothing to compare"
    if table.empty:
        return ", ".join(
            f"{label} {value:.4g}" for label, value in part.groupby("label", sort=False)["value"].mean().items()
        )
    said = [
        f"{verdict}: " + ", ".join(f"{r.better} > {r.worse} ({r.difference:+.3f})" for r in found.itertuples())
        for verdict, found in table[table["verdict"] != OPEN].groupby("verdict", sort=True)
    ]
    near = int((table["verdict"] == OPEN).sum())
    said += [f"{near} of {len(table)} {'pair' if len(table) == 1 else 'pairs'} not told apart"] if near else []
    return "; ".join(said)


def _claims(rows: pd.DataFrame) -> str:
    lines = ["| claim | agrees | not told apart | reversed | not measured yet |", "|---|---|---|---|---|"]
    for claim, pairs in CLAIMS.items():
        found = []
        for name, better, worse in pairs:
            table = judge(name, rows)
            hit = table[(table["better"] == better) & (table["worse"] == worse)]
            known = not rows[rows["study"] == name].empty
            found += [(name, f"{better} > {worse}", hit["verdict"].iloc[0] if known else "not measured")]
        kinds = (AGREES, OPEN, REVERSED, "not measured")
        cells = [", ".join(f"{n}: {pair}" for n, pair, v in found if v == kind) for kind in kinds]
        lines.append(f"| {claim} | {' | '.join(cells)} |")
    both = rows[rows["study"] == "PAMD Table 2"].groupby("label")[["value", "recall@10 full"]].mean()
    tau = order_agreement(both["value"], both["recall@10 full"])["tau"]
    word = "yes" if tau > 0.999 else "not quite" if tau > 0.5 else "no"
    lines.append(
        f"| sampled and full ranking order methods alike | {word}: τ = {tau:.2f} over {len(both)} methods |  |  | PAMD Table 2 |"
    )
    return "\n".join(lines)


def _real_set(shared: Path) -> mm.MultimodalDataset:
    """The gift cards, encoded from their raw texts and pictures."""
    from tests.raw_to_trained import prepare

    return prepare(REAL, shared / "data" / REAL).replace(name=REAL)


def main() -> None:
    """Measure what is asked for, then draw the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", help="names or beginnings of names (MICRO, 'PAMD Table 3'); default: all")
    parser.add_argument("--seeds", type=int, nargs="*", help="for all; default: 0 1, and 0 to 4 for tables of parts")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--data", default="bazaar", choices=["bazaar", REAL])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared", help="where the real sets are")
    parser.add_argument("--draw-only", action="store_true", help="from the committed rows, without measuring")
    parser.add_argument("--no-keep", action="store_true", help="measure into build/reproduction alone")
    args, missing = parser.parse_args(), []
    if not args.draw_only:
        asked = tuple(args.studies) or ("",)
        chosen = [n for n in STUDIES if n.startswith(asked)]
        started = time.perf_counter()
        if CURVES_NAME.startswith(asked) and args.data == "bazaar" and not args.no_keep:
            trace(CURVE_SEEDS)
        data = mm.load("bazaar") if args.data == "bazaar" else _real_set(args.shared)
        if chosen:
            several = [n for n in chosen if n in TABLES_OF_PARTS and not args.seeds]
            parts = [([n for n in chosen if n not in several], tuple(args.seeds or SEEDS)), (several, MORE_SEEDS)]
            rows = pd.concat([measure(names, data, seeds, args.jobs) for names, seeds in parts if names])
            if not args.no_keep:
                keep(rows)
            missing = sorted(set(chosen) - set(rows["study"]))
        print(f"{len(chosen)} studies in {time.perf_counter() - started:.0f} s")
    if not args.no_keep:
        draw()
    if missing:
        raise SystemExit(f"These failed, see above: {', '.join(missing)}")


if __name__ == "__main__":
    main()
