"""Losses against loops over the printed equations, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mmrec_lite import losses, ops
from tests.watch import Largest


def rows(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop_contrast(views: np.ndarray, fused: np.ndarray, temperature: float, symmetric: bool) -> float:
    """MICRO Eq. 10-12 as printed: two loops, bare exponentials."""

    def cosine(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    def information(i, own, other):
        positive = math.exp(cosine(own[i], other[i]) / temperature)
        rest = 0.0
        for j in range(len(own)):
            if j != i:
                rest += math.exp(cosine(own[i], other[j]) / temperature)
                rest += math.exp(cosine(own[i], own[j]) / temperature)
        return math.log(positive / (positive + rest))

    total = 0.0
    for i in range(len(fused)):
        for view in views:
            there = information(i, view, fused)
            total += (there + information(i, fused, view)) / 2 if symmetric else there
    return -total / (len(fused) * len(views))


@pytest.fixture(params=[5, 16, 1024], ids=["tile 5", "tile 16", "one tile"])
def tile(request, monkeypatch):
    """Tiles smaller than, beside and larger than the matrix: the borders must not show."""
    monkeypatch.setattr(ops, "TILE", request.param)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_micro_contrast_is_the_printed_equation(tile, temperature, symmetric, n_views):
    views, fused = rows(n_views, 17, 6), rows(17, 6, seed=1)
    got = losses.micro_contrast(views, fused, temperature=temperature, symmetric=symmetric)
    assert float(got) == pytest.approx(loop_contrast(views.numpy(), fused.numpy(), temperature, symmetric), abs=1e-9)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.02, 0.5])  # below and above the switch of the two implementations
def test_micro_contrast_gradient(tile, temperature, symmetric):
    a, b, fused = (rows(11, 4, seed=s).requires_grad_() for s in range(3))

    def loss(a, b, fused):
        return losses.micro_contrast([a, b], fused, temperature=temperature, symmetric=symmetric)

    assert gradcheck(loss, (a, b, fused))


def test_micro_contrast_gradient_reaches_only_who_asks():
    view, fused = rows(9, 4).requires_grad_(), rows(9, 4, seed=1)
    losses.micro_contrast(view, fused).backward()
    assert view.grad.abs().sum() > 0 and fused.grad is None


def test_micro_contrast_closed_form():
    """Orthonormal rows in both views: the positive has cosine 1, all 2 (n - 1) negatives 0."""
    n, temperature = 7, 0.5
    eye = torch.eye(n, dtype=torch.float64)
    expected = math.log(math.exp(1 / temperature) + 2 * (n - 1)) - 1 / temperature
    assert float(losses.micro_contrast(eye, eye, temperature=temperature)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 0.5, 10.0])
@pytest.mark.parametrize("norm", [0.0, 1e-3, 1.0, 1e4])
def test_micro_contrast_stays_finite(dtype, temperature, norm):
    view = rows(13, 8, scale=norm).to(dtype).requires_grad_()
    fused = rows(13, 8, seed=1, scale=norm).to(dtype).requires_grad_()
    loss = losses.micro_contrast(view, fused, temperature=temperature)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(view.grad).all() and torch.isfinite(fused.grad).all()


def test_bare_exponentials_overflow_where_ours_do_not():
    """Why log-sum-exp: in float32 exp(1 / 0.005) is infinite."""
    assert torch.isinf(torch.tensor(1 / 0.005).exp())
    eye = torch.eye(4)
    assert float(losses.micro_contrast(eye, eye, temperature=0.005)) == pytest.approx(0.0, abs=1e-6)


def test_zero_row_has_a_finite_gradient_and_a_known_loss():
    view, fused = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True), torch.eye(3, 2, dtype=torch.float64)
    loss = losses.micro_contrast(view, fused, symmetric=False)  # every cosine is 0: one positive among 5 equals
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5)) and torch.isfinite(view.grad).all()


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_bfloat16_pairs_are_close(tile, temperature, symmetric):
    """The loss and each gradient agree to about the three digits that bfloat16 has."""
    views, fused = rows(2, 300, 64).float(), rows(300, 64, seed=1).float()
    found = []
    for dtype in (None, torch.bfloat16):
        a, b = views.clone().requires_grad_(), fused.clone().requires_grad_()
        loss = losses.micro_contrast(a, b, temperature, symmetric=symmetric, dtype=dtype)
        loss.backward()
        found.append((loss.item(), a.grad, b.grad))
    exact, narrow = found
    assert narrow[0] == pytest.approx(exact[0], rel=2e-3)
    for got, expected in zip(narrow[1:], exact[1:], strict=True):
        assert (got - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("temperature, negatives", [(0.05, 64), (0.1, 16), (0.5, 64)])
def test_bfloat16_pairs_are_close_where_a_few_stand_for_all(tile, temperature, negatives):
    """Views that agree: the positive is a large part of the sum, of which bfloat16 has three digits."""
    fused = rows(2000, 64).float()
    views = fused + 0.01 * rows(2000, 64, seed=1).float()
    found = []
    for dtype in (None, torch.bfloat16):
        a, generator = views.clone().requires_grad_(), torch.Generator().manual_seed(2)
        loss = losses.micro_contrast(a, fused, temperature, negatives=negatives, generator=generator, dtype=dtype)
        loss.backward()
        found.append((loss.item(), a.grad))
    exact, narrow = found
    assert 0 <= narrow[0] == pytest.approx(exact[0], rel=0.05)
    assert (narrow[1] - exact[1]).norm() < 0.05 * exact[1].norm()


def test_float16_pairs_are_refused():
    with pytest.raises(ValueError, match="float16 cannot hold the exponentials"):
        losses.micro_contrast(rows(5, 4).float(), rows(5, 4, seed=1).float(), dtype=torch.float16)


def test_sampled_contrast_estimates_the_whole():
    """Weighted negatives keep the partition's size: the mean of many draws meets the exact loss (Jensen)."""
    views, fused = rows(2, 120, 8), rows(120, 8, seed=1)
    exact = float(losses.micro_contrast(views, fused))
    generator = torch.Generator().manual_seed(0)
    draws = [float(losses.micro_contrast(views, fused, negatives=60, generator=generator)) for _ in range(200)]
    assert np.mean(draws) == pytest.approx(exact, rel=0.005)
    assert np.std(draws) > 0
    assert float(losses.micro_contrast(views, fused, negatives=500)) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_sampled_contrast_is_a_loop_with_weighted_negatives(temperature, symmetric):
    view, fused = (ops.unit_rows(rows(12, 4, seed=s)).numpy() for s in (0, 1))
    chosen = torch.randperm(12, generator=torch.Generator().manual_seed(3))[:7].tolist()
    total = 0.0
    for i in chosen:
        for own, other in ((view, fused), (fused, view))[: 1 + symmetric]:
            positive = math.exp(own[i] @ other[i] / temperature)
            rest = sum(math.exp(own[i] @ x[j] / temperature) for j in chosen if j != i for x in (own, other))
            total -= math.log(positive / (positive + 11 / 6 * rest)) / (1 + symmetric)
    got = losses.micro_contrast(
        torch.tensor(view), torch.tensor(fused), temperature=temperature, symmetric=symmetric, negatives=6,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert got.item() == pytest.approx(total / 7, rel=1e-9)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_sampled_contrast_gradient(temperature, symmetric):
    a, fused = rows(12, 4).requires_grad_(), rows(12, 4, seed=1).requires_grad_()

    def loss(a, fused):
        generator = torch.Generator().manual_seed(3)
        return losses.micro_contrast(
            [a, a * fused], fused, temperature=temperature, symmetric=symmetric, negatives=6, generator=generator
        )

    assert gradcheck(loss, (a, fused))


@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_micro_contrast_does_not_care_for_order_or_length(n, m, seed):
    views, fused = rows(m, n, 5, seed=seed), rows(n, 5, seed=seed + 1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    first = losses.micro_contrast(views, fused)
    assert torch.allclose(first, losses.micro_contrast(views[:, order], fused[order]))
    assert torch.allclose(first, losses.micro_contrast(views.flip(0) * 3.0, fused * 0.2))
    assert float(first) > 0


def test_bpr_loss_by_hand_and_by_loop():
    positive, negative = rows(50), rows(50, seed=1)
    loop = np.mean([-math.log(1 / (1 + math.exp(-(p - n)))) for p, n in zip(positive, negative, strict=True)])
    assert float(losses.bpr_loss(positive, negative)) == pytest.approx(loop, abs=1e-12)
    assert float(losses.bpr_loss(torch.zeros(3), torch.zeros(3))) == pytest.approx(math.log(2))
    assert float(losses.bpr_loss(torch.tensor([-1e4]), torch.tensor([1e4]))) == pytest.approx(2e4)  # no overflow
    assert gradcheck(losses.bpr_loss, (positive.requires_grad_(), negative.requires_grad_()))


def test_embedding_l2_by_hand():
    """(1 + 4) / 2 for one case of two vectors; the mean over cases does not grow with the batch."""
    one = losses.embedding_l2(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    assert float(one) == 2.5
    assert float(losses.embedding_l2(torch.ones(7, 3), torch.ones(7, 3))) == 3.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.bpr_loss(torch.zeros(3), torch.zeros(3, 1)), r"bpr_loss: \(3,\) positives against \(3, 1\)"),
        (lambda: losses.micro_contrast(torch.zeros(3, 2), torch.zeros(4, 2)), r"view is \(3, 2\), but fused \(4, 2\)"),
        (lambda: losses.micro_contrast(torch.eye(3), torch.eye(3), temperature=0), "must be > 0"),
        (lambda: losses.micro_contrast(torch.eye(3), torch.eye(3), negatives=0), "at least one is needed"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("temperature", [0.5, 0.02])  # tiles; rows with their maxima
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_contrast_makes_no_square_matrix(monkeypatch, temperature, symmetric):
    """Every tensor of value and gradient stays far below I x I, and what autograd keeps is one of them."""
    monkeypatch.setattr(ops, "TILE", 128)
    monkeypatch.setattr(ops, "CHUNK_ELEMENTS", 2**14)
    n, draw = 2000, torch.Generator().manual_seed(0)
    views, fused = torch.randn(2, n, 8, generator=draw), torch.randn(n, 8, generator=draw)
    with Largest() as made:
        losses.micro_contrast(views.requires_grad_(), fused.requires_grad_(), temperature, symmetric).backward()
    assert views.grad is not None and made.numel < n * n / 50
