"""MovieLens: ratings and movies as csv or `::`-separated dat files, posters and overviews of one's own."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish, refuse_foreign, usable_name
from .pictures import match_pictures
from .tables import number_column, read_table, readable, require_column, whole_column
from .timestamps import time_column

_DAT = {"ratings": ["userId", "movieId", "rating", "timestamp"], "movies": ["movieId", "title", "genres"]}
_REMEDY = "MovieLens' own files have it: fetch the file again, or call the right column so."
_CHUNK = 500_000
_LARGEST = 2**32  # bytes of a table in an archive, which a few kilobytes could unpack to
Folder = Path | zipfile.Path  # one in an archive has the same methods


def read_movielens(
    folder: str | Path,
    overviews: str | Path | None = None,
    posters: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    name: str | None = None,
) -> MultimodalDataset:
    """Read `ratings.csv`, `movies.csv` and `links.csv` (ml-latest, -20m, -25m, -32m), or `ratings.dat`, `movies.dat`.

    `folder` holds them, or is the zip archive they come in: they are read out of it, and nothing is unpacked.
    `overviews` is a table .csv, .tsv or .parquet with `overview` and either `movieId` or, through links.csv, `tmdbId`;
    of a movie's overviews the first that is not empty counts.
    `posters` is a folder or zip archive of pictures called after the movieId. Ratings are read in pieces. Raises
    `DataError`, which names file and column.
    """
    source = Path(folder)
    name = usable_name(name, source.resolve().name.removesuffix(".zip"))
    folder = _unpacked(source) if source.is_file() else source
    kind = next((kind for kind in ("csv", "dat") if (folder / f"ratings.{kind}").is_file()), None)
    if kind is None:
        raise DataError(f"movielens: there is neither ratings.csv nor ratings.dat in {folder}.")
    log, place = Log(f"ratings.{kind}"), 0
    for piece in _pieces(folder, "ratings", kind):
        users, movies = (whole_column(piece[c], log.source, place) for c in ("userId", "movieId"))
        times = time_column(piece["timestamp"], log.source, place)
        ratings = number_column(piece["rating"], log.source, place)
        for user, movie, rating, time in zip(users, movies, ratings, times, strict=True):
            log.add(str(user), str(movie), place, time, rating)
            place += 1
    log.closed().filter(filters)
    described = _movies(folder, kind, set(log.items()))
    refuse_foreign(described, f"movies.{kind}", log.items())
    files = {what: folder / f"{what}.{kind}" for what in ("ratings", "movies")} if source is folder else {"zip": source}
    if overviews is not None:
        _add_overviews(Path(overviews), folder, described, log)
        files["overviews"] = Path(overviews)
    if posters is not None:
        ids = log.items()
        table, note = match_pictures(posters, pd.DataFrame({"item_id": ids}), "movies", None)
        log.notes.append(note)
        names = table.set_index("item_id").to_dict("index")
        described |= {movie: described.get(movie, {}) | names[movie] for movie in ids}
    parts = Parts(items=described, images=Path(posters) if posters is not None else None, files=files)
    return finish(log, parts, reader="movielens", name=name)


def _unpacked(archive: Path) -> zipfile.Path:
    """The folder inside a zip archive that holds the ratings."""
    if not zipfile.is_zipfile(archive):
        raise DataError(f"movielens: {archive} is neither a folder nor a zip archive; was it cut short?")
    with readable(archive), zipfile.ZipFile(archive) as members:
        sizes = {PurePosixPath(member.filename): member.file_size for member in members.infolist()}
    found = next((path for path in sizes if path.name in ("ratings.csv", "ratings.dat")), PurePosixPath())
    large = [path for path, size in sizes.items() if path.parent == found.parent and size > _LARGEST]
    if large:
        size = sizes[large[0]]
        raise DataError(f"movielens: {large[0]} in {archive.name} has {size:,} bytes, more than any MovieLens has.")
    place = "" if found.parent == PurePosixPath() else f"{found.parent}/"
    return zipfile.Path(archive, place)


def _pieces(folder: Folder, what: str, kind: str) -> Iterator[pd.DataFrame]:
    path = folder / f"{what}.{kind}"
    if not path.is_file():
        raise DataError(f"movielens: there is no {path.name} in {folder}.")
    options = {"sep": ","} if kind == "csv" else {"sep": "::", "engine": "python", "names": _DAT[what]}
    with readable(path):
        encoding = "utf-8" if kind == "csv" else _encoding(path)
    options |= {"encoding": encoding, "index_col": False, "low_memory": False}
    options.pop("low_memory") if kind == "dat" else None
    if what == "movies":  # "NA", "null" and "None" are titles, too
        options |= {"keep_default_na": False, "dtype": {"title": str, "genres": str}}
    with readable(path), path.open("rb") as file, pd.read_csv(file, chunksize=_CHUNK, **options) as pieces:
        for piece in pieces:
            for column in _DAT[what]:
                require_column(piece, path.name, column, _REMEDY)
            yield piece


def _encoding(path: Folder) -> str:
    """ml-10m's dat files are UTF-8, those of ml-1m Latin-1 (which any bytes can be, so UTF-8 is tried first)."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8"


def _ids(values: pd.Series, what: str, first_row: int = 0) -> list[str]:
    """Movies' ids as the ratings write them, "" where there is none: beside empty cells pandas makes 629 a 629.0."""
    absent = values.isna()
    numbers = whole_column(values.astype(object).where(~absent, 0), what, first_row)
    return ["" if none else str(number) for number, none in zip(numbers, absent, strict=True)]


def _movies(folder: Folder, kind: str, kept: set[str]) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    row = 0
    for piece in _pieces(folder, "movies", kind):
        titles, all_genres = (piece[column].fillna("") for column in ("title", "genres"))  # a short line lacks some
        movies = _ids(piece["movieId"], f"movies.{kind}", row)
        row += len(piece)
        for movie, title, genres in zip(movies, titles, all_genres, strict=True):
            if movie in kept:
                names = "" if genres == "(no genres listed)" else genres.replace("|", ", ")
                out[movie] = {"title": title, "genres": names, "text": f"{title}. {names}".strip() if title else names}
    return out


def _add_overviews(path: Path, folder: Folder, described: dict[str, dict[str, object]], log: Log) -> None:
    table, what = read_table(path, "overviews", ids=("movieId", "tmdbId", "overview"))
    require_column(table, what, "overview", "Call the column that holds the overviews so.")
    remedy = "Call the column that says which movie it is movieId or tmdbId."
    key = "movieId" if "movieId" in table else require_column(table, what, "tmdbId", remedy)
    ids = _ids(table[key], what)
    linked = {movie: [movie] for movie in described} if key == "movieId" else _linked(folder, what)
    told: dict[str, str] = {}
    repeated = 0
    for name, overview in zip(ids, table["overview"].astype(object).where(table["overview"].notna(), ""), strict=True):
        for movie in linked.get(name, ()):
            if movie in described and str(overview).strip():
                repeated += movie in told
                told.setdefault(movie, str(overview).strip())
    if not told:
        raise DataError(
            f"{what}: none of its {len(table)} rows has an overview of one of the {len(described)} movies; fill the "
            f"column 'overview', or see whether {key!r} holds the numbers of MovieLens' own files."
        )
    for movie, overview in told.items():
        row = described[movie]
        row["text"] = f"{row['text'].rstrip('.')}. {overview}".removeprefix(". ")
    log.notes.append(f"{len(told)} of {len(described)} movies have an overview")
    if repeated:
        log.notes.append(f"{what}: {repeated} overviews of movies that had one already are left out")


def _linked(folder: Folder, what: str) -> dict[str, list[str]]:
    """The movies of each tmdbId; there may be several, as MovieLens lists some films twice."""
    links = folder / "links.csv"
    if not links.is_file():
        raise DataError(f"movielens: {what} names movies by tmdbId, which needs links.csv in {folder}.")
    with readable(links), links.open("rb") as file:
        known = pd.read_csv(file, dtype=str, index_col=False)
    columns = [_ids(known[require_column(known, links.name, c, _REMEDY)], links.name) for c in ("tmdbId", "movieId")]
    out: dict[str, list[str]] = {}
    for film, movie in zip(*columns, strict=True):
        if film:
            out.setdefault(film, []).append(movie)
    return out
