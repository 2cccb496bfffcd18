"""A disk that is full, or that may only be read, for whatever writes: an error, nothing half, and with space the whole.

`fit`, `save` and `run` stand in test_killed.py.
"""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mmrec_lite as mm
from mmrec_lite.cli import app
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.download import fetch
from mmrec_lite.experiments import collect
from mmrec_lite.features import TextEncoder
from mmrec_lite.features.cache import VectorCache
from tests.data.test_download import CONTENT, Server
from tests.hardness.formats import FORMATS
from tests.tiny import tiny_shop

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@dataclass
class Disk:
    """A folder that can be closed, so that nothing more fits or may be written, and opened again."""

    folder: Path
    close: Callable[[int], None]  # bytes that still fit
    open: Callable[[], None]
    errors: tuple[str, ...]  # one of them is in what is said


@pytest.fixture(params=["full", "read-only"])
def disk(request, tmp_path) -> Iterator[Disk]:
    """A tmpfs of 2 MiB; without an administrator's rights a folder's mode, for which no disk can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not ROOT:
        if request.param == "full" or sys.platform == "win32":
            pytest.skip("mounting needs an administrator")
        inside = lambda mode: [p.chmod(mode) for p in [*folder.rglob("*"), folder] if p.is_dir()]  # noqa: E731
        yield Disk(
            folder, lambda left: inside(0o555), lambda: inside(0o755), ("Permission denied", "cannot be written to")
        )
        inside(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    filler = folder / ".filler"

    def fill(left: int) -> None:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        os.truncate(filler, max(0, filler.stat().st_size - left))

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

    try:
        if request.param == "full":
            yield Disk(folder, fill, filler.unlink, ("No space left",))
        else:
            yield Disk(
                folder,
                lambda left: remount("ro"),
                lambda: remount("rw"),
                ("Read-only file system", "cannot be written to"),
            )
    finally:
        gc.collect()  # the error of a Parquet file half written holds it open
        subprocess.run(["umount", str(folder)], check=True)


def note(tried, disk: Disk) -> None:
    ends = "an error that says so; ends with space"
    if disk.errors == ("No space left",):
        tried("full disk (tmpfs): `sweep`, feature cache, `mmrec data prepare`, download", 1, ends)
    else:
        tried("read-only disk: `sweep`, feature cache, `mmrec data prepare`, download", 1, ends)


def said(disk: Disk, words: str) -> bool:
    return any(error in words for error in disk.errors)


FIXED = {"epochs": 1, "progress": False, "dim": 2}


def test_a_sweep_keeps_the_runs_it_could_write(disk, tried):
    shop, place = tiny_shop(), disk.folder / "runs"
    grid = {"l2": [0.0, 0.1, 0.2]}
    whole = mm.sweep("mf", shop, grid=grid, **FIXED)
    mm.sweep("mf", shop, grid={"l2": [0.0]}, save=place, **FIXED)
    disk.close(0)
    broken = mm.sweep("mf", shop, grid=grid, save=place, **FIXED)
    # The run that lies there cannot be claimed where nothing may be written; nothing of the others is read as a run.
    assert broken["error"].notna().tolist()[1:] == [True, True] and said(disk, broken["error"][2]), broken["error"]
    assert len(collect(place)) == 1
    disk.open()
    mended = mm.sweep("mf", shop, grid=grid, save=place, **FIXED)
    assert "error" not in mended
    metrics = [name for name in whole if "@" in name]
    pd.testing.assert_frame_equal(mended[metrics], whole[metrics], check_exact=True)
    assert len(collect(place)) == 3
    note(tried, disk)


class Hashing(TextEncoder):
    """A text's vector is made of its SHA-256: no model is loaded, and every text is told apart."""

    fingerprint = "f" * 64

    def _encode(self, texts, progress):
        self.encoded += len(texts)
        return np.array([np.frombuffer(hashlib.sha256(t.encode()).digest(), np.uint8) for t in texts], np.float32)


def test_the_encoding_cache_keeps_the_shards_it_could_write(disk, tried, monkeypatch):
    monkeypatch.setattr("mmrec_lite.features.text._SHARD", 2)
    texts = [f"text {n}" for n in range(400)]
    encoder = Hashing(cache=disk.folder / "cache", batch_size=16)
    expected = Hashing().encode(texts)
    encoder.encode(texts[:64])
    disk.close(8192)
    with pytest.raises(OSError) as raised:
        encoder.encode(texts)
    assert said(disk, str(raised.value))
    kept = len(VectorCache(disk.folder / "cache", encoder.fingerprint))
    assert 64 <= kept < 400 and kept % 32 == 0, "whole shards"
    disk.open()
    encoder.encoded = 0
    assert np.array_equal(encoder.encode(texts), expected) and encoder.encoded == 400 - kept
    note(tried, disk)


def test_prepare_writes_the_whole_data_set_or_none(disk, tried, tmp_path):
    for name, content in FORMATS["amazon-2018"].files.items():
        (tmp_path / name).write_bytes(content)
    given = ["--reviews", str(tmp_path / "reviews.json"), "--meta", str(tmp_path / "meta.json")]
    command = ["data", "prepare", "amazon-2018", *given, "--min-user", "1", "--min-item", "1", "--out"]
    runner = CliRunner()
    assert runner.invoke(app, [*command, str(tmp_path / "whole")], catch_exceptions=False).exit_code == 0
    disk.close(8192)
    result = runner.invoke(app, [*command, str(disk.folder / "set")])
    words = result.output + str(result.exception)
    assert result.exit_code and said(disk, words), words
    assert [path.name for path in disk.folder.iterdir() if path.name != ".filler"] == []
    disk.open()
    assert runner.invoke(app, [*command, str(disk.folder / "set")]).exit_code == 0
    assert MultimodalDataset.load(disk.folder / "set").hash == MultimodalDataset.load(tmp_path / "whole").hash
    note(tried, disk)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


def test_a_download_goes_on_when_there_is_space(disk, tried, server, monkeypatch):
    monkeypatch.setattr("mmrec_lite.data.download._BLOCK", 1 << 14)
    place = disk.folder / "raw"
    place.mkdir()
    disk.close(100 * 1024)
    with pytest.raises((DataError, OSError)) as raised:
        fetch(server.url, place, wait=0)
    assert said(disk, str(raised.value))
    assert not (place / "file.bin").exists(), "half a file under the whole one's name"
    part = place / "file.bin.partial"
    before = part.stat().st_size if part.exists() else 0
    assert before < len(CONTENT)
    disk.open()
    server.asked.clear()
    assert fetch(server.url, place, wait=0).read_bytes() == CONTENT
    assert server.asked == [f"bytes={before}-" if before else None]
    assert [path.name for path in place.iterdir()] == ["file.bin"]
    note(tried, disk)
