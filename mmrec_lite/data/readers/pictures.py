"""Find each item's picture in a folder or zip archive."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

import pandas as pd

from ..errors import DataError
from .tables import require_column

__all__ = ["match_pictures", "normal", "picture_paths"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


def match_pictures(
    images: str | Path, catalogue: pd.DataFrame, catalogue_name: str, column: str | None
) -> tuple[pd.DataFrame, str]:
    """The catalogue with column `image` (a path below `images`, "" for none), and a sentence for the card.

    Without `column` and without a column `image` pictures are called after the item's id, and an item
    may have none; a file that a column names must be there. Raises `DataError` where nothing fits.
    """
    root = Path(images)
    paths = picture_paths(root)
    if column is not None:
        require_column(catalogue, catalogue_name, column, "image")
    elif "image" in catalogue:
        column = "image"
    wanted = catalogue[column or "item_id"].astype(object)
    wanted = wanted.where(wanted.notna(), "").map(str)
    by_name = _lookup(paths, set(wanted.map(normal)), root)
    found = wanted.map(lambda name: by_name.get(name) or by_name.get(normal(name), ""))
    lost = (wanted != "") & (found == "")
    if column is not None and lost.any():
        row = int(lost.to_numpy().argmax())
        raise DataError(
            f"{catalogue_name}: row {row} names the image {wanted[row]!r}, which is not in {root} "
            f"({int(lost.sum())} such rows). Add the files, or empty these cells."
        )
    if not (found != "").any():
        raise DataError(
            f"images: none of the {len(paths)} pictures in {root} is called after an item id, such as "
            f"{catalogue['item_id'].iloc[0]!r}. Name the column with the file names: image=... (--image)."
        )
    count = int((found != "").sum())
    unused = len(set(paths) - set(found))
    note = f"pictures: {count} of {len(catalogue)} items have one, {unused} files belong to no item"
    return catalogue.assign(image=found), note


def normal(name: str) -> str:
    """A name with its accents in one way: macOS writes é as two characters, most others as one."""
    return unicodedata.normalize("NFC", name)


def picture_paths(root: Path) -> list[str]:
    """All pictures below `root`, sorted, as paths with forward slashes."""
    if root.is_dir():
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    else:
        raise DataError(f"images: {root} is neither a folder nor a zip archive.")
    return sorted(name for name in names if name.lower().endswith(SUFFIXES))


def _lookup(paths: list[str], wanted: set[str], root: Path) -> dict[str, str]:
    """What items may call a picture, with or without its ending, and the path that is meant.

    The names are `normal`, as those `wanted` must be; a path stands there in its own spelling, too.
    """
    by_name: dict[str, str] = {}
    for path in paths:
        stem = normal(str(PurePosixPath(path).with_suffix("")))
        if stem in by_name and stem in wanted:
            raise DataError(
                f"images: {by_name[stem]!r} and {path!r} in {root} both fit {stem!r}; keep one of them, or "
                f"write the ending in the items' `image` column."
            )
        by_name[stem] = path
    return by_name | {normal(path): path for path in paths} | {path: path for path in paths}
