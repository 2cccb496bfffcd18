"""From raw posters, overviews and reviews to a trained MICRO and MP4SR, in one run:

python -m tests.raw_to_trained movielens_small_mm --shared ../shared
python -m tests.raw_to_trained amazon_giftcards --shared ../shared

The raw tables are first written as the source's own files (ratings.csv, movies.csv; Category_5.json.gz, meta), read by
the source's reader, encoded by the packaged MiniLM and the image encoder trained on the embedded shop, and trained
with the lecture profile. That image encoder knows drawings of the shop and nothing of films or gift cards: its vectors
are a weak stand-in for a CLIP trained on photographs. Rows go to figures/raw_to_trained.csv. Vectors stay in build/raw.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import time
from pathlib import Path

import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data.readers import Filters, read_amazon_2018, read_movielens
from mmrec_lite.data.sample import shuffle_features
from mmrec_lite.features import ImageEncoder, TextEncoder, add_features, word_list

REPOSITORY = Path(__file__).resolve().parents[1]
WORK, ROWS = REPOSITORY / "build" / "raw", REPOSITORY / "figures" / "raw_to_trained.csv"
ALL = Filters(1, 1)


def movielens(folder: Path, raw: Path) -> mm.MultimodalDataset:
    """Write ml-latest-small's files with an overviews table and posters called after the movieId, and read them."""
    log, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("interactions", "items"))
    number = items["movieId"].to_numpy()
    table = pd.DataFrame({"userId": log["user"] + 1, "movieId": number[log["item"]], "rating": log["rating"]})
    table.assign(timestamp=log["timestamp"]).to_csv(raw / "ratings.csv", index=False)
    items[["movieId", "title", "genres"]].to_csv(raw / "movies.csv", index=False)
    items[["movieId", "overview"]].to_csv(raw / "overviews.csv", index=False)
    _pictures(folder / "images", raw / "pictures", items["movieId"])
    return read_movielens(raw, raw / "overviews.csv", raw / "pictures", filters=ALL, name="movielens")


def giftcards(folder: Path, raw: Path) -> mm.MultimodalDataset:
    """Write Amazon's files of 2018 and read them, reviews among them."""
    log, items = (pd.read_parquet(folder / f"{name}.parquet") for name in ("interactions", "items"))
    asin = items["asin"].to_numpy()
    with gzip.open(raw / "Gift_Cards_5.json.gz", "wt") as file:
        for row in log.itertuples():
            review = {"reviewerID": f"U{row.user:05d}", "asin": asin[row.item], "overall": float(row.rating)}
            review |= {"unixReviewTime": int(row.timestamp), "reviewText": row.review, "summary": row.summary}
            file.write(json.dumps(review) + "\n")
    with gzip.open(raw / "meta_Gift_Cards.json.gz", "wt") as file:
        for row in items.itertuples():
            product = {"asin": row.asin, "title": row.title, "brand": row.brand, "description": [row.description]}
            file.write(json.dumps(product) + "\n")
    _pictures(folder / "images", raw / "pictures", items["asin"])
    return read_amazon_2018(
        raw / "Gift_Cards_5.json.gz", raw / "meta_Gift_Cards.json.gz", raw / "pictures", filters=ALL, name="giftcards"
    )


def _pictures(source: Path, target: Path, ids: pd.Series) -> None:
    target.mkdir()
    for row, name in enumerate(ids):
        if (source / f"{row}.jpg").is_file():
            shutil.copyfile(source / f"{row}.jpg", target / f"{name}.jpg")


SOURCES = {"movielens_small_mm": movielens, "amazon_giftcards": giftcards}


def prepare(name: str, folder: Path) -> mm.MultimodalDataset:
    """Read, encode and keep a data set; what was encoded before is not encoded again."""
    kept = WORK / name / "data"
    if not kept.exists():
        raw = WORK / name / "files"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        data = SOURCES[name](folder, raw)
        start = time.perf_counter()
        text, image = TextEncoder(), ImageEncoder("bazaar")
        # The small CLIP's tokenizer knows the shop's words alone: films are "described" by those, for want of better.
        words = word_list(mm.load("bazaar").items["text"])
        data, report = add_features(data, text, image, vocabulary=words, cache=WORK / "vectors")
        print(
            f"{text.encoded} texts and {report.read} pictures in {time.perf_counter() - start:.0f} s, {report.card()}"
        )
        data.save(kept)
    return mm.load(kept)


def train(name: str, data: mm.MultimodalDataset, methods: list[str], settings: dict[str, int]) -> None:
    """Train each method on a leave-one-out split, MICRO with shuffled features too; `settings`: MICRO, MP4SR."""
    shuffled = shuffle_features(data, seed=1)
    plans = {
        "popularity": ("popularity", data, {}),
        "lightgcn": ("lightgcn", data, {}),
        "micro": ("micro", data, {}),
        "micro, shuffled": ("micro", shuffled, {}),
        "micro, image": ("micro", data, {"modalities": ("image",)}),
        "micro, text": ("micro", data, {"modalities": ("text",)}),
        "sasrec": ("sasrec", data, {}),
        "mp4sr": ("mp4sr", data, {"pretrain_epochs": 5}),
        "mcptr": ("mcptr", data, {} if "reviews" in data.sequences else {"modalities": ("text", "image", "graph")}),
    }
    for label, (method, source, hyper) in plans.items():
        if methods and label not in methods:
            continue
        hyper = hyper | {name: value for name, value in settings.items() if method in ("micro", "mp4sr")}
        result = mm.run(method, source, protocol="leave-one-out", seed=0, profile="lecture", **hyper)
        row = {"data": name, "method": label, "settings": " ".join(f"{k}={v}" for k, v in hyper.items())}
        row |= {key: result.metrics[key] for key in ("recall@20", "ndcg@20")}
        row |= {"seconds": result.row["seconds fit"], "users": data.n_users, "items": data.n_items}
        print(row, flush=True)
        keep(row)


def keep(row: dict) -> None:
    """Put a row into the committed file in place of the one of the same data set and method."""
    rows = pd.DataFrame([row])
    if ROWS.exists():
        old = pd.read_csv(ROWS)
        same = (old["data"] == row["data"]) & (old["method"] == row["method"])
        rows = pd.concat([old[~same], rows])
    beside = ROWS.with_suffix(".tmp")
    rows.sort_values(["data", "method"]).to_csv(beside, index=False, float_format="%.4f")
    os.replace(beside, ROWS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=sorted(SOURCES))
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--shared", type=Path, default=REPOSITORY.parent / "shared")
    parser.add_argument("--epochs", type=int, help="most epochs of MICRO and MP4SR, to end sooner")
    args = parser.parse_args()
    settings = {} if args.epochs is None else {"epochs": args.epochs}
    train(args.data, prepare(args.data, args.shared / "data" / args.data), args.methods, settings)
