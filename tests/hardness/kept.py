"""Own tables, and files that the library itself has written: small valid ones, and what reading them promises."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.data.readers import read_frames
from tests.hardness.formats import PAIRS, check_valid

NAMES = ("saved", "checkpoint", "tables")


@dataclass(frozen=True)
class Kept:
    """Files by name, how they are read from their folder, and the error that refuses them with a sentence."""

    files: dict[str, bytes]
    read: Callable[[Path], None]
    refusal: type[Exception]


def _read_saved(folder: Path) -> None:
    check_valid(MultimodalDataset.load(folder))


def _read_own(folder: Path) -> None:
    data = read_frames(folder / "rows.csv", folder / "items.csv", timestamp="timestamp", title="title")
    check_valid(data)


def _resume(folder: Path) -> None:
    mm.fit(mm.create("mf", _split(), dim=2), _split(), checkpoint=folder, stages=(), progress=False)


@cache
def _split() -> mm.Split:
    rows = [(u, i) for u in range(5) for i in range(6) if (u + i) % 4]
    return mm.split(read_frames(pd.DataFrame(rows, columns=["user", "item"])), "ratio", seed=0)


@cache
def kept(name: str) -> Kept:
    """What is changed, by its name in `NAMES`; only a checkpoint needs PyTorch."""
    if name == "tables":
        rows = "".join(f"u{u},i{i},{1_600_000_000 + n}\n" for n, (u, i) in enumerate(PAIRS))
        own = {
            "rows.csv": f"user,item,timestamp\n{rows}".encode(),
            "items.csv": b'item,title\ni0,"One, two"\ni1,B\ni2,C\n',
        }
        return Kept(own, _read_own, DataError)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        if name == "saved":
            _split().dataset.save(folder)
        else:
            mm.fit(mm.create("mf", _split(), dim=2), _split(), epochs=1, checkpoint=folder, progress=False)
        files = {f.name: f.read_bytes() for f in sorted(folder.iterdir())}
    return Kept(files, _read_saved, DataError) if name == "saved" else Kept(files, _resume, _checkpoint_error())


def _checkpoint_error() -> type[Exception]:
    from mmrec_lite.training import CheckpointError

    return CheckpointError


def held(name: str, changed: dict[str, bytes]) -> str | None:
    """Read with some files changed: None, or the sentence of the refusal; whatever else is raised breaks a promise."""
    known = kept(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file, content in (known.files | changed).items():
            (folder / file).write_bytes(content)
        try:
            known.read(folder)
        except known.refusal as error:
            words = str(error)
            assert len(words) > 20 and (str(folder) in words or any(file in words for file in known.files)), words
            return str(error)
    return None
