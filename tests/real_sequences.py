"""MP4SR, SASRec and LightGCN on real data under leave-one-out: python -m tests.real_sequences amazon_beauty

The data may not ship with the project. Settings are chosen from a small grid by the *validation* Recall@20 with seed 0;
`tried` says how many there were, and the chosen one's test metrics alone are kept, in figures/real_sequences.csv.
Sentence vectors are made once (the packaged MiniLM) and kept in build/real.
"""

from __future__ import annotations

import argparse
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.readers import read_frames
from mmrec_lite.features.image import ImageEncoder
from mmrec_lite.features.text import TextEncoder, encode_sentences

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "real_sequences.csv"
CACHE = REPOSITORY / "build" / "real"
KEPT = ("recall@5", "ndcg@5", "recall@10", "ndcg@10", "recall@20", "ndcg@20")  # with one test item HR is recall


def beauty(folder: Path) -> MultimodalDataset:
    """Amazon Beauty: order and a phrase an item, no pictures."""
    return read_frames(
        folder / "interactions.parquet", folder / "items.parquet", timestamp="pos", split="split_loo", name="beauty"
    )


def movielens(folder: Path) -> MultimodalDataset:
    """MovieLens small: overviews as text; posters as vectors of the shop's small encoder, which never saw a poster."""
    movies = read_frames(
        folder / "interactions.parquet", folder / "items.parquet", images=folder / "images", split="split_loo",
        text=("title", "overview"), name="movielens",
    )  # fmt: skip
    pictures = [movies.image(item) for item in range(movies.n_items)]
    there = np.array([picture is not None for picture in pictures])
    vectors = np.zeros((movies.n_items, 64), dtype=np.float16)
    vectors[there] = ImageEncoder("bazaar").encode([p for p in pictures if p is not None])
    return movies.replace(features={"image": vectors}, present={"image": there})


# The settings each method may choose from. `epochs` keeps a run within minutes on one core: where the best epoch is
# the last one, the row says what that budget gives, not what the method can do.
_COSINE = {"normalize": True, "temperature": 0.2, "dropout": 0.4, "lr": 2e-3, "patience": 3}
_MP4SR = {"standardize": True, "normalize": True, "finetune_temperature": 0.2, "finetune_lr": 3e-3}
_MP4SR |= {"weight_decay": 1e-5, "lr": 3e-3, "patience": 3}
_LIGHTGCN = [{"lr": 3e-3, "patience": 5, "layers": layers, "epochs": 60} for layers in (2, 3)]
STUDIES = {
    "amazon_beauty": (
        beauty,
        {
            "popularity": [{}],
            "lightgcn": _LIGHTGCN,
            "sasrec": [_COSINE | {"epochs": 10, "batch_size": 2048}],
            "mp4sr": [
                _MP4SR | {"modalities": "text", "pretrain_epochs": 3, "epochs": 5, "finetune_batch_size": 4096},
            ],
        },
    ),
    "movielens_small_mm": (
        movielens,
        {
            "popularity": [{}],
            "lightgcn": _LIGHTGCN,
            "sasrec": [{"lr": 1e-3, "patience": 3, "dropout": 0.2, "epochs": 30}],
            "mp4sr": [
                _MP4SR | {"modalities": "text", "pretrain_epochs": 5, "epochs": 8, "finetune_batch_size": 4096},
            ],
        },
    ),
}


def load(name: str, folder: Path) -> MultimodalDataset:
    """Read a data set, encode its texts sentence by sentence, and keep the whole in build/real."""
    kept = CACHE / name
    if not kept.exists():
        data = STUDIES[name][0](folder)
        sentences, _ = encode_sentences(data.items["text"].fillna("").tolist(), TextEncoder())
        data.replace(sequences={"sentences": sentences}).save(kept)
    return mm.load(kept)


def measure(name: str, data: MultimodalDataset, methods: list[str]) -> pd.DataFrame:
    """Choose each method's settings on validation with seed 0; keep and return one row a method, with test metrics.

    Finished epochs and runs lie in build/real, so a stopped call goes on where it was.
    """
    rows = []
    for method, grid in STUDIES[name][1].items():
        if methods and method not in methods:
            continue
        found = []
        for settings in grid:
            number = zlib.crc32(str(settings).encode())
            place = {"save": CACHE / "runs", "checkpoint": CACHE / "checkpoints" / f"{name}-{method}-{number}"}
            result = mm.run(method, data, protocol="given", progress=False, **place, **settings)
            valid = [v for key, v in result.row.items() if key.endswith(" best metric")]
            found.append((valid[-1] if valid else 0.0, settings, result))
            print(name, method, settings, f"validation {found[-1][0]:.4f}", flush=True)
        valid, settings, result = max(found, key=lambda one: one[0])
        words = " ".join(f"{key}={value}" for key, value in settings.items())
        rows.append({"data": name, "method": method, "seed": 0, "tried": len(grid), "settings": words, "valid": valid})
        rows[-1] |= {key: result.metrics[key] for key in KEPT}
        rows[-1] |= {"epochs": result.row["epochs trained"], "seconds": round(result.row["seconds fit"], 1)}
        print(rows[-1], flush=True)
        keep(pd.DataFrame(rows[-1:]))
    return pd.DataFrame(rows)


def keep(rows: pd.DataFrame) -> None:
    """Put the rows into the committed file in place of those of the same data set and method."""
    if ROWS.exists():
        rows = pd.concat([pd.read_csv(ROWS), rows]).drop_duplicates(["data", "method"], keep="last")
    beside = ROWS.with_suffix(".tmp")
    rows.sort_values(["data", "method"]).to_csv(beside, index=False, float_format="%.5g")
    os.replace(beside, ROWS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=sorted(STUDIES))
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    args = parser.parse_args()
    measure(args.data, load(args.data, args.shared / "data" / args.data), args.methods)
