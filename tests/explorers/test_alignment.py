"""The explorer of MCPTR's Eq. 11: cells add up to the library's loss, rows to what they are said to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmrec_lite import losses, plots
from mmrec_lite.explorers import Alignment, AlignmentExplorer
from mmrec_lite.explorers.alignment import READINGS


def moved(**values) -> AlignmentExplorer:
    explorer = AlignmentExplorer(seed=1)
    for name, value in values.items():
        explorer.controls[name].value = value
    return explorer


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("temperature", "items"), [(0.01, 8), (0.5, 5), (2.0, 2)])
def test_cells_add_up_to_the_librarys_loss(reading: str, temperature: float, items: int) -> None:
    explorer = moved(reading=reading, temperature=temperature, items=items)
    text, image = (torch.from_numpy(p[:items]) for p in explorer.points)
    expected = losses.cima_loss(text, image, temperature=temperature, **READINGS[reading]).item()
    state = explorer.state(explorer.params)
    assert state.costs.sum() == pytest.approx(expected) == pytest.approx(state.loss)
    assert f"loss {expected:.3f}" in explorer.status.value
    assert np.trace(state.costs) / expected == pytest.approx(state.of_true_pairs)


def test_a_softmax_row_is_a_distribution_and_a_sigmoid_row_is_none() -> None:
    soft = moved(reading="softmax", temperature=0.1)
    assert np.allclose(soft.state(soft.params).row_sums, 1)
    assert "Rows add up to 1.00." in soft.status.value
    flat = moved(reading="sigmoid, half and half", temperature=10**0.5, items=8)
    sums = flat.state(flat.params).row_sums
    assert sums.min() > 3  # near half a pair each
    assert f"Rows add up to {sums.min():.2f} to {sums.max():.2f}." in flat.status.value
    words = [t.get_text() for t in flat.render(flat.params).axes[1].texts]
    assert [f"Σ {total:.2f}" for total in sums] == [w for w in words if w.startswith("Σ")]


def test_three_items_by_hand() -> None:
    text, image = np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]])  # the second picture is the first text's
    state = Alignment.of(text, image, 0.5, "sigmoid, all pairs alike")
    soft = lambda x: math.log1p(math.exp(x))  # noqa: E731
    assert state.costs * 4 == pytest.approx(np.array([[soft(-2), soft(2)], [soft(0), soft(0)]]))
    assert state.undefined == 2  # log of s = 0 for the second true pair, of 1 - s = -1 beside the first
    half = Alignment.of(text, image, 0.5, "softmax")
    assert half.probabilities == pytest.approx(np.full((2, 2), 0.5))


def test_logarithms_that_do_not_exist_are_counted() -> None:
    explorer = moved(items=6, temperature=0.1)
    state = explorer.state(explorer.params)
    s = state.cosines / 0.1
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(np.eye(6, dtype=bool), np.log(s), np.log(1 - s))
    assert state.undefined == np.count_nonzero(~np.isfinite(logs)) > 0
    assert f"{state.undefined} of the 36 logarithms do not exist" in explorer.status.value


def test_the_static_twin_has_both_forms_at_every_temperature() -> None:
    explorer = AlignmentExplorer()
    titles = [ax.get_title(loc="left") for ax in explorer.static((0.1, 1.0)).axes]
    losses_shown = [
        explorer.state({"temperature": t, "items": 4, "reading": r}).loss
        for r in ("sigmoid, half and half", "softmax")
        for t in (0.1, 1.0)
    ]
    assert [float(title.rpartition(" ")[2]) for title in titles] == pytest.approx(losses_shown, abs=0.005)


def test_drawing_is_pure_and_controls_are_labelled() -> None:
    explorer = AlignmentExplorer()
    params, before = explorer.params, plots.png(explorer.render(explorer.params))
    for control in explorer.controls.values():
        assert control.description and not getattr(control, "continuous_update", False)
    explorer.controls["items"].value = 8
    assert plots.png(explorer.render(params)) == before != plots.png(explorer.render(explorer.params))
