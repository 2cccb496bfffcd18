"""MICRO's contrast from a sample of the items, where digits are easily lost."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmrec_lite.ops import pairwise_infonce


def by_log_sum_exp(view: Tensor, fused: Tensor, temperature: float, each: float) -> Tensor:
    """MICRO Eq. 10-12, every negative counted `each` times."""
    own = torch.eye(len(view), dtype=torch.bool)
    total = torch.zeros((), dtype=view.dtype)
    for anchor, other in ((view, fused), (fused, view)):
        cross, inside = anchor @ other.T / temperature, anchor @ anchor.T / temperature
        negatives = torch.cat([cross.masked_fill(own, -torch.inf), inside.masked_fill(own, -torch.inf)], dim=1)
        parts = torch.cat([cross.diagonal()[:, None], negatives + math.log(each)], dim=1)
        total = total + (parts.logsumexp(1) - cross.diagonal()).mean() / 2
    return total


@pytest.mark.parametrize("temperature", [0.04, 0.05, 0.07, 0.1, 0.5])
def test_a_sample_of_a_large_catalogue_keeps_its_digits(temperature):
    generator = torch.Generator().manual_seed(0)
    fused = F.normalize(torch.randn(65, 32, generator=generator), dim=1)
    view = F.normalize(fused + 0.02 * torch.randn(65, 32, generator=generator), dim=1)
    each = (1_000_000 - 1) / 64
    found, exact = view.clone().requires_grad_(), view.double().requires_grad_()
    loss = pairwise_infonce(found[None], fused, temperature, True, None, each)
    expected = by_log_sum_exp(exact, fused.double(), temperature, each)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert float((found.grad - exact.grad).norm() / exact.grad.norm()) < 1e-4
