"""Explorers: pure pictures, kept pictures, last move wins, words that are escaped."""

from __future__ import annotations

import gc
import html
import threading
import time
import weakref
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import explorers, plots
from mmrec_lite.data.masking import mask_modalities
from mmrec_lite.explorers import Explorer, InfoNCE, LossExplorer, NearestTable, NeighboursExplorer
from mmrec_lite.explorers.status import StatusLine
from mmrec_lite.graphs import knn_graph, normalize_graph
from tests.test_plots import make_shop
from tests.tiny import tiny_shop


@pytest.fixture
def shop(tmp_path: Path) -> mm.MultimodalDataset:
    return make_shop(tmp_path)


def neighbours(shop: mm.MultimodalDataset, **options) -> NeighboursExplorer:
    model = mm.create("micro", mm.split(shop, "ratio", seed=0), k=3, seed=0)
    return NeighboursExplorer(model, shop, k_max=6, **options)


class Squares(Explorer):
    """The smallest explorer; counts how often it draws."""

    title = "a < b"

    def __init__(self) -> None:
        self.drawn: list[int] = []
        self.wait = threading.Event()
        self.wait.set()
        super().__init__({"n": widgets.IntSlider(2, min=1, max=9, continuous_update=False)})

    def render(self, params):
        self.drawn.append(params["n"])
        if params["n"] == 9:
            raise ValueError("9 is <too> many")
        if params["n"] == 8:
            self.wait.wait(10)
        return plots.matrix(np.full((2, 2), params["n"]))

    def describe(self, params):
        return f"<i>{params['n']}</i> & squares"


def test_a_move_changes_picture_and_status() -> None:
    explorer = Squares()
    before = explorer.picture.value
    explorer.controls["n"].value = 3
    assert explorer.picture.value != before
    assert explorer.picture.value.startswith('<img alt="&lt;i&gt;3&lt;/i&gt; &amp; squares"')
    assert "&lt;i&gt;3&lt;/i&gt; &amp; squares <i>(drawn in" in explorer.status.value


def test_the_line_that_is_spoken_stays_and_only_its_words_change() -> None:
    explorer = Squares()
    line = explorer.status
    assert isinstance(line, StatusLine) and line in explorer.widget.children
    explorer.controls["n"].value = 3
    assert explorer.status is line and "3" in line.value and "role=" not in line.value
    assert line._esm.count('createElement("p")') == 1 and '"role", "status"' in line._esm


def test_what_was_drawn_is_gone_after_the_move_and_old_objects_are_left_alone(monkeypatch) -> None:
    explorer, figures, collected = Squares(), [], []

    def drawing(params, render=explorer.render):
        figure = render(params)
        figures.append(weakref.ref(figure))
        return figure

    def noting(phase, info):
        collected.append(info["generation"])

    monkeypatch.setattr(explorer, "render", drawing)
    gc.callbacks.append(noting)
    try:
        for n in (3, 4, 5, 6):
            explorer.controls["n"].value = n
    finally:
        gc.callbacks.remove(noting)
    assert [figure() for figure in figures] == [None] * 4
    assert gc.isenabled() and 1 in collected and 2 not in collected


def test_a_move_leaves_garbage_collection_off_where_it_was_off() -> None:
    explorer = Squares()
    gc.disable()
    try:
        explorer.controls["n"].value = 3
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_picture_is_kept() -> None:
    explorer = Squares()
    first = explorer.picture.value
    for n in (3, 2, 3, 2):
        explorer.controls["n"].value = n
    assert explorer.drawn == [2, 3]
    assert explorer.picture.value == first
    assert "shown again" in explorer.status.value


def test_an_error_is_a_sentence_and_no_other_picture_stands_below() -> None:
    explorer = Squares()
    before = explorer.picture.value
    explorer.controls["n"].value = 9
    assert "ValueError: 9 is &lt;too&gt; many" in explorer.status.value
    assert explorer.picture.value == ""
    explorer.controls["n"].value = 4
    assert "4" in explorer.status.value
    assert explorer.picture.value != before


def test_the_last_of_two_moves_wins() -> None:
    explorer = Squares()
    explorer.wait.clear()
    slow = threading.Thread(target=lambda: setattr(explorer.controls["n"], "value", 8))
    slow.start()
    deadline = time.monotonic() + 10
    while 8 not in explorer.drawn and time.monotonic() < deadline:
        time.sleep(0.01)
    explorer.controls["n"].value = 5  # while 8 is still being drawn
    explorer.wait.set()
    slow.join(10)
    assert explorer.drawn[-2:] == [8, 5]
    assert 'alt="&lt;i&gt;5' in explorer.picture.value
    assert "5" in explorer.status.value


def each_explorer(shop: mm.MultimodalDataset) -> list[Explorer]:
    return [neighbours(shop), LossExplorer()]


def test_drawing_is_pure(shop: mm.MultimodalDataset) -> None:
    for explorer in each_explorer(shop):
        params = explorer.params
        first, shown = plots.png(explorer.render(params)), explorer.picture.value
        for name, control in explorer.controls.items():
            if hasattr(control, "max"):
                control.value = control.max
            assert explorer.params[name] == control.value
        assert explorer.picture.value != shown
        assert plots.png(explorer.render(params)) == first


def test_every_control_has_a_label_and_waits_for_the_release(shop: mm.MultimodalDataset) -> None:
    for explorer in each_explorer(shop):
        for name, control in explorer.controls.items():
            assert control.description, name
            assert not getattr(control, "continuous_update", False), name


@pytest.mark.parametrize("norm", ["sym", "row"])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_table_holds_the_graph_of_every_k(norm: str, self_loops: bool, k: int) -> None:
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
    x[4] = 0  # an item without the modality
    table = NearestTable(x, 7, self_loops, norm)
    expected = normalize_graph(knn_graph(x, k, self_loops), norm).to_dense()
    got = torch.zeros(30, 30)
    for item in range(30):
        for other, weight in table.row(item, k).items():
            got[item, other] = weight
    assert torch.allclose(got, expected, atol=1e-6)
    with pytest.raises(ValueError, match="between 1 and"):
        table.row(0, 8)


def test_neighbours_are_searched_as_the_model_searches(shop: mm.MultimodalDataset, monkeypatch) -> None:
    asked = []

    def noting(x, k, self_loops=True, method="exact"):
        asked.append(method)
        return knn_graph(x, k, self_loops)

    monkeypatch.setattr("mmrec_lite.explorers.neighbours.knn_graph", noting)
    model = mm.create("micro", mm.split(shop, "ratio", seed=0), search="approximate", dim=8, k=3)
    NeighboursExplorer(model, shop, k_max=5)
    assert asked == ["approximate"] * 4  # raw and learned, of two modalities


def test_the_mixture_is_that_of_the_model(shop: mm.MultimodalDataset) -> None:
    explorer = neighbours(shop)
    model = mm.create("micro", mm.split(shop, "ratio", seed=0), k=3, lam=0.4, seed=0)
    mixed = model.item_graphs("text")["mixed"].to_dense().numpy()
    for item in range(shop.n_items):
        row = explorer.rows({"item": item, "modality": "text", "k": 3, "lam": 0.4})[2]
        assert np.allclose(row.weights, mixed[item, row.items], atol=1e-6)
        assert (mixed[item] > 0).sum() == len(row.items) + (mixed[item, item] > 0)


def test_an_item_is_picked_by_picture_title_or_number(shop: mm.MultimodalDataset) -> None:
    explorer = neighbours(shop, shelf=3)
    shelf = explorer.widget.children[1].children[1]
    assert [entry["title"] for entry in shelf.entries] == ["thing 0", "thing 1", "thing 2"]
    assert all(entry["source"].startswith("data:image/png;base64,") for entry in shelf.entries)
    for _ in range(2):  # a second time, too
        shelf.clicked = 2
        assert explorer.params["item"] == 2 and shelf.clicked == -1
        explorer.controls["item"].value = 3
    explorer.search.value = "thing 7 · 7"
    assert explorer.params["item"] == 7
    assert explorer.search.value == ""
    explorer.search.value = "no such thing"
    assert explorer.params["item"] == 7 and explorer.search.value == ""
    assert explorer.search.placeholder == "no title holds “no such thing”; type a word of a title"
    for words, item in (("8", 8), ("ING 1", 1), ("thing 3 · 3", 3), ("thing", 0)):  # words of a title, no numbers
        explorer.search.value = words
        assert explorer.params["item"] == item and explorer.search.placeholder == "type a word of a title"
    for words in ("²", "· 12", "· ²", "· " + "1" * 5000):
        explorer.search.value = words
        assert explorer.params["item"] == 0 and explorer.search.placeholder.startswith("no title holds")
    explorer.controls["item"].value = 5
    assert 'alt="thing 5: image graph, k = 3' in explorer.picture.value


def test_lambda_one_shows_the_raw_graph_alone(shop: mm.MultimodalDataset) -> None:
    explorer = neighbours(shop)
    for lam, same in ((1.0, 0), (0.0, 1)):
        rows = explorer.rows({"item": 0, "modality": "image", "k": 4, "lam": lam})
        assert rows[2].items == rows[same].items
        assert np.allclose(rows[2].weights, rows[same].weights)


def test_titles_are_escaped(tmp_path: Path) -> None:
    title = '<img src=x onerror="alert(1)">'
    shop = make_shop(tmp_path, [f"{title} {i}" for i in range(12)])
    explorer = neighbours(shop)
    for text in (explorer.picture.value, explorer.status.value):
        assert "<img src=x" not in text
        assert html.escape(title) in text


def test_loss_and_rows_agree_with_the_library() -> None:
    explorer = LossExplorer(seed=3)
    for temperature in (0.02, 0.5, 3.0):
        for symmetric in (True, False):
            params = {"temperature": temperature, "negatives": 4, "symmetric": symmetric, "anchor": 2}
            state = explorer.state(params)
            assert state.per_row.mean() == pytest.approx(state.loss, rel=1e-9)
            assert np.allclose(state.softmax.sum(axis=1), 1)
            assert np.allclose((state.pull[0] * state.view).sum(axis=1), 0, atol=1e-9)  # a pull never changes lengths
            assert f"loss {state.loss:.3f}" in explorer.describe(params)


def test_points_that_cannot_be_told_apart_have_the_loss_of_chance() -> None:
    same = np.tile([1.0, 0.0], (5, 1))
    state = InfoNCE.of(same, same, 0.5, True)
    assert state.loss == pytest.approx(state.uninformed)
    assert np.abs(state.pull).max() < 1e-12


def test_the_items_there_are_are_those_to_look_at() -> None:
    explorer = LossExplorer()
    anchor = explorer.controls["anchor"]
    assert anchor.max == 8
    anchor.value = 8
    explorer.controls["negatives"].value = 2
    assert (anchor.value, anchor.max) == (3, 3)
    assert "Item 3 gives" in explorer.status.value and "drawn in" in explorer.status.value
    explorer.controls["negatives"].value = 11
    assert (anchor.value, anchor.max) == (3, 12) and "12 items" in explorer.status.value


def test_the_words_over_the_bars_stand_on_white() -> None:
    explorer = LossExplorer()
    words = {text.get_text().split()[0]: text for text in explorer.render(explorer.params).axes[3].texts}
    assert all(words[name].get_bbox_patch().get_facecolor()[:3] == (1, 1, 1) for name in ("mean", "chance"))


def test_an_explorer_s_controls_share_no_layout() -> None:
    controls = LossExplorer().controls.values()
    assert len({control.layout.model_id for control in controls}) == len(controls)


def test_words_are_made_once_a_move() -> None:
    explorer, said = Squares(), []
    describe = explorer.describe
    explorer.describe = lambda params: said.append(1) or describe(params)
    for n in (3, 2, 3):
        explorer.controls["n"].value = n
    assert len(said) == 1, "2 was there before, 3 comes back"


def test_only_some_titles_are_sent_and_all_are_found(shop: mm.MultimodalDataset, monkeypatch) -> None:
    monkeypatch.setattr("mmrec_lite.explorers.picking.OFFERED", 4)
    explorer = neighbours(shop)
    assert len(explorer.search.options) == 4
    explorer.search.value = "thing 11"
    assert explorer.params["item"] == 11


def test_what_a_control_cannot_hold_is_refused(shop: mm.MultimodalDataset) -> None:
    wrong = [
        (lambda: neighbours(shop, item=12), r"item = 12 is outside 0 to 11"),
        (lambda: LossExplorer(temperature=0.001), r"LossExplorer: temperature = 0.001 is outside 0.01 to 3.16"),
        (lambda: LossExplorer(negatives=12), r"negatives = 12 is outside 1 to 11"),
        (lambda: LossExplorer().static(anchor=12), r"LossExplorer.static: anchor = 12 is outside 1 to 8"),
        (lambda: explorers.AlignmentExplorer(items=9), r"items = 9 is outside 2 to 8"),
        (lambda: explorers.OrderExplorer(form="x"), r"form = 'x' is unknown; choose one of printed, bounded, infonce"),
        (lambda: explorers.OrderExplorer(scale=9), r"scale = 9 is outside 0.25 to 8"),
        (lambda: explorers.FeaturesExplorer(shop, n=11), r"n = 11 is outside 1 to 10"),
        (lambda: neighbours(shop).static(modality="sound"), r"'sound' is unknown; choose one of image, text"),
        (lambda: neighbours(shop).static(-1), r"item = -1 is outside 0 to 11"),
    ]
    for make, words in wrong:
        with pytest.raises(ValueError, match=words):
            make()


def test_data_of_other_items_than_the_model_s_are_refused(shop: mm.MultimodalDataset) -> None:
    model = mm.create("micro", mm.split(tiny_shop(), "ratio", seed=0), k=3, seed=0)
    with pytest.raises(ValueError, match="the model knows 30 items, data set 'small' has 12; give the data set"):
        NeighboursExplorer(model, shop)


def test_without_self_loops_no_slider_counts_the_item_itself(shop: mm.MultimodalDataset) -> None:
    model = mm.create("micro", mm.split(shop, "ratio", seed=0), k=3, seed=0, self_loops=False)
    assert NeighboursExplorer(model, shop).controls["k"].description == "k, neighbours"
    assert neighbours(shop).controls["k"].description == "k, with itself"


def test_static_twins_show_more_than_one_setting(shop: mm.MultimodalDataset) -> None:
    few, more = (LossExplorer().static(temperatures) for temperatures in ((0.1,), (0.1, 1.0)))
    assert (len(few.axes), len(more.axes)) == (2, 4)
    explorer = neighbours(shop)
    heights = [explorer.static(0, lams=lams).get_figheight() for lams in ((1,), (1, 0.5, 0))]
    assert heights[1] > 2 * heights[0]
    assert plots.png(explorer.static(0)) != plots.png(explorer.static(1))


def test_a_static_twin_of_a_model_with_more_neighbours_than_are_held(shop: mm.MultimodalDataset) -> None:
    model = mm.create("micro", mm.split(shop, "ratio", seed=0), k=9, seed=0)
    explorer = NeighboursExplorer(model, shop, k_max=6)
    assert plots.png(explorer.static(0)) == plots.png(explorer.static(0, k=6)) != plots.png(explorer.static(0, k=5))
    with pytest.raises(ValueError, match="holds the 6 nearest; k = 9"):
        explorer.static(0, k=9)


def test_what_cannot_be_drawn_leaves_no_other_picture_behind() -> None:
    """The words said item 3, the picture and its description were item 0's."""
    shop = mask_modalities(tiny_shop(), 0.3, modalities="image", seed=0)
    lacks = int(np.flatnonzero(~shop.present["image"])[0])
    explorer = explorers.FeaturesExplorer(shop, item=int(np.flatnonzero(shop.present["image"])[0]))
    assert explorer.picture.value.startswith("<img")
    explorer.controls["item"].value = lacks
    assert "Not drawn" in explorer.status.value and explorer.picture.value == ""


def test_what_was_shown_first_stays_known() -> None:
    """The words of a picture for a page must not follow the sliders: it does not either."""
    explorer = explorers.LossExplorer()
    words, first = explorer.describe(explorer.initial), plots.png(explorer.static())
    explorer.controls["negatives"].value = 3
    assert explorer.describe(explorer.initial) == words != explorer.describe(explorer.params)
    assert plots.png(explorer.static()) == first
