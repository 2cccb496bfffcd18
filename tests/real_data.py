"""Methods on real data sets that may not ship with the project: python -m tests.real_data tiktok micro lightgcn

Each method's settings are chosen from a small grid by its *validation* metric with seed 0; only the chosen ones are
run with the other seeds, and only their test metrics are reported. The rows go to figures/real_data.csv, with how many
settings were tried. Encoded data sets, runs and checkpoints are kept in build/real, so a stopped call goes on where it
was. Grids and epochs are small, for two cores: where the best epoch is the last one, a row says what that budget
gives, not what the method can do.
"""

from __future__ import annotations

import argparse
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.readers import read_frames

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "real_data.csv"
CACHE = REPOSITORY / "build" / "real"
SEEDS = (0, 1, 2)
KEPT = ("recall@10", "ndcg@10", "recall@20", "ndcg@20")  # with one test item a user, recall is the hit rate
UNTRAINED = ("popularity", "content_knn")


# The data sets, as they come ---------------------------------------------------------------------------------------


def tiktok(folder: Path) -> MultimodalDataset:
    """Pictures and sound, no text, no time; the published split."""
    features = {name: folder / f"{name}_feat.npy" for name in ("image", "audio")}
    return read_frames(folder / "interactions.parquet", features=features, name="tiktok")


def beauty(folder: Path) -> MultimodalDataset:
    """Order and a phrase an item, no pictures; the published leave-one-out split."""
    return read_frames(
        folder / "interactions.parquet", folder / "items.parquet", timestamp="pos", split="split_loo", name="beauty"
    )


def films(folder: Path) -> MultimodalDataset:
    """The films as they come, with posters and overviews, without vectors."""
    return read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        images=folder / "images",
        split="split_loo",
        text=("title", "overview"),
        name="movielens",
    )


def movielens(folder: Path) -> MultimodalDataset:
    """Overviews as text; posters as vectors of the shop's small encoder, which never saw a poster."""
    from mmrec_lite.features.image import ImageEncoder

    movies = films(folder)
    pictures = [movies.image(item) for item in range(movies.n_items)]
    there = np.array([picture is not None for picture in pictures])
    vectors = np.zeros((movies.n_items, 64), dtype=np.float16)
    vectors[there] = ImageEncoder("bazaar").encode([picture for picture in pictures if picture is not None])
    return movies.replace(features={"image": vectors}, present={"image": there})


def giftcards(folder: Path) -> MultimodalDataset:
    """Titles, descriptions and reviews; a smoke test: 148 items."""
    from mmrec_lite.features.text import TextEncoder, encode_sentences

    cards = read_frames(
        folder / "interactions.parquet",
        folder / "items.parquet",
        images=folder / "images",
        text=("title", "description"),
        name="giftcards",
    )
    reviews, _ = encode_sentences(list(cards.interactions["review"]), TextEncoder(), rows="interactions")
    return cards.replace(sequences={"reviews": reviews})


def with_text(data: MultimodalDataset) -> MultimodalDataset:
    """Add the items' texts as vectors of the packaged MiniLM: whole, and sentence by sentence."""
    from mmrec_lite.features.text import TextEncoder, encode_sentences

    if "text" not in data.items:
        return data
    texts, encoder = data.items["text"].fillna("").tolist(), TextEncoder()
    written = np.array([bool(text.strip()) for text in texts])
    vectors = encoder.encode(texts).astype(np.float16) * written[:, None]
    sentences, _ = encode_sentences(texts, encoder)
    return data.replace(
        features=data.features | {"text": vectors},
        present=data.present | {"text": written},
        sequences=data.sequences | {"sentences": sentences},
    )


# What is run on them -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Study:
    """How a data set is read, the protocol, and the settings each method may choose from."""

    read: Callable[[Path], MultimodalDataset]
    protocol: str
    grids: dict[str, tuple[dict, ...]]


_REFERENCES: dict[str, tuple[dict, ...]] = {"popularity": ({},)}
_MICRO = {"negatives": 1024, "patience": 12, "lr": 1e-3}
_SMALL = {"epochs": 60, "patience": 10, "lr": 5e-3}
_MCPTR = _SMALL | {"pretrain_lr": 5e-3, "pretrain_epochs": 30, "adapter_dim": 128, "n_candidates": 16}
_PAMD = {"profile": "lecture", "monitor": "recall@20", "order": "infonce", "batch_size": 4096, "patience": 5}
_LIGHTGCN = tuple({"lr": 3e-3, "patience": 5, "layers": layers, "epochs": 60} for layers in (2, 3))
_COSINE = {"normalize": True, "temperature": 0.2, "dropout": 0.4, "lr": 2e-3, "patience": 3}
_MP4SR = {"standardize": True, "normalize": True, "finetune_temperature": 0.2, "finetune_lr": 3e-3}
_MP4SR |= {"weight_decay": 1e-5, "lr": 3e-3, "patience": 3, "finetune_batch_size": 4096}
STUDIES = {
    "tiktok": Study(
        tiktok,
        "given",
        _REFERENCES
        | {
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
    "movielens_small_mm": Study(
        movielens,
        "given",
        _REFERENCES
        | {
            "lightgcn": _LIGHTGCN,
            "sasrec": tuple({"lr": 1e-3, "patience": 3, "dropout": share, "epochs": 30} for share in (0.2, 0.5)),
            "pamd": (_PAMD, _PAMD | {"order": "bounded"}, _PAMD | {"base": "lightgcn++"}),
            "mcptr": tuple(
                _MCPTR | {"modalities": "text,image,graph", "pretrain_epochs": 10, "patience": 5} | change
                for change in ({}, {"start_scale": 0.2}, {"variant": "CLIP"})
            ),
            # Texts alone; texts by sentence with the posters' vectors as they are (there are no keywords to read).
            "mp4sr": tuple(
                _MP4SR | {"pretrain_epochs": 5, "epochs": 8} | change
                for change in ({"modalities": "text"}, {"variant": "ResNet-style"})
            ),
        },
    ),
    # Without pictures PAMD has nothing to part: the encoder's own representation is what it works with.
    "amazon_beauty": Study(
        beauty,
        "given",
        _REFERENCES
        | {
            "lightgcn": _LIGHTGCN,
            "sasrec": (_COSINE | {"epochs": 10, "batch_size": 2048},),
            "pamd": (_PAMD | {"variant": "features"}, _PAMD | {"variant": "features", "base": "lightgcn++"}),
            "mp4sr": (_MP4SR | {"modalities": "text", "pretrain_epochs": 3, "epochs": 5},),
        },
    ),
    "amazon_giftcards": Study(
        giftcards,
        "ratio",
        _REFERENCES
        | {
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
}


def load(name: str, folder: Path) -> MultimodalDataset:
    """Read a data set and encode its texts, and keep the whole in build/real."""
    kept = CACHE / name
    return mm.load(kept if kept.exists() else with_text(STUDIES[name].read(folder)).save(kept))


def measure(name: str, data: MultimodalDataset, methods: list[str], seeds: tuple[int, ...]) -> None:
    """Choose each method's settings on validation, run them with every seed, keep one row a run."""
    study = STUDIES[name]
    for method, grid in study.grids.items():
        if methods and method not in methods:
            continue
        found = [_run(name, method, data, 0, settings) for settings in grid]
        valid = [_validation(result) for result in found]
        for settings, value in zip(grid, valid, strict=True):
            print(name, method, settings, f"validation {value:.4f}", flush=True)
        best = int(np.argmax(valid)) if len(grid) > 1 else 0
        rows = []
        for seed in (0,) if method in UNTRAINED else seeds:
            result = _run(name, method, data, seed, grid[best]) if seed else found[best]
            row = {"data": name, "protocol": study.protocol, "method": method, "seed": seed, "tried": len(grid)}
            row |= {"settings": " ".join(f"{k}={v}" for k, v in grid[best].items()), "valid": _validation(result)}
            row |= {key: result.metrics[key] for key in KEPT}
            rows.append(row | {"epochs": result.row["epochs trained"], "seconds": result.row["seconds fit"]})
            print(rows[-1], flush=True)
        keep(pd.DataFrame(rows))


def _run(name: str, method: str, data: MultimodalDataset, seed: int, settings: dict) -> mm.Result:
    number = zlib.crc32(str(settings).encode())
    place = {"save": CACHE / "runs", "checkpoint": CACHE / "checkpoints" / f"{name}-{method}-{number}-{seed}"}
    return mm.run(method, data, protocol=STUDIES[name].protocol, seed=seed, **place, **settings)


def _validation(result: mm.Result) -> float:
    """Return the last stage's best validation metric (NaN where nothing is trained)."""
    values = [v for k, v in result.row.items() if k.endswith(" best metric")]
    return values[-1] if values else float("nan")


def keep(rows: pd.DataFrame, file: Path = ROWS, by: Sequence[str] = ("data", "method", "seed")) -> None:
    """Put the rows into a committed file in place of those of the same data set and method."""
    if file.exists():
        old = pd.read_csv(file)
        again = set(map(tuple, rows[["data", "method"]].to_numpy()))
        rows = pd.concat([old[[tuple(pair) not in again for pair in old[["data", "method"]].to_numpy()]], rows])
    beside = file.with_suffix(".tmp")
    rows.sort_values(list(by)).to_csv(beside, index=False, float_format="%.5f")
    os.replace(beside, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=sorted(STUDIES))
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    args = parser.parse_args()
    measure(args.data, load(args.data, args.shared / "data" / args.data), args.methods, tuple(args.seeds))
