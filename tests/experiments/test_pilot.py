"""MICRO's pilot study against loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.experiments.pilot import alike_pairs, users_with_alike_items
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def cosines(split, name):
    x = split.dataset.dense(name).astype(float)
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in x] for a in x])


@pytest.mark.parametrize("name", ["image", "text"])
def test_mean_cosines(split, name):
    cosine = cosines(split, name)
    baskets = [set(split.history(u).tolist()) for u in range(split.n_users)]
    pairs = list(itertools.combinations(range(split.n_items), 2))
    together = [p for p in pairs if any(p[0] in basket and p[1] in basket for basket in baskets)]
    row = alike_pairs(split).loc[name]
    assert row["all items"] == pytest.approx(np.mean([cosine[p] for p in pairs]))
    assert row["co-interacted items"] == pytest.approx(np.mean([cosine[p] for p in together]))


@pytest.mark.parametrize("k", [1, 3])
def test_users_with_alike_items(split, k):
    cosine = cosines(split, "text") - 2 * np.eye(split.n_items)
    near = {(i, j) for i in range(split.n_items) for j in np.argsort(-cosine[i], kind="stable")[:k] if cosine[i, j] > 0}
    users = [split.history(u).tolist() for u in range(split.n_users)]
    found = [any((i, j) in near for i in items for j in items) for items in users if items]
    assert users_with_alike_items(split, (k,)).loc["text", f"k={k}"] == pytest.approx(100 * np.mean(found))
