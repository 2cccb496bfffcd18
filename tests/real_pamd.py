"""PAMD and LightGCN on real data under leave-one-out: python -m tests.real_pamd movielens_small_mm

The data may not ship with the project. Settings are chosen from a small grid by the *validation* Recall@20 with seed 0;
the chosen one is run with every seed of SEEDS. The rows go to figures/real_pamd.csv with what was tried. Vectors are
made once (the packaged MiniLM, the shop's small picture encoder) and kept in build/real.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.readers import read_frames

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "real_pamd.csv"
CACHE = REPOSITORY / "build" / "real"
KEPT = ("recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@20", "ndcg@20")
SEEDS = (0, 1, 2)


def beauty(folder: Path) -> MultimodalDataset:
    """Amazon Beauty: order and text vectors, no pictures."""
    return read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        {"text": folder / "text_feat.npy"},
        timestamp="pos",
        split="split_loo",
        missing="zero",
        name="beauty",
    )


def movielens(folder: Path) -> MultimodalDataset:
    """MovieLens small: overviews by MiniLM; posters by the shop's small encoder, which never saw a poster."""
    from mmrec_lite.features.image import ImageEncoder
    from mmrec_lite.features.text import TextEncoder

    movies = read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        images=folder / "images",
        split="split_loo",
        text=("title", "overview"),
        name="movielens",
    )
    pictures = [movies.image(item) for item in range(movies.n_items)]
    there = np.array([picture is not None for picture in pictures])
    image = np.zeros((movies.n_items, 64), dtype=np.float16)
    image[there] = ImageEncoder("bazaar").encode([picture for picture in pictures if picture is not None])
    words = movies.items["text"].fillna("").tolist()
    written = np.array([bool(text.strip()) for text in words])
    text = np.asarray(TextEncoder().encode(words), dtype=np.float16) * written[:, None]
    return movies.replace(features={"image": image, "text": text}, present={"image": there, "text": written})


_PAMD = {"profile": "lecture", "monitor": "recall@20", "order": "infonce", "batch_size": 4096, "patience": 5}
_LIGHTGCN = [{"lr": 3e-3, "patience": 5, "layers": layers, "epochs": 60} for layers in (2, 3)]
STUDIES = {
    "movielens_small_mm": (
        movielens,
        {
            "popularity": [{}],
            "lightgcn": _LIGHTGCN,
            "pamd": [_PAMD, _PAMD | {"order": "bounded"}, _PAMD | {"base": "lightgcn++"}],
        },
    ),
    # Without pictures there is nothing to part: the encoders' own representation, and interactions alone.
    "amazon_beauty": (
        beauty,
        {
            "popularity": [{}],
            "lightgcn": _LIGHTGCN,
            "pamd": [_PAMD | {"variant": "features"}, _PAMD | {"variant": "features", "base": "lightgcn++"}],
        },
    ),
}


def load(name: str, folder: Path) -> MultimodalDataset:
    """Read a data set with its vectors, and keep the whole in build/real."""
    kept = CACHE / f"{name}-pamd"
    return mm.load(kept if kept.exists() else STUDIES[name][0](folder).save(kept))


def measure(name: str, data: MultimodalDataset, methods: list[str]) -> pd.DataFrame:
    """Choose each method's settings on validation with seed 0, then run them with every seed; one row a run."""
    rows = []
    for method, grid in STUDIES[name][1].items():
        if methods and method not in methods:
            continue
        found = []
        for settings in grid:
            valid, _ = _run(method, data, 0, settings)
            found.append((valid, settings))
            print(name, method, settings, f"validation {valid:.4f}", flush=True)
        settings = max(found, key=lambda one: one[0])[1]
        for seed in SEEDS if method != "popularity" else (0,):
            valid, result = _run(method, data, seed, settings)
            row = {"data": name, "method": method, "seed": seed, "tried": len(grid), "valid": valid}
            row["settings"] = " ".join(f"{key}={value}" for key, value in settings.items())
            row |= {key: result.metrics[key] for key in KEPT}
            row |= {"epochs": result.row["epochs trained"], "seconds": round(result.row["seconds fit"], 1)}
            rows.append(row)
            print(row, flush=True)
    return pd.DataFrame(rows)


def _run(method: str, data: MultimodalDataset, seed: int, settings: dict) -> tuple[float, mm.Result]:
    """One run, read from build/real where it is there already, and its best validation metric."""
    result = mm.run(method, data, protocol="given", seed=seed, save=CACHE / "runs", progress=False, **settings)
    valid = [value for key, value in result.row.items() if key.endswith(" best metric") and value == value]
    return (valid[-1] if valid else float("nan")), result


def keep(rows: pd.DataFrame) -> None:
    """Put the rows into the committed file in place of those of the same data set and method."""
    if ROWS.exists():
        rows = pd.concat([pd.read_csv(ROWS), rows]).drop_duplicates(["data", "method", "seed"], keep="last")
    beside = ROWS.with_suffix(".tmp")
    rows.sort_values(["data", "method", "seed"]).to_csv(beside, index=False, float_format="%.5g")
    os.replace(beside, ROWS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=sorted(STUDIES))
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    args = parser.parse_args()
    keep(measure(args.data, load(args.data, args.shared / "data" / args.data), args.methods))
