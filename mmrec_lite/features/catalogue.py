"""From a data set's texts and pictures to its features: what the methods of this kit read, in one call."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_lite.data import DataError, IndexedVectors, MultimodalDataset

from .encoding import ItemPictures, encode_each
from .image import ImageEncoder
from .keywords import image_to_words, word_list
from .pictures import MAX_PIXELS, PictureReport
from .text import TextEncoder, encode_sentences

__all__ = ["add_features"]

BETWEEN_PICTURES = " | "  # in the column `keywords`
_OF_TEXTS = ("sentences", "reviews", "keywords")  # sequences in the space of the text encoder


def add_features(
    data: MultimodalDataset,
    text: TextEncoder | None = None,
    image: ImageEncoder | None = None,
    *,
    pictures: Mapping[str, Sequence[str]] | None = None,
    sentences: bool = True,
    reviews: bool = True,
    keywords: int = 15,
    vocabulary: Sequence[str] | None = None,
    language: str = "en",
    cache: str | Path | None = None,
    workers: int = 4,
    max_pixels: int = MAX_PIXELS,
    progress: bool = False,
) -> tuple[MultimodalDataset, PictureReport]:
    """Encode a data set's texts and pictures; returns it with them, and the report on the picture files.

    With ``text``: the feature "text" (of `items["text"]`, where that is empty the title; without either it is a missing
    modality), the sequences "sentences" and, where `interactions` has reviews, "reviews". With ``image``: the feature
    "image" of the pictures below `image_root`: those in the column `images` (several an item, separated by "|"), or in
    `image`, or by item id in ``pictures``; with both and ``keywords`` > 0 the sequence "keywords", one of as many words
    a picture (``vocabulary``: any words, else those of the texts; left out, as the card says, where the image encoder
    knows no more than ``keywords`` of them), and a column of that name, " | " between an item's pictures. An item whose
    pictures are all unusable loses them and lacks the modality. Vectors are stored in float16.

    Nothing of an earlier encoder stays beside this one's: a sequence that is not made here is encoded again from its
    wording, or left out, as the card's notes say; so are the keywords of pictures that are encoded again without
    ``text``. A column `keywords` that is not the words of such a sequence is the caller's and becomes `keywords_given`.
    Raises `DataError` where there is nothing to encode. Source: MP4SR Eq. 1-2, MCPTR Eq. 3.
    """
    report, notes = PictureReport(), []
    changes: dict = {name: dict(getattr(data, name)) for name in ("features", "present", "sequences", "texts")}
    encoders: dict = dict(data.card.get("encoders", {}))
    items, spoken = data.items, []
    words = _texts(data) if text is not None or image is not None else []
    if image is not None:
        names = _names(data, pictures)
        image.width  # noqa: B018  (loads the model: one that cannot be had costs no encoding of texts)
    if image is not None or not keywords:  # the words of pictures as another encoder saw them
        for there in (changes["sequences"], changes["texts"], encoders):
            there.pop("keywords", None)
    if text is not None:
        text.cache = cache if cache is not None else text.cache
        notes += _add_texts(data, text, words, changes, sentences, reviews, language, progress)
        encoders["text"] = {"model": text.model, "sha256": text.fingerprint, "sentences": f"pysbd, {language}"}
    if image is not None:
        each, report = encode_each(names, image, data.image_root, cache, workers, max_pixels, progress)
        vectors, present = each.means()
        if not present.any():
            unusable = report.card()["unusable"] or "no item has one; which are whose is said by the column `image`"
            raise DataError(f"add_features: not one picture can be used: {unusable}.")
        changes["features"]["image"], changes["present"]["image"] = vectors.astype(np.float16), present
        items = _usable(items, names, report)
        encoders["image"] = {"model": image.model, "pretrained": image.pretrained, "sha256": image.fingerprint}
        if text is not None and keywords:
            spoken, encoders["keywords"] = _spoken(each, image, words, vocabulary, keywords)
        elif keywords and "keywords" in data.sequences:
            encoders["keywords"] = "left out: the pictures were encoded again without a text encoder for their words"
    if spoken:
        _add_sentences("keywords", spoken, text, changes, progress)
    if spoken or "keywords" not in changes["sequences"]:
        items = _with_keywords(items, spoken, "keywords" in data.sequences, notes)
    card = data.card | {"encoders": encoders} | ({"pictures": report.card()} if image is not None else {})
    card |= {"notes": [*data.card.get("notes", []), *notes]} if notes else {}
    return data.replace(items=items, card=card, **changes), report


def _usable(items: pd.DataFrame, names: list[list[str]], report: PictureReport) -> pd.DataFrame:
    """The items without the names of pictures that cannot be used: `save` would look for them."""
    bad = {name for kind in report.unusable.values() for name in kind}
    items = items.assign(image=[next((n for n in entry if n not in bad), "") for entry in names])
    if "images" in items:
        several = items["images"].astype(object).fillna("").map(str).str.split("|")
        items = items.assign(images=["|".join(n for n in entry if n not in bad) for entry in several])
    return items


def _with_keywords(items: pd.DataFrame, spoken: list[list[str]], ours: bool, notes: list[str]) -> pd.DataFrame:
    """The items with the pictures' words, if any, in the place of those that were `ours`; the caller's own are kept."""
    if ours:
        items = items.drop(columns="keywords", errors="ignore")
    if not spoken:
        return items
    if "keywords" in items:
        items = items.rename(columns={"keywords": "keywords_given"})
        notes.append("items: the column keywords is now keywords_given, for keywords are the words of the pictures")
    return items.assign(keywords=[BETWEEN_PICTURES.join(row) for row in spoken])


def _spoken(
    each: ItemPictures, encoder: ImageEncoder, texts: Sequence[str], vocabulary: Sequence[str] | None, n: int
) -> tuple[list[list[str]], dict | str]:
    """An item's list has each of its pictures' words as one string; no lists where words are left out. And the card."""
    chosen = word_list(texts) if vocabulary is None else vocabulary
    known = int(encoder.knows(chosen).sum()) if chosen else 0
    if vocabulary is None and known <= n:  # all pictures would have the same words
        return [], f"left out: {n} words a picture, but of the texts' words the image encoder knows {known}"
    found = iter(image_to_words(np.concatenate(list(each)), encoder, chosen, n=n))
    lists = [[" ".join(row) for row in itertools.islice(found, count) if row] for count in each.counts]
    return lists, {"words a picture": n, "vocabulary": "the texts'" if vocabulary is None else "given"}


def _texts(data: MultimodalDataset) -> list[str]:
    """An item's text, or its title where it has no text."""
    there = [data.items[name].astype(object).fillna("").map(str) for name in ("text", "title") if name in data.items]
    columns = [[word.strip() for word in column] for column in there] or [[""] * data.n_items]
    return [next((word for word in words if word), "") for words in zip(*columns, strict=True)]


def _names(data: MultimodalDataset, pictures: Mapping[str, Sequence[str]] | None) -> list[list[str]]:
    if data.image_root is None:
        raise DataError(f"add_features: data set {data.name!r} has no pictures; read it with images=... (--images).")
    if pictures is not None:
        return [list(pictures.get(item, [])) for item in data.items["item_id"]]
    if "images" in data.items:
        return [[name for name in str(entry or "").split("|") if name] for entry in data.items["images"].fillna("")]
    if "image" not in data.items:
        raise DataError(f"add_features: the items of {data.name!r} have no column 'image' that names their pictures.")
    return [[name] if name else [] for name in data.items["image"].astype(object).fillna("")]


def _add_texts(
    data: MultimodalDataset,
    encoder: TextEncoder,
    words: list[str],
    changes: dict,
    sentences: bool,
    reviews: bool,
    language: str,
    progress: bool,
) -> list[str]:
    """Make the feature and the sequences of texts; returns notes on what could not be made."""
    present = np.array([bool(word) for word in words], dtype=bool)
    if not present.any():
        raise DataError(
            f"add_features: not one item of {data.name!r} has a text; name the column when reading (text=)."
        )
    vectors = encoder.encode(words, progress=progress)
    vectors[~present] = 0
    changes["features"]["text"], changes["present"]["text"] = vectors.astype(np.float16), present
    made = set()
    if sentences:
        _add_sentences("sentences", words, encoder, changes, progress, language=language)
        made.add("sentences")
    if reviews and "review" in data.interactions and (data.interactions["review"] != "").any():
        written = data.interactions["review"].tolist()
        _add_sentences("reviews", written, encoder, changes, progress, language=language, rows="interactions")
        made.add("reviews")
    others = [name for name in _OF_TEXTS if name in changes["sequences"] and name not in made]
    return [note for name in others for note in _encode_again(name, encoder, changes, progress)]


def _encode_again(name: str, encoder: TextEncoder, changes: dict, progress: bool) -> list[str]:
    """Bring a sequence of an earlier encoder into this one's space, by its wording; without that it goes, as noted."""
    sequence, wording = changes["sequences"].pop(name), changes["texts"].pop(name, None)
    if wording is None:
        return [f"the sequence {name} is left out: its wording is not kept, so {encoder.model} cannot encode it again"]
    vectors = encoder.encode(wording, progress=progress).astype(np.float16)
    changes["sequences"][name] = IndexedVectors(vectors, sequence.index, rows=sequence.rows)
    changes["texts"][name] = wording
    return []


def _add_sentences(
    name: str, texts: Sequence, encoder: TextEncoder, changes: dict, progress: bool, **options: str
) -> None:
    found: tuple[IndexedVectors, list[str]] = encode_sentences(texts, encoder, progress=progress, **options)
    changes["sequences"][name], changes["texts"][name] = found
