"""Many runs side by side: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import joblib
import pandas as pd
import torch
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError
from tqdm.auto import tqdm

from mmrec_lite._threads import ALONE
from mmrec_lite.data import MultimodalDataset, load
from mmrec_lite.experiments import runs
from mmrec_lite.experiments.studies import FEATURES
from mmrec_lite.methods import Method, adopt, method_class, own_methods

__all__ = ["ablate", "run_cells", "sweep"]

_TAKEN = {  # what a sweep decides itself, and how it is told
    "seed": "pass seeds=(0, 1, ...)",
    "save": "leave it out, save=... holds for all runs",
    "method": "name the methods first",
    "data": "pass it second; sweep each data set and put the tables together with pd.concat",
    "checkpoint": "leave it out, runs cannot share one; save=... keeps those that are done",
    "wait": "leave it out, a run that another process is at is put off, then waited for",
}


def sweep(
    methods: str | Iterable[str] | Mapping[str, Mapping[str, Any]],
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0,),
    save: str | Path | None = None,
    jobs: int = 1,
    threads: int = 1,
    dask: str | Any | None = None,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Run methods on every point of a grid and every seed; one row a run, in the grid's order.

    `methods` is a name, several, or a mapping label -> {"method": name, settings...}. `grid` maps a setting to its
    values. Settings are hyper-parameters and arguments of ``run`` (protocol, split_seed ...) but for `seed` and `save`,
    which are refused; other `options` are the same for all. `seeds` decide weights and batches; the split stays that of
    `split_seed` (0) unless `grid` has it. With `save`, finished runs are read, not repeated: a stopped sweep goes on
    where it was, and sweeps that share a folder share the work. A run that fails becomes a row with its `error`; the
    others are kept.

    `jobs` processes work at a time (-1: one a core), each with `threads` threads (-1: the cores shared out). Figures
    depend on the number of threads in the last digits; one, the default, gives the same bits for every number of jobs.
    More pay where few runs on large data go side by side.
    `dask` is a cluster instead: the scheduler's address ("tcp://host:8786") or a ``distributed.Client``; its workers
    must reach the folder of `save` by the same absolute path, and each works at one cell at a time, with `threads`
    threads (-1: as many as it has).
    """
    dataset, save = load(data), Path(save).resolve() if save is not None else None  # workers may stand elsewhere
    if isinstance(methods, str):
        methods = [methods]
    if not isinstance(methods, Mapping):
        methods = {name: {"method": name} for name in methods}
    check_seeds("sweep", seeds)
    _refuse_taken("the grid", grid or {})
    for name, values in (grid or {}).items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"sweep: grid {name!r} = {values!r} is no list of values; for one write [{values!r}].")
    _refuse_taken("the options", options)
    for label, recipe in methods.items():
        if not isinstance(recipe, Mapping) or "method" not in recipe:
            raise ValueError(
                f"sweep: the recipe {label!r} is {recipe!r}, but it names a method and its settings, "
                f'as in {{"method": "micro", "k": 5}}.'
            )
        method_class(recipe["method"])
        _refuse_taken(f"the recipe {label!r}", [name for name in recipe if name != "method"])
    points = [dict(zip(grid or {}, values, strict=True)) for values in itertools.product(*(grid or {}).values())]
    cells = [
        ({"label": label, **point, "seed": seed}, options | recipe | point | {"seed": seed, "save": save})
        for (label, recipe), point, seed in itertools.product(methods.items(), points, seeds)
    ]
    work = partial(_run_cell, own_methods(recipe["method"] for recipe in methods.values()))
    rows = pd.DataFrame(run_cells(work, cells, dataset, jobs=jobs, threads=threads, dask=dask, progress=progress))
    failed = rows["error"].dropna() if "error" in rows else ()
    if len(failed):
        warnings.warn(f"sweep: {len(failed)} of {len(rows)} runs failed, the first: {failed.iloc[0]}", stacklevel=2)
    return rows


def check_seeds(where: str, seeds: Any) -> None:
    """Raise ``ValueError`` unless seeds are several, or one in a list."""
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"{where}: seeds = {seeds!r}, but they are a list, such as (0, 1, 2) or range(3).")


def _refuse_taken(where: str, settings: Iterable[str]) -> None:
    """Raise ``ValueError`` for a setting that a sweep decides itself: it would be overwritten."""
    for name in settings:
        if name in _TAKEN:
            raise ValueError(f"sweep: {name!r} is no setting of {where}; {_TAKEN[name]}.")


def ablate(
    method: str, data: str | Path | MultimodalDataset = "bazaar", *, seeds: Sequence[int] = (0,), **options: Any
) -> pd.DataFrame:
    """Run a method, each of its published variants and each modality alone; one row a run, `label` says which.

    PAMD parts two modalities and is not run on one. `options` go to ``sweep`` and ``run``.
    """
    dataset = load(data)
    fields = method_class(method).Config.model_fields
    recipes: dict[str, dict[str, Any]] = {method: {"method": method}}
    if "variant" in fields:
        others = [v for v in get_args(fields["variant"].annotation) if v != fields["variant"].default]
        recipes |= {variant: {"method": method, "variant": variant} for variant in others}
    if "modalities" in fields and len(dataset.modalities) > 1 and FEATURES.get(method, 0) < 2:
        recipes |= {f"{name} only": {"method": method, "modalities": (name,)} for name in dataset.modalities}
    return sweep(recipes, dataset, seeds=seeds, **options)


def _run_cell(
    own: Mapping[str, type[Method]], settings: dict[str, Any], dataset: MultimodalDataset, wait: bool
) -> dict[str, Any]:
    """One run's row: what a worker does, which does not know the methods that its caller registered."""
    adopt(own)
    settings = dict(settings)
    return runs.run(settings.pop("method"), dataset, wait=wait, **settings).row


# Cells of any kind, side by side ------------------------------------------------------------------------------------

DIED = "the worker process died (out of memory, or killed)"
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # Numba refuses a change once it has worked
Cell = tuple[dict[str, Any], dict[str, Any]]  # what its row starts with; what the work is called with


def run_cells(
    work: Callable[..., dict[str, Any]],
    cells: Sequence[Cell],
    shared: Any = None,
    *,
    jobs: int = 1,
    threads: int = 1,
    dask: str | Any | None = None,
    progress: bool = True,
    desc: str = "runs",
) -> list[dict[str, Any]]:
    """Call ``work(settings, shared, wait)`` for each cell (row, settings) and return the rows in the cells' order.

    A cell that raises gets a row with `error`. A cell that another process holds is put off to the end, then waited
    for. Where a worker process dies, each cell that was at work then is tried once more, alone; if its worker dies
    again, it gets its `error`. The others go on side by side.
    """
    jobs = _processes(jobs, len(cells))
    limit = _threads(threads, jobs, dask is not None)
    done: dict[int, dict[str, Any]] = {}
    calls = [(work, number, *cell, shared) for number, cell in enumerate(cells)]
    with (
        tqdm(total=len(cells), desc=desc, disable=not progress) as bar,
        _backend(jobs, limit, dask) as attempt,
    ):
        for wait in (False, True):
            for number, row in attempt([call for call in calls if call[1] not in done], wait):
                if row is not None:
                    done[number] = row
                    bar.update()
    return [done[number] for number in range(len(cells))]


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
    with ALONE:
        before = torch.get_num_threads()
        try:
            if threads is not None:
                torch.set_num_threads(threads)
            with _environment(threads):
                return number, row | work(settings, shared, wait)
        except runs.Busy:
            return number, None
        except Exception as error:  # one failing cell must not lose the others
            known = {"method": settings["method"]} if "method" in settings else {}
            return number, row | known | {"error": f"{type(error).__name__}: {error}"}
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """Tell processes that a cell starts, such as a notebook's kernel, how many threads they have."""
    before = {name: os.environ.get(name) for name in _LIMITS}
    if threads is not None:
        os.environ |= dict.fromkeys(_LIMITS, str(threads))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _threads(threads: int, jobs: int, cluster: bool) -> int | None:
    """Return the threads of a cell; None leaves them as they are."""
    if threads == 0 or threads < -1:
        raise ValueError(
            f"threads = {threads}, but it is the number of threads of a run, or -1 to share the cores out."
        )
    if threads == -1:
        return None if cluster or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    return threads


def _processes(jobs: int, cells: int) -> int:
    if jobs == 0 or jobs < -1:
        raise ValueError(f"jobs = {jobs}, but it is the number of processes, or -1 for one a core.")
    return max(1, min(os.cpu_count() or 1 if jobs == -1 else jobs, cells))


Attempts = Callable[[Sequence[tuple], bool], Iterable[tuple[int, dict[str, Any] | None]]]


@contextlib.contextmanager
def _backend(jobs: int, threads: int | None, dask: str | Any | None) -> Iterator[Attempts]:
    """Yield what tries some cells and gives their rows as they come; a client that was opened here is closed here."""
    if dask is None:
        options = {"inner_max_num_threads": threads} if jobs > 1 else {}
        with joblib.parallel_config(backend="loky" if jobs > 1 else "sequential", **options):
            if jobs > 1:
                yield lambda calls, wait: _in_processes(calls, wait, jobs, threads)
            else:
                yield lambda calls, wait: (_attempt(*call, wait, threads) for call in calls)
        return
    with _connected(dask) if isinstance(dask, str) else contextlib.nullcontext(dask) as client:
        yield lambda calls, wait: _on_cluster(client, calls, wait, threads)


def _connected(address: str) -> Any:
    """Return a client of a scheduler, or raise ``ValueError`` where none answers."""
    from distributed import Client  # the extra `cluster`

    try:
        return Client(address)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"dask = {address!r}: no scheduler answers there ({error}). Start one by `dask scheduler`; it tells its "
            f"address."
        ) from None


def _in_processes(
    calls: Sequence[tuple], wait: bool, jobs: int, threads: int | None
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Try cells in worker processes; where one dies, each that was at work then once more, alone."""
    left = {call[1]: call for call in calls}
    with tempfile.TemporaryDirectory(prefix="mmrec-cells-", ignore_cleanup_errors=True) as at_work:

        def attempt(numbers: Sequence[int], processes: int) -> Iterator[tuple[int, dict[str, Any] | None]]:
            tasks = [joblib.delayed(_noted)(at_work, *left[number], wait, threads) for number in numbers]
            return joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(tasks)

        while left:
            try:
                for number, row in attempt(list(left), jobs):
                    del left[number]
                    yield number, row
            except BrokenProcessPool as error:
                died = isinstance(error, TerminatedWorkerError)  # else a cell or its row could not be sent
                suspects = [number for number in left if died and (Path(at_work) / str(number)).exists()]
                for number in suspects or list(left):  # none: it may have been any
                    try:
                        [result] = attempt([number], 2)  # one process would be this one
                    except BrokenProcessPool as last:
                        result = number, left[number][2] | {"error": f"{type(last).__name__}: {_broken(last)}"}
                    del left[number]
                    yield result


def _noted(at_work: str, work: Callable[..., dict[str, Any]], number: int, *call: Any) -> Any:
    """Try a cell; while it is at work, and where its worker dies of it, its file is there."""
    file = Path(at_work) / str(number)
    with contextlib.suppress(OSError):
        file.touch()
    found = _attempt(work, number, *call)
    with contextlib.suppress(OSError):
        file.unlink()
    return found


def _broken(error: BrokenProcessPool) -> str:
    """Say why a pool of processes broke: a worker died, or a cell or its row could not be sent."""
    if isinstance(error, TerminatedWorkerError):
        return DIED
    told = str(error.__cause__ or "").strip(' \n"').split("\n")
    return f"{error} {told[-1]}".strip()


def _same(value: Any) -> Any:
    return value


def _on_cluster(
    client: Any, calls: Sequence[tuple], wait: bool, threads: int | None
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Try cells on a Dask cluster. (Through joblib's backend the caller would wait for ever for a worker that died.)"""
    from distributed import CancelledError, KilledWorker, as_completed

    lost, tasks, again = (KilledWorker, CancelledError), {}, []  # cancelled: the only copy of the data died, too

    def submit(calls: Sequence[tuple], wait: bool) -> list[Any]:
        # A task, not scattered data: what a dying worker took along is made again, not waited for.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")  # once, for all of them
            shared = client.submit(_same, calls[0][-1], pure=False)
        new = [client.submit(_attempt, *call[:-1], shared, wait, threads, pure=False) for call in calls]
        tasks.update(zip(new, calls, strict=True))
        return new

    try:
        for task in as_completed(submit(calls, wait) if calls else []):
            try:
                yield task.result()
            except lost:
                again.append(tasks[task])
        for call in again:  # one after the other: a dying worker takes along whatever else it had been given
            try:
                yield submit([call], True)[0].result()
            except lost:
                yield call[1], call[2] | {"error": f"KilledWorker: {DIED}"}
    finally:
        client.cancel(list(tasks))
