"""The command line: what it writes and prints, and that a mistake costs one line and exit code 2."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner

import mmrec_lite as mm
from mmrec_lite.cli import _one_line, app
from mmrec_lite.data import MultimodalDataset, readers
from mmrec_lite.data.readers import read_frames
from mmrec_lite.experiments import lessons
from mmrec_lite.experiments.runs import FORMAT
from mmrec_lite.methods import REGISTRY
from mmrec_lite.training import TrainingDiverged
from tests.tiny import tiny_shop


def mmrec(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result) -> str:
    """The one line on stderr of a command that was refused."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    line = result.stderr.strip()
    assert line.startswith("mmrec: ") and "\n" not in line and "Traceback" not in line
    return line


def readable(text: str) -> bool:
    """Whether nothing in it could move a terminal's cursor, or order its letters anew."""
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture
def source(tmp_path) -> Path:
    """A folder with a table of interactions, one of items, and features for them."""
    folder = tmp_path / "source"
    folder.mkdir()
    pairs = [(user, item) for user in range(6) for item in range(user, user + 4)]
    pd.DataFrame(pairs, columns=["uid", "asin"]).to_csv(folder / "log.csv", index=False)
    pd.DataFrame({"asin": range(9), "name": list("abcdefghi")}).to_csv(folder / "items.csv", index=False)
    image = np.ones((9, 3), dtype=np.float32)
    image[4] = 0
    np.save(folder / "image.npy", image)
    return folder


@pytest.fixture
def prepared(source, tmp_path) -> Path:
    read_frames(source / "log.csv", user="uid", item="asin").save(tmp_path / "prepared")
    return tmp_path / "prepared"


def prepare(source: Path, *more: object):
    known = ("--interactions", source / "log.csv", "--user", "uid", "--item", "asin")
    return mmrec("data", "prepare", "frames", *known, *more)


class TestPrepare:
    def test_every_option_reaches_the_reader(self, source, tmp_path):
        result = prepare(
            source, "--items", source / "items.csv", "--title", "name", "--feature", f"image={source / 'image.npy'}",
            "--missing", "image=zero", "--min-user", 1, "--name", "mine", "--out", tmp_path / "out",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        shop = MultimodalDataset.load(tmp_path / "out")
        assert (shop.name, shop.n_users, shop.n_items, len(shop)) == ("mine", 6, 9, 24)
        assert shop.items["title"].tolist() == list("abcdefghi")
        assert np.flatnonzero(~shop.present["image"]).tolist() == [4]
        assert "24" in result.stdout and "image: 1 of 9 items lack it" in result.stdout

    def test_json_is_one_object(self, source, tmp_path):
        result = prepare(source, "--out", tmp_path / "out", "--json")
        facts = json.loads(result.stdout)
        assert facts["users"] == 6 and facts["density"] == pytest.approx(24 / 54) and facts["modalities"] == {}
        assert facts["hash"] == MultimodalDataset.load(tmp_path / "out").hash

    def test_one_mark_for_all_modalities(self, source, tmp_path):
        image = f"image={source / 'image.npy'}"
        result = prepare(source, "--feature", image, "--missing", "zero", "--out", tmp_path / "out", "--json")
        assert json.loads(result.stdout)["modalities"]["image"] == {
            "dim": 3, "dtype": "float32", "present": pytest.approx(8 / 9)
        }  # fmt: skip

    def test_mistakes(self, source, tmp_path):
        out = ("--out", tmp_path / "out")
        wrong = mmrec("data", "prepare", "frames", "--interactions", source / "log.csv", *out)
        assert "there is no column 'user'; there are: uid, asin" in refused(wrong)
        assert "expected NAME=VALUE, as in --feature" in refused(prepare(source, "--feature", "image.npy", *out))
        assert "no file" in refused(prepare(source, "--feature", "image=gone.npy", *out))
        assert "no file" in refused(prepare(source, "--items", "gone.csv", *out))
        assert not (tmp_path / "out").exists()

    def test_several_pictures_an_item(self, source, tmp_path):
        (tmp_path / "photos").mkdir()
        for name in ("0.png", "0_2.png", "5.png"):
            Image.new("RGB", (2, 2)).save(tmp_path / "photos" / name)
        result = prepare(source, "--images", tmp_path / "photos", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert "2 of 9 items have one, 3 in all, 0 files belong to no item" in result.stdout
        items = MultimodalDataset.load(tmp_path / "out").items
        assert items["images"].tolist() == ["0.png|0_2.png", "", "", "", "", "5.png", "", "", ""]

    def test_it_replaces_only_when_told(self, source, tmp_path):
        assert prepare(source, "--out", tmp_path / "out").exit_code == 0
        assert "is not empty" in refused(prepare(source, "--out", tmp_path / "out"))
        assert prepare(source, "--out", tmp_path / "out", "--overwrite", "--name", "new").exit_code == 0
        assert MultimodalDataset.load(tmp_path / "out").name == "new"

    def test_what_cannot_be_saved_is_not_read(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(readers, "read_frames", lambda *_, **__: pytest.fail("read for hours"))
        assert "is not empty" in refused(prepare(source, "--out", source))
        assert "log.csv is a file" in refused(prepare(source, "--out", source / "log.csv" / "out"))
        assert "--name 'a b' is no usable name" in refused(prepare(source, "--out", tmp_path / "x", "--name", "a b"))


class TestLook:
    def test_info(self, prepared):
        text = mmrec("data", "info", prepared).stdout
        assert text.startswith("source  (") and "density" in text and "reader: frames" in text
        assert json.loads(mmrec("data", "info", prepared, "--json").stdout)["interactions"] == 24

    def test_mistakes(self, tmp_path):
        assert "there is no data set" in refused(mmrec("data", "info", tmp_path / "gone"))
        assert "there is no dataset.json in it" in refused(mmrec("data", "info", tmp_path))

    def test_another_s_card_cannot_steer_the_terminal(self, prepared, tmp_path):
        card = {
            "notes": ["a\x1b]0;owned\x07b\nusers 9"],
            "\x9b2J": {"user\u202eid": "\x1b[2J\x08"},
            "steps": [{"af\x07ter": "\x9bread"}],
        }
        MultimodalDataset.load(prepared).replace(card=card).save(tmp_path / "sent")
        result = mmrec("data", "info", tmp_path / "sent")
        assert result.exit_code == 0 and readable(result.stdout)
        assert "- a ]0;owned b users 9" in result.stdout and "af ter  read" in result.stdout
        assert json.loads(mmrec("data", "info", tmp_path / "sent", "--json").stdout)["card"] == card

    def test_a_long_list_is_cut_on_the_screen_alone(self, prepared, tmp_path):
        card = {"notes": [f"note {n}" for n in range(10)], "pictures": {"grey": [f"{n}.png" for n in range(50_000)]}}
        MultimodalDataset.load(prepared).replace(card=card).save(tmp_path / "full")
        lines = [line.strip() for line in mmrec("data", "info", tmp_path / "full").stdout.splitlines()]
        assert lines[lines.index("notes:") + 1 : lines.index("pictures:")] == [f"- note {n}" for n in range(10)]
        assert lines[lines.index("grey:") + 1 :] == [
            *(f"- {n}.png" for n in range(5)),
            "- and 49,995 more: `mmrec data info --json` has all",
        ]
        assert json.loads(mmrec("data", "info", tmp_path / "full", "--json").stdout)["card"] == card

    def test_debug_shows_the_traceback(self, tmp_path):
        result = mmrec("--debug", "data", "info", tmp_path / "gone")
        assert result.exit_code == 1 and "there is no data set" in str(result.exception)


class TestBazaar:
    @pytest.fixture
    def built(self, monkeypatch, prepared):
        """A builder that is done at once, and says what it was asked for."""
        asked = []

        def build(seed=0, out=None):
            print("drawing pictures")
            asked.append(seed)
            return MultimodalDataset.load(prepared).save(Path(f"bazaar-{seed}" if out is None else out))

        monkeypatch.setitem(sys.modules, "mmrec_lite.data.bazaar", types.SimpleNamespace(build=build))
        return asked

    def test_rebuild_passes_seed_and_folder(self, built, tmp_path):
        result = mmrec("data", "bazaar", "--rebuild", "--seed", 7, "--out", tmp_path / "shop", "--json")
        assert built == [7] and json.loads(result.stdout)["interactions"] == 24
        assert "drawing pictures" in result.stderr

    def test_rebuild_names_its_folder_after_the_seed(self, built, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = mmrec("data", "bazaar", "--rebuild", "--seed", 7)
        assert result.exit_code == 0, result.output
        assert built == [7] and len(MultimodalDataset.load(tmp_path / "bazaar-7")) == 24

    def test_mistakes(self, built, tmp_path):
        assert "--out goes with --rebuild" in refused(mmrec("data", "bazaar", "--out", tmp_path / "shop"))
        line = refused(mmrec("data", "bazaar", "--seed", 5))
        assert line == "mmrec: --seed 5 goes with --rebuild: the embedded shop is the one that grew from seed 0."
        assert built == []


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    k: int = Field(10, ge=1)
    lam: float = Field(0.7, ge=0, le=1)
    modalities: tuple[str, ...] = ("image",)


class TestRun:
    @pytest.fixture
    def calls(self, monkeypatch):
        """A `run` that trains nothing: it validates its settings, chatters on stdout and returns numbers."""
        seen = []

        def run(method, data, *, protocol, seed, profile, save, **hyper):
            seen.append({"method": method, "data": data, "protocol": protocol, "seed": seed, "hyper": hyper})
            if method == "broken":
                raise ZeroDivisionError("a bug")
            Settings(**{name: value for name, value in hyper.items() if name != "split_seed"})
            print("epoch 1")
            metrics = {"recall@10": 0.125, "recall@20": np.float32(0.25)}
            row = {"method": method, **metrics, "profile": profile, "save": save, "loss": float("nan")}
            row |= {"split": f"{data}-{protocol}-s0", "seed": seed, "id": "micro-x"}
            return types.SimpleNamespace(metrics=metrics, row=row, per_user=range(1234))

        monkeypatch.setitem(sys.modules, "mmrec_lite.experiments", types.SimpleNamespace(run=run))
        return seen

    def test_values_have_types(self, calls):
        settings = ["k=20", "lam=0.5", "modalities=image,text", "symmetric=false", "negatives=null", "rebuild=epoch"]
        result = mmrec("run", "micro", "--protocol", "kfold", "--seed", 3, "--split-seed", 4,
                       *[part for setting in settings[:3] for part in ("--set", setting)])  # fmt: skip
        assert result.exit_code == 0, result.output
        assert calls == [
            {
                "method": "micro",
                "data": "bazaar",
                "protocol": "kfold",
                "seed": 3,
                "hyper": {"k": 20, "lam": 0.5, "modalities": ["image", "text"], "split_seed": 4},
            }
        ]
        assert result.stdout.splitlines()[1:] == [
            "micro (paper) on bazaar-kfold-s0, seed 3, 1,234 users",
            "               @10     @20",
            "recall      0.1250  0.2500",
        ]
        mmrec("run", "micro", *[part for setting in settings[3:] for part in ("--set", setting)])
        mmrec("run", "micro", "--split", "ratios=.6,.2,.2", "--split", "by=time")
        assert calls[2]["hyper"] == {"split_options": {"ratios": [0.6, 0.2, 0.2], "by": "time"}}
        assert calls[1]["hyper"] == {"symmetric": False, "negatives": None, "rebuild": "epoch"}

    def test_where_it_is_saved_is_said(self, calls, tmp_path):
        assert mmrec("run", "micro", "--save", tmp_path).stdout.splitlines()[-1] == f"Saved as {tmp_path / 'micro-x'}"

    def test_json_is_one_object_and_nothing_else(self, calls, tmp_path):
        result = mmrec("run", "micro", "--save", tmp_path, "--json")
        row = json.loads(result.stdout)
        assert row["recall@20"] == 0.25 and row["loss"] is None and row["save"] == str(tmp_path)
        assert "epoch 1" in result.stderr

    def test_mistakes(self, calls):
        line = refused(mmrec("run", "micro", "--set", "lam=1.7", "--json"))
        assert line == "mmrec: lam: Input should be less than or equal to 1 (got 1.7)"
        both = refused(mmrec("run", "micro", "--set", "lam=1.7", "--set", "dims=3"))
        assert "lam: " in both and "; dims: Extra inputs are not permitted" in both
        assert "expected NAME=VALUE, as in --set k=20" in refused(mmrec("run", "micro", "--set", "k"))
        assert "'k' is set twice" in refused(mmrec("run", "micro", "--set", "k=1", "--set", "k=2"))
        for name in ("also", "wait", "progress"):
            line = refused(mmrec("run", "micro", "--set", f"{name}=1"))
            assert f"{name!r} is no hyper-parameter, but an argument of mm.run in Python" in line
        assert "the method is the first argument, as in mmrec run pamd" in refused(
            mmrec("run", "micro", "--set", "method=pamd")
        )
        assert "'split_seed' has an option of its own: --split-seed" in refused(
            mmrec("run", "micro", "--set", "split_seed=1")
        )
        assert "write each as --split NAME=VALUE" in refused(mmrec("run", "micro", "--set", 'split_options={"by":1}'))
        assert "--split by=order: 'by' is set twice" in refused(
            mmrec("run", "micro", "--split", "by=time", "--split", "by=order")
        )

    def test_what_the_machine_or_the_training_refuses_is_one_line(self, prepared, monkeypatch):
        line = refused(mmrec("run", "mf", "--data", prepared, "--device", "tpu", "--set", "epochs=1", "--set", "dim=2"))
        assert "device = 'tpu' with devices = 1 is not to be had on this machine" in line

        def diverge(*_, **__):
            raise TrainingDiverged("mf: the loss is not finite")

        monkeypatch.setitem(sys.modules, "mmrec_lite.experiments", types.SimpleNamespace(run=diverge))
        assert refused(mmrec("run", "mf")) == "mmrec: mf: the loss is not finite"

    def test_a_bug_keeps_its_traceback(self, calls, monkeypatch):
        result = mmrec("run", "broken")
        assert isinstance(result.exception, ZeroDivisionError)

        def broken(*_, **__):
            raise RuntimeError("a bug")

        monkeypatch.setitem(sys.modules, "mmrec_lite.experiments", types.SimpleNamespace(run=broken))
        assert type(mmrec("run", "mf").exception) is RuntimeError

    def test_a_real_method_on_a_prepared_folder(self, prepared):
        row = json.loads(mmrec("run", "popularity", "--data", prepared, "--seed", 1, "--json").stdout)
        assert row["method"] == "popularity" and row["seed"] == 1 and 0 < row["recall@20"] <= 1
        assert "there is no method 'nothing'" in refused(mmrec("run", "nothing", "--data", prepared))

    def test_a_missing_extra_is_named(self, monkeypatch):
        def needs(*_, **__):
            raise ModuleNotFoundError(name="open_clip.model")

        monkeypatch.setitem(sys.modules, "mmrec_lite.experiments", types.SimpleNamespace(run=needs))
        line = refused(mmrec("run", "micro"))
        assert line.endswith(
            "'open_clip' is not installed; it comes with an extra: pip install 'mmrec_lite[features]'."
        )

    def test_a_package_of_no_extra_is_not_said_to_come_with_one(self):
        assert (
            _one_line(ModuleNotFoundError(name="no_such.part")) == "the package 'no_such' is not installed; install it."
        )

    @pytest.mark.parametrize("package", ["pynndescent", "papermill", "statsmodels", "distributed", "open_clip_torch"])
    def test_a_package_is_named_with_the_extra_that_declares_it(self, repository, package):
        extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        line = _one_line(ModuleNotFoundError(name=package))
        extra = re.search(r"mmrec_lite\[(\w+)\]", line)[1]
        assert package in {Requirement(one).name for one in extras[extra]}


def test_a_metric_that_no_row_has_is_one_line(tmp_path):
    (tmp_path / "one").mkdir()
    row = {"format": FORMAT, "id": "one", "method": "mf", "seed": 0, "recall@20": 0.5}
    (tmp_path / "one" / "row.json").write_text(json.dumps(row))
    line = refused(mmrec("results", tmp_path, "--metric", "recal@20"))
    assert line == "mmrec: --metric recal@20: the rows have no column 'recal@20'; did you mean 'recall@20'?"
    line = refused(mmrec("results", tmp_path, "--metric", "recall@20", "--metric", "xyz"))
    assert line.endswith("no column 'xyz'; they have format, id, method, seed, recall@20.")
    assert "0.5" in mmrec("results", tmp_path, "--metric", "recall@20").stdout


def write_rows(folder: Path, *rows: dict) -> None:
    for n, row in enumerate(rows):
        (folder / f"r{n}").mkdir()
        (folder / f"r{n}" / "row.json").write_text(json.dumps({"format": FORMAT, "id": f"r{n}"} | row))


def test_another_s_rows_cannot_steer_the_terminal(tmp_path, monkeypatch):
    title = "\x1b]0;owned\x07"
    write_rows(tmp_path, {"method": f"m{title}f", "seed": 0, f"set {title}": 1}, {"method": "mf", f"set {title}": 2})
    shown = mmrec("results", tmp_path).stdout
    assert readable(shown) and "m ]0;owned f" in shown and "set  ]0;owned" in shown
    assert readable(refused(mmrec("results", tmp_path, "--metric", "recall")))
    failed = pd.DataFrame({"x": [1, 2], "error": [None, f"cell 3: ValueError: {title}\x9b2J\u2028"]})
    monkeypatch.setattr(lessons, "sweep_lesson", lambda *_, **__: failed)
    result = mmrec("sweep", "lesson.ipynb", "-p", "x", "1,2")
    assert result.exit_code == 1 and readable(result.stdout) and len(result.stdout.splitlines()) == 5


def test_a_reference_is_a_value_of_any_column(tmp_path):
    pytest.importorskip("statsmodels")
    rows = [{"method": "micro", "set k": k, "seed": seed, "recall@20": k / 100 + seed / (40 + k), "ndcg@20": 0.1}
            for k in (5, 10) for seed in (0, 1, 2)]  # fmt: skip
    write_rows(tmp_path, *rows, {"method": "popularity", "seed": 0, "recall@20": 0.1, "ndcg@20": 0.1})
    shown = mmrec("results", tmp_path, "--by", "set k", "--reference", 10)
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.stdout.splitlines()[-2:]] == ["5", "10"]
    assert "p (Holm)" in shown.stdout
    line = refused(mmrec("results", tmp_path, "--by", "set k", "--reference", 7))
    assert "there is no set k '7'; there are 5, 10" in line
    line = refused(mmrec("results", tmp_path, "--reference", "micro"))
    assert line.startswith("mmrec: --reference micro goes with --by: name the column that has this value")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("5,10,20", [5, 10, 20]),
        ("-1,0", [-1, 0]),
        ("-.5,1.,+.25", [-0.5, 1.0, 0.25]),
        ("007,5.0.1,.", ["007", "5.0.1", "."]),
        ("mf,micro", ["mf", "micro"]),
        ("0.5", [0.5]),
        ("", [""]),
        ("name,description", ["name", "description"]),
        ('"name,description"', ["name,description"]),
        ('"mf,micro","popularity"', ["mf,micro", "popularity"]),
        ('["recbole sgl,cornac bpr", "mf"]', ["recbole sgl,cornac bpr", "mf"]),
        ("[5, 10]", [5, 10]),
        ('[["image", "text"], ["text"]]', [["image", "text"], ["text"]]),
        ('{"a": 1, "b": 2}', [{"a": 1, "b": 2}]),
        ("[a,b]", ["[a", "b]"]),
        ("true,null,x", [True, None, "x"]),
    ],
)
def test_values_of_a_sweep(text, values, monkeypatch):
    asked = []

    def sweep_lesson(file, grid, save, **_):
        asked.append(grid)
        return pd.DataFrame({"x": [1]})

    monkeypatch.setattr(lessons, "sweep_lesson", sweep_lesson)
    for words in (("-p", "text", text), ("-p", f"text={text}")):
        result = mmrec("sweep", "lesson.ipynb", *words)
        assert result.exit_code == 0, result.output
    assert asked == [{"text": values}] * 2


class TestSweepOfMethods:
    def test_rows_are_those_of_python(self, prepared, tmp_path):
        words = ("popularity", "item_knn", "-p", "seed", "0,1", "-p", "split_seed", "3,4", "-p", "ks=[[2, 5]]")
        result = mmrec("sweep", *words, "--data", prepared, "--save", tmp_path / "runs")
        assert result.exit_code == 0, result.output
        head, *lines, _, last = result.stdout.splitlines()
        assert head.split()[-2:] == ["recall@2", "ndcg@2"] and last == f"8 runs in {tmp_path / 'runs'}"
        grid = {"split_seed": [3, 4], "ks": [[2, 5]]}
        table = mm.sweep(["popularity", "item_knn"], prepared, grid=grid, seeds=(0, 1), progress=False)
        shown = [float(line.split()[-1]) for line in lines]
        assert shown == pytest.approx(table["ndcg@2"].tolist(), abs=1e-5) and len(set(shown)) > 2
        assert sorted(file.parent.name for file in tmp_path.glob("runs/*/row.json")) == sorted(
            name for line in lines for name in line.split() if "-source-" in name
        )

    def test_folds_are_options_of_the_split(self, prepared, tmp_path):
        words = ("popularity", "-p", "protocol", "kfold", "-p", "folds", "4", "-p", "fold", "0,1,3")
        result = mmrec("sweep", *words, "--data", prepared, "--save", tmp_path / "runs")
        assert result.exit_code == 0, result.output
        rows = mm.experiments.collect(tmp_path / "runs")
        assert sorted(rows["split fold"]) == [0, 1, 3] and set(rows["split folds"]) == {4}
        assert "split fold" in result.stdout.splitlines()[0]
        means = mmrec("results", tmp_path / "runs", "--by", "method")
        assert means.exit_code == 0 and f"{rows['recall@20'].mean():.4f} ±" in means.stdout

    def test_what_is_kept_is_read(self, prepared, tmp_path):
        words = ("sweep", "popularity", "--data", prepared, "--save", tmp_path / "runs")
        first = mmrec(*words)
        [row] = tmp_path.glob("runs/*/row.json")
        before = row.stat().st_mtime_ns
        assert mmrec(*words).stdout == first.stdout and row.stat().st_mtime_ns == before

    def test_a_run_that_fails_is_a_row(self, prepared, tmp_path):
        result = mmrec("sweep", "popularity", "-p", "nix", "1", "--data", prepared, "--save", tmp_path)
        assert result.exit_code == 1 and "popularity has no hyper-parameter 'nix'" in result.stdout
        assert result.stdout.splitlines()[-1] == f"1 runs in {tmp_path}, 1 failed"

    def test_a_run_that_failed_stands_with_its_point(self, prepared, tmp_path):
        words = ("mf", "-p", "dim", "2,0", "-p", "epochs", "1", "--data", prepared, "--save", tmp_path / "runs")
        head, *lines = [line.split() for line in mmrec("sweep", *words).stdout.splitlines()[:3]]
        assert head[:2] == ["dim", "epochs"] and [line[:2] for line in lines] == [["2", "1"], ["0", "1"]]

    def test_methods_of_a_file(self, own, prepared, tmp_path):
        words = ("--code", own, "--data", prepared, "--save", tmp_path / "runs", "--jobs", 2, "-p", "seed", "0,1")
        result = mmrec("sweep", "backwards", *words)  # the workers' Python does not look into the file's folder
        assert result.exit_code == 0 and result.stdout.count(" backwards ") == 2, result.output

    @pytest.mark.parametrize(
        ("words", "refusal"),
        [
            (("itemknn", "-p", "k", "1"), "there is no method 'itemknn'. Did you mean 'item_knn'?"),
            (("itemknn", "mf", "-p", "k", "1"), "there is no method 'itemknn'. Did you mean 'item_knn'?"),
            (("micro", "-p", "backbone", "mf", "-p", "epochs", "0"), "'mf' is read as a method; where it is a value"),
            (("nix", "-p", "k", "1"), "'nix' is no notebook (.ipynb) and no method"),
            (("mf", "5,6"), "'5,6' belongs to no -p; write -p NAME 5,6."),
            (("mf", "-p", "data", "x"), "methods are swept on one data set, --data"),
            (("mf", "--timeout", "5"), "--timeout 5 goes with a notebook"),
            (("a.ipynb", "--data", "bazaar"), "--data bazaar goes with methods"),
            (("a.ipynb", "--code", Path(__file__).with_name("tiny.py")), "tiny.py goes with methods"),
            (("a.ipynb", "b.ipynb"), "name one notebook (.ipynb) to sweep, not 2"),
        ],
    )
    def test_mistakes(self, words, refusal):
        assert refusal in refused(mmrec("sweep", *words))


def test_a_sweep_over_no_value():
    assert "-p k []: the list has no value" in refused(mmrec("sweep", "lesson.ipynb", "-p", "k", "[]"))


def test_an_option_that_there_is_not_is_no_value():
    line = refused(mmrec("sweep", "lesson.ipynb", "--sav", "x", "-p", "k", "1"))
    assert line == (
        "mmrec: there is no option --sav; `mmrec sweep --help` lists them. A value that begins so is written "
        "NAME=VALUES, as in -p x=--sav."
    )
    assert "there is no option --thread; " in refused(mmrec("sweep", "lesson.ipynb", "-p", "k", "1", "--thread=2"))


def test_methods_are_listed(monkeypatch):
    known = {"popularity": "what most took", "micro": "latent item graphs"}
    monkeypatch.setitem(sys.modules, "mmrec_lite.methods", types.SimpleNamespace(methods=lambda: known))
    assert mmrec("methods").stdout.splitlines() == [
        "popularity  what most took",
        "micro       latent item graphs",
    ]
    assert json.loads(mmrec("methods", "--json").stdout) == known


def test_orders_of_unknown_items_are_dropped_on_request(source, tmp_path):
    pd.DataFrame({"asin": range(7), "name": list("abcdefg")}).to_csv(source / "items.csv", index=False)
    asked = ("--items", source / "items.csv", "--out", tmp_path / "out")
    assert "--drop-unknown" in refused(prepare(source, *asked))
    done = prepare(source, *asked, "--drop-unknown", "--json")
    assert done.exit_code == 0, done.output
    assert set(MultimodalDataset.load(tmp_path / "out").items["item_id"]) == {str(n) for n in range(7)}


def test_a_table_of_results_fits_a_screen_and_a_file_has_all(tmp_path):
    for name, k in (("mf", 4), ("mf", 8)):
        mm.run(name, tiny_shop(), epochs=1, dim=k, save=tmp_path)
    head = mmrec("results", tmp_path).stdout.splitlines()[0].split()
    assert sorted(head) == ["dim", "id", "method", "ndcg@20", "recall@20", "seed", "set"]
    assert "version torch" in mmrec("results", tmp_path, "--format", "csv").stdout
    mmrec("results", tmp_path, "--out", tmp_path / "all.csv")
    assert "version torch" in (tmp_path / "all.csv").read_text()


def test_a_line_a_run_says_all_that_varies(tmp_path):
    same = {"method": "mf", "seed": 0, "recall@20": 0.5, "split hash": "a", "data": "d"}
    varying = ("candidates", "ks", "split ratios", "pretrained", "code", "version mmrec_lite", "profile", "set k")
    write_rows(tmp_path, *(same | dict.fromkeys(varying, value) | {"split hash": value} for value in "ab"))
    assert mmrec("results", tmp_path, "--metric", "recall@20", "--out", tmp_path / "t.csv").exit_code == 0
    assert set(pd.read_csv(tmp_path / "t.csv")) == {"id", "method", "seed", "recall@20", *varying}


def test_options_that_would_be_ignored_are_refused(tmp_path):
    write_rows(tmp_path, {"method": "mf", "seed": 0, "recall@20": 0.5})
    line = refused(mmrec("results", tmp_path, "--format", "latex", "--out", tmp_path / "x.csv"))
    assert line.endswith("x.csv: the file's ending tells its format; leave --format out.")
    assert "--format nonsense: there are text, csv, markdown, latex." in refused(
        mmrec("results", tmp_path, "--format", "nonsense")
    )
    assert mmrec("results", tmp_path, "--format", "latex", "--out", tmp_path / "x.tex").exit_code == 0
    assert "--seed 0 goes with --protocol" in refused(
        mmrec("data", "export", "bazaar", "--to", "mmrec", "--out", tmp_path / "out", "--seed", 0)
    )


def test_a_damaged_run_is_left_out_with_a_line(tmp_path):
    write_rows(tmp_path, {"method": "mf", "seed": 0, "recall@20": 0.5}, {"method": "mf", "seed": 1})
    (tmp_path / "r1" / "row.json").write_text("")
    shown = mmrec("results", tmp_path, "--format", "csv")
    assert shown.stdout == "format,id,method,seed,recall@20\n1,r0,mf,0,0.5\n"  # no empty line at its end
    assert shown.stderr.startswith(f"mmrec: left out: {tmp_path / 'r1'} is damaged (row.json: ")


OWN = """
import torch
import mmrec_lite as mm

@mm.register
class Backwards(mm.Method):
    name, summary = "backwards", "the last item first"

    def score(self, users):
        return torch.arange(self.n_items).float().repeat(len(users), 1)
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "a_method_of_mine.py"
    file.write_text(OWN)
    yield file
    sys.modules.pop(file.stem, None)
    REGISTRY.pop("backwards", None)


def test_a_file_of_ones_own_adds_methods(own, prepared):
    assert mmrec("methods", "--code", own).stdout.splitlines()[-1].split(maxsplit=1) == [
        "backwards",
        "the last item first",
    ]
    sys.modules.pop(own.stem)
    ran = mmrec("run", "backwards", "--data", prepared, "--code", own, "--json")
    assert json.loads(ran.stdout)["method"] == "backwards" and len(json.loads(ran.stdout)["code"]) == 64


def test_code_that_cannot_be_run_as_a_module_is_refused(own):
    assert "no such Python file" in refused(mmrec("methods", "--code", own.with_name("nothing.py")))
    assert "no such Python file" in refused(mmrec("methods", "--code", own.parent))
    assert "name of another module" in refused(mmrec("methods", "--code", own.rename(own.with_name("random.py"))))


def test_the_version_and_the_short_help():
    assert mmrec("--version").stdout == f"mmrec {mm.__version__}\n"
    for words in (("-h",), ("run", "-h"), ("data", "prepare", "frames", "-h")):
        assert "Usage: " in mmrec(*words).stdout


def test_a_run_with_a_checkpoint_goes_on_from_there(tmp_path):
    words = ("run", "mf", "--profile", "lecture", "--checkpoint", tmp_path / "state", "--json", "--set")
    first = json.loads(mmrec(*words, "epochs=1").stdout)
    assert (tmp_path / "state" / "checkpoint.safetensors").is_file()
    assert json.loads(mmrec(*words, "epochs=1").stdout)["recall@20"] == first["recall@20"]
    assert "--checkpoint" in refused(mmrec("run", "mf", "--set", f"checkpoint={tmp_path}"))


def test_numbers_between_commas_are_numbers():
    row = json.loads(mmrec("run", "popularity", "--json", "--set", "ks=5,10").stdout)
    assert {name for name in row if name.startswith("recall@")} == {"recall@5", "recall@10"}
