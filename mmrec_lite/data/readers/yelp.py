"""Yelp's open data set: JSON lines of reviews, businesses and photos, several photos a business."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..dataset import MultimodalDataset
from ..errors import DataError
from .logs import Filters, Log, Parts, finish, refuse_foreign, usable_name
from .pictures import picture_paths, refuse_unusable
from .streaming import identifier, joined, note_bad, number, plain, records, seconds_of, whole_letters, written


def read_yelp(
    reviews: str | Path,
    business: str | Path | None = None,
    photos: str | Path | None = None,
    images: str | Path | None = None,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    category: str | None = None,
    name: str | None = None,
    with_reviews: bool = True,
) -> MultimodalDataset:
    """Read `yelp_academic_dataset_review.json`, `…_business.json`, `photos.json` and the folder or zip of photos.

    `category` keeps businesses that have it ("Restaurants"). All photos of a business are named in the column `images`,
    separated by "|", the first one in `image`; in the folder or zip they may lie in folders of any name. Dates are
    taken as UTC. Streams as `read_amazon_2014` does. Raises `DataError`, which names file and line.
    """
    if category is not None and business is None:
        raise DataError("yelp: category needs the file of businesses: business=... (--business).")
    if (photos is None) != (images is None):
        raise DataError("yelp: photos.json and the folder of photos go together: photos=..., images=... .")
    name = usable_name(name, "yelp")
    log, bad = Log(Path(reviews).name), []
    chosen = _of_category(business, category) if category is not None else None
    for line, row in records(reviews, bad=bad):
        try:
            if chosen is None or row["business_id"] in chosen:
                user, item = identifier(row["user_id"]), identifier(row["business_id"])
                log.add(user, item, line, seconds_of(row["date"]), number(row["stars"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            bad.append(line)
    note_bad(bad, log.source, log.notes)
    log.closed().filter(filters)
    kept = set(log.items())
    described = _businesses(business, kept) if business is not None else {}
    if photos is not None and images is not None:
        _add_photos(photos, Path(images), kept, described, log)
    parts = Parts(items=described, images=Path(images) if images is not None else None)
    if with_reviews:
        parts.reviews = written(reviews, log.rows["place"], lambda row: plain(row.get("text")))
    parts.files = {"reviews": Path(reviews), "business": business and Path(business), "photos": photos and Path(photos)}
    return finish(log, parts, reader="yelp", name=name)


def _of_category(business: str | Path, category: str) -> set[str]:
    rows = (row for _, row in records(business, bad=[]))
    found = {str(row.get("business_id")) for row in rows if category in str(row.get("categories") or "").split(", ")}
    if not found:
        raise DataError(f"{Path(business).name}: no business has the category {category!r}.")
    return found


def _businesses(business: str | Path, kept: set[str]) -> dict[str, dict[str, object]]:
    out: dict[str, dict[str, object]] = {}
    for _, row in records(business, bad=[]):
        if str(row.get("business_id")) in kept:
            title, categories = plain(row.get("name")), plain(row.get("categories"))
            city = plain(row.get("city"))
            text = joined(title, categories, city)
            out[str(row["business_id"])] = {"title": title, "text": text, "category": categories, "city": city}
    refuse_foreign(out, business, kept)
    return out


def _add_photos(
    photos: str | Path, images: Path, kept: set[str], described: dict[str, dict[str, object]], log: Log
) -> None:
    paths = picture_paths(images)
    there = {PurePosixPath(path).name: path for path in reversed(paths)}  # Yelp's zip has them in a folder photos/
    named = [
        (str(row["business_id"]), f"{whole_letters(row['photo_id'])}.jpg")
        for _, row in records(photos, bad=[])
        if str(row.get("business_id")) in kept and "photo_id" in row
    ]
    refuse_foreign(named, photos, kept)
    found: dict[str, list[str]] = {}
    for item, name in named:
        if name in there:
            found.setdefault(item, []).append(there[name])
    if not found:
        raise DataError(
            f"images: none of the {len(named)} photos that {Path(photos).name} names, such as {named[0][1]!r}, is "
            f"among the {len(paths)} pictures in {images}. Pass the folder or zip archive that Yelp's photos are in."
        )
    refuse_unusable(images, {name for names in found.values() for name in names})
    for item, names in found.items():
        described[item] = {**described.get(item, {}), "image": names[0], "images": "|".join(names)}
    total = sum(map(len, found.values()))
    log.notes.append(
        f"pictures: {len(found)} of {len(kept)} items have {total} of them, {len(named) - total} files are not there"
    )
