"""Sweeps over notebooks: papermill runs a lesson for every point, one executed notebook and one row each."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrec_lite.data.storage import file_hash
from mmrec_lite.experiments import runs
from mmrec_lite.experiments.sweeps import run_cells
from mmrec_lite.files import beside

__all__ = ["record", "sweep_lesson"]

ROW = "application/vnd.mmrec-lite.row+json"
OWN = ("format", "id", "notebook", "swept", "seconds", "error")  # what a row says of the run itself


def record(**values: Any) -> None:
    """Say, in a notebook, what its result row holds: ``record(recall=0.17)``; later calls add to earlier ones.

    A sweep over the notebook finds the values in its outputs; a reader sees them printed. Raises ``ValueError`` for
    names that a row says of the run itself (`OWN`).
    """
    _refuse_own("record: a value", values)
    from IPython.display import display

    plain = json.loads(json.dumps(values, default=float))
    shown = [f"{k} = {v:.4f}" if isinstance(v, float) else f"{k} = {v}" for k, v in plain.items()]
    more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
    display({ROW: plain, "text/plain": f"recorded: {', '.join(shown[:4])}{more}"}, raw=True)


def sweep_lesson(
    notebook: str | Path,
    grid: Mapping[str, Sequence[Any]],
    save: str | Path,
    *,
    jobs: int = 1,
    threads: int = 1,
    dask: str | Any | None = None,
    progress: bool = True,
    timeout: int = 3600,
) -> pd.DataFrame:
    """Execute a notebook for every point of a grid of its parameters; return one row a point.

    Each point becomes a folder below `save` with the executed `notebook.ipynb` and `row.json`: parameters, what the
    notebook gave to ``record``, seconds, and `error` where a cell failed (the notebook then ends there). Points that
    this version of the kit finished are read, failed ones repeated, and so are those whose files are others now: a text
    that names a file or a folder stands for what is in it. `jobs`, `threads` and `dask` are ``sweep``'s;
    `timeout` is a cell's limit in seconds. The notebooks run in the caller's folder (a cluster's workers must have it,
    too), so that a relative path among the parameters means what it means there. NumPy's values reach them as Python's,
    tuples as lists, paths as strings.
    Raises ``ValueError`` for parameters that the notebook does not have or whose name a row has for itself (`OWN`), and
    for values that are none of these.
    """
    import papermill

    if timeout <= 0:
        raise ValueError(f"sweep_lesson: timeout = {timeout}, but it is the seconds that a cell may take, 1 or more.")
    notebook = Path(notebook)
    if not notebook.is_file():
        raise FileNotFoundError(f"there is no notebook {notebook}")
    _refuse_own("sweep_lesson: a parameter", grid)
    known = papermill.inspect_notebook(str(notebook))
    for name in grid:
        if name not in known:
            raise ValueError(f"{notebook.name} has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
    points = [_plain(dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]
    source = hashlib.sha256(notebook.read_bytes()).hexdigest()
    how = {"notebook": str(notebook.resolve()), "source": source, "save": str(Path(save).resolve()), "timeout": timeout}
    how["cwd"] = str(Path.cwd())
    contents = _contents((value for point in points for value in point.values()), Path(how["save"]))
    cells = [(dict(point), how | {"parameters": point, "contents": contents}) for point in points]
    rows = run_cells(_execute, cells, jobs=jobs, threads=threads, dask=dask, progress=progress, desc=notebook.stem)
    return pd.DataFrame(rows)


def _refuse_own(what: str, names: Iterable[str]) -> None:
    """Raise ``ValueError`` for names that would overwrite what a row says of the run itself."""
    if taken := [name for name in names if name in OWN]:
        raise ValueError(
            f"{what} cannot be called {taken[0]!r}: a row says of the run itself what its {', '.join(OWN)} are. "
            f"Choose another name."
        )


def _plain(point: dict[str, Any]) -> dict[str, Any]:
    """Return a point as JSON gives it back: papermill writes what it does not know into the notebook as a string."""

    def known(value: Any) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise ValueError(
            f"sweep_lesson: {type(value).__name__} {value!r} among {list(point)} cannot be a notebook's parameter; "
            f"take numbers, strings, booleans, None, lists or dicts of them."
        )

    return json.loads(json.dumps(point, default=known))


def _contents(values: Iterable[Any], save: Path) -> dict[str, str]:
    """Return the hash of what is in each file and folder that a value names, but for hidden files and what is written.

    A folder of kept runs (it has claims) and `save` itself are others after each run.
    """
    out: dict[str, str] = {}
    for text in {value for value in values if isinstance(value, str) and value}:
        place = Path(text).expanduser()
        with contextlib.suppress(OSError, ValueError):  # ValueError: no name of a file at all
            if place.is_file():
                out[text] = file_hash(place)
            elif place.is_dir() and not (place / ".claims").exists():
                digest = hashlib.sha256()
                for name in sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()):
                    written = (place / name).resolve().is_relative_to(save)
                    if not written and not any(part.startswith(".") for part in name.split("/")):
                        digest.update(f"{name}\0{file_hash(place / name)}\n".encode())
                out[text] = digest.hexdigest()
    return out


def _execute(how: dict[str, Any], _shared: None, wait: bool) -> dict[str, Any]:
    """One point: read it, or run the notebook, write both files beside and rename."""
    import papermill

    from mmrec_lite import __version__  # here: the package imports this module

    notebook, parameters = Path(how["notebook"]), how["parameters"]
    named = {k: how["contents"][v] for k, v in parameters.items() if isinstance(v, str) and v in how["contents"]}
    key = json.dumps([__version__, how["source"], parameters, *([named] if named else [])], sort_keys=True, default=str)
    name = f"{notebook.stem}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
    target = Path(how["save"]) / name
    if row := _finished(target):  # without a claim, since the folder may be closed to writing
        return row
    with runs.claim(how["save"], name, wait):
        if row := _finished(target):
            return row
        target.mkdir(parents=True, exist_ok=True)
        # Left by a process that was killed; anything else, such as Jupyter's .ipynb_checkpoints, is not ours to remove.
        for left in [*target.glob(".notebook.*.ipynb"), *target.glob(".row.*")]:
            left.unlink()
        row = {"format": runs.FORMAT, "id": name, "notebook": notebook.name, "swept": ", ".join(parameters)}
        row |= parameters
        started = time.perf_counter()
        # papermill writes it after each cell; whatever ends the run, what there is becomes the notebook.
        begun = target / f".notebook.{uuid.uuid4().hex[:8]}.ipynb"
        try:
            done = papermill.execute_notebook(
                str(notebook), str(begun), parameters=parameters, kernel_name="python3", cwd=how["cwd"],
                execution_timeout=how["timeout"], progress_bar=False,
            )  # fmt: skip
            row |= _recorded(done, parameters)
        except papermill.PapermillExecutionError as error:
            row["error"] = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
        except Exception as error:  # a cell that takes too long, a kernel that dies: the point must have its row, too
            row["error"] = f"{type(error).__name__}: " + str(error).strip().partition("\n")[0]
        finally:
            if begun.exists():
                os.replace(begun, target / "notebook.ipynb")
        row["seconds"] = round(time.perf_counter() - started, 1)
        with beside(target / "row.json") as partial:
            partial.write_text(json.dumps(row, indent=1))
    return row


def _finished(target: Path) -> dict[str, Any] | None:
    """The row of a point that was executed to its end."""
    row = runs.read_row(target) if (target / "row.json").exists() else {"error": "not there"}
    return None if row.get("error") else row


def _recorded(notebook: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a notebook recorded; a parameter of its point keeps its value, and another one is the `error`."""
    values: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            values |= output.get("data", {}).get(ROW, {})
    for name in parameters.keys() & values.keys():
        value = values.pop(name)
        if value != parameters[name]:
            values["error"] = (
                f"record({name}={value!r}): {name!r} is a parameter of this point, {parameters[name]!r}; "
                f"record the figure under another name."
            )
    return values
