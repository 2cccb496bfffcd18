"""Sweeps: in processes, on a cluster, killed and resumed, two at once; every cell once, none lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

import mmrec_lite as mm
from mmrec_lite.experiments import collect, lessons, record, run_cells, sweep_lesson, sweeps
from mmrec_lite.experiments.runs import Busy, claim
from tests.hardness.nursery import Nursery
from tests.tiny import tiny_shop

GRID = {"dim": [2, 3, 4]}
FIXED = {"epochs": 2, "progress": False}

# A sweep in a process of its own, which notes every training it really does.
FIRST = """
import os, signal, threading, time
from pathlib import Path
import mmrec_lite as mm
from mmrec_lite.experiments import runs
from tests.tiny import tiny_shop
"""
SWEEP = """
folder, log, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
fit = runs.fit
def noted(model, *args, **kwargs):
    history = fit(model, *args, **kwargs)
    with open(log, "a") as file:
        file.write(f"{model.config.dim} {model.seed}\\n")
    time.sleep(pause)
    return history
runs.fit = noted
table = mm.sweep("mf", tiny_shop(), grid={"dim": [2, 3, 4]}, seeds=(0, 1), save=folder, progress=False, epochs=2)
print(table["recall@20"].round(6).tolist(), flush=True)
"""
KILLED = """
def kill():
    while len(list(Path(sys.argv[1]).glob("[!.]*/row.json"))) < 2:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=kill, daemon=True).start()
"""
BOTH = """
assert not other or os.waitpid(other, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def shop():
    return tiny_shop()


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Iterator[Nursery]:
    """One import for all sweeps in processes of their own."""
    with Nursery.opened(tmp_path_factory.mktemp("nursery"), FIRST) as nursery:
        yield nursery


def test_processes_give_what_one_process_gives(shop, tried):
    alone = mm.sweep("mf", shop, grid=GRID, seeds=(0, 1), **FIXED)
    together = mm.sweep("mf", shop, grid=GRID, seeds=(0, 1), jobs=2, **FIXED)
    keys = ["label", "dim", "seed", "recall@20", "ndcg@10", "threads", "split hash"]
    pd.testing.assert_frame_equal(alone[keys], together[keys], check_exact=True)  # whatever the workers, the same bits
    assert set(together["threads"]) == {1}
    tried("sweep in two processes, against one", len(together), "metrics equal bit by bit")


def test_a_failing_cell_is_recorded_in_a_worker(shop):
    with pytest.warns(UserWarning, match="sweep: 1 of 2 runs failed, the first: .*k = 99, but it must be"):
        table = mm.sweep("micro", shop, grid={"k": [2, 99]}, jobs=2, dim=4, **FIXED)
    assert table["recall@20"].notna().tolist() == [True, False]
    assert "k = 99, but it must be" in table["error"][1] and table["method"].tolist() == ["micro", "micro"]


def test_a_grid_may_vary_the_protocol_and_the_split(shop):
    table = mm.sweep("popularity", shop, grid={"protocol": ["ratio", "cold-items"], "split_seed": [0, 1]}, **FIXED | {"epochs": 0})  # fmt: skip # noqa: E501
    assert table["split"].nunique() == 4 and table["recall@20"].notna().all()


def test_a_killed_sweep_resumes_without_repeating_or_losing_a_row(tmp_path, work, tried):
    folder, log = tmp_path / "runs", tmp_path / "log"
    assert work.run(KILLED + SWEEP, str(folder), str(log), "0.5") == -9, work.said()
    saved = {p.parent.name: p.read_bytes() for p in folder.glob("[!.]*/row.json")}
    assert 2 <= len(saved) < 6
    log.unlink()
    assert work.run(SWEEP, str(folder), str(log), "0") == 0, work.said()
    assert len(log.read_text().split("\n")) - 1 == 6 - len(saved)
    rows, told = collect(folder), work.said().splitlines()[-1]
    assert len(rows) == 6 and len(eval(told)) == 6 and not rows.duplicated(["set dim", "seed"]).any()
    assert all((folder / name / "row.json").read_bytes() == before for name, before in saved.items())
    tried("SIGKILL during `sweep`", 1, "finished runs are kept, the table is that of an unbroken sweep")


def test_two_sweeps_into_one_folder_share_the_work(tmp_path, work, tried):
    folder, log = tmp_path / "runs", tmp_path / "log"
    assert work.run("other = os.fork()" + SWEEP + BOTH, str(folder), str(log), "0.2") == 0, work.said()
    first, second = (line for line in work.said().splitlines() if line.startswith("["))
    assert first == second
    done = log.read_text().split("\n")[:-1]
    assert sorted(done) == sorted(f"{d} {s}" for d in (2, 3, 4) for s in (0, 1))  # each cell trained once
    assert len(collect(folder)) == 6
    assert {p.name for p in folder.iterdir() if p.name.startswith(".")} == {".claims"}
    tried("two sweeps into one folder", 2, "each cell trained once, both return the whole table")


def test_a_claimed_run_is_put_off_then_waited_for(tmp_path):
    with claim(tmp_path, "a"), pytest.raises(Busy, match="another process is at a"), claim(tmp_path, "a", wait=False):
        pass
    with claim(tmp_path, "a", wait=False):  # free again
        pass


def order_of_work(settings, seen, wait):
    seen.append((settings["name"], wait))
    if settings["name"] == "held" and not wait:
        raise Busy("by another")
    return {"value": settings["name"].upper()}


def test_a_busy_cell_comes_last_and_keeps_its_place(tmp_path):
    seen = []
    cells = [({"n": n}, {"name": name}) for n, name in enumerate(["held", "free"])]
    rows = run_cells(order_of_work, cells, seen, progress=False)
    assert seen == [("held", False), ("free", False), ("held", True)]
    assert rows == [{"n": 0, "value": "HELD"}, {"n": 1, "value": "FREE"}]


def maybe_die(settings, _shared, _wait):
    if settings["die"]:
        os._exit(9)
    return {"pid": os.getpid(), "threads": torch.get_num_threads(), "told": os.environ.get("OMP_NUM_THREADS")}


def test_a_worker_that_dies_costs_its_cell_alone(tried):
    rows = run_cells(maybe_die, [({"n": n}, {"die": n == 1}) for n in range(4)], jobs=2, progress=False)
    assert [row["n"] for row in rows] == [0, 1, 2, 3]
    assert "the worker process died" in rows[1]["error"]
    assert all("error" not in row and row["pid"] != os.getpid() for row in rows if row["n"] != 1)
    tried("a worker process of a sweep that dies", 1, "its cell has the error, the others their results")


@pytest.fixture
def workers(monkeypatch):
    """Stand-ins for worker processes: cell 1 takes one along while cell 2 is at work; and what was tried together."""
    tried = []

    class Parallel:
        ends = staticmethod(lambda: TerminatedWorkerError("killed"))
        at_work = (1, 2)

        def __init__(self, **_):
            pass

        def __call__(self, tasks):
            tried.append([arguments[2] for _, arguments, _ in tasks])
            for function, arguments, _ in tasks:
                if arguments[2] == 1:
                    for number in self.at_work:
                        (Path(arguments[0]) / str(number)).touch()
                    raise self.ends()
                yield function(*arguments)

    monkeypatch.setattr(sweeps.joblib, "Parallel", Parallel)
    return Parallel, tried


CELLS = [({"n": n}, {"die": False}) for n in range(6)]


def test_who_was_not_at_work_when_a_worker_died_goes_on_side_by_side(workers):
    """After a death every cell that was left was once tried alone, one after the other."""
    rows = run_cells(maybe_die, CELLS, jobs=2, progress=False)
    assert workers[1] == [[0, 1, 2, 3, 4, 5], [1], [2], [3, 4, 5]]
    assert [row["n"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row.get("error") for row in rows if "error" in row] == [f"TerminatedWorkerError: {sweeps.DIED}"]


def test_a_cell_that_no_process_can_read_has_its_error(workers):
    """The base class of the executor's errors once ended the whole sweep."""
    broken = BrokenProcessPool("A task has failed to un-serialize.")
    broken.__cause__ = Exception('\n"""\nTraceback\nAttributeError: no line\n"""')
    workers[0].ends, workers[0].at_work = staticmethod(lambda: broken), ()
    rows = run_cells(maybe_die, CELLS, jobs=2, progress=False)
    assert [row["n"] for row in rows if "error" in row] == [1] and len(rows) == 6
    assert rows[1]["error"] == "BrokenProcessPool: A task has failed to un-serialize. AttributeError: no line"


@pytest.mark.parametrize("before", [None, "7"])
def test_threads_are_set_and_given_back(monkeypatch, before):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False) if before is None else monkeypatch.setenv(
        "OMP_NUM_THREADS", before
    )
    threads, cell = torch.get_num_threads(), [({}, {"die": False})]
    [by_default], [more], [left] = (
        run_cells(maybe_die, cell, progress=False, **n) for n in ({}, {"threads": 2}, {"threads": -1})
    )
    assert (by_default["threads"], by_default["told"]) == (1, "1")  # the same whatever the number of processes
    assert (more["threads"], more["told"]) == (2, "2")
    assert (left["threads"], left["told"]) == (threads, before)
    assert torch.get_num_threads() == threads and os.environ.get("OMP_NUM_THREADS") == before


def test_processes_share_the_cores_out_where_asked(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    rows = run_cells(maybe_die, [({}, {"die": False})] * 2, jobs=2, threads=-1, progress=False)
    assert [(row["threads"], row["told"]) for row in rows] == [(3, "3")] * 2


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_out_of_range(shop, threads):
    with pytest.raises(ValueError, match=f"threads = {threads}, but it is the number of threads of a run, or -1"):
        mm.sweep("mf", shop, threads=threads, **FIXED)


def test_the_bar_tells_the_time_left(capsys):
    run_cells(maybe_die, [({}, {"die": False})] * 3, progress=True, desc="trainings")
    bar = capsys.readouterr().err
    assert "trainings" in bar and "3/3" in bar and "<" in bar


def test_jobs_out_of_range(shop):
    with pytest.raises(ValueError, match="jobs = 0, but it is the number of processes"):
        mm.sweep("mf", shop, jobs=0, **FIXED)


def test_a_scheduler_that_does_not_answer_is_named(shop, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

    def refuse(address):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ValueError, match=r"dask = 'tcp://nobody:8786': no scheduler answers there \(Timed out"):
        mm.sweep("popularity", shop, dask="tcp://nobody:8786", progress=False)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("seed", "seeds="), ("save", "leave it out"), ("method", "methods"), ("data", "concat"), ("wait", "put off"),
     ("checkpoint", "save=")],
)  # fmt: skip
def test_a_grid_is_of_settings(shop, name, remedy):
    with pytest.raises(ValueError, match=f"'{name}' is no setting of the grid; .*{remedy}"):
        mm.sweep("popularity", shop, grid={name: [0, 1]})


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 7), ("save", "here"), ("method", "mf"), ("checkpoint", "here"), ("wait", False)]
)
def test_what_a_sweep_decides_itself_is_no_setting(shop, name, value):
    """sweep("popularity", shop, seed=7) once ran seed 0 and said nothing."""
    if name != "method":
        recipes = {"ours": {"method": "popularity"}, "theirs": {"method": "random", name: value}}
        with pytest.raises(ValueError, match=f"'{name}' is no setting of the recipe 'theirs'; "):
            mm.sweep(recipes, shop, **FIXED)
    if name != "save":  # an argument of its own
        with pytest.raises(ValueError, match=f"'{name}' is no setting of the options; "):
            mm.sweep("popularity", shop, **{name: value}, **FIXED)
    if name == "seed":
        with pytest.raises(ValueError, match=r"'seed' is no setting of the options; pass seeds=\(0, 1, \.\.\.\)"):
            mm.ablate("micro", shop, seed=7, **FIXED)


def test_what_is_no_list_is_said(shop):
    for wrong, sentence in [
        ({"seeds": 3}, r"seeds = 3, but they are a list, such as \(0, 1, 2\)"),
        ({"grid": {"variant": "full"}}, r"grid 'variant' = 'full' is no list of values; for one write \['full'\]"),
        ({"methods": {"a": {"epochs": 1}}}, "the recipe 'a' is {'epochs': 1}, but it names a method"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            mm.sweep(**{"methods": "popularity", "data": shop} | wrong)


def test_pamd_is_not_ablated_to_one_modality(shop):
    table = mm.ablate("pamd", shop, pretrain_epochs=1, **FIXED)
    assert "error" not in table and "text only" not in set(table["label"]) and "w/o common" in set(table["label"])


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """A notebook with the parameters k, dims, folder and error, and what it is executed with, without a kernel."""
    papermill = pytest.importorskip("papermill")
    file, given = tmp_path / "lesson.ipynb", []
    file.write_text("{}")

    def execute(source, target, parameters, **_):
        given.append(parameters)
        return types.SimpleNamespace(cells=[])

    monkeypatch.setattr(papermill, "inspect_notebook", lambda file: dict.fromkeys(["k", "dims", "folder", "error"]))
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    return file, given


def recorded(**values):
    """A notebook that was executed, with what it gave to `record`."""
    cell = {"outputs": [{"data": {lessons.ROW: values}}]}
    return types.SimpleNamespace(cells=[cell])


def test_a_figure_cannot_take_a_parameter_s_name(lesson, tmp_path, monkeypatch):
    """record(k=99) once made the points k = 1 and k = 2 two rows of k = 99."""
    given = {"k": 99, "recall": 0.5}
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: recorded(**given))
    [row] = sweep_lesson(lesson[0], {"k": [1]}, tmp_path / "out", progress=False).to_dict("records")
    assert row["k"] == 1 and row["recall"] == 0.5
    assert row["error"].startswith("record(k=99): 'k' is a parameter of this point, 1; record the figure under another")
    given["k"] = 1
    assert "error" not in sweep_lesson(lesson[0], {"k": [1]}, tmp_path / "out", progress=False)


def test_whatever_ends_a_lesson_leaves_a_row(lesson, tmp_path, monkeypatch):
    """A cell's time limit and a kernel's death are no errors of papermill's: `mmrec results` did not see the point."""
    exceptions = pytest.importorskip("nbclient.exceptions")
    ends = iter(
        [exceptions.CellTimeoutError("A cell timed out\nHere is it: ..."), exceptions.DeadKernelError("Kernel died")]
    )

    def execute(*_, **__):
        raise next(ends)

    monkeypatch.setattr("papermill.execute_notebook", execute)
    sweep_lesson(lesson[0], {"k": [1, 2]}, tmp_path / "out", progress=False)
    rows = collect(tmp_path / "out").set_index("k")
    assert rows["error"].to_dict() == {1: "CellTimeoutError: A cell timed out", 2: "DeadKernelError: Kernel died"}
    with pytest.raises(ValueError, match="timeout = -5, but it is the seconds that a cell may take"):
        sweep_lesson(lesson[0], {"k": [1]}, tmp_path / "out", timeout=-5)


def test_a_lesson_runs_where_its_caller_stands(lesson, tmp_path, monkeypatch):
    """`-p data my_shop` was once looked for in the folder of the results."""
    seen = []
    execute = lambda *_, cwd, **__: seen.append(cwd) or recorded()  # noqa: E731
    monkeypatch.setattr("papermill.execute_notebook", execute)
    monkeypatch.chdir(tmp_path)
    sweep_lesson(lesson[0], {"folder": ["my_shop"]}, "out", progress=False)
    assert seen == [str(tmp_path)]


def test_a_point_that_is_done_is_read_without_a_claim(lesson, tmp_path, monkeypatch):
    first = sweep_lesson(lesson[0], {"k": [1]}, tmp_path / "out", progress=False)
    monkeypatch.setattr(lessons.runs, "claim", lambda *_: pytest.fail("wrote into a folder that may be closed"))
    assert sweep_lesson(lesson[0], {"k": [1]}, tmp_path / "out", progress=False).equals(first)


@pytest.mark.parametrize("name", ["format", "id", "notebook", "swept", "seconds", "error"])
def test_a_row_s_own_columns_are_not_overwritten(name, lesson, tmp_path, capsys):
    """record(error=0.12) once made a good run a failed one, record(format=...) a row that nobody can read."""
    with pytest.raises(ValueError, match=f"record: a value cannot be called '{name}'"):
        record(recall=0.1, **{name: 0.12})
    assert not capsys.readouterr().out
    with pytest.raises(ValueError, match=f"sweep_lesson: a parameter cannot be called '{name}'"):
        sweep_lesson(lesson[0], {"k": [1], name: [0]}, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_point_of_another_version_of_the_kit_is_executed_again(lesson, tmp_path, monkeypatch):
    file, given = lesson
    for version, executed in (("1.0", 1), ("1.0", 1), ("1.1", 2)):
        monkeypatch.setattr(mm, "__version__", version)
        sweep_lesson(file, {"k": [5]}, tmp_path / "out", progress=False)
        assert len(given) == executed


def test_a_lesson_s_points_are_plain_and_keep_their_ids(lesson, tmp_path):
    lesson, given = lesson
    grid = {"k": np.arange(5, 6), "dims": [(1, np.float32(0.5))], "folder": [tmp_path / "none"]}
    rows = sweep_lesson(lesson, grid, tmp_path / "out", progress=False)
    assert "error" not in rows and rows["k"].tolist() == [5]
    plain = {"k": 5, "dims": [1, 0.5], "folder": str(tmp_path / "none")}
    assert given == [plain] and type(given[0]["k"]) is int and type(given[0]["dims"]) is list
    key = json.dumps([mm.__version__, hashlib.sha256(b"{}").hexdigest(), plain], sort_keys=True)
    assert rows["id"].tolist() == [f"lesson-{hashlib.sha256(key.encode()).hexdigest()[:10]}"]
    with pytest.raises(ValueError, match=r"object .* among \['k'\] cannot be a notebook's parameter"):
        sweep_lesson(lesson, {"k": [object()]}, tmp_path / "out", progress=False)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two workers with two threads each, which stand in a folder of their own."""
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    dask = pytest.importorskip("dask")
    there = tmp_path_factory.mktemp("there")
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": None, "processes": True}
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        with contextlib.chdir(there):
            started = distributed.LocalCluster(local_directory=there, **options)
        with started:
            yield started.scheduler_address


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers(shop, tmp_path, cluster, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    table = mm.sweep("micro", shop, grid={"k": [2, 3, 4, 99]}, save="results", dask=cluster, dim=4, **FIXED)
    assert table["k"].tolist() == [2, 3, 4, 99] and table["error"].notna().tolist() == [False, False, False, True]
    alone = mm.sweep("micro", shop, grid={"k": [2, 3, 4]}, dim=4, **FIXED)
    assert alone["recall@20"].tolist() == table["recall@20"][:3].tolist()
    assert len(collect(here / "results")) == 3  # the caller's folder, not the workers'


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_dies_takes_only_its_cell_along(shop, cluster, tried):
    """Nor do cells in two threads of one worker take each other's random numbers."""

    def die_or_train(settings: dict, data, wait: bool) -> dict:  # in here: the workers cannot import this file
        if settings["die"]:
            os._exit(9)
        row = mm.run("mf", data, dim=4, epochs=3, seed=settings["seed"], profile="lecture").row
        return {"pid": os.getpid(), "recall": row["recall@20"]}

    cells = [({"seed": seed}, {"seed": seed, "die": seed == 3}) for seed in range(6)]
    rows = run_cells(die_or_train, cells, shop, dask=cluster, progress=False)
    assert [row["seed"] for row in rows if "error" in row] == [3] and "the worker process died" in rows[3]["error"]
    alone = run_cells(die_or_train, [cell for cell in cells if cell[0]["seed"] != 3], shop, progress=False)
    assert [row["recall"] for row in rows if "error" not in row] == [row["recall"] for row in alone]
    assert os.getpid() not in {row["pid"] for row in rows if "error" not in row}
    tried("a worker process of a sweep that dies", 1, "its cell has the error, the others their results")
