"""The lessons in a real JupyterLab: they open without a dialog, run without an error, their sliders move."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.lab import Lab, LabPage
from tests.notebooks.hygiene import unsolved
from tests.notebooks.reference import run, wrong
from tests.notebooks.short import evaluated

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
LESSONS = sorted(path.name for path in REPOSITORY.glob("notebooks/[0-9]*.ipynb"))
SECONDS = float(os.environ.get("CELL_TIMEOUT", "600"))
EXPLORER = """\
import base64, io
import ipywidgets as widgets
from matplotlib.figure import Figure

slider = widgets.IntSlider(value=2, min=1, max=5, description="waves", continuous_update=False)
picture = widgets.HTML()

def draw(change=None):
    figure = Figure(figsize=(4, 2))
    figure.subplots().plot([step % slider.value for step in range(20)])
    figure.savefig(png := io.BytesIO(), format="png")
    data = base64.b64encode(png.getvalue()).decode()
    picture.value = f'<img alt="{slider.value} waves" src="data:image/png;base64,{data}">\'
"""
SHOW = "slider.observe(draw, 'value')\ndraw()\nwidgets.VBox([slider, picture])"


def write(lab: Lab, name: str, *sources: str, kernel: str = "python3") -> str:
    cells = [new_code_cell(source) for source in sources]
    metadata = {"kernelspec": {"name": kernel, "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), lab.folder / name)
    return name


def test_a_slider_moved_by_keyboard_changes_the_picture(page: LabPage, lab: Lab, repository: Path) -> None:
    page.open(write(lab, "explorer.ipynb", EXPLORER, SHOW))
    assert page.dialogs() == []
    page.run_all(60)
    image = page.page.locator(".jp-OutputArea img")
    image.wait_for()
    assert image.get_attribute("alt") == "2 waves"
    before = image.get_attribute("src")
    page.page.locator(".noUi-handle").first.press("ArrowRight")
    page.page.wait_for_selector(".jp-OutputArea img[alt='3 waves']")
    assert image.get_attribute("src") != before
    assert page.errors() == []
    page.screenshot(repository / "build" / "screenshots" / "explorer.png")


def test_an_error_in_a_cell_is_seen(page: LabPage, lab: Lab) -> None:
    page.open(write(lab, "fails.ipynb", "raise ValueError('seen')"))
    page.run_all(60)
    assert page.errors() == ["ValueError: seen"]


def test_a_dialog_is_seen(page: LabPage, lab: Lab) -> None:
    name = write(lab, "kernel.ipynb", "1", kernel="not-here")
    page.page.goto(lab.address(name))
    page.page.wait_for_selector(".jp-Dialog", timeout=60_000)
    assert "kernel" in page.dialogs()[0].lower()


@pytest.mark.notebook
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_opens_and_runs(lesson: str, lab: Lab, page: LabPage, repository: Path) -> None:
    """As papermill gives it seed 1, in a folder of its own, with short trainings, whose figures are held to short.json.

    A lesson may not depend on where it lies. nbval runs the lessons at their full length.
    """
    stem = Path(lesson).stem
    folder = lab.folder / stem
    shutil.copytree(lab.folder / "figures", folder / "figures")
    (folder / "notebooks").mkdir()
    made = run(repository / "notebooks" / lesson, folder / "notebooks", prepare_only=True)
    page.open(str(made.relative_to(lab.folder)))
    assert page.dialogs() == []
    assert page.errors() == [], "as committed, before anything runs"
    page.clear_outputs()
    page.run_all(SECONDS)
    assert page.errors() == []
    assert page.dialogs() == []
    page.screenshot(repository / "build" / "screenshots" / f"{stem}.png")
    page.save()
    lab.stop_kernels()
    assert wrong(stem, evaluated(made)) == []
    assert unsolved(nbformat.read(made, as_version=4)) == [], "every solution is right for this seed too"
    assert [path.name for path in made.parent.iterdir() if not path.name.startswith(".")] == [made.name]
