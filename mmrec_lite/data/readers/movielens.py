"""MovieLens: ratings and movies as csv or `::`-separated dat files, posters and overviews of one's own."""

from __future__ import annotations

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
    # The dat files of 2000 to 2009 are Latin-1, the csv files UTF-8.
    options |= {"encoding": "utf-8" if kind == "csv" else "latin-1", "index_col": False, "low_memory": False}
    options.pop("low_memory") if kind == "dat" else None
    with readable(path), pd.read_csv(path, chunksize=_CHUNK, **options) as pieces:
        for piece in pieces:
            for column in _DAT[what]:
                require_column(piece, path.name, column, column)
            yield piece


def _movies(folder: Path, kind: str, kept: set[str]) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    for piece in _pieces(folder, "movies", kind):
        for movie, title, genres in zip(piece["movieId"].astype(str), piece["title"], piece["genres"], strict=True):
            if movie in kept:
                names = "" if genres == "(no genres listed)" else str(genres).replace("|", ", ")
                out[movie] = {"title": title, "genres": names, "text": f"{title}. {names}".strip()}
    return out


def _add_overviews(path: Path, folder: Path, described: dict[str, dict[str, object]], log: Log) -> None:
    table, what = read_table(path, "overviews", ids=("movieId", "tmdbId"))
    require_column(table, what, "overview", "overview")
    if "movieId" in table:
        ids = table["movieId"].astype(str)
    else:
        require_column(table, what, "tmdbId", "tmdbId")
        links = folder / "links.csv"
        if not links.is_file():
            raise DataError(f"movielens: {what} names movies by tmdbId, which needs links.csv in {folder}.")
        known = pd.read_csv(links, dtype=str).dropna(subset="tmdbId").set_index("tmdbId")["movieId"]
        ids = table["tmdbId"].astype(str).map(known)
    found = 0
    for movie, overview in zip(ids, table["overview"].fillna(""), strict=True):
        if movie in described and overview.strip():
            row = described[movie]
            row["text"] = f"{row['text'].rstrip('.')}. {overview.strip()}"
            found += 1
    log.notes.append(f"{found} of {len(described)} movies have an overview")
