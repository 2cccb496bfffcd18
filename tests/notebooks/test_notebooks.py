"""Every lesson is clean as committed and runs with another seed than its own (nbval runs it with its own)."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import mmrec_lite as mm
from tests.browser.chromium import chromium
from tests.notebooks.execute import FOLDED, main, tidy
from tests.notebooks.hygiene import EXERCISE, MAX_BYTES, exercise_steps, problems, unsolved
from tests.notebooks.reference import (
    BOUNDED,
    BOUNDS,
    FILE,
    MEASURES_NOTHING,
    SHOP,
    TRAINED,
    best,
    differing,
    measure,
    wrong,
)

NOTEBOOKS = sorted(Path(__file__).resolve().parents[2].glob("notebooks/[0-9]*.ipynb"))
REFERENCE = json.loads(FILE.read_text(encoding="utf-8"))  # by lesson: best recall@20 after two epochs
# With a browser here, tests/browser runs the same lessons with the same parameters and holds their figures to the same
# file: papermill then runs one.
BY_PAPERMILL = NOTEBOOKS if chromium() is None else [path for path in NOTEBOOKS if path.stem == "07_comparison"]
CELL_TIMEOUT = int(os.environ.get("CELL_TIMEOUT", "600"))
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_is_clean(notebook: Path) -> None:
    assert problems(notebook) == []


@each_notebook
def test_every_parameter_is_typed_and_explained(notebook: Path) -> None:
    parameters = papermill.inspect_notebook(str(notebook))
    vague = [
        name
        for name, parameter in parameters.items()
        if not parameter["help"] or parameter["inferred_type_name"] == "None"
    ]
    assert vague == [], "write `name: type = value  # what it does`"


@each_notebook
def test_teaches(notebook: Path) -> None:
    """Objectives, time, two exercises or more, each with its difficulty, to be filled in, checked and looked up."""
    lesson = nbformat.read(notebook, as_version=4)
    words = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    assert "**You will learn**" in words or "**What you will learn**" in words
    assert re.search(r"\*\*Time\*\* .*(minute|hour)", words)
    steps = exercise_steps(lesson)
    asked = steps.count("difficulty")
    assert asked >= 2
    assert steps == [*EXERCISE] * asked, "every exercise: difficulty, cell to fill in, check, folded words, solution"
    unsolved = [cell.source for cell in lesson.cells if "check" in cell.metadata.get("tags", []) and not cell.outputs]
    assert unsolved == [], "an exercise nobody has filled in still says so"


def exercise_cells(without: str = "") -> list[NotebookNode]:
    cells = {
        "difficulty": new_markdown_cell("**A.** *(difficulty 2 of 5, 10 minutes).* How many?"),
        "exercise": new_code_cell("n = None", metadata={"tags": ["exercise"]}),
        "check": new_code_cell("check(n)", metadata={"tags": ["check"]}),
        "folded": new_markdown_cell("<details><summary><b>Solution</b></summary>\n\nTwo.\n</details>"),
        "solution": new_code_cell("n = 2", metadata={"tags": ["solution"]}),
    }
    return [cell for step, cell in cells.items() if step != without]


def test_an_exercise_that_lacks_a_part_is_found() -> None:
    cells = [*exercise_cells(), new_markdown_cell("The next one:"), *exercise_cells()]
    assert exercise_steps(new_notebook(cells=cells)) == [*EXERCISE] * 2
    for step in EXERCISE:
        lesson = new_notebook(cells=[*exercise_cells(), *exercise_cells(without=step)])
        assert exercise_steps(lesson) == [*EXERCISE, *(other for other in EXERCISE if other != step)]


@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.parametrize("notebook", BY_PAPERMILL, ids=lambda path: path.stem)
def test_runs_with_another_seed(notebook: Path, tmp_path: Path) -> None:
    # In an empty folder: a lesson may not depend on where it lies, nor write into the repository. Short trainings:
    # nbval runs the lessons at their full length.
    rows, without = measure(notebook, tmp_path, CELL_TIMEOUT)
    assert wrong(notebook.stem, rows) == []
    assert without == [], "every solution is right for this seed too"


def test_figures_are_compared_with_a_tolerance() -> None:
    expected = {"micro": 0.1, "mf": 0.01}
    assert differing(expected, {"micro": 0.124, "mf": 0.0129, "pamd": 0.5}) == []
    assert differing(expected, {"micro": 0.124, "mf": 0.024}) == ["mf has recall@20 0.0240, expected 0.0100"]
    assert differing(expected, {"micro": 0.05, "mf": 0.01}) == ["micro has recall@20 0.0500, expected 0.1000"]
    assert differing(expected, {"micro": 0.1, "mf": 0.03}) == ["mf has recall@20 0.0300, expected 0.0100"]
    assert differing({"mf": 0.01}, {}) == ["mf is not measured any more, it had recall@20 0.0100"]


def row(method: str = "micro", recall: float = 0.1) -> dict[str, object]:
    shop = {"data": mm.load(SHOP).hash, "protocol": "ratio", "plain": True}
    return {"method": method, "recall@20": recall} | shop


def test_what_cannot_be_right_is_said() -> None:
    assert wrong("a lesson", [row(), row("popularity", 0.05)]) == []
    assert wrong("a lesson", []) == ["a lesson evaluates 0 times"]
    assert wrong("02_features", [row()]) == ["02_features evaluates 1 times"]
    assert "outside [0, 1]" in wrong("a lesson", [row() | {"ndcg@20": 1.5}])[0]
    assert "outside [0.03, 0.07]" in wrong("a lesson", [row("popularity", 0.1), row()])[0]
    assert "nothing was learned" in wrong("a lesson", [row(recall=0.01), row("mf", 0.02)])[0]
    assert "not measured any more" in wrong("03_micro_losses", [row("mf", 0.1)])[0]
    timed = {"protocol": "leave-one-out"}
    assert "outside [0.03, 0.07]" in wrong("a lesson", [row("popularity", 0.1) | timed, row() | timed])[0]
    assert "nothing was learned" in wrong("a lesson", [row(recall=0.0) | timed, row()])[0]
    assert wrong("a lesson", [row("popularity", 0.0) | {"protocol": "cold-items"}, row()]) == []


def test_a_method_s_best_figure_counts() -> None:
    rows = [row(name, value) for name, value in (("b", 0.2), ("a", 0.1), ("b", 0.3))]
    rows.append(row("b", 0.4) | {"protocol": "leave-one-out"})
    assert best(rows) == {"a, bazaar, ratio": 0.1, "b, bazaar, leave-one-out": 0.4, "b, bazaar, ratio": 0.3}


def test_figures_are_of_lessons_that_are_there() -> None:
    """And each lies within the bounds for every lesson."""
    assert REFERENCE.keys() <= {notebook.stem for notebook in NOTEBOOKS} - MEASURES_NOTHING
    for figures in REFERENCE.values():
        for figure, value in figures.items():
            name, data, protocol = figure.split(", ")
            low, high = BOUNDS.get(name, TRAINED) if protocol in BOUNDED else (0, 1)
            assert data == SHOP and low <= value <= high, figure


def good_notebook() -> NotebookNode:
    cells = [
        new_markdown_cell("# A lesson\n\n![a curve that falls](curve.png)"),
        new_code_cell(
            "seed: int = 0  # of everything random\nprofile: str = 'lecture'  # or paper",
            execution_count=1,
            metadata={"tags": ["parameters"]},
        ),
        new_code_cell("print(1 + 1)", execution_count=2, outputs=[new_output("stream", text="2\n")]),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def check(notebook: NotebookNode, folder: Path) -> list[str]:
    path = folder / "lesson.ipynb"
    nbformat.write(notebook, path)
    return problems(path)


def html(text: str) -> NotebookNode:
    return new_output("display_data", data={"text/html": text, "text/plain": "…"})


def adds(output: NotebookNode) -> Callable[[NotebookNode], object]:
    return lambda nb: nb.cells[2].outputs.append(copy.deepcopy(output))


def solves(text: str, folded: bool = True) -> Callable[[NotebookNode], object]:
    """Make the third cell a solution that printed this."""

    def change(nb: NotebookNode) -> None:
        nb.cells[2].metadata.update(tags=["solution"], **({"jupyter": dict(FOLDED)} if folded else {}))
        nb.cells[2].outputs[:1] = [new_output("stream", text=text)]

    return change


WIDGET_VIEW = new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}})


def test_a_good_notebook_has_no_problems(tmp_path: Path) -> None:
    lesson = good_notebook()
    lesson.cells[2].outputs += [html('<img alt="two items" src="data:image/png;base64,AA/tmp/AAAA">')]
    lesson.cells[0].source += "\nSee https://example.org/home/page and `./tmp/x`, `lam=0.7`."
    assert check(lesson, tmp_path) == []


FAULTS: dict[str, tuple[Callable[[NotebookNode], object], str]] = {
    "kernel": (lambda nb: nb.metadata.kernelspec.update(name="my-env"), "kernelspec is 'my-env'"),
    "no kernel": (lambda nb: nb.metadata.pop("kernelspec"), "kernelspec is None"),
    "widget state": (lambda nb: nb.metadata.update(widgets={}), "metadata.widgets"),
    "papermill": (lambda nb: nb.metadata.update(papermill={"duration": 3}), "metadata.papermill"),
    "cell timing": (lambda nb: nb.cells[2].metadata.update(execution={}), "cell 2: metadata.execution"),
    "untagged": (lambda nb: nb.cells[1].metadata.pop("tags"), "0 cells are tagged"),
    "tagged twice": (lambda nb: nb.cells[2].metadata.update(tags=["parameters"]), "2 cells are tagged"),
    "no seed": (lambda nb: nb.cells[1].update(source="profile: str = 'lecture'"), "does not set 'seed'"),
    "path in source": (lambda nb: nb.cells[2].update(source="open('/home/ann/x.csv')"), "/home/ann"),
    "path in stream": (adds(new_output("stream", text="/tmp/a1")), "/tmp/a1"),
    "path in html": (adds(html("<b>/Users/ann</b>")), "/Users/ann"),
    "error": (adds(new_output("error", ename="KeyError", evalue="k")), "KeyError"),
    "long": (lambda nb: nb.cells[2].update(source="x = 1\n" * 16), "16 lines"),
    "wide": (lambda nb: nb.cells[2].update(source="x = " + "1 + " * 40 + "1"), "a line of 165 letters"),
    "measured": (lambda nb: nb.cells[2].update(source='plots.show(f, "at " f"{n}, not 0.203")'), "not 0.203"),
    "semicolon": (lambda nb: nb.cells[2].update(source="plot();\n"), "ends with ';'"),
    "img": (adds(html('<img src="a.png" alt="">')), "<img> without"),
    "markdown image": (lambda nb: nb.cells[0].update(source="![](a.png)"), "without alternative text"),
    "no outputs": (lambda nb: nb.cells[2].update(outputs=[]), "no cell has an output"),
    "out of order": (lambda nb: nb.cells[2].update(execution_count=7), "execution counts"),
    "big": (lambda nb: nb.cells[0].update(source="a" * MAX_BYTES), "bytes"),
    "widget view": (adds(WIDGET_VIEW), "widget's view"),
    "open solution": (solves("right 2\n", folded=False), "not folded"),
    "wrong solution": (solves("not yet: 2 is not it\n"), "not called right: 'not yet: 2"),
    "one wrong of two": (solves("right not yet: 2 is not it\n"), "not called right"),
    "silent solution": (solves("2\n"), "not called right: '2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, tmp_path: Path) -> None:
    spoil, sentence = FAULTS[fault]
    lesson = copy.deepcopy(good_notebook())
    spoil(lesson)
    found = check(lesson, tmp_path)
    assert len(found) == 1, found
    assert sentence in found[0]


def test_a_solution_s_verdict_is_read_wherever_it_stands() -> None:
    """Printed, or the cell's result; the data's "cannot tell" and a judged claim are verdicts too."""
    shown = ("['right', 'right']", "these data cannot tell", "   better worse  difference   noise         verdict\n0")
    for text, said in [(text, []) for text in shown] + [("['right', 'not yet answered']", ["cell 2"])]:
        result = new_output("execute_result", data={"text/plain": text}, execution_count=2)
        for output in (result, new_output("stream", text=text)):
            lesson = good_notebook()
            lesson.cells[2].update(outputs=[output], metadata={"tags": ["solution"]})
            assert [sentence[:6] for sentence in unsolved(lesson)] == said


def test_a_broken_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lesson.ipynb"
    path.write_text('{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert "not a valid notebook" in problems(path)[0]


def test_tidy_mends_what_can_be_mended(tmp_path: Path) -> None:
    lesson = good_notebook()
    for fault in ("kernel", "widget state", "papermill", "cell timing", "widget view", "open solution"):
        FAULTS[fault][0](lesson)
    assert len(check(lesson, tmp_path)) == 6
    assert check(tidy(lesson), tmp_path) == []


@pytest.mark.slow
@pytest.mark.notebook
def test_execute_in_place_keeps_the_file_of_a_failing_notebook(tmp_path: Path) -> None:
    lesson = good_notebook()
    lesson.cells[2].update(source="print(seed + 41)", outputs=[], execution_count=None)
    works, fails = tmp_path / "works.ipynb", tmp_path / "fails.ipynb"
    nbformat.write(lesson, works)
    lesson.cells[2].source = "raise ValueError('no')"
    nbformat.write(lesson, fails)
    before = fails.read_bytes()
    assert main([str(works), str(fails), "--timeout", "60"]) == 1
    assert fails.read_bytes() == before
    assert problems(works) == []
    assert nbformat.read(works, 4).cells[2].outputs[0].text == "41\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fails.ipynb", "works.ipynb"]
