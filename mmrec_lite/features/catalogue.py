"""From a data set's texts and pictures to its features: what the methods of this kit read, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmrec_lite.data import DataError, IndexedVectors, MultimodalDataset

from .encoding import encode_pictures
from .image import ImageEncoder
from .keywords import image_to_words, word_list
from .pictures import MAX_PIXELS, PictureReport
from .text import TextEncoder, encode_sentences

__all__ = ["add_features"]


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

    With ``text``: the feature "text" (of `items["text"]`, else the title; an empty one is a missing modality), the
    sequences "sentences" and, where `interactions` has reviews, "reviews". With ``image``: the feature "image" of the
    pictures below `image_root`: those in the column `images` (several an item, separated by "|"), or in `image`, or by
    item id in ``pictures``; with both and ``keywords`` > 0 the sequence "keywords" (``vocabulary``: any words, else
    those of the texts; left out, as the card says, where the image encoder knows no more than ``keywords`` of them). An
    item whose pictures are all unusable loses them and lacks the modality. Vectors are stored in float16. Raises
    `DataError` where there is nothing to encode. Source: MP4SR Eq. 1-2, MCPTR Eq. 3.
    """
    report = PictureReport()
    changes: dict = {name: dict(getattr(data, name)) for name in ("features", "present", "sequences", "texts")}
    encoders: dict = dict(data.card.get("encoders", {}))
    items = data.items
    words = _texts(data) if text is not None or image is not None else []
    if image is not None:
        names = _names(data, pictures)
        image.width  # noqa: B018  (loads the model: one that cannot be had costs no encoding of texts)
    if text is not None:
        text.cache = cache if cache is not None else text.cache
        _add_texts(data, text, words, changes, sentences, reviews, language, progress)
        encoders["text"] = {"model": text.model, "sha256": text.fingerprint, "sentences": f"pysbd, {language}"}
    if image is not None:
        vectors, present, report = encode_pictures(
            names, image, data.image_root, cache=cache, workers=workers, max_pixels=max_pixels, progress=progress
        )
        if not present.any():
            raise DataError(f"add_features: not one picture can be used: {report.card()['unusable']}.")
        changes["features"]["image"], changes["present"]["image"] = vectors.astype(np.float16), present
        bad = {name for kind in report.unusable.values() for name in kind}
        items = items.assign(image=[next((n for n in entry if n not in bad), "") for entry in names])
        if "images" in items:  # or `save` would look for pictures that are not there
            several = items["images"].astype(object).fillna("").map(str).str.split("|")
            items = items.assign(images=["|".join(n for n in entry if n not in bad) for entry in several])
        encoders["image"] = {"model": image.model, "pretrained": image.pretrained, "sha256": image.fingerprint}
        if text is not None and keywords:
            spoken, encoders["keywords"] = _spoken(vectors, image, words, vocabulary, keywords)
            if spoken:
                _add_sentences("keywords", spoken, text, changes, progress)
                items = items.assign(keywords=["".join(row) for row in spoken])
    card = data.card | {"encoders": encoders} | ({"pictures": report.card()} if image is not None else {})
    return data.replace(items=items, card=card, **changes), report


def _spoken(
    vectors: np.ndarray, encoder: ImageEncoder, texts: Sequence[str], vocabulary: Sequence[str] | None, n: int
) -> tuple[list[list[str]], dict | str]:
    """Each picture's words as one string in a list, empty without a picture; nothing where they are left out. Card."""
    chosen = word_list(texts) if vocabulary is None else vocabulary
    known = int(encoder.knows(chosen).sum()) if chosen else 0
    if vocabulary is None and known <= n:  # all pictures would have the same words
        return [], f"left out: {n} words a picture, but of the texts' words the image encoder knows {known}"
    lists = [[" ".join(row)] if row else [] for row in image_to_words(vectors, encoder, chosen, n=n)]
    return lists, {"words a picture": n, "vocabulary": "the texts'" if vocabulary is None else "given"}


def _texts(data: MultimodalDataset) -> list[str]:
    column = next((name for name in ("text", "title") if name in data.items), None)
    if column is None:
        return [""] * data.n_items
    return [word.strip() for word in data.items[column].astype(object).fillna("").map(str)]


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
) -> None:
    present = np.array([bool(word) for word in words], dtype=bool)
    if not present.any():
        raise DataError(
            f"add_features: not one item of {data.name!r} has a text; name the column when reading (text=)."
        )
    vectors = encoder.encode(words, progress=progress)
    vectors[~present] = 0
    changes["features"]["text"], changes["present"]["text"] = vectors.astype(np.float16), present
    if sentences:
        _add_sentences("sentences", words, encoder, changes, progress, language=language)
    if reviews and "review" in data.interactions and (data.interactions["review"] != "").any():
        written = data.interactions["review"].tolist()
        _add_sentences("reviews", written, encoder, changes, progress, language=language, rows="interactions")


def _add_sentences(
    name: str, texts: Sequence, encoder: TextEncoder, changes: dict, progress: bool, **options: str
) -> None:
    found: tuple[IndexedVectors, list[str]] = encode_sentences(texts, encoder, progress=progress, **options)
    changes["sequences"][name], changes["texts"][name] = found
