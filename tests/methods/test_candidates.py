"""The softmax over some of the items, `negatives=`: who is among them, what they stand for, what it comes to."""

from __future__ import annotations

import math

import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import losses
from tests.hardness.worlds import small, whole_shop

METHODS = [("sasrec", {}), ("mp4sr", {}), ("mp4sr", {"ids": False, "variant": "-T"}), ("mp4sr", {"variant": "E2E"})]


@pytest.fixture(scope="module")
def split():
    return mm.split(whole_shop(), "leave-one-out")


def make(name, split, **hyper):
    quiet = {"dropout": 0.0} | ({"drop": "fixed", "rho": 0.0, "mixup": 0.0} if name == "mp4sr" else {})
    return mm.create(name, split, **small(name) | {"batch_size": 8} | quiet | hyper).double()


def first_batch(model):
    return next(iter(model.batches(torch.Generator().manual_seed(0))))


def test_an_item_that_stands_for_three_counts_as_three():
    generator = torch.Generator().manual_seed(0)
    sequences, items = (torch.randn(2, n, 4, generator=generator, dtype=torch.float64) for n in (5, 6))
    targets, times = torch.tensor([0, 1, 2, 2, 0]), torch.tensor([1, 1, 1, 3, 1, 2])
    got = losses.next_item_cross_entropy(sequences, items, targets, log_counts=times.double().log())
    written_out = items.repeat_interleave(times, dim=1)
    torch.testing.assert_close(got, losses.next_item_cross_entropy(sequences, written_out, targets))


@pytest.mark.parametrize(("name", "hyper"), METHODS)
def test_the_batch_s_items_and_as_many_others_as_asked(split, name, hyper):
    model = make(name, split, negatives=5, **hyper)
    batch = first_batch(model)
    among = model.candidates(batch)
    there = batch.items.unique()
    assert len(there) + 5 < split.n_items  # or nothing would be drawn
    assert len(among.items) == len(among.items.unique()) == len(there) + 5
    torch.testing.assert_close(among.items[: len(there)], there)
    torch.testing.assert_close(among.items[among.place], batch.items)
    assert among.log_counts[: len(there)].eq(0).all()
    assert float(among.log_counts.exp().sum()) == pytest.approx(split.n_items)


@pytest.mark.parametrize(("name", "hyper"), METHODS)
def test_asking_for_as_many_as_there_are_is_the_full_softmax(split, name, hyper):
    full, all_drawn = make(name, split, **hyper).eval(), make(name, split, negatives=split.n_items, **hyper).eval()
    stage, other = full.stages()[-1], all_drawn.stages()[-1]
    batch = first_batch(full)
    for term, value in stage.loss(batch).items():
        assert torch.equal(value, other.loss(batch)[term]), term


@pytest.mark.parametrize(("name", "hyper"), METHODS)
def test_the_drawn_sum_is_that_over_all_items_on_average(split, name, hyper):
    """Unbiased: the mean of many draws of the softmax's denominator lies within its standard error."""
    model = make(name, split, negatives=9, normalize=True, **hyper).eval()
    batch = first_batch(model)
    with torch.no_grad():
        tables = model.tables()
        rows, places = batch.places()
        hidden = torch.stack([model.transformer(table[batch.items[:, :-1]]) for table in tables])[:, rows, places]
        scores = losses.catalogue_scores(hidden, tables, **model._similarity())
        exact = scores.exp().sum(dim=1)
        draws = []
        for _ in range(400):
            among = model.candidates(batch)
            draws.append((scores[:, among.items] + among.log_counts).exp().sum(dim=1))
        draws = torch.stack(draws) / exact
    error = draws.std(dim=0) / math.sqrt(len(draws))
    assert (error > 0).all()
    assert ((draws.mean(dim=0) - 1).abs() < 5 * error).all()


@pytest.mark.parametrize(("name", "hyper"), METHODS[:3])
def test_the_loss_is_that_of_the_drawn_items_written_out(split, name, hyper):
    model = make(name, split, negatives=5, **hyper).eval()
    batch = first_batch(model)
    torch.manual_seed(3)
    got = model.recommend_loss(batch)
    torch.manual_seed(3)
    among = model.candidates(batch)
    tables, single = model.tables(), []
    for row, length in zip(batch.items, batch.lengths.tolist(), strict=True):
        for t in range(1, length):
            h = [model.transformer(table[row[:t]][None])[0, -1] for table in tables]
            scores = sum(table @ x for table, x in zip(tables, h, strict=True))
            total = sum(
                math.exp(c) * scores[i].exp() for i, c in zip(among.items, among.log_counts.tolist(), strict=True)
            )
            single.append(total.log() - scores[row[t]])
    torch.testing.assert_close(got, torch.stack(single).mean(), atol=1e-6, rtol=1e-6)


def test_end_to_end_pretrains_on_the_batch_s_own_items(split):
    """Whatever is drawn beside them: its terms of pre-training are those of the method that draws nothing."""
    full, drawn = (make("mp4sr", split, variant="E2E", **more).eval() for more in ({}, {"negatives": 5}))
    batch = first_batch(full)
    expected, got = full.joint_loss(batch), drawn.joint_loss(batch)
    assert len(expected) > 2 and expected["next item"] != got["next item"]
    for term in expected.keys() - {"next item"}:
        torch.testing.assert_close(got[term], expected[term])


def test_only_the_candidates_are_encoded_and_learn(split, monkeypatch):
    model, seen = make("mp4sr", split, negatives=5), []
    forward = type(model.encoders["text"]).forward
    monkeypatch.setattr(
        type(model.encoders["text"]), "forward", lambda self, v, i, f: (seen.append(len(i)), forward(self, v, i, f))[1]
    )
    batch = first_batch(model)
    torch.manual_seed(1)
    model.recommend_loss(batch).backward()
    torch.manual_seed(1)
    chosen = model.candidates(batch).items
    assert seen == [len(chosen)] * 2
    touched = model.item.grad.abs().sum(dim=1) > 0
    assert touched.nonzero().squeeze(1).tolist() == sorted(chosen.tolist())


@pytest.mark.parametrize("name", ["sasrec", "mp4sr"])
def test_what_is_not_on_sale_is_never_among_them(name):
    cold = mm.split(whole_shop(), "cold-items", seed=4)  # there item 0, which pads, is held out
    hyper = {"negatives": 4} | ({"ids": False} if name == "mp4sr" else {})
    model = make(name, cold, **hyper)
    held_out = {int(i) for items in cold.held_out_items.values() for i in items}
    assert held_out and 0 in held_out
    seen = []
    for batch in [*model.batches(torch.Generator().manual_seed(0))] * 10:
        among = model.candidates(batch)
        left = among.items if among.barred is None else among.items[~among.barred]
        assert not held_out & set(left.tolist())
        on_sale = cold.n_items - len(held_out)
        padding = len(among.items) - len(left)
        seen.append(padding)
        assert float(among.log_counts.exp().sum()) - padding == pytest.approx(on_sale)
    assert set(seen) == {0, 1}  # batches without padding, and with


@pytest.mark.parametrize(("name", "hyper"), METHODS)
def test_it_trains_and_repeats_itself(split, name, hyper):
    options = small(name) | {"negatives": 5, "batch_size": 8} | hyper
    one, other = (mm.create(name, split, seed=2, **options) for _ in range(2))
    histories = [mm.fit(model, split, progress=False) for model in (one, other)]
    assert histories[0].rows[0].keys() == histories[1].rows[0].keys()
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_nothing_drawn_is_refused(split):
    with pytest.raises(ValueError, match="negatives"):
        mm.create("sasrec", split, negatives=0)
