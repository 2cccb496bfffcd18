"""Formulas of the lessons as MathML, which a browser shows by itself: pages and decks need no network for them."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

# Code first, in which a dollar sign is a dollar sign; then $$a formula of its own$$ and one $in a line$.
PARTS = re.compile(
    r"(?P<code>^```.*?^```|``.+?``|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<line>[^\s$](?:[^$\n]*[^\s$])?)\$",
    re.DOTALL | re.MULTILINE,
)
MARKS = re.compile(r"[*_`\[\]\\$|~!]")  # what markdown would read as its own


class Formulas(Preprocessor):
    """Replace every TeX formula in markdown cells."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Return the notebook with MathML in place of TeX."""
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = with_mathml(cell.source)
        return nb, resources


def with_mathml(text: str) -> str:
    """Return markdown whose formulas are MathML elements that carry the TeX as alternative text."""
    return PARTS.sub(_replace, text)


def _replace(found: re.Match[str]) -> str:
    if found["code"] is not None:
        return found[0]
    block = found["block"] is not None
    tex = " ".join((found["block"] if block else found["line"]).split())
    element = convert(tex, display="block" if block else "inline")
    pieces = re.split(r"(<[^>]*>)", element.replace("\n", " "))
    quiet = "".join(p if p.startswith("<") else MARKS.sub(lambda mark: f"&#{ord(mark[0])};", p) for p in pieces)
    words = MARKS.sub(lambda mark: f"&#{ord(mark[0])};", html.escape(tex))
    quiet = quiet.replace("<math ", f'<math alttext="{words}" ', 1)
    return f'<span class="formula" tabindex="0">{quiet}</span>' if block else quiet
