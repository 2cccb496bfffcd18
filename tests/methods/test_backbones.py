"""Backbones against the equations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.methods.backbones import MF, NGCF, LightGCN, batch_l2, make_backbone
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def adjacency(split) -> np.ndarray:
    n = split.n_users + split.n_items
    users, items = split.pairs("train")
    out = np.zeros((n, n))
    out[users, items + split.n_users] = out[items + split.n_users, users] = 1
    degree = out.sum(1)
    scale = np.where(degree > 0, np.maximum(degree, 1) ** -0.5, 0)
    return scale[:, None] * out * scale


def test_lightgcn_is_the_mean_of_its_layers(split):
    model = mm.create("lightgcn", split, layers=2, dim=8)
    start = torch.cat([model.backbone.user, model.backbone.item]).detach().numpy()
    graph = adjacency(split)
    expected = (start + graph @ start + graph @ graph @ start) / 3
    user, item = model.vectors()
    np.testing.assert_allclose(torch.cat([user, item]).detach().numpy(), expected, atol=1e-6)


def test_ngcf_is_its_printed_message(split):
    """NGCF Eq. 7: leaky_relu((A + I) E W1 + A E * E W2), and its own vector beside; each layer has length 1."""
    model = mm.create("ngcf", split, layers=1, dim=4).eval()
    backbone = model.backbone
    start = torch.cat([backbone.user, backbone.item]).detach().numpy()
    near = adjacency(split) @ start

    def linear(layer, x):
        return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    message = linear(backbone.sums[0], near + start) + linear(backbone.products[0], near * start)
    message = np.where(message > 0, message, 0.2 * message)
    expected = np.concatenate([start, message / np.linalg.norm(message, axis=1, keepdims=True)], axis=1)
    user, item = model.vectors()
    np.testing.assert_allclose(torch.cat([user, item]).detach().numpy(), expected, atol=1e-5)


def test_mf_scores_are_inner_products(split):
    model = mm.create("mf", split, dim=8, seed=3)
    users = torch.tensor([4, 0])
    expected = model.backbone.user.detach()[users] @ model.backbone.item.detach().T
    torch.testing.assert_close(model.score(users), expected)


@pytest.mark.parametrize("name", ["mf", "ngcf", "lightgcn"])
def test_the_seed_decides_the_weights(split, name):
    first, again, other = (mm.create(name, split, seed=s, dim=8) for s in (0, 0, 1))
    assert torch.equal(first.backbone.user, again.backbone.user)
    assert not torch.equal(first.backbone.user, other.backbone.user)


def test_l2_is_that_of_the_batchs_embeddings(split):
    backbone = make_backbone("mf", split, 4)
    batch = next(iter(mm.create("mf", split, batch_size=5).batches(torch.Generator().manual_seed(0))))
    total = 0.0
    for u, i, j in zip(*batch, strict=True):
        total += sum(float(v.detach().square().sum()) for v in (backbone.user[u], backbone.item[i], backbone.item[j]))
    assert batch_l2(backbone, batch, 0.1).item() == pytest.approx(0.1 * total / 2 / 5, rel=1e-5)
    assert batch_l2(backbone, batch, 0).item() == 0 and not batch_l2(backbone, batch, 0).requires_grad


def test_nothing_but_training_interactions_is_in_the_graph(split):
    """The graph has two entries a training pair and none for a held-out one."""
    graph = mm.create("lightgcn", split).backbone.graph.to_dense()
    assert int((graph > 0).sum()) == 2 * len(split.train)
    for part in ("valid", "test"):
        users, items = split.pairs(part)
        assert float(graph[users, items + split.n_users].sum()) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "sgl"}, "name = 'sgl' is unknown; choose 'mf', 'ngcf' or 'lightgcn'"),
        ({"name": "lightgcn", "graph": "row"}, r"graph = 'row' is unknown; choose 'sym' or 'row\+self'"),
        ({"name": "ngcf", "pool": "sum"}, "pool = 'sum' is unknown; choose 'mean' or 'concat'"),
    ],
)
def test_an_unknown_backbone_is_refused(split, options, words):
    with pytest.raises(ValueError, match=f"make_backbone: {words}"):
        make_backbone(split=split, dim=4, **options)


@pytest.mark.parametrize(("base", "kind"), [(MF, "Backbone"), (NGCF, "NGCFBackbone"), (LightGCN, "LightGCNBackbone")])
def test_a_class_derived_from_a_method_has_its_backbone(split, base, kind):
    """Whatever it is called: the name once decided, and all but three names meant LightGCN."""
    derived = type("Derived", (base,), {"name": "derived"})
    assert type(derived(split, base.Config(dim=4), 0).backbone).__name__ == kind
