"""Find each item's pictures in a folder or zip archive."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from ..errors import DataError
from ..storage import PICTURE_SUFFIXES, refuse_link_outside
from .tables import named_by, require_column, words

__all__ = ["match_pictures", "normal", "picture_paths", "pictures_by_item"]


def match_pictures(
    images: str | Path, catalogue: pd.DataFrame, catalogue_name: str, column: str | None
) -> tuple[pd.DataFrame, str]:
    """The catalogue with column `image` (a path below `images`, "" for none), and a sentence for the card.

    Without `column` and without a column `image` pictures are called after the item's id (`pictures_by_item`), and an
    item may have none; where one has several, the column `images` names all, separated by "|" (a table's own column of
    that name becomes `images_given`). A file that a column names must be there. Raises `DataError` where nothing fits.
    """
    root = Path(images)
    paths = picture_paths(root)
    if column is not None:
        require_column(catalogue, catalogue_name, column, named_by("image"))
    elif "image" in catalogue:
        column = "image"
    own = "images" in catalogue  # it may hold counts, addresses, anything: not what `images` means from here on
    wanted = words(catalogue[column]) if column is not None else None
    catalogue = catalogue.rename(columns={"images": "images_given"})
    if wanted is None:
        found, note = _called_after(root, paths, catalogue)
    else:
        found, note = _named(root, paths, catalogue, catalogue_name, wanted)
    return found, f"{note}; the column 'images' is now called 'images_given'" if own else note


def _named(
    root: Path, paths: list[str], catalogue: pd.DataFrame, catalogue_name: str, wanted: pd.Series
) -> tuple[pd.DataFrame, str]:
    """The catalogue with the pictures that its cells name."""
    by_name = _lookup(paths, set(wanted.map(normal)), root)
    found = wanted.map(lambda name: by_name.get(name) or by_name.get(normal(name), ""))
    lost = (wanted != "") & (found == "")
    if lost.any():
        row = int(lost.to_numpy().argmax())
        raise DataError(
            f"{catalogue_name}: row {row} names the image {wanted[row]!r}, which is not in {root} "
            f"({int(lost.sum())} such rows). Add the files, or empty these cells."
        )
    if not (found != "").any():
        raise DataError(
            f"{catalogue_name}: column {wanted.name!r} names no picture; fill it, or leave the pictures out."
        )
    return catalogue.assign(image=found), _note(len(catalogue), int((found != "").sum()), paths, set(found))


def _called_after(root: Path, paths: list[str], catalogue: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The catalogue with the pictures that are called after its items."""
    found = pictures_by_item(paths, catalogue["item_id"])
    if not found:
        raise DataError(
            f"images: none of the {len(paths)} pictures in {root} is called after an item id, such as "
            f"{catalogue['item_id'].iloc[0]!r}. Name the column with the file names: image=... (--image)."
        )
    names = [found.get(item, []) for item in catalogue["item_id"]]
    odd = next((name for entry in names if len(entry) > 1 for name in entry if "|" in name), None)
    if odd is not None:
        raise DataError(f"images: {odd!r} in {root} has a |, which parts the names of an item's pictures; rename it.")
    note = _note(len(catalogue), len(found), paths, {name for entry in names for name in entry})
    columns = {"image": [entry[0] if entry else "" for entry in names]}
    if any(len(entry) > 1 for entry in names):
        columns["images"] = ["|".join(entry) for entry in names]
    return catalogue.assign(**columns), note


def _note(items: int, count: int, paths: list[str], used: set[str]) -> str:
    several = f", {len(used)} in all" if len(used) > count else ""
    return f"pictures: {count} of {items} items have one{several}, {len(set(paths) - used)} files belong to no item"


def pictures_by_item(paths: Iterable[str], ids: Iterable[str]) -> dict[str, list[str]]:
    """Which pictures show which item, by their names: `ID.jpg`, `ID_2.jpg`, `ID-3.png` or `ID/anything.jpg`.

    `paths` are relative, with forward slashes. What lies in a folder called after an item shows this item, also where
    the file is called like another one: with numbers for ids 12/1.jpg is a picture of 12, not of 1. An item's pictures
    come in the natural order of their names, so `ID.jpg` before `ID_2.jpg` before `ID_10.jpg`. Pictures that fit no
    item are left out.
    """
    known = {normal(name): name for name in ids}
    found: dict[str, list[tuple]] = {}
    for path in paths:
        pure = PurePosixPath(path)
        if pure.suffix.lower() not in PICTURE_SUFFIXES:
            continue
        owner = _owner(pure, known)
        if owner is not None:
            parts = re.split(r"(\d+)", str(pure.with_suffix("")))
            order = tuple(_by_number(part) if part.isdecimal() else (-1, part) for part in parts)
            found.setdefault(owner, []).append((order, path))
    return {owner: [path for _, path in sorted(entries)] for owner, entries in found.items()}


def _by_number(digits: str) -> tuple[int, str]:
    digits = digits.lstrip("0")  # not int(digits): Python refuses to read thousands of them
    return len(digits), digits


def _owner(path: PurePosixPath, known: dict[str, str]) -> str | None:
    path = PurePosixPath(normal(str(path)))
    stem = path.stem
    cut = re.fullmatch(r"(.+?)[_-]\d+", stem)
    candidates = [str(path.with_suffix("")), str(path)]  # an id may have slashes, and an ending, too
    candidates += [path.parent.as_posix(), path.parent.name] if path.parent.name else []
    candidates += [stem, cut[1] if cut else None, path.name]
    return next((known[name] for name in candidates if name in known), None)


def normal(name: str) -> str:
    """A name with its accents in one way: macOS writes é as two characters, most others as one."""
    return unicodedata.normalize("NFC", name)


def picture_paths(root: Path) -> list[str]:
    """All pictures below `root`, sorted, as paths with forward slashes.

    Raises `DataError` for a link that leads out of the folder, and for a name that no table can hold.
    """
    unpacked = root.is_dir()
    if unpacked:
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    else:
        raise DataError(f"images: {root} is neither a folder nor a zip archive.")
    names = [name for name in names if not name.rsplit("/", 1)[-1].startswith("._")]  # a Mac's notes beside each file
    names = sorted(name for name in names if name.lower().endswith(PICTURE_SUFFIXES))
    for name in names:
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"images: the name of {name!r} in {root} is no UTF-8, so no table can hold it; rename it.")
        if unpacked and (root / name).is_symlink():
            refuse_link_outside(root, name)
    return names


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
