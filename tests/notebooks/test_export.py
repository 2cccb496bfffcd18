"""Copies for a class: no solution is left nor needed, links lead somewhere, every explorer has its static twin."""

from __future__ import annotations

import ast
import base64
import builtins
import re
import struct
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.notebooks.execute import FOLDED, WIDGET_NOTE
from tests.notebooks.export import Deck, main, make_site, page, slides, student, title_of
from tests.notebooks.formulas import with_mathml
from tests.notebooks.leaks import leaks

REPOSITORY = Path(__file__).resolve().parents[2]
LESSONS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))


def png_of(width: int, height: int) -> str:
    """A picture as a lesson holds it; its first 32 letters tell the size."""
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"
    return f'<img alt="a curve" src="data:image/png;base64,{base64.b64encode(head).decode()}">'


PICTURE = png_of(400, 200)


def lesson():
    """A lesson with everything that is treated apart."""
    shown = [new_output("display_data", data={"text/html": PICTURE, "text/plain": "…"})]
    return new_notebook(
        cells=[
            new_markdown_cell(
                "# 03 · A lesson\n\nSee [the next](04_next.ipynb#part) and [a page](https://example.org)."
            ),
            new_code_cell("k: int = 3  # how many", execution_count=1, metadata={"tags": ["parameters"]}),
            new_markdown_cell("## Part"),
            new_code_cell("draw()", execution_count=2, outputs=shown),
            new_code_cell("x = 1", execution_count=3),
            new_markdown_cell("**A.** Think.\n\n<details><summary>Answer</summary>\n\n42\n</details>\n\n**B.** Go on."),
            new_code_cell("mine = None", metadata={"tags": ["exercise"]}),
            new_code_cell("print(mine == 42)", metadata={"tags": ["check"]}, outputs=[new_output("stream", text="no")]),
            new_markdown_cell("<details><summary><b>Solution</b></summary>\n\nIt is 42.\n</details>"),
            new_code_cell("mine = 42", metadata={"tags": ["solution"]}),
            new_markdown_cell("## To take home\n\nNothing."),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def test_a_students_copy_holds_the_questions_alone():
    bare = nbformat.reads(student(lesson()), as_version=4)
    text = "\n".join(cell.source for cell in bare.cells)
    assert "42" not in text.replace("mine == 42", "") and "<details>" not in text
    assert "**A.** Think.\n\n**B.** Go on." in text
    assert [c.source for c in bare.cells if c.cell_type == "code"] == [
        "k: int = 3  # how many", "draw()", "x = 1", "mine = None", "print(mine == 42)",
    ]  # fmt: skip
    assert all(c.outputs == [] and c.execution_count is None for c in bare.cells if c.cell_type == "code")
    nbformat.validate(bare)


def test_a_deck_has_a_slide_a_heading_and_shows_pictures_without_their_code():
    text = slides(lesson(), "A lesson")
    body = text.split("<body", 1)[1]
    assert PICTURE.split("src")[0] in body and "draw()" not in visible(body)
    for hidden in ("mine", "42", "k: int"):
        assert hidden not in visible(body), hidden
    assert body.count("<section>") >= 6 and "To take home" in visible(body)
    assert "<title>A lesson</title>" in text
    assert re.findall(r"<script[^>]*src=\"([^\"]+)", text) == ["https://unpkg.com/reveal.js@5.2.1/dist/reveal.js"]


def test_a_slide_holds_what_fits_and_a_picture_stays_with_what_it_says():
    def shows(html: str):
        return new_code_cell("draw()", outputs=[new_output("display_data", data={"text/html": html})])

    note = new_output("display_data", data={"text/plain": WIDGET_NOTE})
    cells = [
        new_markdown_cell("# A lesson\n\nWords.\n\n## Part\n\nMore words."),
        shows(png_of(1220, 400)),  # fits below the heading, alone and with the sentence
        new_markdown_cell("**What the figure says.** It falls."),
        shows(png_of(1220, 500)),  # does not fit below the former
        new_markdown_cell("**What the figure says.** " + "It rises. " * 30),
        new_code_cell("explorer", outputs=[note]),
        shows("<table>" + "<tr><td>1</td></tr>" * 12 + "</table>"),
    ]
    deck, _ = Deck().preprocess(new_notebook(cells=cells), {})
    kinds = [cell.metadata["slideshow"]["slide_type"] for cell in deck.cells]
    assert kinds == ["slide", "slide", "-", "-", "subslide", "-", "skip", "subslide"]
    assert "no-input" in deck.cells[2].metadata.tags


def test_a_tall_picture_fills_a_slide():
    cells = [new_markdown_cell("## Part"), new_markdown_cell("Words."), new_markdown_cell("More.")]
    for place, size in ((1, (1220, 1100)), (3, (1220, 700))):
        shown = [new_output("display_data", data={"text/html": png_of(*size)})]
        cells.insert(place, new_code_cell("draw()", outputs=shown))
    deck, _ = Deck().preprocess(new_notebook(cells=deepcopy(cells)), {})
    assert [cell.metadata["slideshow"]["slide_type"] for cell in deck.cells] == [
        "slide", "-", "subslide", "-", "-",
    ]  # fmt: skip
    assert ["tall" in cell.metadata.get("tags", []) for cell in deck.cells] == [False, True, False, False, False]
    assert "celltag_tall" in slides(new_notebook(cells=cells), "A lesson").split("<body", 1)[1]


def test_formulas_become_mathml_and_nothing_else_does():
    text = with_mathml("Let $a_i | b^*$ be `$5` or \\$5, and\n\n$$\\hat y = \\frac{1}{2}$$\n\n```\n$x$ $$y$$\n```\n")
    assert text.count("<math ") == 2 and text.count('display="block"') == 1
    assert 'alttext="a&#95;i &#124; b^&#42;"' in text and "|" not in text and "<mfrac>" in text
    assert "`$5` or \\$5" in text and "```\n$x$ $$y$$\n```" in text


def test_every_formula_of_the_lessons_is_understood():
    for path in LESSONS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                left = re.sub(r"```.*?```|`[^`]*`|<[^>]*>", "", with_mathml(cell.source), flags=re.DOTALL)
                assert "$" not in left and "\\frac" not in left, f"{path.name}: {left[:200]}"


def test_decks_with_an_own_copy_of_reveal_ask_nothing_of_the_network(tmp_path):
    (tmp_path / "package" / "dist").mkdir(parents=True)
    for name in ("reveal.js", "reveal.css"):
        (tmp_path / "package" / "dist" / name).write_text("")
    theme = '@import url(https://example.org/a?b:400,700);\n@import "https://example.org/c";body { color: black; }'
    (tmp_path / "package" / "dist" / "theme").mkdir()
    (tmp_path / "package" / "dist" / "theme" / "simple.css").write_text(theme)
    sources, out = tmp_path / "lessons", tmp_path / "slides"
    sources.mkdir()
    nbformat.write(lesson(), sources / "03_lesson.ipynb")
    assert main(["slides", str(out), "--notebooks", str(sources), "--reveal", str(tmp_path / "package")]) == 0
    text = (out / "03_lesson.slides.html").read_text()
    loaded = re.findall(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"([^\"]+)", text)
    assert all((out / name).exists() for name in loaded if not name.startswith("data:"))
    assert (out / "reveal.js" / "dist" / "theme" / "simple.css").read_text().strip() == "body { color: black; }"
    assert not [name for name in loaded if name.startswith("http")] and "import mermaid" not in text
    with pytest.raises(SystemExit, match=r"holds no dist/reveal\.js"):
        main(["slides", str(out), "--notebooks", str(sources), "--reveal", str(tmp_path)])


def visible(body: str) -> str:
    """The words of a page, without scripts and styles."""
    return re.sub(r"<[^>]+>", "", re.sub(r"<(script|style)\b.*?</\1>", "", body, flags=re.DOTALL))


def test_links_to_lessons_become_links_to_pages(tmp_path):
    sources = tmp_path / "lessons"
    sources.mkdir()
    nbformat.write(lesson(), sources / "03_lesson.ipynb")
    nbformat.write(lesson(), sources / "04_next.ipynb")
    (sources / "README.md").write_text("# The lessons\n\n[third](03_lesson.ipynb), [plan](teaching.md)\n")
    (sources / "teaching.md").write_text("# Plan\n\n[back](README.md)\n")
    written = make_site(sources, tmp_path / "site")
    assert [path.name for path in written] == ["03_lesson.html", "04_next.html", "index.html", "teaching.html"]
    found = (tmp_path / "site" / "03_lesson.html").read_text()
    assert 'href="04_next.html#part"' in found and 'href="https://example.org"' in found
    assert 'href="03_lesson.html"' in (tmp_path / "site" / "index.html").read_text()
    assert 'href="index.html"' in (tmp_path / "site" / "teaching.html").read_text()


def test_links_to_lessons_become_links_to_decks(tmp_path):
    sources = tmp_path / "lessons"
    sources.mkdir()
    more = lesson()
    words = "A [plan](teaching.md), [`code`](../mmrec_lite/maps.py#L1), [above](#part)."
    more.cells.insert(1, new_markdown_cell(words))
    for name in ("03_lesson.ipynb", "04_next.ipynb"):
        nbformat.write(more, sources / name)
    assert main(["slides", str(tmp_path / "out"), "--notebooks", str(sources)]) == 0
    text = (tmp_path / "out" / "03_lesson.slides.html").read_text()
    assert 'href="04_next.slides.html#part"' in text and 'href="https://example.org"' in text and 'href="#part"' in text
    assert "A plan, <code>code</code>, " in text and "teaching.md" not in text and "maps.py" not in text


def test_a_title_is_words_and_escaped():
    named = new_notebook(cells=[new_markdown_cell("# 03 · `fit` & **what** [it](x.md) <does>")])
    assert title_of(named, "x") == "03 · fit & what it <does>"
    for text in (page(named, title_of(named, "x"), {}), slides(named, title_of(named, "x"))):
        assert "<title>03 · fit &amp; what it &lt;does&gt;</title>" in text


@pytest.mark.parametrize("kind", ["student", "slides", "site"])
def test_a_lesson_that_is_gone_leaves_no_copy_behind(tmp_path, kind):
    sources, out = tmp_path / "lessons", tmp_path / "out"
    sources.mkdir()
    for name in ("03_lesson", "04_next"):
        nbformat.write(lesson(), sources / f"{name}.ipynb")
    assert main([kind, str(out), "--notebooks", str(sources)]) == 0
    (out / "05_mine.ipynb").write_text("a student's own")
    before = {path.name for path in out.glob("0*")}
    (sources / "04_next.ipynb").unlink()
    assert main([kind, str(out), "--notebooks", str(sources)]) == 0
    gone = before - {path.name for path in out.glob("0*")}
    assert len(gone) == 1 and gone.pop().startswith("04_next.")


def test_a_page_folds_the_code_and_the_output_of_a_solution(tmp_path):
    folded = lesson()
    solution = folded.cells[9]
    assert solution.metadata.tags == ["solution"]
    solution.outputs = [new_output("stream", text="forty-two")]
    nbformat.write(folded, tmp_path / "03_lesson.ipynb")
    make_site(tmp_path, tmp_path / "site")
    body = (tmp_path / "site" / "03_lesson.html").read_text().split("<body", 1)[1]
    details = re.findall(r"<details class=\"solution\"><summary>.*?</details>", body, re.DOTALL)
    assert len(details) == 1 and "forty-two" in details[0] and "mine" in visible(details[0])
    assert "forty-two" not in body.replace(details[0], "") and "<details open" not in body
    assert "To take home" in visible(body.replace(details[0], ""))


def asked(check: str, solution: str, exercise: str = "answer = None"):
    cells = [
        new_code_cell("x = 1.5\ny = x * 7.25 + other(x)"),
        new_code_cell(exercise, metadata={"tags": ["exercise"]}),
        new_code_cell(check, metadata={"tags": ["check"]}),
        new_code_cell(solution, metadata={"tags": ["solution"]}),
    ]
    return leaks(new_notebook(cells=cells))


@pytest.mark.parametrize(
    ("check", "solution", "sentence"),
    [
        ("expected = probe( v [w],truth['a'] ).mean()", 'answer = probe(v[w], truth["a"]).mean()', "holds a solution"),
        ("print(check(answer, 20 / 250))", "answer = 20/250", "holds a solution"),
        ("print(check(answer, (0.006 / 0.002) ** 2))", "answer = 9", "holds a solution"),
        ("print(check(answer, 9))", "answer = 3 * 3", "holds a solution"),
        ("limit = 1 / np.log(65504.0)", "answer = 1 / np.log(float(np.finfo(np.float16).max))", "holds a solution"),
        ("def share():\n    return 1", "answer = share()", "defines what a solution uses: share"),
        ("expected = 1 if x else 0", "answer = expected", "defines what a solution uses: expected"),
    ],
)
def test_a_check_that_tells_is_found(check, solution, sentence):
    found = asked(check, solution)
    assert len(found) == 1 and sentence in found[0], found


def test_a_check_that_does_not_tell_is_none():
    assert asked("print(check(answer, library(x)), 3)", "answer = 0.25 * 3\nprint(check(answer, library(x)))") == []
    assert asked("def judge(f):\n    return f(x) == x", "def f(x):\n    return x\n\nprint(judge(f))") == []
    earlier = "answer = x * 7.25 + other(x)"  # shown before the question was asked: a line to find again
    assert asked("print(check(answer, library(x)))", earlier) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_students_copy_tells_no_solution(path):
    assert leaks(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_page_folds_every_solution(path):
    notebook = nbformat.read(path, as_version=4)
    solutions = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    assert solutions and all(dict(cell.metadata.jupyter) == FOLDED for cell in solutions)
    text = page(notebook, "A lesson", {})
    folds = re.findall(r'<details class="solution">.*?</details>', text, re.DOTALL)
    assert [re.search(r'id="(?:cell-id=)?([^"]+)"', fold)[1] for fold in folds] == [cell.id for cell in solutions]


# The committed lessons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_students_copy_needs_nothing_of_a_solution(path):
    """What a remaining cell reads is made by a remaining cell: the copy runs from top to bottom."""
    bare = nbformat.reads(student(nbformat.read(path, as_version=4)), as_version=4)
    assert not any("solution" in cell.metadata.get("tags", []) for cell in bare.cells)
    assert not any(re.search(r"<summary>(<b>)?(Solution|Answer)", cell.source) for cell in bare.cells)
    known, missing = set(dir(builtins)) | {"display", "get_ipython"}, []
    for cell in bare.cells:
        if cell.cell_type == "code":
            tree = ast.parse("\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith("%")))
            names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
            known |= {node.id for node in names if not isinstance(node.ctx, ast.Load)} | set(_bound(tree))
            missing += [node.id for node in names if node.id not in known]
    assert missing == []


def _bound(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.arg):
            yield node.arg
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        if isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_explorer_has_a_static_twin_beside_it(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    for place, cell in enumerate(cells):
        if any(WIDGET_NOTE in str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs):
            beside = cells[max(0, place - 2) : place + 3]
            assert any("<img" in str(out.get("data", {}).get("text/html", "")) for c in beside for out in c.outputs)


class Page(HTMLParser):
    """What a page links to, what can be linked to, and its pictures without words."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.anchors, self.mute = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag in ("a", "img") and (target := found.get("href") or found.get("src")):
            self.links.append(target)
        if tag == "img" and not (found.get("alt") or "").strip():
            self.mute.append((found.get("src") or "")[:60])


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    assert main(["site", str(out)]) == 0
    return out


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(site):
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in site.glob("*.html")}
    assert {f"{path.stem}.html" for path in LESSONS} | {"index.html", "teaching.html"} <= set(pages)
    for name, found in pages.items():
        assert found.mute == [], f"{name}: pictures without alternative text"
    assert leads_nowhere(pages, site) == []
    assert sum(link.endswith(".html") for link in pages["index.html"].links) >= len(LESSONS)


def leads_nowhere(pages: dict[str, Page], folder: Path) -> list[str]:
    """The links of pages that lead to no page, no file and no place in one."""
    broken = []
    for name, found in pages.items():
        for link in found.links:
            if re.match(r"(https?|data|mailto):", link):
                continue
            target, _, anchor = link.partition("#")
            target = unquote(target)
            there = pages.get(target or name)
            if there is None:
                broken += [] if (folder / target).is_file() else [f"{name}: {link}"]
            elif anchor and not {anchor, unquote(anchor)} & there.anchors:  # as browsers look for it
                broken.append(f"{name}: {link}")
    return broken


@pytest.mark.slow
def test_every_lesson_becomes_a_deck_whose_links_lead_somewhere(tmp_path):
    assert main(["slides", str(tmp_path)]) == 0
    decks = sorted(tmp_path.glob("*.slides.html"))
    assert [path.name.removesuffix(".slides.html") for path in decks] == [path.stem for path in LESSONS]
    for path in decks:
        text = path.read_text(encoding="utf-8")
        assert text.count("<section>") >= 10 and 'class="reveal"' in text
        assert "Solution" not in visible(text.split("<body", 1)[1]), path.name
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in decks}
    assert leads_nowhere(pages, tmp_path) == []
    assert any(link.endswith(".slides.html") for found in pages.values() for link in found.links)
