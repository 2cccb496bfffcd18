"""notebooks/README.md names every lesson and only functions that exist; a section that a text names is there."""

from __future__ import annotations

import importlib
import re

import nbformat

import mmrec_lite as mm
from mmrec_lite.methods import REGISTRY


def test_every_lesson_is_listed(repository):
    text = (repository / "notebooks" / "README.md").read_text()
    lessons = sorted(p.name for p in (repository / "notebooks").glob("[0-9]*.ipynb"))
    assert lessons and [name for name in lessons if f"]({name})" not in text] == []
    assert [n for n in re.findall(r"\]\(([0-9][^)]*)\)", text) if n not in lessons] == []


def test_every_function_exists(repository):
    text = (repository / "notebooks" / "README.md").read_text().split("## From an equation")[1]
    names = [n for row in re.findall(r"^\|[^|]*\|([^|]*)\|", text, re.M) for n in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 20
    classes = {method.__name__: method for method in REGISTRY.values()}
    for name in names:
        module, _, attribute = name.rpartition(".")
        owner = classes.get(module.rpartition(".")[2]) or importlib.import_module(f"mmrec_lite.{module}")
        assert hasattr(owner, attribute), name


def test_every_public_loss_is_listed_or_shared(repository):
    text = (repository / "notebooks" / "README.md").read_text()
    extras = {"embedding_l2", "cosine_gap", "pointwise_loss"}  # regularisation, and what programs do beside the papers
    missing = [n for n in mm.losses.__all__ if f"losses.{n}`" not in text and n not in extras]
    assert missing == []


NUMBERS = r"([1-9]\d?(?:(?:–|, | and | to )[1-9]\d?)*)(?![\d.]*\d)"
NAMED = re.compile(rf"\b(0\d|1[0-3])(?:\]\([^)]*\))?, (?:sections? )?{NUMBERS}")  # "[03](...), 1–2", "10, section 6"
OWN = re.compile(rf"(?<!\b\d\d, )\b[Ss]ections? {NUMBERS}")


def sections(text: str) -> set[int]:
    """The sections that "1–2", "2 and 8" or "2, 5 and 7" name."""
    found: set[int] = set()
    for part in re.split(r", | and ", text):
        first, *last = (int(number) for number in re.split(r"–| to ", part))
        found |= set(range(first, (last or [first])[0] + 1))
    return found


def test_every_section_that_is_named_is_there(repository):
    lessons = {}
    for path in sorted((repository / "notebooks").glob("[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        lessons[path.name[:2]] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    there = {number: {int(n) for n in re.findall(r"^## (\d+) ·", text, re.M)} for number, text in lessons.items()}
    lost, seen = [], 0
    for name in ("README.md", "teaching.md"):
        text = (repository / "notebooks" / name).read_text()
        lessons[name] = re.sub(r"^\|[^|]*\|", "", text, flags=re.M)  # a first column holds equations and minutes
    for name, text in lessons.items():
        # The two texts name sections by bare numbers; in a lesson "10, 20" may be anything.
        bare = name not in there
        named = [(found[1], found[2], found[0]) for found in NAMED.finditer(text) if bare or "section" in found[0]]
        named += [(name, found[1], found[0]) for found in OWN.finditer(text) if name in there]
        seen += len(named)
        lost += [f"{name}: {words}" for lesson, numbers, words in named if not sections(numbers) <= there[lesson]]
    assert seen > 100
    assert lost == []
