"""The splits: properties that hold for any data, the protocols' counts by hand, and the refusals."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmrec_lite.data import DataError, IndexedVectors, MultimodalDataset, Split, split
from tests.tiny import tiny_shop

PARTS = ("train", "valid", "test")
LEARNING = [
    ("ratio", {}),
    ("ratio", {"by": "time"}),
    ("ratio", {"by": "order", "ratios": (0.5, 0.2, 0.3)}),
    ("leave-one-out", {}),
    ("leave-one-out", {"by": "order"}),
    ("kfold", {"fold": 1, "folds": 3}),
    ("cold-items", {"cold": 0.4}),
]
PROTOCOL = pytest.mark.parametrize(("protocol", "options"), LEARNING, ids=lambda value: str(value))


def dataset(pairs, n_users=None, n_items=None, **columns) -> MultimodalDataset:
    users, items = np.array(pairs).T
    return MultimodalDataset(
        name="made",
        users=pd.DataFrame({"user_id": np.arange(n_users or users.max() + 1)}),
        items=pd.DataFrame({"item_id": np.arange(n_items or items.max() + 1)}),
        interactions=pd.DataFrame({"user": users, "item": items, **columns}),
    )


@st.composite
def datasets(draw, distinct_times=False):
    n_users, n_items = draw(st.integers(2, 6)), draw(st.integers(8, 16))
    pair = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1))
    pairs = draw(st.lists(pair, min_size=13, max_size=70, unique=True))
    if distinct_times:
        times = draw(st.permutations(range(len(pairs))))
    else:
        times = draw(st.lists(st.integers(0, 5), min_size=len(pairs), max_size=len(pairs)))
    return dataset(pairs, n_users, n_items, timestamp=times)


def try_split(data, protocol, **options) -> Split:
    try:
        return split(data, protocol, **options)
    except DataError as error:
        assume("part of protocol" not in str(error))  # too small for three parts: another example, please
        raise


def rows(result: Split) -> dict[str, list[int]]:
    return {part: getattr(result, part).tolist() for part in PARTS}


@PROTOCOL
@settings(max_examples=40, deadline=None)
@given(data=datasets(), seed=st.integers(0, 5))
def test_parts_are_disjoint_sorted_and_cover_everything(protocol, options, data, seed):
    result = try_split(data, protocol, seed=seed, **options)
    everything = np.concatenate([result.train, result.valid, result.test])
    assert sorted(everything) == list(range(len(data)))
    for part in PARTS:
        assert (np.diff(getattr(result, part)) > 0).all()


@PROTOCOL
@settings(max_examples=15, deadline=None)
@given(data=datasets(), seed=st.integers(0, 5))
def test_same_seed_same_split(protocol, options, data, seed):
    result = try_split(data, protocol, seed=seed, **options)
    again = split(data, protocol, seed=seed, **options)
    assert rows(result) == rows(again) and result.hash == again.hash


@pytest.mark.parametrize(
    ("protocol", "options"),
    [("ratio", {}), ("ratio", {"by": "time"}), ("leave-one-out", {}), ("kfold", {}), ("cold-items", {"cold": 0.4})],
)
@settings(max_examples=25, deadline=None)
@given(data=datasets(distinct_times=True), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(protocol, options, data, shuffle):
    """Random protocols are drawn over pairs, those by time over times: shuffling the table changes nothing."""
    order = list(range(len(data)))
    shuffle.shuffle(order)
    shuffled = data.replace(interactions=data.interactions.iloc[order])
    first, second = try_split(data, protocol, seed=3, **options), split(shuffled, protocol, seed=3, **options)
    for part in PARTS:
        assert set(zip(*first.pairs(part), strict=True)) == set(zip(*second.pairs(part), strict=True))


@pytest.mark.parametrize("by", ["random", "time"])
@settings(max_examples=30, deadline=None)
@given(data=datasets(), seed=st.integers(0, 3))
def test_ratio_counts_per_user(by, data, seed):
    result = try_split(data, "ratio", by=by, seed=seed)
    counts = {part: np.bincount(result.pairs(part)[0], minlength=data.n_users) for part in PARTS}
    for user, total in enumerate(np.bincount(data.interactions["user"], minlength=data.n_users)):
        held = 0 if total < 3 else 2 if total < 10 else max(2, total // 5)
        expected = (total - held, held - held // 2, held // 2)
        assert tuple(counts[part][user] for part in PARTS) == expected


@settings(max_examples=30, deadline=None)
@given(data=datasets())
def test_by_time_nothing_in_training_is_later_than_what_is_held_out(data):
    """Ties count as earlier where the row stands earlier."""
    for protocol, options in (("ratio", {"by": "time"}), ("leave-one-out", {})):
        result = try_split(data, protocol, **options)
        moment = list(zip(data.interactions["timestamp"], range(len(data)), strict=True))
        for user in range(data.n_users):
            own = np.flatnonzero(data.interactions["user"] == user)
            sections = [[moment[row] for row in own if row in set(getattr(result, part))] for part in PARTS]
            present = [section for section in sections if section]
            for earlier, later in pairwise(present):
                assert max(earlier) < min(later)


@settings(max_examples=30, deadline=None)
@given(data=datasets())
def test_leave_one_out_takes_one_each(data):
    result = try_split(data, "leave-one-out")
    totals = np.bincount(data.interactions["user"], minlength=data.n_users)
    for part in ("valid", "test"):
        np.testing.assert_array_equal(
            np.bincount(result.pairs(part)[0], minlength=data.n_users), (totals >= 3).astype(int)
        )


@settings(max_examples=30, deadline=None)
@given(data=datasets(), seed=st.integers(0, 5))
def test_cold_items_never_occur_in_training(data, seed):
    result = try_split(data, "cold-items", cold=0.4, seed=seed)
    held = result.held_out_items
    taken = np.unique(data.interactions["item"])
    assert not np.isin(result.pairs("train")[1], np.concatenate([held["valid"], held["test"]])).any()
    assert set(result.pairs("valid")[1]) == set(held["valid"]) and set(result.pairs("test")[1]) == set(held["test"])
    assert len(held["valid"]) + len(held["test"]) == round(0.4 * len(taken))
    assert 0 <= len(held["test"]) - len(held["valid"]) <= 1


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(6, 14), min_size=1, max_size=6), seed=st.integers(0, 5))
def test_folds_share_out_the_test_rows(lengths, seed):
    """Over all folds each row of a user with three or more is tested once; a fold's validation is the next test."""
    data = dataset([(user, item) for user, length in enumerate(lengths) for item in range(length)])
    folds = [split(data, "kfold", fold=fold, folds=3, seed=seed) for fold in range(3)]
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(data)))
    for fold, following in zip(folds, folds[1:] + folds[:1], strict=True):
        np.testing.assert_array_equal(fold.valid, following.test)


def test_folds_are_3_1_1_and_leave_everyone_a_history():
    data = dataset([(user, item) for user in range(40) for item in range(user % 9 + 1)])
    for fold in range(5):
        result = split(data, "kfold", fold=fold)
        assert (result.train_lengths > 0).all()
    full = split(dataset([(user, item) for user in range(4) for item in range(10)]), "kfold")
    for part, size in zip(PARTS, (6, 2, 2), strict=True):
        assert np.bincount(full.pairs(part)[0]).tolist() == [size] * 4


def test_seeds_and_folds_differ():
    data = dataset([(user, item) for user in range(20) for item in range(12)])
    assert split(data, seed=0).test.tolist() != split(data, seed=1).test.tolist()
    assert split(data, seed=0).hash != split(data, seed=1).hash
    assert split(data, "kfold", seed=0).name == "made-kfold-0of5-s0"
    assert split(data, seed=4).name == "made-ratio-s4"


def test_other_ratios():
    data = dataset([(0, item) for item in range(50)])
    result = split(data, ratios=(0.72, 0.08, 0.2))
    assert [len(getattr(result, part)) for part in PARTS] == [36, 4, 10]


def test_given_is_taken_as_it_stands():
    data = dataset([(0, 0), (0, 1), (1, 0), (1, 2)], split=["test", "train", "train", "valid"])
    assert rows(split(data, "given")) == {"train": [1, 2], "valid": [3], "test": [0]}


class TestAccess:
    """Two users, by hand; user 2 has nothing in training."""

    @pytest.fixture
    def made(self) -> Split:
        data = dataset(
            [(1, 3), (0, 1), (0, 2), (1, 0), (0, 0), (2, 2)],
            n_items=5,
            timestamp=[50, 30, 10, 50, 20, 1],
            split=["train", "train", "train", "train", "valid", "test"],
            review=["late", "", "early", "tie", "leak", "leak"],
        )
        return split(data, "given")

    def test_pairs_matrix_users_counts(self, made):
        users, items = made.pairs("train")
        assert users.tolist() == [1, 0, 0, 1] and items.tolist() == [3, 1, 2, 0] and users.dtype == np.int64
        matrix = made.matrix("train")
        assert matrix.shape == (3, 5) and matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix.toarray(), [[0, 1, 1, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
        assert made.users("train").tolist() == [0, 1] and made.users("test").tolist() == [2]
        assert made.train_counts.tolist() == [1, 1, 1, 1, 0]
        assert made.train_lengths.tolist() == [2, 2, 0]
        assert made.matrix("train") is matrix  # made once

    def test_sequences_stand_in_time_order_ties_in_row_order(self, made):
        indptr, items = made.train_sequences()
        assert indptr.tolist() == [0, 2, 4, 4] and items.tolist() == [2, 1, 3, 0]
        indptr, items = made.sequences(("train", "valid"))
        assert indptr.tolist() == [0, 3, 5, 5] and items.tolist() == [2, 0, 1, 3, 0]
        assert made.history(0).tolist() == [2, 1]

    def test_without_times_row_order_counts(self):
        data = dataset([(0, 2), (0, 0), (0, 1), (0, 3)], split=["train", "train", "test", "valid"])
        assert split(data, "given").history(0).tolist() == [2, 0]

    def test_a_user_without_training_items_is_named(self, made):
        with pytest.raises(DataError, match=r"user 2 \(user_id '2'\) has no training interaction \(1 such users\)"):
            made.history(2)
        with pytest.raises(DataError, match="has no training interaction"):
            made.require_history(np.array([0, 2]))
        with pytest.raises(DataError, match=r"no user 3; users are numbered 0\.\.2"):
            made.history(3)
        assert made.require_history([0, 1]).tolist() == [0, 1]

    def test_only_training_reviews_may_be_read(self, made):
        assert made.review_rows().tolist() == [0, 2, 3]
        sequence = IndexedVectors(np.eye(2), np.array([[0], [-1], [1], [-1], [1], [1]]), rows="interactions")
        indexed = Split(
            made.dataset.replace(sequences={"reviews": sequence}), "given", 0, made.train, made.valid, made.test
        )
        assert indexed.review_rows().tolist() == [0, 2]
        with pytest.raises(DataError, match="has no reviews"):
            split(dataset([(0, item) for item in range(5)])).review_rows()

    def test_what_is_handed_out_cannot_be_changed(self, made):
        for array in (made.train, made.pairs("train")[0], made.train_counts, made.train_sequences().items):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 7

    def test_unknown_parts(self, made):
        with pytest.raises(DataError, match="unknown part 'dev'; there are: train, valid, test"):
            made.pairs("dev")
        with pytest.raises(DataError, match="sequences of 'dev'; parts: train, valid, test"):
            made.sequences(("train", "dev"))
        assert made.sequences("train") is made.train_sequences()


LONG = [(0, item) for item in range(12)]
SHORT = [(user, 0) for user in range(4)]
REFUSED = {
    "a seed below 0": (LONG, "ratio", {"seed": -1}, "seed = -1, but it is a whole number from 0"),
    "a seed in words": (LONG, "ratio", {"seed": "1"}, "seed = '1', but it is a whole number from 0"),
    "protocol": (LONG, "random", {}, "unknown protocol 'random'; there are: ratio, leave-one-out, kfold, cold-items"),
    "by": (LONG, "ratio", {"by": "rating"}, "unknown by='rating'; this protocol knows: random, time, order"),
    "by random": (LONG, "leave-one-out", {"by": "random"}, "this protocol knows: time, order"),
    "by unused": (LONG, "kfold", {"by": "time"}, "by='time' has no meaning for protocol 'kfold'"),
    "no times": (LONG, "leave-one-out", {}, "has no time stamps .* by='order'"),
    "no times for ratio": (LONG, "ratio", {"by": "time"}, "has no time stamps"),
    "not given": (LONG, "given", {}, "brings no split of its own .* another protocol"),
    "ratios sum": (LONG, "ratio", {"ratios": (0.8, 0.1, 0.2)}, "three positive shares .* add up to 1"),
    "ratios zero": (LONG, "ratio", {"ratios": (0.8, 0.0, 0.2)}, "three positive shares"),
    "ratios in words": (LONG, "ratio", {"ratios": "0.8"}, "ratios 0.8 must be three positive shares"),
    "ratios partly in words": (LONG, "ratio", {"ratios": (0.8, "0.1", 0.1)}, "must be three positive shares"),
    "one ratio": (LONG, "ratio", {"ratios": 0.8}, "ratios 0.8 must be three positive shares"),
    "few folds": (LONG, "kfold", {"folds": 2}, "folds=2 is too few"),
    "fold": (LONG, "kfold", {"fold": 5}, r"no fold 5; with folds=5 they are numbered 0\.\.4"),
    "cold": (LONG, "cold-items", {"cold": 1.0}, "cold=1.0 must be a share between 0 and 1"),
    "cold in words": (LONG, "cold-items", {"cold": "0.2"}, "cold='0.2' must be a share between 0 and 1"),
    "cold too little": (LONG, "cold-items", {"cold": 0.05}, "valid part .* is empty .* Raise cold"),
    "empty ratio": (
        SHORT,
        "ratio",
        {},
        r"valid part of protocol 'ratio' is empty on 'made' \(4 interactions, 4 users\)",
    ),
    "empty kfold": (SHORT, "kfold", {}, "is empty .* lower folds"),
}


@pytest.mark.parametrize(("pairs", "protocol", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_a_remedy(pairs, protocol, options, message):
    with pytest.raises(DataError, match=message):
        split(dataset(pairs), protocol, **options)


def test_an_empty_given_part_is_refused():
    data = dataset(LONG, split=["train"] * 11 + ["test"])
    with pytest.raises(DataError, match=r"valid part of protocol 'given' is empty .* Correct the `split` column"):
        split(data, "given")


def test_hand_made_splits_are_checked():
    data = dataset(LONG)
    with pytest.raises(DataError, match="row 1 is used 2 times"):
        Split(data, "own", 0, np.array([0, 1]), np.array([1]), np.array([2]))
    with pytest.raises(DataError, match=r"must lie in 0\.\.11"):
        Split(data, "own", 0, np.array([0, 12]), np.array([1]), np.array([2]))


def test_by_order_rows_decide_even_where_there_are_time_stamps():
    data = dataset([(0, 4), (0, 2), (0, 3), (0, 0), (0, 1)], timestamp=[5, 4, 3, 2, 1])
    by_row, by_time = (split(data, "leave-one-out", by=by) for by in ("order", "time"))
    assert by_row.sequences(("train", "valid", "test")).items.tolist() == [4, 2, 3, 0, 1]
    assert by_time.sequences(("train", "valid", "test")).items.tolist() == [1, 0, 3, 2, 4]


def test_order_counts_in_the_hash_where_it_is_another_than_that_of_time():
    """Rows held out may be the same while what a user took first is not: two runs would share a folder."""
    pairs = [(0, 4), (0, 2), (0, 3), (0, 0), (0, 1)]
    for protocol in ("leave-one-out", "ratio"):
        data = dataset(pairs, timestamp=[2, 1, 3, 4, 5])
        by_row, by_time = (split(data, protocol, by=by) for by in ("order", "time"))
        assert rows(by_row) == rows(by_time) and by_row.train_sequences().items[0] != by_time.train_sequences().items[0]
        assert by_row.hash != by_time.hash


@pytest.mark.parametrize(("protocol", "options", "begin"), [
    ("leave-one-out", {"by": "time"}, "27b0f5e71c56"),
    ("leave-one-out", {"by": "order"}, "f99953b05414"),
    ("ratio", {}, "0995d0863501"),
])  # fmt: skip
def test_hashes_stay_what_they_were(protocol, options, begin):
    """Results on disk are found by them; without time stamps there is one order alone."""
    times = {} if options.get("by") == "order" else {"timestamp": [2, 1, 3, 4, 5]}
    data = dataset([(0, 4), (0, 2), (0, 3), (0, 0), (0, 1)], **times)
    assert split(data, protocol, **options).hash.startswith(begin)


def test_what_ranking_depends_on_counts_in_the_hash():
    """The same rows held out, but a test that follows validation, and items that are not on sale in training."""
    data = dataset([(user, item) for user in range(6) for item in range(4)], timestamp=list(range(24)))
    one_out = split(data, "leave-one-out")
    by_share = split(data, "ratio", by="time")
    assert rows(one_out) == rows(by_share) and one_out.history_parts("test") != by_share.history_parts("test")
    assert one_out.hash != by_share.hash
    cold = split(dataset([(user, item) for user in range(20) for item in range(12)]), "cold-items")
    open_ = dataclasses.replace(cold, held_out_items={})
    assert rows(cold) == rows(open_) and cold.hash != open_.hash


def test_the_origin_is_that_of_interactions_whatever_stands_beside_them():
    data = dataset([(user, item) for user in range(20) for item in range(12)])
    other = data.replace(items=data.items.assign(title="of another name"))
    first, same, another = split(data, seed=0), split(other, seed=0), split(other, seed=1)
    assert first.origin == same.origin and first.hash != same.hash
    assert first.origin["interactions"] == another.origin["interactions"]
    assert first.origin["parts"] != another.origin["parts"]
    fewer = dataset([(user, item) for user in range(20) for item in range(11)])
    assert split(fewer).origin["interactions"] != first.origin["interactions"]


def test_numpy_s_numbers_are_numbers():
    data = dataset([(user, item) for user in range(20) for item in range(12)])
    made = split(data, "kfold", fold=np.int64(1), folds=np.int32(4), seed=np.int64(3))
    assert made.options == {"fold": 1, "folds": 4} and made.hash == split(data, "kfold", fold=1, folds=4, seed=3).hash
    assert type(made.seed) is int
    assert split(data, "cold-items", cold=np.float32(0.25)).options == {"cold": 0.25}
    with pytest.raises(DataError, match=r"split: fold = 1\.5, but it is a whole number from 0"):
        split(data, "kfold", fold=1.5)


@pytest.mark.parametrize(
    "protocol, option",
    [
        ("ratio", {"fold": 3}),
        ("leave-one-out", {"ratios": (0.6, 0.2, 0.2)}),
        ("kfold", {"cold": 0.5}),
        ("given", {"folds": 3}),
    ],
)
def test_an_option_of_another_protocol_is_refused(protocol, option):
    (name,) = option
    with pytest.raises(DataError, match=f"split: {name}=.* belongs to protocol .*, not to '{protocol}'"):
        split(tiny_shop(), protocol, **option)
