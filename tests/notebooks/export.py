"""Copies of the lessons for a class: `make student`, `make slides`, `make site`.

    python -m tests.notebooks.export student build/student    lessons without solutions and outputs
    python -m tests.notebooks.export slides build/slides      a deck of each (reveal.js)
    python -m tests.notebooks.export site build/site          all as pages, index.html first

All are derived from the committed notebooks by cell tags (`solution`, `exercise`, ...); nothing is executed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter, NotebookExporter, SlidesExporter
from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from traitlets.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDED = re.compile(r"<details>\s*<summary>.*?</details>\s*", re.DOTALL)
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
IMAGE = re.compile(r"<img\b", re.IGNORECASE)
SHOWN_LINES = 8  # code that is longer is for the page, not for a wall
# nbconvert's prompts, numbers and links are too pale for WCAG AA.
STYLE = """
<style>
.jp-InputPrompt, .jp-OutputPrompt { color: #4a4a4a !important; opacity: 1 !important; }
.highlight .mi, .highlight .mf, .highlight .mb { color: #00600f !important; }
.highlight .ow, .highlight .o { color: #7a1fa2 !important; }
.highlight .c1, .highlight .c { color: #35626b !important; }
a { color: #00539f !important; text-decoration: underline !important; }
.jp-RenderedHTMLCommon table { display: block; overflow-x: auto; }
nav.lessons { padding: 8px 16px; font: 15px sans-serif; }
</style>
"""


class Unfold(Preprocessor):
    """Remove folded solutions and answers from markdown; a cell that held nothing else goes, too."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Return the notebook without them."""
        kept = []
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = FOLDED.sub("", cell.source).strip()
            if cell.source.strip():
                kept.append(cell)
        nb.cells = kept
        return nb, resources


class Deck(Preprocessor):
    """Say where a slide begins: at a heading, at a picture, at code short enough to be read from the last row."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Return the notebook with slide types, and with tags on the inputs to hide."""
        for cell in nb.cells:
            kind, tags = "-", cell.metadata.setdefault("tags", [])
            if cell.cell_type == "markdown":
                kind = {"# ": "slide", "## ": "slide", "### ": "subslide"}.get(cell.source.split(" ")[0] + " ", "-")
                if cell.source.startswith("**What the "):
                    kind = "subslide"
            elif not cell.outputs:
                kind = "skip"  # what it makes, the next cells show
            else:
                pictured = any(
                    IMAGE.search(str(output.get("data", {}).get("text/html", ""))) for output in cell.outputs
                )
                kind = "subslide"
                if pictured or len(cell.source.splitlines()) > SHOWN_LINES:
                    tags.append("no-input")
            cell.metadata.slideshow = {"slide_type": kind}
        return nb, resources


def _tags(hidden_cells: Iterable[str], hidden_inputs: Iterable[str] = ()) -> Config:
    options = {"enabled": True, "remove_cell_tags": set(hidden_cells), "remove_input_tags": set(hidden_inputs)}
    return Config(TagRemovePreprocessor=options)


def student(notebook: NotebookNode) -> str:
    """Return a lesson without solutions and outputs, as the text of an .ipynb."""
    exporter = NotebookExporter(config=_tags(["solution"]))
    for step in (TagRemovePreprocessor(parent=exporter), Unfold(), ClearOutputPreprocessor()):
        exporter.register_preprocessor(step, enabled=True)
    text, _ = exporter.from_notebook_node(notebook)
    bare = nbformat.reads(text, as_version=4)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
    return nbformat.writes(bare) + "\n"


def slides(notebook: NotebookNode, title: str) -> str:
    """Return a lesson as a reveal.js deck; long slides scroll."""
    # Before the exporter: its own first step reads where slides begin, and must not read cells that will go.
    config = _tags(["solution", "check", "exercise", "parameters"], ["no-input"])
    for step in (Unfold(), Deck(), TagRemovePreprocessor(config=config)):
        notebook, _ = step.preprocess(notebook, {})
    exporter = SlidesExporter()
    exporter.reveal_scroll = True
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return _styled(text, title)


def page(notebook: NotebookNode, title: str, pages: dict[str, str]) -> str:
    """Return a notebook as an HTML page whose links lead to the other pages (`pages`: file -> page)."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda found: _target(found, pages), cell.source)
    exporter = HTMLExporter(template_name="lab")
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    home = '<nav class="lessons" aria-label="lessons"><a href="index.html">All lessons</a></nav>'
    text = _styled(text, title)
    return re.sub(r"(<body[^>]*>)", lambda found: found[1] + (home if title != "The lessons" else ""), text, count=1)


def _target(link: re.Match[str], pages: dict[str, str]) -> str:
    """Lead a link to a lesson to its page; the rest stays."""
    return pages.get(link[1], link[1]) + (link[2] or "")


def _styled(text: str, title: str) -> str:
    text = re.sub(r"<title>.*?</title>", lambda _: f"<title>{title}</title>", text, count=1, flags=re.DOTALL)
    return text.replace("</head>", STYLE + "</head>", 1)


def title_of(notebook: NotebookNode, name: str) -> str:
    """Return the first heading, without its mark-up."""
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    found = re.match(r"#\s+(.+)", first)
    return found[1].strip() if found else name


def make_site(sources: Path, out: Path, figures: Path | None = None) -> list[Path]:
    """Write every lesson and text of a folder as pages, with the pictures they show; return the pages."""
    lessons = sorted(sources.glob("[0-9]*.ipynb"))
    texts = {path.name: path for path in sorted(sources.glob("*.md"))}
    pages = {path.name: f"{path.stem}.html" for path in lessons} | {name: f"{Path(name).stem}.html" for name in texts}
    pages |= {"README.md": "index.html"}
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in lessons:
        notebook = nbformat.read(path, as_version=4)
        written.append(_write(out / pages[path.name], page(notebook, title_of(notebook, path.stem), pages)))
    for name, path in texts.items():
        notebook = new_notebook(cells=[new_markdown_cell(_pictures(path.read_text(encoding="utf-8")))])
        title = "The lessons" if name == "README.md" else title_of(notebook, path.stem)
        written.append(_write(out / pages[name], page(notebook, title, pages)))
    if figures is not None and figures.is_dir():
        shutil.copytree(figures, out / "figures", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.csv"))
    return written


def _pictures(text: str) -> str:
    return text.replace("](../figures/", "](figures/")


def _write(path: Path, text: str) -> Path:
    """Write beside, then rename."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path


def _each(sources: Path, out: Path, ending: str, convert: Callable[[NotebookNode, str], str]) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(sources.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        written.append(_write(out / f"{path.stem}{ending}", convert(notebook, title_of(notebook, path.stem))))
    return written


def main(arguments: list[str] | None = None) -> int:
    """Make one kind of copies of the lessons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["student", "slides", "site"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--notebooks", type=Path, default=REPOSITORY / "notebooks")
    options = parser.parse_args(arguments)
    if options.kind == "student":
        written = _each(options.notebooks, options.out, ".ipynb", lambda notebook, title: student(notebook))
    elif options.kind == "slides":
        written = _each(options.notebooks, options.out, ".slides.html", slides)
    else:
        written = make_site(options.notebooks, options.out, REPOSITORY / "figures")
    print(f"{len(written)} files in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
