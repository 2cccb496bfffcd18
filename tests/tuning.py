"""How the *lecture* settings were chosen: `make tuning`.

Each trained method tries a small grid on the embedded shop and is judged by its *validation* metric, the mean over two
seeds that no table uses; the test parts are not looked at. The rows go to mmrec_lite/experiments/tuning.csv, and a
test holds every profile to its best row. Runs are kept in build/tuning, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

import pandas as pd

import mmrec_lite as mm

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "mmrec_lite" / "experiments" / "tuning.csv"
SEEDS = (100, 101)
L2 = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
ON_OTHERS: dict[str, dict[str, str]] = {  # a method's content in another method than its own
    "bpr++": {"method": "pamd", "base": "bpr++", "variant": "features"},  # an item's features beside its embedding
    "bpr++ with pamd": {"method": "pamd", "base": "bpr++"},
    "lightgcn with pamd": {"method": "pamd", "base": "lightgcn++"},
    "micro on mf": {"method": "micro", "backbone": "mf"},
    "micro on ngcf": {"method": "micro", "backbone": "ngcf"},
}
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {  # all other settings are the lecture profile's
    "mf": {"l2": L2},
    "ngcf": {"l2": L2},
    "lightgcn": {"l2": L2},
    "vbpr": {"l2": (*L2, 1.0)},
    "micro": {"l2": L2},
    "pamd": {"l2": (1e-3, 3e-2, 1e-1), "encoder_lr": (0.0, 1e-4, 1e-3)},
    "mixgcf": {"l2": L2},
    "mcptr": {"l2": L2},
    "sasrec": {"dropout": (0.2, 0.4, 0.6, 0.7, 0.8), "weight_decay": (0.0, 1e-3)},
    "mp4sr": {"weight_decay": (1e-5, 1e-4, 1e-3)},  # its dropout stays the paper's
}
GRIDS |= {
    label: {"l2": L2} if recipe["method"] == "micro" else {"l2": (1e-3, 3e-2), "encoder_lr": (0.0, 1e-3)}
    for label, recipe in ON_OTHERS.items()
}


def points(method: str) -> list[dict[str, float]]:
    """The settings a method may choose from."""
    return [dict(zip(GRIDS[method], values, strict=True)) for values in itertools.product(*GRIDS[method].values())]


def measure(methods: list[str], jobs: int) -> pd.DataFrame:
    """Run the grids of some methods; one row a method, setting and seed."""
    kept, shop = REPOSITORY / "build" / "tuning", mm.load("bazaar")
    options: dict[str, Any] = {"profile": "lecture", "save": kept, "jobs": jobs}
    parts = [
        mm.sweep(
            {method: ON_OTHERS.get(method, {"method": method})},
            shop,
            grid=GRIDS[method] | {"split_seed": (seed,)},
            seeds=(seed,),
            **options,
        )
        for method in methods
        for seed in SEEDS
    ]
    rows = pd.concat(parts)
    if "error" in rows and rows["error"].notna().any():
        raise SystemExit(rows.loc[rows["error"].notna(), ["label", "seed", "error"]].to_string())
    stages = [name for name in rows if name.endswith(" best metric") and not name.startswith("pretrain")]
    rows["validation"] = rows[stages].bfill(axis=1).iloc[:, 0]
    rows = rows.assign(method=rows["label"]).rename(columns={"seconds fit": "seconds", "set monitor": "monitor"})
    names = list(dict.fromkeys(name for method in methods for name in GRIDS[method]))
    return rows[["method", *names, "seed", "monitor", "validation", "seconds"]].reset_index(drop=True)


def best(rows: pd.DataFrame, method: str) -> dict[str, float]:
    """The settings of a method with the highest mean validation metric."""
    means = rows[rows["method"] == method].groupby(list(GRIDS[method]))["validation"].mean().reset_index()
    return means.loc[means["validation"].idxmax(), list(GRIDS[method])].to_dict()


def main() -> None:
    """Measure what is asked for, keep the other rows, print the choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=list(GRIDS), help="default: all")
    parser.add_argument("--jobs", type=int, default=-1, help="runs at a time; default: one a core")
    args = parser.parse_args()
    rows = measure(args.methods, args.jobs)
    if ROWS.exists():
        old = pd.read_csv(ROWS)
        rows = pd.concat([old[~old["method"].isin(args.methods)], rows])
    rows = rows.sort_values("method", key=lambda names: names.map({m: n for n, m in enumerate(GRIDS)}), kind="stable")
    beside = ROWS.with_suffix(".tmp")
    rows.to_csv(beside, index=False, float_format="%.6g")
    os.replace(beside, ROWS)
    for method in args.methods:
        print(rows[rows["method"] == method].groupby(list(GRIDS[method]))["validation"].mean().to_string())
        print(method, best(rows, method), flush=True)


if __name__ == "__main__":
    main()
