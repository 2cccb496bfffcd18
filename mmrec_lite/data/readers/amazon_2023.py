"""Amazon reviews, edition of 2023: JSON lines, products by their parent's id, times in milliseconds."""

from __future__ import annotations

from pathlib import Path

from ..dataset import MultimodalDataset
from .amazon import Edition, read_edition
from .logs import Filters
from .streaming import joined, plain, whole_letters


def _describe(row: dict) -> dict[str, object]:
    pictures = [picture for picture in row.get("images") or [] if isinstance(picture, dict)]
    urls = [str(p.get("hi_res") or p.get("large") or p.get("thumb") or "") for p in pictures]
    categories = [plain(part) for part in row.get("categories") or []]
    title, brand = plain(row.get("title")), plain(row.get("store"))
    price = row.get("price")
    return {
        "title": title,
        "text": joined(title, brand, categories[-1:], row.get("features"), row.get("description")),
        "brand": brand,
        "category": " > ".join(categories) or plain(row.get("main_category")),
        "price": float(price) if isinstance(price, int | float) else None,
        "image_url": whole_letters("|".join(url for url in urls if url)),
    }


EDITION = Edition(
    name="amazon-2023", user="user_id", item="parent_asin", rating="rating", time="timestamp", per_second=1000,
    title="title", text="text", meta_item="parent_asin", describe=_describe,
)  # fmt: skip


def read_amazon_2023(
    reviews: str | Path,
    meta: str | Path | None = None,
    images: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    name: str | None = None,
    with_reviews: bool = True,
) -> MultimodalDataset:
    """Read `Category.jsonl.gz` and `meta_Category.jsonl.gz`; a product is its `parent_asin`.

    `images` is a folder or zip archive of pictures called after the parent's ASIN; the addresses are kept in
    `image_url`, separated by "|". Streams as `read_amazon_2014` does; rows come sorted by the millisecond.
    Raises `DataError`, which names file and line.
    """
    return read_edition(EDITION, reviews, meta, images, filters, name, with_reviews)
