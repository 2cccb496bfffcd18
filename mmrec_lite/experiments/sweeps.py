"""Many runs side by side: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from mmrec_lite.data import MultimodalDataset, load
from mmrec_lite.experiments import runs
from mmrec_lite.methods import method_class

__all__ = ["ablate", "run_cells", "sweep"]


def sweep(
    methods: str | Iterable[str] | Mapping[str, Mapping[str, Any]],
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0,),
    save: str | Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    dask: str | Any | None = None,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Run methods on every point of a grid and every seed; one row a run, in the grid's order.

    `methods` is a name, several, or a mapping label -> {"method": name, settings...}. `grid` maps a setting to its
    values. Settings are hyper-parameters and arguments of ``run`` (protocol, split_seed ...); other `options` are the
    same for all. `seeds` decide weights and batches; the split stays that of `split_seed` (0) unless `grid` has it.
    With `save`, finished runs are read, not repeated: a stopped sweep goes on where it was, and sweeps
    that share a folder share the work. A run that fails becomes a row with its `error`; the others are kept.

    `jobs` processes work at a time (-1: one a core), each with `threads` threads (default: the cores shared out).
    `dask` is a cluster instead: the scheduler's address ("tcp://host:8786") or a ``distributed.Client``; its workers
    must reach the folder of `save`.
    """
    dataset = load(data)
    if isinstance(methods, str):
        methods = [methods]
    if not isinstance(methods, Mapping):
        methods = {name: {"method": name} for name in methods}
    for recipe in methods.values():
        method_class(recipe["method"])
    points = [dict(zip(grid or {}, values, strict=True)) for values in itertools.product(*(grid or {}).values())]
    cells = [
        ({"label": label, **point, "seed": seed}, options | recipe | point | {"seed": seed, "save": save})
        for (label, recipe), point, seed in itertools.product(methods.items(), points, seeds)
    ]
    rows = run_cells(_run_cell, cells, dataset, jobs=jobs, threads=threads, dask=dask, progress=progress)
    return pd.DataFrame(rows)


def ablate(
    method: str, data: str | Path | MultimodalDataset = "bazaar", *, seeds: Sequence[int] = (0,), **options: Any
) -> pd.DataFrame:
    """Run a method, each of its published variants and each modality alone; one row a run, `label` says which.

    `options` go to ``sweep`` and ``run``.
    """
    dataset = load(data)
    fields = method_class(method).Config.model_fields
    recipes: dict[str, dict[str, Any]] = {method: {"method": method}}
    if "variant" in fields:
        others = [v for v in get_args(fields["variant"].annotation) if v != fields["variant"].default]
        recipes |= {variant: {"method": method, "variant": variant} for variant in others}
    if "modalities" in fields and len(dataset.modalities) > 1:
        recipes |= {f"{name} only": {"method": method, "modalities": (name,)} for name in dataset.modalities}
    return sweep(recipes, dataset, seeds=seeds, **options)


def _run_cell(settings: dict[str, Any], dataset: MultimodalDataset, wait: bool) -> dict[str, Any]:
    """One run's row: what a worker does."""
    settings = dict(settings)
    return runs.run(settings.pop("method"), dataset, wait=wait, **settings).row


# Cells of any kind, side by side ------------------------------------------------------------------------------------

Cell = tuple[dict[str, Any], dict[str, Any]]  # what its row starts with; what the work is called with


def run_cells(
    work: Callable[..., dict[str, Any]],
    cells: Sequence[Cell],
    shared: Any = None,
    *,
    jobs: int = 1,
    threads: int | None = None,
    dask: str | Any | None = None,
    progress: bool = True,
    desc: str = "runs",
) -> list[dict[str, Any]]:
    """Call ``work(settings, shared, wait)`` for each cell (row, settings) and return the rows in the cells' order.

    A cell that raises gets a row with `error`. A cell that another process holds is put off to the end, then waited
    for. A cell whose worker process dies is tried once more, alone; if that dies too, it gets its `error` and the
    others go on.
    """
    jobs = _processes(jobs, len(cells))
    if threads is None and jobs > 1:
        threads = max(1, (os.cpu_count() or 1) // jobs)
    done: dict[int, dict[str, Any]] = {}
    with tqdm(total=len(cells), desc=desc, disable=not progress) as bar, _backend(jobs, threads, dask, shared) as where:
        for wait in (False, True):
            todo = [number for number in range(len(cells)) if number not in done]
            tasks = [joblib.delayed(_attempt)(work, n, *cells[n], shared, wait, threads) for n in todo]
            with contextlib.suppress(TerminatedWorkerError):
                _take(joblib.Parallel(n_jobs=where, return_as="generator_unordered")(tasks), done, bar)
        for number in [n for n in range(len(cells)) if n not in done]:  # a worker died of one of these
            task = joblib.delayed(_attempt)(work, number, *cells[number], shared, True, threads)
            try:
                _take(joblib.Parallel(n_jobs=2, backend="loky", return_as="generator_unordered")([task]), done, bar)
            except TerminatedWorkerError:
                cause = "the worker process died (out of memory, or killed)"
                done[number] = cells[number][0] | {"error": f"TerminatedWorkerError: {cause}"}
    return [done[number] for number in range(len(cells))]


def _take(results: Iterable[tuple[int, dict[str, Any] | None]], done: dict[int, dict[str, Any]], bar: tqdm) -> None:
    for number, row in results:
        if row is not None:
            done[number] = row
            bar.update()


def _attempt(
    work: Callable[..., dict[str, Any]],
    number: int,
    row: dict[str, Any],
    settings: dict[str, Any],
    shared: Any,
    wait: bool,
    threads: int | None,
) -> tuple[int, dict[str, Any] | None]:
    """One cell in whatever process it landed; None for a cell that another process holds."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        return number, row | work(settings, shared, wait)
    except runs.Busy:
        return number, None
    except Exception as error:  # one failing cell must not lose the others
        known = {"method": settings["method"]} if "method" in settings else {}
        return number, row | known | {"error": f"{type(error).__name__}: {error}"}
    finally:
        torch.set_num_threads(before)


def _processes(jobs: int, cells: int) -> int:
    if jobs == 0 or jobs < -1:
        raise ValueError(f"jobs = {jobs}, but it is the number of processes, or -1 for one a core.")
    return max(1, min(os.cpu_count() or 1 if jobs == -1 else jobs, cells))


@contextlib.contextmanager
def _backend(jobs: int, threads: int | None, dask: str | Any | None, shared: Any) -> Iterator[int]:
    """Set joblib's backend and yield the number of jobs for it; a client that was opened here is closed here."""
    if dask is None:
        options = {"inner_max_num_threads": threads} if jobs > 1 else {}
        with joblib.parallel_config(backend="loky" if jobs > 1 else "sequential", **options):
            yield jobs
        return
    from distributed import Client  # the extra `cluster`; importing it registers joblib's backend

    with contextlib.ExitStack() as opened:
        client = opened.enter_context(Client(dask)) if isinstance(dask, str) else dask
        scatter = {"scatter": [shared]} if shared is not None else {}
        opened.enter_context(joblib.parallel_config(backend="dask", client=client, **scatter))
        yield -1
