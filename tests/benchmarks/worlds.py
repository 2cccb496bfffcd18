"""A made-up catalogue of the size of Amazon Baby: 19,445 users, 7,050 items, about 139,000 interactions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset

USERS, ITEMS, INTERACTIONS, CLUSTERS = 19_445, 7_050, 139_110, 120
DIMS = {"image": 4096, "text": 1024}


def baby(seed: int = 0) -> MultimodalDataset:
    """Items lie around cluster centres; users like a few clusters; features show the items' place with noise."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLUSTERS, 48))
    cluster = rng.integers(CLUSTERS, size=ITEMS)
    place = centres[cluster] + 0.6 * rng.normal(size=(ITEMS, 48))
    popularity = -0.55 * np.log(rng.permutation(ITEMS) + 1)
    degree = 3 + rng.geometric(1 / (INTERACTIONS / USERS - 2), size=USERS)
    users, items = [], []
    for start in range(0, USERS, 1000):
        block = degree[start : start + 1000]
        taste = centres[rng.integers(CLUSTERS, size=(len(block), 2))].mean(axis=1) * 1.5
        taste += 0.45 * rng.normal(size=taste.shape)
        utility = 0.15 * taste @ place.T + popularity + rng.gumbel(size=(len(block), ITEMS))
        order = np.argpartition(-utility, int(block.max()), axis=1)[:, : int(block.max())]
        order = np.take_along_axis(order, np.argsort(-np.take_along_axis(utility, order, 1), axis=1), 1)
        keep = np.arange(order.shape[1]) < block[:, None]
        users.append(np.repeat(np.arange(start, start + len(block)), block))
        items.append(order[keep])
    features = {}
    for name, (part, noise) in {"image": (slice(0, 36), 2.2), "text": (slice(12, 48), 1.8)}.items():
        d = DIMS[name]
        signal = place[:, part] @ rng.normal(size=(36, d)) / 6
        features[name] = (signal + noise * rng.normal(size=(ITEMS, d))).astype(np.float32)
    features["image"] = np.maximum(features["image"] - 1, 0)
    return MultimodalDataset(
        name="baby-size",
        users=pd.DataFrame({"user_id": np.arange(USERS).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(ITEMS).astype(str)}),
        interactions=pd.DataFrame({"user": np.concatenate(users), "item": np.concatenate(items)}),
        features=features,
    )


def folder(root: Path) -> Path:
    """Return the saved data set below a folder, made when it is not there yet."""
    target = root / "baby-size"
    return target if target.exists() else baby().save(target)


if __name__ == "__main__":
    print(folder(Path(sys.argv[1])))
