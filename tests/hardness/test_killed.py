"""SIGKILL at random moments, disks that are full or closed, two writers at once: nothing half is read as whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.training import CheckpointError
from tests.hardness.worlds import small, whole_shop

REPOSITORY = Path(__file__).resolve().parents[2]
FIRST = """
import mmrec_lite as mm
from lightning_fabric import Fabric
from safetensors.torch import save_file
from mmrec_lite.data import MultimodalDataset
from tests.hardness.worlds import small, whole_shop
shops = [whole_shop(seed) for seed in (0, 1)]
split = mm.split(shops[0], "given")
"""
TRAIN = """
model = mm.create(sys.argv[1], split, seed=3, **small(sys.argv[1], epochs=12))
print("ready", flush=True)
mm.fit(model, split, checkpoint=sys.argv[2], progress=False)
save_file({n: t.contiguous() for n, t in model.state_dict().items()}, sys.argv[3])
"""

SAVE = """
print("ready", flush=True)
while True:
    for shop in shops:
        shop.save(sys.argv[1], overwrite=True)
"""


def start(program: str, *arguments: str) -> subprocess.Popen:
    """Run a program that says "ready" when the part to be killed begins."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, env=environment,
    )  # fmt: skip
    if process.stdout.readline() != "ready\n":
        raise AssertionError(process.communicate()[1])
    return process


@pytest.mark.slow
@pytest.mark.parametrize("name", ["micro", "mcptr"])
def test_a_killed_training_ends_where_an_unbroken_one_does(name, tmp_path, nursery, tried):
    from safetensors.torch import load_file

    draw = random.Random(name)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    work = nursery(FIRST)
    begun = time.perf_counter()
    assert work.run(TRAIN, name, str(tmp_path / "a"), str(whole)) == 0, work.said()
    length = time.perf_counter() - begun
    kills = 0
    for _ in range(8):
        kills += work.run(TRAIN, name, str(tmp_path / "b"), str(broken), kill_after=draw.uniform(0, 0.4) * length) == -9
    assert work.run(TRAIN, name, str(tmp_path / "b"), str(broken)) == 0, work.said()
    assert kills >= 2
    first, second = load_file(whole), load_file(broken)
    assert all(torch.equal(first[key], second[key]) for key in first | second)
    tried("SIGKILL during `fit`", kills, "resumes, final weights equal bit by bit")


INTERRUPTED = """
import signal, sys, mmrec_lite as mm
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without it
from tests.hardness.worlds import small, whole_shop
split = mm.split(whole_shop(), "given")
model = mm.create(sys.argv[1], split, **small(sys.argv[1], epochs=5000) | {"patience": 5000})
print("ready", flush=True)
try:
    mm.fit(model, split, progress=False, callback=lambda row: print(row["epoch"], flush=True))
except KeyboardInterrupt:
    best = model.history.best["joint"]["metric"]
    now = mm.evaluate(model, split, part="valid", ks=(20,)).metrics["recall@20"]
    print("usable", len(model.history.frame) > 0, abs(best - now) < 1e-9, model.history.stopped, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_at_any_moment_leaves_a_usable_model(tried):
    draw = random.Random(4)
    for _ in range(3):
        process = start(INTERRUPTED, "micro")
        assert process.stdout.readline() == "1\n"  # one epoch is over
        time.sleep(draw.uniform(0, 0.5))
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=300)
        assert out.endswith("usable True True {'joint': 'interrupted'}\n"), (out, errors)
    tried("Ctrl-C (SIGINT) during `fit`", 3, "best state restored, history kept")


def test_a_killed_save_leaves_a_whole_data_set(tmp_path, nursery, tried):
    draw, hashes = random.Random(1), {whole_shop(seed).hash for seed in (0, 1)}
    shop, kills, work = tmp_path / "shop", 20, nursery(FIRST)
    whole_shop().save(shop)
    for _ in range(kills):
        assert work.run(SAVE, str(shop), kill_after=draw.uniform(0.02, 0.2)) == -9, work.said()
        left = sorted(tmp_path.glob(".shop.*.old"), key=lambda folder: folder.stat().st_mtime)
        if not shop.exists():  # killed between two renames: the former data set lies beside, whole
            left.pop().rename(shop)
        assert MultimodalDataset.load(shop).hash in hashes
        for folder in left:
            shutil.rmtree(folder)
    whole_shop().save(shop, overwrite=True)
    assert MultimodalDataset.load(shop).hash == whole_shop().hash
    tried("SIGKILL during `MultimodalDataset.save`", kills, "the old or the new data set, whole")


def test_a_checkpoint_cut_anywhere_is_refused(tmp_path, tried):
    split = mm.split(whole_shop(), "given")
    mm.fit(mm.create("mf", split, **small("mf")), split, epochs=1, checkpoint=tmp_path, progress=False)
    file = tmp_path / "checkpoint.safetensors"
    whole = file.read_bytes()
    draw = random.Random(0)
    lengths = sorted({0, 1, 7, 8, 9, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(40))})
    for length in lengths:
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            mm.fit(mm.create("mf", split, **small("mf")), split, checkpoint=tmp_path, progress=False)
    tried("truncated checkpoint", len(lengths), "refused: is not a whole checkpoint")


FULL = """
import sys, resource, signal, mmrec_lite as mm
from tests.hardness.worlds import small, whole_shop
shop = whole_shop()
split = mm.split(shop, "given")
model = mm.create("mf", split, **small("mf"))
print("ready", flush=True)
mm.fit(model, split, epochs=1, checkpoint=sys.argv[1], progress=False)
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
else:
    with open(sys.argv[1] + "/filler", "wb", buffering=0) as filler:
        try:
            while filler.write(bytes(512)):
                pass
        except OSError:
            pass
try:
    mm.fit(mm.create("mf", split, **small("mf")), split, checkpoint=sys.argv[1], progress=False)
except OSError as error:
    print("refused", error.errno, flush=True)
try:
    shop.save(sys.argv[1] + "/shop")
except OSError as error:
    print("refused", error.errno, flush=True)
"""


def test_a_full_disk_costs_the_new_file_and_never_the_old_one(tmp_path, tried):
    """A file-size limit fails each write as a full disk does, without an administrator's rights."""
    process = start(FULL, str(tmp_path), "limit")
    out, errors = process.communicate()
    assert out.count("refused") == 2, errors
    check_untouched(tmp_path)
    tried("write refused by the system (file-size limit)", 2, "OSError; old file kept, nothing half left")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs an administrator")
def test_a_full_tmpfs(tmp_path, tried):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        process = start(FULL, str(disk), "fill")
        out, errors = process.communicate()
        assert out.count("refused 28") == 2, (out, errors)  # ENOSPC
        (disk / "filler").unlink()
        check_untouched(disk)
        tried("full disk (tmpfs)", 2, "OSError; old file kept, nothing half left")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def check_untouched(folder: Path) -> None:
    """The first epoch's checkpoint is there, whole; training goes on from it."""
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.safetensors"]
    split = mm.split(whole_shop(), "given")
    history = mm.fit(mm.create("mf", split, **small("mf")), split, checkpoint=folder, progress=False)
    assert len(history.rows) == 2


CLOSED = """
import os, sys, mmrec_lite as mm
from tests.hardness.worlds import small, whole_shop
shop = whole_shop()
split = mm.split(shop, "given")
mm.run("mf", shop, epochs=1)  # whatever is imported late is imported now: an administrator's Python may be closed too
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)
print("ready", flush=True)
for job in (lambda: mm.fit(mm.create("mf", split, **small("mf")), split, checkpoint=sys.argv[1], progress=False),
            lambda: shop.save(sys.argv[1] + "/shop"), lambda: mm.run("popularity", shop, save=sys.argv[1])):
    try:
        job()
    except OSError as error:
        print(type(error).__name__, error.filename is not None and sys.argv[1] in str(error.filename), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file modes mean something else there")
def test_a_folder_that_may_not_be_written_is_named(tmp_path, tried):
    closed = tmp_path / "closed"
    closed.mkdir()
    for folder in (*tmp_path.parents[:2], tmp_path):
        folder.chmod(folder.stat().st_mode | 0o055)
    closed.chmod(0o555)
    out, errors = start(CLOSED, str(closed)).communicate()
    assert out.splitlines() == ["PermissionError True"] * 3, (out, errors)
    tried("read-only folder: `fit`, `save`, `run`", 3, "PermissionError that names the folder")


def test_two_writers_of_one_folder(tmp_path, tried):
    writers = [start("import sys" + FIRST + SAVE, str(tmp_path / "shop")) for _ in range(2)]
    time.sleep(2)
    ended = [writer.poll() for writer in writers]
    for writer in writers:
        writer.kill()
    messages = [writer.communicate()[1] for writer in writers]
    for code, message in zip(ended, messages, strict=True):
        assert code is None or "DataError" in message, message
    if not (tmp_path / "shop").exists():
        max(tmp_path.glob(".shop.*.old"), key=lambda folder: folder.stat().st_mtime).rename(tmp_path / "shop")
    assert MultimodalDataset.load(tmp_path / "shop").hash in {whole_shop(seed).hash for seed in (0, 1)}
    tried("two processes saving to one folder", 2, "one of the two data sets, whole")


def test_a_data_set_with_a_flipped_byte_is_refused(tmp_path, tried):
    whole_shop().save(tmp_path / "shop")
    files = [f for f in sorted((tmp_path / "shop").rglob("*")) if f.is_file() and f.name != "dataset.json"]
    draw = random.Random(2)
    for file in files:
        whole = bytearray(file.read_bytes())
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=file.name):
            MultimodalDataset.load(tmp_path / "shop")
        file.write_bytes(whole)
    assert MultimodalDataset.load(tmp_path / "shop").hash == whole_shop().hash
    shutil.rmtree(tmp_path / "shop")
    tried("one flipped bit in a saved data set", len(files), "refused: SHA-256 differs, file named")
