"""notebooks/README.md names every lesson and only functions that exist."""

from __future__ import annotations

import importlib
import re

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
