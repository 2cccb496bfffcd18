"""Methods on real data sets that may not ship with the project: python -m tests.real_data tiktok

Each method's settings are chosen from a small grid by its *validation* metric with seed 0; only the chosen one is then
run with the other seeds, and only its test metrics are reported. The rows go to figures/real_data.csv, with how many
settings were tried. Runs are kept in build/real, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data.readers import read_frames
from mmrec_lite.features.text import TextEncoder, encode_sentences

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "real_data.csv"
SEEDS = (0, 1, 2)
KEPT = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")


@dataclass(frozen=True)
class Study:
    """What is run on one data set: how it is read, the protocol, and the settings each method may choose from."""

    read: Callable[[Path], mm.MultimodalDataset]
    protocol: str
    grids: dict[str, tuple[dict, ...]]
    common: dict = field(default_factory=dict)


def _tiktok(folder: Path) -> mm.MultimodalDataset:
    features = {name: folder / f"{name}_feat.npy" for name in ("image", "audio")}
    return read_frames(folder / "interactions.parquet", features=features, name="tiktok")


def _giftcards(folder: Path) -> mm.MultimodalDataset:
    """Gift cards with their reviews as sentence vectors of the packaged MiniLM, titles and descriptions likewise."""
    cards = read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        images=folder / "images",
        text=("title", "description"),
        name="giftcards",
    )
    encoder = TextEncoder("offline")
    reviews, _ = encode_sentences(list(cards.interactions["review"]), encoder, rows="interactions")
    return cards.replace(
        features={"text": encoder.encode(list(cards.items["text"])).astype(np.float16)}, sequences={"reviews": reviews}
    )


_MICRO = {"negatives": 1024, "patience": 12, "lr": 1e-3}
_SMALL = {"epochs": 60, "patience": 10, "lr": 5e-3}
_MCPTR = _SMALL | {"pretrain_lr": 5e-3, "pretrain_epochs": 30, "adapter_dim": 128, "n_candidates": 16}
STUDIES = {
    "amazon_giftcards": Study(
        read=_giftcards,
        protocol="ratio",
        common={"monitor": "recall@20"},
        grids={
            "popularity": ({},),
            "content_knn": ({},),
            "lightgcn": (_SMALL, _SMALL | {"layers": 3}),
            "mixgcf": (_SMALL | {"n_candidates": 16}, _SMALL | {"n_candidates": 64}),
            "mcptr": tuple(
                _MCPTR | change
                for change in ({}, {"start_scale": 0.2}, {"norm": "sym"}, {"modalities": "reviews,graph"})
            ),
            "micro": (_SMALL, _SMALL | {"variant": "w/o contrast"}),
        },
    ),
    "tiktok": Study(
        read=_tiktok,
        protocol="given",
        common={"monitor": "recall@20"},
        grids={
            "popularity": ({},),
            "content_knn": ({},),
            "lightgcn": tuple(
                {"lr": 1e-3, "patience": 12, "layers": layers, "l2": l2} for layers in (2, 3) for l2 in (1e-4, 1e-3)
            ),
            "micro": (
                _MICRO,
                _MICRO | {"lam": 0.9},
                _MICRO | {"k": 5},
                _MICRO | {"beta": 0.1},
                _MICRO | {"variant": "w/o contrast"},
                _MICRO | {"lam": 0.9, "beta": 0.1},
            ),
        },
    ),
}


def measure(name: str, folder: Path, methods: list[str] | None = None) -> pd.DataFrame:
    """Choose each method's settings on validation, then run them with every seed; return one row a run."""
    study = STUDIES[name]
    data = study.read(folder)
    rows = []
    for method, grid in study.grids.items():
        if methods and method not in methods:
            continue
        accepted = set(mm.create(method, mm.split(data, study.protocol)).config.model_dump())
        common = {k: v for k, v in study.common.items() if k in accepted}
        found = [_run(method, data, study, 0, common | settings) for settings in grid]
        valid = [_validation(result) for result in found]
        for settings, value in zip(grid, valid, strict=True):
            print(name, method, settings, "validation:", value, flush=True)
        best = int(np.argmax(valid)) if len(grid) > 1 else 0
        for seed in SEEDS:
            result = _run(method, data, study, seed, common | grid[best]) if seed else found[best]
            rows.append({"data": name, "protocol": study.protocol, "method": method, "seed": seed, "tried": len(grid)})
            rows[-1] |= {"settings": " ".join(f"{k}={v}" for k, v in grid[best].items()), "valid": _validation(result)}
            rows[-1] |= {key: result.metrics[key] for key in KEPT} | {"seconds": result.row["seconds fit"]}
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def _run(method: str, data: mm.MultimodalDataset, study: Study, seed: int, settings: dict) -> mm.Result:
    save = REPOSITORY / "build" / "real"
    return mm.run(method, data, protocol=study.protocol, seed=seed, save=save, **settings)


def _validation(result: mm.Result) -> float:
    """Return the last trained stage's best validation metric (NaN where nothing is trained)."""
    values = [v for k, v in result.row.items() if k.endswith(" best metric")]
    return values[-1] if values else float("nan")


def keep(rows: pd.DataFrame) -> None:
    """Put the rows into the committed file in place of those of the same data set and method."""
    if ROWS.exists():
        old = pd.read_csv(ROWS)
        again = set(map(tuple, rows[["data", "method"]].to_numpy()))
        rows = pd.concat([old[[tuple(pair) not in again for pair in old[["data", "method"]].to_numpy()]], rows])
    beside = ROWS.with_suffix(".tmp")
    rows.sort_values(["data", "method", "seed"]).to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, ROWS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=sorted(STUDIES))
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    args = parser.parse_args()
    keep(measure(args.data, args.shared / "data" / args.data, args.methods))
