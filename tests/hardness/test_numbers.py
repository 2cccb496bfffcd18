"""Numbers stay numbers: every loss and its gradient, for all temperatures, lengths and float types."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lite import losses

ROWS, WIDTH = 9, 6
# Longest vector a type may hold here: a squared distance has to fit, too, and float16 ends at 65,504.
LONGEST = {torch.float64: 1e6, torch.float32: 1e6, torch.bfloat16: 1e6, torch.float16: 50.0}
KINDS = list(LONGEST)


def contrast(negatives, a, b, temperature):
    return losses.micro_contrast(a, b, temperature, negatives=negatives, generator=torch.Generator().manual_seed(0))


def order(form, a, b, temperature):
    gaps = [losses.gap(a, b), losses.gap(a, 2 * b), losses.gap(2 * a, b)]
    return losses.order_loss(*gaps, form=form, temperature=temperature)


def released_order(a, b, temperature):
    gaps = [losses.cosine_gap(a, b), losses.cosine_gap(a, b.flip(0)), losses.cosine_gap(a.flip(0), b)]
    return losses.order_loss(*gaps, form="infonce", temperature=temperature)


def next_item(same_item, a, b, temperature):
    ids = torch.arange(ROWS) // 2
    return losses.next_item_loss(a, b, a.flip(0), item_ids=ids, temperature=temperature, same_item=same_item)


LOSSES = {
    "micro_contrast": partial(contrast, None),
    "micro_contrast sampled": partial(contrast, 4),
    "cima_loss sigmoid": partial(losses.cima_loss, form="sigmoid"),
    "cima_loss softmax": partial(losses.cima_loss, form="softmax"),
    "interaction_bce": lambda a, b, t: losses.interaction_bce((a * b).sum(1), torch.arange(ROWS) % 2),
    "bpr_loss": lambda a, b, t: losses.bpr_loss((a * b).sum(1), (a * b.flip(0)).sum(1)),
    "pointwise_loss": lambda a, b, t: losses.pointwise_loss((a * b).sum(1), (a * b.flip(0)).sum(1)),
    "embedding_l2": lambda a, b, t: losses.embedding_l2(a, b),
    "disentangle_loss": lambda a, b, t: sum(losses.disentangle_loss(a, b, b, a).values()),
    "gap": lambda a, b, t: losses.gap(a, b),
    "cosine_gap": lambda a, b, t: losses.cosine_gap(a, b).mean(),
    "order_loss bounded": partial(order, "bounded"),
    "order_loss printed": partial(order, "printed"),
    "order_loss infonce": released_order,
    "next_item_loss mask": partial(next_item, "mask"),
    "next_item_loss zero": partial(next_item, "zero"),
    "next_item_loss one view": lambda a, b, t: losses.next_item_loss(a, None, b, temperature=t),
    "cross_modal_loss": lambda a, b, t: losses.cross_modal_loss(a, b, temperature=t),
    "cross_modal_loss printed": lambda a, b, t: losses.cross_modal_loss(a, b, temperature=t, form="printed"),
    "next_item_cross_entropy": lambda a, b, t: losses.next_item_cross_entropy(
        a[None], b[None], torch.arange(ROWS), normalize=True, temperature=t
    ),
}
PRODUCTS = {"interaction_bce", "bpr_loss", "pointwise_loss", "disentangle_loss"}  # of two lengths, or of their squares
CASES = 60


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_its_gradient_is_finite(name, tried):
    """Zero vectors, equal vectors, opposite vectors, lengths up to a million, temperatures from 1e-3 to 10.

    In float16 lengths end at 50 (at 7 where a loss multiplies two of them), and gradients are looked at from a length
    and a temperature of 0.1 on: a cosine's gradient is as 1 / (length temperature), which float16 cannot hold.
    """
    counts = {"wide": 0, "half": 0, "half gradient": 0}

    @settings(max_examples=CASES, deadline=None, derandomize=True, database=None)
    @given(
        kind=st.sampled_from(KINDS),
        power=st.floats(-30, 6),
        temperature=st.floats(1e-3, 10),
        seed=st.integers(0, 2**31),
        shape=st.sampled_from(["drawn", "equal", "opposite", "one zero row", "all zero"]),
    )
    def check(kind, power, temperature, seed, shape):
        longest = LONGEST[kind] ** (0.5 if name in PRODUCTS and kind == torch.float16 else 1)
        draw = torch.Generator().manual_seed(seed)
        length = min(10.0**power, longest)
        a, b = (torch.nn.functional.normalize(torch.randn(ROWS, WIDTH, generator=draw)) * length for _ in range(2))
        if shape in ("equal", "opposite"):
            b = a.clone() if shape == "equal" else -a
        elif shape != "drawn":
            a, b = (x * (torch.arange(ROWS) > 0)[:, None] * (shape == "one zero row") for x in (a, b))
        a, b = (x.to(kind).requires_grad_() for x in (a, b))
        value = LOSSES[name](a, b, temperature)
        assert torch.isfinite(value), (value, kind, length, temperature, shape)
        value.backward()
        counts["half" if kind == torch.float16 else "wide"] += 1
        if kind == torch.float16 and (length < 0.1 or temperature < 0.1):
            return
        counts["half gradient"] += kind == torch.float16
        for gradient in (a.grad, b.grad):
            assert gradient is None or torch.isfinite(gradient).all(), (gradient, kind, length, temperature, shape)

    check()
    tried("losses in bfloat16, float32, float64: 0 to 1e6 long, 1e-3 <= tau <= 10", counts["wide"],
          "value and gradient finite")  # fmt: skip
    tried("losses in float16: 0 to 50 long (products: 7), 1e-3 <= tau <= 10", counts["half"], "value finite")
    tried(
        "losses in float16: 0.1 to 50 long (products: 7), 0.1 <= tau <= 10", counts["half gradient"], "gradient finite"
    )
