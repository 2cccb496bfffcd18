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
