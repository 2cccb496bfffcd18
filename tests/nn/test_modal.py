"""MCPTR's layers against the printed equations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_lite.graphs import cooccurrence_graph, normalize_graph
from mmrec_lite.nn import GraphEncoder, ModalAttentionPool, ModalEncoder, principal_features


def pool_and_views(n: int = 6) -> tuple[ModalAttentionPool, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    widths = {"text": 5, "image": 3, "graph": 4}
    views = {name: torch.randn(n, width, dtype=torch.float64) for name, width in widths.items()}
    return ModalAttentionPool(widths, 4).double(), views


def test_pool_is_equations_12_to_14():
    pool, views = pool_and_views()
    pooled, weights = pool(views)
    a = pool.attention.detach().numpy()
    for i in range(6):
        common = []
        for name, layer in pool.project.items():
            common.append(layer.weight.detach().numpy() @ views[name][i].numpy() + layer.bias.detach().numpy())
        scores = np.exp([max(a @ e, 0) for e in common])
        alpha = scores / scores.sum()
        np.testing.assert_allclose(weights[:, i].detach().numpy(), alpha, atol=1e-9)
        np.testing.assert_allclose(pooled[i].detach().numpy(), alpha @ np.array(common), atol=1e-9)


def test_pool_gradient():
    pool, views = pool_and_views(4)
    present = torch.tensor([[True, False, True, False], [True, True, False, False], [True, True, True, False]])
    leaves = [view.requires_grad_() for view in views.values()]
    assert torch.autograd.gradcheck(lambda *v: pool(dict(zip(views, v, strict=True)), present)[0], leaves)


def test_what_is_absent_has_no_weight_and_no_gradient():
    pool, views = pool_and_views(3)
    views = {name: view.requires_grad_() for name, view in views.items()}
    present = torch.tensor([[True, False, False], [True, True, False], [True, False, False]])
    pooled, weights = pool(views, present)
    assert weights[:, 1].tolist() == [0, 1, 0] and not weights[:, 2].any() and not pooled[2].any()
    torch.testing.assert_close(weights[:, 0].sum(), torch.tensor(1.0, dtype=torch.float64))
    pooled.sum().backward()
    assert not views["text"].grad[1].any() and views["image"].grad[1].any() and not views["image"].grad[2].any()
    assert all(torch.isfinite(view.grad).all() for view in views.values())


def test_relu_makes_unwanted_modalities_equal():
    """Where no modality has a^T e' > 0 all weights are the same."""
    pool, views = pool_and_views()
    pool.attention.data.zero_()
    torch.testing.assert_close(pool(views)[1], torch.full((3, 6), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize("norm", ["row_sqrt", "sym"])
def test_graph_encoder_is_equations_1_and_2(norm):
    rng = np.random.default_rng(0)
    users, items = rng.integers(8, size=20), rng.integers(6, size=20)
    graph = normalize_graph(cooccurrence_graph(users, items, 8, 6), norm)
    encoder = GraphEncoder(graph, 5, 2).double()
    encoder.graph, encoder.transpose = (g.to(torch.float64) for g in (encoder.graph, encoder.transpose))
    sets = [set(items[users == u]) for u in range(8)]
    neighbours = [[v for v in range(8) if v != u and sets[u] & sets[v]] for u in range(8)]
    layers = [encoder.nodes.detach().numpy()]
    for _ in range(2):
        layer = np.zeros_like(layers[0])
        for u in range(8):
            for v in neighbours[u]:
                other = len(neighbours[v]) if norm == "sym" else 1
                layer[u] += layers[-1][v] / np.sqrt(len(neighbours[u]) * other)
        layers.append(layer)
    np.testing.assert_allclose(encoder().detach().numpy(), np.mean(layers, axis=0), atol=1e-6)


def test_one_sided_normalisation_lets_vectors_grow():
    """n users who share an item: row_sqrt multiplies what they have in common by sqrt(n - 1) a layer, sym by 1."""
    n = 26
    graph = cooccurrence_graph(np.arange(n), np.zeros(n, dtype=int), n, 1)
    ones = torch.ones(n, 1)
    torch.testing.assert_close(normalize_graph(graph, "row_sqrt") @ ones, 5 * ones)
    torch.testing.assert_close(normalize_graph(graph, "sym") @ ones, ones)


def test_adapters_start_as_the_identity_where_widths_agree():
    vectors, there = torch.randn(7, 6), torch.ones(7, dtype=torch.bool)
    encoder = ModalEncoder({"text": (vectors, there)}, None, 7, 4, adapter_dim=6)
    torch.testing.assert_close(encoder.views()["text"], vectors)
    wide = ModalEncoder({"text": (vectors, there)}, None, 7, 4, adapter_dim=9)
    assert wide.views()["text"].shape == (7, 9) and wide()[0].shape == (7, 4)
    assert not ModalEncoder({"text": (vectors, there)}, None, 7, 4).adapters


def test_some_rows_are_the_whole_ones():
    vectors, there = torch.randn(7, 6), torch.arange(7) > 1
    graph = normalize_graph(cooccurrence_graph(np.arange(7), np.arange(7) // 2, 7, 4), "row_sqrt")
    encoder = ModalEncoder({"text": (vectors, there)}, (graph, torch.ones(7, dtype=torch.bool)), 7, 4)
    rows = torch.tensor([5, 0])
    (some, some_weights), (whole, weights) = encoder(rows), encoder()
    torch.testing.assert_close(some, whole[rows])
    torch.testing.assert_close(some_weights, weights[:, rows])


def test_a_side_of_which_nothing_is_known_has_free_vectors():
    encoder = ModalEncoder({}, None, 7, 4)
    vectors, weights = encoder(torch.tensor([1, 2]))
    assert torch.equal(vectors, encoder.free[1:3]) and weights.shape == (0, 2)
    assert [name for name, _ in encoder.named_parameters()] == ["free"]


@pytest.mark.parametrize(("one", "other"), [(6, 6), (6, 9)])
def test_principal_features_keep_the_geometry(one, other):
    """As many axes as the features have: distances between the centred means are kept."""
    g = torch.Generator().manual_seed(0)
    features = [torch.randn(12, width, generator=g) for width in (one, other)]
    present = torch.ones(2, 12, dtype=torch.bool)
    units = [x / x.norm(dim=1, keepdim=True) for x in features]
    joined = sum(units) / 2 if one == other else torch.cat(units, dim=1) / 2
    got = principal_features(features, present, 20)
    assert got.shape == (12, 20) and not got[:, joined.shape[1] :].any()
    torch.testing.assert_close(torch.cdist(got, got), torch.cdist(joined, joined), atol=1e-4, rtol=1e-4)


def test_principal_features_of_an_item_without_any_are_zero():
    features = [torch.randn(5, 4), torch.randn(5, 4)]
    present = torch.tensor([[True, True, True, False, True], [True, False, True, False, True]])
    for vectors, there in zip(features, present, strict=True):
        vectors[~there] = 0
    got = principal_features(features, present, 3)
    assert not got[3].any() and got[[0, 1, 2, 4]].abs().sum(1).min() > 0
