"""MP4SR's losses against loops over the printed equations, closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mmrec_lite import losses
from mmrec_lite.losses import mp4sr

IDS = torch.tensor([3, 1, 3, 0, 2, 1, 5])  # cases 0 and 2, 1 and 5 share their next item
GROUPS = torch.tensor([0, 0, 1, 1, 1, 2, 3])


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def f(a, b, temperature):
    return math.exp(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) / temperature)


def barred(j, other, ids, groups):
    return j != other and (
        (ids is not None and ids[j] == ids[other]) or (groups is not None and groups[j] == groups[other])
    )


def loop_next_item(a, b, z, temperature, ids, groups, same_item):
    total = 0.0
    for j in range(len(z)):
        partition = 0.0
        for k in range(len(z)):
            if barred(j, k, None, groups):
                continue
            if barred(j, k, ids, None) and same_item != "keep":
                partition += 0.0 if same_item == "mask" else 2.0  # the released e^0 in both views
                continue
            partition += f(a[j], z[k], temperature) + f(b[j], z[k], temperature)
        total -= math.log((f(a[j], z[j], temperature) + f(b[j], z[j], temperature)) / partition)
    return total / len(z)


def loop_cross_modal(a, b, temperature, ids, groups, form):
    def one(a, b, j):
        partition = 0.0
        for k in range(len(a)):
            if barred(j, k, ids, groups):
                continue
            partition += f(a[j], b[k], temperature)
            if k != j:
                partition += f(a[j], (a if form == "intra" else b)[k], temperature)
        return math.log(f(a[j], b[j], temperature) / partition)

    return -sum(one(a, b, j) + one(b, a, j) for j in range(len(a))) / (2 * len(a))


@pytest.mark.parametrize("same_item", ["mask", "zero", "keep"])
@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_next_item_loss_is_the_printed_equation(temperature, groups, same_item):
    a, b, z = (rows(7, 5, seed=s) for s in range(3))
    got = losses.next_item_loss(a, b, z, IDS, temperature, groups=groups, same_item=same_item)
    expected = loop_next_item(*(x.numpy() for x in (a, b, z)), temperature, IDS, groups, same_item)
    assert float(got) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("form", ["intra", "printed"])
@pytest.mark.parametrize("ids", [None, IDS])
@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_cross_modal_loss_is_the_printed_equation(temperature, groups, ids, form):
    a, b = rows(7, 5), rows(7, 5, seed=1)
    got = losses.cross_modal_loss(a, b, ids, temperature, groups=groups, form=form)
    assert float(got) == pytest.approx(loop_cross_modal(a.numpy(), b.numpy(), temperature, ids, groups, form), abs=1e-9)


def test_gradients():
    a, b, z = (rows(7, 4, seed=s).requires_grad_() for s in range(3))
    assert gradcheck(lambda *x: losses.next_item_loss(*x, IDS, 0.3, groups=GROUPS), (a, b, z))
    assert gradcheck(lambda *x: losses.cross_modal_loss(*x, IDS, 0.3, groups=GROUPS), (a, b))
    sequences, items = rows(2, 6, 4).requires_grad_(), rows(2, 9, 4, seed=1).requires_grad_()
    targets = torch.tensor([0, 3, 3, 8, 1, 2])
    assert gradcheck(lambda s, i: losses.next_item_cross_entropy(s, i, targets), (sequences, items), fast_mode=True)
    assert gradcheck(
        lambda s, i: losses.next_item_cross_entropy(s, i, targets, True, 0.2), (sequences, items), fast_mode=True
    )


def test_closed_forms():
    """Orthonormal rows: the positive has cosine 1, everything else 0."""
    n, t = 6, 0.5
    eye = torch.eye(n, dtype=torch.float64)
    assert float(losses.next_item_loss(eye, eye, eye, torch.arange(n), t)) == pytest.approx(
        math.log(math.exp(1 / t) + n - 1) - 1 / t
    )
    assert float(losses.cross_modal_loss(eye, eye, None, t)) == pytest.approx(
        math.log(math.exp(1 / t) + 2 * (n - 1)) - 1 / t
    )
    uniform = losses.next_item_cross_entropy(torch.zeros(2, 3, 4), torch.ones(2, n, 4), torch.tensor([0, 1, 2]))
    assert float(uniform) == pytest.approx(math.log(n))


def test_one_view_is_the_same_view_twice():
    a, z = rows(7, 5), rows(7, 5, seed=1)
    assert losses.next_item_loss(a, None, z, IDS).item() == pytest.approx(losses.next_item_loss(a, a, z, IDS).item())


def test_a_masked_case_sends_no_gradient_and_a_released_one_still_counts():
    """Cases 0 and 2 have the same next item: masked, the one's item is nothing to the other."""
    a, b, z = (rows(7, 4, seed=s) for s in range(3))
    for same_item, reached in (("mask", False), ("zero", False), ("keep", True)):
        items = z.clone().requires_grad_()
        one = torch.zeros(7, dtype=torch.bool)
        one[0] = True
        sequences = torch.where(one[:, None], a, a.detach()).requires_grad_()
        full = losses.next_item_loss(sequences, b, items, IDS, same_item=same_item)
        (gradient,) = torch.autograd.grad(full, sequences, create_graph=True)
        (through,) = torch.autograd.grad(gradient[0].sum(), items)
        assert (through[2].abs().sum() > 0) == reached
    values = [losses.next_item_loss(a, b, z, IDS, same_item=s).item() for s in ("mask", "zero", "keep")]
    assert values[0] < values[1] and values[0] < values[2]


def test_who_is_no_negative_does_not_matter():
    """Everything of one group: nothing is left to tell apart."""
    a, b = rows(7, 4), rows(7, 4, seed=1)
    assert losses.next_item_loss(a, b, a, None, groups=torch.zeros(7)).item() == pytest.approx(0, abs=1e-12)
    assert losses.cross_modal_loss(a, b, torch.zeros(7)).item() == pytest.approx(0, abs=1e-12)
    assert losses.cross_modal_loss(a[:1], b[:1]).item() == pytest.approx(0, abs=1e-12)


def test_order_and_length_do_not_matter():
    a, b, z = (rows(7, 4, seed=s) for s in range(3))
    order = torch.tensor([4, 2, 0, 6, 1, 3, 5])
    one = losses.next_item_loss(a, b, z, IDS), losses.cross_modal_loss(a, b, IDS)
    other = losses.next_item_loss(3 * b[order], 2 * a[order], z[order], IDS[order])
    torch.testing.assert_close(one[0], other)
    torch.testing.assert_close(one[1], losses.cross_modal_loss(b[order], 5 * a[order], IDS[order]))


@pytest.mark.parametrize("temperature", [1e-3, 0.07, 10.0])
def test_stays_finite_where_bare_exponentials_do_not(temperature):
    a, b, z = (rows(9, 8, seed=s).float().requires_grad_() for s in range(3))
    loss = losses.next_item_loss(a, b, z, temperature=temperature) + losses.cross_modal_loss(
        a, b, temperature=temperature
    )
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(x.grad).all() for x in (a, b, z))


@pytest.mark.parametrize("normalize", [False, True])
def test_scores_and_cross_entropy_are_the_printed_equations(normalize):
    sequences, items = rows(2, 5, 4), rows(2, 8, 4, seed=1)
    targets = torch.tensor([1, 7, 0, 3, 3])
    unit = (lambda x: x / np.linalg.norm(x)) if normalize else (lambda x: x)
    expected = np.array(
        [
            [sum(unit(h[v][b]) @ unit(z[v][i]) for v in range(2)) / 0.3 for i in range(8)]
            for h, z in [(sequences.numpy(), items.numpy())]
            for b in range(5)
        ]
    )
    scores = losses.catalogue_scores(sequences, items, normalize, 0.3)
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-9)
    nll = np.mean([math.log(np.exp(row).sum()) - row[t] for row, t in zip(expected, targets, strict=True)])
    loss = losses.next_item_cross_entropy(sequences, items, targets, normalize, 0.3)
    assert float(loss) == pytest.approx(nll, abs=1e-9)


def test_blocks_give_the_same_loss_and_gradient(monkeypatch):
    sequences, items = rows(2, 11, 4).requires_grad_(), rows(2, 8, 4, seed=1).requires_grad_()
    targets = torch.arange(11) % 8
    barred = torch.tensor([False] * 7 + [True])
    targets[targets == 7] = 0
    whole = losses.next_item_cross_entropy(sequences, items, targets, barred=barred)
    expected = torch.autograd.grad(whole, (sequences, items))
    monkeypatch.setattr(mp4sr, "CHUNK_ELEMENTS", 3 * 8)
    blocks = losses.next_item_cross_entropy(sequences, items, targets, barred=barred)
    torch.testing.assert_close(blocks, whole)
    for got, wanted in zip(torch.autograd.grad(blocks, (sequences, items)), expected, strict=True):
        torch.testing.assert_close(got, wanted)
    assert expected[1][:, 7].abs().sum() == 0  # a barred item is no class


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.next_item_loss(torch.eye(3), torch.eye(4), torch.eye(3)),
            r"^next_item_loss: .*, got \(3, 3\), \(4, 4\)",
        ),
        (
            lambda: losses.cross_modal_loss(torch.eye(3), torch.eye(3), temperature=0),
            "^cross_modal_loss: .*> 0",
        ),
        (lambda: losses.cross_modal_loss(torch.eye(3), torch.eye(3), torch.arange(4)), r"expected \(3,\), one a case"),
        (
            lambda: losses.next_item_loss(torch.eye(3), torch.eye(3), torch.eye(3), same_item="masked"),
            r"^next_item_loss: same_item = 'masked' is unknown; choose 'mask', 'zero' or 'keep'\.$",
        ),
        (
            lambda: losses.cross_modal_loss(torch.eye(3), torch.eye(3), form="inter"),
            r"^cross_modal_loss: form = 'inter' is unknown; choose 'intra' or 'printed'\.$",
        ),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
