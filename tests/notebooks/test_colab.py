"""Lessons for Colab: a badge with the lesson's own address, an install cell idle elsewhere, still clean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.colab import INSTALL, main, with_badge
from tests.notebooks.hygiene import problems

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_with_a_badge_is_clean_and_adding_it_twice_adds_it_once(path, tmp_path):
    once = with_badge(nbformat.read(path, as_version=4), path.name, "ann/kit")
    assert f"/github/ann/kit/blob/main/notebooks/{path.name})" in once.cells[0].source.splitlines()[0]
    assert "git+https://github.com/ann/kit" in once.cells[1].source
    nbformat.write(once, tmp_path / path.name)
    assert problems(tmp_path / path.name) == []
    twice = with_badge(nbformat.read(tmp_path / path.name, as_version=4), path.name, "ann/kit")
    assert nbformat.writes(twice) == nbformat.writes(once)


COLAB = """
import importlib.util, sys, types
colab, output = types.ModuleType("google.colab"), types.ModuleType("google.colab.output")
output.enable_custom_widget_manager, colab.output = lambda: print("widgets"), output
sys.modules |= {"google": types.ModuleType("google"), "google.colab": colab, "google.colab.output": output}
"""
MISSING = (
    "find = importlib.util.find_spec\nimportlib.util.find_spec = lambda n: None if n == 'mmrec_lite' else find(n)\n"
)


def what_it_does(before: str = "") -> list[str]:
    """What the install cell prints in a fresh Python, where installing is printed, too."""
    source = INSTALL.format(repository="ann/kit", extras="notebooks").replace("%pip", "print('pip') #")
    command = [sys.executable, "-c", before + source]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_the_install_cell_installs_on_colab_once_and_does_nothing_elsewhere():
    assert what_it_does() == []
    assert what_it_does(COLAB + MISSING) == ["pip", "widgets"]
    assert what_it_does(COLAB) == ["widgets"], "after a restart of the kernel the package is there already"


def test_a_lesson_that_encodes_installs_encoders(tmp_path):
    main(["ann/kit", str(tmp_path)])
    cells = {p.name[:2]: nbformat.read(p, as_version=4).cells[1].source for p in tmp_path.glob("*.ipynb")}
    assert {name for name, source in cells.items() if "[notebooks,features,offline] @" in source} == {"02", "06", "12"}
    assert sum("[notebooks] @" in source for source in cells.values()) == len(LESSONS) - 3


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be 'owner/name'"):
        main(["https://example.org/x", str(tmp_path)])
