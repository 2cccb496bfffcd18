"""The explorer of recommendations: what it counts, draws and refuses."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
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


def test_too_many_methods_are_refused(explorer):
    model = mm.create("popularity", explorer.split)
    with pytest.raises(ValueError, match="draws 1 to 3 methods, got 4"):
        explorers.RecommendationsExplorer({str(i): model for i in range(4)}, explorer.split)
