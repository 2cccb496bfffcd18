"""Figures: each draws, says what it shows, and leaves pyplot alone."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from mmrec_lite import plots
from mmrec_lite.data import DataError, MultimodalDataset, split
from mmrec_lite.graphs import knn_graph, normalize_graph
from mmrec_lite.plots.data import HistoryRow
from mmrec_lite.plots.recommendations import HIT
from mmrec_lite.training import History

EPOCHS = [
    {"stage": "joint", "epoch": e, "bpr": 0.7 / e, "contrast": 0.2, "loss": 0.9, "valid recall@20": min(e, 3) / 10,
     "lr": 1e-3, "seconds": 0.1}
    for e in range(1, 6)
]  # fmt: skip


def make_shop(folder: Path, titles: list[str] | None = None) -> MultimodalDataset:
    """Twelve items of three colours, the last one without a picture."""
    rng = np.random.default_rng(0)
    for i in range(11):
        Image.new("RGB", (96, 96) if i else (200, 50), ("red", "green", "blue")[i % 3]).save(folder / f"{i}.png")
    items = pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(12)],
            "title": titles or [f"thing {i}" for i in range(12)],
            "category": [("a", "b", "c")[i % 3] for i in range(12)],
            "image": [*(f"{i}.png" for i in range(11)), ""],
        }
    )
    pairs = pd.DataFrame({"user": np.repeat(np.arange(6), 4), "item": (np.arange(24) * 5) % 12})
    return MultimodalDataset(
        name="small",
        users=pd.DataFrame({"user_id": list("abcdef")}),
        items=items,
        interactions=pairs,
        features={name: rng.standard_normal((12, 5)).astype(np.float32) for name in ("image", "text")},
        image_root=folder,
    )


@pytest.fixture
def shop(tmp_path: Path) -> MultimodalDataset:
    return make_shop(tmp_path)


def pixels(figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(plots.png(figure))).convert("RGB"))


def some_figure():
    return plots.matrix([[1.0, -0.5], [np.nan, 0.0]], ["a", "b"], ["c", "d"], title="cosines")


def every_figure(shop: MultimodalDataset) -> dict[str, object]:
    runs = pd.DataFrame({"label": ["a", "a", "b"], "recall@20": [0.1, 0.2, 0.3]})
    rows = [
        plots.NeighbourRow("raw", [1, 11], {"raw": [0.2, 0.1]}),
        plots.NeighbourRow("many", list(range(1, 12)), {"raw": [0.1] * 11, "learned": [0.05] * 11}, "note"),
        plots.NeighbourRow("none", [], {"raw": []}),
    ]
    return {
        "training": plots.training_curves(History(EPOCHS)),
        "two runs": plots.training_curves({"a": History(EPOCHS), "b": pd.DataFrame(EPOCHS).drop(columns="contrast")}),
        "points": plots.method_points(runs, references={"floor": 0.0}),
        "intervals": plots.method_points(runs.assign(low=0.0, high=0.4)),
        "popularity": plots.popularity_curve({"items": [9, 5, 2, 1, 1, 0]}),
        "matrix": some_figure(),
        "shelf": plots.shelf(shop, [0, 1, 11], columns=2),
        "neighbours": plots.neighbour_panel(shop, 0, rows),
    }


def test_every_figure_draws_the_same_twice_and_is_not_blank(shop: MultimodalDataset) -> None:
    again = every_figure(shop)
    for name, figure in every_figure(shop).items():
        drawn = pixels(figure)
        assert (drawn < 200).any(), name
        assert np.array_equal(drawn, pixels(again[name])), name


def test_points_of_a_study_name_its_metric() -> None:
    rows = pd.DataFrame({"label": ["a", "b"], "value": [0.1, 0.2], "metric": "recall@20"})
    assert plots.method_points(rows, "value").axes[0].get_xlabel() == "recall@20"
    assert plots.method_points(rows.drop(columns="metric"), "value").axes[0].get_xlabel() == "value"
    assert plots.method_points(rows, "value", x="recall@20, 95 %").axes[0].get_xlabel() == "recall@20, 95 %"


@pytest.mark.filterwarnings("error")
def test_a_run_that_failed_leaves_the_others_their_point() -> None:
    rows = pd.DataFrame({"label": ["a", "a", "a", "b"], "recall@20": [0.1, np.nan, 0.3, np.nan]})
    rows = rows.assign(low=rows["recall@20"] - 0.05, high=rows["recall@20"] + 0.05)
    for part in (rows, rows.drop(columns=["low", "high"])):
        ax = plots.method_points(part).axes[0]
        assert [text.get_text() for text in ax.texts] == ["0.200"] and ax.texts[0].xy == pytest.approx((0.2, 0))
        assert list(ax.lines[0].get_xdata()) == [0.1, 0.3]
        assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_a_panel_is_a_term_or_the_metric() -> None:
    axes = plots.training_curves(History(EPOCHS)).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["bpr", "contrast", "valid recall@20"]
    best = axes[-1].lines[-1]
    assert best.get_marker() == "*"
    assert list(best.get_xdata()) == [3]  # the first epoch that reached the best value


def test_stages_stand_one_after_the_other() -> None:
    second = [row | {"stage": "tune", "epoch": i + 1} for i, row in enumerate(EPOCHS[:2])]
    ax = plots.training_curves(pd.DataFrame(EPOCHS + second)).axes[0]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert list(ax.lines[1].get_xdata()) == [5.5, 5.5]


def test_only_borders_that_all_runs_share_are_drawn() -> None:
    def run(*stages: tuple[str, int]) -> pd.DataFrame:
        rows = [row | {"stage": name} for name, epochs in stages for row in EPOCHS[:epochs]]
        return pd.DataFrame(rows)

    def borders(runs: dict[str, pd.DataFrame]) -> list[float]:
        lines = plots.training_curves(runs).axes[0].lines
        return [line.get_xdata()[0] for line in lines if line.get_linestyle() == "--"]

    whole = run(("a", 2), ("b", 3), ("c", 2))
    assert borders({"one": whole, "same": run(("a", 2), ("b", 3), ("c", 1))}) == [2.5, 5.5]
    assert borders({"one": whole, "stopped": run(("a", 2), ("b", 1), ("c", 5))}) == [2.5]
    assert borders({"one": whole, "other": run(("a", 1), ("b", 4), ("c", 2))}) == [5.5]
    assert borders({"one": whole, "short": run(("c", 4))}) == []


def test_an_empty_history_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="no epoch; train first"):
        plots.training_curves(History())


def test_a_row_of_a_graph_is_sorted_and_without_itself() -> None:
    x = np.random.default_rng(1).standard_normal((9, 4))
    graph = normalize_graph(knn_graph(torch.from_numpy(x), 5))
    dense = graph.to_dense().numpy()
    row = plots.NeighbourRow.of("raw", graph, 3, "raw")
    assert 3 not in row.items
    assert np.allclose(row.weights, dense[3, row.items])
    assert list(row.weights) == sorted(row.weights, reverse=True)
    assert row.note == f"itself {dense[3, 3]:.3f}"
    assert len(row.items) == (dense[3] > 0).sum() - 1


def test_a_long_title_ends_in_dots(shop: MultimodalDataset) -> None:
    figure = plots.shelf(shop, [0, 1], ["a hand-painted teapot of the finest recycled bone china", "a cup"])
    long, short = (text.get_text() for text in figure.axes[0].texts)
    assert long.endswith("…") and long.count("\n") == 2 and max(map(len, long.split("\n"))) <= 15
    assert short == "a cup"


def test_pictures_keep_their_shape_and_a_missing_one_is_grey(shop: MultimodalDataset) -> None:
    wide, square, missing = plots.item_pictures(shop, [0, 1, 11])
    assert (wide[48, 48] == (255, 0, 0)).all()
    assert (wide[10, 48] == 232).all()  # 200 x 50 stays four times as wide as high
    assert (square[0, 0] == (0, 128, 0)).all()
    assert (missing == 232).all()


def test_a_picture_that_cannot_be_read_is_a_grey_tile(shop: MultimodalDataset) -> None:
    (shop.image_root / "1.png").write_bytes(b"not a picture")
    (shop.image_root / "2.png").unlink()
    broken, gone, whole = plots.item_pictures(shop, [1, 2, 3])
    assert (broken == 232).all() and (gone == 232).all() and (whole == (255, 0, 0)).all()
    plots.neighbour_panel(shop, 1, [plots.NeighbourRow("raw", [2, 3], {"raw": [0.2, 0.1]})])
    with pytest.raises(DataError, match=r"there is no item -1"):
        plots.item_pictures(shop, [-1])


def test_pictures_are_upright_on_white_and_scaled_from_16_bits(shop: MultimodalDataset) -> None:
    Image.new("RGBA", (96, 96), (0, 0, 0, 0)).save(shop.image_root / "1.png")
    Image.fromarray(np.full((96, 96), 32768, dtype=np.uint16)).save(shop.image_root / "2.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: the camera was held upright
    Image.new("RGB", (96, 24), "red").save(shop.image_root / "3.png", exif=turned)
    clear, grey, upright = plots.item_pictures(shop, [1, 2, 3])
    assert (clear == 255).all() and (grey == 128).all()
    assert (upright[4, 48] == (255, 0, 0)).all() and (upright[48, 4] == 232).all()


def test_items_without_a_category_share_none(shop: MultimodalDataset) -> None:
    shop = shop.replace(items=shop.items.assign(category=["", "", "a", None, *["a"] * 8]))
    for item in (0, 3):
        figure = plots.neighbour_panel(shop, item, [plots.NeighbourRow("raw", [1, 2, 3], {"raw": [0.3, 0.2, 0.1]})])
        words = [text.get_text() for text in figure.axes[0].texts]
        assert any("0 of 3 same category" in word for word in words) and "0.300 ✓" not in words


def test_titles_with_signs_are_drawn_as_they_are(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, ["$5 & <b>a_b^c$", "  ", *(f"t{i}" for i in range(10))])
    plots.png(plots.shelf(shop, [0, 1]))
    assert plots.item_title(shop, 1) == "i1"


def test_an_alternative_text_is_escaped_and_required() -> None:
    shown = plots.show(some_figure(), '"><script>alert(1)</script>\n two   lines').data
    assert shown.startswith('<img alt="&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; two lines"')
    assert "<script" not in shown
    with pytest.raises(ValueError, match="alternative text"):
        plots.show(some_figure(), " ")


def test_figures_are_saved_only_where_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plots.save_figure(some_figure(), "cosines", "four cosines") is None
    monkeypatch.setenv("MMREC_FIGURES", str(tmp_path / "figures"))
    folder = plots.save_figure(some_figure(), "cosines", "four\ncosines")
    assert sorted(path.name for path in folder.iterdir()) == ["cosines.png", "cosines.svg", "cosines.txt"]
    assert (folder / "cosines.txt").read_text() == "four cosines\n"
    first = (folder / "cosines.svg").read_bytes()
    plots.save_figure(some_figure(), "cosines", "four cosines")
    assert (folder / "cosines.svg").read_bytes() == first  # `make figures` changes only what changed
    with pytest.raises(ValueError, match="alternative text"):
        plots.save_figure(some_figure(), "cosines", "")


def test_a_single_row_has_its_item_in_a_frame(shop: MultimodalDataset) -> None:
    row = plots.NeighbourRow("raw", [1, 2], {"raw": [0.2, 0.1]})
    for rows in ([row], [row, row]):
        drawn = np.asarray(plots.neighbour_panel(shop, 0, rows).axes[0].images[0].get_array())
        assert (drawn == 34).all(axis=-1).sum() == 102**2 - 96**2


def bars(figure) -> list[list[tuple[float, float]]]:
    """Left and right ends of the bars, by kind."""
    kinds = figure.axes[0].collections
    return [[(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in kind.get_paths()] for kind in kinds]


def test_a_negative_part_has_no_length_and_no_bar_leaves_its_picture(shop: MultimodalDataset) -> None:
    parts = {"image": [-0.2, 0.5], "text": [0.4, -0.3]}
    image, text = bars(plots.neighbour_panel(shop, 0, [plots.NeighbourRow("a", [1, 2], parts)]))
    widths = [[right - left for left, right in kind[:2]] for kind in (image, text)]
    assert widths == [pytest.approx([0, 96]), pytest.approx([0.8 * 96, 0])]
    assert image[0][0] == text[0][0] == pytest.approx(328)
    for value in (0.0, -0.1):
        nothing = plots.neighbour_panel(shop, 0, [plots.NeighbourRow("a", [1], {"image": [value]})])
        assert bars(nothing)[0][0] == pytest.approx((328, 328))


def test_more_kinds_than_hatches_and_colours_are_drawn(shop: MultimodalDataset) -> None:
    many = {f"kind {n}": [0.1, 0.1] for n in range(9)}
    assert len(bars(plots.neighbour_panel(shop, 0, [plots.NeighbourRow("a", [1, 2], many)]))) == 9
    plots.png(plots.recommendation_panel(shop, [plots.Shelf("a", [1, 2], parts=many)]))
    starts = [(start, e, 8.0 / e) for start in "abcdefghi" for e in (1, 2)]
    curves = pd.DataFrame(starts, columns=["start", "epoch", "train"]).assign(layers=2, seed=0, test=1.0)
    assert len(plots.loss_against_loss(curves).axes[0].lines) == 9


def test_every_term_has_its_panel() -> None:
    names = [f"term {n}" for n in range(6)]
    frame = pd.DataFrame([row | dict.fromkeys(names, 0.1) for row in EPOCHS]).drop(columns=["bpr", "contrast"])
    axes = [ax for ax in plots.run_curves(frame).axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in axes] == ["valid recall@20", *names]
    assert len({ax.get_position().y0 for ax in axes}) == 2 and max(ax.get_gridspec().ncols for ax in axes) == 4
    assert {ax.get_gridspec().nrows for ax in plots.run_curves(frame[["stage", "epoch", *names[:5]]]).axes} == {1}
    two = pd.DataFrame([*EPOCHS, *({**row, "stage": "tune"} for row in EPOCHS)])
    dashed = [line.get_xdata()[0] for line in plots.run_curves(two).axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [5.5]


def test_modalities_keep_their_colours_and_no_bar_has_that_of_a_hit(shop: MultimodalDataset) -> None:
    def colours(*names: str) -> list[str]:
        figure = plots.recommendation_panel(shop, [plots.Shelf("a", [1], parts={n: [0.2] for n in names})])
        return [to_hex(kind.get_facecolor()[0]).upper() for kind in figure.axes[0].collections]

    image, text = colours("image", "text")
    assert colours("text") == [text] and colours("image") == [image]
    assert set(colours("graph", "image", "text")) > {image, text}
    assert HIT not in colours("image", "text", *"abcdefg")


def test_a_long_label_ends_before_the_pictures(shop: MultimodalDataset) -> None:
    label = "PAMD without its order loss, pre-trained for three hundred epochs"
    figure = plots.recommendation_panel(shop, [plots.Shelf(label, [1], "1 of 1 found")])
    plots.png(figure)
    words, note, *_ = figure.axes[0].texts
    assert words.get_window_extent().x1 < 150 and words.get_text().endswith("…")
    assert not words.get_window_extent().overlaps(note.get_window_extent())


def test_what_cannot_be_drawn_says_what_to_do(shop: MultimodalDataset) -> None:
    for draw, words in (
        (lambda: plots.shelf(shop, []), "no item to draw; give one or more"),
        (lambda: plots.history_panel(shop, []), "no user to draw"),
        (lambda: plots.popularity_curve({"none": [0, 0]}), "'none' has no count above 0"),
        (lambda: plots.training_curves(pd.DataFrame({"stage": ["a"], "epoch": [1], "loss": [1.0]})), "no loss term"),
    ):
        with pytest.raises(ValueError, match=words):
            draw()


def test_drawing_leaves_the_warnings_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # swapped for two threads at once, filters are lost or left behind
        patch.setattr("warnings.catch_warnings", lambda **_: pytest.fail("filters are the process's"))
        plots.png(plots.matrix([[1.0]], title="\U0001fae8"))


def test_live_curves_draw_once_a_while_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Handle:
        def update(self, picture) -> None:
            shown.append(picture.data)

    def display(picture, display_id) -> Handle:
        shown.append(picture.data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    with plots.LiveCurves(every=1e9) as live:
        live._drawn = -1e10
        for row in EPOCHS:
            assert live(row) is None  # False would end the training
    assert len(shown) == 2
    assert "over 1 epochs" in shown[0]
    assert "over 5 epochs: bpr from 0.7000 to 0.1400" in shown[1]


def test_live_curves_are_described_stage_by_stage() -> None:
    live = plots.LiveCurves()
    live.rows = [{"stage": "pretrain", "epoch": e, "cima": 1.0 / e, "loss": 1.0, "lr": 1e-3} for e in (1, 2)]
    live.rows += [{"stage": "recommend", "epoch": e, "bpr": 0.6 / e, "loss": 0.6, "lr": 1e-3} for e in (1, 2, 3)]
    assert live.alt() == (
        "Training curves over 5 epochs: pretrain, 2 epochs, cima from 1.0000 to 0.5000; "
        "recommend, 3 epochs, bpr from 0.6000 to 0.2000."
    )


def test_the_package_does_not_need_matplotlib_and_the_figures_not_pyplot(shop: MultimodalDataset) -> None:
    code = (
        "import sys, mmrec_lite; assert 'matplotlib' not in sys.modules, 'imported with the package'\n"
        "from mmrec_lite import plots; assert 'matplotlib' not in sys.modules, 'imported before anything is drawn'\n"
        "plots.png(plots.matrix([[1.0]])); assert 'matplotlib.pyplot' not in sys.modules, 'global state'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_small_patch_of_our_colours_survives_the_palette() -> None:
    rng = np.random.default_rng(0)
    figure, axes = plots.new_figure(1, 1, (4, 3))
    axes[0, 0].imshow(rng.random((300, 300, 3)) * [0.3, 1, 0.6], aspect="auto")  # no blue anywhere near
    for place, colour in enumerate(plots.COLOURS):
        axes[0, 0].plot(40 * place + 20, 150, "s", color=colour, markersize=4, markeredgewidth=0)
    seen = {tuple(rgb) for rgb in pixels(figure).reshape(-1, 3).tolist()}
    for colour in (*plots.COLOURS, "#ffffff"):
        assert tuple(bytes.fromhex(colour[1:])) in seen, colour


def test_loss_against_loss_has_a_line_a_seed_and_start():
    rows = [(s, start, e, 8.0 / e, 7.0 / e) for s in (0, 1) for start in ("warm", "cold") for e in (1, 2)]
    curves = pd.DataFrame(rows, columns=["seed", "start", "epoch", "train", "test"])
    both = plots.loss_against_loss(pd.concat([curves.assign(layers=n, test=curves["test"] + n) for n in (1, 3)]))
    assert [ax.get_title(loc="left") for ax in both.axes] == ["1 layer", "3 layers"]
    assert both.axes[0].get_ylim() == both.axes[1].get_ylim()
    low, high = both.axes[0].get_ylim()
    heights = np.concatenate([line.get_ydata() for ax in both.axes for line in ax.lines])
    assert low < heights.min() and heights.max() < high  # the first panel's limits once cut the others
    ax = plots.loss_against_loss(curves.assign(layers=2)).axes[0]
    assert len(ax.lines) == 4 and [text.get_text() for text in ax.get_legend().get_texts()] == ["warm", "cold"]
    assert ax.lines[0].get_xdata() == pytest.approx(np.log([8.0, 4.0]))
    assert ax.lines[0].get_color() == ax.lines[1].get_color() != ax.lines[2].get_color()


def test_every_run_is_in_the_legend_and_looks_like_no_other() -> None:
    """A run without the last panel's metric, or the eighth of them, had no name or another's look."""
    first, other = (pd.DataFrame([{"stage": "joint", "bpr": 0.5, name: 0.1}]) for name in ("valid a", "valid b"))
    figure = plots.training_curves({"A": first, "B": other})
    shown = [legend for ax in figure.axes if (legend := ax.get_legend())] + figure.legends
    assert [[text.get_text() for text in legend.get_texts()] for legend in shown] == [["A", "B"]]
    apart = plots.training_curves({"A": first[["stage", "bpr"]], "B": other[["stage", "valid b"]]})
    assert [text.get_text() for text in apart.legends[0].get_texts()] == ["A", "B"]
    lines = plots.training_curves({str(n): first for n in range(14)}).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in lines if line.get_marker() != "*"}) == 14


def test_a_colour_word_has_its_colour_and_no_two_labels_share_one() -> None:
    """Black was drawn in the blue of "blue"."""
    from matplotlib.colors import to_rgb

    from mmrec_lite.plots.maps import NAMED, _colours

    for labels in (
        ["black", "blue", "grey", "white"],
        ["apple", "red"],
        ["blue", "brown", "green", "grey", "pink", "red", "white"],
        ["a", "b", "c", "d", "e", "f", "orange"],
    ):
        colours = _colours(labels)
        assert len(set(colours)) == len(labels)
        assert all(colours[place] == NAMED[name] for place, name in enumerate(labels) if name in NAMED)
    red, green, blue = to_rgb(NAMED["brown"])
    assert red > green > blue and max(to_rgb(NAMED["black"])) == 0 and min(to_rgb(NAMED["white"])) > 0.8
    labels = np.array(["black", "blue"] * 6)
    panel = plots.MapPanel("map", np.random.default_rng(0).normal(size=(12, 2)), labels)
    figure = plots.map_sheet([panel, panel], "hue", {"map": pd.Series({"hue": 0.5})}, 0, np.zeros((96, 96, 3)), "t")
    drawn = [line.get_color() for line in figure.axes[0].lines[1:3]]
    key = [line.get_color() for ax in figure.axes for line in ax.lines if ax.texts and len(line.get_xdata()) == 1]
    assert drawn == [NAMED["black"], NAMED["blue"]] == key[:2]


@pytest.mark.parametrize(
    ("days", "ticks"),
    [(3000, "'1[0-9]"), (280, "[A-Z][a-z][a-z]|20[0-9][0-9]"), (3, "[0-9][0-9]:00|[A-Z][a-z][a-z]-[0-9]+")],
)
def test_a_timeline_has_dates_that_suit_its_length(shop: MultimodalDataset, days: int, ticks: str) -> None:
    times = 1_300_000_000 + np.linspace(0, days * 86_400, len(shop.interactions)).astype(int)
    timed = shop.replace(interactions=shop.interactions.assign(timestamp=times))
    figure = plots.split_timeline({"latest": split(timed, "leave-one-out")}, [0, 1])
    plots.png(figure)
    (ax,) = figure.axes
    low, high = ax.get_xlim()
    words = [t.get_text() for t in ax.get_xticklabels() if low <= t.get_position()[0] <= high]
    assert len(words) >= 2 and all(re.fullmatch(ticks, word) for word in words), words


def test_a_timeline_of_positions_has_no_years(shop: MultimodalDataset) -> None:
    timed = shop.replace(interactions=shop.interactions.assign(timestamp=np.arange(len(shop.interactions))))
    figure = plots.split_timeline({"latest": split(timed, "leave-one-out")}, [0, 1])
    plots.png(figure)
    (ax,) = figure.axes
    assert ax.get_xlabel() == "order" and not any("'" in t.get_text() for t in ax.get_xticklabels())


def test_a_history_without_choices_is_a_head_alone(shop: MultimodalDataset) -> None:
    plots.png(plots.history_panel(shop, [HistoryRow("user 1", [], [], why={"image": np.zeros(0)})]))


def test_shortened_labels_tell_shelves_apart(shop: MultimodalDataset) -> None:
    names = [f"micro without the picture, seed {seed}" for seed in (0, 1)]
    figure = plots.recommendation_panel(shop, [plots.Shelf(name, [1]) for name in [*names, "mf", names[0]]])
    plots.png(figure)
    labels = [text for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    words = [text.get_text() for text in labels]
    assert words == ["micro\n…\nseed 0", "micro\n…\nseed 1", "mf", "micro\n…\nseed 0"]
    assert all(text.get_window_extent().x1 < 150 for text in labels)


def test_live_curves_begin_anew_with_another_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings were drawn as one of twice the length."""
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    live = plots.LiveCurves(every=1e9)
    for row in EPOCHS + EPOCHS[:2]:
        live(row)
    assert live.alt().startswith("Training curves over 2 epochs: bpr from 0.7000 to 0.3500")
    with live:
        live(EPOCHS[3])
    assert live.alt().startswith("Training curves over 1 epochs")
