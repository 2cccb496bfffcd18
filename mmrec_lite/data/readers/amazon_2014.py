"""Amazon reviews, edition of 2014: JSON reviews, products as Python literals, 4,096 numbers a picture."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..dataset import MultimodalDataset
from ..errors import DataError
from .amazon import Edition, read_edition
from .logs import Filters, Log, refuse_foreign
from .matrices import mark_missing
from .streaming import joined, literal, opened, plain, whole_letters

_ID, _WIDTH = 10, 4096


def _describe(row: dict) -> dict[str, object]:
    categories = [" > ".join(map(plain, path)) for path in row.get("categories", []) if isinstance(path, list)]
    title, brand = plain(row.get("title")), plain(row.get("brand"))
    last = categories[-1].split(" > ")[-1] if categories else ""
    return {
        "title": title,
        "text": joined(title, brand, last, row.get("description")),
        "brand": brand,
        "category": categories[-1] if categories else "",
        "price": float(row["price"]) if isinstance(row.get("price"), int | float) else None,
        "image_url": whole_letters(row.get("imUrl") or ""),
    }


EDITION = Edition(
    name="amazon-2014", user="reviewerID", item="asin", rating="overall", time="unixReviewTime", per_second=1,
    title="summary", text="reviewText", meta_item="asin", describe=_describe, parse_meta=literal,
)  # fmt: skip


def read_amazon_2014(
    reviews: str | Path,
    meta: str | Path | None = None,
    image_features: str | Path | None = None,
    images: str | Path | None = None,
    *,
    missing: str | Mapping[str, str] | None = None,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    name: str | None = None,
    with_reviews: bool = True,
) -> MultimodalDataset:
    """Read `reviews_*.json.gz`, `meta_*.json.gz` and `image_features_*.b`.

    Products are Python literals, one a line, read by `ast.literal_eval` alone. `image_features` holds records of an
    ASIN (10 bytes) and 4,096 float32 numbers; products without one lack the modality "image", and with
    `missing="zero"` those with zeros alone, too. `images` is a folder or zip archive of pictures called after the ASIN.
    Streams all files, the reviews in two passes: memory grows with the number of users, items and interactions and with
    the words of the reviews that the filters leave, held as UTF-8; without these words if not `with_reviews`. Raises
    `DataError`, which names file and line.

    The papers' own preparations differ: MICRO (4.1.1) joins all categories into an item's text, here it is the last
    one; PAMD (5.1) and MCPTR drop products without text, picture or metadata first, here filters count interactions
    alone, and what an item lacks is a missing modality.
    """
    features = None
    if image_features is not None:
        path = Path(image_features)

        def features(kept: set[str], log: Log) -> dict:
            return _features(path, kept, missing, log)

    files = {"image_features": image_features and Path(image_features)}
    return read_edition(EDITION, reviews, meta, images, filters, name, with_reviews, features, files)


def _features(
    path: Path, kept: set[str], missing: str | Mapping[str, str] | None, log: Log
) -> dict[str, tuple[list[str], np.ndarray]]:
    """The vectors of the products that are left and have one, and how many these are for the card."""
    ids, vectors = image_vectors(path, kept)
    refuse_foreign(ids, path, kept)
    log.notes.append(f"image: {len(set(ids))} of {len(kept)} items have a row in {path.name}")
    filled, present, notes = mark_missing({"image": (vectors, f"{path.name}, of the items that are left")}, missing)
    log.notes += notes
    there = present["image"]
    return {"image": ([item for item, has in zip(ids, there, strict=True) if has], filled["image"][there])}


def image_vectors(path: str | Path, wanted: set[str]) -> tuple[list[str], np.ndarray]:
    """The ids and (n, 4096) float32 vectors of the wanted products, streamed from an `image_features_*.b` file."""
    ids, rows = [], []
    with opened(path) as file:
        while True:
            try:
                head, body = file.read(_ID), file.read(4 * _WIDTH)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise DataError(
                    f"{Path(path).name}: the archive is damaged or cut short ({error}); fetch it again."
                ) from None
            if not head:
                break
            if len(head) < _ID or len(body) < 4 * _WIDTH:
                raise DataError(f"{Path(path).name}: the last record is cut short; fetch the file again.")
            item = head.decode("ascii", "replace").strip()
            if item in wanted:
                ids.append(item)
                rows.append(np.frombuffer(body, dtype="<f4"))
    return ids, np.stack(rows).astype(np.float32) if rows else np.zeros((0, _WIDTH), dtype=np.float32)
