"""Evaluation against the dense metric, protocols, slices and tests of differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.evaluation import best_items
from mmrec_lite.methods import REGISTRY, Method
from tests.hardness.worlds import TRAINED, small, whole_shop
from tests.tiny import tiny_shop


class Fixed(Method):
    """Scores from a table."""

    name = "fixed"
    knows_newcomers = True

    def __init__(self, split, scores):
        super().__init__(split, None, 0)
        self.scores = scores

    def score(self, users):
        return self.scores[users]


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(n_users=60), "ratio", seed=0)


@pytest.fixture(scope="module")
def model(split):
    generator = torch.Generator().manual_seed(0)
    return Fixed(split, torch.randn(split.n_users, split.n_items, generator=generator))


def dense(split, part) -> torch.Tensor:
    return torch.from_numpy(split.matrix(part).toarray() > 0)


def test_evaluate_is_the_dense_metric_averaged(split, model):
    report = mm.evaluate(model, split, ks=(1, 5, 20))
    expected = mm.metrics.ranking_metrics(model.scores, dense(split, "test"), dense(split, "train"), (1, 5, 20))
    for name, values in expected.items():
        assert report.metrics[name] == pytest.approx(np.nanmean(values))
    users = report.per_user["user"].to_numpy()
    assert users.tolist() == split.users("test").tolist()
    np.testing.assert_allclose(report.per_user["ndcg@5"], expected["ndcg@5"][users])


def test_blocks_do_not_show(split, model, monkeypatch):
    whole = mm.evaluate(model, split)
    monkeypatch.setattr("mmrec_lite.evaluation.CHUNK_ELEMENTS", 7 * split.n_items)
    np.testing.assert_array_equal(mm.evaluate(model, split).top, whole.top)


def test_nothing_of_training_is_recommended(split, model):
    report = mm.evaluate(model, split)
    seen = split.matrix("train").toarray()
    for user, top in zip(report.per_user["user"], report.top, strict=True):
        assert not seen[user, top[top >= 0]].any()
    also_valid = mm.evaluate(model, split, mask=("train", "valid"))
    assert (also_valid.top >= 0).sum() < (report.top >= 0).sum()


def test_a_perfect_and_a_hopeless_ranking(split):
    test = dense(split, "test").float()
    assert mm.evaluate(Fixed(split, test), split, ks=(20,)).metrics["ndcg@20"] == pytest.approx(1)
    assert mm.evaluate(Fixed(split, -test), split, ks=(1,)).metrics["hit@1"] == 0


def test_sampled_candidates_are_the_held_out_and_n_others(split, model):
    report = mm.evaluate(model, split, candidates=6, ks=(30,), seed=3)
    known = sum(split.matrix(part).toarray() for part in ("train", "valid"))
    test = split.matrix("test").toarray()
    for user, top in zip(report.per_user["user"], report.top, strict=True):
        items = top[top >= 0]
        assert test[user, items].sum() == test[user].sum() and not known[user, items].any()
        assert len(items) == test[user].sum() + 6
    np.testing.assert_array_equal(mm.evaluate(model, split, candidates=6, ks=(30,), seed=3).top, report.top)
    assert (mm.evaluate(model, split, candidates=6, ks=(30,), seed=4).top != report.top).any()


def test_with_all_candidates_sampling_leaves_out_validation_items_only(split, model):
    sampled = mm.evaluate(model, split, candidates=10_000, ks=(5,))
    full = mm.evaluate(model, split, mask=("train", "valid"), ks=(5,))
    assert sampled.metrics == full.metrics


def test_held_out_candidates_are_the_cold_items():
    split = mm.split(tiny_shop(n_users=60), "cold-items", seed=0)
    report = mm.evaluate(mm.create("random", split), split, candidates="held-out", ks=(3,))
    top = report.top[report.top >= 0]
    assert top.size
    assert set(top.tolist()) <= set(split.held_out_items["test"].tolist())


def by_hand() -> tuple[mm.MultimodalDataset, torch.Tensor]:
    """Three users, five items; item 0 is popular, item 4 unseen in training."""
    rows = [(0, 0, "train"), (1, 0, "train"), (2, 0, "train"), (0, 1, "train"), (1, 2, "train"), (2, 2, "train")]
    rows += [(0, 2, "valid"), (1, 1, "valid"), (0, 4, "test"), (0, 3, "test"), (1, 4, "test"), (2, 1, "test")]
    table = pd.DataFrame(rows, columns=["user", "item", "split"])
    data = MultimodalDataset(
        name="hand",
        users=pd.DataFrame({"user_id": list("abc")}),
        items=pd.DataFrame({"item_id": list("vwxyz")}),
        interactions=table,
    )
    scores = torch.tensor([[0, 0, 1.0, 0, 2], [0, 2, 0, 1.0, 0.5], [0, 3, 0, 1, 2.0]])
    return mm.split(data, "given"), scores


def test_slices_by_hand():
    """Top 2: user 0 [4, 2], user 1 [1, 3], user 2 [1, 4]. Item 4 (count 0) is found by user 0, not by user 1."""
    split, scores = by_hand()
    report = mm.evaluate(Fixed(split, scores), split, ks=(2,))
    assert report.top.tolist() == [[4, 2], [1, 3], [1, 4]]
    table = report.slices("popularity", edges=(0, 1), k=2).set_index("bin")
    assert table.loc["0", ["users", "pairs"]].tolist() == [2, 3]
    assert table.loc["0", "recall@2"] == pytest.approx((1 / 2 + 0) / 2)  # user 0 finds 4 of {4, 3}, user 1 nothing
    assert table.loc["1+", "recall@2"] == 1.0
    length = report.slices("length", edges=(0, 2, 3), k=2).set_index("bin")
    assert length.loc["2", "recall@2"] == pytest.approx((0.5 + 0 + 1) / 3)


def test_slices_add_up(split, model):
    report = mm.evaluate(model, split)
    table = report.slices("length", edges=(0,), k=20)
    assert table[f"recall@{20}"].item() == pytest.approx(report.metrics["recall@20"])
    assert report.slices("popularity", k=20)["pairs"].sum() == len(split.test)


def test_compare_is_scipys_paired_tests(split, model):
    a = mm.evaluate(model, split)
    b = mm.evaluate(Fixed(split, -model.scores), split)
    got = mm.compare(a, b, "recall@5")
    x, y = a.per_user["recall@5"], b.per_user["recall@5"]
    theirs = stats.ttest_rel(x, y)
    assert got["difference"] == pytest.approx((x - y).mean()) and got["n"] == len(x)
    assert got["p_t"] == pytest.approx(theirs.pvalue)
    assert got["p_wilcoxon"] == pytest.approx(stats.wilcoxon(x, y).pvalue)
    assert got["low"] < got["difference"] < got["high"]
    seeds = mm.compare([0.30, 0.32, 0.31], [0.20, 0.23, 0.21])
    assert seeds["p_t"] == pytest.approx(stats.ttest_rel([0.30, 0.32, 0.31], [0.20, 0.23, 0.21]).pvalue)
    assert mm.compare(a, a)["p_t"] == 1.0 and mm.compare(a, a)["p_wilcoxon"] == 1.0


def test_recommend_shows_titles_and_hits(split, model):
    table = mm.recommend(model, split, user=3, k=5)
    assert list(table["title"]) == [f"thing {i}" for i in table["item"]]
    assert table["score"].is_monotonic_decreasing
    held = {*split.dataset.interactions.loc[np.r_[split.valid, split.test]].query("user == 3")["item"]}
    assert table["relevant"].tolist() == [i in held for i in table["item"]]
    assert table["item_id"].tolist() == [split.dataset.items["item_id"][i] for i in table["item"]]


def test_recommendations_for_all_are_those_for_each(split, model, monkeypatch):
    monkeypatch.setattr("mmrec_lite.evaluation.CHUNK_ELEMENTS", 7 * split.n_items)  # several blocks
    table = mm.recommend(model, split, k=4)
    assert sorted(table["user"].unique()) == list(range(split.n_users))
    for user in (0, 3, 59):
        part = table[table["user"] == user].reset_index(drop=True)
        assert part["rank"].tolist() == [1, 2, 3, 4] and set(part["user_id"]) == {f"u{user}"}
        pd.testing.assert_frame_equal(
            part.drop(columns=["user", "user_id", "rank"]), mm.recommend(model, split, user, 4)
        )
    some = mm.recommend(model, split, [5, 3], k=2)
    assert some["user"].tolist() == [5, 5, 3, 3]
    with pytest.raises(ValueError, match="users are whole numbers"):
        mm.recommend(model, split, [])


@pytest.mark.parametrize("method", ["sasrec", "item_knn"])
def test_what_is_masked_is_past_and_read(method, monkeypatch):
    """Lists before the validation item, before the test item and of today are those that an evaluation ranks there."""
    split = mm.split(tiny_shop(), "leave-one-out")
    model = mm.create(method, split, profile="lecture")
    for asked, mask in ({"part": "valid"}, ("train",)), ({"part": "test"}, ("train", "valid")):
        report = mm.evaluate(model, split, ks=(10,), mask=mask, **asked)
        np.testing.assert_array_equal(best_items(model, split, report.per_user["user"], 10, mask)[0], report.top)
    everything = ("train", "valid", "test")
    shown = mm.recommend(model, split, 3, k=5, mask=everything)["item"].tolist()
    model.read_history(everything)
    scores = model.eval().score(torch.tensor([3]))[0].clone()
    model.read_history(("train",))
    scores[split.dataset.interactions.query("user == 3")["item"].tolist()] = -torch.inf
    assert shown == scores.argsort(descending=True, stable=True)[:5].tolist()
    assert len(mm.recommend(model, split, 3, k=5, mask=())) == 5  # training is past, masked or not
    monkeypatch.setattr(type(model), "score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mm.recommend(model, split, 3, mask=everything)
    assert model.history_parts == ("train",)


def test_what_is_had_already_is_recommended_to_nobody(split, model):
    table = mm.recommend(model, split, k=split.n_items, mask=("train", "valid", "test"))
    log = split.dataset.interactions
    assert not {*zip(table["user"], table["item"], strict=True)} & {*zip(log["user"], log["item"], strict=True)}
    assert len(table) + len(log) == split.n_users * split.n_items and not table["relevant"].any()


def test_who_took_nothing_is_left_out_of_all(split):
    log = split.dataset.interactions
    log = log.assign(split=np.where(log["user"] == 4, "test", np.where(log.index % 7 == 0, "valid", "train")))
    given = mm.split(split.dataset.replace(interactions=log), "given")
    assert 4 not in set(mm.recommend(mm.create("item_knn", given), given, k=1)["user"])
    assert 4 in set(mm.recommend(mm.create("popularity", given), given, k=1)["user"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "exam"}, "part = 'exam' is unknown"),
        ({"part": "train"}, "among the masked"),
        ({"candidates": "some"}, "choose 'all', 'held-out' or a number"),
        ({"candidates": 0}, "candidates = 0"),
        ({"candidates": "held-out"}, "holds no items out"),
        ({"ks": (0,)}, "each a whole number >= 1"),
    ],
)
def test_wrong_protocols_are_refused(split, model, options, message):
    with pytest.raises(ValueError, match=message):
        mm.evaluate(model, split, **options)


def test_a_model_of_other_data_is_refused(model):
    other = mm.split(tiny_shop(n_users=20), "ratio")
    with pytest.raises(ValueError, match="the model knows 60 users and 30 items"):
        mm.evaluate(model, other)


def test_a_part_to_mask_may_stand_alone(split, model):
    one, listed = (mm.evaluate(model, split, mask=mask) for mask in ("train", ("train",)))
    assert one.metrics == listed.metrics
    pd.testing.assert_frame_equal(mm.recommend(model, split, mask="train"), mm.recommend(model, split, mask=("train",)))


@pytest.mark.parametrize("edges", [(), ("a",), (0.5, 6.5), (1, 1)])
def test_edges_of_slices_are_whole_numbers(split, model, edges):
    with pytest.raises(ValueError, match="but they are different whole numbers"):
        mm.evaluate(model, split).slices(edges=edges)


def test_gaps_that_differ_in_their_last_bit_are_one_gap():
    """1 - 2/3 and 1/3 - 0: a Wilcoxon test of gaps as large up as down finds nothing."""
    a, b = np.r_[np.ones(50), np.zeros(50)], np.r_[np.full(50, 2 / 3), np.full(50, 1 / 3)]
    assert mm.compare(a, b)["p_wilcoxon"] == pytest.approx(1)
    assert np.isnan(mm.compare([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])["p_t"])


@pytest.mark.parametrize("step", [torch.tensor(1), torch.tensor(1e-9, dtype=torch.float64)])
def test_scores_that_float32_cannot_tell_apart_are_ranked(split, step, monkeypatch):
    model = mm.create("popularity", split)
    scores = (1_700_000_000 if step == 1 else 1.0) + step * torch.arange(split.n_items)
    monkeypatch.setattr(model, "score", lambda users: scores.repeat(len(users), 1))
    unseen = np.setdiff1d(np.arange(split.n_items), split.pairs("train")[1][split.pairs("train")[0] == 0])
    assert mm.recommend(model, split, 0, k=3)["item"].tolist() == unseen[::-1][:3].tolist()
    assert (np.diff(mm.evaluate(model, split).top[:, :3]) < 0).all()


def test_a_result_without_its_report_is_not_compared(split, model):
    with pytest.raises(ValueError, match="read from disk has no report, but stands for itself"):
        mm.compare(mm.evaluate(model, split), None)


def test_kept_results_are_compared_as_their_reports_were(tmp_path):
    shop = tiny_shop()
    live = [mm.run(name, shop, save=tmp_path, ks=(5,)) for name in ("popularity", "item_knn")]
    kept = [mm.Result.load(tmp_path / result.row["id"]) for result in live]
    wanted = mm.compare(*(result.report for result in live), "recall@5")
    for pair in (live, kept, (kept[0], live[1])):
        assert mm.compare(*pair, "recall@5") == wanted
    with pytest.raises(ValueError, match=r"no 'recall@20' in Result\(popularity on tiny"):
        mm.compare(*kept)
    with pytest.raises(ValueError, match=r"there is no 'user' in .*, which has recall@5, "):
        mm.compare(*kept, "user")
    for other, word in (({"split_seed": 1}, "split hash"), ({"candidates": 5}, "candidates")):
        with pytest.raises(ValueError, match=f"differ in '{word}'"):
            mm.compare(kept[0], mm.Result.load(tmp_path / _kept(shop, tmp_path, **other)), "recall@5")
    with pytest.raises(ValueError, match="not one of each"):
        mm.compare(kept[0], [0.1, 0.2])


def _kept(shop, folder, **options):
    return mm.run("random", shop, save=folder, ks=(5,), **options).row["id"]


def test_a_user_is_named_by_row_or_by_the_data_s_own_id(split, model):
    users = split.dataset.users["user_id"]
    by_row = mm.recommend(model, split, user=3)
    pd.testing.assert_frame_equal(mm.recommend(model, split, user=users[3]), by_row)
    for rows in (np.array([3], dtype=object), pd.Series([3], dtype=object), [3], torch.tensor([3])):
        assert mm.recommend(model, split, user=rows)["user"].unique().tolist() == [3]
    with pytest.raises(ValueError, match="names users by rows and by ids; take rows, or ids, for all"):
        mm.recommend(model, split, user=[3, users[1]])
    both = mm.recommend(model, split, user=[users[3], users[1]])
    pd.testing.assert_frame_equal(both, mm.recommend(model, split, user=[3, 1]))
    assert both["user"].unique().tolist() == [3, 1]
    with pytest.raises(DataError, match="no user has the id 'nobody'"):
        mm.recommend(model, split, user=["nobody", users[1]])
    items = split.dataset.items["item_id"]
    assert split.dataset.rows("item", [items[4], items[0]]).tolist() == [4, 0]
    with pytest.raises(DataError, match=f"did you mean '{users[1]}'"):
        split.dataset.rows("user", f"{users[1]}x")


def test_slices_and_compare_refuse_nonsense(split, model):
    report = mm.evaluate(model, split, ks=(5,))
    with pytest.raises(ValueError, match="k = 20 is beyond the ranking's 5"):
        report.slices(k=20)
    assert report.slices().equals(report.slices(k=5))  # the longest there is
    with pytest.raises(ValueError, match="choose 'popularity' or 'length'"):
        report.slices("taste", k=5)
    with pytest.raises(ValueError, match="different users"):
        mm.compare(report, mm.evaluate(model, split, part="valid", ks=(5,)).__class__(
            report.metrics, report.per_user.head(3), report.top, split), "recall@5")  # fmt: skip
    with pytest.raises(ValueError, match="two equally long series of at least 2"):
        mm.compare([0.1], [0.2])


def test_a_model_is_asked_about_its_own_split_alone(split):
    other = mm.split(split.dataset, "ratio", seed=1)  # what it holds out, the model may have been trained on
    model = mm.create("item_knn", split)
    for call in (mm.evaluate, lambda m, s: mm.recommend(m, s, 0)):
        with pytest.raises(ValueError, match="the model was made for another split than tiny-ratio-s1"):
            call(model, other)


def test_only_reports_that_asked_the_same_are_compared(split):
    shop = split.dataset
    a = mm.evaluate(mm.create("popularity", split), split)
    other = mm.split(shop, "ratio", seed=1)
    with pytest.raises(ValueError, match=r"tiny-ratio-s0, test, and tiny-ratio-s1, test, hold out different"):
        mm.compare(a, mm.evaluate(mm.create("popularity", other), other))
    sampled = mm.evaluate(mm.create("popularity", split), split, candidates=5)
    with pytest.raises(ValueError, match="one ranked all candidates, the other 5"):
        mm.compare(a, sampled)
    short = mm.evaluate(mm.create("random", split), split, ks=(10,))
    with pytest.raises(ValueError, match=r"there is no 'recall@20' in a report with recall@10"):
        mm.compare(short, a)
    masked = mm.evaluate(mm.create("popularity", split), split, mask=("train", "valid"))
    with pytest.raises(ValueError, match=r"what users have in train, the other in train and valid; .* the same mask"):
        mm.compare(a, masked)
    assert mm.compare(masked, mm.evaluate(mm.create("random", split), split, mask=["valid", "train"]))["n"] > 0
    drawn_anew = mm.evaluate(mm.create("popularity", split), split, candidates=5, seed=1)
    with pytest.raises(ValueError, match="drew its 5 candidates with seed 0, the other with 1"):
        mm.compare(sampled, drawn_anew)
    assert mm.compare(a, mm.evaluate(mm.create("popularity", split), split, seed=1))["difference"] == 0  # none drawn
    hidden = mm.split(shop.replace(features={"image": shop.features["image"]}, present={}), "ratio", seed=0)
    assert hidden.hash != split.hash  # other content, the same held-out interactions: a fair question
    assert mm.compare(a, mm.evaluate(mm.create("popularity", hidden), hidden))["difference"] == 0


def test_a_list_longer_than_the_catalogue_holds_what_is_left(split):
    model, user = mm.create("popularity", split), int(split.dataset.interactions["user"][0])
    shown = mm.recommend(model, split, user, k=split.n_items + 5)
    taken = split.pairs("train")[1][split.pairs("train")[0] == user]
    assert sorted(shown["item"]) == sorted(set(range(split.n_items)) - set(taken))
    items, scores = best_items(model, split, [user], k=split.n_items + 5)
    assert items.shape == scores.shape == (1, split.n_items + 5)
    assert ((items == -1) == np.isneginf(scores)).all() and (items == -1).sum() == len(taken) + 5


@pytest.mark.parametrize("user", [-1, 60, 0.5])
def test_users_are_numbers_of_the_data_set(split, user):
    with pytest.raises(ValueError, match="users are whole numbers from 0 to 59"):
        mm.recommend(mm.create("popularity", split), split, user)


def test_a_user_of_any_width_of_integer(split):
    model = mm.create("item_knn", split)
    assert mm.recommend(model, split, np.int32(3)).equals(mm.recommend(model, split, 3))


@pytest.mark.parametrize("method", sorted(REGISTRY))
def test_who_took_nothing_gets_what_is_popular_or_a_sentence(method):
    """All of user 4 is in the test part: only what needs no history has a list for them."""
    shop = tiny_shop()
    log = shop.interactions.copy()
    place = log.groupby("user").cumcount()
    log["split"] = np.where((log["user"] == 4) | (place == 7), "test", np.where(place == 6, "valid", "train"))
    split = mm.split(shop.replace(interactions=log), "given")
    try:
        model = mm.create(method, split, profile="lecture")
    except ValueError as error:
        pytest.skip(f"the tiny shop lacks something for it: {error}")
    if method in ("popularity", "random", "sasrec", "mp4sr"):
        found = mm.recommend(model, split, 4, k=5)
        assert len(found) == 5 and found["score"].notna().all()
        if method != "random":
            assert (
                found["item"].tolist() == mm.recommend(mm.create("popularity", split), split, 4, k=5)["item"].tolist()
            )
        return
    with pytest.raises(ValueError, match=r"user 4 \(user_id 'u4'\) has no training interaction.* what is popular"):
        mm.recommend(model, split, 4)
    assert len(mm.recommend(model, split, 5, k=3)) == 3


@pytest.mark.parametrize("k", [0, -1, 2.5])
def test_a_list_has_a_length(split, k):
    with pytest.raises(ValueError, match="it is a number of items, 1 or more"):
        mm.recommend(mm.create("popularity", split), split, 0, k=k)


def test_one_cut_off_needs_no_list(split, model):
    assert set(mm.evaluate(model, split, ks=20).metrics) == set(mm.evaluate(model, split, ks=(20,)).metrics)


@pytest.mark.parametrize("k", [0, -3, 2.5])
def test_slices_are_of_a_cut_off(split, model, k):
    with pytest.raises(ValueError, match="at least one cut-off"):
        mm.evaluate(model, split).slices(k=k)


def test_a_report_is_not_compared_with_figures(split, model):
    with pytest.raises(ValueError, match="two reports, two results or two sequences"):
        mm.compare(mm.evaluate(model, split), [0.1, 0.2])


def test_a_number_of_candidates_of_any_width(split, model):
    found, expected = (mm.evaluate(model, split, candidates=n).top for n in (np.int64(6), 6))
    np.testing.assert_array_equal(found, expected)


def test_runs_without_chance_prove_nothing_by_being_repeated():
    """Two methods that nothing varies in, on one split with three seeds: the same figure three times."""
    got = mm.compare([0.2, 0.2, 0.2], [0.1, 0.1, 0.1])
    assert got["difference"] == pytest.approx(0.1) and got["n"] == 3
    assert all(np.isnan(got[name]) for name in ("low", "high", "p_t", "p_wilcoxon"))


@pytest.mark.parametrize("name", TRAINED)
def test_weights_changed_by_hand_or_in_a_part_are_scored_with(name):
    """As in "what if this weight were zero?": the former scores were kept, unless the whole state was loaded."""
    split, users = mm.split(whole_shop(), "given"), torch.arange(5)
    model, other = (mm.create(name, split, seed=seed, **small(name)) for seed in (0, 1))
    before = model.score(users).clone()
    assert torch.equal(model.score(users), before)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-1.5).add_(0.1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.score(users), other.score(users)) and not torch.equal(model.score(users), before)
    fresh = mm.create(name, split, seed=2, **small(name))
    for part, child in model.named_children():  # VBPR has none
        child.load_state_dict(fresh.get_submodule(part).state_dict())
        other.load_state_dict(model.state_dict())
        assert torch.equal(model.score(users), other.score(users))


def test_a_report_shows_what_it_is_and_two_figures(split, model):
    report = mm.evaluate(model, split, ks=(5, 20))
    recall, ndcg = (f"{report.metrics[f'{name}@20']:.4f}" for name in ("recall", "ndcg"))
    assert (
        repr(report) == f"Report(tiny-ratio-s0, test, {len(report.per_user)} users: recall@20 {recall}, ndcg@20 {ndcg})"
    )
