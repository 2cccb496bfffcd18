"""PAMD's layers and the heads its representations are plugged into, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mmrec_lite.nn import CrossModalMap, DisentangledEncoder, ModalityAttention, heads, split_common_specific
from mmrec_lite.nn.disentangle import mlp
from mmrec_lite.ops import standardized

U, N, D, K = 7, 11, 6, 4


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights_of(layer) -> tuple[np.ndarray, np.ndarray | float]:
    return layer.weight.detach().numpy(), 0.0 if layer.bias is None else layer.bias.detach().numpy()


def test_common_and_specific_add_up():
    primitive = rows(5, 3)
    common, specific = split_common_specific(primitive, lambda x: x.tanh())
    assert torch.equal(common, primitive.tanh()) and torch.allclose(common + specific, primitive, atol=1e-15)
    with pytest.raises(ValueError, match=r"extract made \(5, 1\) of \(5, 3\)"):
        split_common_specific(primitive, lambda x: x[:, :1])


def test_encoder_is_equations_1_and_2():
    torch.manual_seed(0)
    encoder, x = DisentangledEncoder(8, 5).double(), rows(4, 8)
    parts = encoder(x)

    def gelu(v):
        return np.array([0.5 * t * (1 + math.erf(t / math.sqrt(2))) for t in v])

    def perceptron(layers, v):
        (w, b), (w2, b2) = weights_of(layers[0]), weights_of(layers[2])
        return w2 @ gelu(w @ v + b) + b2

    for i, row in enumerate(x.numpy()):
        primitive = perceptron(encoder.encode, row)
        common = perceptron(encoder.extract, primitive)
        expected = {"primitive": primitive, "common": common, "specific": primitive - common}
        for kind, value in expected.items():
            np.testing.assert_allclose(parts[kind][i].detach().numpy(), value, atol=1e-9)
    assert gradcheck(lambda v: tuple(encoder(v).values()), (x.requires_grad_(),))


def test_depth_one_is_the_released_linear_map():
    encoder = DisentangledEncoder(8, 5, depth=1)
    assert [tuple(p.shape) for p in encoder.parameters()] == [(5, 8), (5,), (5, 5)]
    assert [type(layer).__name__ for layer in mlp(8, 5, 3)] == ["Linear", "GELU", "Linear", "GELU", "Linear"]
    assert CrossModalMap(5, 9, depth=1)(torch.zeros(2, 5)).shape == (2, 9)


def test_without_parting_nothing_is_left_of_it():
    encoder = DisentangledEncoder(8, 5, disentangle=False)
    assert encoder(torch.zeros(2, 8)).keys() == {"primitive"}
    assert not [name for name, _ in encoder.named_parameters() if name.startswith("extract")]


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("own_query", [True, False])
def test_attention_is_equations_12_and_13(scaled, own_query):
    item, views, query = rows(N, D), rows(N, K, D, seed=1), rows(N, D, seed=2)
    attention = ModalityAttention(scaled)
    fused = attention(item, views, query=None if own_query else query)
    asked = item if own_query else query
    for i in range(N):
        logits = [float(asked[i] @ views[i, k]) / (math.sqrt(D) if scaled else 1) for k in range(K)]
        a = [math.exp(x) / sum(math.exp(y) for y in logits) for x in logits]
        expected = item[i].numpy() + sum(a[k] * views[i, k].numpy() for k in range(K))
        np.testing.assert_allclose(fused[i].numpy(), expected, atol=1e-9)
        np.testing.assert_allclose(attention.weights(asked, views)[i].numpy(), a, atol=1e-9)


def test_absent_views_get_no_attention():
    present = torch.tensor([[True, False], [False, False]])
    item, views = rows(2, D), (rows(2, 2, D, seed=1) * present[:, :, None]).requires_grad_()
    attention = ModalityAttention()
    assert attention.weights(item, views, present).tolist() == [[1, 0], [0, 0]]
    assert torch.equal(attention(item, views, present)[1], item[1])
    assert gradcheck(lambda i, v: attention(i, v, present), (item.requires_grad_(), views))


def test_standardized_columns_over_the_items_that_have_them():
    present = torch.tensor([True] * 6 + [False] * 2)
    x = (3 + 5 * rows(8, 4)) * present[:, None]
    x[:6, 3] = 7.0  # a constant column says nothing
    got = standardized(x, present).numpy()
    for j in range(3):
        column = x[:6, j].numpy()
        np.testing.assert_allclose(got[:6, j], (column - column.mean()) / column.std(), atol=1e-9)
    assert not got[:, 3].any() and not got[6:].any()
    assert torch.equal(standardized(x, torch.zeros(8, dtype=torch.bool)), x)


@pytest.mark.parametrize("n", [3, 1000, 100_003])
@pytest.mark.parametrize("value", [0.1, -1234.567, 3e-12])
def test_a_constant_column_becomes_zero_whatever_its_mean_is_rounded_to(n, value):
    column = torch.full((n, 1), value)
    near = column.clone()
    near[0] = torch.nextafter(near[0], torch.zeros(1))  # the last digit of one item
    for x in (column, near):
        assert not standardized(x, torch.ones(n, dtype=torch.bool)).any()
    narrow = column * (1 + 1e-4 * rows(n, 1)).float()  # it varies little, but it does
    assert standardized(narrow, torch.ones(n, dtype=torch.bool)).std(correction=0) == pytest.approx(1, rel=1e-3)


# Heads ------------------------------------------------------------------------------------------------------------


def make(name: str, n_views: int = K) -> heads.Head:
    torch.manual_seed(0)
    if name.startswith("attention"):
        return heads.AttentionHead(name.split()[1]).double()
    return heads.make_head(name, U, N, D, n_views).double()


HEADS = ("attention item", "attention user", "bpr++", "nfm++", "neumf++")


def inputs(n_views: int = K):
    present = torch.rand(N, n_views, generator=torch.Generator().manual_seed(5)) < 0.7
    views = rows(N, n_views, D, seed=2) * present[:, :, None]
    return rows(U, D), rows(N, D, seed=1), views, present


def table_of(head, n_views: int = K) -> torch.Tensor:
    user, item, views, present = inputs(n_views)
    sides = head.users(torch.arange(U), user), head.items(torch.arange(N), item, views, present)
    return head.table(*sides).detach()


@pytest.mark.parametrize("chunk", [1, 100, 2**23], ids=["one user at a time", "some", "all"])
@pytest.mark.parametrize("n_views", [K, 0])
@pytest.mark.parametrize("name", HEADS)
def test_ranking_and_training_score_alike(name, n_views, chunk, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", chunk)
    head = make(name, n_views)
    user, item, views, present = inputs(n_views)
    u, i = (index.flatten() for index in torch.meshgrid(torch.arange(U), torch.arange(N), indexing="ij"))
    side = head.items(torch.arange(N), item, views, present)
    pairs = head.pairs(head.users(u, user[u]), tuple(part[i] for part in side))
    torch.testing.assert_close(table_of(head, n_views), pairs.view(U, N).detach())


@pytest.mark.parametrize("name", HEADS)
def test_a_head_has_a_gradient_everywhere(name):
    head = make(name)
    user, item, views, present = inputs()
    user, item, views = (x.requires_grad_() for x in (user, item, views))
    side = head.items(torch.arange(N), item, views, present)
    users = head.users(torch.arange(U), user)
    head.pairs(users, tuple(part[:U] for part in side)).square().sum().backward()
    for tensor in (user, item, views, *head.parameters()):
        assert tensor.grad.abs().sum() > 0


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match=r"make_head: name = 'x' is unknown; choose 'bpr\+\+', .* or 'neumf\+\+'"):
        heads.make_head("x", U, N, D, K)
    with pytest.raises(ValueError, match="query = 'users' is unknown; choose 'item' or 'user'"):
        heads.AttentionHead("users")


def test_bpr_plus_plus_is_two_inner_products():
    head = make("bpr++")
    user, item, views, _ = inputs()
    w, taste = head.content.weight.detach().numpy(), head.taste.detach().numpy()
    for u in range(U):
        for i in range(N):
            content = w @ np.concatenate([views[i, k].numpy() for k in range(K)])
            expected = float(user[u] @ item[i]) + taste[u] @ content
            assert float(table_of(head)[u, i]) == pytest.approx(expected, abs=1e-9)


def test_bi_interaction_is_the_sum_over_all_pairs():
    v, x = rows(5, D).numpy(), rows(5, seed=1).numpy()
    total = sum((x[a] * v[a]) * (x[b] * v[b]) for a in range(5) for b in range(a + 1, 5))
    weighted = torch.tensor(x[:, None] * v)
    got = heads.bi_interaction(weighted.sum(0), weighted.square().sum(0))
    np.testing.assert_allclose(got.numpy(), total, atol=1e-12)


def test_nfm_plus_plus_is_a_machine_over_all_features():
    """Features of a pair: user, item and every entry of the representations, each with an embedding of its own."""
    head = make("nfm++")
    with torch.no_grad():
        head.bias.copy_(rows(N, seed=9))
    user, item, views, _ = inputs()
    v = head.content.weight.detach().numpy()
    w, b = weights_of(head.hidden)
    table = table_of(head)
    for u, i in ((0, 0), (3, 7), (6, 10)):
        r = views[i].flatten().numpy()
        features = [user[u].numpy(), item[i].numpy(), *(r[j] * v[:, j] for j in range(len(r)))]
        pooled = sum(a * c for n, a in enumerate(features) for c in features[n + 1 :])
        score = head.bias[i].item() + float(head.linear.weight.detach().numpy()[0] @ r)
        score += float(head.out.weight.detach().numpy()[0] @ np.maximum(w @ pooled + b, 0))
        assert float(table[u, i]) == pytest.approx(score, abs=1e-9)


def test_neumf_plus_plus_is_product_and_tower():
    head = make("neumf++")
    user, item, views, _ = inputs()
    first = np.hstack([weights_of(layer)[0] for layer in (head.from_user, head.from_item, head.content)])
    bias, (second, bias2) = weights_of(head.from_user)[1], weights_of(head.second)
    h, table = head.out.weight.detach().numpy()[0], table_of(head)
    for u, i in ((0, 0), (3, 7), (6, 10)):
        x = np.concatenate([head.user[u].detach().numpy(), head.item[i].detach().numpy(), views[i].flatten().numpy()])
        tower = np.maximum(second @ np.maximum(first @ x + bias, 0) + bias2, 0)
        expected = h @ np.concatenate([user[u].numpy() * item[i].numpy(), tower])
        assert float(table[u, i]) == pytest.approx(expected, abs=1e-9)
