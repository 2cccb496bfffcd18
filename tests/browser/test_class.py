"""The explorers of a lecture on the shop itself: map, training, recommendations; by mouse and keyboard, and a restart.

Screenshots go to build/screenshots, and to $MMREC_SCREENSHOTS as `explorer_<name>.png` where that is set.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator

from mmrec_lite.experiments import STUDIES
from tests.browser.lab import Lab, LabPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIRST = """\
import numpy as np
import mmrec_lite as mm
from mmrec_lite import explorers
from mmrec_lite.maps import Recorder
shop = mm.load('bazaar')
split = mm.split(shop, 'ratio', seed=0)
model = mm.create('micro', split, profile='lecture', seed=0)
recorder = Recorder(model, only=['image', 'text', 'fused'])
mm.fit(model, split, epochs=2, progress=False, callback=recorder)
frames = recorder.finish()
models = {'micro': model, 'content': mm.create('content_knn', split), 'popular': mm.create('popularity', split)}"""
SOURCES = {
    "first": FIRST,
    "map": "m = explorers.EmbeddingMapExplorer(frames, shop, split.train_counts, shown=('image', 'text'))\nm",
    "places": "print('places', *np.frombuffer(m.picture.points, np.float32)[:2 * 4])",
    "recommendations": "explorers.RecommendationsExplorer(models, split)",
    "training": "explorers.TrainingExplorer(split, ['micro', 'lightgcn'], epochs=2)",
    "neighbours": "explorers.NeighboursExplorer(model, shop, item=7)",
    "loss": "explorers.LossExplorer()",
    "shop": "explorers.ShopExplorer(shop)",
    "studies": "explorers.StudiesExplorer()",
}


@pytest.fixture
def cells(page: LabPage, lab: Lab):
    """Every explorer's cell by name, after everything has run."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=[new_code_cell(source) for source in SOURCES.values()], metadata=metadata)
    nbformat.write(notebook, lab.folder / "class.ipynb")
    page.open("class.ipynb")
    page.run_all(300)
    assert page.errors() == []
    yield {name: page.page.locator(".jp-CodeCell").nth(n) for n, name in enumerate(SOURCES)}
    lab.stop_kernels()


def says(cell: Locator, words: str, seconds: float = 60) -> None:
    """Wait until the status line and the picture's alternative text hold these words."""
    cell.locator("[role=status]", has_text=words).wait_for(timeout=1000 * seconds)
    cell.locator(f'img[alt*="{words}"]').first.wait_for(timeout=1000 * seconds)


def picture(cell: Locator) -> str:
    """What the explorer's picture shows: the last <img> of the cell that is as wide as a figure."""
    return cell.locator("img").evaluate_all("all => all.filter(i => i.naturalWidth > 300).map(i => i.src).join()")


def keep(cell: Locator, name: str, repository: Path) -> None:
    """Leave a screenshot, and the words that describe it, for a look."""
    folders = [repository / "build" / "screenshots", *filter(None, [os.environ.get("MMREC_SCREENSHOTS")])]
    words = cell.locator("[role=status]").inner_text()
    for folder in map(Path, folders):
        folder.mkdir(parents=True, exist_ok=True)
        cell.locator(".jp-OutputArea").first.screenshot(path=folder / f"explorer_{name}.png")
        text = f"The explorer {name} in JupyterLab. {re.sub(r' [(](drawn|shown).*', '', words)}"
        (folder / f"explorer_{name}.txt").write_text(text + "\n", encoding="utf-8")


def test_the_map(cells: dict[str, Locator], page: LabPage, repository: Path) -> None:
    cell = cells["map"]
    says(cell, "PCA, one fit for both, as trained, coloured by category")
    before = picture(cell)
    cell.locator("select").nth(2).select_option("hue")
    says(cell, "coloured by hue")
    assert picture(cell) != before
    slider = cell.locator(".noUi-handle").first
    for _ in range(3):  # faster than a picture is drawn: the last one stays
        slider.press("ArrowLeft")
    says(cell, "untrained, coloured by hue")
    x, y = (float(word) for word in cells["places"].locator("pre").inner_text().split()[1 + 2 * 3 :])
    slider.press("End")
    says(cell, "as trained, coloured by hue")
    image = next(i for i in cell.locator("img").all() if i.bounding_box()["width"] > 300)
    image.scroll_into_view_if_needed()
    page.page.wait_for_timeout(500)
    for _ in range(2):  # its picture below may move the page: the second time it is there already
        box = image.bounding_box()
        page.page.mouse.move(box["x"] + x * box["width"] - 2, box["y"] + y * box["height"])
        page.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        cell.locator("text=/· 3$/").wait_for()  # title and number of what is under the pointer
        page.page.wait_for_timeout(300)
    page.page.mouse.down()
    page.page.mouse.up()
    title = cell.locator("text=/· 3$/").inner_text().rsplit("·", 1)[0].strip()
    says(cell, f"Chosen: {title}.")
    cell.locator("input[type=number]").fill("11")  # the same without a mouse
    cell.locator("input[type=number]").press("Enter")
    page.page.wait_for_timeout(500)
    cell.get_by_role("button", name="UMAP").click()
    says(cell, "UMAP is being laid out, PCA until then")
    says(cell, "UMAP, one fit for both, as trained", 180)
    assert page.errors() == []
    keep(cell, "map", repository)


def test_recommendations(cells: dict[str, Locator], page: LabPage, repository: Path) -> None:
    cell = cells["recommendations"]
    says(cell, "switched off: nothing")
    before = picture(cell)
    for _ in range(2):
        cell.locator(".noUi-handle").first.press("ArrowRight")
    says(cell, "User 2,")
    assert picture(cell) != before
    cell.get_by_role("button", name="image", exact=True).press("Enter")
    says(cell, "switched off: image")
    says(cell, "new without image")
    before = picture(cell)
    cell.get_by_role("button", name="nothing", exact=True).click()
    says(cell, "switched off: nothing")
    assert picture(cell) != before
    assert page.errors() == []
    keep(cell, "recommendations", repository)


def test_what_needs_no_training(cells: dict[str, Locator], page: LabPage, repository: Path) -> None:
    """Shop, studies, neighbours, loss: two or more fast moves, then one more; the <img> is another one every time."""
    for name in ("neighbours", "loss", "shop", "studies"):
        keep(cells[name], name, repository)
    shop = cells["shop"]
    says(shop, "User 0 from")
    seen = [picture(shop)]
    for _ in range(3):
        shop.locator(".noUi-handle").press("ArrowRight")
    says(shop, "User 3 from")
    seen.append(picture(shop))
    shop.get_by_role("button", name="cold items").click()
    says(shop, "; cold items:")
    seen.append(picture(shop))

    studies = cells["studies"]
    says(studies, "The paper: ")
    seen.append(picture(studies))
    menu = studies.locator("select")
    names = [name.split(":")[0].replace("\xa0", " ") for name in menu.locator("option").all_inner_texts()]
    for place in (1, 2):  # a native menu: its keys are the browser's own
        menu.select_option(index=place)
    says(studies, STUDIES[names[2]].says)
    seen.append(picture(studies))
    menu.select_option(index=len(names) - 1)
    says(studies, STUDIES[names[-1]].says)
    seen.append(picture(studies))

    neighbours, loss = cells["neighbours"], cells["loss"]
    seen.append(picture(neighbours))
    for _ in range(4):
        neighbours.locator(".noUi-handle").nth(1).press("ArrowLeft")
    says(neighbours, "lambda = 0.5.")
    seen.append(picture(neighbours))
    neighbours.get_by_role("button", name="text", exact=True).click()
    says(neighbours, "text graph")
    seen += [picture(neighbours), picture(loss)]
    for _ in range(2):
        loss.locator(".noUi-handle").first.press("ArrowLeft")
    says(loss, "temperature 0.316")
    seen.append(picture(loss))
    loss.get_by_role("button", name="view to fused").click()
    says(loss, "view to fused alone")
    seen.append(picture(loss))
    assert all(seen) and len(set(seen)) == len(seen)
    assert page.errors() == []


def test_training_cancel_and_a_restart(cells: dict[str, Locator], page: LabPage, repository: Path) -> None:
    cell = cells["training"]
    says(cell, "not run yet, press Run")
    run, cancel = (cell.get_by_role("button", name=name) for name in ("Run", "Cancel"))
    run.click()
    says(cell, "all epochs, 2 epochs")
    before = picture(cell)
    handle = cell.locator(".noUi-handle").last
    handle.press("End")
    says(cell, "at most 60 epochs")
    run.press("Enter")
    says(cell, ": running")
    cell.locator("[role=status]", has_text=re.compile(r"running, [1-9]\d* epochs")).wait_for()
    cancel.click()
    says(cell, ": cancelled", 15)
    assert picture(cell) != before and cell.locator("table").inner_text().count("micro") == 2
    cell.locator("select").select_option("lightgcn")
    says(cell, "lightgcn, at most 60 epochs")
    keep(cell, "training", repository)

    page.page.locator(".lm-MenuBar-itemLabel", has_text="Kernel").first.click()
    page.page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Restart Kernel…$")).first.click()
    page.page.locator(".jp-Dialog button", has_text="Restart").last.click()
    page.wait_until_idle(60)
    assert page.dialogs() == []
    assert page.errors() == [], "what stands there from before may be dead, but not broken"
    page.clear_outputs()
    page.run_all(300)
    assert page.errors() == []
    says(cells["training"], "not run yet, press Run")
    run.click()
    says(cells["training"], "all epochs, 2 epochs")
