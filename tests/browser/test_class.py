"""The explorers of a lecture on the shop itself: map, training, recommendations; by mouse and keyboard, and a restart.

Screenshots go to build/screenshots, and to $MMREC_SCREENSHOTS as `explorer_<name>.png` where that is set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator

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
# What the moves below name: a user whom MICRO finds without pictures, titles, the first pictures on the shelf.
KNOWN = """\
from mmrec_lite.experiments import STUDIES
part = 'held out for the test'
print('hit =', next(p for p in range(len(r.users)) if r.shelves(p, part, 'image')[1].hits.any()))
print('title =', shop.items['title'][9])
print('eleventh =', shop.items['title'][11])
firsts = np.flatnonzero(~shop.items['category'].duplicated())
print('first =', shop.items['title'][firsts[1]])
print('second =', shop.items['title'][firsts[4]])
last = [name for name in STUDIES if name in set(explorers.StudiesExplorer().rows['study'])][-1]
print(f'last = {last}: {STUDIES[last].title}')"""
SOURCES = {
    "first": FIRST,
    "map": "m = explorers.EmbeddingMapExplorer(frames, shop, split.train_counts, shown=('image', 'text'))\nm",
    "places": "print('places', *np.frombuffer(m.picture.points, np.float32)[:2 * 4])",
    "recommendations": "r = explorers.RecommendationsExplorer(models, split)\nr",
    "known": KNOWN,
    "training": "explorers.TrainingExplorer(split, ['micro', 'lightgcn'], epochs=2)",
    "neighbours": "explorers.NeighboursExplorer(model, shop, item=7)",
    "loss": "explorers.LossExplorer()",
    "shop": "explorers.ShopExplorer(shop)",
    "studies": "explorers.StudiesExplorer()",
    "features": "explorers.FeaturesExplorer(shop, 9)",
    "order": "explorers.OrderExplorer()",
    "alignment": "explorers.AlignmentExplorer()",
}


@pytest.fixture(scope="module")
def page(browser, lab: Lab) -> Iterator[LabPage]:
    """One tab for all tests here: to train what they look at takes longer than to look at it."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    yield LabPage(tab, lab)
    context.close()


@pytest.fixture(scope="module")
def cells(page: LabPage, lab: Lab) -> Iterator[dict[str, Locator]]:
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
    # How long it took says something about this machine at this moment, and nothing about the explorer.
    cell.locator("[role=status] i").evaluate_all("all => all.forEach(took => { took.style.display = 'none' })")
    for folder in map(Path, folders):
        folder.mkdir(parents=True, exist_ok=True)
        cell.locator(".jp-OutputArea").first.screenshot(path=folder / f"explorer_{name}.png")
        text = f"The explorer {name} in JupyterLab. {re.sub(r' [(](drawn|shown).*', '', words)}"
        (folder / f"explorer_{name}.txt").write_text(text + "\n", encoding="utf-8")


def test_no_box_of_controls_has_a_scroll_bar(cells: dict[str, Locator], page: LabPage) -> None:
    scrolls = "box => getComputedStyle(box).overflowX === 'auto' && box.scrollWidth > box.clientWidth"
    boxes = page.page.locator(".jupyter-widgets")
    assert boxes.evaluate_all(f"all => all.filter({scrolls}).map(box => box.innerText)") == []


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
    known = dict(line.split(" = ", 1) for line in cells["known"].locator("pre").inner_text().splitlines())
    says(cell, f"Chosen: {known['eleventh']}.")
    before = picture(cell)
    cell.get_by_role("button", name="UMAP").click()
    says(cell, "UMAP is being laid out, PCA until then")
    says(cell, "UMAP, one fit for both, as trained", 180)
    laid_out = picture(cell)
    assert laid_out != before
    keep(cell, "map", repository)
    cell.get_by_role("button", name="PCA").press("Enter")
    says(cell, "PCA, one fit for both, as trained")
    assert picture(cell) == before
    assert page.errors() == []


def row(cell: Locator, label: str) -> Locator:
    """The control with this label."""
    return cell.locator(".widget-label", has_text=re.compile(f"^{re.escape(label)}$")).locator("xpath=..")


def drag(cell: Locator, label: str, share: str) -> None:
    """Pull a slider's handle to a share of its way, by mouse."""
    track, handle = row(cell, label).locator(".noUi-base"), row(cell, label).locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    way, box = track.bounding_box(), handle.bounding_box()
    y = box["y"] + box["height"] / 2
    cell.page.mouse.move(box["x"] + box["width"] / 2, y)
    cell.page.mouse.down()
    cell.page.mouse.move(way["x"] + float(share) * way["width"], y, steps=4)
    cell.page.mouse.up()


def enter(field: Locator, words: str) -> None:
    field.fill(words)
    field.press("Enter")


def hold(cell: Locator, label: str, keys: str) -> None:
    """Press keys on a slider faster than a picture is drawn: the last one's stays."""
    for key in keys.split():
        row(cell, label).locator(".noUi-handle").press(key)


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
    enter(row(cell, "most epochs").locator(".widget-readout"), "6")
    for share, key in (("0.5", "Enter"), ("0.7", " ")):  # the one behind, then the one in front
        enter(row(cell, "λ, raw share").locator(".widget-readout"), share)
        says(cell, f"micro, λ {share}")
        run.press(key)
        says(cell, "all epochs, 6 epochs", 120)
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


GESTURES = {
    "drag": drag,
    "keys": hold,
    "number": lambda cell, label, words: enter(row(cell, label).locator("input[type=number]"), words),
    "readout": lambda cell, label, words: enter(row(cell, label).locator(".widget-readout"), words),
    "title": lambda cell, label, words: enter(row(cell, label).locator("input[list]"), words),
    "menu": lambda cell, label, words: row(cell, label).locator("select").select_option(words),
    "menu keys": lambda cell, label, words: row(cell, label).locator("select").press(words),
    "click": lambda cell, label, words: row(cell, label).get_by_role("button", name=words, exact=True).click(),
    "press": lambda cell, label, words: row(cell, label).get_by_role("button", name=words, exact=True).press("Enter"),
    "picture": lambda cell, label, words: cell.get_by_title(f"choose {label}").click(),
    "picture keys": lambda cell, label, words: cell.get_by_title(f"choose {label}").press("Enter"),
}
# Every control of every explorer by its label, by mouse and by keyboard (an arrow takes the next of a menu's words);
# {hit}, {title} … are what the notebook prints.
MOVES = {
    "map": """
        colour | menu | pattern
        colour | menu keys | ArrowUp
        left | menu | fused
        left | menu keys | ArrowUp
        right | menu | image
        moment | keys | ArrowLeft ArrowLeft
        moment | drag | 1
        fit | click | a fit each, turned
        fit | press | one fit for both
        or its number | number | 23
        an item's title | title | {title} · 9""",
    "recommendations": """
        user, place | keys | ArrowRight ArrowRight
        user, place | drag | 0.4
        switched off | press | image
        user, place | readout | {hit}
        framed | click | held out for validation
        framed | press | held out for the test
        switched off | click | text
        switched off | press | nothing
        switched off | click | image""",
    "training": """
        method | menu | lightgcn
        method | menu keys | ArrowUp
        λ, raw share | keys | ArrowLeft ArrowLeft
        λ, raw share | drag | 0.2
        k, neighbours | keys | ArrowRight
        k, neighbours | drag | 0.7
        β, contrast | keys | ArrowLeft
        β, contrast | drag | 0.9
        modalities | click | image
        modalities | press | text
        most epochs | keys | ArrowRight
        most epochs | drag | 0.6
        seed | number | 3""",
    "neighbours": """
        λ, raw share | keys | ArrowLeft ArrowLeft ArrowLeft
        λ, raw share | drag | 0.2
        k, with itself | keys | ArrowLeft
        k, with itself | drag | 0.4
        modality | press | text
        modality | click | image
        {first} | picture | -
        {second} | picture keys | -
        or its number | number | 11
        or its title | title | {title} · 9""",
    "loss": """
        temperature τ | keys | ArrowLeft ArrowLeft
        temperature τ | drag | 0.8
        look at item | keys | ArrowRight
        look at item | drag | 0.5
        other items | keys | ArrowRight
        other items | drag | 0.3
        form | click | view to fused
        form | press | both directions""",
    "shop": """
        user, row | keys | ArrowRight ArrowRight ArrowRight
        user, row | drag | 0.5
        protocol | click | cold items
        protocol | press | leave one out""",
    "studies": """
        artefact | menu | {last}
        artefact | menu keys | ArrowUp""",
    "features": """
        share of image | keys | ArrowLeft ArrowLeft
        share of image | drag | 0.9
        neighbours | keys | ArrowLeft
        neighbours | drag | 0.4
        or its number | number | 23
        an item's title | title | {title} · 9""",
    "order": """
        length × k | keys | ArrowRight ArrowRight
        length × k | drag | 0.8
        parted | keys | ArrowLeft ArrowLeft
        parted | drag | 0.3
        form of Eq. 10 | click | bounded
        form of Eq. 10 | press | infonce""",
    "alignment": """
        temperature τ | keys | ArrowLeft ArrowLeft
        temperature τ | drag | 0.8
        items | keys | ArrowRight
        items | drag | 0.9
        reading | click | softmax
        reading | press | sigmoid, half and half""",
}


@pytest.mark.parametrize("name", MOVES)
def test_every_control_changes_the_picture_and_the_words(
    name: str, cells: dict[str, Locator], page: LabPage, repository: Path
) -> None:
    known = dict(line.split(" = ", 1) for line in cells["known"].locator("pre").inner_text().splitlines())
    cell, still = cells[name], []
    if name not in ("map", "recommendations", "training"):
        keep(cell, name, repository)
    line = cell.locator("[role=status]").element_handle()
    moves = [[part.strip().format(**known) for part in move.split("|")] for move in MOVES[name].split("\n") if move]
    for label, gesture, words in moves:
        before = settled(cell, page)
        GESTURES[gesture](cell, label, words)
        for _ in range(150):
            page.page.wait_for_timeout(200)
            if picture(cell) != before[0] and said(cell) != before[1]:
                break
        else:
            still.append((label, gesture, words, said(cell)))
    assert still == []
    # One paragraph speaks from the first move to the last: a screen reader does not hear a new one.
    assert line.evaluate("line => line.isConnected") and cell.locator("[role=status]").count() == 1
    labels = {label.strip() for label in cell.locator(".widget-label:visible").all_inner_texts()} - {""}
    assert len(labels) > 0 and labels - {"projection"} <= {label for label, _, _ in moves}  # UMAP: the map's own test
    assert page.errors() == []
    if name == "recommendations":
        says(cell, "switched off: image. micro: 1 of 1 found")
        keep(cell, name, repository)


def settled(cell: Locator, page: LabPage) -> tuple[str, str]:
    """The picture and the words when nothing is on its way: the last of several fast moves may be drawn late."""
    seen = picture(cell), said(cell)
    for _ in range(100):
        page.page.wait_for_timeout(200)
        page.wait_until_idle(60)
        last, seen = seen, (picture(cell), said(cell))
        if seen == last:
            return seen
    raise AssertionError(f"the picture keeps changing: {seen[1]}")


def said(cell: Locator) -> str:
    """The words of the status line, without what the drawing took."""
    return re.sub(r" [(](drawn|shown).*", "", cell.locator("[role=status]").inner_text())
