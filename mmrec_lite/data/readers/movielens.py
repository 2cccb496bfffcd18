"""MovieLens: ratings and movies as csv or `::`-separated dat files, posters and overviews of one's own."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish
from .pictures import match_pictures
from .tables import number_column, read_table, readable, require_column, whole_column

_DAT = {"ratings": ["userId", "movieId", "rating", "timestamp"], "movies": ["movieId", "title", "genres"]}
_CHUNK = 500_000


def read_movielens(
    folder: str | Path,
    overviews: str | Path | None = None,
    posters: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    name: str | None = None,
) -> MultimodalDataset:
    """Read `ratings.csv`, `movies.csv` and `links.csv` (ml-latest, -20m, -25m, -32m), or `ratings.dat`, `movies.dat`.

    `overviews` is a table .csv, .tsv or .parquet with `overview` and either `movieId` or, through links.csv, `tmdbId`.
    `posters` is a folder or zip archive of pictures called after the movieId. Ratings are read in pieces. Raises
    `DataError`, which names file and column.
    """
    folder = Path(folder)
    kind = next((kind for kind in ("csv", "dat") if (folder / f"ratings.{kind}").is_file()), None)
    if kind is None:
        raise DataError(f"movielens: there is neither ratings.csv nor ratings.dat in {folder}.")
    log, place = Log(f"ratings.{kind}"), 0
    for piece in _pieces(folder, "ratings", kind):
        users, movies, times = (whole_column(piece[c], log.source, place) for c in ("userId", "movieId", "timestamp"))
        ratings = number_column(piece["rating"], log.source, place)
        for user, movie, rating, time in zip(users, movies, ratings, times, strict=True):
            log.add(str(user), str(movie), place, time, rating)
            place += 1
    log.closed().filter(filters)
    described = _movies(folder, kind, set(log.items()))
    files = {"ratings": folder / f"ratings.{kind}", "movies": folder / f"movies.{kind}"}
    if overviews is not None:
        _add_overviews(Path(overviews), folder, described, log)
        files["overviews"] = Path(overviews)
    if posters is not None:
        ids = log.items()
        table, note = match_pictures(posters, pd.DataFrame({"item_id": ids}), "movies", None)
        log.notes.append(note)
        for movie, image in zip(ids, table["image"], strict=True):
            described[movie] = {**described.get(movie, {}), "image": image}
    parts = Parts(items=described, images=Path(posters) if posters is not None else None, files=files)
    return finish(log, parts, reader="movielens", name=name or folder.resolve().name)


def _pieces(folder: Path, what: str, kind: str) -> Iterator[pd.DataFrame]:
    path = folder / f"{what}.{kind}"
    if not path.is_file():
        raise DataError(f"movielens: there is no {path.name} in {folder}.")
    options = {"sep": ","} if kind == "csv" else {"sep": "::", "engine": "python", "names": _DAT[what]}
    options |= {"encoding": "utf-8" if kind == "csv" else _encoding(path), "index_col": False, "low_memory": False}
    options.pop("low_memory") if kind == "dat" else None
    if what == "movies":  # "NA", "null" and "None" are titles, too
        options |= {"keep_default_na": False, "dtype": {"title": str, "genres": str}}
    with readable(path), pd.read_csv(path, chunksize=_CHUNK, **options) as pieces:
        for piece in pieces:
            for column in _DAT[what]:
                require_column(piece, path.name, column, column)
            yield piece


def _encoding(path: Path) -> str:
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


def _movies(folder: Path, kind: str, kept: set[str]) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    for piece in _pieces(folder, "movies", kind):
        titles, all_genres = (piece[column].fillna("") for column in ("title", "genres"))  # a short line lacks some
        for movie, title, genres in zip(piece["movieId"].astype(str), titles, all_genres, strict=True):
            if movie in kept:
                names = "" if genres == "(no genres listed)" else genres.replace("|", ", ")
                out[movie] = {"title": title, "genres": names, "text": f"{title}. {names}".strip() if title else names}
    return out


def _add_overviews(path: Path, folder: Path, described: dict[str, dict[str, object]], log: Log) -> None:
    table, what = read_table(path, "overviews", ids=("movieId", "tmdbId"))
    require_column(table, what, "overview", "overview")
    if "movieId" in table:
        rows = zip(table["movieId"].astype(str), table["overview"].fillna(""), strict=True)
    else:
        require_column(table, what, "tmdbId", "tmdbId")
        links = folder / "links.csv"
        if not links.is_file():
            raise DataError(f"movielens: {what} names movies by tmdbId, which needs links.csv in {folder}.")
        with readable(links):
            known = pd.read_csv(links, dtype=str, index_col=False)
        for column in ("movieId", "tmdbId"):
            require_column(known, links.name, column, column)
        # Joined, as several movies may have one tmdbId: MovieLens lists some films twice.
        known = known[["movieId", "tmdbId"]].dropna()
        told = table[["tmdbId", "overview"]].assign(tmdbId=table["tmdbId"].astype(str)).merge(known, on="tmdbId")
        rows = zip(told["movieId"], told["overview"].fillna(""), strict=True)
    found = 0
    for movie, overview in rows:
        if movie in described and overview.strip():
            row = described[movie]
            row["text"] = f"{row['text'].rstrip('.')}. {overview.strip()}".removeprefix(". ")
            found += 1
    log.notes.append(f"{found} of {len(described)} movies have an overview")
