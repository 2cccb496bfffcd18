"""Methods of other libraries: export, process, ranking, our metrics; a stand-in, and the real ones where they are."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite import experiments
from mmrec_lite.experiments import PEERS, PeerError, peer_runner, peers, run_peer, run_peers
from tests.tiny import tiny_shop

FAKE = {"python": sys.executable, "runner": Path(__file__).with_name("fake_peer.py")}
NAMES = list(PEERS)


@pytest.fixture(scope="module")
def shop():
    return tiny_shop()


@pytest.fixture
def installed(monkeypatch):
    """As if this interpreter had the peers."""
    monkeypatch.setattr(peers, "_version", lambda python, library: "1.0")


def real(name: str):
    missing = peers.absent(name)
    return pytest.mark.skipif(bool(missing), reason=missing)


@pytest.mark.parametrize("protocol", ["ratio", "leave-one-out"])
def test_a_peers_ranking_is_measured_as_ours(shop, installed, protocol):
    """The stand-in ranks by popularity: the export, the process and the way back must give what our method gives."""
    theirs = run_peer("cornac vbpr", shop, protocol=protocol, split_seed=1, epochs=3, **FAKE)
    ours = mm.run("popularity", shop, protocol=protocol, split_seed=1)
    assert theirs.metrics == ours.metrics
    pd.testing.assert_frame_equal(theirs.per_user, ours.per_user)
    row = theirs.row
    assert (row["method"], row["seconds an epoch"], row["epochs trained"]) == ("cornac vbpr", 0.25, 3)
    assert row["split hash"] == ours.row["split hash"] and row["peak memory MiB"] == 50
    same = ["data", "ks", "candidates", "split_seed", "version mmrec_lite", *(c for c in row if c.startswith("split "))]
    assert {name: row[name] for name in same} == {name: ours.row[name] for name in same}


def test_what_a_peer_puts_among_the_best_from_training_is_struck(shop, installed):
    good = run_peer("cornac bpr", shop, how="popularity", ks=(30,), **FAKE)
    bad = run_peer("cornac bpr", shop, how="forgets training", ks=(30,), **FAKE)
    assert bad.metrics == good.metrics


@pytest.mark.parametrize("how", [{"candidates": 5}, {"candidates": "held-out", "protocol": "cold-items"}])
def test_other_candidates_than_all(shop, installed, how):
    """Ties of the stand-in and of ours go to the lower index, so even sampled figures agree."""
    theirs = run_peer("cornac bpr", shop, ks=(2, 5), split_seed=3, **how, **FAKE)
    assert theirs.metrics == mm.run("popularity", shop, ks=(2, 5), split_seed=3, **how).metrics


def test_peers_beside_a_study(shop, installed, tmp_path):
    study = experiments.STUDIES["PAMD Table 2"]
    rows = experiments.beside_study(study, "cornac bpr", shop, seeds=(0, 1), protocol=None, **FAKE)
    assert rows["value"].tolist() == rows[study.metric].tolist() and rows["protocol"].tolist() == ["kfold"] * 2
    assert rows["candidates"].tolist() == ["1000"] * 2
    absent = experiments.beside_study(study, "cornac bpr", shop, python=tmp_path / "none")
    assert absent["value"].isna().all() and "make peers" in absent["error"][0]
    assert experiments.beside_study(study, "", shop).empty


def test_a_saved_peer_is_read_and_not_run_again(shop, installed, tmp_path, monkeypatch):
    first = run_peer("recbole sgl", shop, save=tmp_path, **FAKE)
    monkeypatch.setattr(peers, "run_job", lambda *a, **k: pytest.fail("ran again"))
    assert run_peer("recbole sgl", shop, save=tmp_path, **FAKE).row == first.row
    assert experiments.collect(tmp_path)["method"].tolist() == ["recbole sgl"]
    with pytest.raises(pytest.fail.Exception, match="ran again"):
        run_peer("recbole sgl", shop, save=tmp_path, n_layers=1, **FAKE)
    monkeypatch.setattr(peers, "claim", lambda *_: pytest.fail("wrote into a folder that may be closed"))
    assert run_peer("recbole sgl", shop, save=tmp_path, **FAKE).row == first.row
    monkeypatch.setattr(peers, "_version", lambda python, library: "1.1")
    with pytest.raises(pytest.fail.Exception, match="wrote into"):  # another version of the library is another run
        run_peer("recbole sgl", shop, save=tmp_path, **FAKE)


def test_what_cannot_be_is_refused_before_a_peer_trains(shop, installed, monkeypatch):
    monkeypatch.setattr(peers, "run_job", lambda *a, **k: pytest.fail("trained"))
    for wrong, sentence in [
        ({"ks": (0,)}, "ks = "),
        ({"candidates": "held-out"}, "holds no items out"),
        ({"candidates": "foo"}, "candidates = 'foo'"),
        ({"epochs": 0}, "cornac bpr: epochs = 0, but it is the most epochs to train, 1 or more"),  # once became 100
    ]:
        with pytest.raises(ValueError, match=sentence):
            run_peers("cornac bpr", shop, **wrong, **FAKE)
    with pytest.raises(ValueError, match="there is no peer 'cornac typo'"):  # once after the first one had trained
        run_peers("cornac bpr, cornac typo", shop, **FAKE)


def test_relative_paths_reach_the_peers_process(shop, installed, tmp_path, monkeypatch):
    """It stands in a folder of its own, where they named nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").symlink_to(sys.executable)
    ran = []
    done = types.SimpleNamespace(returncode=1, stderr="")
    monkeypatch.setattr(peers.subprocess, "run", lambda command, **_: ran.append(command) or done)
    with pytest.raises(PeerError):
        run_peer("cornac bpr", shop, python="python", runner="fake.py")
    monkeypatch.setenv("MMREC_PEERS", "python")
    assert ran[0][0] == str(tmp_path / "python") == str(peers.interpreter()) and ran[0][2] == str(tmp_path / "fake.py")


def test_a_library_is_found_once_it_is_installed(monkeypatch):
    answers = iter(
        [types.SimpleNamespace(returncode=1, stdout=""), types.SimpleNamespace(returncode=0, stdout="2.3\n")]
    )
    monkeypatch.setattr(peers.subprocess, "run", lambda *_, **__: next(answers))
    assert [peers._version("python", "cornac") for _ in range(2)] == [None, "2.3"]


def test_ids_that_another_program_would_break_survive(shop, installed):
    odd = dataclasses.replace(
        shop,
        users=shop.users.assign(user_id=[f"user {n},\t'x'" for n in range(len(shop.users))]),
        items=shop.items.assign(item_id=[f"[PAD] {n}" for n in range(len(shop.items))]),
    )
    assert run_peer("cornac bpr", odd, **FAKE).metrics == run_peer("cornac bpr", shop, **FAKE).metrics


def test_an_absent_peer_is_named_with_how_to_get_it(shop, tmp_path):
    nowhere = tmp_path / "python"
    table = run_peers("recbole lightgcn, cornac vbpr", shop, python=nowhere)
    assert table["label"].tolist() == ["recbole lightgcn", "cornac vbpr"]
    for error in table["error"]:
        assert str(nowhere) in error and "make peers" in error and "MMREC_PEERS" in error
    with pytest.raises(PeerError, match="is not installed in the environment of"):
        run_peer("recbole sgl", shop, python=sys.executable)
    with pytest.raises(ValueError, match="there is no peer 'recbole bert'; peers: recbole lightgcn"):
        run_peers(["recbole bert"], shop)


def test_where_the_peers_interpreter_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("MMREC_PEERS", raising=False)
    (tmp_path / ".venv-peers/bin").mkdir(parents=True)
    (tmp_path / ".venv-peers/bin/python").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert peers.interpreter() == tmp_path / ".venv-peers/bin/python"
    monkeypatch.setenv("MMREC_PEERS", "/elsewhere/python")
    assert peers.interpreter() == Path("/elsewhere/python") and peers.interpreter("/given") == Path("/given")


def test_a_peer_that_fails_costs_its_own_rows_alone(shop, installed):
    with pytest.raises(PeerError, match=r"recbole sgl failed \(exit 1\):\nthe peer's last words"):
        run_peer("recbole sgl", shop, how="crash", **FAKE)
    with pytest.raises(PeerError, match="the ranking for valid is int32"):
        run_peer("recbole sgl", shop, how="short", **FAKE)
    table = run_peers(["recbole sgl"], shop, seeds=(0, 1), how="crash", **FAKE)
    assert table["seed"].tolist() == [0, 1] and table["error"].str.contains("last words").all()
    bare = dataclasses.replace(shop, features={}, present={})
    with pytest.raises(PeerError, match="needs features, but data set 'tiny' has none"):
        run_peer("cornac vbpr", bare, **FAKE)


def test_a_notebooks_backend_stays_in_its_kernel(shop, installed, monkeypatch):
    """Matplotlib, which cornac imports, refused the kernel's MPLBACKEND in the peers' environment."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    done, _ = peers.run_job("cornac bpr", mm.split(shop, "ratio", seed=0), {"epochs": 1}, *FAKE.values())
    assert done["backend"] == "agg"


@pytest.mark.parametrize(
    ("system", "told", "expected"),
    [("linux", 51_200, 50.0), ("darwin", 50 * 2**20, 50.0), ("win32", None, float("nan"))],
)
def test_a_peers_memory_is_in_mib_where_the_system_tells_it(monkeypatch, tmp_path, system, told, expected):
    module = types.SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=told))
    monkeypatch.setitem(sys.modules, "resource", module if told else None)
    monkeypatch.setattr(sys, "platform", system)
    assert peer_runner.peak_memory(tmp_path / "absent") == pytest.approx(expected, nan_ok=True)
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t    2048 kB\n")
    assert peer_runner.peak_memory(status) == 2


def test_a_peer_runs_where_there_is_no_resource_module(monkeypatch, tmp_path):
    """As on Windows: the memory is not known then, everything else is."""
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(peer_runner, "read_parts", lambda job: {})
    monkeypatch.setattr(peer_runner, "cornac", lambda job, parts: {"epoch seconds": [1.0]})
    monkeypatch.setattr(peer_runner, "version", lambda package: "1")
    (tmp_path / "job.json").write_text(json.dumps({"library": "cornac", "out": str(tmp_path)}))
    peer_runner.main(tmp_path / "job.json")
    done = json.loads((tmp_path / "done.json").read_text())
    assert done["epoch seconds"] == [1.0] and "MiB" in done


def test_a_ranking_as_a_method_keeps_its_order(shop):
    split = mm.split(shop, "ratio", seed=0)
    model = peers.Ranking(split, np.array([3, 5]), np.array([[7, 2, -1], [0, -1, -1]]))
    scores = model.score(torch_like([5, 3, 4]))
    assert scores.argmax(1)[:2].tolist() == [0, 7] and (scores > -np.inf).sum(1).tolist() == [1, 2, 0]
    assert scores[1, 7] > scores[1, 2]


def torch_like(values):
    import torch

    return torch.tensor(values)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=real(n)) for n in NAMES])
def test_a_real_peer_agrees_with_its_own_metric(name):
    """Ours on the ranking that came back against RecBole's own evaluator: the ids and the masks are right."""
    protocol = "leave-one-out" if "sasrec" in name else "ratio"
    row = run_peer(name, tiny_shop(n_users=60), protocol=protocol, epochs=4).row
    assert row["epochs trained"] >= 1 and row["seconds an epoch"] > 0 and 0 < row["recall@20"] <= 1
    own = row["valid by its own metric"]
    if "sasrec" in name:  # RecBole recommends to sequences what they already hold; ours may not be worse
        assert 0 < own <= row["valid recall@20"]
    elif own is not None:  # RecBole rounds to four digits
        assert own == pytest.approx(row["valid recall@20"], abs=1e-4)


@pytest.mark.slow
@real("recbole lightgcn")
def test_recboles_lightgcn_is_as_good_as_ours():
    """The same method, width, layers, rate and split: within the noise of training again."""
    theirs = run_peer("recbole lightgcn", "bazaar", threads=1)
    ours = mm.run("lightgcn", "bazaar", lr=5e-3, epochs=200)
    assert theirs.metrics["recall@20"] == pytest.approx(ours.metrics["recall@20"], abs=0.012)
