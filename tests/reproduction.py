"""Every table and figure of the four papers on the embedded shop: `make reproduction`.

Trains the cells of all studies (lecture profile, two seeds), keeps runs in build/reproduction so that a stopped call
goes on where it was, writes their figures to mmrec_lite/experiments/measured.csv, and draws notebooks/REPRODUCTION.md
from that file, figures/real_data.csv and the papers' printed values.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd

from mmrec_lite.experiments import STUDIES, run_studies

REPOSITORY = Path(__file__).resolve().parents[1]
KEPT = REPOSITORY / "build" / "reproduction"
MEASURED = REPOSITORY / "mmrec_lite" / "experiments" / "measured.csv"
SEEDS = (0, 1)
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


if __name__ == "__main__":
    main()
