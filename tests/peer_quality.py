"""Quality and cost of other libraries' methods beside ours: python -m tests.peer_quality bazaar "cornac bpr" lightgcn

Each is run on the same splits and measured by our metrics. A seed draws the split, too. A peer's settings are chosen
by *validation* recall with seed 0 from the small grid below, and only those are run with the other seed; ours have the
profile "lecture". The rows go to figures/peers.csv; runs are kept in build/peers, so a stopped call goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import mmrec_lite as mm
from mmrec_lite.experiments import PEERS, run_peer
from tests import real_data

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "peers.csv"
KEPT = REPOSITORY / "build" / "peers"
SEEDS = (0, 1)
OURS = ("popularity", "item_knn", "mf", "vbpr", "lightgcn", "micro", "sasrec")
METRICS = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")
RATES = (1e-3, 5e-3)
REG_WEIGHTS = (1e-4, 1e-2, 1e-1)  # RecBole's own default is 1e-5
_REGULARISED = tuple({"learning_rate": rate, "reg_weight": weight} for rate in RATES for weight in REG_WEIGHTS)
GRIDS: dict[str, tuple[dict, ...]] = {
    "recbole lightgcn": _REGULARISED,
    "recbole sgl": _REGULARISED,
    "recbole itemknn": ({"k": 20}, {"k": 100}),
    "recbole sasrec": ({"epochs": 20},),  # many seconds an epoch: a padded row of 50 for every prefix
    "cornac bpr": tuple({"epochs": n, "lambda_reg": l2} for n in (100, 400) for l2 in (0.01, 0.05)),
    "cornac vbpr": ({"epochs": 20}, {"epochs": 60}),
}


def rows_of(data: str, shared: Path, name: str) -> list[dict]:
    """Choose settings, run every seed, return the rows."""
    protocol = "leave-one-out" if "sasrec" in name else "ratio"
    dataset = mm.load("bazaar") if data == "bazaar" else real_data.load(data, shared / data)
    if name not in PEERS:
        found = [
            mm.run(name, dataset, protocol=protocol, seed=s, split_seed=s, profile="lecture", save=KEPT) for s in SEEDS
        ]
        tried, settings = 1, {}
    else:
        grid = GRIDS[name]
        first = [run_peer(name, dataset, protocol=protocol, save=KEPT, threads=1, **settings) for settings in grid]
        best = max(range(len(grid)), key=lambda n: first[n].row["valid recall@20"])
        tried, settings = len(grid), grid[best]
        more = [
            run_peer(name, dataset, protocol=protocol, seed=s, split_seed=s, save=KEPT, threads=1, **settings)
            for s in SEEDS[1:]
        ]
        found = [first[best], *more]
    chosen = " ".join(f"{key}={value}" for key, value in settings.items())
    head = {"data": data, "protocol": protocol, "method": name}
    return [
        head
        | {"seed": seed, "tried": tried, "settings": chosen}
        | {metric: result.metrics[metric] for metric in METRICS}
        | {"epochs": result.row["epochs trained"], "seconds": result.row["seconds fit"]}
        for seed, result in zip(SEEDS, found, strict=True)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=("bazaar", *sorted(real_data.STUDIES)))
    parser.add_argument("methods", nargs="*", default=[*OURS, *PEERS])
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared" / "data")
    args = parser.parse_args()
    for method in args.methods:
        measured = pd.DataFrame(rows_of(args.data, args.shared, method))
        real_data.keep(measured, ROWS, ("data", "protocol", "method", "seed"))
        print(measured[["data", "method", "seed", "settings", "recall@20", "epochs"]].to_string(), flush=True)
