"""Copies of the lessons for a class: `make student`, `make slides`, `make site`.

    python -m tests.notebooks.export student build/student    lessons without solutions and outputs
    python -m tests.notebooks.export slides build/slides      a deck of each (--reveal FOLDER: a copy of reveal.js)
    python -m tests.notebooks.export site build/site          all as pages, index.html first

All are derived from the committed notebooks by cell tags (`solution`, `exercise`, ...); nothing is executed.
"""

from __future__ import annotations

import argparse
import base64
import html
import os
import re
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter, NotebookExporter, SlidesExporter
from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor, TagRemovePreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from traitlets.config import Config

from tests.notebooks.execute import WIDGET_NOTE
from tests.notebooks.formulas import Formulas

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDED = re.compile(r"<details>\s*<summary>.*?</details>\s*", re.DOTALL)
# A link that leads to no deck.
ELSEWHERE = re.compile(r"(?<!!)\[([^\[\]]+)\]\((?!https?:|mailto:|#|[^)\s]*\.slides\.html)[^)]*\)")
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
PNG = re.compile(r"<img\b[^>]*?data:image/png;base64,([A-Za-z0-9+/]{32})")
WRITTEN = ".written"  # in each folder of copies: what the last call wrote
SHOWN_LINES = 8  # code that is longer is for the page, not for a wall
REVEAL = "https://unpkg.com/reveal.js@5.2.1"
RECORDED = "application/vnd.mmrec-lite.row+json"
QUIET = re.escape(WIDGET_NOTE) + r"|(MultimodalDataset|Split)\(.*\)$"
WALL, TALLEST = (1280, 800), 520  # points of a slide, and of the height of a picture on it
SMALLEST = 60  # per cent of a slide's letters, 22 points: below 13, a wall cannot be read
TALL = 680  # of a picture that is nearly as high as wide: it fills the slide, or nobody could read it
# nbconvert's prompts, numbers and links are too pale for WCAG AA.
STYLE = """
<style>
.jp-InputPrompt, .jp-OutputPrompt { color: #4a4a4a !important; opacity: 1 !important; }
.highlight .mi, .highlight .mf, .highlight .mb { color: #00600f !important; }
.highlight .ow, .highlight .o { color: #7a1fa2 !important; }
.highlight .c1, .highlight .c { color: #35626b !important; }
a { color: #00539f !important; text-decoration: underline !important; }
.jp-RenderedHTMLCommon table { display: block; overflow-x: auto; }
details.solution > summary { padding: 4px 0 4px 72px; font: 15px sans-serif; cursor: pointer; }
nav.lessons { padding: 8px 16px; font: 15px sans-serif; }
.formula { display: block; overflow: auto hidden; padding: 4px 0; }
.highlight pre, .jp-OutputArea-output pre { overflow-x: auto; }
.jp-RenderedHTMLCommon img { height: auto; }
@media (max-width: 700px) {  /* a telephone: no room for numbers beside the cells */
  .jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
  body.jp-Notebook { padding: 8px !important; }
  .jp-Cell, details.solution > summary { padding: 0 !important; }
  .jp-RenderedHTMLCommon { padding-right: 4px !important; }
  .jp-RenderedHTMLCommon p, .jp-RenderedHTMLCommon li { overflow-wrap: anywhere; }
  .jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th { word-break: normal; overflow-wrap: normal; }
  .jp-RenderedHTMLCommon td code { white-space: nowrap; }
  .jp-OutputArea-output { overflow-x: auto; }
}
</style>
"""
DECK = """
<style>
:root { --jp-content-font-size1: 22px !important; --jp-code-font-size: 16px !important; }
.reveal .slides { text-align: left; }
.reveal .slides section { height: 100%; overflow: hidden auto; box-sizing: border-box; padding: 12px 24px; }
.reveal .slides section.stack { padding: 0; overflow: hidden; }
.reveal .jp-Cell { padding: 2px 0; }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt { display: none; }
.reveal .jp-RenderedHTMLCommon { padding-right: 0; }
.reveal .jp-OutputArea-output > img { width: 100%; max-height: 520px; object-fit: contain; }
.reveal .celltag_tall .jp-OutputArea-output > img { max-height: 680px; }
.reveal .jp-RenderedHTMLCommon li { line-height: 1.35; }
.reveal pre { box-shadow: none; width: 100%; margin: 0; }
.reveal h1 { font-size: 2em; } .reveal h2 { font-size: 1.6em; } .reveal h3 { font-size: 1.25em; }
.reveal table { font-size: 0.85em; }
</style>
"""
FOLDED_SOLUTIONS = """
{%- extends "lab/index.html.j2" -%}
{%- block codecell -%}
{%- if "solution" in cell.metadata.get("tags", []) -%}
<details class="solution"><summary>The solution's code and output</summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock codecell -%}
"""
STARTS = """
<script src="{reveal}/dist/reveal.js"></script>
<script>
Reveal.initialize({{ width: {width}, height: {height}, margin: 0.02, center: false, hash: true, slideNumber: "c/t" }});
// What is higher than the wall is drawn smaller, down to what the last row can read; what is left of it scrolls.
function fit() {{
  const slide = Reveal.getCurrentSlide();
  for (let percent = 100; slide && percent >= {smallest}; percent -= 5) {{
    for (const part of slide.children) part.style.zoom = percent / 100;
    if (slide.scrollHeight <= slide.clientHeight) break;
  }}
}}
Reveal.on("ready", fit);
Reveal.on("slidechanged", fit);
</script>
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
    """Say where a slide begins: at a heading, and wherever the next cell would not fit below the former ones."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Return the notebook with slide types, and with tags on the inputs to hide."""
        nb.cells = [part for cell in nb.cells for part in _at_headings(cell)]
        for cell in nb.cells:
            if cell.cell_type == "code" and (_pictures_of(cell) or len(cell.source.splitlines()) > SHOWN_LINES):
                cell.metadata.setdefault("tags", []).append("no-input")
            if cell.cell_type == "code" and any(_drawn(head) > TALLEST * 1.5 for head in _pictures_of(cell)):
                cell.metadata["tags"].append("tall")
        shown = [cell for cell in nb.cells if cell.cell_type != "code" or not _says_nothing(cell)]
        room = 0.0
        for cell, following in zip(shown, [*shown[1:], None], strict=True):
            kind = {"#": "slide", "##": "slide", "###": "subslide"}.get(cell.source.split(" ")[0], "-")
            kind = kind if cell.cell_type == "markdown" else "-"
            height, wanted = _height(cell), _height(cell)
            if following is not None and following.source.startswith("**What the "):  # a picture, and what it says
                wanted += _height(following)
            if kind == "-" and (height > room or room < wanted <= WALL[1] - 40):
                kind = "subslide"
            room = (room if kind == "-" else WALL[1] - 40) - height
            cell.metadata.slideshow = {"slide_type": kind}
        for cell in nb.cells:
            cell.metadata.setdefault("slideshow", {"slide_type": "skip"})
        return nb, resources


def _at_headings(cell: NotebookNode) -> list[NotebookNode]:
    """Take a markdown cell apart before each heading in it, and before the table that ends a lesson."""
    if cell.cell_type != "markdown":
        return [cell]
    parts = re.split(r"\n+(?=#{2,3} |\*\*Where paper and measurement)", cell.source)
    return [cell] if len(parts) == 1 else [new_markdown_cell(part) for part in parts]


def _says_nothing(cell: NotebookNode) -> bool:
    """Whether a code cell shows nothing, or nothing for a wall: an explorer's sentence, a repr, a recorded row."""
    data = [output.get("data", {"text/plain": output.get("text", "")}) for output in cell.outputs]
    return all(
        "text/html" not in found
        and (RECORDED in found or re.match(QUIET, str(found.get("text/plain", ""))) is not None)
        for found in data
    )


def _pictures_of(cell: NotebookNode) -> list[str]:
    """The heads of a cell's pictures, base64."""
    shown = "".join(str(output.get("data", {}).get("text/html", "")) for output in cell.outputs)
    return PNG.findall(shown)


def _drawn(head: str) -> float:
    """How high a picture is where it is as wide as a slide."""
    width, high = struct.unpack(">II", base64.b64decode(head)[16:24])
    return high * (WALL[0] - 60) / width


def _height(cell: NotebookNode) -> float:
    """About how many points of a slide a cell takes."""
    if cell.cell_type == "markdown":
        text = re.sub(r"\$\$.+?\$\$", "formula\n\nformula", cell.source, flags=re.DOTALL)
        lines = sum(-(-len(line) // 105) if line.strip() else 0.5 for line in text.splitlines())
        return 31 * lines + 45 * text.count("\n#") + 30 * text.startswith("#") + 10 * text.count("\n|")
    height = 0.0 if "no-input" in cell.metadata.get("tags", []) else 22.0 * len(cell.source.splitlines()) + 24
    for head in _pictures_of(cell):
        height += min(_drawn(head), TALL if "tall" in cell.metadata.get("tags", []) else TALLEST) + 10
    for output in cell.outputs:
        data = output.get("data", {})
        if "<tr" in data.get("text/html", ""):
            height += 38 * data["text/html"].count("<tr") + 16
        elif "text/html" not in data:
            height += 22 * len((output.get("text") or data.get("text/plain", "")).splitlines()) + 12
    return height


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


def slides(notebook: NotebookNode, title: str, reveal: str = REVEAL, decks: Mapping[str, str] | None = None) -> str:
    """Return a lesson as a deck that draws long slides smaller; `reveal` is where reveal.js is found.

    Links lead to the other decks (`decks`: file -> deck); what has none is named, not linked.
    """
    _lead(notebook, decks or {})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = ELSEWHERE.sub(r"\1", cell.source)
    # Before the exporter: its own first step reads where slides begin, and must not read cells that will go.
    config = _tags(["solution", "check", "exercise", "parameters"], ["no-input"])
    for step in (Unfold(), Deck(), TagRemovePreprocessor(config=config), Formulas()):
        notebook, _ = step.preprocess(notebook, {})
    exporter = SlidesExporter(reveal_url_prefix=reveal)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    text = _styled(_without_scripts(text), title).replace("</head>", DECK + "</head>", 1)
    start = STARTS.format(reveal=reveal, width=WALL[0], height=WALL[1], smallest=SMALLEST)
    before, _, after = text.rpartition("</body>")
    return f"{before}{start}</body>{after}"


def _without_scripts(text: str) -> str:
    """Drop nbconvert's scripts: formulas are MathML already, and they would ask the network for five libraries."""
    return re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)


def page(notebook: NotebookNode, title: str, pages: Mapping[str, str]) -> str:
    """Return a notebook as an HTML page whose links lead to the other pages (`pages`: file -> page)."""
    _lead(notebook, pages)
    notebook, _ = Formulas().preprocess(notebook, {})
    loader = DictLoader({"folded.html.j2": FOLDED_SOLUTIONS})
    exporter = HTMLExporter(template_name="lab", template_file="folded.html.j2", extra_loaders=[loader])
    text, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    home = '<nav class="lessons" aria-label="lessons"><a href="index.html">All lessons</a></nav>'
    text = _styled(_without_scripts(text), title)
    return re.sub(r"(<body[^>]*>)", lambda found: found[1] + (home if title != "The lessons" else ""), text, count=1)


def _lead(notebook: NotebookNode, pages: Mapping[str, str]) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda found: _target(found, pages), cell.source)


def _target(link: re.Match[str], pages: Mapping[str, str]) -> str:
    """Lead a link to a lesson to its page; the rest stays."""
    return pages.get(link[1], link[1]) + (link[2] or "")


def _styled(text: str, title: str) -> str:
    named = f"<title>{html.escape(title)}</title>"
    text = re.sub(r"<title>.*?</title>", lambda _: named, text, count=1, flags=re.DOTALL)
    return text.replace("</head>", STYLE + "</head>", 1)


def title_of(notebook: NotebookNode, name: str) -> str:
    """Return the first heading, without its mark-up."""
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    found = re.match(r"#\s+(.+)", first)
    return re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", found[1]).strip() if found else name


def make_site(sources: Path, out: Path, figures: Path | None = None) -> list[Path]:
    """Write every lesson and text of a folder as pages, with the pictures they show; return the pages.

    Pages of an earlier call whose lesson is gone go, too.
    """
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
    _forget_others(out, written)
    if figures is not None and figures.is_dir():
        shutil.copytree(figures, out / "figures", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.csv"))
    return written


def _pictures(text: str) -> str:
    """Lead to the figures beside the pages; what else lies outside the lessons' folder is named, not linked."""
    text = text.replace("](../figures/", "](figures/")
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", text)


def _write(path: Path, text: str) -> Path:
    """Write beside, then rename."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path


def _forget_others(out: Path, written: list[Path]) -> None:
    """Remove what an earlier call wrote here and this one did not; what others put into the folder stays."""
    names = {path.name for path in written}
    listed = out / WRITTEN
    former = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for name in set(former) - names:
        (out / Path(name).name).unlink(missing_ok=True)
    _write(listed, "".join(f"{name}\n" for name in sorted(names)))


def _each(sources: Path, out: Path, ending: str, convert: Callable[[NotebookNode, str], str]) -> list[Path]:
    """Write a copy of every lesson; copies of an earlier call whose lesson is gone go, too."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(sources.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        written.append(_write(out / f"{path.stem}{ending}", convert(notebook, title_of(notebook, path.stem))))
    _forget_others(out, written)
    return written


def _own_reveal(folder: Path, out: Path) -> str:
    """Copy reveal.js beside the decks, so that they need no network; return where they find it."""
    if not (folder / "dist" / "reveal.js").is_file():
        raise SystemExit(f"{folder} holds no dist/reveal.js: unpack the package reveal.js there.")
    copied = shutil.copytree(folder / "dist", out / "reveal.js" / "dist", dirs_exist_ok=True)
    for style in copied.rglob("*.css"):  # themes import letters: without a network, a white wall until that is given up
        text = style.read_text(encoding="utf-8")
        style.write_text(re.sub(r"@import (url\()?[\"']?https?:[^;]*;", "", text), encoding="utf-8")
    return "reveal.js"


def main(arguments: list[str] | None = None) -> int:
    """Make one kind of copies of the lessons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["student", "slides", "site"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--notebooks", type=Path, default=REPOSITORY / "notebooks")
    parser.add_argument("--reveal", default="", help="slides: a folder with reveal.js (npm pack reveal.js), copied")
    options = parser.parse_args(arguments)
    if options.kind == "student":
        written = _each(options.notebooks, options.out, ".ipynb", lambda notebook, title: student(notebook))
    elif options.kind == "slides":
        reveal = _own_reveal(Path(options.reveal), options.out) if options.reveal else REVEAL
        names = {path.name: f"{path.stem}.slides.html" for path in options.notebooks.glob("[0-9]*.ipynb")}
        convert = lambda notebook, title: slides(notebook, title, reveal, names)  # noqa: E731
        written = _each(options.notebooks, options.out, ".slides.html", convert)
    else:
        written = make_site(options.notebooks, options.out, REPOSITORY / "figures")
    print(f"{len(written)} files in {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
