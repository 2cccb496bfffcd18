"""The shop's explorer: what it draws is what the data, the split and the planted truth say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.data.bazaar import oracle_scores
from mmrec_lite.explorers import ShopExplorer
from mmrec_lite.explorers.shop import PROTOCOL_OPTIONS
from tests.test_plots import make_shop

EVERY = [{"user": user, "protocol": protocol} for user in (0, 7) for protocol in PROTOCOL_OPTIONS]


@pytest.fixture(scope="module")
def shop() -> mm.MultimodalDataset:
    return mm.load("bazaar")


@pytest.fixture(scope="module")
def explorer(shop: mm.MultimodalDataset) -> ShopExplorer:
    return ShopExplorer(shop)


@pytest.mark.parametrize("params", EVERY, ids=lambda p: f"{p['user']} {p['protocol']}")
def test_a_history_is_the_users_in_time_order_with_the_parts_of_the_split(explorer, shop, params) -> None:
    user, protocol = params["user"], params["protocol"]
    table = shop.interactions[shop.interactions["user"] == user].sort_values("timestamp")
    chosen = mm.split(shop, seed=0, **PROTOCOL_OPTIONS[protocol])
    row = explorer.history(user, protocol)
    assert row.items == table["item"].tolist()
    for part in ("train", "valid", "test"):
        own = {i for u, i in zip(*chosen.pairs(part), strict=True) if u == user}
        assert {item for item, p in zip(row.items, row.parts, strict=True) if p == part} == own


def test_what_spoke_for_a_choice_adds_up_to_its_utility(explorer, shop) -> None:
    row = explorer.history(5, "k-fold")
    at = np.sort(shop.interactions["timestamp"][shop.interactions["user"] == 5].to_numpy())
    users, place = np.full(len(at), 5), np.arange(len(at))
    whole, base = (oracle_scores(shop, users, at=at, **known)[place, row.items] for known in ({}, {"groups": ()}))
    np.testing.assert_allclose(sum(row.why.values()), whole - base, atol=1e-3)
    assert sum(row.shares.values()) == pytest.approx(1, abs=1e-5)


def test_the_words_count_parts_and_leaks(explorer) -> None:
    for user in range(5):
        late = explorer.describe({"user": user, "protocol": "ratio, latest"})
        assert " 0 of 1 test choices" in late or " 0 of 2 test choices" in late
    leaks = [explorer.describe({"user": user, "protocol": "ratio, random"}) for user in range(20)]
    assert any("training choice: 1 of 1" in words for words in leaks)
    assert all("common" in words and "%" in words for words in leaks)


def test_controls_move_the_picture_and_drawing_is_pure(shop) -> None:
    explorer = ShopExplorer(shop, user=3)
    params, shown = explorer.params, explorer.picture.value
    first = plots.png(explorer.render(params))
    explorer.controls["protocol"].value = "ratio, latest"
    assert explorer.picture.value != shown
    explorer.controls["user"].value = shop.n_users - 1
    assert "Not drawn" not in explorer.status.value
    assert plots.png(explorer.render(params)) == first
    for control in explorer.controls.values():
        assert control.description
        assert not getattr(control, "continuous_update", False)


def test_examples_care_for_one_group_each(explorer, shop) -> None:
    examples = explorer.examples()
    assert shop.truth["user_weights"][examples].argmax(axis=1).tolist() == [0, 1, 2]
    assert all(5 <= len(explorer.rows(user)) <= explorer.columns for user in examples)
    assert explorer.static(examples[:1]).get_figheight() < explorer.static().get_figheight() / 2


def test_data_without_truth_and_times_are_shown_too(tmp_path: Path) -> None:
    small = make_shop(tmp_path, [f"<b>thing</b> & {i} $x$" for i in range(12)])
    explorer = ShopExplorer(small)
    assert explorer.controls["protocol"].options == ("ratio, random", "k-fold", "cold items")
    row = explorer.history(2, "ratio, random")
    assert (row.why, row.shares, row.dates) == (None, None, [])
    assert explorer.describe(explorer.params) == "User 0; ratio, random: 2 train, 1 valid, 1 test."
    assert explorer.picture.value.startswith("<img alt=")
    assert len(explorer.examples()) == 3


def test_of_a_long_history_the_latest_rows_are_drawn_and_all_is_counted(shop, monkeypatch) -> None:
    monkeypatch.setattr("mmrec_lite.explorers.shop.ROWS", 1)
    user = int(shop.interactions["user"].value_counts().index[0])
    explorer, protocol = ShopExplorer(shop, user=user, columns=4), "ratio, latest"
    row, every = explorer.history(user, protocol), explorer.rows(user)
    assert row.earlier == len(every) - 4 > 0 and len(row.items) == len(row.parts) == len(row.dates) == 4
    assert row.items == shop.interactions["item"].to_numpy()[every[-4:]].tolist()
    assert row.parts == explorer.parts(user, protocol)[-4:]
    assert row.why["common"].shape == (4,)
    figure = explorer.render(explorer.params)
    assert f"+{row.earlier} earlier" in [text.get_text() for text in figure.axes[0].texts]
    counted = [int(n) for n in re.findall(r"(\d+) (?:train|valid|test)[,.]", explorer.status.value)]
    assert sum(counted) == len(every) == int(row.label.split()[2])


def test_a_truth_without_times_says_what_a_user_cares_for(shop) -> None:
    untimed = shop.replace(interactions=shop.interactions.drop(columns="timestamp"))
    explorer = ShopExplorer(untimed, user=3)
    assert "Cares: common" in explorer.status.value and "Not drawn" not in explorer.status.value
    assert explorer.history(3, "ratio, random").why is None


def test_what_cannot_be_shown_is_refused(explorer, shop) -> None:
    with pytest.raises(ValueError, match=r"user = -5 is outside 0 to 1999"):
        ShopExplorer(shop, user=-5)
    with pytest.raises(ValueError, match=r"protocol = 'ratio' is unknown; choose one of ratio, random"):
        explorer.static([0], protocol="ratio")
    with pytest.raises(ValueError, match="there is no user to draw; give one or more"):
        explorer.static(users=[])


def test_a_user_without_choices_is_an_empty_row(tmp_path: Path) -> None:
    small = make_shop(tmp_path)
    bare = small.replace(interactions=small.interactions[small.interactions["user"] != 4])
    explorer = ShopExplorer(bare, user=4)
    assert explorer.describe(explorer.params) == "User 4; ratio, random: 0 train, 0 valid, 0 test."
    assert "Not drawn" not in explorer.status.value


@pytest.mark.parametrize(("start", "words"), [(0, "User 2; "), (1_000_000_000, "User 2 from Sep 2001 to Sep 2001; ")])
def test_positions_order_the_choices_and_are_no_dates(tmp_path: Path, start: int, words: str) -> None:
    small = make_shop(tmp_path)
    timed = small.replace(interactions=small.interactions.assign(timestamp=start + np.arange(24)[::-1]))
    explorer = ShopExplorer(timed, user=2)
    described = explorer.describe({"user": 2, "protocol": "leave one out"})
    assert described.startswith(words) and "Earlier than a training choice: 0 of 1 test choices." in described
    row = explorer.history(2, "leave one out")
    assert len(row.dates) == (4 if start else 0)
    assert row.items == timed.interactions["item"][timed.interactions["user"] == 2].tolist()[::-1]


def test_choices_of_one_day_are_not_earlier_than_each_other(tmp_path: Path) -> None:
    small = make_shop(tmp_path)
    days = 1_735_900_000 + 86_400 * (np.arange(24) % 4 // 2)
    explorer = ShopExplorer(small.replace(interactions=small.interactions.assign(timestamp=days)))
    for protocol in PROTOCOL_OPTIONS:
        parted = explorer.split(protocol)
        for user in range(6):
            times = {p: days[rows[parted.dataset.interactions["user"].to_numpy()[rows] == user]]
                     for p, rows in (("train", parted.train), ("test", parted.test))}  # fmt: skip
            early = int((times["test"] < times["train"].max(initial=0)).sum())
            said = f"Earlier than a training choice: {early} of {len(times['test'])} test choices."
            assert said in explorer.describe({"user": user, "protocol": protocol})
