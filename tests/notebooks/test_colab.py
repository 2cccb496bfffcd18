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


def test_the_install_cell_does_nothing_elsewhere():
    source = INSTALL.format(repository="ann/kit").replace("    %pip", "    raise SystemExit('installed') #")
    subprocess.run([sys.executable, "-c", source], check=True)


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be 'owner/name'"):
        main(["https://example.org/x", str(tmp_path)])
