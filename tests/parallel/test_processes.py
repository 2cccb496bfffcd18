"""Two processes train what one process trains: every method, every stage, the same global batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmrec_lite as mm
from mmrec_lite import parallel
from mmrec_lite.data.batches import Triples
from tests.hardness.worlds import whole_shop
from tests.parallel.worlds import CASES, train

pytestmark = pytest.mark.slow
# With PyTorch 2.6 two processes differ by 3e-8 in the bias of the keys: it has no gradient but rounding, which Adam
# makes steps of.
ATOL = 1e-7 if torch.__version__.startswith("2.6.") else 1e-9
FABRIC = Path(sys.executable).with_name("fabric")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, repository) -> Path:
    """What two processes leave, started once for all cases."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:  # the tests' own workers may be at this at the same time: no fixed port
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [FABRIC, "run", "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp", "--main-port", port]
    done = subprocess.run(
        [*map(str, command), str(repository / "tests/parallel/worker.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_same_result_as_one_process(trained, case):
    """Weights to rounding (float64), the loss terms and metrics of every epoch, best epochs, and why stages ended."""
    model, history = train(case)
    first, second = (load_file(trained / f"{case} {rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first), "the processes went apart"
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, first[name], rtol=1e-8, atol=ATOL, msg=lambda text, n=name: f"{n}: {text}")
    for rank in (0, 1):
        rows, best, stopped = json.loads((trained / f"{case} {rank}.json").read_text())
        assert stopped == history.stopped and len(rows) == len(history.rows)
        for mine, theirs in zip(history.rows, rows, strict=True):
            assert theirs.pop("stage") == mine["stage"]
            assert theirs == pytest.approx({key: mine[key] for key in theirs}, rel=1e-5)
        for stage, figures in history.best.items():
            assert best[stage] == pytest.approx(figures)


def test_the_number_of_negatives_stays(trained):
    """MP4SR's contrast on two processes is that of the whole batch; a batch of half the size has a lower one."""
    rows, _, _ = json.loads((trained / "mp4sr 0.json").read_text())
    whole = train("mp4sr", epochs=1)[1].rows[0]["nip text"]
    half = train("mp4sr", {"batch_size": 32}, epochs=1)[1].rows[0]["nip text"]
    assert rows[0]["nip text"] == pytest.approx(whole, rel=1e-5)
    assert whole - half > 0.05


def test_what_one_process_writes(trained):
    """The checkpoint is there once and whole, and no half-written file is left."""
    assert [file.name for file in (trained / "kept").iterdir()] == ["checkpoint.safetensors"]
    assert len(load_file(trained / "kept" / "checkpoint.safetensors")) > 0


def test_the_command_line_starts_its_own_processes(tmp_path):
    """`mmrec run --devices 2` prints one result and writes one, in agreement with one process's."""
    whole_shop().save(tmp_path / "shop")
    command = [sys.executable, "-m", "mmrec_lite.cli", "run", "micro", "--data", str(tmp_path / "shop"), "--json"]
    command += ["--protocol", "given", "--set", "epochs=2", "--set", "dim=8", "--device", "cpu", "--devices", "2"]
    done = subprocess.run(
        [*command, "--save", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    alone = mm.run("micro", tmp_path / "shop", protocol="given", epochs=2, dim=8, device="cpu")
    assert {k: row[k] for k in alone.metrics} == pytest.approx(alone.metrics, abs=0.03)  # float32: ranks may swap
    (saved,) = (tmp_path / "out").glob("*/row.json")
    assert json.loads(saved.read_text())["id"] == row["id"] == alone.row["id"]


def test_a_strategy_that_parts_the_model_is_refused(monkeypatch):
    """A sentence instead of a crash in the middle of the first step."""
    monkeypatch.setenv("LT_STRATEGY", "fsdp")
    with pytest.raises(ValueError, match="only ddp"):
        parallel.start("cpu")


def test_every_row_is_taken_once():
    """Shares are disjoint and whole, weights add up to 1, and a batch too small to part is everybody's."""
    batch = Triples(torch.arange(10), torch.arange(10, 20), torch.arange(30).view(10, 3))
    parts = [parallel.take_share(batch, rank, 3) for rank in range(3)]
    for column, of_all in enumerate(batch):
        assert torch.equal(torch.cat([part[column] for part, _, _ in parts]), of_all)
    assert sum(weight for _, _, weight in parts) == pytest.approx(1)
    alone = Triples(*(column[:2] for column in batch))
    assert parallel.take_share(alone, 1, 3) == (alone, None, pytest.approx(1 / 3))


def test_drawn_numbers_are_those_of_one_process():
    """The parts of what three processes drop out make up what one process drops out, views side by side too."""
    x = torch.ones(2 * 9, 4)
    torch.manual_seed(0)
    whole = torch.nn.functional.dropout(x, 0.4).view(2, 9, 4)
    parts = []
    for rank in range(3):
        _, share, _ = parallel.take_share(torch.arange(9), rank, 3)
        torch.manual_seed(0)
        with parallel.taking(share):
            parts.append(parallel.dropout(torch.ones(2 * 3, 4), 0.4).view(2, 3, 4))
    assert torch.equal(torch.cat(parts, dim=1), whole)
