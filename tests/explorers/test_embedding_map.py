"""The embedding map: what it draws, where its points are, what waits for UMAP."""

from __future__ import annotations

import html
import threading
import time

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.maps import Frame, align, pca_map
from mmrec_lite.probes import linear_probe
from tests.test_plots import make_shop

explorers = pytest.importorskip("mmrec_lite.explorers")


@pytest.fixture
def shop(tmp_path):
    titles = [f"<b>thing</b> & {i}" for i in range(12)]
    return make_shop(tmp_path, titles)


def frames(seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    spaces = [
        {"a": rng.normal(size=(12, 4)), "b": rng.normal(size=(12, 4)), "wide": rng.normal(size=(12, 6))}
        for _ in range(3)
    ]
    return [Frame(f"epoch {n}", s, {"image": rng.random(12)}) for n, s in enumerate(spaces)]


@pytest.fixture
def explorer(shop):
    return explorers.EmbeddingMapExplorer(frames(), shop, np.arange(12), shown=("a", "b"), item=3)


def test_every_control_changes_picture_and_words_and_drawing_is_pure(explorer):
    params = explorer.params
    first, seen = plots.png(explorer.render(params)), {explorer.picture.value}
    changes = [("item", 5), ("left", "b"), ("colour", "popularity"), ("colour", "attention: image"), ("moment", 0)]
    for name, value in [*changes, ("right", "a"), ("fit", "a fit each, turned"), ("right", "wide")]:
        explorer.controls[name].value = value
        until(lambda: explorer.picture.value not in seen)  # probes of another moment come a little later
        until(lambda: "being measured" not in explorer.status.value)
        assert "Not drawn" not in explorer.status.value, name
        seen.add(explorer.picture.value)
    assert "epoch 0" in explorer.status.value and "wide" in explorer.status.value
    assert plots.png(explorer.render(params)) == first
    for name, control in explorer.controls.items():
        assert control.description, name
        assert not getattr(control, "continuous_update", False), name


def test_widths_that_differ_need_a_fit_each(explorer):
    explorer.controls["right"].value = "wide"
    assert "one fit for all needs one width" in explorer.status.value
    explorer.controls["fit"].value = "a fit each, turned"
    assert "Not drawn" not in explorer.status.value


def test_earlier_moments_are_turned_onto_the_last(explorer):
    params, every = explorer.params, frames()
    both = [np.concatenate([f.spaces["a"], f.spaces["b"]]) for f in every]
    np.testing.assert_allclose(np.concatenate(explorer.maps(params)), pca_map(both[2])[0])
    expected = align(pca_map(both[0])[0], pca_map(both[2])[0], same_size=True)[0]
    np.testing.assert_allclose(np.concatenate(explorer.maps(params | {"moment": 0})), expected)


def test_points_are_where_matplotlib_draws_them(explorer):
    figure = explorer.render(explorer.params)
    plots.png(figure)
    got = np.frombuffer(explorer.picture.points, dtype=np.float32).reshape(2, 12, 2)
    width, height = figure.bbox.width, figure.bbox.height
    for ax, points, places in zip(figure.axes, explorer.maps(explorer.params), got, strict=False):
        drawn = ax.transData.transform(points)
        np.testing.assert_allclose(places[:, 0] * width, drawn[:, 0], atol=0.01)
        np.testing.assert_allclose((1 - places[:, 1]) * height, drawn[:, 1], atol=0.01)


def test_the_pointer_shows_an_item_and_a_click_chooses_it(explorer):
    explorer.picture.hovered = 12 + 4  # item 4 in the right map
    assert "&lt;b&gt;thing&lt;/b&gt; &amp; 4 · 4" in explorer.preview.value and "<img" in explorer.preview.value
    explorer.picture.hovered = -1
    assert "4 · 4" in explorer.preview.value
    explorer.picture.clicked = 7
    assert explorer.params["item"] == 7
    assert "&lt;b&gt;thing&lt;/b&gt; &amp; 7" in explorer.status.value
    assert "<b>thing" not in explorer.status.value + explorer.picture.value


def test_pca_is_shown_until_umap_is_ready(explorer, monkeypatch):
    laid = np.random.default_rng(5).normal(size=(24, 2))
    monkeypatch.setattr("mmrec_lite.maps.umap_map", lambda x, seed: time.sleep(0.5) or laid)
    before = explorer.picture.value
    explorer.controls["projection"].value = "UMAP"
    assert "UMAP is being laid out, PCA until then" in explorer.status.value
    assert explorer.picture.value.split("src=")[1] == before.split("src=")[1]
    end = time.monotonic() + 10
    while "until then" in explorer.status.value and time.monotonic() < end:
        time.sleep(0.02)
    assert explorer.status.value.count("UMAP") == 1 and "until then" not in explorer.status.value
    pca = np.concatenate(explorer.maps(explorer.params | {"projection": "PCA"}))
    np.testing.assert_allclose(np.concatenate(explorer.maps(explorer.params)), align(laid, pca, same_size=True)[0])


def until(said, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not said() and time.monotonic() < end:
        time.sleep(0.02)
    assert said()


@pytest.mark.parametrize("error", [RuntimeError("no <room>"), ModuleNotFoundError("No module named '<umap>'")])
def test_a_umap_that_fails_is_said(explorer, monkeypatch, error):
    tried = []

    def fails(x, seed):
        tried.append(x)
        raise error

    monkeypatch.setattr("mmrec_lite.maps.umap_map", fails)
    before, why = explorer.picture.value, html.escape(f"UMAP failed ({type(error).__name__}: {error}), PCA shown")
    explorer.controls["projection"].value = "UMAP"
    until(lambda: why in explorer.status.value)
    said = html.unescape(explorer.picture.value.split('alt="')[1].split('"')[0])
    assert said.startswith(html.unescape(why)) and "until then" not in explorer.status.value + said
    assert explorer.picture.value.split("src=")[1] == before.split("src=")[1]
    explorer.controls["item"].value = 5  # the same layout: not tried again
    assert why in explorer.status.value and "until then" not in explorer.status.value and len(tried) == 1
    explorer.controls["moment"].value = 0  # another
    until(lambda: why in explorer.status.value)
    assert len(tried) == (1 if isinstance(error, ImportError) else 2)  # what is missing is missing for every layout
    explorer.controls["projection"].value = "PCA"
    until(lambda: "UMAP" not in explorer.status.value)
    with pytest.raises(type(error)):  # a page gets no PCA under UMAP's name
        explorer.static("UMAP", moment=0)


def test_two_explorers_lay_out_one_umap_at_a_time(shop, monkeypatch):
    at_once, most = [], []

    def layout(x, seed):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.1)
        at_once.pop()
        return pca_map(x)[0]

    monkeypatch.setattr("mmrec_lite.maps.umap_map", layout)
    both = [explorers.EmbeddingMapExplorer(frames(), shop, shown=("a", "b")) for _ in range(2)]
    for one in both:
        one.controls["projection"].value = "UMAP"
    until(lambda: not any("until then" in one.status.value for one in both))
    assert most == [1, 1]


def test_the_static_twin_has_a_row_a_colour(explorer):
    one, two = (explorer.static(colours=c).get_figheight() for c in (["category"], ["category", "popularity"]))
    assert two == 2 * one


def test_the_shop_brings_its_planted_factors():
    shop = mm.load("bazaar")
    split = mm.split(shop, "ratio", seed=0)
    model = mm.create("micro", split, profile="lecture", seed=0)
    explorer = explorers.EmbeddingMapExplorer(Frame.of(model), shop, split.train_counts, shown=("image", "text"))
    options = explorer.controls["colour"].options
    assert {"category", "hue", "brand", "popularity", "attention: text"} <= set(options)
    assert explorer.controls["moment"].disabled
    assert "probes read category" in explorer.status.value


def test_data_that_plant_nothing_are_mapped_without_probes(shop):
    plain = shop.replace(items=shop.items.drop(columns="category"))
    bare = [Frame(frame.label, frame.spaces, {}) for frame in frames()]
    explorer = explorers.EmbeddingMapExplorer(bare, plain, shown=("a", "b"))
    assert "Not drawn" not in explorer.status.value and "probes read nothing" in explorer.status.value
    explorer.controls["item"].value = 2
    assert "Chosen: &lt;b&gt;thing&lt;/b&gt; &amp; 2" in explorer.status.value


def test_an_item_without_a_label_has_none_and_the_others_keep_theirs_whole(shop):
    labels = ["mug", "hat", None, *["mug", "hat", "teapot"] * 3]
    holed = shop.replace(items=shop.items.assign(category=labels))
    explorer = explorers.EmbeddingMapExplorer(frames(), holed, shown=("a", "b"))
    assert explorer.factors["category"].tolist() == [label or "" for label in labels]
    known = np.array([label is not None for label in labels])
    expected = linear_probe(explorer.frames[2].spaces["a"][known], [label for label in labels if label], folds=3)
    assert explorer.probes(2, "a")["category"] == expected
    figure = explorer.render(explorer.params)
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert {"hat", "mug", "teapot", "others"} <= set(words) and "" not in words


def test_probes_of_another_moment_are_measured_in_the_background(explorer, monkeypatch):
    go_on, measured = threading.Event(), []

    def slow(*given):
        assert go_on.wait(10)
        measured.append(1)
        return linear_probe(*given)

    monkeypatch.setattr("mmrec_lite.explorers.embedding_map.linear_probe", slow)
    explorer.controls["moment"].value = 0
    assert "epoch 0" in explorer.status.value and explorer.status.value.count("probes are being measured") == 2
    waiting = explorer.picture.value
    go_on.set()
    until(lambda: "being measured" not in explorer.status.value)
    assert explorer.status.value.count("probes read category") == 2 and explorer.picture.value != waiting
    assert len(measured) == 2
    explorer.controls["item"].value = 5
    assert len(measured) == 2 and "being measured" not in explorer.status.value


def test_a_probe_that_fails_in_the_background_is_said(explorer, monkeypatch):
    def fails(*_):
        raise ValueError("no <probe>")

    monkeypatch.setattr("mmrec_lite.explorers.embedding_map.linear_probe", fails)
    explorer.controls["moment"].value = 1
    until(lambda: "ValueError: no &lt;probe&gt;" in explorer.status.value)


def test_what_is_not_of_these_items_is_refused(shop, explorer):
    short = [Frame("now", {"a": np.zeros((11, 3))}, {})]
    wrong = [
        (([],), {}, "there is no frame; give Frame.of"),
        ((short,), {}, r"frame 'now', a has 11 rows, data set 'small' 12 items; give the data set"),
        ((frames(), shop, np.arange(13)), {}, "counts has 13 rows"),
        ((frames(),), {"factors": {"hue": np.arange(3)}}, "factor 'hue' has 3 rows"),
        ((frames(),), {"shown": ("a", "c")}, "shown = 'c' is unknown; choose one of a, b, wide"),
        ((frames(),), {"item": 12}, "item = 12 is outside 0 to 11"),
    ]
    for given, options, words in wrong:
        with pytest.raises(ValueError, match=words):
            explorers.EmbeddingMapExplorer(given[0], shop, *given[2:], **options)
    for changes, words in (
        ({"momnet": 1}, "parameter = 'momnet' is unknown; choose one of item, left"),
        ({"left": "c"}, "left = 'c' is unknown"),
        ({"moment": 3}, "moment = 3 is outside 0 to 2"),
        ({"colours": ["hue"]}, "colour = 'hue' is unknown; choose one of category"),
    ):
        with pytest.raises(ValueError, match=words):
            explorer.static(**changes)


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ("aaaabbbbccde", "aaaabbbboooo"),  # rare ones are one label
        ("aaaaabbbbbbc", "ooooobbbbbbo"),  # too few even together: the next label joins
        ("abcdefghijkl", None),
        ("aaaaaaaaaaaa", None),
    ],
)
def test_rare_labels_are_probed_as_one_and_coloured_as_they_are(shop, labels, read):
    rare = shop.replace(items=shop.items.assign(category=list(labels)))
    explorer = explorers.EmbeddingMapExplorer(frames(), rare, shown=("a", "b"))
    assert "Not drawn" not in explorer.status.value
    probes = explorer.probes(2, "a")
    if read is None:
        assert len(probes) == 0 and "probes read nothing" in explorer.status.value
    else:
        assert probes["category"] == linear_probe(explorer.frames[2].spaces["a"], list(read))
    assert explorer.params["colour"] == "category" and list(explorer.factors["category"]) == list(labels)


def test_a_dot_can_be_clicked_again(explorer):
    explorer.picture.clicked = 7
    explorer.controls["item"].value = 2
    explorer.picture.clicked = 7
    assert explorer.params["item"] == 7


def test_in_the_key_of_colours_no_word_reaches_the_next_marker():
    labels = np.array(["backpack", "hat", "lamp", "mug", "teapot", "umbrella", "vase", "chair"])[np.arange(40) % 8]
    points = np.random.default_rng(0).normal(size=(40, 2))
    panels, scores = [plots.MapPanel("a", points, labels)] * 2, pd.Series({"hue": 0.5})
    figure = plots.map_sheet(panels, "category", {"a": scores, "b": scores}, 0, np.zeros((9, 9, 3)), "a hat")
    plots.png(figure)
    key = next(ax for ax in figure.axes if any(text.get_text() == "others" for text in ax.texts))
    words = [text.get_window_extent() for text in key.texts]  # the first says what is coloured
    markers = [key.transData.transform(line.get_xydata()[0])[0] for line in key.lines]
    assert len(words) == len(markers) + 1 == 9
    assert all(word.x1 + 15 < marker for word, marker in zip(words, markers, strict=False))
    assert words[-1].x1 < figure.bbox.width


def test_long_words_in_the_key_stand_in_two_rows_and_end_in_dots():
    names = ["Musical Instruments", "Grocery & Gourmet Food", "Cell Phones & Accessories", "Tools & Home Improvement"]
    names += ["Clothing, Shoes & Jewelry", "Patio, Lawn & Garden", "Arts, Crafts & Sewing", "Office Products"]
    points = np.random.default_rng(0).normal(size=(40, 2))
    panels = [plots.MapPanel("a", points, np.array(names)[np.arange(40) % 8])] * 2
    figure = plots.map_sheet(panels, "category", {"a": pd.Series({"hue": 0.5})}, 0, np.zeros((9, 9, 3)), "a hat")
    plots.png(figure)
    key = next(ax for ax in figure.axes if any(text.get_text() == "others" for text in ax.texts))
    boxes = [text.get_window_extent() for text in key.texts]
    assert not any(one.overlaps(other) for n, one in enumerate(boxes) for other in boxes[:n])
    markers = [key.transData.transform(line.get_xydata()[0]) for line in key.lines]
    assert not any(box.contains(*marker) for box in boxes for marker in markers)
    assert sum(text.get_text().endswith("…") for text in key.texts) >= 6
    others = [line.get_color() for line in (figure.axes[0].lines[0], key.lines[-1])]
    assert others[0] == others[1]
