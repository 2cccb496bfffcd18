"""`mmrec sweep` and `mmrec results`: one executed notebook and one row a point."""

from __future__ import annotations

import json

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

import mmrec_lite as mm
from mmrec_lite.cli import app
from mmrec_lite.experiments import collect, sweep_lesson
from tests.tiny import tiny_shop

pytestmark = [pytest.mark.slow, pytest.mark.notebook]


@pytest.fixture
def lesson(tmp_path):
    cells = [
        new_code_cell("k: int = 1  # a number\nseed: int = 0  # another", metadata={"tags": ["parameters"]}),
        new_code_cell("from mmrec_lite.experiments import record\nrecord(recall=k / 10 + seed)"),
        new_code_cell("assert k != 7, 'seven'\nrecord(last=k)"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), tmp_path / "09_lesson.ipynb")
    return tmp_path / "09_lesson.ipynb"


def mmrec(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_one_notebook_and_one_row_each(lesson, tmp_path):
    result = mmrec("sweep", lesson, "-p", "k", "5,7", "-p", "seed=0,1", "--save", tmp_path / "out", "--jobs", 2)
    assert result.exit_code == 1 and "4 notebooks in" in result.output and "2 failed" in result.output
    rows = collect(tmp_path / "out").sort_values(["k", "seed"])
    assert rows[["k", "seed"]].to_numpy().tolist() == [[5, 0], [5, 1], [7, 0], [7, 1]]
    assert rows["recall"].tolist()[:2] == [0.5, 1.5] and rows["last"].tolist()[:2] == [5, 5]
    assert rows["error"].tolist()[2:] == ["cell 4: AssertionError: seven"] * 2  # papermill adds one
    notebooks = sorted((tmp_path / "out").glob("*/notebook.ipynb"))
    assert len(notebooks) == 4 and all(nbformat.read(n, 4).metadata.papermill for n in notebooks)
    before = {n: n.stat().st_mtime_ns for n in notebooks}
    table = sweep_lesson(lesson, {"k": [5], "seed": [0, 1]}, tmp_path / "out", progress=False)
    assert table["recall"].tolist() == [0.5, 1.5]
    assert {n: n.stat().st_mtime_ns for n in notebooks} == before  # finished ones are read
    assert {p.name for p in next((tmp_path / "out").glob("09*")).iterdir()} == {"notebook.ipynb", "row.json"}


def test_a_lesson_has_the_threads_of_its_sweep(lesson, tmp_path, monkeypatch):
    """Bits depend on them: one, whatever the shell says (that processes are told is test_sweeps')."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    told = "import torch; from mmrec_lite.experiments import record; record(threads_seen=torch.get_num_threads())"
    notebook = nbformat.read(lesson, 4)
    notebook.cells[1:] = [new_code_cell(told)]
    nbformat.write(notebook, lesson)
    assert sweep_lesson(lesson, {"k": [1]}, tmp_path / "out", progress=False)["threads_seen"].tolist() == [1]


def test_a_point_is_repeated_where_its_files_are_others(lesson, tmp_path, monkeypatch):
    """A relative folder of another place, or the same one with new orders, once gave the former row."""
    notebook = nbformat.read(lesson, 4)
    read = "from pathlib import Path; from mmrec_lite.experiments import record\n"
    notebook.cells[0].source = 'data: str = ""\nsave: str = ""'
    notebook.cells[1:] = [new_code_cell(f"{read}record(orders=(Path(data) / 'orders.csv').read_text())")]
    notebook.cells.append(new_code_cell("(Path(save) / '.claims').mkdir(parents=True, exist_ok=True)"))
    notebook.cells.append(new_code_cell("(Path(save) / f'{len(list(Path(save).iterdir()))}.txt').touch()"))
    nbformat.write(notebook, lesson)
    for place in ("here", "there"):
        (tmp_path / place / "shop").mkdir(parents=True)
        (tmp_path / place / "shop" / "orders.csv").write_text(place)

    def swept(place):
        monkeypatch.chdir(tmp_path / place)
        row = sweep_lesson(lesson, {"data": ["shop"], "save": ["kept"]}, tmp_path / "out", progress=False).iloc[0]
        return row["orders"], row["id"]

    first = swept("here")
    assert first[0] == "here" and swept("here") == first  # though its own folder of kept runs has grown
    (tmp_path / "here" / "shop" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "here" / "shop" / ".ipynb_checkpoints" / "orders-checkpoint.csv").touch()
    assert swept("here") == first
    assert swept("there")[0] == "there"
    (tmp_path / "here" / "shop" / "orders.csv").write_text("new")
    assert swept("here")[0] == "new"
    ids = [sweep_lesson(lesson, {"data": ["shop"]}, "shop/rows", progress=False)["id"][0] for _ in range(2)]
    assert ids[0] == ids[1]  # its rows are no new orders


def test_what_jupyter_leaves_beside_a_notebook_stays(lesson, tmp_path):
    """Who looked into a point that failed can have it repeated; only what a killed sweep left is cleared away."""
    points = {"k": [7], "seed": [0]}
    assert sweep_lesson(lesson, points, tmp_path / "out", progress=False)["error"].notna().all()
    point = next((tmp_path / "out").glob("09*"))
    (point / ".ipynb_checkpoints").mkdir()
    (point / ".ipynb_checkpoints" / "notebook-checkpoint.ipynb").touch()
    for name in (".mine", ".notebook.0123abcd.ipynb", ".row.0123abcd"):
        (point / name).touch()
    assert sweep_lesson(lesson, points, tmp_path / "out", progress=False)["error"].tolist() == [
        "cell 4: AssertionError: seven"
    ]
    assert {p.name for p in point.iterdir()} == {".ipynb_checkpoints", ".mine", "notebook.ipynb", "row.json"}


def test_mistakes_are_one_line(lesson, tmp_path):
    for arguments, sentence in [
        (["-p", "kk", "5"], "has no parameter 'kk'; it has k, seed"),
        (["-p", "k"], "-p k: expected values"),
        (["-p", "k", "5", "6"], "'6' belongs to no -p"),
        (["-p", "k=5", "-p", "k", "6"], "it is given twice"),
    ]:
        result = mmrec("sweep", lesson, *arguments, "--save", tmp_path / "out")
        assert result.exit_code == 2 and sentence in result.output, result.output
    assert "'lesson.py' is no notebook (.ipynb) and no method" in mmrec("sweep", "lesson.py").output
    assert "there is no notebook" in mmrec("sweep", tmp_path / "no.ipynb").output


def test_results_are_collected_and_exported(tmp_path):
    for seed in (0, 1):
        mm.run("mf", tiny_shop(), seed=seed, save=tmp_path, dim=3, epochs=1)
        mm.run("random", tiny_shop(), seed=seed, save=tmp_path)
    assert mmrec("results", tmp_path, "--metric", "recall@20").output.count("\n") == 5
    told = mmrec("results", tmp_path, "--by", "method", "--reference", "random", "--format", "markdown")
    assert told.stderr.startswith("mmrec: versus: all runs have one split.") and told.stderr.count("\n") == 1
    markdown = told.stdout
    assert markdown.startswith("| method") and "±" in markdown and "p (Holm)" in markdown
    assert "Written to" in mmrec("results", tmp_path, "--out", tmp_path / "t.csv").output
    assert len(pd.read_csv(tmp_path / "t.csv")) == 4
    assert json.loads((tmp_path / next(iter(tmp_path.glob("mf*"))).name / "row.json").read_text())["method"] == "mf"
    assert "holds no results" in mmrec("results", tmp_path / "none").output


def test_a_metric_stands_beside_the_settings_that_vary(tmp_path):
    for dim in (3, 5):
        mm.run("mf", tiny_shop(), save=tmp_path, dim=dim, epochs=1)
    assert mmrec("results", tmp_path, "--metric", "recall@20", "--out", tmp_path / "t.csv").exit_code == 0
    table = pd.read_csv(tmp_path / "t.csv")
    assert list(table) == ["id", "method", "set dim", "seed", "recall@20"] and sorted(table["set dim"]) == [3, 5]


def test_a_lesson_s_row_knows_its_parameters(lesson, tmp_path):
    assert mmrec("sweep", lesson, "-p", "k", "1,2", "--save", tmp_path / "out").exit_code == 0
    assert mmrec("results", tmp_path / "out", "--metric", "seconds", "--out", tmp_path / "t.csv").exit_code == 0
    assert sorted(pd.read_csv(tmp_path / "t.csv")["k"]) == [1, 2]
