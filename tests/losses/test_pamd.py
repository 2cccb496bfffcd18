"""PAMD's losses against loops over the printed equations, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from mmrec_lite import losses


def rows(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_disentangle_loss_is_equation_3():
    common_a, common_b, specific_a, specific_b = (rows(9, 5, seed=s).numpy() for s in range(4))
    align = orthogonal = 0.0
    for i in range(9):
        dot = 0.0
        for j in range(5):
            align += (common_a[i, j] - common_b[i, j]) ** 2 / (9 * 5)
            dot += specific_a[i, j] * specific_b[i, j]
        orthogonal += dot**2 / 9
    got = losses.disentangle_loss(*(rows(9, 5, seed=s) for s in range(4)))
    assert list(got) == ["align", "orthogonal"]
    assert float(got["align"]) == pytest.approx(align, abs=1e-9)
    assert float(got["orthogonal"]) == pytest.approx(orthogonal, abs=1e-9)


def test_disentangle_loss_by_hand():
    """Equal common parts and specific parts at a right angle cost nothing; the angle counts, not the sign."""
    x, up = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    assert {k: float(v) for k, v in losses.disentangle_loss(x, x, x, up).items()} == {"align": 0, "orthogonal": 0}
    assert float(losses.disentangle_loss(x, up, x, -x)["orthogonal"]) == 16
    assert float(losses.disentangle_loss(x, up, x, x)["align"]) == (4 + 25) / 2


def test_disentangle_gradients_reach_what_each_term_names():
    a, b, c, d = (rows(4, 3, seed=s).requires_grad_() for s in range(4))
    assert gradcheck(lambda *x: tuple(losses.disentangle_loss(*x).values()), (a, b, c, d))
    terms = losses.disentangle_loss(a, b, c, d)
    assert torch.autograd.grad(terms["align"], (c, d), allow_unused=True, retain_graph=True) == (None, None)
    assert torch.autograd.grad(terms["orthogonal"], (a, b), allow_unused=True) == (None, None)


def test_gaps_are_loops_over_the_definition():
    target, mapped = rows(6, 4), rows(6, 4, seed=1)
    square, cosines = 0.0, []
    for t, m in zip(target.numpy(), mapped.numpy(), strict=True):
        square += sum((x - y) ** 2 for x, y in zip(t, m, strict=True)) / 24
        cosines.append(1 - t @ m / (np.linalg.norm(t) * np.linalg.norm(m)))
    assert float(losses.gap(target, mapped)) == pytest.approx(square, abs=1e-12)
    np.testing.assert_allclose(losses.cosine_gap(target, mapped).numpy(), cosines, atol=1e-9)
    pair = target.requires_grad_(), mapped.requires_grad_()
    assert gradcheck(losses.gap, pair) and gradcheck(losses.cosine_gap, pair)


def test_cosine_gap_ignores_length_and_survives_zero():
    target, mapped = rows(5, 3), rows(5, 3, seed=1)
    torch.testing.assert_close(losses.cosine_gap(3 * target, 0.1 * mapped), losses.cosine_gap(target, mapped))
    assert losses.cosine_gap(target, 0 * mapped).tolist() == [1.0] * 5


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_order_loss_is_the_printed_and_the_released_equation(temperature):
    gaps = rows(3, 8).abs().numpy()
    bounded = printed = infonce = 0.0
    for c, p, s in gaps.T:
        bounded += (-math.log(sigmoid(p - c)) - math.log(sigmoid(s - p))) / 8
        printed += (math.log(sigmoid(c - p)) + math.log(sigmoid(p - s))) / 8
        ec, ep, es = (math.exp((1 - g) / temperature) for g in (c, p, s))  # exp(cosine / temperature)
        infonce += (-math.log(ec / (ec + ep + es)) - math.log(ep / (ep + es))) / 8
    got = {
        form: float(losses.order_loss(*torch.tensor(gaps), form=form, temperature=temperature))
        for form in ("bounded", "printed", "infonce")
    }
    assert got == pytest.approx({"bounded": bounded, "printed": printed, "infonce": infonce}, abs=1e-9)


@pytest.mark.parametrize("form", ["bounded", "printed", "infonce"])
def test_order_loss_gradient_and_direction(form):
    """All three forms pull the common gap down and push the specific one up."""
    gaps = [rows(5, seed=s).abs().requires_grad_() for s in range(3)]
    assert gradcheck(lambda *g: losses.order_loss(*g, form=form), gaps)
    common, _, specific = torch.autograd.grad(losses.order_loss(*gaps, form=form), gaps)
    assert (common > 0).all() and (specific < 0).all()


def test_order_loss_closed_form():
    """Three equal gaps: nothing is told apart."""
    gap = torch.tensor(0.7, dtype=torch.float64)
    assert float(losses.order_loss(gap, gap, gap)) == pytest.approx(2 * math.log(2))
    assert float(losses.order_loss(gap, gap, gap, form="printed")) == pytest.approx(-2 * math.log(2))
    assert float(losses.order_loss(gap, gap, gap, form="infonce")) == pytest.approx(math.log(3) + math.log(2))


def test_only_the_printed_form_runs_away():
    """Gaps ever wider apart: the printed loss falls without end, the others come to rest at 0."""
    ends = []
    for size in (1.0, 1e2, 1e4):
        gaps = [torch.tensor(k * size, dtype=torch.float64) for k in (0.0, 1.0, 2.0)]
        ends.append([float(losses.order_loss(*gaps, form=form)) for form in ("bounded", "printed", "infonce")])
    assert ends[-1] == [0.0, -2e4, 0.0] and ends[0][1] > ends[1][1] > ends[2][1]


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
@settings(max_examples=50, deadline=None)
def test_order_loss_is_finite_not_negative_and_best_in_order(c, p, s):
    gaps = [torch.tensor(g, dtype=torch.float32) for g in (c, p, s)]
    for form in ("bounded", "infonce"):
        loss = losses.order_loss(*gaps, form=form)
        assert torch.isfinite(loss) and loss >= 0
        assert losses.order_loss(*sorted(gaps), form=form) <= loss + 1e-3 * abs(loss)


def test_pointwise_loss_by_loop():
    positive, negative = rows(20), rows(20, seed=1)
    loop = [-math.log(sigmoid(p)) - math.log(1 - sigmoid(n)) for p, n in zip(positive, negative, strict=True)]
    assert float(losses.pointwise_loss(positive, negative)) == pytest.approx(np.mean(loop), abs=1e-9)
    assert float(losses.pointwise_loss(torch.tensor([-1e4]), torch.tensor([1e4]))) == pytest.approx(2e4)
    assert gradcheck(losses.pointwise_loss, (positive.requires_grad_(), negative.requires_grad_()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.disentangle_loss(x, x, x, x[:1]), r"disentangle_loss: the shapes .*\(1, 2\) differ"),
        (lambda x: losses.gap(x, x[:, :1]), r"gap: the shapes \(3, 2\), \(3, 1\) differ"),
        (lambda x: losses.cosine_gap(x, x[0]), "cosine_gap: the shapes"),
        (lambda x: losses.order_loss(x, x, x[0]), "order_loss: the shapes"),
        (lambda x: losses.order_loss(x, x, x, form="bound"), "form = 'bound' is unknown; choose 'bounded', 'printed'"),
        (lambda x: losses.order_loss(x, x, x, form="infonce", temperature=0), "must be > 0"),
        (lambda x: losses.pointwise_loss(x[:, 0], x), "pointwise_loss: the shapes"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(3, 2))
