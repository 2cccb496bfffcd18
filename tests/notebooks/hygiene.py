"""What a committed notebook must look like, as a list of sentences about what is wrong with one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tests.notebooks.execute import FOLDED

MAX_LINES = 15
MAX_WIDTH = 120  # what a page of 1,100 points and a laptop beside the file browser show
MAX_BYTES = 1_500_000
REQUIRED_PARAMETERS = ("seed", "profile")
TIMINGS = ("papermill", "execution", "ExecuteTime")
ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users)/[\w.-]+|\b[A-Z]:\\+Users\b")
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE | re.DOTALL)
ALT = re.compile(r"""\balt\s*=\s*(?:"[^"]*\w[^"]*"|'[^']*\w[^']*')""", re.IGNORECASE)
MARKDOWN_IMAGE_WITHOUT_ALT = re.compile(r"!\[\s*\]\(")
MAGIC = re.compile(r"^(\s*)[%!].*", re.MULTILINE)  # IPython's own lines
MEASURED = re.compile(r"\d\.\d\d")  # a setting, such as 0.7, has fewer decimals
WIDGET = "application/vnd.jupyter.widget-view+json"
WORDS_OF_AN_EXERCISE = re.compile(r"(?P<difficulty>difficulty \d(?: of |/)5, )|(?P<folded><details><summary>)")
RIGHT = re.compile(r"\bright\b|\bthese data cannot tell\b|\bnoise +verdict\b")  # the last: a claim, judged in a table
WRONG = re.compile(r"\bnot yet\b|\bone of R, T, V, G\b")
EXERCISE = ("difficulty", "exercise", "check", "folded", "solution")  # asked, filled in, checked, told, computed


def exercise_steps(notebook: NotebookNode) -> list[str]:
    """What a lesson's exercises are made of, in the lesson's order: `EXERCISE`, once for each."""
    found: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found += [match.lastgroup for match in WORDS_OF_AN_EXERCISE.finditer(cell.source)]
        else:
            found += [tag for tag in cell.metadata.get("tags", []) if tag in EXERCISE]
    return found


def unsolved(notebook: NotebookNode) -> list[str]:
    """One sentence for each solution that its own check does not call right."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            outputs = [output for output in cell.outputs if output.output_type in ("stream", "execute_result")]
            said = "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)
            if WRONG.search(said) or not RIGHT.search(said):
                found.append(f"cell {number}: a solution that is not called right: {said[:60]!r}")
    return found


def problems(path: Path) -> list[str]:
    """One sentence for each thing wrong with the notebook at `path`; empty if it is clean."""
    found = []
    if (size := path.stat().st_size) >= MAX_BYTES:
        found.append(f"the file has {size:,} bytes, {MAX_BYTES:,} are too many: draw smaller pictures")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever is wrong with the format, the reader's own words say it best
        return [*found, f"not a valid notebook: {error}"]
    found += _metadata(notebook)
    found += _parameters(notebook)
    found += _execution(notebook)
    found += unsolved(notebook)
    for number, cell in enumerate(notebook.cells):
        found += [f"cell {number}: {sentence}" for sentence in _cell(cell)]
    return found


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _metadata(notebook: NotebookNode) -> Iterator[str]:
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"kernelspec is {kernel!r}, not 'python3': JupyterLab would ask which kernel to use"
    if "widgets" in notebook.metadata:
        yield "metadata.widgets is there: web previews show 'Invalid Notebook'"
    for key in TIMINGS:
        if key in notebook.metadata:
            yield f"metadata.{key} is there: timings change with every run"


def _parameters(notebook: NotebookNode) -> Iterator[str]:
    cells = [cell for cell in _code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        yield f"{len(cells)} cells are tagged 'parameters', not exactly one"
        return
    for name in REQUIRED_PARAMETERS:
        if not re.search(rf"^{name}\b[^=\n]*=", cells[0].source, re.MULTILINE):
            yield f"the parameters cell does not set {name!r}"


def _execution(notebook: NotebookNode) -> Iterator[str]:
    cells = _code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield "the execution counts are not 1, 2, 3, …: execute it from top to bottom (make notebooks)"
    if not any(cell.outputs for cell in cells):
        yield "no cell has an output: a page without a kernel would teach nothing"


def _cell(cell: NotebookNode) -> Iterator[str]:
    for key in TIMINGS:
        if key in cell.metadata:
            yield f"metadata.{key} is there: timings change with every run"
    texts = [cell.source]
    if cell.cell_type == "code":
        if "solution" in cell.metadata.get("tags", []) and dict(cell.metadata.get("jupyter", {})) != FOLDED:
            yield "a solution that is not folded: code and output must be hidden (make notebooks)"
        if (lines := len(cell.source.splitlines())) > MAX_LINES:
            yield f"{lines} lines, {MAX_LINES} at most: the code belongs in the library"
        if (width := max(map(len, cell.source.splitlines()), default=0)) > MAX_WIDTH:
            yield f"a line of {width} letters, {MAX_WIDTH} at most: a page cuts it off"
        for figure in _measured(cell.source):
            yield f"an alternative text that states {figure}: compute it, another seed has another"
        if cell.source.rstrip().endswith(";"):
            yield "ends with ';': that changes the output when nbval runs it"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"holds an error: {output.ename}: {output.evalue}"
            if WIDGET in output.get("data", {}):
                yield "holds a widget's view: without a kernel it shows as an error (make notebooks)"
            texts += _texts(output)
    elif MARKDOWN_IMAGE_WITHOUT_ALT.search(cell.source):
        yield "a picture without alternative text: ![what it shows](…)"
    for text in texts:
        yield from _text(text)


def _measured(source: str) -> Iterator[str]:
    """Figures written out in the words that go with a picture."""
    calls = [node for node in ast.walk(ast.parse(MAGIC.sub(r"\1pass", source))) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("show", "save_figure"):
            for part in (part for argument in call.args for part in ast.walk(argument)):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and MEASURED.search(part.value):
                    yield repr(part.value)


def _texts(output: NotebookNode) -> Iterator[str]:
    yield output.get("text", "")
    yield "\n".join(output.get("traceback", []))
    for mime, value in output.get("data", {}).items():
        if mime.startswith("text/") or mime == "image/svg+xml":
            yield value


def _text(text: str) -> Iterator[str]:
    text = DATA_URI.sub("data:", text)
    if path := ABSOLUTE_PATH.search(text):
        yield f"names a path of one machine: {path[0]}"
    for image in IMG.findall(text):
        if not ALT.search(image):
            yield f"an <img> without alternative text: {image[:60]}"
