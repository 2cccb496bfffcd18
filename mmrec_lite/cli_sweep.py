"""`mmrec sweep` and `mmrec results`."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import itertools
import json
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from mmrec_lite.cli_methods import Code, run_code
from mmrec_lite.data import DataError
from mmrec_lite.printing import printable

__all__ = ["results", "sweep"]

_USUAL = ("recall@20", "ndcg@20")


def sweep(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="NOTEBOOK | METHOD...", help="A notebook with a cell tagged 'parameters', or names of methods."
        ),
    ],
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="NAME VALUES",
            help="A parameter and its values, commas between; of methods their settings, seed, split_seed, protocol, "
            "profile, and options of the split (fold, ratios). A value that has commas is written in JSON's quotes, "
            '\'"a,b"\', several as a JSON list, \'["a,b", "c"]\'.',
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Of methods: 'bazaar' (the default) or a folder that `data prepare` wrote.")
    ] = None,
    save: Annotated[Path, typer.Option(help="Folder for the runs: what is there already is not done again.")] = Path(
        "results"
    ),
    jobs: Annotated[int, typer.Option(help="Processes at a time; -1: one a core.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of each process; -1: the cores shared out.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="TCP://…", help="A Dask scheduler instead of processes.")] = None,
    timeout: Annotated[int | None, typer.Option(help="Of a notebook: seconds that a cell may take (3600).")] = None,
    code: Code = None,
) -> None:
    """Execute a notebook, or train and evaluate methods, for every combination of parameters: one row each."""
    if code is not None:
        run_code(code)
        _send_whole(sys.modules[code.stem])
    notebook, methods, pairs = _arguments(what, parameters or [])
    grid: dict[str, list[Any]] = {}
    for name, values in pairs:
        if name in grid:
            raise DataError(f"-p {name}: it is given twice; write its values with commas between.")
        grid[name] = _values(name, values)
    work = {"jobs": jobs, "threads": threads, "dask": dask}
    if notebook is None:
        if timeout is not None:
            raise DataError(f"--timeout {timeout} goes with a notebook, whose cells it limits.")
        table, runs = _sweep_methods(methods, data, grid, save, work), "runs"
    else:
        if data is not None:
            raise DataError(f"--data {data} goes with methods; a notebook takes what it has a parameter for: -p data.")
        if code is not None:
            raise DataError(f"--code {code} goes with methods; a notebook has its own cells.")
        from mmrec_lite.experiments.lessons import sweep_lesson

        table = sweep_lesson(notebook, grid, save, timeout=3600 if timeout is None else timeout, **work)
        table, runs = table.drop(columns=["format", "id"], errors="ignore"), "notebooks"
    _echo(table.to_string(index=False))
    failed = int(table["error"].notna().sum()) if "error" in table else 0
    typer.echo(f"\n{len(table)} {runs} in {save}" + (f", {failed} failed" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _send_whole(module: ModuleType) -> None:
    """Have workers sent what a file defines: they cannot import it, since it need not lie where Python looks."""
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):  # Dask's and, in older versions, joblib's own copy
        with contextlib.suppress(ImportError):
            importlib.import_module(name).register_pickle_by_value(module)


def _sweep_methods(
    methods: list[str], data: str | None, grid: dict[str, list[Any]], save: Path, work: dict[str, Any]
) -> Any:
    """Run methods on a grid and return what a screen has room for: what tells the runs apart, and the usual metrics."""
    from mmrec_lite.data.protocols import SPLIT_OPTIONS
    from mmrec_lite.experiments.sweeps import sweep
    from mmrec_lite.methods import method_class

    seeds = grid.pop("seed", [0])
    if "data" in grid:
        raise DataError("-p data: methods are swept on one data set, --data; sweep the others into the same --save.")
    fields = {name for method in methods for name in method_class(method).Config.model_fields}
    split = {name: grid.pop(name) for name in SPLIT_OPTIONS if name in grid and name not in fields}
    if split:
        grid["split_options"] = [dict(zip(split, values, strict=True)) for values in itertools.product(*split.values())]
    with warnings.catch_warnings():  # the table and the last line say it
        warnings.filterwarnings("ignore", message=r"sweep: \d+ of \d+ runs failed")
        table = sweep(methods, data or "bazaar", grid=grid, seeds=seeds, save=save, **work)
    told = [name for name in _USUAL if name in table]
    if not told:  # `ks` without 20: the first cut-off that there is
        told = [name for name in table if str(name).startswith(("recall@", "ndcg@"))][:2]
    asked = [name for name in grid if name in table and name != "split_options"]  # also of a run that failed
    names = [name for name in _settings(table) if name.removeprefix("set ") not in asked]
    return table[asked + names + told + [name for name in ("error",) if name in table]]


def _echo(table: str) -> None:
    """Print a table of others' words: errors of a notebook, rows of a folder that somebody sent."""
    typer.echo("\n".join(map(printable, table.split("\n"))))


def _arguments(positional: list[str], named: list[str]) -> tuple[Path | None, list[str], list[tuple[str, str]]]:
    """Part "lesson.ipynb 5,10 0,1" and "k seed" into the notebook, or the methods, and (name, values).

    papermill's `-p NAME VALUES` takes two words; typer knows no repeated option of two, so the second word of each
    arrives among the arguments, in order. NAME=VALUES is understood, too. Values such as -1,0 arrive there as well,
    and with them any option that there is not.
    """
    misspelt = next((text for text in positional if re.match(r"-+[A-Za-z]", text)), None)
    if misspelt is not None:
        raise DataError(
            f"there is no option {misspelt.partition('=')[0]}; `mmrec sweep --help` lists them. A value that begins so "
            f"is written NAME=VALUES, as in -p x={misspelt}."
        )
    notebooks = [text for text in positional if text.endswith(".ipynb")]
    if len(notebooks) > 1:
        raise DataError(f"name one notebook (.ipynb) to sweep, not {len(notebooks)}.")
    chosen = notebooks or _methods(positional)
    left = [text for text in positional if text not in chosen]
    pairs = []
    for text in named:
        name, equals, values = text.partition("=")
        if not equals and not left:
            taken = f" {chosen[-1]!r} is read as a method; where it is a value, write -p {text}={chosen[-1]}."
            more = taken if len(chosen) > 1 else ""
            raise DataError(f"-p {text}: expected values, as in -p {text} 5,10,20.{more}")
        pairs.append((name, values if equals else left.pop(0)))
    if left:
        if not notebooks:
            _refuse_misspelt(text for text in positional if text not in chosen)
        raise DataError(f"{left[-1]!r} belongs to no -p; write -p NAME {left[-1]}.")
    return (Path(notebooks[0]), [], pairs) if notebooks else (None, chosen, pairs)


def _methods(words: list[str]) -> list[str]:
    """Return the words that name methods; the others are values."""
    from mmrec_lite.methods import methods

    known = methods()
    if chosen := [word for word in dict.fromkeys(words) if word in known]:
        return chosen
    _refuse_misspelt(words)
    raise DataError(f"{words[0]!r} is no notebook (.ipynb) and no method; `mmrec methods` lists these.")


def _refuse_misspelt(words: Iterable[str]) -> None:
    """Raise ``ValueError`` about the first word that is nearly a method's name."""
    from mmrec_lite.methods import method_class, methods

    for word in words:
        if difflib.get_close_matches(word, methods(), 1):
            method_class(word)


def _values(name: str, text: str) -> list[Any]:
    """What stands between commas; commas inside of JSON's quotes and brackets part nothing, its array is the list."""
    values = json_or_text(text)
    if values == []:
        raise DataError(f"-p {name} {text}: the list has no value.")
    if not isinstance(values, list) and text.strip():  # an empty text is a value, too
        values = json_or_text(f"[{text}]")
    return values if isinstance(values, list) else [json_or_text(value) for value in text.split(",")]


def json_or_text(text: str) -> Any:
    """What a text says as JSON, or the text where it is none; .5 and 1. are numbers to a person, not to JSON."""
    if re.fullmatch(r"[-+]?(\d+\.|\.\d+)", text):
        return float(text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(table: Any) -> list[str]:
    """Return the columns that say which run a row is: those that name it, and every setting that varies."""
    from mmrec_lite.experiments.tables import SEEDS, settings_of

    names = {*SEEDS, *settings_of(table)} & set(table)
    several = {c for c in names if table[c].astype(str).nunique() > 1}
    return [c for c in table if c in ("id", "method", "notebook", "seed") or c in several]


def _as_words(table: Any, by: str) -> Any:
    """The table with what stands in a column as words, as --reference is one: k = 10 is "10", also beside a gap."""
    if by not in table:
        return table
    return table.assign(**{by: table[by].convert_dtypes().map(str, na_action="ignore")})


def _require_column(table: Any, name: str) -> None:
    if name not in table:
        close = difflib.get_close_matches(name, map(str, table), 1)
        hint = f"did you mean {close[0]!r}?" if close else f"they have {', '.join(map(str, table))}."
        raise DataError(f"--metric {name}: the rows have no column {name!r}; {hint}")


def results(
    folder: Annotated[Path, typer.Argument(help="Folder that run --save or sweep wrote.")],
    metric: Annotated[list[str] | None, typer.Option(help="A metric's column; repeat it (recall@20, ndcg@20).")] = None,
    by: Annotated[str | None, typer.Option(help="Column whose values become lines; default: one line a run.")] = None,
    reference: Annotated[str, typer.Option(help="With --by: the line that others are tested against.")] = "",
    form: Annotated[
        str | None, typer.Option("--format", help="text, csv, markdown or latex; text unless given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .csv, .md or .tex.")] = None,
) -> None:
    """Collect the rows below a folder into one table."""
    from mmrec_lite.experiments.runs import collect
    from mmrec_lite.experiments.tables import FORMATS, export, printed, render

    if form not in (None, "text", *FORMATS.values()):
        raise DataError(f"--format {form}: there are text, {', '.join(FORMATS.values())}.")
    if None not in (form, out) and form != FORMATS.get(out.suffix):
        raise DataError(f"--format {form} --out {out}: the file's ending tells its format; leave --format out.")
    form = form or "text"
    if reference and by is None:
        raise DataError(
            f"--reference {reference} goes with --by: name the column that has this value, such as --by method."
        )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = collect(folder)
        shown = metric or [name for name in _USUAL if name in table and form == "text" and out is None]
        if by is not None:
            table = printed(_as_words(table, by), metric or _USUAL, by, reference=reference)
    for warning in told:
        typer.echo(f"mmrec: {printable(str(warning.message))}", err=True)
    if by is None and shown:  # a file gets every column, a screen has no room for them
        for name in shown:
            _require_column(table, name)
        table = table[_settings(table) + shown]
    if out is not None:
        typer.echo(f"Written to {export(table, out)}")
    elif form == "text":
        _echo(table.to_string())
    else:
        typer.echo(render(table, form), nl=False)
