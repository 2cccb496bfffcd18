"""What the three editions of the Amazon reviews share: two passes over the reviews, one over the products."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..dataset import MultimodalDataset
from .logs import Filters, Log, Parts, finish, refuse_foreign, usable_name
from .pictures import match_pictures
from .streaming import identifier, note_bad, number, plain, records, whole, written


@dataclass(frozen=True)
class Edition:
    """Where an edition keeps what: the fields of a review, and how a product's line becomes columns."""

    name: str
    user: str
    item: str
    rating: str
    time: str
    per_second: int
    title: str
    text: str
    meta_item: str
    describe: Callable[[dict], dict[str, object]]
    parse_meta: Callable[[str], Any] = json.loads


def read_edition(
    edition: Edition,
    reviews: str | Path,
    meta: str | Path | None,
    images: str | Path | None,
    filters: Filters,
    name: str | None,
    with_reviews: bool,
    features: Callable[[set[str], Log], dict] | None = None,
    files: Mapping[str, Path | None] | None = None,
) -> MultimodalDataset:
    """Read who reviewed what when, filter, then fetch words and products of what is left: nothing else is held."""
    name = usable_name(name, Path(reviews).name.split(".")[0])
    log = _log(edition, reviews)
    log.filter(filters)
    texts = written(reviews, log.rows["place"], partial(_words, edition)) if with_reviews else None
    kept = set(log.items())
    described = {} if meta is None else _described(edition, meta, kept, log)
    root = None
    if images is not None:
        root, described = _with_pictures(images, log.items(), described, log)
    parts = Parts(
        items=described,
        features=features(kept, log) if features else {},
        reviews=texts,
        images=root,
        files={"reviews": Path(reviews), "meta": meta and Path(meta), **(files or {})},
    )
    return finish(log, parts, reader=edition.name, name=name)


def _log(edition: Edition, reviews: str | Path) -> Log:
    log, bad = Log(Path(reviews).name, edition.per_second), []
    for line, row in records(reviews, bad=bad):
        try:
            user, item = identifier(row[edition.user]), identifier(row[edition.item])
            log.add(user, item, line, whole(row[edition.time]), number(row[edition.rating]))
        except (KeyError, TypeError, ValueError, OverflowError):
            bad.append(line)
    note_bad(bad, log.source, log.notes)
    return log.closed()


def _words(edition: Edition, row: dict) -> str:
    return plain([row.get(edition.title), row.get(edition.text)])


def _described(edition: Edition, meta: str | Path, kept: set[str], log: Log) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    bad: list[int] = []
    for line, row in records(meta, edition.parse_meta, bad):
        item = str(row.get(edition.meta_item, ""))
        if item in kept and item not in out:
            try:
                out[item] = edition.describe(row)
            except (TypeError, ValueError, AttributeError, OverflowError):  # a field of another shape than the source's
                bad.append(line)
    refuse_foreign(out, meta, kept)
    note_bad(bad, Path(meta).name, log.notes)
    return out


def _with_pictures(
    images: str | Path, ids: list[str], described: dict[str, dict[str, object]], log: Log
) -> tuple[Path, dict[str, dict[str, object]]]:
    """Pictures called after the product's id, in a folder or zip archive of one's own."""
    table, note = match_pictures(images, pd.DataFrame({"item_id": ids}), "products", None)
    log.notes.append(note)
    names = table.set_index("item_id").to_dict("index")
    return Path(images), {item: described.get(item, {}) | names[item] for item in ids}
