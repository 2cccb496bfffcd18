"""MP4SR's layers against loops, where their gradient goes, and what they do to sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mmrec_lite.nn import (
    CausalTransformer,
    ContentEncoder,
    MixtureOfExperts,
    SentenceAttention,
    complementary_mixup,
    drop_items,
)

INDEX = torch.tensor([[0, 2, -1], [1, -1, -1], [-1, -1, -1], [3, 1, 0]])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def test_sentence_attention_is_the_printed_equation():
    torch.manual_seed(0)
    layer, vectors = SentenceAttention(5, 4).double(), rows(6, 5)
    w1, b1 = layer.first.weight.detach().numpy().T, layer.first.bias.detach().numpy()
    w2, b2 = layer.second.weight.detach().numpy()[0], layer.second.bias.item()
    fused, weights = layer(vectors, INDEX)
    for item, places in enumerate(INDEX.tolist()):
        x = vectors.numpy()[[p for p in places if p >= 0]]
        if not len(x):
            assert fused[item].abs().sum() == 0 and weights[item].sum() == 0
            continue
        alpha = softmax((x @ w1 + b1) @ w2 + b2)
        np.testing.assert_allclose(weights[item, : len(x)].detach().numpy(), alpha, atol=1e-9)
        assert weights[item, len(x) :].abs().sum() == 0
        np.testing.assert_allclose(fused[item].detach().numpy(), alpha @ x, atol=1e-9)


def test_the_gradient_reaches_the_attention():
    """In the released program it does not: a copy into a weight cuts it."""
    torch.manual_seed(0)
    layer = SentenceAttention(5, 4).double()
    assert gradcheck(
        lambda w1, b1, w2, b2: torch.func.functional_call(
            layer, {"first.weight": w1, "first.bias": b1, "second.weight": w2, "second.bias": b2}, (rows(6, 5), INDEX)
        )[0],
        tuple(p.detach().clone().requires_grad_() for p in layer.parameters()),
    )
    encoder = ContentEncoder(5, 4, 3, 2, 0.0).double()
    encoder(rows(6, 5), INDEX).square().sum().backward()
    assert encoder.attention.first.weight.grad.abs().sum() > 0 and encoder.attention.second.weight.grad.abs().sum() > 0


def test_experts_are_the_printed_equations():
    torch.manual_seed(0)
    layer, x = MixtureOfExperts(5, 4, 3, 0.2).double().eval(), rows(7, 5)
    torch.nn.init.normal_(layer.scale)
    torch.nn.init.normal_(layer.shift)
    weight, bias = layer.experts.weight.detach().numpy(), layer.experts.bias.detach().numpy()
    out = layer(x).detach().numpy()
    for i in range(7):
        gate = softmax(layer.gate.weight.detach().numpy() @ x[i].numpy() + layer.gate.bias.detach().numpy())
        expected = np.zeros(4)
        for k in range(3):
            e = weight[4 * k : 4 * k + 4] @ x[i].numpy() + bias[4 * k : 4 * k + 4]
            norm = (e - e.mean()) / np.sqrt(e.var() + 1e-5)
            expected += gate[k] * (norm * layer.scale[k].detach().numpy() + layer.shift[k].detach().numpy())
        np.testing.assert_allclose(out[i], expected, atol=1e-9)
    assert gradcheck(layer, (x.requires_grad_(),))
    assert not torch.equal(layer.train()(x), layer(x))  # dropout, in training only


def test_an_item_without_content_has_a_zero_vector():
    z = ContentEncoder(5, 4)(rows(6, 5).float(), INDEX)
    assert z[2].abs().sum() == 0 and (z[[0, 1, 3]].abs().sum(1) > 0).all()


@given(st.integers(1, 6), st.integers(1, 9), st.floats(0, 0.95), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_dropping_items(n, most, ratio, seed):
    lengths = torch.randint(1, most + 1, (n,), generator=generator(seed))
    items = 1 + torch.arange(n * most).view(n, most)
    items = torch.where(torch.arange(most) < lengths[:, None], items, 0)
    kept, left, last = drop_items(items, lengths, ratio, generator(seed))
    assert (left >= 1).all() and (left <= lengths).all() and kept.shape[1] == int(left.max())
    assert torch.equal(kept[:, 0], items[:, 0])  # nothing is ever empty
    for row in range(n):
        mine = kept[row, : left[row]].tolist()
        assert mine == sorted(set(mine)) and set(mine) <= set(items[row, : lengths[row]].tolist())
        for t in range(int(lengths[row])):  # nothing later than t stands at last[t], and nothing between was kept
            assert kept[row, last[row, t]] <= items[row, t]
            assert not any(kept[row, last[row, t]] < m <= items[row, t] for m in mine)
    if ratio == 0:
        assert torch.equal(kept, items[:, : kept.shape[1]]) and torch.equal(left, lengths)


def test_the_share_of_dropped_items():
    items = torch.ones(200, 51, dtype=torch.int64)
    _, left, _ = drop_items(items, torch.full((200,), 51), 0.2, generator())
    assert float(left.float().mean() - 1) / 50 == pytest.approx(0.8, abs=0.01)


def test_mixup_is_complementary():
    text, image = rows(4, 6, 3), rows(4, 6, 3, seed=1)
    a, b = complementary_mixup(text, image, 0.5, generator())
    torch.testing.assert_close(a + b, text + image, rtol=0, atol=0)
    swapped = (a == image).all(-1)
    assert swapped.any() and not swapped.all() and torch.equal(swapped, (b == text).all(-1))
    assert torch.equal(a, torch.where(swapped[..., None], image, text))  # a position moves whole
    assert complementary_mixup(text, image, 0.0)[0].equal(text)
    assert complementary_mixup(text, image, 1.0)[0].equal(image)
    share = (complementary_mixup(torch.zeros(99, 99, 1), torch.ones(99, 99, 1), 0.3, generator())[0]).mean()
    assert float(share) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("call", [lambda x: drop_items(x, x[:, 0], 1.0), lambda x: complementary_mixup(x, x, 1.1)])
def test_a_ratio_is_a_probability(call):
    with pytest.raises(ValueError, match="probability"):
        call(torch.ones(2, 2, dtype=torch.int64))


def transformer(**options) -> CausalTransformer:
    torch.manual_seed(0)
    return CausalTransformer(**{"dim": 8, "layers": 2, "heads": 2, "inner": 16, "length": 7} | options).double().eval()


def test_no_position_sees_what_comes_later_so_one_pass_serves_every_prefix():
    model, x = transformer(), rows(3, 7, 8)
    whole = model(x)
    for t in range(1, 8):
        torch.testing.assert_close(model(x[:, :t]), whole[:, :t])
    changed = x.clone()
    changed[:, 4:] = 9.0  # padding may hold anything
    torch.testing.assert_close(model(changed)[:, :4], whole[:, :4])
    assert not torch.allclose(model(changed)[:, 4:], whole[:, 4:])


def test_the_transformer_is_its_equations():
    """One layer, two heads, in NumPy."""
    model, x = transformer(layers=1), rows(1, 5, 8)
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def norm(x, name):
        out = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return out * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"layers.0.{name}.weight"].T + p[f"layers.0.{name}.bias"]

    h = norm(x[0].numpy() + p["position"][:5], "norm")
    query, key, value = np.split(linear(h, "attend"), 3, axis=1)
    seen = np.zeros((5, 8))
    for head in (slice(0, 4), slice(4, 8)):
        for t in range(5):
            alpha = softmax(query[t, head] @ key[: t + 1, head].T / 2.0)
            seen[t, head] = alpha @ value[: t + 1, head]
    h = norm(h + linear(seen, "merge"), "layers.0.norms.0")
    wide = torch.nn.functional.gelu(torch.tensor(linear(h, "widen"))).numpy()
    h = norm(h + linear(wide, "narrow"), "layers.0.norms.1")
    np.testing.assert_allclose(model(x)[0].detach().numpy(), h, atol=1e-9)


def test_the_transformer_gradient_and_refusals():
    assert gradcheck(transformer(dim=4, inner=4, length=3), (rows(2, 3, 4).requires_grad_(),), fast_mode=True)
    with pytest.raises(ValueError, match="not a multiple of heads"):
        CausalTransformer(dim=7, heads=2)
    with pytest.raises(ValueError, match="sequences of 8, but there are 7 places"):
        transformer()(rows(1, 8, 8))
