"""Made-up catalogues of the sizes of published sets, Amazon Baby's among them, and a tenth of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset

SIZES = {  # users, items, interactions
    "baby": (19_445, 7_050, 139_110),
    "baby-tenth": (1_944, 705, 13_911),
    "sports": (35_598, 18_357, 256_308),
    "clothing": (39_387, 23_033, 237_488),
}
CLUSTERS = 120
DIMS = {"image": 4096, "text": 1024}


def make(size: str, seed: int = 0) -> MultimodalDataset:
    """Items lie around cluster centres; users like a few clusters; features show the items' place with noise."""
    n_users, n_items, interactions = SIZES[size]
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, 48))
    cluster = rng.integers(CLUSTERS, size=n_items)
    place = centres[cluster] + 0.6 * rng.normal(size=(n_items, 48))
    popularity = -0.55 * np.log(rng.permutation(n_items) + 1)
    degree = 3 + rng.geometric(1 / (interactions / n_users - 2), size=n_users)
    users, items = [], []
    for start in range(0, n_users, 1000):
        block = degree[start : start + 1000]
        taste = centres[rng.integers(CLUSTERS, size=(len(block), 2))].mean(axis=1) * 1.5
        taste += 0.45 * rng.normal(size=taste.shape)
        utility = 0.15 * taste @ place.T + popularity + rng.gumbel(size=(len(block), n_items))
        order = np.argpartition(-utility, int(block.max()), axis=1)[:, : int(block.max())]
        order = np.take_along_axis(order, np.argsort(-np.take_along_axis(utility, order, 1), axis=1), 1)
        keep = np.arange(order.shape[1]) < block[:, None]
        users.append(np.repeat(np.arange(start, start + len(block)), block))
        items.append(order[keep])
    features = {}
    for name, (part, noise) in {"image": (slice(0, 36), 2.2), "text": (slice(12, 48), 1.8)}.items():
        d = DIMS[name]
        signal = place[:, part] @ rng.normal(size=(36, d)) / 6
        features[name] = (signal + noise * rng.normal(size=(n_items, d))).astype(np.float32)
    features["image"] = np.maximum(features["image"] - 1, 0)
    return MultimodalDataset(
        name=f"{size}-size",
        users=pd.DataFrame({"user_id": np.arange(n_users).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(n_items).astype(str)}),
        interactions=pd.DataFrame({"user": np.concatenate(users), "item": np.concatenate(items)}),
        features=features,
    )


def folder(root: Path, size: str = "baby") -> Path:
    """Return the saved data set below a folder, made when it is not there yet."""
    target = Path(root) / f"{size}-size"
    return target if target.exists() else make(size).save(target)


if __name__ == "__main__":
    print(folder(Path(sys.argv[1]), *sys.argv[2:]))
