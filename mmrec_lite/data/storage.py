"""A data set on disk: one folder of Parquet tables, npy arrays, a zip of pictures and `dataset.json`."""

from __future__ import annotations

import errno
import glob
import hashlib
import io
import json
import os
import shutil
import uuid
import warnings
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .errors import DataError, first
from .vectors import IndexedVectors

if TYPE_CHECKING:
    from PIL import Image

    from .dataset import MultimodalDataset

FORMAT = "mmrec_lite dataset"
VERSION = 1
INDEX = "dataset.json"
# Of all that Pillow opens: an EPS called a.jpg would start Ghostscript. JPEG covers MPO, as telephones write it.
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jfif"), "PNG": (".png",), "WEBP": (".webp",), "GIF": (".gif",), "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}  # fmt: skip
PICTURE_FORMATS = tuple(_ENDINGS)
PICTURE_SUFFIXES = tuple(suffix for endings in _ENDINGS.values() for suffix in endings)
MASTER_SUFFIXES = _ENDINGS["TIFF"]  # the photographer's original, often beside the picture that shops show
LARGEST_PICTURE = 2**28  # bytes; an archive of a few kilobytes can unpack to as many gigabytes
_TABLES = ("users", "items", "interactions")
_NAMES = {INDEX, "images.zip", "features", "present", "truth", "sequences", *(f"{name}.parquet" for name in _TABLES)}
_KEYS = {  # of the index -> what stands there
    "name": str, "card": dict, "features": list, "truth": list, "sequences": dict, "texts": list,
    "images": str | None, "hash": str, "sha256": dict,
}  # fmt: skip


def save(dataset: MultimodalDataset, folder: Path, *, overwrite: bool) -> Path:
    """Write beside, then rename: a run that is cut short leaves the old folder as it was.

    Through a link the folder that it leads to is written.
    """
    asked, folder = folder.absolute(), folder.resolve()
    unique = uuid.uuid4().hex[:12]  # not the process's number: in a container each run may have the same
    partial = folder.with_name(f".{folder.name}.{unique}.partial")
    old = folder.with_name(f".{folder.name}.{unique}.old")
    try:
        refuse_occupied(asked, overwrite)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        _write(dataset, partial)
        _archive.cache_clear()  # Windows renames no folder with an open file in it, such as the pictures just copied
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY) or not folder.parent.is_dir():
            raise
        raise DataError(
            f"save: {folder} came or went while it was being written, so another process saves there too; give each a "
            f"folder of its own."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    return asked


def refuse_occupied(folder: Path, overwrite: bool) -> None:
    """Raise ``DataError`` for a folder that a data set must not be written to."""
    if folder.is_file():
        raise DataError(f"save: {folder} is a file; name a folder.")
    if os.path.ismount(folder.resolve()):
        raise DataError(f"save: {folder} is a mount point, which no other folder can replace; name a folder inside it.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise DataError(f"save: {folder} is not empty; choose another folder or pass overwrite=True (--overwrite).")
    if not (folder / INDEX).is_file():
        raise DataError(
            f"save: {folder} holds files but no {INDEX}, so it is not a saved data set and will not be "
            f"overwritten; choose another folder."
        )
    if strangers := _strangers(folder):
        raise DataError(
            f"save: {folder} holds {first(strangers)}, which the data set did not put there and overwriting would "
            f"delete; move it out of the folder, or choose another one."
        )


def _strangers(folder: Path) -> list[str]:
    """What lies in a data set's folder and is none of its files; hidden ones, such as a file browser's, do not count.

    Of a data set whose index is damaged only the names of its files and folders are known.
    """
    try:
        written = {INDEX, *json.loads((folder / INDEX).read_text(encoding="utf-8"))["sha256"]}
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    tops = _NAMES if written is None else {name.split("/")[0] for name in written}
    found = set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        top, hidden = name.split("/")[0], any(part.startswith(".") for part in name.split("/"))
        if hidden or (path.is_dir() and any(path.iterdir())):
            continue
        if top not in tops:
            found.add(top)
        elif written is not None and name not in written:
            found.add(name)
    return sorted(found)


def _write(dataset: MultimodalDataset, folder: Path) -> None:
    for table in _TABLES:
        getattr(dataset, table).to_parquet(folder / f"{table}.parquet", index=False, compression="zstd")
    for kind in ("features", "present", "truth"):
        for name, values in getattr(dataset, kind).items():
            _save_array(folder / kind / f"{name}.npy", values)
    for name, vectors in dataset.sequences.items():
        _save_array(folder / "sequences" / f"{name}.vectors.npy", vectors.vectors)
        _save_array(folder / "sequences" / f"{name}.index.npy", vectors.index)
    for name, words in dataset.texts.items():
        table = pd.DataFrame({"text": words}, dtype=object if not words else None)
        table.to_parquet(folder / "sequences" / f"{name}.texts.parquet", index=False, compression="zstd")
    if dataset.image_root is not None:
        _save_images(dataset, folder / "images.zip")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    index = {
        "format": FORMAT,
        "version": VERSION,
        "name": dataset.name,
        "card": dataset.card,
        "features": list(dataset.features),
        "truth": list(dataset.truth),
        "sequences": {name: vectors.rows for name, vectors in dataset.sequences.items()},
        "texts": list(dataset.texts),
        "images": "images.zip" if dataset.image_root is not None else None,
        "hash": dataset.hash,
        "sha256": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _save_array(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    np.save(path, values, allow_pickle=False)


def _save_images(dataset: MultimodalDataset, target: Path) -> None:
    """Copy an archive as it is; of a folder, store only the pictures that items name."""
    if dataset.image_root.is_file():
        shutil.copyfile(dataset.image_root, target)
        return
    columns = {}  # name -> the column that names it
    if "images" in dataset.items:  # all pictures of an item, separated by "|"
        several = dataset.items["images"].dropna()
        columns = {name: "images" for entry in several for name in str(entry).split("|")}
    if "image" in dataset.items:
        columns |= dict.fromkeys(dataset.items["image"].dropna(), "image")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(columns.keys() - {""}):
            member = zipfile.ZipInfo(name)  # its fixed date makes the archive the same whenever it is written
            member.external_attr = 0o644 << 16  # or whoever unpacks it could not read the pictures
            archive.writestr(member, image_bytes(dataset.image_root, name, columns[name]))


def read(folder: Path) -> dict:
    """The keyword arguments of the data set that lies in `folder`, after all its files have been verified."""
    index = _read_index(folder)
    _require_listed(folder, index)
    _verify(folder, index["sha256"])
    kept: dict = {"name": index["name"], "card": index["card"]}
    for table in _TABLES:
        kept[table] = pd.read_parquet(folder / f"{table}.parquet")
    for kind, names in (("features", "features"), ("present", "features"), ("truth", "truth")):
        kept[kind] = {name: _load_array(folder / kind / f"{name}.npy") for name in index[names]}
    kept["sequences"] = {
        name: IndexedVectors(
            vectors=_load_array(folder / "sequences" / f"{name}.vectors.npy"),
            index=_load_array(folder / "sequences" / f"{name}.index.npy"),
            rows=rows,
        )
        for name, rows in index["sequences"].items()
    }
    kept["texts"] = {
        name: pd.read_parquet(folder / "sequences" / f"{name}.texts.parquet")["text"].tolist()
        for name in index["texts"]
    }
    kept["image_root"] = folder / index["images"] if index["images"] else None
    return kept


def _read_index(folder: Path) -> dict:
    path = folder / INDEX
    if not path.is_file():
        place = folder.resolve()  # beside which `save` writes
        left = sorted(place.parent.glob(f".{glob.escape(place.name)}.*.old/{INDEX}"))
        if left and not folder.exists():
            raise DataError(
                f"{folder}: a run that was to replace this data set was killed. The former one lies whole in "
                f"{left[-1].parent}: give it its name again."
            )
        raise DataError(
            f"{folder}: there is no {INDEX} in it. A data set's folder is written by MultimodalDataset.save "
            f"or `mmrec data prepare`."
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not readable as JSON ({error}); write the data set again.") from None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{path}: this file does not describe an mmrec_lite data set.")
    if index.get("version") != VERSION:
        raise DataError(
            f"{path}: written in format version {index.get('version')}, this mmrec_lite reads version "
            f"{VERSION}. Write the data set again with this version, or install the one that wrote it."
        )
    for key, kind in _KEYS.items():
        if not isinstance(index.get(key), kind):
            raise DataError(f"{path}: {key!r} is missing or damaged; write the data set again.")
    return index


def _require_listed(folder: Path, index: dict) -> None:
    """Every file that the index asks for has a hash in it, and lies in the folder."""
    asked = [f"{table}.parquet" for table in _TABLES]
    asked += [f"{kind}/{name}.npy" for kind in ("features", "present") for name in index["features"]]
    asked += [f"truth/{name}.npy" for name in index["truth"]]
    asked += [f"sequences/{name}.{part}.npy" for name in index["sequences"] for part in ("vectors", "index")]
    asked += [f"sequences/{name}.texts.parquet" for name in index["texts"]]
    asked += [index["images"]] if index["images"] else []
    for name in asked:
        if name not in index["sha256"] or ".." in name.split("/") or Path(name).is_absolute():
            raise DataError(f"{folder / INDEX}: {name!r} is asked for, but not listed; write the data set again.")


def _verify(folder: Path, hashes: dict[str, str]) -> None:
    for name, expected in hashes.items():
        if not (folder / name).is_file():
            raise DataError(f"{folder}: {name} is missing; write the data set again.")
        if file_hash(folder / name) != expected:
            raise DataError(f"{folder}: {name} is not the file that was saved (SHA-256 differs); write it again.")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_array(path: Path) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def image_bytes(root: Path, name: str, column: str = "image") -> bytes:
    """The bytes of one picture below a folder or inside a zip archive; `column` is who named it, for the message."""
    path, packed = _path_inside(root, name), root.is_file()
    if not packed:
        refuse_link_outside(root, path)
    try:
        if not packed:
            size, read = (root / path).stat().st_size, (root / path).read_bytes
        else:
            archive = _archive(root, root.stat().st_mtime_ns)
            size, read = archive.getinfo(name).file_size, lambda: archive.read(name)
        if size <= LARGEST_PICTURE:
            return read()
    except (KeyError, FileNotFoundError, NotADirectoryError):
        raise DataError(f"image {name!r} is not in {root}; correct the items' `{column}` column.") from None
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"image {name!r} in {root} cannot be read ({error}); mend the file, or take it out of the items' "
            f"`{column}` column."
        ) from None
    raise DataError(f"image {name!r} has {size:,} bytes; more than {LARGEST_PICTURE:,} are no product's picture.")


def _path_inside(root: Path, name: str) -> PurePosixPath:
    path, on_windows = PurePosixPath(name), PureWindowsPath(name)  # refused everywhere: data sets travel
    if path.is_absolute() or on_windows.anchor or ".." in path.parts + on_windows.parts:
        raise DataError(
            f"image {name!r}: a picture's path must stay inside {root.name}, on Windows, too (where a backslash parts "
            f"folders and a colon ends a drive's name); make it relative to it, or rename the picture."
        )
    return path


class LinkOutside(DataError):
    """A picture that is a link out of its folder, or lies behind one."""


def refuse_link_outside(root: Path, path: PurePosixPath | str) -> None:
    """Raise ``LinkOutside`` where a link below the folder leads out of it: any file could be saved as a picture."""
    steps = [PurePosixPath(path), *PurePosixPath(path).parents[:-1]]
    if os.name != "nt" and not any(os.path.islink(root / step) for step in steps):  # Windows has junctions, too
        return  # resolving would look at every folder above the root, too, for each of a million pictures
    try:
        inside = (root / path).resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):  # no name of a file, or links in a circle: whoever reads it says so
        return
    if not inside:
        raise LinkOutside(
            f"image {str(path)!r} in {root} is a link, or lies behind one, that leads out of it; put the picture "
            f"itself there, or copy the folder with its links resolved: cp -rL."
        )


@lru_cache(maxsize=8)
def _archive(path: Path, changed_ns: int) -> zipfile.ZipFile:
    # Kept open: reading the directory of an archive for each picture would cost more than the picture.
    return zipfile.ZipFile(path)


def open_image(root: Path, name: str, item: int) -> Image.Image:
    """Decode one picture; the message of a failure names the item."""
    from PIL import Image

    try:
        with warnings.catch_warnings():  # Pillow refuses what is twice its limit of pixels, and warns of the rest
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(image_bytes(root, name)), formats=PICTURE_FORMATS)
            picture.load()
    except (DataError, MemoryError):  # too little memory is no fault of the file
        raise
    except Exception as error:  # Pillow's decoders raise whatever damaged bytes lead them to
        raise DataError(f"items: the image {name!r} of item {item} cannot be decoded ({error}).") from None
    return picture
