"""GoodReads (UCSD Book Graph): JSON lines of interactions or reviews, and of books."""

from __future__ import annotations

from pathlib import Path

from ..dataset import MultimodalDataset
from .logs import Filters, Log, Parts, finish, refuse_foreign, usable_name
from .streaming import identifier, joined, note_bad, number, plain, records, seconds_of, whole_letters, written


def read_goodreads(
    interactions: str | Path,
    books: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    read_only: bool = True,
    name: str | None = None,
    with_reviews: bool = True,
) -> MultimodalDataset:
    """Read `goodreads_interactions_*.json.gz` or `goodreads_reviews_*.json.gz`, and `goodreads_books_*.json.gz`.

    Time is `date_added`, when a book was put on a shelf. Of interactions only those marked `is_read` stay unless
    `read_only` is off; a file of reviews has no such mark. A rating of 0 means none was given: `min_rating` drops it.
    Streams as `read_amazon_2014` does. Raises `DataError`, which names file and line.
    """
    name = usable_name(name, Path(interactions).name.split(".")[0])
    log, bad = Log(Path(interactions).name), []
    unread = 0
    for line, row in records(interactions, bad=bad):
        if read_only and row.get("is_read") is False:
            unread += 1
            continue
        try:
            user, book = identifier(row["user_id"]), identifier(row["book_id"])
            log.add(user, book, line, seconds_of(row["date_added"]), number(row["rating"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            bad.append(line)
    note_bad(bad, log.source, log.notes)
    if unread:
        log.notes.append(f"{unread} rows left out: on a shelf, not marked as read")
    log.closed().filter(filters)
    parts = Parts(files={"interactions": Path(interactions), "books": books and Path(books)})
    if with_reviews:
        parts.reviews = written(interactions, log.rows["place"], _words)
    if books is not None:
        parts.items = _books(books, set(log.items()), log)
    return finish(log, parts, reader="goodreads", name=name)


def _words(row: dict) -> str:
    return plain(row.get("review_text") or row.get("review_text_incomplete"))


def _books(books: str | Path, kept: set[str], log: Log) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    bad: list[int] = []
    for line, row in records(books, bad=bad):
        book = str(row.get("book_id", ""))
        if book in kept:
            title = plain(row.get("title"))
            try:
                shelves = [plain(shelf.get("name")) for shelf in row.get("popular_shelves") or []][:10]
            except (TypeError, AttributeError):  # of another shape than the source's
                bad.append(line)
                shelves = []
            out[book] = {
                "title": title,
                "text": joined(title, row.get("description")),
                "shelves": ", ".join(shelves),
                "image_url": whole_letters(row.get("image_url") or ""),
            }
    refuse_foreign(out, books, kept)
    note_bad(bad, Path(books).name, log.notes)
    return out
