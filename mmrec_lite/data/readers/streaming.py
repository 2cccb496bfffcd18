"""Files that are read line by line, however large: plain or gzip, JSON or Python literals, dates, markup."""

from __future__ import annotations

import ast
import gzip
import html
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from ..errors import DataError

LONGEST_LINE = 2**26  # bytes; a gzip file of a few kilobytes can unpack to one line that no memory holds
_PIECE = 2**12  # texts held as Python strings before they are packed
_TAG = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|</?[a-z!][^<>]{0,400}>", re.DOTALL | re.IGNORECASE)
# What tells a text of HTML: a tag of that language, or an entity. "a < b" and "R&D" are words.
MARKUP = re.compile(
    r"</?(?:a|b|br|p|i|u|em|strong|div|span|ul|ol|li|h[1-6]|font|img|table|t[rdh]|tbody|hr|small|su[bp]|pre)\b[^<>]{0,400}>"
    r"|&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,6});",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")
_HALF = re.compile("[\ud800-\udfff]")


def opened(path: str | Path) -> BinaryIO:
    """A file's bytes, unpacked where it is a gzip file (told by its first bytes, whatever its name)."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def records(
    path: str | Path,
    parse: Callable[[str], Any] = json.loads,
    bad: list[int] | None = None,
    wanted: np.ndarray | None = None,
) -> Iterator[tuple[int, dict]]:
    """Yield (line, record) of a file with one object a line; lines that cannot be read are appended to `bad`.

    Holds one line at a time. `wanted`, (lines,) bool, passes over other lines unread. Raises `DataError` for a first
    line that cannot be read and for a line above `LONGEST_LINE`, which mean another format, and for an archive that is
    cut short.
    """
    path = Path(path)
    with opened(path) as file:
        try:
            for number, line in enumerate(_lines(file, path.name)):
                if not line.strip() or (wanted is not None and not (number < len(wanted) and wanted[number])):
                    continue
                try:
                    record = parse(line.decode("utf-8" if number else "utf-8-sig"))
                except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                    record = error
                if isinstance(record, dict):
                    yield number, record
                elif number == 0:
                    raise DataError(f"{path.name}: line 1 is not one object ({record!r:.200}); is it the right file?")
                elif bad is not None:
                    bad.append(number)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path.name}: the archive is damaged or cut short ({error}); fetch it again.") from None


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{name}: line {number} is longer than {LONGEST_LINE:,} bytes; one object a line is read. Is it the "
                f"right file, and are there line breaks between its objects?"
            )
        yield line


def written(path: str | Path, places: np.ndarray, words: Callable[[dict], str]) -> pa.ChunkedArray:
    """What `words` finds in the records of some lines, `places` (R,): R texts in that order, packed by Arrow."""
    wanted = np.zeros(int(places.max()) + 1, dtype=bool)
    wanted[places] = True
    packed, piece = [], []
    for _, row in records(path, wanted=wanted):
        piece.append(words(row))
        if len(piece) == _PIECE:
            packed.append(pa.array(piece, pa.large_string()))
            piece = []
    packed.append(pa.array(piece, pa.large_string()))
    if sum(map(len, packed)) != len(places):
        raise DataError(f"{Path(path).name}: the file changed while it was read; read it again.")
    if (np.diff(places) < 0).any():
        packed = [pa.concat_arrays(packed)]  # the pieces are gone before the texts are put in order
        packed = [packed[0].take(np.argsort(np.argsort(places)))]
    return pa.chunked_array(packed)


def literal(line: str) -> Any:
    """A Python literal, as Amazon's meta files of 2014 hold; nothing in it is ever called."""
    return ast.literal_eval(line.strip())


def identifier(value: object) -> str:
    """An id as text: a string that is not blank, or a whole number; ValueError for anything else."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    raise ValueError(f"{value!r:.80} is no id")


def whole(value: object) -> int:
    """A time as a whole number, also where it is written as text; ValueError for anything else."""
    if (isinstance(value, float) and not value.is_integer()) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no time")
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,19}", value):
        raise ValueError(f"{value!r:.80} is no time")
    return int(value)


def number(value: object) -> float:
    """A rating, also where it is written as text; ValueError for anything else."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value)):
        raise ValueError(f"{value!r:.80} is no rating")
    return float(value)


def plain(text: object) -> str:
    """Words without markup: tags out, entities resolved, white space collapsed; lists are joined by spaces."""
    if text is None:
        return ""
    if isinstance(text, list | tuple):
        return _sentences([plain(part) for part in text])
    return whole_letters(_SPACE.sub(" ", html.unescape(_TAG.sub(" ", str(text)))).strip())


def whole_letters(text: object) -> str:
    """Text as it is, but halves of a surrogate pair replaced, which JSON can spell and no file can hold."""
    return _HALF.sub("\ufffd", str(text))


def _sentences(pieces: list[str]) -> str:
    pieces = [piece for piece in pieces if piece]
    return " ".join([piece if piece[-1] in ".!?" else f"{piece}." for piece in pieces[:-1]] + pieces[-1:])


def joined(*parts: object) -> str:
    """Several texts as one, each beginning a sentence; empty ones left out."""
    return plain(list(parts))


_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS = {name: number for number, name in enumerate(_NAMES.split(), 1)}


def seconds_of(date: str) -> int:
    """Seconds since 1970 of "2018-07-07 22:09:11" (UTC) or "Fri Aug 25 13:55:02 -0700 2017"; ValueError otherwise."""
    words = date.split()
    if len(words) == 6 and words[1] in _MONTHS:  # strptime's names of months depend on the locale
        date = f"{words[5]}-{_MONTHS[words[1]]:02d}-{int(words[2]):02d}T{words[3]}{words[4]}"
    moment = datetime.fromisoformat(date)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def note_bad(bad: list[int], what: str, notes: list[str]) -> None:
    """Write into the card how many lines of a file could not be read, and where the first ones are."""
    if bad:
        where = ", ".join(str(line + 1) for line in bad[:5])
        notes.append(f"{what}: {len(bad)} lines could not be read (line {where}{', …' if len(bad) > 5 else ''})")
