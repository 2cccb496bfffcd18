"""Explorers as a person uses them: by keyboard and by mouse, two fast moves, a picture with words."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator

from tests.browser.lab import Lab, LabPage
from tests.test_plots import make_shop

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SOURCES = [
    "import mmrec_lite as mm\nfrom mmrec_lite import explorers\nshop = mm.load('small')\n"
    "model = mm.create('micro', mm.split(shop, 'ratio', seed=0), k=5, seed=0)",
    "explorers.NeighboursExplorer(model, shop, k_max=6, shelf=3)",
    "explorers.LossExplorer()",
]


@pytest.fixture
def cells(page: LabPage, lab: Lab, tmp_path: Path) -> list[Locator]:
    """The two explorers' cells, after everything has run."""
    if not (lab.folder / "small").exists():
        make_shop(tmp_path).save(lab.folder / "small")
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=[new_code_cell(source) for source in SOURCES], metadata=metadata)
    nbformat.write(notebook, lab.folder / "explorers.ipynb")
    page.open("explorers.ipynb")
    page.run_all(180)
    assert page.errors() == []
    return [page.page.locator(".jp-CodeCell").nth(n) for n in (1, 2)]


def says(cell: Locator, words: str) -> None:
    """Wait until the status line and the picture's alternative text hold these words."""
    cell.locator("[role=status]", has_text=words).wait_for()
    cell.locator(f"img[alt*='{words}']").wait_for()


def test_every_control_moves_the_picture(cells: list[Locator], page: LabPage, repository: Path) -> None:
    cell, loss = cells
    says(cell, "thing 0: image graph, k = 5, lambda = 0.7")
    slider = cell.locator(".noUi-handle")
    slider.nth(0).press("ArrowLeft")
    says(cell, "k = 4")
    for _ in range(3):  # faster than a picture is drawn: the last one stays
        slider.nth(1).press("ArrowLeft")
    says(cell, "lambda = 0.55")
    cell.get_by_role("button", name="text", exact=True).click()
    says(cell, "text graph")
    cell.get_by_title("choose thing 1").locator("img").click()  # the picture itself, not its title alone
    says(cell, "thing 1:")
    cell.get_by_role("button", name="thing 2").press("Enter")
    says(cell, "thing 2:")
    cell.locator("input[list]").fill("thing 9 · 9")
    cell.locator("input[list]").press("Enter")
    says(cell, "thing 9:")
    cell.locator("input[type=number]").fill("4")
    cell.locator("input[type=number]").press("Enter")
    says(cell, "thing 4: text graph, k = 4, lambda = 0.55")

    says(loss, "8 items at temperature 0.500, both directions")
    slider = loss.locator(".noUi-handle")
    slider.nth(0).press("ArrowLeft")
    says(loss, "temperature 0.398")
    handle = slider.nth(1).bounding_box()
    page.page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.page.mouse.down()
    page.page.mouse.move(handle["x"] + 400, handle["y"], steps=4)
    page.page.mouse.up()
    says(loss, "12 items")
    loss.get_by_role("button", name="view to fused").click()
    says(loss, "view to fused alone")
    assert page.errors() == []
    page.screenshot(repository / "build" / "screenshots" / "explorers.png")
