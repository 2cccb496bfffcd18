"""Where a student's copy tells the solution of an exercise, as a list of sentences."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

import numpy as np
import torch
from nbformat import NotebookNode

BARE = {"np": np, "math": math, "torch": torch, "float": float, "int": int, "abs": abs, "round": round, "sum": sum}
SHORTEST = 12  # letters of an expression that is worth hiding: `x.sum()` is not


def leaks(notebook: NotebookNode) -> list[str]:
    """One sentence for each line of a solution that a student's copy holds after the exercise, in letters or in value.

    Compared are the right-hand sides and returned values of `solution` cells, as Python reads them (spaces, quotes and
    brackets do not count), with every expression of the cells that stay. In `check` cells also what needs no lesson to
    be computed, `20 / 250`, may not be the answer; and no answer may be made by what a check defines.
    """
    found, place = [], {cell.id: number for number, cell in enumerate(notebook.cells)}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code):
        if "solution" not in _tags(cell):
            continue
        asked = max((n for n, other in enumerate(code[:number]) if "exercise" in _tags(other)), default=number)
        later = [other for other in code[asked:] if "solution" not in _tags(other)]
        names = _bound(_tree(code[asked])) if asked < number else set()
        for answer, own in _answers(_tree(cell), names):
            for other in later:
                if _tells(other, answer):
                    found.append(f"cell {place[other.id]} holds a solution: {ast.unparse(answer)}")
                made = _bound(_tree(other)) & _names(answer) if own and "check" in _tags(other) else set()
                if made:
                    found.append(f"cell {place[other.id]} defines what a solution uses: {', '.join(sorted(made))}")
    return found


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _tree(cell: NotebookNode) -> ast.Module:
    return ast.parse("\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith("%")))


def _answers(tree: ast.Module, names: set[str]) -> Iterator[tuple[ast.expr, bool]]:
    """What a solution's cell computes, and whether it becomes one of the exercise's names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield node.value, bool(_bound(node) & names)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield node.value, True


def _bound(tree: ast.AST) -> set[str]:
    nodes = list(ast.walk(tree))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _tells(cell: NotebookNode, answer: ast.expr) -> bool:
    parts = [node for node in ast.walk(_tree(cell)) if isinstance(node, ast.expr)]
    text = ast.unparse(answer)
    if len(text) >= SHORTEST and any(ast.unparse(part) == text for part in parts):
        return True
    if "check" not in _tags(cell) or (value := _value(answer)) is None:
        return False
    return any((other := _value(part)) is not None and math.isclose(other, value, rel_tol=1e-3) for part in parts)


def _value(node: ast.expr) -> float | None:
    """The number an expression is without any name of the lesson; None if it is none, or too common to tell."""
    if not _names(node) <= set(BARE):
        return None
    try:
        value = eval(compile(ast.Expression(node), "<cell>", "eval"), {"__builtins__": {}, **BARE})
    except Exception:  # a name alone, a call that needs more: no number
        return None
    telling = isinstance(value, int | float | np.number) and not isinstance(value, bool) and value not in (0, 1, 2)
    return float(value) if telling else None
