"""Every table and figure of the four papers on the embedded shop: `make reproduction`.

Trains the cells of all studies (lecture profile, two seeds), keeps runs in build/reproduction so that a stopped call
goes on where it was, writes their figures to mmrec_lite/experiments/measured.csv, and draws notebooks/REPRODUCTION.md
from that file, figures/real_data.csv and the papers' printed values.
"""

# ruff: noqa: E501 (a page's sentences)

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd

import mmrec_lite as mm
from mmrec_lite.experiments import STUDIES, Study, judge, measured, noise, order_agreement, published, run_studies
from mmrec_lite.experiments.studying import AGREES, OPEN, REVERSED
from mmrec_lite.similarity import mean_cosines, users_with_similar_items

REPOSITORY = Path(__file__).resolve().parents[1]
KEPT = REPOSITORY / "build" / "reproduction"
MEASURED = REPOSITORY / "mmrec_lite" / "experiments" / "measured.csv"
PAGE = REPOSITORY / "notebooks" / "REPRODUCTION.md"
REAL_ROWS = REPOSITORY / "figures" / "real_data.csv"
SEEDS = (0, 1)
HEAD = """# Reproduction

Every table and figure of the four papers: what the paper says, what came out on the embedded shop, where to rerun it. Made by `make reproduction` from measured rows
(`mmrec_lite/experiments/measured.csv`); do not edit it by hand.

**How to read it.** *Lecture* profile, seeds {seeds}; a seed draws split, weights and batches. A claim is a pair: the paper puts one above the other. It **agrees** or is
**reversed** when the difference of the means is larger than the noise (Fisher's least significant difference over labels and seeds, 95 %), else it is **not told apart**.
τ is Kendall's agreement of our order with the paper's on each of its data sets. Bazaar is small, its signal planted and the trainings short: a disagreement is a result about
*this* setting, not a refutation. The trainings behind this page took {minutes:.0f} minutes in sum, on two shared cores. "On real sets" quotes `figures/real_data.csv`, as far as those were run
(small grids, short trainings); the same commands take `-p data FOLDER -p protocol given`.
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
        "Table 5: larger pre-training data": ("More pre-training data help the small set, not the large.",
                                              "not run: one shop has no larger one around it", "not run", "–"),
        "Fig. 3: test loss over training loss": ("Pre-training ends at a lower test loss for the same training loss.",
                                                 "not run: the loop measures ranking on validation, not a test loss", "not run", "–"),
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
EXTRA = ("recall@10 full", "ndcg@10 full", "ndcg@10", "ndcg@20")


def measure(names: list[str], seeds: tuple[int, ...], jobs: int) -> pd.DataFrame:
    """Run studies and return the rows to keep."""
    rows = run_studies(names, seeds=seeds, save=KEPT, jobs=jobs)
    if "error" in rows and rows["error"].notna().any():
        raise SystemExit(rows.loc[rows["error"].notna(), ["study", "label", "error"]].to_string())
    groups = [c for c in rows if c.startswith("recall@20 length ")]
    kept = ["study", "label", "seed", "metric", "value", *EXTRA, *groups, "seconds fit", "parameters"]
    rows = rows.reindex(columns=kept)
    rows.loc[~rows["study"].str.startswith("MP4SR Fig. 8"), groups] = float("nan")
    return rows.dropna(axis=1, how="all")


def keep(rows: pd.DataFrame) -> None:
    """Put rows in place of those of the same studies, in the papers' order, beside first, then renamed."""
    if MEASURED.exists():
        old = pd.read_csv(MEASURED, dtype={"label": str})
        rows = pd.concat([old[~old["study"].isin(rows["study"].unique())], rows])
    place = {name: n for n, name in enumerate(STUDIES)}
    rows = rows.sort_values("study", key=lambda s: s.map(place), kind="stable")
    beside = MEASURED.with_suffix(".tmp")
    rows.to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, MEASURED)


# The page ---------------------------------------------------------------------------------------------------------------


def page() -> str:
    """Draw notebooks/REPRODUCTION.md from the committed rows alone."""
    rows, real, pilot = measured(), pd.read_csv(REAL_ROWS), mm.load("bazaar")
    parts = [HEAD.format(seeds=_seeds(rows), minutes=rows["seconds fit"].sum() / 60), "## What the papers claim\n"]
    parts += [_claims(rows), "\nWith one seed there is no noise to compare with, and nothing is told apart.\n"]
    for paper, others in BESIDE.items():
        parts += [
            f"\n## {paper}\n",
            "| artefact | the paper says | on Bazaar | τ with the paper | on real sets | command |",
        ]
        parts += ["|---|---|---|---|---|---|"]
        lines = {s.artefact: _line(s, rows, real) for s in STUDIES.values() if s.paper == paper}
        others = {
            a: tuple(PILOT[cell](pilot) if cell in PILOT else cell for cell in cells) for a, cells in others.items()
        }
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


def _seeds(rows: pd.DataFrame) -> str:
    return ", ".join(map(str, sorted(rows["seed"].unique())))


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
    chance = f"noise {limit:.4f}" if limit == limit else ("one seed" if seeds == 1 else "no noise to compare with")
    return f"{'; '.join(said)}. *{study.metric}, {chance}*"


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


def _real(study: Study, real: pd.DataFrame) -> str:
    """The paper's method against LightGCN on the real sets, for the tables that compare methods."""
    if not study.lesson.startswith("07"):
        return "not run"
    mine = real[real["method"] == study.paper.lower()]
    out = []
    for name, group in mine.groupby("data"):
        base = real[(real["data"] == name) & (real["method"] == "lightgcn")]["recall@20"]
        if len(base):
            gap, spread = group["recall@20"].mean() - base.mean(), max(group["recall@20"].std(), base.std())
            beats = f"{group['recall@20'].mean():.3f} against LightGCN's {base.mean():.3f}"
            out.append(
                f"{name}: {beats}" + (" (within a seed's spread)" if spread == spread and abs(gap) < spread else "")
            )
    return "; ".join(out) or "not run"


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


def main() -> None:
    """Measure what is asked for, then draw the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", help="names or beginnings of names (MICRO, 'PAMD Table 3'); default: all")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--draw-only", action="store_true", help="from the committed rows, without measuring")
    parser.add_argument("--no-keep", action="store_true", help="measure into build/reproduction alone")
    args = parser.parse_args()
    if not args.draw_only:
        chosen = [n for n in STUDIES if not args.studies or n.startswith(tuple(args.studies))]
        started = time.perf_counter()
        rows = measure(chosen, tuple(args.seeds), args.jobs)
        if not args.no_keep:
            keep(rows)
        print(f"{len(chosen)} studies in {time.perf_counter() - started:.0f} s")
    if not args.no_keep:
        draw()


if __name__ == "__main__":
    main()
