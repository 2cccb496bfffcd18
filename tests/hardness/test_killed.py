"""SIGKILL at random moments, disks that are full or closed, two writers at once: nothing half is read as whole."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.training import CheckpointError
from tests.hardness.nursery import Nursery
from tests.hardness.worlds import small, whole_shop

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
with open(sys.argv[4], "a") as trained:
    def note(row):
        print(row["stage"], row["epoch"], file=trained, flush=True)
        print("an epoch", flush=True)
    mm.fit(model, split, checkpoint=sys.argv[2], progress=False, callback=note)
save_file({n: t.contiguous() for n, t in model.state_dict().items()}, sys.argv[3])
"""

SAVE = """
print("ready", flush=True)
while True:
    for shop in shops:
        shop.save(sys.argv[1], overwrite=True)
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """One import for all programs of this file."""
    with Nursery.opened(tmp_path_factory.mktemp("nursery"), FIRST) as nursery:
        yield nursery


@pytest.mark.slow
@pytest.mark.parametrize("name", ["micro", "mcptr"])
def test_a_killed_training_ends_where_an_unbroken_one_does(name, tmp_path, work, tried):
    from safetensors.torch import load_file

    draw = random.Random(name)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    begun = time.perf_counter()
    assert work.run(TRAIN, name, str(tmp_path / "a"), str(whole), str(tmp_path / "all epochs")) == 0, work.said()
    length = time.perf_counter() - begun
    arguments, kills = (name, str(tmp_path / "b"), str(broken), str(tmp_path / "epochs")), 0
    for after in ["ready\n", "an epoch\n"] * 4:  # half of them certainly leave something to go on from
        kills += work.run(TRAIN, *arguments, kill_after=draw.uniform(0, 0.1) * length, after=after) == -9
    before = len((tmp_path / "epochs").read_text().splitlines())
    assert work.run(TRAIN, *arguments) == 0, work.said()
    assert kills >= 2
    epochs, trained = ((tmp_path / file).read_text().splitlines() for file in ("all epochs", "epochs"))
    assert before and trained == [epoch for epoch in epochs if epoch in trained]  # none that was saved is trained again
    first, second = load_file(whole), load_file(broken)
    assert all(torch.equal(first[key], second[key]) for key in first | second)
    tried("SIGKILL during `fit`", kills, "resumes, final weights equal bit by bit")


INTERRUPTED = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without it
settings = small(sys.argv[1], epochs=5000) | {"patience": 5000, "monitor": "ndcg@3", "lr": 0.2}
model = mm.create(sys.argv[1], split, seed=2, **settings)
print("ready", flush=True)
try:
    mm.fit(model, split, progress=False, callback=lambda row: print(row["epoch"], flush=True))
except KeyboardInterrupt:
    best, last = model.history.best["joint"]["metric"], model.history.rows[-1]["valid ndcg@3"]
    now = mm.evaluate(model, split, part="valid", ks=(3,)).metrics["ndcg@3"]
    print("last", "worse" if last < best else "best", flush=True)
    print("usable", len(model.history.frame) > 0, abs(best - now) < 1e-9, model.history.stopped, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_at_any_moment_leaves_a_usable_model(work, tried):
    draw, worse = random.Random(4), 0
    for _ in range(3):  # three epochs are over: with this seed the second is the best of the first fourteen
        moment = draw.uniform(0, 0.5)
        code = work.run(INTERRUPTED, "micro", kill_after=moment, after="\n3\n", sent=signal.SIGINT)
        assert code == 0 and work.said().endswith("usable True True {'joint': 'interrupted'}\n"), work.said()
        worse += "last worse\n" in work.said()
    assert worse  # there was something to restore
    tried("Ctrl-C (SIGINT) during `fit`", 3, "best state restored, history kept")


def test_a_killed_save_leaves_a_whole_data_set(tmp_path, work, tried):
    draw, hashes = random.Random(1), {whole_shop(seed).hash for seed in (0, 1)}
    shop, kills = tmp_path / "shop", 20
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
import resource
model = mm.create("mf", split, **small("mf"))
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
    shops[0].save(sys.argv[1] + "/shop")
except OSError as error:
    print("refused", error.errno, flush=True)
"""


def test_a_full_disk_costs_the_new_file_and_never_the_old_one(tmp_path, work, tried):
    """A file-size limit fails each write as a full disk does, without an administrator's rights."""
    assert work.run(FULL, str(tmp_path), "limit") == 0, work.said()
    assert work.said().count("refused") == 2, work.said()
    check_untouched(tmp_path)
    tried("write refused by the system (file-size limit)", 2, "OSError; old file kept, nothing half left")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs an administrator")
def test_a_full_tmpfs(tmp_path, work, tried):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        assert work.run(FULL, str(disk), "fill") == 0, work.said()
        assert work.said().count("refused 28") == 2, work.said()  # ENOSPC
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
import os
shop = shops[0]
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
def test_a_folder_that_may_not_be_written_is_named(tmp_path, work, tried):
    closed = tmp_path / "closed"
    closed.mkdir()
    for folder in (*tmp_path.parents[:2], tmp_path):
        folder.chmod(folder.stat().st_mode | 0o055)
    closed.chmod(0o555)
    assert work.run(CLOSED, str(closed)) == 0, work.said()
    assert work.said().split("ready\n")[1].splitlines() == ["PermissionError True"] * 3, work.said()
    tried("read-only folder: `fit`, `save`, `run`", 3, "PermissionError that names the folder")


WRITERS = """
import os, signal, time
from mmrec_lite.data import DataError
writers = [os.fork()]
if writers[0]:
    writers.append(os.fork())
if not writers[-1]:
    print("ready", flush=True)
    try:
        while True:
            for shop in shops:
                shop.save(sys.argv[1], overwrite=True)
    except DataError:
        os._exit(3)
time.sleep(2)
for writer in writers:
    os.kill(writer, signal.SIGKILL)
codes = [os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]) for writer in writers]
assert set(codes) <= {-9, 3}, codes
"""


def test_two_writers_of_one_folder(tmp_path, work, tried):
    assert work.run(WRITERS, str(tmp_path / "shop")) == 0, work.said()
    assert work.said().count("ready\n") == 2, work.said()
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
