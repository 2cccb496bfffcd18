"""`mmrec methods`, and methods from a file of one's own."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from mmrec_lite.data import DataError
from mmrec_lite.printing import json_line

__all__ = ["AsJson", "Code", "methods", "run_code"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Code = Annotated[Path | None, typer.Option(help="Python file with methods of your own (@mm.register); it is run.")]
_WIDTH = 118  # of a line that shows a setting


def methods(
    method: Annotated[str | None, typer.Argument(help="Show what can be set of this one.")] = None,
    code: Code = None,
    as_json: AsJson = False,
) -> None:
    """List the methods that `run` knows, or the settings of one."""
    run_code(code)
    if method is not None:
        _show_settings(method, as_json)
        return
    from mmrec_lite.methods import methods as known_methods

    known = known_methods()
    if as_json:
        typer.echo(json_line(known))
        return
    width = max(map(len, known), default=0)
    for name, description in known.items():
        typer.echo(f"{name:<{width}}  {description}")


def _show_settings(method: str, as_json: bool) -> None:
    from mmrec_lite.methods import settings

    table = settings(method)
    if as_json:
        typer.echo(json_line(table.to_dict(orient="index")))
        return
    profiles = [column for column in table if column not in ("values", "meaning")]
    shown = {column: table[column].map(_word) for column in profiles}
    cells = {"setting": [*table.index]} | {column: values.tolist() for column, values in shown.items()}
    widths = {name: max(map(len, [name, *values])) for name, values in cells.items()}
    head = "  ".join(f"{name:<{width}}" for name, width in widths.items()) + "  "
    typer.echo(head + "meaning (values)")
    for place, (meaning, values) in enumerate(zip(table["meaning"], table["values"], strict=True)):
        start = "  ".join(f"{cells[name][place]:<{width}}" for name, width in widths.items()) + "  "
        text = f"{meaning} ({values})" if values else meaning
        for line in textwrap.wrap(text, max(40, _WIDTH - len(head))) or [""]:
            typer.echo((start + line).rstrip())
            start = " " * len(head)
    typer.echo(f"\nmmrec run {method} --set NAME=VALUE; --profile takes {' or '.join(profiles)}")


def _word(value: Any) -> str:
    """A value as `--set` would take it; - where nothing is set."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def run_code(file: Path | None) -> None:
    """Run a user's file as the module of its name, so that it registers its methods."""
    if file is None:
        return
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or not file.is_file():
        raise DataError(f"--code {file}: there is no such Python file (.py).")
    if file.stem in sys.modules or file.stem in sys.stdlib_module_names:
        raise DataError(f"--code {file}: {file.stem!r} is the name of another module; rename the file.")
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
