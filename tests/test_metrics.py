"""Metrics against ir_measures, a hand-computed example and properties."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lite.metrics import NAMES, hit_metrics, ranking_metrics, top_items

KS = (1, 3, 5, 10)
PEERS = {"recall": ir_measures.R, "precision": ir_measures.P, "ndcg": ir_measures.nDCG, "hit": ir_measures.Success}
PEERS["mrr"] = ir_measures.RR


def random_case(seed: int, users: int = 12, items: int = 25) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(users, items, generator=generator)
    relevant = torch.rand(users, items, generator=generator) < 0.15
    seen = (torch.rand(users, items, generator=generator) < 0.2) & ~relevant
    return scores, relevant, seen


@pytest.mark.parametrize("seed", range(5))
def test_every_metric_agrees_with_ir_measures(seed):
    scores, relevant, seen = random_case(seed)
    got = ranking_metrics(scores, relevant, seen, KS)
    keep = relevant.any(dim=1).nonzero()[:, 0].tolist()
    qrels = {str(u): {str(i): int(relevant[u, i]) for i in range(25)} for u in keep}
    ranking = {str(u): {str(i): scores[u, i].item() for i in range(25) if not seen[u, i]} for u in keep}
    for name in NAMES:
        for k in KS:
            measure = PEERS[name] @ k
            theirs = {int(m.query_id): m.value for m in ir_measures.iter_calc([measure], qrels, ranking)}
            np.testing.assert_allclose([got[f"{name}@{k}"][u] for u in keep], [theirs[u] for u in keep], atol=1e-9)


def test_a_hand_computed_ranking():
    """Ranking 3, 0, 2, 1; relevant 0 and 1: hits at ranks 2 and 4."""
    scores = torch.tensor([[0.8, 0.1, 0.5, 0.9]])
    relevant = torch.tensor([[True, True, False, False]])
    got = {name: float(value[0]) for name, value in ranking_metrics(scores, relevant, ks=(3, 4)).items()}
    assert (got["recall@3"], got["recall@4"]) == (0.5, 1.0)
    assert (got["precision@3"], got["precision@4"]) == (1 / 3, 0.5)
    assert (got["hit@3"], got["mrr@3"]) == (1.0, 0.5)
    ideal = 1 + 1 / math.log2(3)
    assert got["ndcg@3"] == pytest.approx((1 / math.log2(3)) / ideal)
    assert got["ndcg@4"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)


def test_the_ideal_is_cut_at_k_and_not_at_the_hits():
    """Three relevant items, one retrieved first: NDCG@2 is 1 / (1 + 1/log2 3), not the 1 of an ideal over the hits."""
    got = hit_metrics(np.array([[True, False]]), np.array([3]), (2,))
    assert got["ndcg@2"][0] == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_ties_go_to_the_lower_index_and_not_to_the_target():
    scores = torch.zeros(1, 5)
    assert ranking_metrics(scores, torch.eye(5, dtype=torch.bool)[[0]], ks=(1,))["hit@1"][0] == 1
    assert ranking_metrics(scores, torch.eye(5, dtype=torch.bool)[[4]], ks=(4,))["hit@4"][0] == 0


def test_seen_items_are_never_hits_and_never_take_a_place():
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    relevant, seen = torch.tensor([[True, True, False]]), torch.tensor([[True, False, False]])
    got = ranking_metrics(scores, relevant, seen, ks=(1, 3))
    assert got["precision@1"][0] == 1.0 and got["recall@3"][0] == 0.5


def test_a_user_without_relevant_items_is_nan():
    got = ranking_metrics(torch.rand(2, 4), torch.tensor([[True, False, False, False], [False] * 4]), ks=(2,))
    assert np.isnan(got["recall@2"][1]) and not np.isnan(got["recall@2"][0])


@given(st.integers(0, 10_000), st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_properties(seed, items):
    scores, relevant, _ = random_case(seed, 6, items)
    got = ranking_metrics(scores, relevant, ks=(1, items))
    for values in got.values():
        values = values[~np.isnan(values)]
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    with_any = relevant.any(dim=1).numpy()
    assert (got[f"recall@{items}"][with_any] == 1).all()  # everything retrieved
    order = torch.randperm(items, generator=torch.Generator().manual_seed(seed))
    again = ranking_metrics(scores[:, order], relevant[:, order], ks=(1, items))
    for name in got:
        np.testing.assert_allclose(got[name], again[name])
    perfect = ranking_metrics(relevant.float() + scores.sigmoid(), relevant, ks=(items,))
    np.testing.assert_allclose(perfect[f"ndcg@{items}"][with_any], 1)


def test_more_places_than_items():
    got = ranking_metrics(torch.tensor([[2.0, 1.0]]), torch.tensor([[False, True]]), ks=(10,))
    assert (got["recall@10"][0], got["precision@10"][0], got["mrr@10"][0]) == (1.0, 0.1, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_items(torch.tensor([[0.0], [float("nan")]]), 1), "row 1 of the scores holds NaN"),
        (lambda: ranking_metrics(torch.zeros(1, 2), torch.zeros(1, 3, dtype=torch.bool)), r"relevant is \(1, 3\)"),
        (lambda: ranking_metrics(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), ks=(0,)), r"ks = \(0,\)"),
        (lambda: ranking_metrics(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), ks=()), "at least one"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
