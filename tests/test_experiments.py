"""Runs, sweeps and ablations: one row each, found again on disk, failures kept."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite import experiments
from mmrec_lite.data.protocols import SPLIT_OPTIONS
from mmrec_lite.experiments import runs
from mmrec_lite.experiments.corpora import pretrained_part
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.code import function_id
from tests.tiny import tiny_shop

FAST = {"dim": 8, "k": 4, "epochs": 2, "batch_size": 64}


@pytest.fixture(scope="module")
def shop():
    return tiny_shop()


def test_a_run_is_load_split_create_fit_evaluate(shop):
    result = mm.run("micro", shop, seed=3, split_seed=1, **FAST)
    split = mm.split(shop, "ratio", seed=1)
    model = mm.create("micro", split, seed=3, **FAST)
    mm.fit(model, split, progress=False)
    assert result.metrics == mm.evaluate(model, split).metrics
    row = result.row
    assert (row["method"], row["data"], row["seed"], row["split_seed"], row["set k"]) == ("micro", "tiny", 3, 1, 4)
    assert row["data hash"] == shop.hash and row["epochs trained"] == 2 and row["parameters"] > 0
    assert row["peak memory MiB"] > 0 and row["seconds fit"] > 0 and row["version torch"]
    assert json.loads(json.dumps(row)) == row  # flat and plain


def test_a_saved_run_is_read_and_not_repeated(shop, tmp_path, monkeypatch):
    first = mm.run("mf", shop, save=tmp_path, dim=4, epochs=2)
    monkeypatch.setattr(runs, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = mm.run("mf", shop, save=tmp_path, dim=4, epochs=2)
    assert again.row == first.row
    pd.testing.assert_frame_equal(again.per_user, first.per_user)
    pd.testing.assert_frame_equal(again.history, first.history)
    pd.testing.assert_frame_equal(again.slices, first.slices)
    assert {p.name for p in tmp_path.iterdir()} == {".claims", first.row["id"]}  # nothing half-written beside it
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        mm.run("mf", shop, save=tmp_path, dim=5, epochs=2)


def test_a_row_says_how_the_split_was_made(shop, tmp_path):
    for options in ({}, {"by": "time", "ratios": (0.6, 0.2, 0.2)}):
        mm.run("popularity", shop, save=tmp_path, split_options=options, ks=20)
    table = experiments.collect(tmp_path).set_index("split by")
    assert table["split ratios"].to_dict() == {"random": "(0.8, 0.1, 0.1)", "time": "(0.6, 0.2, 0.2)"}
    assert set(table["ks"]) == {"(20,)"} and table["split hash"].nunique() == 2


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (
            {"split_options": {"ration": 1}},
            "run: a split has no option 'ration'; there are: by, ratios, fold, folds, cold",
        ),
        ({"split_options": {"seed": 1}}, "cold. Its seed is split_seed (--split-seed)."),
        ({"split_options": "by=time"}, "run: split_options = 'by=time', but they are names and values"),
        (
            {"ratios": (0.6, 0.2, 0.2)},
            "run: 'ratios' is an option of the split: split_options={'ratios': (0.6, 0.2, 0.2)}",
        ),
    ],
)
def test_options_of_a_split_that_there_are_not(shop, asked, refusal):
    with pytest.raises(ValueError, match=re.escape(refusal)):
        mm.run("popularity", shop, **asked)


def test_the_options_of_a_split_are_those_that_it_takes():
    taken = [name for name, p in inspect.signature(mm.split).parameters.items() if p.kind is p.KEYWORD_ONLY]
    assert set(SPLIT_OPTIONS) == set(taken) - {"seed"}


@pytest.mark.parametrize("instant", ["before the old one is put aside", "between the two names"])
def test_a_run_that_was_whole_when_its_process_died_is_not_lost(shop, tmp_path, monkeypatch, instant):
    result = mm.run("mf", shop, save=tmp_path, dim=4, epochs=2)
    target = tmp_path / result.row["id"]
    target.rename(beside := target.with_name(f".{target.name}.0badc0de"))
    if instant == "before the old one is put aside":
        shutil.copytree(beside, target)
        (beside / "row.json").write_text("{")
    monkeypatch.setattr(runs, "fit", lambda *a, **k: pytest.fail("trained again"))
    assert mm.run("mf", shop, save=tmp_path, dim=4, epochs=2).row == result.row
    assert {p.name for p in tmp_path.iterdir()} == {".claims", target.name}


def test_a_run_stays_where_its_successor_cannot_take_the_name(shop, tmp_path, monkeypatch):
    result, replace = mm.run("popularity", shop, save=tmp_path), os.replace
    target = tmp_path / result.row["id"]

    def refuse(source, place):
        if place == target and not str(source).endswith(".former"):
            raise PermissionError("somebody reads it")
        replace(source, place)

    monkeypatch.setattr(runs.os, "replace", refuse)
    with pytest.raises(ValueError, match="holds no result"):
        result.save(tmp_path)
    assert mm.Result.load(target).row == result.row
    assert {p.name for p in tmp_path.iterdir()} == {".claims", target.name}


def test_a_further_figure_replaces_a_run_that_had_none(shop, tmp_path):
    first = mm.run("popularity", shop, save=tmp_path)
    second = mm.run("popularity", shop, save=tmp_path, also=lambda result: {"one": 1})
    assert second.row["one"] == 1 and first.row["id"] == second.row["id"]
    assert experiments.collect(tmp_path)["one"].tolist() == [1]
    assert {p.name for p in tmp_path.iterdir()} == {".claims", first.row["id"]}


def test_collect_makes_one_table(shop, tmp_path):
    for method in ("popularity", "random"):
        mm.run(method, shop, save=tmp_path)
    table = experiments.collect(tmp_path)
    assert table["method"].tolist() == ["popularity", "random"] and table["recall@20"].notna().all()
    with pytest.raises(ValueError, match="holds no results"):
        experiments.collect(tmp_path / "nothing")


def test_a_damaged_result_is_refused(shop, tmp_path):
    folder = mm.run("popularity", shop).save(tmp_path)
    with pytest.raises(ValueError, match=r"holds no result of a run.*Name the run's own folder: one of those in it"):
        mm.Result.load(tmp_path)
    for content in ('{"format": 1', ""):
        (folder / "row.json").write_text(content)
        with pytest.raises(ValueError, match=r"is damaged \(row\.json: .*\): delete it and run again"):
            mm.Result.load(folder)
    (folder / "row.json").write_text('{"format": 7}')
    with pytest.raises(ValueError, match="result format 7"):
        mm.Result.load(folder)


@pytest.mark.parametrize("left", [None, b"PAR1 and no more"])
def test_a_run_that_lost_a_table_is_named_as_damaged(shop, tmp_path, left):
    folder = mm.run("popularity", shop, save=tmp_path).save(tmp_path)
    table = folder / "per_user.parquet"
    table.unlink() if left is None else table.write_bytes(left)
    with pytest.raises(ValueError) as told:
        mm.run("popularity", shop, save=tmp_path)
    assert str(told.value).startswith(f"{folder} is damaged (per_user.parquet: ")
    assert str(told.value).endswith("): delete it and run again.")


def test_a_damaged_run_does_not_hide_the_others(shop, tmp_path):
    for method in ("popularity", "random"):
        last = mm.run(method, shop, save=tmp_path)
    (tmp_path / last.row["id"] / "row.json").write_text("")
    with pytest.warns(UserWarning, match=f"left out: .*{last.row['id']} is damaged"):
        assert experiments.collect(tmp_path)["method"].tolist() == ["popularity"]


def test_a_whole_run_is_read_without_a_claim(shop, tmp_path, monkeypatch):
    """A folder of results that is closed to writing is good enough to read."""
    first = mm.run("popularity", shop, save=tmp_path)
    monkeypatch.setattr(runs, "claim", lambda *_: pytest.fail("wrote into a folder that may be closed"))
    assert mm.run("popularity", shop, save=tmp_path).row == first.row


def test_a_kept_run_has_the_profile_that_is_asked_for(shop, tmp_path):
    table = mm.sweep("popularity", shop, grid={"profile": ["paper", "lecture"]}, save=tmp_path, progress=False)
    assert table["profile"].tolist() == ["paper", "lecture"] and table["id"].nunique() == 1


def test_a_sweep_covers_the_grid_and_keeps_what_failed(shop, tmp_path):
    table = mm.sweep(
        ["micro"], shop, grid={"k": [2, 99], "lam": [0.0, 1.0]}, seeds=(0, 1), save=tmp_path, progress=False,
        dim=4, epochs=1,
    )  # fmt: skip
    assert len(table) == 8
    good = table[table["k"] == 2]
    assert good["recall@20"].notna().all() and len(experiments.collect(tmp_path)) == 4
    assert table[table["k"] == 99]["error"].str.contains("k = 99, but it must be").all()


def test_a_sweep_goes_on_where_it_stopped(shop, tmp_path, monkeypatch):
    options = {"grid": {"dim": [2, 3]}, "save": tmp_path, "progress": False, "epochs": 1}
    first = mm.sweep("mf", shop, **options, seeds=(0,))
    trained = []
    monkeypatch.setattr(runs, "fit", lambda *a, fit=runs.fit, **k: trained.append(1) or fit(*a, **k))
    both = mm.sweep("mf", shop, **options, seeds=(0, 1))
    assert len(trained) == 2 and len(both) == 4
    pd.testing.assert_series_equal(first["recall@20"], both[both["seed"] == 0]["recall@20"].reset_index(drop=True))


def test_an_ablation_has_every_variant_and_every_modality_alone(shop):
    table = mm.ablate("micro", shop, progress=False, **FAST)
    assert table["label"].tolist() == [
        "micro", "w/o contrast", "micro/feats", "cf+feats", "cf", "image only", "text only",
    ]  # fmt: skip
    assert table["recall@20"].notna().all()
    summary = experiments.mean_and_sd(table)
    assert summary.loc["cf", "recall@20 mean"] == table.set_index("label").loc["cf", "recall@20"]


def test_an_unknown_method_stops_the_sweep_at_once(shop):
    with pytest.raises(ValueError, match="there is no method 'mikro'"):
        mm.sweep(["mf", "mikro"], shop, progress=False)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_no_hyper_parameter_hides_behind_an_argument(name):
    """run(candidates=16) once meant a method's candidates and ranked against 16 sampled items instead."""
    taken = {p for call in (mm.run, mm.sweep, mm.create) for p in inspect.signature(call).parameters}
    assert not taken & set(REGISTRY[name].Config.model_fields)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system counts the starting process's memory, too")
def test_peak_memory_is_not_the_starting_process_s():
    large = np.ones(2**28)  # 2 GiB
    code = "from mmrec_lite.experiments import peak_memory; print(peak_memory())"
    child = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert child < large.nbytes / 2**20 < mm.experiments.peak_memory()


@pytest.mark.parametrize("wrong", [{"ks": (0,)}, {"ks": ("5", "10")}, {"candidates": 0}, {"candidates": "held-out"}])
def test_what_evaluation_would_refuse_is_refused_before_the_training(shop, wrong, monkeypatch):
    monkeypatch.setattr("mmrec_lite.experiments.runs.fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"ks =|candidates"):
        mm.run("mf", shop, epochs=1, **wrong)


def test_a_run_that_was_kept_without_further_figures_is_made_again(shop, tmp_path):
    plain = mm.run("popularity", shop, save=tmp_path)
    assert "x" not in plain.row
    for _ in range(2):
        assert mm.run("popularity", shop, save=tmp_path, also=lambda result: {"x": 1.5}).row["x"] == 1.5
    assert mm.run("popularity", shop, save=tmp_path).row["x"] == 1.5
    assert len(list(tmp_path.glob("popularity-*"))) == 1


def test_further_figures_are_those_of_the_function_that_is_asked(shop, tmp_path, monkeypatch):
    """A count of them once let one function's row pass for another's, and made a function of none be asked anew."""
    trained = []
    monkeypatch.setattr(runs, "fit", lambda *a, fit=runs.fit, **k: trained.append(1) or fit(*a, **k))

    def row(also):
        return mm.run("popularity", shop, save=tmp_path, also=also).row

    asked = [lambda result: {"one": 1, "two": 2}, lambda result: {"three": 3}, lambda result: {}]
    for number, also in enumerate(asked):
        first, again = row(also), row(also)
        assert first == again and len(trained) == number + 1
        assert first["further figures"] == ", ".join(also(None)) and also(None).items() <= first.items()
    assert row(asked[0])["one"] == 1 and "three" not in row(asked[0]) and len(trained) == 4
    assert row(None)["further figures"] == "one, two" and len(trained) == 4
    assert row(partial(figure_of, name="x"))["x"] == 0 and row(partial(figure_of, name="y"))["y"] == 0
    by = row(figure_of)["further figures by"]
    assert by.startswith(f"{__name__}.figure_of ") and len(trained) == 7
    assert function_id(runs.run) == "mmrec_lite.experiments.runs.run"  # the kit's own: the version is in the id
    for held in (Figure(1), Figure(1).__call__):  # what it holds is not seen
        with pytest.raises(ValueError, match=r"must be a function, or a functools\.partial of one"):
            row(held)


def test_further_figures_are_checked(shop, tmp_path, monkeypatch):
    """What JSON cannot hold was once found while the row was written, and its own columns were overwritten."""
    row = mm.run("popularity", shop, save=tmp_path, also=lambda result: {"n": np.int64(3), "x": np.float32(0.5)}).row
    assert (row["n"], row["x"]) == (3, 0.5) and type(row["n"]) is int
    for name in ("recall@20", "id", "further figures by"):
        with pytest.raises(ValueError, match=f"also: the row has a '{name}' of its own"):
            mm.run("popularity", shop, also=lambda result, name=name: {name: 1})
    with pytest.raises(ValueError, match=r"also: object .* is no figure of a row"):
        mm.run("popularity", shop, also=lambda result: {"x": object()})
    monkeypatch.setattr(runs, "fit", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"must be a function"):
        mm.run("popularity", shop, also=Figure(1))


class Figure:
    def __init__(self, value):
        self.value = value

    def __call__(self, result):
        return {"one": self.value}


def figure_of(result, name="z"):
    return {name: 0}


def test_a_run_of_another_version_of_the_kit_is_not_read(shop, tmp_path, monkeypatch):
    names = []
    for version in ("1.0", "1.0", "1.1"):
        monkeypatch.setattr(mm, "__version__", version)
        names.append(mm.run("popularity", shop, save=tmp_path).row["id"])
    assert names[0] == names[1] != names[2] and len(experiments.collect(tmp_path)) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]", b'{"format"', b"{}"])
def test_a_damaged_row_is_refused_by_its_folder(tmp_path, content):
    (tmp_path / "mf-1").mkdir()
    (tmp_path / "mf-1" / "row.json").write_bytes(content)
    with pytest.raises(ValueError, match="mf-1"):
        experiments.collect(tmp_path)


@pytest.mark.parametrize("protocol", ["kfold", "cold-items"])
def test_a_larger_corpus_does_not_see_what_is_tested(protocol):
    settings = {"protocol": protocol, "split_seed": 0, "profile": "lecture", "seed": 0}
    with (
        pytest.raises(ValueError, match="pre-training on both would see what is tested"),
        pretrained_part("mp4sr", mm.load("bazaar"), "both", settings),
    ):
        pass


def test_numpys_seeds_are_seeds(shop, tmp_path):
    """A sweep over np.arange trained everything and could write none of it down."""
    rows = mm.sweep("mf", shop, seeds=np.arange(2), epochs=1, save=tmp_path, progress=False)
    assert "error" not in rows or rows["error"].isna().all()
    one, same = (mm.run("mf", shop, seed=s, candidates=n, epochs=1).row for s, n in ((1, 3), (np.int8(1), np.int64(3))))
    assert one["id"] == same["id"]
    assert rows["id"][1] == mm.run("mf", shop, seed=1, epochs=1, save=tmp_path).row["id"]
    for wrong in (True, -1, 1.0, "1"):
        with pytest.raises(ValueError, match=f"run: split_seed = {wrong!r}, but it is a whole number from 0"):
            mm.run("mf", shop, split_seed=wrong)


def test_seconds_count_what_an_earlier_call_trained(shop, tmp_path):
    parts = mm.split(shop)
    former = mm.fit(mm.create("mf", parts, epochs=3), parts, epochs=2, checkpoint=tmp_path, progress=False).seconds
    result = mm.run("mf", shop, epochs=3, checkpoint=tmp_path)
    assert result.row["epochs trained"] == 3 and result.history["seconds"][:2].sum() == former
    assert result.row["seconds fit"] >= round(result.history["seconds"].sum(), 3) > former


def test_a_kept_run_says_the_split_options_it_is_asked_with(shop, tmp_path):
    """Short histories are parted alike by (.8, .1, .1) and (.6, .2, .2): one run, two rows."""
    few = shop.replace(interactions=shop.interactions.groupby("user").head(5).reset_index(drop=True), sequences={})
    grid = {"split_options": [{"ratios": r} for r in ((0.8, 0.1, 0.1), (0.6, 0.2, 0.2))]}
    rows = mm.sweep("popularity", few, grid=grid, save=tmp_path, progress=False)
    assert rows["id"].nunique() == 1 and rows["split ratios"].tolist() == ["(0.8, 0.1, 0.1)", "(0.6, 0.2, 0.2)"]


def test_a_training_is_not_lost_where_a_further_figure_fails(shop, tmp_path):
    with pytest.raises(ZeroDivisionError):
        mm.run("mf", shop, epochs=1, save=tmp_path, also=lambda result: {"x": 1 / 0})
    (row,) = tmp_path.glob("*/row.json")
    assert json.loads(row.read_text())["epochs trained"] == 1


def test_the_parts_of_the_package_are_there_when_they_are_asked_for():
    for name in ("explorers", "features", "maps", "plots", "probes", "similarity"):
        assert getattr(mm, name).__name__ == f"mmrec_lite.{name}"
    with pytest.raises(AttributeError, match="'mmrec_lite' has no attribute 'nothing'"):
        mm.nothing  # noqa: B018


def test_several_methods_in_one_run_are_refused():
    with pytest.raises(ValueError, match=r"run: method = \['mf'\], but it is one name; mm.sweep runs several"):
        mm.run(["mf"])


def test_a_folder_of_runs_and_the_folder_of_one_are_told_apart(shop, tmp_path):
    runs = [mm.run(name, shop, save=tmp_path) for name in ("popularity", "random")]
    with pytest.raises(ValueError, match=r"one of those in it, such as popularity-tiny.*, or read all with collect"):
        mm.Result.load(tmp_path)
    alone = experiments.collect(tmp_path / runs[1].row["id"])
    assert alone["id"].tolist() == [runs[1].row["id"]]
    assert experiments.collect(tmp_path)["id"].tolist() == sorted(run.row["id"] for run in runs)
