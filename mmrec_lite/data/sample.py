"""A small catalogue as a shop would export it: a CSV of orders, a table of products, a folder of photographs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .dataset import MultimodalDataset
from .errors import DataError
from .loading import load
from .storage import image_bytes

__all__ = ["SampleCatalogue", "shuffle_features", "write_sample_catalogue"]


class SampleCatalogue(NamedTuple):
    """Where the three parts lie: `orders` and `products` are CSV files, `photos` a folder."""

    orders: Path
    products: Path
    photos: Path


def write_sample_catalogue(
    folder: str | Path, items: int = 800, seed: int = 0, source: str | Path | MultimodalDataset = "bazaar"
) -> SampleCatalogue:
    """Write a random part of a data set with pictures as three files; `items` are drawn among those ever taken.

    orders.csv has customer, sku, ordered_at and stars; products.csv sku, name and description; a photo is called after
    its sku, a few products have a second one (`sku_2`). As in life some files are bad: of every 40 photos one is
    cut short, one is empty and one is not there.
    """
    shop, folder, rng = load(source), Path(folder), np.random.default_rng(seed)
    if shop.image_root is None or "image" not in shop.items:
        raise DataError(f"data set {shop.name!r} has no pictures to write.")
    taken = np.unique(shop.interactions["item"])
    chosen = np.sort(rng.choice(taken, size=min(items, len(taken)), replace=False))
    sku = np.array([f"P{n + 10_000}" for n in range(len(chosen))])
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    log = shop.interactions[shop.interactions["item"].isin(chosen)]
    orders = pd.DataFrame({"customer": shop.users["user_id"].to_numpy()[log["user"]]})
    orders["sku"] = sku[np.searchsorted(chosen, log["item"])]
    orders["ordered_at"] = pd.to_datetime(log["timestamp"].to_numpy(), unit="s").strftime("%Y-%m-%dT%H:%M:%S")
    orders["stars"] = log["rating"].to_numpy() if "rating" in log else 5.0
    table = shop.items.iloc[chosen]
    products = pd.DataFrame({"sku": sku, "name": table["title"].to_numpy(), "description": table["text"].to_numpy()})
    orders.to_csv(folder / "orders.csv", index=False)
    products.to_csv(folder / "products.csv", index=False)
    trouble = rng.permutation(len(chosen))
    each = len(chosen) // 40
    cut, empty, lost = (set(trouble[k * each : (k + 1) * each].tolist()) for k in range(3))
    for n, (name, path) in enumerate(zip(sku, table["image"], strict=True)):
        content = image_bytes(shop.image_root, path) if path else b""
        if n in lost or not path:
            continue
        content = content[: len(content) // 3] if n in cut else b"" if n in empty else content
        suffix = Path(path).suffix
        (photos / f"{name}{suffix}").write_bytes(content)
        if n % 50 == 0:
            (photos / f"{name}_2{suffix}").write_bytes(content)
    return SampleCatalogue(folder / "orders.csv", folder / "products.csv", photos)


def shuffle_features(data: MultimodalDataset, seed: int = 0) -> MultimodalDataset:
    """The data set with every item's content (vectors and sentences) handed to another item: a control.

    The vectors are the same, only whose they are is wrong. What a method gains by content must vanish.
    """
    order = np.random.default_rng(seed).permutation(data.n_items)
    return data.replace(
        features={name: vectors[order] for name, vectors in data.features.items()},
        present={name: mask[order] for name, mask in data.present.items()},
        sequences={
            name: dataclasses.replace(part, index=part.index[order]) if part.rows == "items" else part
            for name, part in data.sequences.items()
        },
        card=data.card | {"shuffled": f"feature rows permuted, seed {seed}"},
    )
