"""The explorer of raw features: its neighbours are those of `similarity`, its weights the cosines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.data import DataError
from mmrec_lite.explorers import FeaturesExplorer
from mmrec_lite.similarity import nearest_items
from tests.test_plots import make_shop


@pytest.fixture
def shop(tmp_path: Path) -> mm.MultimodalDataset:
    return make_shop(tmp_path)


@pytest.mark.parametrize(("share", "names"), [(1.0, "image"), (0.0, "text"), (0.5, ("image", "text"))])
def test_neighbours_are_the_librarys(shop: mm.MultimodalDataset, share: float, names) -> None:
    explorer = FeaturesExplorer(shop)
    for item in range(shop.n_items):
        row = explorer.row(item, share, 4)
        assert row.items == nearest_items(shop, item, names, 4).tolist()


def test_weights_are_mixed_cosines(shop: mm.MultimodalDataset) -> None:
    row = FeaturesExplorer(shop).row(2, 0.3, 5)
    cosine = {}
    for name in ("image", "text"):
        x = shop.dense(name).astype(float)
        cosine[name] = x @ x[2] / np.linalg.norm(x, axis=1) / np.linalg.norm(x[2])
    assert row.weights == pytest.approx((0.3 * cosine["image"] + 0.7 * cosine["text"])[row.items], abs=1e-6)
    assert row.parts["image"] == pytest.approx(0.3 * cosine["image"][row.items], abs=1e-6)
    assert 2 not in row.items and list(row.weights) == sorted(row.weights, reverse=True)


def test_the_status_line_counts_what_the_rows_share(shop: mm.MultimodalDataset) -> None:
    explorer = FeaturesExplorer(shop, item=1, n=4)
    explorer.controls["share"].value = 0.25
    picture, mixed, text = (set(row.items) for row in explorer.rows(explorer.params))
    expected = (
        f"thing 1, image weighs 25%: of 4 neighbours {len(mixed & picture)} are also near by image alone and "
        f"{len(mixed & text)} by text alone; these two share {len(picture & text)}."
    )
    assert expected in explorer.status.value
    explorer.search.value = "thing 7 · 7"
    assert 'alt="thing 7' in explorer.picture.value


def test_an_item_without_a_modality_is_a_sentence(shop: mm.MultimodalDataset) -> None:
    features = shop.features | {"image": np.where(np.arange(shop.n_items)[:, None] == 4, 0, shop.dense("image"))}
    present = shop.present | {"image": np.arange(shop.n_items) != 4}
    holed = shop.replace(features=features, present=present)
    explorer = FeaturesExplorer(holed)
    explorer.controls["item"].value = 4
    assert "item 4 lacks image or text; choose another." in explorer.status.value
    assert all(4 not in explorer.row(i, 0.5, 9).items for i in range(shop.n_items) if i != 4)
    with pytest.raises(DataError, match="mixes two modalities, not 1"):
        FeaturesExplorer(shop, modalities=("image",))


def test_the_static_twin_and_purity(shop: mm.MultimodalDataset) -> None:
    explorer = FeaturesExplorer(shop)
    heights = [explorer.static(0, shares).get_figheight() for shares in ((1,), (1, 0.5, 0))]
    assert heights[1] > 2 * heights[0]
    params, before = explorer.params, plots.png(explorer.render(explorer.params))
    for control in explorer.controls.values():
        assert control.description and not getattr(control, "continuous_update", False)
    explorer.controls["share"].value = 0.0
    assert plots.png(explorer.render(params)) == before != plots.png(explorer.render(explorer.params))
