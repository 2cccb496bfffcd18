"""Loss curves: the test loss by a loop, the comparison by hand; a shop's halves and what is pre-trained on both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import mmrec_lite as mm
from mmrec_lite.data import DataError
from mmrec_lite.data.joining import join, part_of
from mmrec_lite.experiments import (
    at_the_same_training_loss,
    convergence,
    corpora,
    loss_curves,
    measured_curves,
    pretraining_curves,
    run_study,
    studying,
)
from mmrec_lite.experiments.corpora import halves, pretrained_part
from mmrec_lite.experiments.curves import next_item_loss_of
from mmrec_lite.experiments.runs import Busy, claim
from mmrec_lite.experiments.studying import _fewer_words
from mmrec_lite.methods.mp4sr import MP4SR
from tests.methods.test_mp4sr import assert_took_over, told_shop
from tests.tiny import tiny_shop

SHORT = {"epochs": 2, "pretrain_epochs": 1, "dim": 4, "experts": 2, "inner": 8}


def test_the_test_loss_is_the_mean_cross_entropy_after_the_history():
    parts = mm.split(tiny_shop(), "leave-one-out", seed=0)
    model = mm.create("sasrec", parts, profile="lecture", dim=4, inner=8, seed=0)
    mm.fit(model, parts, epochs=1, progress=False)
    found = next_item_loss_of(model, parts)
    model.eval()
    model.read_history(("train", "valid"))
    losses = []
    for user, item in zip(*parts.pairs("test"), strict=True):
        scores = model.score(torch.tensor([user])).double().numpy(force=True)[0]
        losses.append(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[item])
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    model.read_history(("train",))
    model.train()
    assert next_item_loss_of(model, parts) == pytest.approx(found) and model.training
    assert model.history_parts == ("train",)


def test_curves_have_a_row_an_epoch_and_start():
    curves = loss_curves(told_shop(), seeds=(0, 1), layers=(1, 2), **SHORT)
    assert curves.groupby(["layers", "seed", "start"])["epoch"].apply(list).tolist() == [[1, 2]] * 8
    assert (curves[["train", "test"]] > 0).all(axis=None) and set(curves["data"]) == {told_shop().name}
    one = loss_curves(told_shop(), seeds=(1,), layers=(2,), **SHORT)
    again = curves[(curves["seed"] == 1) & (curves["layers"] == 2)].reset_index(drop=True)
    assert one.equals(again) and set(curves["layers"]) == {1, 2}
    other = curves[(curves["seed"] == 1) & (curves["layers"] == 1)]
    assert (other["train"].to_numpy() != one["train"].to_numpy()).all()


def test_both_starts_are_read_at_the_same_training_loss():
    rows = [("a", 1, 4.0, 5.0), ("a", 2, 2.0, 3.0), ("a", 3, 2.5, 9.0), ("b", 1, 5.0, 7.0), ("b", 2, 3.0, 6.0)]
    deeper = [(2, s, e, x, y + 1) for s, e, x, y in rows]  # each depth is compared for itself
    curves = pd.DataFrame([(1, *row) for row in rows] + deeper, columns=["layers", "start", "epoch", "train", "test"])
    found = at_the_same_training_loss(curves.assign(seed=0))
    assert (found["test"][found["layers"] == 2].to_numpy() - found["test"][found["layers"] == 1] == 1).all()
    found = found[found["layers"] == 1].set_index("start")
    assert found["train"].tolist() == [3.0, 3.0]  # b never came lower
    assert found.loc["a", "test"] == pytest.approx(4.0)  # half-way from 5 to 3; the way up at the end is not read
    assert found.loc["b", "test"] == 6.0


def test_a_start_that_was_never_so_high_has_no_test_loss_there():
    """The nearest end of its curve once stood for it."""
    rows = [("a", 1, 3.0, 4.0), ("a", 2, 2.0, 3.5), ("b", 1, 6.0, 6.0), ("b", 2, 5.0, 5.5)]
    curves = pd.DataFrame(rows, columns=["start", "epoch", "train", "test"]).assign(layers=2, seed=0)
    found = at_the_same_training_loss(curves).set_index("start")["test"]
    assert np.isnan(found["a"]) and found["b"] == 5.5


def test_a_part_keeps_what_belongs_to_its_items():
    shop = told_shop()
    mask = np.arange(shop.n_items) % 3 == 0
    part = part_of(shop, mask, least=2)
    old = shop.interactions.assign(item_id=shop.items["item_id"].to_numpy()[shop.interactions["item"]])
    old = old.assign(user_id=shop.users["user_id"].to_numpy()[old["user"]])[mask[shop.interactions["item"]]]
    old = old[old.groupby("user_id")["item"].transform("size") >= 2]
    new = part.interactions.assign(item_id=part.items["item_id"].to_numpy()[part.interactions["item"]])
    new = new.assign(user_id=part.users["user_id"].to_numpy()[new["user"]])
    assert new[["user_id", "item_id"]].to_numpy().tolist() == old[["user_id", "item_id"]].to_numpy().tolist()
    assert part.n_items == mask.sum() and part.n_users == old["user_id"].nunique() < shop.n_users
    for name in shop.modalities:
        assert np.array_equal(part.features[name], shop.features[name][mask])
    kept = old.index.to_numpy()
    truth = {"item_kind": np.arange(shop.n_items), "user_taste": np.arange(2.0 * shop.n_users).reshape(-1, 2)}
    told = part_of(shop.replace(truth=truth), mask, least=2).truth
    assert told["item_kind"].tolist() == np.flatnonzero(mask).tolist()
    assert [f"u{int(a // 2)}" for a in told["user_taste"][:, 0]] == part.users["user_id"].tolist()
    for name, vectors in shop.sequences.items():
        rows = np.flatnonzero(mask) if vectors.rows == "items" else kept
        assert np.array_equal(part.sequences[name].index, vectors.index[rows]) and len(rows)
    with pytest.raises(DataError, match="no user took 9999 or more of the"):
        part_of(shop, mask, least=9999)


def test_halves_share_no_item_and_are_joined_again():
    shop = told_shop()
    one, two = halves(shop)
    assert set(one.items["item_id"]).isdisjoint(two.items["item_id"])
    assert one.n_items + two.n_items == shop.n_items == join([one, two]).n_items
    by_kind = [f"kind {n % 3}" for n in range(shop.n_items)]
    kinds = [set(half.items["category"]) for half in halves(shop.replace(items=shop.items.assign(category=by_kind)))]
    assert kinds == [{"kind 0", "kind 2"}, {"kind 1"}]
    unnamed = halves(shop.replace(items=shop.items.assign(category="")))  # one category is none
    assert [half.n_items for half in unnamed] == [one.n_items, two.n_items]
    for half in (one, two):
        assert half.interactions.groupby("user").size().min() >= 3


def test_what_was_pretrained_on_both_halves_is_fine_tuned_on_one(tmp_path, monkeypatch):
    shop, taken = told_shop(), []

    def noting(model, file, load=MP4SR.load_pretrained):
        load(model, file)
        assert_took_over(model, load_file(file))
        taken.append(file)

    monkeypatch.setattr(MP4SR, "load_pretrained", noting)
    rows = run_study("MP4SR Table 5", shop, save=tmp_path, progress=False, **SHORT).set_index("label")
    assert "error" not in rows and rows["data"].nunique() == 1 and rows["id"].nunique() == 2
    assert rows["epochs trained"].max() <= 2  # the stage "pretrain" was read from a file
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "pretrained").glob("*.safetensors")}
    assert len(made) == 2 and set(made) == set(taken)
    again = run_study("MP4SR Table 5", shop, save=tmp_path, progress=False, **SHORT).set_index("label")
    assert again["value"].equals(rows["value"]) and {f: f.stat().st_mtime_ns for f in made} == made


def test_a_pretraining_that_another_process_is_at_is_put_off(tmp_path, monkeypatch):
    settings = {
        "protocol": "leave-one-out",
        "seed": 0,
        "split_seed": 0,
        "profile": "lecture",
        "save": tmp_path,
        **SHORT,
    }
    named = []
    monkeypatch.setattr(corpora, "claim", lambda folder, name, wait: named.append(name) or claim(folder, name, wait))
    monkeypatch.setattr(corpora, "fit", lambda *_, **__: pytest.fail("trained"))
    for code in (None, "of mine"):  # another code is another pre-training
        monkeypatch.setattr(corpora, "code_of", lambda cls, code=code: code)
        with pytest.raises(pytest.fail.Exception), pretrained_part("mp4sr", told_shop(), "own", settings, False):
            pass
    assert len(set(named)) == 2
    with (
        claim(tmp_path / "pretrained", named[1]),
        pytest.raises(Busy),
        pretrained_part("mp4sr", told_shop(), "own", settings, wait=False),
    ):
        pass


def test_pretraining_first_or_in_one_go_is_the_same():
    settings = {"protocol": "leave-one-out", "seed": 0, "split_seed": 0, "profile": "lecture", **SHORT}
    with pretrained_part("mp4sr", told_shop(), "own", settings) as (half, file):
        read = mm.run("mp4sr", half, pretrained=file, **settings)
    whole = mm.run("mp4sr", half, **settings)
    assert read.metrics == whole.metrics and read.row["id"] != whole.row["id"]


def test_fewer_words_are_the_first_ones(monkeypatch):
    shop = tiny_shop()
    words = ["red mug cat | blue", "", "blue", *["green lamp"] * (shop.n_items - 3)]

    class Encoder:
        def encode(self, texts, progress=False):
            self.seen = list(texts)
            return np.ones((len(texts), 2), dtype=np.float32)

    encoder = Encoder()
    monkeypatch.setattr("mmrec_lite.features.text.TextEncoder", lambda: encoder)
    monkeypatch.setattr(studying, "_told", {})
    told = shop.replace(items=shop.items.assign(keywords=words), texts={})
    few = _fewer_words(told, 2)
    assert encoder.seen == ["red mug", "blue", "green lamp"]
    assert few.sequences["keywords"].index[:4].tolist() == [[0, 1], [-1, -1], [1, -1], [2, -1]]
    assert _fewer_words(told.replace(), 2) is few  # a worker has another object for every cell
    assert _fewer_words(told, 1) is not few and len(studying._told) == 1


def test_the_measured_curves_begin_lower_where_pretrained():
    kept = measured_curves()
    assert kept.columns.tolist() == ["data", "layers", "seed", "start", "epoch", "train", "test"]
    assert kept["seed"].nunique() >= 3 and set(kept["layers"]) == {1, 2, 3}
    first = kept[kept["epoch"] == 1].groupby(["layers", "start"])["train"].mean().unstack()
    assert (first["pre-trained"] < first["random start"]).all()
    with pytest.raises(
        ValueError, match="pretraining_curves was not measured on 'tiktok', only on amazon_giftcards, ba"
    ):
        measured_curves("tiktok", "pretraining_curves")
    with pytest.raises(ValueError, match="name = 'curves' is unknown; choose 'loss_curves' or"):
        measured_curves(name="curves")


def test_a_pretraining_has_converged_when_nearly_all_of_its_fall_is_done():
    falls = {"a": [10.0, 4.0, 0.4, 0.6, 0.0], "b": [5.0, 5.1, 4.0, 1.0, 1.2]}
    rows = [(0, label, e + 1, loss, 2.0) for label, run in falls.items() for e, loss in enumerate(run)]
    curves = pd.DataFrame(rows, columns=["seed", "label", "epoch", "loss", "seconds"]).sample(frac=1, random_state=0)
    found = convergence(curves).set_index("label")
    assert found["epochs"].to_dict() == {"a": 3, "b": 4} and found["seconds"].to_dict() == {"a": 6.0, "b": 8.0}
    assert convergence(curves, share=0.97).set_index("label").loc["a", "epochs"] == 5


def test_pretraining_curves_are_those_of_the_two_losses():
    shop = tiny_shop()
    curves = pretraining_curves(shop, seeds=(3,), pretrain_epochs=3, dim=4)
    assert curves["label"].tolist() == ["PAMD"] * 3 + ["PAMD-CON"] * 3 and curves["epoch"].tolist() == [1, 2, 3] * 2
    parts, settings = mm.split(shop, "kfold", seed=3), {"variant": "pamd-con", "pretrain_epochs": 3, "dim": 4}
    model = mm.create("pamd", parts, profile="lecture", seed=3, **settings)
    history = mm.fit(model, parts, stages=("pretrain",), progress=False)
    assert {"align", "orthogonal", "gap"} <= set(history.rows[0])
    assert curves["loss"].tolist()[3:] == [row["loss"] for row in history.rows]
