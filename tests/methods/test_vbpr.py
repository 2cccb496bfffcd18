"""VBPR against a loop over Eq. 8, and what it must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from tests.tiny import tiny_shop

FAST = {"dim": 5, "content_dim": 4, "batch_size": 64}


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def test_the_score_is_equation_8(split):
    model = mm.create("vbpr", split, **FAST).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    got = model.eval().score(torch.arange(4))
    value = {name: tensor.detach().numpy() for name, tensor in model.named_parameters()}
    columns = []
    for name in ("image", "text"):
        x = split.dataset.dense(name).astype(np.float64)
        columns.append((x - x.mean(0)) / (x.std(0) + 1e-6) / np.sqrt(x.shape[1]))
    f = np.concatenate(columns, axis=1)
    for u in range(4):
        for i in range(split.n_items):
            expected = value["bias"][i] + sum(value["user"][u, d] * value["item"][i, d] for d in range(5))
            for a in range(4):
                expected += value["taste"][u, a] * sum(value["project"][k, a] * f[i, k] for k in range(f.shape[1]))
            expected += sum(value["content_bias"][k] * f[i, k] for k in range(f.shape[1]))
            assert got[u, i].item() == pytest.approx(expected, rel=1e-5, abs=1e-5)  # features are kept in float32


def test_every_parameter_learns_and_the_same_seed_gives_the_same(split):
    reports = []
    for _ in range(2):
        model = mm.create("vbpr", split, profile="lecture", seed=1, **FAST)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        mm.fit(model, split, epochs=8, progress=False)
        assert all((p != before[name]).any() for name, p in model.named_parameters())
        reports.append(mm.evaluate(model, split).metrics)
    assert reports[0] == reports[1]
    assert reports[0]["recall@10"] > mm.run("random", split.dataset).metrics["recall@10"]


def test_content_scores_an_item_that_nobody_took():
    cold = mm.split(tiny_shop(), "cold-items", seed=0)
    model = mm.create("vbpr", cold, profile="lecture", **FAST)
    mm.fit(model, cold, epochs=30, progress=False)
    random = mm.evaluate(mm.create("random", cold), cold, candidates="held-out", ks=(1,)).metrics["recall@1"]
    assert mm.evaluate(model, cold, candidates="held-out", ks=(1,)).metrics["recall@1"] > random


def test_missing_content_is_zero_and_no_content_is_refused(split):
    data = split.dataset
    present = np.ones(data.n_items, dtype=bool)
    present[3] = False
    image = data.features["image"].copy()
    image[3] = 0
    lacking = data.replace(features={"image": image}, present={"image": present})
    model = mm.create("vbpr", mm.split(lacking, "ratio", seed=0), **FAST)
    assert (model.features[3] == 0).all() and (model.features[4] != 0).any()
    bare = mm.split(data.replace(features={}, present={}, sequences={}), "ratio", seed=0)
    with pytest.raises(ValueError, match="vbpr needs features, but data set 'tiny' has none"):
        mm.create("vbpr", bare, **FAST)


def test_modalities_are_chosen(split):
    assert mm.create("vbpr", split, modalities="text", **FAST).features.shape[1] == 9
    assert mm.create("vbpr", split, **FAST).features.shape[1] == 21


def test_the_loss_is_the_same_whether_items_or_differences_are_projected(split):
    """Many items for a batch: only differences of features are projected, to the same loss and gradient."""
    few, many = (mm.create("vbpr", split, seed=0, **FAST | {"batch_size": size}).double() for size in (1000, 5))
    many.load_state_dict(few.state_dict())
    batch = next(iter(few.batches(torch.Generator().manual_seed(0))))
    many.margins, called = (lambda b, margins=many.margins: called.append(1) or margins(b)), []
    for model in (few, many):
        sum(model.loss(batch).values()).backward()
    assert called == [1]
    for one, other in zip(few.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)
    assert few.loss(batch)["bpr"].item() == pytest.approx(many.loss(batch)["bpr"].item(), rel=1e-12)


def test_a_constant_column_tells_nothing(split):
    """Its standard deviation is whatever its mean was rounded by, and would blow it up."""
    shop = split.dataset
    image = shop.features["image"].copy()
    image[:, 0], image[:, 1] = 12_345.678, 1_000 + 6e-5 * (np.arange(len(image)) % 2)
    model = mm.create("vbpr", mm.split(shop.replace(features={"image": image}), "ratio", seed=0), **FAST)
    assert not model.features[:, :2].any() and float(model.features.abs().max()) < 5
