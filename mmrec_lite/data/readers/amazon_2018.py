"""Amazon reviews, edition of 2018: JSON lines, descriptions and features as lists."""

from __future__ import annotations

import re
from pathlib import Path

from ..dataset import MultimodalDataset
from .amazon import Edition, read_edition
from .logs import Filters
from .streaming import joined, plain, whole_letters


def _describe(row: dict) -> dict[str, object]:
    urls = row.get("imageURLHighRes") or row.get("imageURL") or row.get("image") or []
    categories = [plain(part) for part in row.get("category") or []]
    title, brand = plain(row.get("title")), plain(row.get("brand"))
    price = re.fullmatch(r"\$([\d,]+(?:\.\d+)?)", plain(row.get("price")))
    return {
        "title": title,
        "text": joined(title, brand, categories[-1:], row.get("feature"), row.get("description")),
        "brand": brand,
        "category": " > ".join(categories),
        "price": float(price[1].replace(",", "")) if price else None,
        "image_url": whole_letters(urls if isinstance(urls, str) else "|".join(map(str, urls))),
    }


EDITION = Edition(
    name="amazon-2018", user="reviewerID", item="asin", rating="overall", time="unixReviewTime", per_second=1,
    title="summary", text="reviewText", meta_item="asin", describe=_describe,
)  # fmt: skip


def read_amazon_2018(
    reviews: str | Path,
    meta: str | Path | None = None,
    images: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    name: str | None = None,
    with_reviews: bool = True,
) -> MultimodalDataset:
    """Read `Category.json.gz` (or `Category_5.json.gz`) and `meta_Category.json.gz`.

    `images` is a folder or zip archive of pictures called after the ASIN; the addresses are kept in `image_url`,
    separated by "|". Streams as `read_amazon_2014` does. Raises `DataError`, which names file and line.
    """
    return read_edition(EDITION, reviews, meta, images, filters, name, with_reviews)
