"""Public data sets' files by their documented addresses: resumed where a connection was cut, and checked."""

from __future__ import annotations

import hashlib
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from filelock import FileLock

from .errors import NO_ROOM, DataError, listing

__all__ = ["SOURCES", "Source", "fetch", "published_md5", "source_files"]

_BLOCK = 1 << 20


class _MisfitError(Exception):
    """What lies in the partial file and what the server sends do not make one file."""


@dataclass(frozen=True)
class Source:
    """A public data set: its files' addresses, `{category}` in them, where it is documented, and its terms.

    `more` has further files by what they hold, large or of use to some only, which are fetched when asked for.
    """

    page: str
    files: tuple[str, ...]
    terms: str
    md5: str = ""  # suffix of the address of a published MD5, empty where none is published
    example: str = ""  # a category
    more: Mapping[str, str] = field(default_factory=dict)


_UCSD = "research use; cite the authors named on the page"
SOURCES = {
    "amazon-2014": Source(
        "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
        (
            "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_{category}_5.json.gz",
            "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_{category}.json.gz",
        ),
        _UCSD,
        example="Baby",
        more={
            "image_features": "https://snap.stanford.edu/data/amazon/productGraph/image_features/categoryFiles/"
            "image_features_{category}.b"
        },
    ),
    "amazon-2018": Source(
        "https://nijianmo.github.io/amazon/index.html",
        (
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2/categoryFilesSmall/{category}_5.json.gz",
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2/metaFiles2/meta_{category}.json.gz",
        ),
        _UCSD,
        example="Gift_Cards",
    ),
    "amazon-2023": Source(
        "https://amazon-reviews-2023.github.io/",
        (
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023/raw/review_categories/{category}.jsonl.gz",
            "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023/raw/meta_categories/meta_{category}.jsonl.gz",
        ),
        _UCSD,
        example="All_Beauty",
    ),
    "goodreads": Source(
        "https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html",
        (
            "https://datarepo.eng.ucsd.edu/mcauley_group/gdrive/goodreads/byGenre/"
            "goodreads_interactions_{category}.json.gz",
            "https://datarepo.eng.ucsd.edu/mcauley_group/gdrive/goodreads/byGenre/goodreads_books_{category}.json.gz",
        ),
        _UCSD,
        example="poetry",
        more={
            "reviews": "https://datarepo.eng.ucsd.edu/mcauley_group/gdrive/goodreads/byGenre/"
            "goodreads_reviews_{category}.json.gz"
        },
    ),
    "movielens": Source(
        "https://grouplens.org/datasets/movielens/",
        ("https://files.grouplens.org/datasets/movielens/{category}.zip",),
        "research use; cite Harper and Konstan 2015",
        md5=".md5",
        example="ml-latest-small",
    ),
}


def source_files(name: str, category: str | None = None, more: Iterable[str] = ()) -> list[str]:
    """The addresses of a source's files, and of those of its further ones that `more` names.

    Raises `DataError` for Yelp, whose files are behind a form, and for what there is not.
    """
    if name == "yelp":
        raise DataError("download: Yelp gives its files after a form, at https://business.yelp.com/data/resources/.")
    if name not in SOURCES:
        raise DataError(f"download: unknown source {name!r}; there are: {listing(SOURCES)}.")
    category = category or SOURCES[name].example
    if not re.fullmatch(r"[\w-]+", category):
        raise DataError(f"download: category {category!r} is not made of letters, digits, _ and -.")
    known = SOURCES[name]
    unknown = [file for file in more if file not in known.more]
    if unknown:
        raise DataError(f"download: {name} has no further file {unknown[0]!r}; there are: {listing(known.more)}.")
    addresses = [*known.files, *(known.more[file] for file in dict.fromkeys(more))]
    return [address.format(category=category) for address in addresses]


def fetch(
    url: str,
    folder: str | Path,
    *,
    checksum: str | None = None,
    attempts: int = 5,
    wait: float = 1.0,
    timeout: float = 60.0,
    report: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Fetch one file into a folder and return its path; what lies there complete is not fetched again.

    Bytes go to `name.partial`; a connection that breaks is taken up where it broke, in this run (`attempts` times
    without progress, waiting 1, 2, 4, ... times `wait` seconds) or in a later one. A server's ETag or date tells
    whether the file is still the same. `checksum` is "md5:…" or "sha256:…"; a file that does not have it is deleted.
    The length the server names must be met; bytes that cannot fit it are thrown away and fetched anew, once. A run
    that fetches the same file meanwhile is waited for. Addresses are https, but of servers on this machine. `report`
    is told bytes done and total. Raises `DataError`.
    """
    _require_encrypted(url)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rsplit("/", 1)[-1]
    partial = target.with_name(target.name + ".partial")
    lock = partial.with_name(partial.name + ".lock")
    fresh = False
    if not target.is_file():
        with FileLock(lock):
            if not target.is_file():  # else the run that was waited for has brought it
                _fill(url, partial, attempts, wait, timeout, report)
                _check(partial, checksum)
                partial.replace(target)
                partial.with_name(partial.name + ".tag").unlink(missing_ok=True)
                fresh = True
        # Not earlier, nor after a failure: a run that waits at the removed lock and one that makes a new one would both
        # write. Now both find the file. Windows removes no lock that somebody waits at.
        with suppress(OSError):
            lock.unlink()
    if not fresh:
        _check(target, checksum)
    return target


def _fill(
    url: str,
    partial: Path,
    attempts: int,
    wait: float,
    timeout: float,
    report: Callable[[int, int | None], None] | None,
) -> None:
    """Bring `partial`, whose lock is held, to its full length over as many connections as that takes."""
    failures, anew = 0, False
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _continue(url, partial, timeout, report)
            return
        except _MisfitError as error:
            partial.unlink(missing_ok=True)
            if anew:
                raise DataError(f"download: {url}: {error}, twice; the part was deleted. Try again later.") from None
            anew = True
            continue
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DataError(f"download: {url}: the server says {error.code} {error.reason}.") from None
            problem = f"{error.code} {error.reason}"
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise  # no other connection helps
            problem = str(error)
        gained = partial.exists() and partial.stat().st_size > before
        failures = 1 if gained else failures + 1
        if failures >= attempts:
            raise DataError(
                f"download: {url}: {problem}; {attempts} attempts without progress. "
                f"What came so far is kept: run it again."
            )
        time.sleep(wait * 2 ** (failures - 1))


def published_md5(url: str, timeout: float = 60.0) -> str | None:
    """The "md5:…" that a server publishes at `url`, None where it says that there is no such file.

    Raises `DataError` for a file without an MD5, an address that is not https and a server that does not answer.
    """
    _require_encrypted(url)
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # nosec B310
            _require_encrypted(answer.url)  # where a redirection has led
            found = re.search(r"\b[0-9a-fA-F]{32}\b", answer.read(4096).decode("ascii", "replace"))
    except (OSError, HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError) and error.code in (404, 410):
            return None
        raise DataError(f"download: the checksum {url} could not be read ({error}).") from None
    if found is None:
        raise DataError(f"download: {url} holds no MD5, so that what is fetched could not be checked; try again later.")
    return f"md5:{found[0].lower()}"


def _require_encrypted(url: str) -> None:
    """Anybody on the way could change what comes by plain http; this machine's own servers may speak it."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")):
        raise DataError(f"download: {url!r} is no https address.")


def _continue(url: str, partial: Path, timeout: float, report: Callable[[int, int | None], None] | None) -> None:
    """Append to `partial` what is missing, or begin anew where the server's file is another one."""
    tag_file = partial.with_name(partial.name + ".tag")
    done = partial.stat().st_size if partial.exists() else 0
    tag = tag_file.read_text() if done and tag_file.exists() else ""
    headers = {"Range": f"bytes={done}-", "If-Range": tag} if done and tag else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # its address was checked in `fetch`
        answer = urllib.request.urlopen(request, timeout=timeout)  # nosec B310
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers:
            raise _MisfitError(f"the server has no more than the {done:,} bytes that lie here") from None
        raise
    with answer:
        _require_encrypted(answer.url)  # where a redirection has led
        resumed = answer.status == 206
        done, total = _extent(answer, done if resumed else 0)
        etag = answer.headers.get("ETag", "")
        with partial.open("ab" if resumed else "wb") as file:
            # Not before the old bytes are gone: a run killed in between would go on with them under the new tag.
            tag_file.write_text(etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", ""))
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                if report is not None:
                    report(done, total)
    if total is not None and done < total:
        raise HTTPException(f"the connection broke after {done:,} of {total:,} bytes")
    size = partial.stat().st_size  # not `done`: where a file system's locks do not hold, another run writes here, too
    if size != (done if total is None else total):
        raise _MisfitError(f"{size:,} bytes lie here, and the server announces {total or done:,}")


def _extent(answer: HTTPResponse, done: int) -> tuple[int, int | None]:
    """Where the answer's bytes begin, which must be at `done`, and how long the whole file is, where that is said."""
    length = answer.headers.get("Content-Length")
    if answer.status != 206:
        return 0, int(length) if length is not None else None
    told = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", told.strip())
    if found is None or int(found[1]) != done:
        raise _MisfitError(f"the server was asked for the bytes from {done:,} on and sends {told or 'others'!r}")
    if found[2] != "*":
        return done, int(found[2])
    return done, done + int(length) if length is not None else None


def _check(path: Path, checksum: str | None) -> None:
    if checksum is None:
        return
    kind, _, expected = checksum.partition(":")
    if kind not in ("md5", "sha256"):
        raise DataError(f"download: checksum {checksum!r} must begin with md5: or sha256:.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if found != expected.lower():
        path.unlink()
        raise DataError(
            f"download: {path.name} has {kind} {found}, published is {expected}; it was deleted. Try again."
        )
