"""The core of readers: filters to a fixed point, counted, against a plain loop."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_lite.data import DataError
from mmrec_lite.data.readers.logs import Filters, Log, Parts, finish, k_core


def plain_core(pairs: list[tuple[int, int]], k: int, m: int) -> list[int]:
    """Remove one row that breaks the rule, again and again."""
    kept = list(range(len(pairs)))
    while True:
        users, items = (Counter(pairs[n][side] for n in kept) for side in (0, 1))
        wrong = [n for n in kept if users[pairs[n][0]] < k or items[pairs[n][1]] < m]
        if not wrong:
            return kept
        kept.remove(wrong[0])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True, min_size=1),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_the_core_is_what_removing_one_by_one_leaves(pairs, k, m):
    users, items = np.array(pairs).T
    mask, _ = k_core(users, items, k, m)
    assert np.flatnonzero(mask).tolist() == plain_core(pairs, k, m)


def small() -> Log:
    log = Log("log")
    for place, (user, item, rating) in enumerate(
        [("u2", "i10", 5), ("u2", "i9", 1), ("u1", "i10", 4), ("u1", "i9", 4), ("u1", "i10", 2), ("u3", "i8", 5)]
    ):
        log.add(user, item, place, time=100 - place, rating=rating)
    return log.closed()


def test_every_filter_is_counted():
    log = Log("log")
    rows = [("a", "x", 5), ("a", "y", 4), ("b", "x", 4), ("b", "y", 4), ("b", "x", 5), ("c", "x", 5), ("c", "z", 1)]
    for place, (user, item, rating) in enumerate(rows):
        log.add(user, item, place, rating=rating)
    log.closed().filter(Filters(min_user=2, min_item=2, min_rating=2))
    assert [(row["interactions"], row["users"], row["items"]) for row in log.counts] == [
        (7, 3, 3), (6, 3, 2), (5, 3, 2), (4, 2, 2),
    ]  # fmt: skip
    assert [row["after"].split(" of")[0] for row in log.counts[:2]] == ["read", "rating"]
    assert log.rows["place"].tolist() == [0, 1, 2, 3], "of a repeated pair the first row stays"


def test_numbers_follow_the_natural_order_of_ids():
    log = small()
    log.filter(Filters(1, 1))
    texts = pa.chunked_array([["first", ""], ["", "", ""]], pa.large_string())
    data = finish(log, Parts(reviews=texts), reader="test", name="small")
    assert data.items["item_id"].tolist() == ["i10", "i8", "i9"] and data.users["user_id"].tolist() == [
        "u1",
        "u2",
        "u3",
    ]
    rows = list(zip(data.interactions["user"], data.interactions["item"], data.interactions["timestamp"], strict=True))
    assert rows == [(1, 0, 100), (1, 2, 99), (0, 0, 98), (0, 2, 97), (2, 1, 95)]
    assert data.interactions["review"].tolist() == ["first", "", "", "", ""]


def test_finer_times_order_the_rows():
    log = Log("ms", per_second=1000)
    for place, time in enumerate((2_900, 2_100, 1_000)):
        log.add("u", f"i{place}", place, time=time)
    log.closed().filter(Filters(1, 1))
    data = finish(log, Parts(), reader="test", name="ms")
    assert data.interactions["timestamp"].tolist() == [1, 2, 2] and data.interactions["item"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(("per_second", "unit"), [(1, "seconds"), (1000, "milliseconds")])
def test_times_of_another_unit_are_not_taken(per_second, unit):
    """1 January 2100 is 130 years of 365 days and 32 leap days after 1 January 1970."""
    after = (130 * 365 + 32) * 86_400 * per_second
    log = Log("log", per_second)
    for wrong in (after, -1, 10**17, 10**30):
        with pytest.raises(ValueError, match="time"):
            log.add("u", "i", 0, time=wrong)
    with pytest.raises(
        DataError, match=rf"not one interaction.*\. log: 4 times, as {unit}, do not lie between 1970 and"
    ):
        log.closed()
    log = Log("log", per_second)
    with pytest.raises(ValueError):
        log.add("u", "i", 0, time=after)
    for place, time in enumerate((after - 1, 0, 7)):
        log.add("u", f"i{place}", place, time=time)
    log.closed().filter(Filters(1, 1))
    data = finish(log, Parts(), reader="test", name="log")
    assert data.card["notes"] == [f"log: 1 times, as {unit}, do not lie between 1970 and 2099"]
    assert data.summary()["time"] == "1970-01-01 to 2099-12-31"


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="not one interaction"):
        Log("empty").closed()
    log = Log("half")
    log.add("u", "i", 0, time=1)
    log.add("u", "j", 1)
    with pytest.raises(DataError, match="half: 1 of 2 interactions have a time"):
        log.closed()
    with pytest.raises(DataError, match="nothing is left after: users with 9"):
        small().filter(Filters(9, 9))
    log = Log("plain")
    log.add("u", "i", 0)
    with pytest.raises(DataError, match="min_rating was given, but there are no ratings"):
        log.closed().filter(Filters(min_rating=3))
