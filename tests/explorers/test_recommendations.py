"""The explorer of recommendations: what it counts, draws and refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.maps import attention
from mmrec_lite.methods.switches import modalities_off, switchable
from tests.tiny import tiny_shop

explorers = pytest.importorskip("mmrec_lite.explorers")


@pytest.fixture(scope="module")
def explorer():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    models = {name: mm.create(name, split) for name in ("popularity", "content_knn")}
    return explorers.RecommendationsExplorer(models, split, k=5)


def test_the_shelves_are_the_history_and_each_methods_best(explorer):
    split = explorer.split
    user = int(explorer.users[3])
    history, *rows = explorer.shelves(3, "held out for the test")
    assert list(history.items) == split.history(user)[::-1].tolist()
    for row, (label, model) in zip(rows, explorer.models.items(), strict=True):
        assert row.label == label and list(row.items) == mm.recommend(model, split, user, 5)["item"].tolist()
        held = split.pairs("test")[1][split.pairs("test")[0] == user]
        assert list(row.hits) == np.isin(row.items, held).tolist()


def test_a_move_draws_another_picture_and_says_so(explorer):
    before = explorer.picture.value
    explorer.controls["place"].value = 5
    assert explorer.picture.value != before and f"User {explorer.users[5]}" in explorer.status.value
    after = explorer.picture.value
    explorer.controls["part"].value = "held out for validation"
    assert explorer.picture.value != after and "held out for validation" in explorer.status.value


def test_titles_are_escaped_where_a_page_shows_them():
    shop = tiny_shop()
    titled = shop.replace(items=shop.items.assign(title="<script>alert(1)</script>"))
    split = mm.split(titled, "ratio", seed=0)
    explorer = explorers.RecommendationsExplorer({"<b>pop</b>": mm.create("popularity", split)}, split, k=3)
    assert "<script>" not in explorer.picture.value and "<b>pop</b>" not in explorer.status.value


def test_telling_users_are_those_where_methods_differ(explorer):
    part = "held out for the test"

    def gap(place):
        counts = [sum(row.hits) for row in explorer.shelves(place, part)[1:]]
        return max(counts) - min(counts)

    gaps = [gap(place) for place in range(len(explorer.users))]
    assert gap(explorer.telling(1)[0]) == max(gaps)
    assert explorer.static().get_size_inches()[0] > 1


def test_before_a_leave_one_out_test_the_validation_item_is_past():
    split = mm.split(tiny_shop(), "leave-one-out", seed=0)
    models = {name: mm.create(name, split, seed=0) for name in ("sasrec", "popularity")}
    explorer = explorers.RecommendationsExplorer(models, split, k=5)
    for framed, part, mask in (
        ("held out for the test", "test", ("train", "valid")),
        ("held out for validation", "valid", ("train",)),
    ):
        reports = [mm.evaluate(model, split, part=part, mask=mask, ks=(5,)) for model in models.values()]
        for place, user in enumerate(explorer.users):
            history, *rows = explorer.shelves(place, framed)
            indptr, items = split.sequences(mask)
            assert list(history.items) == items[indptr[user] : indptr[user + 1]][::-1].tolist()
            for row, report in zip(rows, reports, strict=True):
                at = report.per_user["user"].tolist().index(user)
                assert list(row.items) == report.top[at].tolist() and sum(row.hits) == report.hits[at].sum()
    assert "7 items in training and validation, held out for the test" in explorer.status.value
    explorer.controls["part"].value = "held out for validation"
    assert "6 items in training, held out for validation" in explorer.status.value


def test_only_times_say_what_is_the_latest(explorer):
    part = "held out for the test"
    assert explorer.shelves(0, part)[0].note.endswith("taken,\nthe latest first")
    shop = tiny_shop()
    untimed = shop.replace(interactions=shop.interactions.drop(columns="timestamp"))
    split = mm.split(untimed, "ratio", seed=0)
    bare = explorers.RecommendationsExplorer({"best": mm.create("popularity", split)}, split)
    assert bare.shelves(0, part)[0].note.endswith(" taken")


def test_after_further_training_lists_are_forgotten():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    model = mm.create("mf", split, seed=0)
    explorer = explorers.RecommendationsExplorer({"mf": model}, split, k=5)
    before = explorer.picture.value
    with torch.no_grad():
        for table in model.parameters():
            table.neg_()
            break
    model.forget()
    explorer.forget()
    assert explorer.picture.value != before
    again = explorers.RecommendationsExplorer({"mf": model}, split, k=5)
    assert explorer.ranked("mf", 0).tolist() == again.ranked("mf", 0).tolist()


def test_places_may_be_an_array_and_what_is_no_place_is_refused(explorer):
    assert explorer.static(np.array([0, 1])).get_figheight() > explorer.static([0]).get_figheight()
    with pytest.raises(ValueError, match=f"place = 999 is outside 0 to {len(explorer.users) - 1}"):
        explorer.static([999])
    with pytest.raises(ValueError, match="nothing to draw; give a place"):
        explorer.static([])
    with pytest.raises(ValueError, match="off = 'sound' is unknown; choose one of nothing"):
        explorer.static([0], off=["sound"])
    with pytest.raises(ValueError, match="part = 'test' is unknown; choose one of held out for the test"):
        explorer.shelves(0, "test")


def test_too_many_methods_are_refused(explorer):
    model = mm.create("popularity", explorer.split)
    with pytest.raises(ValueError, match="draws 1 to 3 methods, got 4"):
        explorers.RecommendationsExplorer({str(i): model for i in range(4)}, explorer.split)


def test_a_modality_switched_off_is_missing_and_comes_back():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    hyper = {"micro": {"k": 3}, "pamd": {"dim": 8}, "content_knn": {}, "mcptr": {}, "lightgcn": {}}
    models = {name: mm.create(name, split, profile="lecture", **h) for name, h in hyper.items()}
    users = torch.arange(split.n_users)
    for name, model in models.items():
        before = model.eval().score(users).clone()
        with modalities_off(model, ["image"]):
            without = model.score(users).clone()
            if name in ("micro", "pamd"):
                names = [key for key in attention(model) if key.startswith("image")]
                assert all((attention(model)[key] == 0).all() for key in names) and names
        assert torch.equal(model.score(users), before), name
        assert torch.equal(without, before) == (name in ("mcptr", "lightgcn")), name
    assert switchable(models["micro"]) == ("image", "text") and switchable(models["lightgcn"]) == ()
    with pytest.raises(ValueError, match="leave one of them on"), modalities_off(models["micro"], ["image", "text"]):
        pass
    text = mm.create("content_knn", split, modalities=("text",))
    with modalities_off(models["content_knn"], ["image"]) as blind:
        ours, theirs = (m.score(users).argsort(dim=1, stable=True) for m in (blind, text))
    assert torch.equal(ours, theirs), "without the picture, what is left is the text's own ranking"


def test_a_switch_changes_the_lists_and_says_what_is_new():
    split = mm.split(tiny_shop(n_items=60, per_user=6), "ratio", seed=0)
    models = {
        "looks": mm.create("content_knn", split),
        "graphs": mm.create("micro", split, k=3),
        "best": mm.create("popularity", split),
    }
    explorer = explorers.RecommendationsExplorer(models, split, k=8)
    assert explorer.controls["off"].options == ("nothing", "image", "text")
    before = explorer.picture.value
    explorer.controls["off"].value = "image"
    assert explorer.picture.value != before and "switched off: image" in explorer.status.value
    part = "held out for the test"
    new = []
    for place in range(len(explorer.users)):
        _, *old = explorer.shelves(place, part)
        _, *rows = explorer.shelves(place, part, "image")
        for row, was in zip(rows[:2], old, strict=False):
            count = len(set(row.items) - set(was.items))
            assert f"{count} new without\nimage" in row.note
            assert sum(word.startswith("new: ") for word in row.words) == count
            new.append(count)
        assert rows[2].note.endswith("unchanged") and rows[2].items == old[2].items and rows[2].parts == {}
        assert set(rows[1].parts) == {"image", "text"} and not np.any(rows[1].parts["image"])
        np.testing.assert_allclose(sum(old[1].parts.values()), 1, atol=1e-6)
    assert max(new) > 0
    assert explorer.static([0], off=["nothing", "text"]).get_figheight() > explorer.static([0]).get_figheight()


def test_a_user_with_few_items_left_has_a_short_shelf():
    split = mm.split(tiny_shop(n_items=10, per_user=8), "ratio", seed=0)
    models = {"looks": mm.create("content_knn", split), "best": mm.create("popularity", split)}
    explorer = explorers.RecommendationsExplorer(models, split, k=8)
    assert "Not drawn" not in explorer.status.value
    explorer.controls["off"].value = "image"
    assert "Not drawn" not in explorer.status.value
    for place, user in enumerate(explorer.users):
        left = np.setdiff1d(np.arange(10), split.history(user))
        assert len(left) < 8
        for off in ("nothing", "image"):
            for row in explorer.shelves(place, "held out for the test", off)[1:]:
                assert sorted(row.items) == left.tolist() and len(row.hits) == len(left)
                assert "0 new" in row.note or off == "nothing" or row.note.endswith("unchanged")
    assert explorer.static([0], off=["nothing", "image"]).get_figheight() > 0


def test_users_without_a_history_take_nobody_s_shelf_away():
    split = mm.split(tiny_shop(per_user=2), "cold-items", seed=0)
    without = np.setdiff1d(split.users("test"), split.users("train"))
    assert len(without), "a user whose items are all held out"
    model = mm.create("content_knn", split)
    assert not model.knows_newcomers
    explorer = explorers.RecommendationsExplorer({"looks": model}, split, k=5)
    assert "Not drawn" not in explorer.status.value and not np.isin(without, explorer.users).any()
    for place, user in enumerate(explorer.users):
        history, row = explorer.shelves(place, "held out for the test")
        assert history.label == f"user {user}"
        assert list(row.items) == mm.recommend(model, split, int(user), 5)["item"].tolist()


def test_the_next_block_begins_where_the_last_ended(explorer, monkeypatch):
    monkeypatch.setattr(explorers.recommendations, "BLOCK", 7)
    again = explorers.RecommendationsExplorer(explorer.models, explorer.split, k=5)
    for place in range(len(again.users)):
        ours, theirs = (e.shelves(place, "held out for the test") for e in (again, explorer))
        assert [list(row.items) for row in ours] == [list(row.items) for row in theirs]


def test_a_split_in_which_nobody_can_be_shown_is_refused_in_a_sentence():
    split = mm.split(tiny_shop(), "ratio", seed=0)
    user = split.dataset.interactions["user"].to_numpy()
    rows = {"train": user < 20, "valid": user == 20, "test": user > 20}  # whoever is asked about was never seen
    nobody = dataclasses.replace(split, **{part: np.flatnonzero(which) for part, which in rows.items()})
    with pytest.raises(ValueError, match=r"no user of 'tiny' has items both in training \(160 .* test part \(152\)"):
        explorers.RecommendationsExplorer({"popularity": mm.create("popularity", split)}, nobody)
