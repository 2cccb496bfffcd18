"""The explorer of PAMD's Eq. 10: its numbers are the library's, and length buys what the lesson says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmrec_lite import losses, plots
from mmrec_lite.explorers import OrderExplorer, OrderState
from mmrec_lite.explorers.order import FORMS


def by_hand(form: str, c: float, p: float, s: float) -> float:
    if form == "printed":
        return -math.log1p(math.exp(p - c)) - math.log1p(math.exp(s - p))
    if form == "bounded":
        return math.log1p(math.exp(c - p)) + math.log1p(math.exp(p - s))
    e = [math.exp(-2 * x) for x in (c, p, s)]
    return -math.log(e[0] / sum(e)) - math.log(e[1] / (e[1] + e[2]))


def test_the_lessons_item_by_hand() -> None:
    state = OrderState.of("bounded", 1.0, 1.0)
    assert state.gaps == pytest.approx((1, 4, 8))
    assert {name: part.tolist() for name, part in state.parts.items()} == {
        "text": [1, 3],
        "common": [2, 2],
        "primitive": [3, 1],
        "specific": [1, -1],
    }
    assert OrderState.of("printed", 4.0, 1.0).gaps == pytest.approx((16, 64, 128))
    assert OrderState.of("infonce", 4.0, 1.0).gaps == pytest.approx((1 - 8 / math.sqrt(80), 0.4, 1 + 2 / math.sqrt(20)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("scale", "parting"), [(0.5, 1.0), (2.0, 0.3)])
def test_what_is_shown_is_the_librarys_loss(form: str, scale: float, parting: float) -> None:
    explorer = OrderExplorer()
    explorer.controls["form"].value = form
    explorer.controls["scale"].value, explorer.controls["parting"].value = scale, parting
    picture, text = scale * torch.tensor([[3.0, 1.0]]).double(), scale * torch.tensor([[1.0, 3.0]]).double()
    common = (1 - parting) * picture + parting * torch.full((1, 2), 2.0 * scale).double()
    measure = losses.cosine_gap if form == "infonce" else losses.gap
    gaps = [measure(text, part).mean() for part in (common, picture, picture - common)]
    expected = losses.order_loss(*gaps, form=form).item()
    state = explorer.state(explorer.params)
    assert state.loss == pytest.approx(expected) == pytest.approx(by_hand(form, *(g.item() for g in gaps)))
    assert f"loss {expected:.4g}" in explorer.status.value
    *_, over_length, over_parting = explorer.render(explorer.params).axes
    for ax, place in ((over_length, scale), (over_parting, parting)):
        marked = ax.lines[-1]
        assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (place, state.loss)
        curve = ax.lines[0]
        assert np.interp(place, curve.get_xdata(), curve.get_ydata()) == pytest.approx(state.loss, rel=0.02)
        for x, loss in list(zip(curve.get_xdata(), curve.get_ydata(), strict=True))[::10]:  # drawn all at once
            there = (x, parting) if ax is over_length else (scale, x)
            assert loss == pytest.approx(OrderState.of(form, *map(float, there)).loss, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_growth_is_the_slope_over_the_length(form: str) -> None:
    step = 1e-5
    up, down = (OrderState.of(form, 1.5 * math.exp(h), 0.8).loss for h in (step, -step))
    assert OrderState.of(form, 1.5, 0.8).growth == pytest.approx((up - down) / (2 * step), abs=1e-6)


def test_length_buys_the_printed_and_the_bounded_form_but_not_the_cosines() -> None:
    params = {"scale": 2.0, "parting": 1.0}
    explorer = OrderExplorer()
    assert explorer.state(params | {"form": "printed"}).growth < -50
    assert explorer.state(params | {"form": "bounded", "scale": 0.5}).growth < -0.5
    assert explorer.state(params | {"form": "infonce"}).growth == pytest.approx(0, abs=1e-12)
    assert "Length alone leaves it as it is." in explorer.describe(params | {"form": "infonce"})
    assert "the order is kept" in explorer.describe(params | {"form": "infonce"})


def test_the_static_twin_marks_every_scale_in_every_form() -> None:
    figure = OrderExplorer().static(scales=(0.5, 4))
    for ax, form in zip(figure.axes, FORMS, strict=True):
        marks = [tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
        assert marks == [(scale, OrderState.of(form, scale, 1.0).loss) for scale in (0.5, 4)]


def test_drawing_is_pure_and_controls_are_labelled() -> None:
    explorer = OrderExplorer()
    params, before = explorer.params, plots.png(explorer.render(explorer.params))
    for control in explorer.controls.values():
        assert control.description and not getattr(control, "continuous_update", False)
    explorer.controls["scale"].value = 8.0
    assert plots.png(explorer.render(params)) == before != plots.png(explorer.render(explorer.params))
