"""A small made-up catalogue with structure: two tastes, features that show them, reviews left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset


def tiny_shop(
    n_users: int = 40, n_items: int = 30, per_user: int = 8, dims: tuple[int, int] = (12, 9), seed: int = 0
) -> MultimodalDataset:
    """Users like one half of the items; image and text tell the halves apart, with noise."""
    rng = np.random.default_rng(seed)
    side = np.arange(n_items) % 2
    rows = []
    for user in range(n_users):
        liked = np.where(side == user % 2, 8.0, 1.0)
        items = rng.choice(n_items, size=per_user, replace=False, p=liked / liked.sum())
        rows += [(user, item, 1_000 * user + t) for t, item in enumerate(items)]
    table = pd.DataFrame(rows, columns=["user", "item", "timestamp"])

    def features(d: int) -> np.ndarray:
        direction = rng.normal(size=d)
        return (np.outer(2 * side - 1, direction) + 0.7 * rng.normal(size=(n_items, d))).astype(np.float32)

    return MultimodalDataset(
        name="tiny",
        users=pd.DataFrame({"user_id": [f"u{u}" for u in range(n_users)]}),
        items=pd.DataFrame(
            {"item_id": [f"i{i}" for i in range(n_items)], "title": [f"thing {i}" for i in range(n_items)]}
        ),
        interactions=table,
        features={"image": features(dims[0]), "text": features(dims[1])},
    )
