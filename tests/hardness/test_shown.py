"""Titles that are markup, formulas or a novel are shown as they are and run nowhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite import explorers, plots
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.maps import Frame
from tests.tiny import tiny_shop

NASTY = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "costs $5, now $4", "$\\frac{1}{$", "a_b^c {d} \\x",
    "=HYPERLINK(\"http://x\")", "&lt;b&gt;", "' onmouseover='x", "e\u0301\u202eabc", "🛒 sale", "line\nbreak", "", " ",
    "x" * 5_000, "\x07bell",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> MultimodalDataset:
    tiny = tiny_shop()
    titles = [NASTY[i % len(NASTY)] for i in range(tiny.n_items)]
    items = tiny.items.assign(title=titles, text=titles, category=titles)
    return tiny.replace(items=items)


class Tags(HTMLParser):
    """Collects the elements and attributes that a browser would see."""

    def __init__(self, page: str):
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}


def harmless(page: str) -> bool:
    seen = Tags(page)
    return not seen.found & {"script", "iframe", "object"} and not any(a.startswith("on") for a in seen.attributes)


def test_the_parser_would_notice():
    assert not harmless("<p><script>alert(1)</script>") and not harmless('<img alt="" onerror="x">')


def test_pictures_of_neighbours_and_shelves(shop, tried):
    split = mm.split(shop, "ratio", seed=0)
    models = {"<b>mf</b> $a$": mm.create("mf", split), "popularity": mm.create("popularity", split)}
    shown = explorers.RecommendationsExplorer(models, split, k=5)
    for place in range(8):
        shown.controls["place"].value = place
        assert "Not drawn" not in shown.status.value and harmless(shown.status.value)
        assert harmless(shown.picture.value) and shown.picture.value.startswith("<img")
    near = explorers.NeighboursExplorer(mm.create("micro", split, dim=8, k=4), shop)
    for item in range(len(NASTY)):
        near.controls["item"].value = item
        assert "Not drawn" not in near.status.value, near.status.value
        assert harmless(near.status.value) and harmless(near.picture.value)
    tried(
        "titles of markup, formulas, control characters, 5,000 letters", len(NASTY) + 8, "shown as text; nothing runs"
    )


def test_the_history_of_a_user(shop, tried):
    """Titles stand under the pictures; names of data sets and modalities are of letters, digits, _ and - alone."""
    shown = explorers.ShopExplorer(shop)
    for user in range(8):
        shown.controls["user"].value = user
        assert "Not drawn" not in shown.status.value and harmless(shown.status.value), shown.status.value
        assert harmless(shown.picture.value) and shown.picture.value.startswith("<img")
    assert {item for user in range(8) for item in shown.history(user, shown.params["protocol"]).items} >= set(range(15))
    tried("titles of markup, formulas, control characters, 5,000 letters", 8, "shown as text; nothing runs")


def test_maps_and_features(shop, tried):
    """What is pointed at shows its title beside the map; what is chosen stands in the words under the picture."""
    split = mm.split(shop, "ratio", seed=0)
    near = explorers.FeaturesExplorer(shop)
    map_ = explorers.EmbeddingMapExplorer(Frame.of({"mf": mm.create("mf", split, dim=4)}), shop, split.train_counts)
    for item in range(len(NASTY)):
        near.controls["item"].value = map_.controls["item"].value = item
        map_.picture.hovered = item
        for shown in (near, map_):
            assert "Not drawn" not in shown.status.value and harmless(shown.status.value), shown.status.value
            assert harmless(shown.picture.value), NASTY[item]
        assert harmless(map_.preview.value) and str(item) in map_.preview.value
    tried(
        "titles of markup, formulas, control characters, 5,000 letters", 2 * len(NASTY), "shown as text; nothing runs"
    )


def test_a_training_s_words_and_its_failure(shop, tried, monkeypatch):
    """What an error quotes, a title or a setting, is said in the status line and in the table of runs."""
    shown = explorers.TrainingExplorer(mm.split(shop, "ratio", seed=0), ["mf"], epochs=1)
    shown.run()
    assert harmless(shown.status.value) and harmless(shown.table.value) and harmless(shown.picture.value)
    for words in NASTY:

        def fail(*_, words=words, **__):
            raise ValueError(f"{words} is refused")

        monkeypatch.setattr("mmrec_lite.explorers.training.fit", fail)
        shown.runs.clear()
        shown.start()
        assert shown.wait(30)
        assert shown.runs[-1].state == "failed" and "refused" in shown.status.value
        assert all(harmless(page) for page in (shown.status.value, shown.table.value, shown.picture.value)), words
    tried("errors of a training that quote such titles", len(NASTY), "shown as text; nothing runs")


def test_tables_in_notebooks_are_escaped(shop):
    report = mm.evaluate(mm.create("popularity", mm.split(shop, "ratio")), mm.split(shop, "ratio"))
    for table in (shop.items, shop.summary().to_frame(), pd.DataFrame(report.metrics, index=[0])):
        assert harmless(table.to_html())


def test_an_image_carries_its_words_as_an_attribute():
    figure = plots.matrix(np.eye(2), rows=NASTY[:2], columns=NASTY[2:4])
    for words in NASTY:
        page = plots.show(figure, alt=words.strip() or "-").data
        assert harmless(page) and len(re.findall("<img", page)) == 1


def test_powers_of_ten_are_still_written_as_such():
    figure = plots.popularity_curve({"$5 $": np.arange(1, 2000)})
    plots.png(figure)
    ticks = figure.axes[0].get_xticklabels()
    assert all(label.get_parse_math() for label in ticks) and any("10^" in label.get_text() for label in ticks)
    assert not figure.axes[0].get_legend().get_texts()[0].get_parse_math() if figure.axes[0].get_legend() else True
