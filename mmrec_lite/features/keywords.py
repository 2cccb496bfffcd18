"""Pictures to words: the vocabulary words that lie nearest to a picture in CLIP space."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mmrec_lite.features.image import ImageEncoder

# words that say nothing about a picture
_WORDS = """
a about after all also am an and any are as at be because been before but by can could did do does down each even
every few for from get gets go goes good had has have he her here him his how i if in into is it its just like made
make makes many may me more most much my no nor not now of off on once one only or other our out over own piece
please put same see she should so some such than that the their them then there these they thing this those though
three through to too two under up us use very was we well were what when where which while who will with without
would yes you your
"""
_LITTLE = frozenset(_WORDS.split())


def word_list(texts: Iterable[str], *, at_least: int = 2, most: int | None = 5000) -> list[str]:
    """The vocabulary of a catalogue: its words in ``at_least`` texts, most frequent first, small words left out."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({w for w in re.findall(r"[^\W\d_][\w'-]+", text.lower()) if w not in _LITTLE})
    ranked = sorted((-count, word) for word, count in counts.items() if count >= at_least)
    return [word for _, word in ranked[:most]]


def image_to_words(
    pictures: np.ndarray | Iterable[Any],
    encoder: ImageEncoder,
    vocabulary: Sequence[str] | None = None,
    *,
    texts: Iterable[str] | None = None,
    n: int = 15,
    chunk: int = 4096,
) -> list[list[str]]:
    """The ``n`` words nearest to each picture by cosine in CLIP space, nearest first.

    ``pictures`` are vectors (N, d) that ``encoder`` made, or the pictures themselves. The vocabulary is any word
    list; if none is given it is the words of ``texts``, the catalogue's own. Words the encoder does not know are
    left out, and a picture whose vector is zero (there is none) gets no words. ValueError if fewer than ``n`` words
    remain. Source: MP4SR Eq. 2.
    """
    if vocabulary is None:
        if texts is None:
            raise ValueError("give a vocabulary (a list of words) or the catalogue's texts to take the words from.")
        vocabulary = word_list(texts)
    words = list(dict.fromkeys(vocabulary))
    words = [word for word, known in zip(words, encoder.knows(words), strict=True) if known]
    if not 1 <= n <= len(words):
        raise ValueError(
            f"n={n} words a picture were asked for, but the encoder knows {len(words)} of the vocabulary. Ask for "
            f"fewer (keywords=0: none), or name a vocabulary of words that the encoder was trained with."
        )
    vectors = pictures if isinstance(pictures, np.ndarray) else encoder.encode(pictures)
    vectors = vectors.astype(np.float32)
    meaning = encoder.encode_texts(words)
    out: list[list[str]] = []
    for lo in range(0, len(vectors), chunk):
        block = vectors[lo : lo + chunk]
        nearest = np.argsort(-(block @ meaning.T), axis=1, kind="stable")[:, :n]
        out += [[words[k] for k in row] if any_.any() else [] for row, any_ in zip(nearest, block, strict=True)]
    return out
