"""Find each item's pictures in a folder or zip archive."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from ..errors import DataError
from ..storage import MASTER_SUFFIXES, PICTURE_SUFFIXES, refuse_link_outside
from .tables import named_by, require_column, words

__all__ = ["match_pictures", "normal", "picture_paths", "pictures_by_item", "refuse_unusable"]


def match_pictures(
    images: str | Path, catalogue: pd.DataFrame, catalogue_name: str, column: str | None
) -> tuple[pd.DataFrame, str]:
    """The catalogue with column `image` (a path below `images`, "" for none), and a sentence for the card.

    Without `column` and without a column `image` pictures are called after the item's id (`pictures_by_item`), and an
    item may have none; where one has several, the column `images` names all, separated by "|". A table's own column of
    that name stays where it holds such lists, and then stands for a column `image` that is not there; otherwise it
    becomes `images_given`. A file that a column names must be there. Raises `DataError` where nothing fits, and for a
    picture of an item that cannot be used (`refuse_unusable`).
    """
    root = Path(images)
    paths = picture_paths(root)
    if column is not None:
        require_column(catalogue, catalogue_name, column, named_by("image"))
    elif "image" in catalogue:
        column = "image"
    lists = _lists(root, paths, catalogue["images"], catalogue_name) if "images" in catalogue else None
    own = "images" in catalogue and lists is None  # counts, addresses, anything: not what `images` means from here on
    wanted = words(catalogue[column]) if column is not None else None
    if lists is not None:
        catalogue = catalogue.assign(images=lists)
        wanted = lists.str.split("|").str[0] if column in (None, "images") else wanted
    catalogue = catalogue.rename(columns={"images": "images_given"}) if own else catalogue
    if wanted is None:
        found, note = _called_after(root, paths, catalogue)
    else:
        found, note = _named(root, paths, catalogue, catalogue_name, wanted)
        if lists is not None:  # who reads the lists looks no further
            found["images"] = found["images"].where(found["images"] != "", found["image"])
        refuse_unusable(root, _used(found))
    return found, f"{note}; the column 'images' is now called 'images_given'" if own else note


def _lists(root: Path, paths: list[str], cells: pd.Series, catalogue_name: str) -> pd.Series | None:
    """The cells as lists of paths, in the paths' own spelling, parted by "|"; None where no part of any is a path.

    Parts may stand between commas as well (a Parquet list), and lack their ending. Raises `DataError` for one that is
    not there: a single lost file must not cost all others.
    """
    known = {normal(path): path for path in paths} | {path: path for path in paths}
    cells = words(cells)
    several = [[cell] if cell in known else re.split(r"\||, ?" if "|" not in cell else r"\|", cell) for cell in cells]
    parted = [[part.strip() for part in parts if part.strip()] for parts in several]
    telling = set(known)  # which cells make it a column of pictures; of a mere "3", a count, the ending is asked
    if any("|" in cell for cell in cells):
        telling |= {_stem(path) for path in paths}
    if not any(name in telling or normal(name) in telling for names in parted for name in names):
        return None
    by_name = _lookup(paths, {normal(name) for names in parted for name in names}, root)
    found = [[by_name.get(name) or by_name.get(normal(name)) for name in names] for names in parted]
    lost = [(row, parted[row][names.index(None)]) for row, names in enumerate(found) if None in names]
    if lost:
        raise DataError(
            f"{catalogue_name}: row {lost[0][0]} names the image {lost[0][1]!r} in column {cells.name!r}, which is not "
            f"in {root} ({len(lost)} such rows). Add the files, or take the names out."
        )
    return pd.Series(["|".join(names) for names in found], index=cells.index, name=cells.name)


def _used(catalogue: pd.DataFrame) -> set[str]:
    """The paths of all pictures that items have."""
    several = {name for cell in catalogue["images"] for name in cell.split("|")} if "images" in catalogue else set()
    return (set(catalogue["image"]) | several) - {""}


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
    catalogue = catalogue.assign(image=found)
    return catalogue, _note(len(catalogue), int((found != "").sum()), paths, _used(catalogue))


def _called_after(root: Path, paths: list[str], catalogue: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The catalogue with the pictures that are called after its items."""
    found = pictures_by_item(paths, catalogue["item_id"])
    _refuse_shards(root, found, catalogue["item_id"])
    if not found:
        raise DataError(
            f"images: none of the {len(paths)} pictures in {root} is called after an item id, such as "
            f"{catalogue['item_id'].iloc[0]!r}. Name the column with the file names: image=... (--image)."
        )
    names = [found.get(item, []) for item in catalogue["item_id"]]
    odd = next((name for entry in names if len(entry) > 1 for name in entry if "|" in name), None)
    if odd is not None:
        raise DataError(f"images: {odd!r} in {root} has a |, which parts the names of an item's pictures; rename it.")
    used = {name for entry in names for name in entry}
    refuse_unusable(root, used)
    note = _note(len(catalogue), len(found), paths, used)
    columns = {"image": [entry[0] if entry else "" for entry in names]}
    if any(len(entry) > 1 for entry in names):
        columns["images"] = ["|".join(entry) for entry in names]
    return catalogue.assign(**columns), note


def _refuse_shards(root: Path, found: dict[str, list[str]], ids: pd.Series) -> None:
    """Raise where folders that only part a shop's many files are called like items: 0/10.jpg is one of 10, not of 0."""
    known = {normal(name): name for name in ids}
    other = {}  # the item a picture is called after, where it lies in another one's folder
    for owner, names in found.items():
        for name in names:
            stem = normal(PurePosixPath(name).stem)
            if known.get(stem, owner) != owner:
                other[name] = known[stem]
    if len(set(other.values())) > len(found):
        name = min(other)
        raise DataError(
            f"images: {name!r} in {root} fits item {PurePosixPath(name).parent.name!r} by its folder and "
            f"{other[name]!r} by its name, as {len(other)} files do. Name the column with the file names: image=... "
            f"(--image), or call the folders something else."
        )


def _note(items: int, count: int, paths: list[str], used: set[str]) -> str:
    several = f", {len(used)} in all" if len(used) > count else ""
    return f"pictures: {count} of {items} items have one{several}, {len(set(paths) - used)} files belong to no item"


def pictures_by_item(paths: Iterable[str], ids: Iterable[str]) -> dict[str, list[str]]:
    """Which pictures show which item, by their names: `ID.jpg`, `ID_2.jpg`, `ID-3.png` or `ID/anything.jpg`.

    `paths` are relative, with forward slashes. What lies in a folder called after an item shows this item, also where
    the file is called like another one: with numbers for ids 12/1.jpg is a picture of 12, not of 1. An item's pictures
    come in the natural order of their names, so `ID.jpg` before `ID_2.jpg` before `ID_10.jpg`. Pictures that fit no
    item are left out, and so is a TIFF beside an item's picture of the same name: it is the same photograph.
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
    return {owner: _without_masters([path for _, path in sorted(entries)]) for owner, entries in found.items()}


def _without_masters(paths: list[str]) -> list[str]:
    """The paths without a TIFF where another picture has its name."""
    others = {_stem(path) for path in paths if not _is_master(path)}
    return [path for path in paths if not _is_master(path) or _stem(path) not in others]


def _is_master(path: str) -> bool:
    return path.lower().endswith(MASTER_SUFFIXES)


def _stem(path: str) -> str:
    """A path without its ending, `normal`."""
    return normal(str(PurePosixPath(path).with_suffix("")))


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
    """All pictures below `root`, sorted, as paths with forward slashes."""
    if root.is_dir():
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    elif zipfile.is_zipfile(root):
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    else:
        raise DataError(f"images: {root} is neither a folder nor a zip archive.")
    names = [name for name in names if not name.rsplit("/", 1)[-1].startswith("._")]  # a Mac's notes beside each file
    return sorted(name for name in names if name.lower().endswith(PICTURE_SUFFIXES))


def refuse_unusable(root: Path, names: Iterable[str]) -> None:
    """Raise `DataError` for a link that leads out of the folder, and for a name that no table can hold.

    `names` are those that items have: what else lies in the folder need not be anybody's concern.
    """
    unpacked = root.is_dir()
    for name in sorted(names):
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(
                f"images: the name of {name!r} in {root} is not valid UTF-8, so no table can hold it; rename it."
            )
        if unpacked:
            refuse_link_outside(root, name)


def _lookup(paths: list[str], wanted: set[str], root: Path) -> dict[str, str]:
    """What items may call a picture, with or without its ending, and the path that is meant.

    The names are `normal`, as those `wanted` must be; a path stands there in its own spelling, too. Without its ending
    a TIFF is meant only where no other picture has its name.
    """
    by_name: dict[str, str] = {}
    for path in _without_masters(paths):
        stem = _stem(path)
        if stem in by_name and stem in wanted:
            raise DataError(
                f"images: {by_name[stem]!r} and {path!r} in {root} both fit {stem!r}; keep one of them, or "
                f"write the ending in the items' `image` column."
            )
        by_name[stem] = path
    return by_name | {normal(path): path for path in paths} | {path: path for path in paths}
