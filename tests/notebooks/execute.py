"""Execute notebooks in place and leave what a reader wants: `make notebooks`.

Each notebook runs top to bottom in its own folder, is cleaned, written beside the old file and then renamed,
so an error or an interruption leaves the old file as it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbstripout import strip_output

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "An explorer: run this cell to use it. The picture beside it shows what it can show."
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
FOLDED = {"source_hidden": True, "outputs_hidden": True}
EXTRA_KEYS = [
    "metadata.papermill",
    "metadata.widgets",
    "metadata.language_info.version",
    "cell.metadata.papermill",
    "cell.metadata.execution",
]


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Remove times, machine names and widget states, and fold solutions; outputs, counts and ids stay.

    A widget without a kernel shows as an error ("model not found"), so a sentence takes its place.
    """
    notebook.metadata.kernelspec = KERNELSPEC
    notebook = strip_output(notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=EXTRA_KEYS)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = {"text/plain": WIDGET_NOTE}
    return folded(notebook)


def folded(notebook: NotebookNode) -> NotebookNode:
    """Hide code and outputs of the cells tagged `solution` until a reader opens them, as JupyterLab does it."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {**cell.metadata.get("jupyter", {}), **FOLDED}
    return notebook


def execute(path: Path, timeout: float) -> NotebookNode:
    """Run the notebook in its own folder and return it with its outputs; raises what nbclient raises."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    return client.execute()


def write(notebook: NotebookNode, path: Path) -> None:
    beside = path.with_suffix(".ipynb.tmp")
    nbformat.write(notebook, beside)
    os.replace(beside, path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--timeout", type=float, default=300, help="seconds a cell may take")
    options = parser.parse_args(arguments)
    if not options.notebooks:
        print("no notebooks to execute")
    failed = 0
    for path in options.notebooks:
        start = time.perf_counter()
        try:
            write(tidy(execute(path, options.timeout)), path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            print(f"{path}: left as it was, a cell failed\n{error}", file=sys.stderr)
        else:
            print(f"{path}: {time.perf_counter() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
