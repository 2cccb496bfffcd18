"""A lesson with short trainings and maps: the same cells, two epochs a stage, twenty of UMAP (nbval: full length)."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from mmrec_lite.experiments.lessons import ROW

FEWER = {"epochs": 2, "pretrain_epochs": 2, "seeds": 1}
# Run before the lesson's own cells, for not every training has its length from a parameter.
FIRST = """\
import dataclasses, functools
from mmrec_lite import maps, training

maps.umap_map = functools.partial(maps.umap_map, epochs=20)

def short(model, names, choose=training._choose):
    return {n: dataclasses.replace(stage, epochs=min(stage.epochs, 2)) for n, stage in choose(model, names).items()}

training._choose = short

import mmrec_lite as mm
from mmrec_lite.experiments import runs

evaluated, PLAIN = [], (("part", "test"), ("candidates", "all"), ("seed", 0), ("seed", 1))

def noting(model, split, *args, evaluate=mm.evaluate, **options):
    report = evaluate(model, split, *args, **options)
    row = {"method": model.name, "data": split.dataset.hash, "protocol": split.protocol, **report.metrics}
    row["plain"] = not {name: value for name, value in options.items() if (name, value) not in PLAIN and name != "ks"}
    evaluated.append(row)
    return report

mm.evaluate = runs.evaluate = noting"""
LAST = "mm.experiments.record(evaluated=evaluated)"


def shorten(path: Path, **parameters: object) -> None:
    """Rewrite a lesson in place: trainings of two epochs, one seed, and these whole-number parameters."""
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for name, value in (FEWER | parameters).items():
        cell.source = re.sub(rf"^({name}: int = )\d+", rf"\g<1>{value}", cell.source, flags=re.MULTILINE)
    notebook.cells.insert(0, new_code_cell(FIRST))
    notebook.cells.append(new_code_cell(LAST))
    nbformat.write(notebook, path)


def evaluated(path: Path) -> list[dict[str, object]]:
    """Return what a shortened lesson measured, a row an evaluation: method, the data's hash, protocol, metrics."""
    last = nbformat.read(path, as_version=4).cells[-1]
    return next(o.data[ROW]["evaluated"] for o in last.outputs if ROW in o.get("data", {}))
