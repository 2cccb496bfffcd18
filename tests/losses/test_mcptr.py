"""MCPTR's losses against loops over the equations, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mmrec_lite import losses

FORMS = [("sigmoid", True), ("sigmoid", False), ("softmax", True)]


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop_cima(text: np.ndarray, image: np.ndarray, temperature: float, form: str, balanced: bool) -> float:
    """Eq. 11 pair by pair, with bare exponentials and logarithms."""
    n = len(text)

    def s(p, q):
        return text[p] @ image[q] / (temperature * np.linalg.norm(text[p]) * np.linalg.norm(image[q]))

    if form == "softmax":
        there = [-math.log(math.exp(s(p, p)) / sum(math.exp(s(p, q)) for q in range(n))) for p in range(n)]
        back = [-math.log(math.exp(s(q, q)) / sum(math.exp(s(p, q)) for p in range(n))) for q in range(n)]
        return (np.mean(there) + np.mean(back)) / 2
    true, wrong = [], []
    for p in range(n):
        for q in range(n):
            probability = 1 / (1 + math.exp(-s(p, q)))
            if p == q:
                true.append(-math.log(probability))
            else:
                wrong.append(-math.log(1 - probability))
    return (np.mean(true) + np.mean(wrong)) / 2 if balanced else np.mean(true + wrong)


@pytest.mark.parametrize(("form", "balanced"), FORMS)
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_cima_is_equation_11(form, balanced, temperature):
    text, image = rows(9, 5), rows(9, 5, seed=1)
    got = losses.cima_loss(text, image, temperature=temperature, form=form, balanced=balanced)
    assert float(got) == pytest.approx(loop_cima(text.numpy(), image.numpy(), temperature, form, balanced), abs=1e-9)


@pytest.mark.parametrize(("form", "balanced"), FORMS)
def test_cima_gradient(form, balanced):
    text, image = rows(5, 3).requires_grad_(), rows(5, 3, seed=1).requires_grad_()
    assert gradcheck(lambda t, v: losses.cima_loss(t, v, 0.3, form, balanced), (text, image))


def test_cima_closed_forms():
    """Orthonormal rows in both: true pairs have cosine 1, wrong ones 0."""
    n, tau = 6, 0.1
    eye = torch.eye(n, dtype=torch.float64)
    missed = math.log1p(math.exp(-1 / tau))
    assert float(losses.cima_loss(eye, eye, tau)) == pytest.approx((missed + math.log(2)) / 2)
    plain = (missed + (n - 1) * math.log(2)) / n
    assert float(losses.cima_loss(eye, eye, tau, balanced=False)) == pytest.approx(plain)
    softmax = math.log(math.exp(1 / tau) + n - 1) - 1 / tau
    assert float(losses.cima_loss(eye, eye, tau, form="softmax")) == pytest.approx(softmax)


def test_cosine_over_tau_is_no_probability():
    """Why a sigmoid: the printed s leaves [0, 1] on both sides, and its logarithm does not exist."""
    s = torch.tensor([-0.2, 0.5]) / 0.1
    assert torch.isnan(s.log()[0]) and torch.isnan((1 - s).log()[1])


@given(st.integers(2, 10), st.sampled_from(FORMS), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_cima_does_not_care_for_order_length_or_side(n, form, seed):
    text, image = rows(n, 4, seed=seed), rows(n, 4, seed=seed + 1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    name, balanced = form
    first = losses.cima_loss(text, image, 0.2, name, balanced)
    torch.testing.assert_close(first, losses.cima_loss(text[order] * 3, image[order] * 0.1, 0.2, name, balanced))
    torch.testing.assert_close(first, losses.cima_loss(image, text, 0.2, name, balanced))
    assert float(first) >= 0


@pytest.mark.parametrize(("form", "balanced"), FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e3])
def test_cima_stays_finite(form, balanced, dtype, scale):
    text = (rows(7, 4) * scale).to(dtype).requires_grad_()
    loss = losses.cima_loss(text, rows(7, 4, seed=1).to(dtype), 0.01, form, balanced)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(text.grad).all()


def test_cima_of_one_pair_has_no_wrong_one():
    one = torch.tensor([[1.0, 0.0]])
    assert float(losses.cima_loss(one, one, 1.0)) == pytest.approx(math.log1p(math.exp(-1)))
    assert float(losses.cima_loss(one, one, 1.0, form="softmax")) == 0


def test_interaction_bce_by_loop_and_gradient():
    scores, labels = rows(40), (rows(40, seed=1) > 0).double()
    loop = [
        -math.log(p) if y else -math.log(1 - p) for p, y in zip(1 / (1 + np.exp(-scores.numpy())), labels, strict=True)
    ]
    assert float(losses.interaction_bce(scores, labels)) == pytest.approx(np.mean(loop), abs=1e-12)
    assert float(losses.interaction_bce(torch.tensor([-1e4]), torch.tensor([1.0]))) == pytest.approx(1e4)
    assert gradcheck(lambda s: losses.interaction_bce(s, labels), (scores.requires_grad_(),))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.cima_loss(torch.eye(3), torch.eye(4)), r"text is \(3, 3\), image \(4, 4\)"),
        (lambda: losses.cima_loss(torch.zeros(0, 3), torch.zeros(0, 3)), r"text is \(0, 3\)"),
        (lambda: losses.cima_loss(torch.eye(3), torch.eye(3), temperature=0), "must be > 0"),
        (lambda: losses.cima_loss(torch.eye(3), torch.eye(3), form="printed"), "choose 'sigmoid' or 'softmax'"),
        (lambda: losses.cima_loss(torch.eye(1), torch.eye(1), form="clip"), "form = 'clip' is unknown"),
        (lambda: losses.interaction_bce(torch.zeros(3), torch.zeros(3, 1)), r"\(3,\) scores against \(3, 1\)"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
