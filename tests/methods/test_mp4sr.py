"""MP4SR and SASRec: variants, gradients, histories, missing modalities, leaks, refusals."""

from __future__ import annotations

import sys
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import evaluation
from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.data.masking import mask_modalities
from mmrec_lite.data.sequences import SequenceBatch
from mmrec_lite.methods.mp4sr import VARIANTS
from mmrec_lite.methods.switches import modalities_off
from tests.benchmarks import sequences
from tests.tiny import tiny_shop

SMALL = {"dim": 8, "inner": 16, "experts": 3, "attention_dim": 4, "batch_size": 64, "lr": 0.01, "finetune_lr": 0.01}
TWO_STAGES = [v for v in get_args(VARIANTS) if v not in ("w/o pre-train", "E2E")]


def told_shop(image_width: int = 6, **changes) -> MultimodalDataset:
    """The tiny shop with 1-4 sentences an item and 1-3 pictures' words, shared between items."""
    shop, rng = tiny_shop(), np.random.default_rng(1)

    def told(n: int, width: int, most: int) -> IndexedVectors:
        vectors = rng.normal(size=(n, width)) + np.where(np.arange(n) < n // 2, 1, -1)[:, None]
        index = np.full((shop.n_items, most), -1)
        for item in range(shop.n_items):
            count = rng.integers(1, most + 1)
            index[item, :count] = rng.integers(0, n // 2, size=count) + n // 2 * (item % 2)
        return IndexedVectors(vectors.astype(np.float32), index)

    return shop.replace(sequences={"sentences": told(20, 6, 4), "keywords": told(12, image_width, 3)}).replace(
        **changes
    )


@pytest.fixture(scope="module")
def split():
    return mm.split(told_shop(), "leave-one-out")


def make(split, **hyper):
    return mm.create("mp4sr", split, **SMALL | hyper)


def assert_took_over(model, part: dict[str, torch.Tensor]) -> None:
    """Every name that pre-training makes is in `part`, and has its numbers to the bit."""
    mine = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(model.pretrained)}
    assert mine and mine.keys() == {name for name in part if name.startswith(model.pretrained)}
    assert [name for name, tensor in mine.items() if not torch.equal(tensor, part[name])] == []


def sasrec(split, **hyper):
    keep = ("dim", "inner", "batch_size", "lr")
    return mm.create("sasrec", split, **{k: SMALL[k] for k in keep} | hyper)


def gradients(model, stage) -> dict[str, float]:
    """How much gradient of a stage's first batch each parameter gets."""
    model.train()
    model.zero_grad()
    terms = stage.loss(next(iter(stage.batches(torch.Generator().manual_seed(0)))))
    sum(terms.values()).backward()
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in model.named_parameters()}


@pytest.mark.parametrize("variant", get_args(VARIANTS))
def test_every_variant_trains_what_it_says(split, variant):
    model = make(split, variant=variant)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    history = mm.fit(model, split, epochs=2, progress=False)
    views = ("text", "image")
    nip = {f"nip {v}" for v in views} if variant != "w/o NIP" else set()
    cmcl = {f"cmcl {v}" for v in views} if variant != "w/o CMCL" else set()
    expected = {"pretrain": nip | cmcl, "recommend": {"next item"}}
    if variant == "w/o pre-train":
        expected.pop("pretrain")
    if variant == "E2E":
        expected = {"joint": nip | cmcl | {"next item"}}
    for stage, rows in history.frame.groupby("stage"):
        terms = set(rows.dropna(axis=1)) - {"stage", "epoch", "loss", "lr", "seconds", "valid recall@20"}
        assert terms == expected.pop(stage)
    assert not expected
    still = {name for name, p in model.named_parameters() if torch.equal(before[name], p)}
    assert not still, f"never trained: {still}"
    assert 0 <= mm.evaluate(model, split).metrics["recall@20"] <= 1


def test_a_variant_has_no_parameters_for_what_it_leaves_out(split):
    def names(**hyper):
        return {
            name.split(".")[0] + "." + name.split(".")[1]
            for name, _ in make(split, **hyper).named_parameters()
            if "." in name
        } | {name for name, _ in make(split, **hyper).named_parameters() if "." not in name}

    full = names()
    assert {"projections.text", "projections.image", "encoders.text", "encoders.image", "item"} <= full
    for variant in ("w/o pre-train", "w/o Proj"):
        assert full - names(variant=variant) == {"projections.text", "projections.image"}
    assert full - names(variant="Shared") == {"encoders.image"}
    assert full - names(ids=False) == {"item"}
    assert full - names(modalities="text") == {"encoders.image", "projections.image"}


def test_where_the_gradient_goes(split):
    model = make(split)
    pretrain, recommend = model.stages()
    first, second = gradients(model, pretrain), gradients(model, recommend)
    for part in ("attention.first.weight", "attention.second.weight", "experts.experts.weight", "experts.gate.weight"):
        for name in ("text", "image"):  # the released program's attention gets none
            assert first[f"encoders.{name}.{part}"] > 0 and second[f"encoders.{name}.{part}"] > 0
    assert first["item"] == 0 and second["item"] > 0
    assert first["projections.text.weight"] > 0 and second["projections.text.weight"] == 0
    for variant, unread in (("-T", "image"), ("-V", "text")):
        model = make(split, variant=variant)
        pretrain, recommend = model.stages()
        name = f"encoders.{unread}.experts.experts.weight"
        assert gradients(model, pretrain)[name] > 0 and gradients(model, recommend)[name] == 0


def test_mixup_and_dropping_change_pretraining_only(split):
    def terms(stage, **hyper):
        model = make(split, dropout=0.0, **hyper)
        torch.manual_seed(5)
        stage = {s.name: s for s in model.stages()}[stage]
        return {k: v.item() for k, v in stage.loss(next(iter(model.batches(torch.Generator().manual_seed(0))))).items()}

    plain = terms("pretrain", rho=0.0, mixup=0.0)
    assert terms("pretrain", rho=0.0, variant="w/o C-Mixup") == plain
    assert terms("pretrain", rho=0.0) != plain and terms("pretrain", mixup=0.0) != plain
    assert terms("recommend") == terms("recommend", rho=0.0, mixup=0.0)
    assert terms("pretrain", lam=0.0)["cmcl text"] == 0
    for option in ({"own_negatives": True}, {"same_item": "keep"}, {"same_item": "zero"}):
        assert terms("pretrain", **option)["nip text"] > terms("pretrain")["nip text"]
    assert terms("pretrain", contrast="printed")["cmcl text"] != terms("pretrain")["cmcl text"]
    assert terms("pretrain", drop="uniform") != terms("pretrain")


def test_the_score_is_equation_12(split):
    """Once more without buckets, batches or the sum of views in one product."""
    for normalize in (False, True):
        model = make(split, normalize=normalize).eval()
        content = {v: model.item_vectors(v) for v in ("text", "image")}
        sequences = split.train_sequences()
        for user in (0, 7, 33):
            history = torch.from_numpy(sequences.items[sequences.indptr[user] : sequences.indptr[user + 1]].copy())
            expected = 0
            for v in ("text", "image"):
                h = model.transformer((content[v] + model.item)[history][None])[0, -1]
                table = content[v] + model.item
                if normalize:
                    h, table = h / h.norm(), table / table.norm(dim=1, keepdim=True) / model.config.temperature
                expected = expected + table @ h
            torch.testing.assert_close(model.score(torch.tensor([user]))[0], expected, atol=1e-4, rtol=1e-4)
    assert torch.allclose(model.score(torch.arange(40))[33], expected, atol=1e-4)


def test_standardized_vectors_have_no_shared_direction(split):
    raw, told = make(split), make(split, standardize=True)
    sentences = split.dataset.sequences["sentences"]
    content, read = sentences.vectors, np.isin(np.arange(len(sentences.vectors)), sentences.index)
    np.testing.assert_allclose(raw.vectors_text.numpy(), content, atol=1e-6)
    expected = (content - content[read].mean(axis=0)) / content[read].std(axis=0)
    assert 0 < (~read).sum() < len(read) / 2  # sentences that no item has
    np.testing.assert_allclose(told.vectors_text.numpy()[read], expected[read], atol=1e-5)
    assert (told.index_text == raw.index_text).all()


def test_items_that_lack_a_modality_do_not_count_when_it_is_standardized(split):
    """The feature "text" as one sentence an item: rows of zeros stand for what is missing."""
    shop = split.dataset
    present = np.arange(shop.n_items) % 3 > 0
    text = (5 + shop.features["text"]) * present[:, None]
    data = shop.replace(features=shop.features | {"text": text}, present=shop.present | {"text": present})
    lacking = data.replace(sequences={"keywords": shop.sequences["keywords"]})
    model = make(mm.split(lacking, "leave-one-out"), standardize=True)
    there = model.vectors_text[torch.from_numpy(present)]
    torch.testing.assert_close(there.mean(0), torch.zeros(there.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(there.std(0, correction=0), torch.ones(there.shape[1]))


@pytest.mark.parametrize("together", [True, False])
def test_a_large_catalogue_is_encoded_in_blocks_to_the_same_values_and_gradients(split, monkeypatch, together):
    """An item's sentences beside one another, as most data sets have them, or anywhere; some items have none."""
    shop, rng = split.dataset, np.random.default_rng(0)
    index = np.where(rng.integers(3, size=shop.n_items)[:, None] > np.arange(2), 0, -1)  # none, one or two
    told = index.ravel() >= 0
    index.ravel()[told] = np.arange(told.sum()) if together else rng.permutation(told.sum())
    told = IndexedVectors(rng.normal(size=(told.sum(), 6)).astype(np.float16), index.astype(np.int32))
    split = mm.split(shop.replace(sequences=shop.sequences | {"sentences": told}), "leave-one-out")
    results = []
    for blocks in (False, True):
        if blocks:
            module = sys.modules["mmrec_lite.methods.mp4sr"]
            monkeypatch.setattr(module, "CHUNK_ELEMENTS", 0)
            monkeypatch.setattr(module, "_ITEMS", 7)
        model = make(split, dropout=0.0)
        z = model.item_vectors("text")
        z.square().sum().backward()
        gradient = model.encoders["text"].attention.first.weight.grad
        results.append((z.detach(), gradient, model.encoders["text"].experts.experts.weight.grad))
    assert results[0][1].abs().sum() > 0
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)
    assert isinstance(model._blocks("text", None)[0].which, slice) == together
    some = torch.arange(split.n_items).flip(0)[::2]  # many that were drawn go block by block, too
    torch.testing.assert_close(model.item_vectors("text", some), z[some], atol=1e-5, rtol=1e-4)
    with monkeypatch.context() as patch:
        patch.setattr(model, "_places", None)  # where the sentences of all items lie is not looked for twice
        assert torch.equal(model.item_vectors("text"), z)


def test_a_large_catalogue_scored_without_a_modality_has_it_again_afterwards(split, monkeypatch):
    module = sys.modules["mmrec_lite.methods.mp4sr"]
    monkeypatch.setattr(module, "CHUNK_ELEMENTS", 0)
    monkeypatch.setattr(module, "_ITEMS", 7)
    model, untouched, users = make(split).eval(), make(split).eval(), torch.arange(4)
    with modalities_off(model, ["image"]):
        assert not torch.equal(model.score(users), untouched.score(users))
    assert torch.equal(model.score(users), untouched.score(users))


def test_vectors_stay_as_they_are_stored(split):
    shop = split.dataset
    half = {
        k: IndexedVectors(told.vectors.astype(np.float16), told.index, rows=told.rows)
        for k, told in shop.sequences.items()
    }
    model = make(mm.split(shop.replace(sequences=half), "leave-one-out"))
    assert model.vectors_text.dtype == torch.float16
    assert np.shares_memory(model.vectors_text.numpy(), half["sentences"].vectors)
    wide = {k: IndexedVectors(told.vectors.astype(np.float32), told.index, rows=told.rows) for k, told in half.items()}
    same = make(mm.split(shop.replace(sequences=wide), "leave-one-out"))
    torch.testing.assert_close(model.eval().item_vectors("text"), same.eval().item_vectors("text"))


def test_fine_tuning_has_a_temperature_of_its_own(split):
    one = make(split, normalize=True).eval()
    other = make(split, normalize=True, finetune_temperature=0.2).eval()
    users = torch.arange(4)
    torch.testing.assert_close(other.score(users), one.score(users) * 0.07 / 0.2)
    for model in (one, other):
        model.phase.fill_(1)
        model.eval()._kept = None
    torch.testing.assert_close(other.score(users), one.score(users))  # pre-training keeps tau


def test_every_prefix_is_a_case_in_one_pass(split):
    """The loss of a batch is the mean over prefixes encoded one by one."""
    model = make(split, dropout=0.0).train()
    batch = next(iter(model.batches(torch.Generator().manual_seed(0))))
    tables, single = model.tables(), []
    for row, length in zip(batch.items, batch.lengths.tolist(), strict=True):
        for t in range(1, length):
            h = torch.stack([model.transformer(table[row[:t]][None])[0, -1] for table in tables])
            scores = sum(table @ x for table, x in zip(tables, h, strict=True))
            single.append(scores.logsumexp(0) - scores[row[t]])
    torch.testing.assert_close(model.recommend_loss(batch), torch.stack(single).mean())


def test_padded_prefixes_give_the_same_losses(split, monkeypatch):
    """The benchmark's plain form, a padded row a prefix and every item at every place, computes the same numbers."""
    exact = {"rho": 0.0, "mixup": 0.0, "own_negatives": True, "max_length": 12}
    model = make(split, **exact).eval()
    plain = sequences.PlainMP4SR(split, model.config, 0).eval()
    plain.load_state_dict(model.state_dict())
    monkeypatch.setattr(sequences, "complementary_mixup", lambda a, b, ratio: (a, b))
    for stage, other in zip(model.stages(), plain.stages(), strict=True):
        batch = next(iter(stage.batches(torch.Generator().manual_seed(0))))
        for name, value in stage.loss(batch).items():
            torch.testing.assert_close(other.loss(batch)[name], value, atol=1e-4, rtol=1e-4)


def test_items_are_encoded_once_a_step(split, monkeypatch):
    model, seen = make(split), []
    forward = type(model.encoders["text"]).forward
    monkeypatch.setattr(
        type(model.encoders["text"]), "forward", lambda self, v, i, f: (seen.append(len(i)), forward(self, v, i, f))[1]
    )
    batch = next(iter(model.batches(torch.Generator().manual_seed(0))))
    model.pretrain_loss(batch)
    assert seen == [len(batch.items.unique())] * 2
    model.recommend_loss(batch)
    assert seen[2:] == [split.n_items] * 2


# Histories -------------------------------------------------------------------------------------------------------


def test_the_validation_item_is_history_at_test_and_not_before(split, monkeypatch):
    model = sasrec(split).eval()
    read = []
    original = type(model).encode
    monkeypatch.setattr(
        type(model), "encode", lambda self, users: (read.append(self.history_parts), original(self, users))[1]
    )
    mm.evaluate(model, split, part="valid")
    mm.evaluate(model, split)
    assert read == [("train",), ("train", "valid")] and model.history_parts == ("train",)
    users = torch.arange(5)
    before = model.score(users)
    model.read_history(("train", "valid"))
    after = model.score(users)
    assert not torch.allclose(before, after)
    assert model.read_history(("train",)) == ("train", "valid") and torch.equal(model.score(users), before)


def test_a_failed_evaluation_gives_the_history_back(split, monkeypatch):
    model = sasrec(split)
    monkeypatch.setattr(type(model), "score", lambda self, users: torch.zeros(1, 1))
    with pytest.raises(ValueError, match=r"gave \(1, 1\)"):
        mm.evaluate(model, split)
    assert model.history_parts == ("train",)


def swap_held_out(shop, split, parts) -> MultimodalDataset:
    """The same shop with other items in some held-out rows."""
    table = shop.interactions.copy()
    taken = set(zip(table["user"], table["item"], strict=True))
    for row in [row for part in parts for row in getattr(split, part)]:
        user = table.at[row, "user"]
        new = next(i for i in range(shop.n_items) if (user, i) not in taken)
        taken.add((user, new))
        table.at[row, "item"] = new
    return shop.replace(interactions=table)


@pytest.mark.parametrize("method", ["mp4sr", "sasrec"])
def test_no_held_out_item_reaches_training_or_scores(method):
    """Other items held out: bit-identical weights; other test items: bit-identical scores at test too."""
    shop = told_shop()
    base = mm.split(shop, "leave-one-out")
    states, scores = [], []
    for parts in ((), ("test",), ("valid", "test")):
        split = mm.split(swap_held_out(shop, base, parts), "leave-one-out")
        model = make(split) if method == "mp4sr" else sasrec(split)
        stages = model.stages()
        for stage in stages:  # no validation: it may choose another epoch, rightly
            optimizer = torch.optim.Adam(stage.parameters)
            torch.manual_seed(0)
            for batch in stage.batches(torch.Generator().manual_seed(1)):
                optimizer.zero_grad()
                sum(stage.loss(batch).values()).backward()
                optimizer.step()
        states.append(model.state_dict())
        model.eval()
        scores.append([model.score(torch.arange(40))])
        model.read_history(split.history_parts("test"))
        scores[-1].append(model.score(torch.arange(40)))
    for other in states[1:]:
        assert all(torch.equal(states[0][name], other[name]) for name in other)
    assert torch.equal(scores[0][0], scores[1][0]) and torch.equal(scores[0][1], scores[1][1])
    assert torch.equal(scores[0][0], scores[2][0]) and not torch.equal(scores[0][1], scores[2][1])


def test_who_has_no_history_gets_what_is_popular():
    shop = told_shop()
    part = np.where(shop.interactions["user"] == 4, "test", "train").astype(object)
    part[shop.interactions.index[shop.interactions["user"] == 5][0]] = "valid"
    part[shop.interactions.index[shop.interactions["user"] == 6][1:]] = (
        "test"  # one training item: read, not trained on
    )
    split = mm.split(shop.replace(interactions=shop.interactions.assign(split=part)), "given")
    model = sasrec(split).eval()
    scores = model.score(torch.tensor([3, 4, 6]))
    assert torch.equal(scores[1], torch.tensor(split.train_counts, dtype=torch.float32))
    alone = model.transformer(model.item[split.history(6).copy()][None])[0, -1] @ model.item.T
    torch.testing.assert_close(scores[2], alone)
    assert torch.isfinite(scores).all() and mm.evaluate(model, split).metrics["recall@20"] > 0


def test_under_ratio_the_history_is_the_last_training_sequence():
    split = mm.split(told_shop(), "ratio", seed=0)
    model = sasrec(split, max_length=3).eval()
    history = torch.from_numpy(split.history(2)[-3:].copy())
    expected = model.transformer(model.item[history][None])[0, -1] @ model.item.T
    torch.testing.assert_close(model.score(torch.tensor([2]))[0], expected)


@pytest.mark.parametrize("protocol", ["ratio", "kfold", "cold-items"])
def test_other_protocols(protocol):
    split = mm.split(told_shop(), protocol, seed=0)
    model = make(split, ids=protocol != "cold-items")
    mm.fit(model, split, epochs=2, progress=False)
    candidates = "held-out" if protocol == "cold-items" else "all"
    assert 0 <= mm.evaluate(model, split, candidates=candidates, ks=(5,)).metrics["recall@5"] <= 1
    if protocol == "cold-items":  # what is not on sale yet is no class to be trained down
        cold = torch.from_numpy(split.held_out_items["test"].copy())
        model = sasrec(split)
        gradient = torch.autograd.grad(
            model.loss(next(iter(model.batches(torch.Generator()))))["next item"], model.item
        )
        assert gradient[0][cold].abs().sum() == 0


def test_pretraining_on_warm_items_alone(split):
    warm = int(np.median(split.train_counts)) + 1
    model = make(split, warm=warm, ids=False)
    seen = torch.cat(
        [
            b.items[torch.arange(b.items.shape[1]) < b.lengths[:, None]]
            for b in model.pretrain_batches(torch.Generator())
        ]
    )
    assert (split.train_counts[seen.numpy()] >= warm).all()
    assert model.batches.n_cases > model.pretrain_batches.n_cases
    mm.fit(model, split, epochs=1, progress=False)


# Stages, files, seeds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["full", "Shared", "-T"])
def test_a_pretrained_stage_is_reloaded_with_identical_scores(split, variant, tmp_path):
    first = make(split, variant=variant)
    mm.fit(first, split, epochs=2, stages=["pretrain"], progress=False)
    file = first.save_pretrained(tmp_path / "part.safetensors")
    second = make(split, variant=variant, seed=9)
    second.load_pretrained(file)
    users = torch.arange(10)
    assert torch.equal(first.score(users), second.score(users))
    third = make(split, variant=variant, seed=9)
    assert not torch.allclose(first.score(users), third.score(users))
    mm.fit(second, split, epochs=1, stages=["recommend"], progress=False)
    assert int(second.phase) == 0 and not torch.allclose(first.score(users), second.score(users))
    with pytest.raises(ValueError, match="another method or variant"):
        make(split, variant="w/o Proj").load_pretrained(file)


def test_a_pretrained_part_serves_every_fine_tuning_and_no_other_pretraining(split, tmp_path):
    file = make(split).save_pretrained(tmp_path / "part.safetensors")
    tuning = {"normalize": True, "ids": False, "finetune_lr": 1.0, "weight_decay": 0.5, "patience": 1}
    for hyper in ({}, tuning, {"variant": "-T"}):
        make(split, **hyper).load_pretrained(file)
    for hyper in ({"standardize": True}, {"heads": 4}, {"same_item": "keep"}, {"variant": "w/o NIP"}, {"rho": 0.5}):
        name = next(iter(hyper))
        with pytest.raises(ValueError, match=rf"pre-trained with other settings \(\{{'{name}': .*, here \{{'{name}': "):
            make(split, **hyper).load_pretrained(file)
    other = mm.split(split.dataset, "ratio", seed=1)
    with pytest.raises(
        ValueError, match="another split of the same interactions, and may have learned from what is held out"
    ):
        make(other).load_pretrained(file)


def test_a_part_that_learned_from_what_is_held_out_is_refused_beside_other_features_too(split, tmp_path):
    shop = split.dataset
    masked = mask_modalities(shop, 0.2, seed=0)
    file = make(mm.split(masked, "ratio", seed=1)).save_pretrained(tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="another split of the same interactions"):
        make(mm.split(shop, "ratio", seed=0)).load_pretrained(file)
    make(mm.split(shop, "ratio", seed=1)).load_pretrained(file)  # the same parts: nothing is given away


def test_shared_parts_fit_whatever_the_order_of_modalities(split, tmp_path):
    orders = [("text", "image"), ("image", "text")]
    first, second = (make(split, variant="Shared", modalities=order, seed=s) for s, order in enumerate(orders))
    second.load_pretrained(first.save_pretrained(tmp_path / "part.safetensors"))
    assert_took_over(second, first.state_dict())


@pytest.mark.parametrize("length", [50, 2])
def test_pieces_of_one_history_are_no_negatives_of_one_another(split, length):
    """A history longer than `max_length` is cut into several rows; they are one user's all the same."""
    model = make(split, max_length=length, rho=0.0, mixup=0.0, batch_size=10_000).eval()
    (batch,) = model.pretrain_batches(torch.Generator().manual_seed(0))
    own = SequenceBatch(*(part[batch.users == 0] for part in batch))
    assert (len(own.items) > 1) == (length == 2)
    terms = model.pretrain_loss(own)
    assert max(abs(value.item()) for value in terms.values()) < 1e-6  # nobody else is there


@pytest.mark.parametrize(("method", "hyper"), [("mp4sr", SMALL), ("ngcf", {}), ("micro", {"backbone": "ngcf"})])
def test_representations_of_a_model_that_was_not_trained_here_are_not_drawn_at_random(split, method, hyper):
    """Made, its weights loaded, never trained or scored: dropout must not be part of what it shows."""
    model = mm.create(method, split, **hyper)
    first, second = model.embeddings(), model.embeddings()
    assert model.training and [name for name in first if not torch.equal(first[name], second[name])] == []


def test_trained_at_once_the_first_stage_asks_for_nothing(split):
    assert mm.create("mp4sr", split, **SMALL, variant="E2E", warm=10_000).stages()[0].name == "joint"


def test_recommending_in_blocks_encodes_the_catalogue_once(split, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK_ELEMENTS", 3 * split.n_items)  # three users a block
    model, calls = make(split), []
    mm.fit(model, split, epochs=1, progress=False)
    encode = model.item_vectors
    monkeypatch.setattr(model, "item_vectors", lambda *of: calls.append(of) or encode(*of))
    mm.recommend(model, split)
    assert len(calls) == len(model.modalities)
    mm.evaluate(model, split)
    assert len(calls) == len(model.modalities)
    before = model.score(torch.arange(3)).clone()
    with modalities_off(model, ["image"]):
        assert not torch.equal(model.score(torch.arange(3)), before) and len(calls) == 2 * len(model.modalities)
    assert torch.equal(model.score(torch.arange(3)), before) and len(calls) == 3 * len(model.modalities)
    assert model.double().score(torch.arange(3)).dtype == torch.float64  # what moves or widens is encoded anew


def test_what_is_kept_for_scoring_is_dropped_with_the_weights(split):
    model, other = make(split), make(split, seed=1)
    users = torch.arange(3)
    before = model.score(users).clone()
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.score(users), other.score(users)) and not torch.equal(model.score(users), before)
    model.train()
    with torch.no_grad():
        model.item.mul_(2)
    model.eval()
    assert not torch.equal(model.score(users), other.score(users))


def test_pretraining_carries_over_to_another_catalogue(split, tmp_path):
    """What is pre-trained knows no item or user: the way to a larger corpus."""
    first = make(split)
    mm.fit(first, split, epochs=1, stages=["pretrain"], progress=False)
    shop = tiny_shop(n_users=25, n_items=20, seed=3)
    rng = np.random.default_rng(0)
    told = {
        k: IndexedVectors(rng.normal(size=(9, 6)).astype(np.float32), rng.integers(0, 9, (20, 2)))
        for k in ("sentences", "keywords")
    }
    other = mm.split(shop.replace(sequences=told), "leave-one-out")
    second = make(other)
    second.load_pretrained(first.save_pretrained(tmp_path / "part.safetensors"))
    assert_took_over(second, first.state_dict())
    mm.fit(second, other, epochs=1, stages=["recommend"], progress=False)


def test_pretraining_scores_by_projected_cosines_and_stops_early_on_request(split):
    model = make(split, pretrain_patience=1)
    history = mm.fit(model, split, epochs=3, stages=["pretrain"], progress=False)
    assert "valid recall@20" in history.frame and int(model.phase) == 1
    user, history = 3, split.history(3).copy()
    expected = 0
    for name in ("text", "image"):
        z = model.item_vectors(name)
        m = model.projections[name](model.transformer(z[history][None])[0, -1])
        expected = expected + torch.nn.functional.cosine_similarity(m, z, dim=1) / 0.07
    torch.testing.assert_close(model.score(torch.tensor([user]))[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["mp4sr", "sasrec"])
def test_the_same_seed_gives_the_same_result(split, method):
    results = []
    for seed in (1, 1, 2):
        model = make(split, seed=seed) if method == "mp4sr" else sasrec(split, seed=seed)
        mm.fit(model, split, epochs=2, progress=False)
        results.append(model.score(torch.arange(6)))
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_it_learns(split):
    """The tiny shop's two tastes: content finds them at once, IDs alone from 6 items a user barely."""
    floor = mm.evaluate(mm.create("popularity", split), split, ks=(10,)).metrics["recall@10"]
    for model, margin in ((make(split), 0.15), (make(split, ids=False), 0.15), (sasrec(split), 0.0)):
        mm.fit(model, split, epochs=12, progress=False)
        assert mm.evaluate(model, split, ks=(10,)).metrics["recall@10"] > floor + margin


# Inputs --------------------------------------------------------------------------------------------------------------


def test_what_stands_in_for_sentences(split):
    bare = split.dataset.replace(sequences={})
    features = mm.split(bare, "leave-one-out")
    model = make(features, variant="ResNet-style")  # feature "text" as one sentence, feature "image" raw
    assert model.vectors_text.shape == (30, 9) and model.vectors_image.shape == (30, 12)
    assert model.index_text.shape == (30, 1)
    assert torch.equal(model.sentence_weights("text", [0, 1]), torch.ones(2, 1))
    mm.fit(model, features, epochs=1, progress=False)
    assert make(split, variant="ResNet-style").vectors_image.shape == (30, 12)  # though there are keywords
    audio = bare.replace(features={"audio": bare.features["image"], "text": bare.features["text"]})
    assert make(mm.split(audio, "leave-one-out"), modalities="audio,text").modalities == ("audio", "text")


def test_one_modality(split):
    for names, variant in (("text", "full"), ("image", "full"), ("image", "ResNet-style"), ("text", "w/o CMCL")):
        model = make(split, modalities=names, variant=variant)
        history = mm.fit(model, split, epochs=1, progress=False)
        assert f"nip {names}" in history.frame and not any("cmcl" in c for c in history.frame)
        assert set(model.embeddings()) == {"id", names, "final"}


def test_an_item_may_lack_a_modality_or_all(split):
    shop = split.dataset
    sequences = {}
    for name, items in (("sentences", [2, 5]), ("keywords", [5, 7])):
        index = shop.sequences[name].index.copy()
        index[items] = -1
        sequences[name] = IndexedVectors(shop.sequences[name].vectors, index)
    gappy = mm.split(shop.replace(sequences=sequences), "leave-one-out")
    model = make(gappy)
    mm.fit(model, gappy, epochs=2, progress=False)
    vectors = model.embeddings()
    assert vectors["text"][[2, 5]].abs().sum() == 0 and vectors["image"][[5, 7]].abs().sum() == 0
    assert (vectors["text"][[0, 7]].abs().sum(1) > 0).all() and torch.isfinite(model.score(torch.arange(40))).all()
    present = {"image": np.arange(30) != 3, "text": np.ones(30, dtype=bool)}
    features = {n: v * present[n][:, None] for n, v in shop.features.items()}
    raw = make(mm.split(shop.replace(features=features, present=present), "leave-one-out"), variant="ResNet-style")
    assert raw.index_image[3, 0] == -1 and raw.embeddings()["image"][3].abs().sum() == 0


def test_a_notebook_can_look_inside(split):
    model = make(split)
    weights, gates = model.sentence_weights("text", [0, 4, 9]), model.expert_weights("image", [0, 4])
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    torch.testing.assert_close(gates.sum(1), torch.ones(2))
    assert gates.shape == (2, 3) and model.embeddings()["final"].shape == (30, 16)


@pytest.mark.parametrize(
    ("changes", "hyper", "message"),
    [
        ({"sequences": {}}, {}, r"needs words of pictures .*'tiny' has not.*variant='ResNet-style'.*modalities='text'"),
        ({"sequences": {}, "features": {}}, {"modalities": "text"}, r"needs sentences .*encode_sentences.*'sasrec'"),
        (
            {"sequences": {}, "features": {"image": np.ones((30, 2), np.float32)}, "present": {}},
            {},
            "needs sentences .*Without them: modalities='image', variant='ResNet-style', which reads",
        ),
        ({"features": {}}, {"variant": "ResNet-style"}, r"needs the feature 'image'.*features=\{'image': ...\}"),
        ({}, {"modalities": "text", "variant": "-V"}, "variant='-V' needs 'image', but modalities are text"),
        (
            {},
            {"modalities": "text", "variant": "w/o NIP"},
            "with one modality variant='w/o NIP' leaves nothing to pre-train",
        ),
        ({}, {"modalities": "text,image,audio"}, "mixes two modalities, but got text, image, audio"),
        ({}, {"dim": 9}, "dim = 9 must be a multiple of heads = 2"),
        ({}, {"mixup": 0.7}, "mixup = 0.7 is refused"),
    ],
)
def test_what_is_missing_is_said(changes, hyper, message):
    split = mm.split(told_shop(**changes), "leave-one-out")
    with pytest.raises(ValueError, match=message):
        make(split, **hyper)


def test_one_encoder_for_two_widths_is_refused():
    with pytest.raises(ValueError, match="their widths differ"):
        make(mm.split(told_shop(image_width=7), "leave-one-out"), variant="Shared")


def test_without_time_stamps_the_order_must_be_said():
    shop = told_shop()
    timeless = shop.replace(interactions=shop.interactions.drop(columns="timestamp"))
    with pytest.raises(ValueError, match=r"has no time stamps.*order='rows'"):
        sasrec(mm.split(timeless, "ratio"))
    sasrec(mm.split(timeless, "ratio"), order="rows")
    sasrec(mm.split(timeless, "leave-one-out", by="order"))


def test_nobody_with_two_items_is_refused():
    shop = told_shop()
    one = shop.replace(
        interactions=pd.DataFrame({"user": [0, 1, 2], "item": [0, 1, 2], "split": ["train", "valid", "test"]})
    )
    with pytest.raises(ValueError, match="no user has two training items"):
        sasrec(mm.split(one, "given"), order="rows")
