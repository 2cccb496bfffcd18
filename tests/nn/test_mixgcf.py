"""MixGCF's negatives against a loop over pairs, layers and candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.nn import hop_layers, mixgcf_loss, mixgcf_negatives
from tests.tiny import tiny_shop

B, M, L, N_ITEMS, D = 6, 5, 3, 9, 4


def case(mixing: str, seed: int = 0, n_items: int = N_ITEMS, m: int = M):
    g = torch.Generator().manual_seed(seed)
    users = torch.randn(B, D, generator=g, dtype=torch.float64)
    layers = [torch.randn(n_items, D, generator=g, dtype=torch.float64) for _ in range(L)]
    positives, candidates = torch.randint(n_items, (B,), generator=g), torch.randint(n_items, (B, m), generator=g)
    alpha = torch.rand(L, B, m if mixing == "candidate" else 1, generator=g, dtype=torch.float64)
    return users, layers, positives, candidates, alpha


def loop(users, layers, positives, candidates, alpha) -> np.ndarray:
    """MixGCF Eq. 4-5 one candidate at a time."""
    out = np.zeros((L, B, D))
    for hop in range(L):
        items = layers[hop].detach().numpy()
        for b in range(B):
            best = -np.inf
            for m in range(candidates.shape[1]):
                a = float(alpha[hop, b, m if alpha.shape[2] > 1 else 0])
                mixed = a * items[positives[b]] + (1 - a) * items[candidates[b, m]]
                score = users[b].numpy() @ mixed
                if score > best:
                    best, out[hop, b] = score, mixed
    return out


@pytest.mark.parametrize("mixing", ["hop", "candidate"])
@pytest.mark.parametrize("seed", range(5))
def test_negatives_are_the_loops(mixing, seed):
    parts = case(mixing, seed)
    np.testing.assert_allclose(mixgcf_negatives(*parts).numpy(), loop(*parts), atol=1e-9)


@pytest.mark.parametrize("mixing", ["hop", "candidate"])
def test_more_candidates_than_items(mixing):
    parts = case(mixing, n_items=5, m=16)
    np.testing.assert_allclose(mixgcf_negatives(*parts).numpy(), loop(*parts), atol=1e-9)


@pytest.mark.parametrize("sizes", [{}, {"n_items": 5, "m": 16}], ids=["more items", "more candidates"])
@pytest.mark.parametrize("mixing", ["hop", "candidate"])
def test_gradient_reaches_the_items_mixed(mixing, sizes):
    users, layers, positives, candidates, alpha = case(mixing, **sizes)
    layers = [x.requires_grad_() for x in layers]

    def negatives(*layers):
        return mixgcf_negatives(users, layers, positives, candidates, alpha)

    assert torch.autograd.gradcheck(negatives, layers)


def test_alpha_one_is_the_positive_and_alpha_zero_the_hardest_candidate():
    users, layers, positives, candidates, alpha = case("hop")
    same = mixgcf_negatives(users, layers, positives, candidates, torch.ones_like(alpha))
    torch.testing.assert_close(same, torch.stack([x[positives] for x in layers]))
    hard = mixgcf_negatives(users, layers, positives, candidates, torch.zeros_like(alpha))
    for items, chosen in zip(layers, hard, strict=True):
        scores = torch.einsum("bmd,bd->bm", items[candidates], users)
        torch.testing.assert_close((users * chosen).sum(1), scores.max(dim=1).values)


def test_one_candidate_is_always_chosen():
    users, layers, positives, _, alpha = case("hop")
    only = torch.arange(B)[:, None]
    expected = [a * x[positives] + (1 - a) * x[only[:, 0]] for x, a in zip(layers, alpha, strict=True)]
    torch.testing.assert_close(mixgcf_negatives(users, layers, positives, only, alpha), torch.stack(expected))


def test_shapes_that_do_not_fit_are_refused():
    users, layers, positives, candidates, alpha = case("hop")
    with pytest.raises(ValueError, match=r"alpha must be \(3, 6, 1\) or \(3, 6, 5\)"):
        mixgcf_negatives(users, layers, positives, candidates, alpha[:2])


def test_an_unknown_mixing_is_refused():
    index = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="mixing = 'hops' is unknown; choose 'hop' or 'candidate'"):
        mixgcf_loss([torch.ones(4, D)], 2, index, index, index[:, None], l2=0.1, mixing="hops")


@pytest.mark.parametrize("mixing", ["hop", "candidate"])
def test_loss_is_bpr_of_the_pooled_layers(mixing):
    torch.manual_seed(0)
    n_users, n = 5, 14
    layers = [torch.randn(n, D, dtype=torch.float64) for _ in range(L)]
    users = torch.tensor([0, 4, 2, 2])
    positives, candidates = torch.randint(n - n_users, (4,)), torch.randint(n - n_users, (4, 6))
    torch.manual_seed(1)
    terms = mixgcf_loss(layers, n_users, users, positives, candidates, l2=0.1, mixing=mixing)
    torch.manual_seed(1)
    alpha = torch.rand(L, 4, 6 if mixing == "candidate" else 1, dtype=torch.float64)
    u = torch.stack([x[users] for x in layers])
    p = torch.stack([x[n_users + positives] for x in layers])
    q = mixgcf_negatives(u.mean(0), [x[n_users:] for x in layers], positives, candidates, alpha)
    gap = ((u.mean(0) * q.mean(0)).sum(1) - (u.mean(0) * p.mean(0)).sum(1)).numpy()
    assert float(terms["bpr"]) == pytest.approx(np.log1p(np.exp(gap)).mean())
    lengths = sum(float(x[0].square().sum()) for x in (u, p, q))
    assert float(terms["l2"]) == pytest.approx(0.1 * lengths / 2 / 4)


def test_layers_pool_to_lightgcn():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    b = mm.create("mixgcf", split, dim=8).backbone
    layers = hop_layers(b.graph, torch.cat([b.user, b.item]), b.layers, b.transpose)
    assert len(layers) == 4
    torch.testing.assert_close(torch.stack(layers).mean(0), torch.cat(b()))
