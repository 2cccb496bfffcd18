"""Give every lesson a Colab badge and a first cell that installs the package there: `make colab REPOSITORY=owner/name`.

Where the repository is published is not known here, so the address is an argument; the lessons here carry no badge.
Put the copies where the lessons are: a badge leads there.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.notebooks.execute import write

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
INSTALL = """\
# On Colab: install the package once (a minute). Anywhere else this cell does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules:
    if importlib.util.find_spec("mmrec_lite") is None:
        %pip install --quiet "mmrec_lite[{extras}] @ git+https://github.com/{repository}"
    from google.colab import output
    output.enable_custom_widget_manager()  # the map's pointer is a widget of its own"""


def with_badge(notebook: NotebookNode, name: str, repository: str, branch: str = "main") -> NotebookNode:
    """Return the lesson with a badge above its title and the installing cell below its opening.

    Raises ``ValueError`` for a repository that is not "owner/name".
    """
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(f"repository = {repository!r} must be 'owner/name'.")
    address = f"https://colab.research.google.com/github/{repository}/blob/{branch}/notebooks/{name}"
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})\n\n"
    cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    opening = cells[0]
    opening.source = badge + re.sub(r"^\[!\[Open in Colab\].*\n+", "", opening.source)
    encodes = any("mmrec_lite.features" in cell.source for cell in cells if cell.cell_type == "code")
    extras = "notebooks,features,offline" if encodes else "notebooks"  # encoders only where something is encoded
    source = INSTALL.format(repository=repository, extras=extras)
    install = new_code_cell(source, id="colab", metadata={"tags": ["colab"]})
    notebook.cells = [opening, install, *cells[1:]]
    count = 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            count += 1
            cell.execution_count = count
            for result in cell.outputs:
                if "execution_count" in result:
                    result.execution_count = count
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Write every lesson with its badge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", help="owner/name on GitHub")
    parser.add_argument("out", type=Path)
    parser.add_argument("--notebooks", type=Path, default=Path(__file__).resolve().parents[2] / "notebooks")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(options.notebooks.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        write(with_badge(notebook, path.name, options.repository), options.out / path.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
