"""Graphs against loops, SciPy, NetworkX-free hand calculations and properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mmrec_lite import graphs, ops
from tests.watch import Largest


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop_knn(x: np.ndarray, k: int, self_loops: bool) -> np.ndarray:
    """MICRO Eq. 1-2 with loops: cosines, the k largest of a row (ties: lower index), negatives to zero."""
    n = len(x)
    norms = np.linalg.norm(x, axis=1)
    out = np.zeros((n, n))
    for i in range(n):
        cosines = [x[i] @ x[j] / (norms[i] * norms[j]) if norms[i] and norms[j] else 0.0 for j in range(n)]
        if not self_loops:
            cosines[i] = -np.inf
        best = sorted(range(n), key=lambda j: (-cosines[j], j))[:k]
        for j in best:
            out[i, j] = max(cosines[j], 0.0)
    return out


@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_knn_graph_is_the_printed_equation(monkeypatch, k, self_loops):
    monkeypatch.setattr(graphs, "CHUNK_ELEMENTS", 7 * 23)  # seven rows a chunk, the last one short
    x = rows(23, 6)
    x[5] = 0
    got = graphs.knn_graph(x, k, self_loops).to_dense().numpy()
    np.testing.assert_allclose(got, loop_knn(x.numpy(), k, self_loops), atol=1e-12)


def test_knn_graph_by_hand():
    """Three directions, 0, 45 and 90 degrees, and one opposite the first."""
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [-1.0, 0.0]])
    half = 0.5**0.5
    expected = torch.tensor([[1, half, 0, 0], [half, 1, 0, 0], [0, half, 1, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(graphs.knn_graph(x, 2).to_dense(), expected, atol=1e-6, rtol=0)


def test_knn_ties_go_to_the_lower_index_but_never_cost_an_item_its_own_place():
    x = torch.ones(6, 2)  # all cosines are 1
    graph = graphs.knn_graph(x, 3)
    neighbours = graph.col_indices().view(6, 3).tolist()
    assert neighbours == [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 1, 5]]
    assert graphs.knn_graph(x, 2, self_loops=False).col_indices().view(6, 2).tolist()[0] == [1, 2]


def test_a_zero_feature_row_has_no_edges_in_or_out():
    x = rows(8, 3)
    x[2] = 0
    dense = graphs.knn_graph(x, 4).to_dense()
    assert dense[2].abs().sum() == 0 and dense[:, 2].abs().sum() == 0
    normalised = graphs.normalize_graph(graphs.knn_graph(x, 4)).to_dense()
    assert torch.isfinite(normalised).all() and normalised[2].abs().sum() == 0


@given(st.integers(3, 20), st.integers(1, 6), st.integers(0, 1000), st.booleans())
@settings(max_examples=60, deadline=None)
def test_knn_graph_properties(n, d, seed, self_loops):
    k = 1 + seed % (n - 1)
    graph = graphs.knn_graph(rows(n, d, seed=seed), k, self_loops)
    counts = graph.crow_indices().diff()
    assert int(counts.max()) <= k and graph.shape == (n, n)
    assert bool(((graph.values() > 0) & (graph.values() <= 1)).all())
    if self_loops:
        torch.testing.assert_close(graph.to_dense().diagonal(), torch.ones(n, dtype=torch.float64))
    else:
        assert graph.to_dense().diagonal().abs().sum() == 0


def test_permuting_items_permutes_the_graph():
    x, order = rows(15, 4), torch.randperm(15, generator=torch.Generator().manual_seed(1))
    a = graphs.knn_graph(x, 5).to_dense()
    torch.testing.assert_close(graphs.knn_graph(x[order], 5).to_dense(), a[order][:, order])


@pytest.mark.parametrize("norm", ["sym", "row", "row_sqrt"])
def test_normalize_graph_is_the_printed_equation(norm):
    graph = graphs.knn_graph(rows(12, 3), 4)
    dense = graph.to_dense().numpy()
    degree = dense.sum(axis=1)
    left = {"sym": degree**-0.5, "row": 1 / degree, "row_sqrt": degree**-0.5}[norm]
    right = degree**-0.5 if norm == "sym" else np.ones(12)
    expected = np.array([[left[i] * dense[i, j] * right[j] for j in range(12)] for i in range(12)])
    np.testing.assert_allclose(graphs.normalize_graph(graph, norm).to_dense().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("norm", ["sym", "row", "row_sqrt"])
def test_the_learned_graphs_gradient(norm):
    """From the propagated vectors back through mixing, normalisation and the kept cosines."""
    features, x = rows(10, 4).requires_grad_(), rows(10, 3, seed=1).requires_grad_()
    raw = graphs.normalize_graph(graphs.knn_graph(rows(10, 5, seed=2), 3), norm)

    def vectors(features, x):
        learned = graphs.normalize_graph(graphs.knn_graph(features, 3), norm)
        return graphs.propagate(graphs.mix_graphs(raw, learned, 0.3), x, 2, "mean")

    assert gradcheck(vectors, (features, x))


@pytest.mark.parametrize("lam", [0.0, 0.25, 1.0])
def test_mix_graphs_is_the_printed_equation(lam):
    a, b = (graphs.knn_graph(rows(14, 3, seed=s), 4) for s in (0, 1))
    expected = lam * a.to_dense() + (1 - lam) * b.to_dense()
    torch.testing.assert_close(graphs.mix_graphs(a, b, lam).to_dense(), expected)


def test_mix_graphs_with_lam_one_needs_no_learned_graph():
    raw = graphs.knn_graph(rows(6, 3), 2)
    assert graphs.mix_graphs(raw, None, 1.0) is raw


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagate_is_a_loop_over_neighbours(pool, layers):
    graph, x = graphs.normalize_graph(graphs.knn_graph(rows(9, 3), 3)), rows(9, 4, seed=1)
    weights, current = graph.to_dense().numpy(), x.numpy()
    steps = [current]
    for _ in range(layers):
        current = np.array([sum(weights[i, j] * current[j] for j in range(9)) for i in range(9)])
        steps.append(current)
    expected = np.mean(steps, axis=0) if pool == "mean" else current
    np.testing.assert_allclose(graphs.propagate(graph, x, layers, pool).numpy(), expected, atol=1e-12)


def test_propagate_gives_one_gradient_with_and_without_the_transpose():
    graph = graphs.normalize_graph(graphs.knn_graph(rows(9, 3), 3))
    given_transpose = rows(9, 2, seed=1).requires_grad_()
    made_by_itself = given_transpose.detach().clone().requires_grad_()
    graphs.propagate(graph, given_transpose, 2, "mean", graphs.transpose_graph(graph)).square().sum().backward()
    graphs.propagate(graph, made_by_itself, 2, "mean").square().sum().backward()
    dense = graph.to_dense()
    wide = made_by_itself.detach().clone().requires_grad_()
    ((wide + dense @ wide + dense @ dense @ wide) / 3).square().sum().backward()
    torch.testing.assert_close(given_transpose.grad, wide.grad)
    torch.testing.assert_close(made_by_itself.grad, wide.grad)


def test_bipartite_graph_is_scipys_normalised_adjacency():
    users, items = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 3])
    adjacency = np.zeros((3 + 5, 3 + 5))
    adjacency[users, items + 3] = adjacency[items + 3, users] = 1
    degree = adjacency.sum(1)
    with np.errstate(divide="ignore"):
        scale = np.where(degree > 0, degree**-0.5, 0)
    graph = graphs.bipartite_graph(torch.tensor(users), torch.tensor(items), 3, 5)
    np.testing.assert_allclose(graph.to_dense().numpy(), scale[:, None] * adjacency * scale, atol=1e-6)
    released = graphs.bipartite_graph(users, items, 3, 5, norm="row", self_loops=True).to_dense().numpy()
    looped = adjacency + np.eye(8)
    np.testing.assert_allclose(released, looped / looped.sum(1, keepdims=True), atol=1e-6)


def test_bipartite_graph_counts_a_repeated_pair_once():
    once = graphs.bipartite_graph(np.array([0, 1]), np.array([0, 0]), 2, 1)
    twice = graphs.bipartite_graph(np.array([0, 0, 1]), np.array([0, 0, 0]), 2, 1)
    torch.testing.assert_close(once.to_dense(), twice.to_dense())


@pytest.mark.parametrize("limit", [None, 1, 2, 5])
@pytest.mark.parametrize("chunk", [1, 40, 2**23])
def test_cooccurrence_graph_is_scipys_product(monkeypatch, limit, chunk):
    monkeypatch.setattr(graphs, "CHUNK_ELEMENTS", chunk)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 12, 60), rng.integers(0, 9, 60)
    seen = sp.coo_array((np.ones(60), (users, items)), shape=(12, 9)).toarray() > 0
    shared = seen.astype(float) @ seen.T
    np.fill_diagonal(shared, 0)
    expected = np.zeros_like(shared)
    for i in range(12):
        best = sorted(np.flatnonzero(shared[i]), key=lambda j, i=i: (-shared[i, j], j))[:limit]
        expected[i, best] = shared[i, best]
    got = graphs.cooccurrence_graph(users, items, 12, 9, max_neighbors=limit, weighted=True).to_dense().numpy()
    np.testing.assert_array_equal(got, expected)
    plain = graphs.cooccurrence_graph(users, items, 12, 9, max_neighbors=limit).to_dense().numpy()
    np.testing.assert_array_equal(plain, expected > 0)


@pytest.mark.parametrize("most", [5, 2**11, 2**40])  # the last leaves no room for one number an entry
def test_entries_are_ordered_by_row_count_and_column(most):
    rng = np.random.default_rng(0)
    r, c = rng.integers(most, size=(2, 2_000))
    shared = rng.integers(1, 9, size=2_000).astype(np.float32)
    order = np.lexsort((c, -shared, r))
    for ours, expected in zip(ops.by_row_and_count(r, c, shared), (r[order], c[order], shared[order]), strict=True):
        np.testing.assert_array_equal(ours, expected)
        assert ours.dtype == expected.dtype


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_top_columns_is_a_stable_sort(n, k, seed):
    scores = torch.randint(0, 4, (5, n), generator=torch.Generator().manual_seed(seed)).float()  # many ties
    expected = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ops.top_columns(scores, min(k, n)).numpy(), expected)


def from_dense(values) -> torch.Tensor:
    return graphs.from_scipy(sp.csr_array(np.array(values, dtype=np.float32)))


def test_a_graph_that_is_not_square_is_divided_by_its_rows_alone():
    graph = graphs.normalize_graph(from_dense([[2.0, 2.0, 4.0], [0.0, 3.0, 0.0]]), "row")
    expected = torch.tensor([[0.25, 0.25, 0.5], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(graph.to_dense(), expected)


def test_a_weight_of_zero_is_no_negative_weight():
    graph = graphs.csr_graph(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), torch.tensor([0.0, 0.0]), (2, 2))
    assert not graphs.normalize_graph(graph).to_dense().any()


def test_rows_and_columns_that_nobody_names_are_there():
    graph = graphs.cooccurrence_graph(np.array([0, 1]), np.array([1, 1]), 4, 5)
    assert graph.shape == (4, 4) and graph.to_dense().nonzero().tolist() == [[0, 1], [1, 0]]
    assert graphs.bipartite_graph(np.array([0]), np.array([1]), 3, 4).shape == (7, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: graphs.knn_graph(rows(5, 2), 5),
            r"k = 5, but it must be at least 1 and below the number of items \(5\)",
        ),
        (lambda: graphs.knn_graph(rows(5, 2), 0), "k = 0"),
        (lambda: graphs.knn_graph(torch.tensor([[1.0], [float("nan")], [1.0]]), 1), "row 1 of x has NaN"),
        (lambda: graphs.knn_graph(torch.ones(3, dtype=torch.int64), 1), "must be a float matrix"),
        (
            lambda: graphs.normalize_graph(graphs.knn_graph(rows(4, 2), 2), "column"),
            "choose 'sym', 'row' or 'row_sqrt'",
        ),
        (lambda: graphs.mix_graphs(graphs.knn_graph(rows(4, 2), 2), None, 0.5), "a learned graph"),
        (lambda: graphs.mix_graphs(graphs.knn_graph(rows(4, 2), 2), None, 1.7), r"lam = 1.7, .* must lie in \[0, 1\]"),
        (lambda: graphs.bipartite_graph(np.array([0]), np.array([3]), 1, 3), r"item ids must lie in \[0, 3\)"),
        (lambda: graphs.bipartite_graph(np.array([-1]), np.array([2]), 1, 3), r"graph: user ids must lie in \[0, 1\)"),
        (lambda: graphs.propagate(graphs.knn_graph(rows(4, 2), 2), rows(5, 2), 1), "4 nodes, but x has 5 rows"),
        (
            lambda: graphs.propagate(graphs.knn_graph(rows(4, 2), 2), rows(4, 2), 1, pool="sum"),
            r"^propagate: pool = 'sum' is unknown; choose 'last' or 'mean'\.$",
        ),
        (
            lambda: graphs.normalize_graph(from_dense([[0.0, -1.0], [1.0, 0.0]])),
            "^normalize_graph: the graph has negative weights; clamp them to zero first$",
        ),
        (
            lambda: graphs.normalize_graph(from_dense([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])),
            r"^normalize_graph: 'sym' needs a square graph, got \(2, 3\)$",
        ),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_square_matrix_is_made(monkeypatch):
    """The largest tensor of a graph build, gradient included, stays far below I x I."""
    monkeypatch.setattr(graphs, "CHUNK_ELEMENTS", 2**14)
    n = 3000
    features = torch.randn(n, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with Largest() as made:
        graph = graphs.normalize_graph(graphs.knn_graph(features, 5))
        graphs.propagate(graph, torch.ones(n, 2), 1).sum().backward()
    assert features.grad is not None and made.numel < n * n / 100


@pytest.mark.slow
@pytest.mark.parametrize("self_loops", [True, False])
def test_the_approximate_search_finds_nearly_all_and_weighs_them_exactly(self_loops):
    """Clusters as a catalogue has them, some zero and some equal rows, against scikit-learn's exact search."""
    from sklearn.neighbors import NearestNeighbors

    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 24, generator=draw).repeat_interleave(50, 0) + 0.6 * torch.randn(2000, 24, generator=draw)
    x[:5], x[10:30] = 0, x[10].clone()
    exact, near = (graphs.knn_graph(x, 8, self_loops, method) for method in ("exact", "approximate"))
    again = graphs.knn_graph(x, 8, self_loops, "approximate")
    assert torch.equal(near.col_indices(), again.col_indices()) and torch.equal(near.values(), again.values())
    assert not near.crow_indices()[:6].any()
    rows, cols, weights = graphs.edges(near)
    assert (rows == cols).sum() == (1995 if self_loops else 0)
    unit = x.double() / x.double().norm(dim=1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(weights.double(), (unit[rows] * unit[cols]).sum(1), atol=1e-5, rtol=1e-5)
    truth = NearestNeighbors(n_neighbors=9, metric="cosine", algorithm="brute").fit(x[30:].numpy())
    truth = truth.kneighbors(return_distance=False)[:, :7] + 30  # without the row itself
    found = [set(cols[rows == row].tolist()) for row in range(30, 2000)]
    recall = np.mean([len(one & set(of.tolist())) / 7 for one, of in zip(found, truth, strict=True)])
    assert recall > 0.95
    assert graphs.edges(exact)[2].sum() >= weights.sum() > 0.97 * graphs.edges(exact)[2].sum()


def test_an_unknown_search_is_refused():
    with pytest.raises(ValueError, match="method = 'fast' is unknown; choose 'exact' or 'approximate'"):
        graphs.knn_graph(torch.eye(4), 2, method="fast")
