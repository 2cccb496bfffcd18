"""Lessons that invite the reader's own data run on data that lack something: photographs, methods, items."""

from __future__ import annotations

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat import NotebookNode

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.storage import image_bytes
from tests.notebooks.reference import run

pytestmark = [pytest.mark.slow, pytest.mark.notebook]
ITEMS, USERS, EACH = 40, 60, 6


def ran(lesson: str, repository: Path, folder: Path, **parameters: object) -> NotebookNode:
    """What a lesson leaves with these parameters and short trainings."""
    made = run(repository / "notebooks" / f"{lesson}.ipynb", folder, parameters, cwd=str(folder), execution_timeout=300)
    return nbformat.read(made, as_version=4)


def printed(notebook: NotebookNode) -> str:
    """All that the cells printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def few_items(without: int) -> MultimodalDataset:
    """The shop's first items, one of them without a picture and nothing told of what was planted."""
    shop = mm.load("bazaar")
    log = shop.interactions[shop.interactions["item"] < ITEMS]
    there = np.arange(ITEMS) != without
    items = shop.items.iloc[:ITEMS].assign(image=shop.items["image"].iloc[:ITEMS].where(there, ""))
    features = {name: vectors[:ITEMS] for name, vectors in shop.features.items()}
    features["image"] = features["image"] * there[:, None]
    present = {"image": there, "text": np.ones(ITEMS, dtype=bool)}
    return shop.replace(
        name="few", items=items, interactions=log, features=features, present=present, sequences={}, texts={}, truth={}
    )


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Orders, products and photographs as a small shop has them, as lesson 12's parameters."""
    shop, folder, rng = mm.load("bazaar"), tmp_path_factory.mktemp("catalogue"), np.random.default_rng(0)
    table, sku = shop.items.iloc[:ITEMS], [f"P{n}" for n in range(ITEMS)]
    (folder / "photos").mkdir()
    for name, path in zip(sku, table["image"], strict=True):
        (folder / "photos" / f"{name}{Path(path).suffix}").write_bytes(image_bytes(shop.image_root, path))
    taken = np.concatenate([rng.choice(ITEMS, EACH, replace=False) for _ in range(USERS)])
    orders = pd.DataFrame({"customer": np.repeat(np.arange(USERS), EACH), "sku": np.array(sku)[taken]})
    orders.assign(ordered_at="2024-05-01").to_csv(folder / "orders.csv", index=False)
    products = {"sku": sku, "name": table["title"].to_numpy(), "description": table["text"].to_numpy()}
    pd.DataFrame(products).to_csv(folder / "products.csv", index=False)
    kept = {"orders": "orders.csv", "products": "products.csv", "photos": "photos", "cache": "vectors"}
    return {name: str(folder / path) for name, path in kept.items()}


def test_a_tour_of_methods_that_read_no_content(repository: Path, tmp_path: Path) -> None:
    assert "MICRO - popularity: " in printed(ran("00_quick_tour", repository, tmp_path, methods="popularity, mf"))


def test_features_of_few_items_one_without_a_picture(repository: Path, tmp_path: Path) -> None:
    few_items(without=3).save(tmp_path / "few")
    lesson = ran("02_features", repository, tmp_path, data=str(tmp_path / "few"), item=3, profile="lecture")
    assert f"on average over {ITEMS - 1} items" in printed(lesson)
    assert "these data cannot tell" in printed(lesson)  # the planted hue


def test_a_catalogue_without_photographs_and_without_lightgcn(
    catalogue: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    asked = catalogue | {"photos": "", "methods": "popularity, micro, pamd"}
    said = printed(ran("12_your_own_catalogue", repository, tmp_path, **asked))
    assert "texts alone are read" in said and '"both" is the texts alone' in said
    assert "pamd is left out: pamd parts two different modalities" in said and said.count(" is left out: ") == 1
    assert "micro - popularity: " in said or "popularity - micro: " in said
