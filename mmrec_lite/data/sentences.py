"""Where an item's sentences come from: what data sets hold of them, and what may stand in."""

from __future__ import annotations

import numpy as np

from .dataset import MultimodalDataset
from .vectors import IndexedVectors

__all__ = ["SENTENCES", "item_sentences"]

SENTENCES = {"text": "sentences", "image": "keywords"}  # the sequences that a modality's sentences are read from


def item_sentences(data: MultimodalDataset, modality: str, raw_image: bool = False) -> IndexedVectors:
    """Return a modality's sentence vectors, a row an item.

    Text is `sequences["sentences"]`, or else the feature "text", which counts as one sentence. Image is
    `sequences["keywords"]`, the words of each picture as a sentence; with `raw_image` the feature "image". Any other
    modality is the feature of that name. Raises ``ValueError`` that says what is missing, how to add it, and what
    works without it.
    """
    key = SENTENCES.get(modality)
    sequence = data.sequences.get(key) if key else None
    raw_image = raw_image and modality == "image"
    if sequence is not None and sequence.rows == "items" and not raw_image:
        return sequence
    if modality in data.features and (modality != "image" or raw_image):
        rows = np.where(data.present[modality], np.arange(data.n_items), -1)
        return IndexedVectors(data.features[modality], rows[:, None].astype(np.int32))
    if modality == "text":
        what, how = "sentences (sequences['sentences'], a row an item)", "features.text.encode_sentences makes them"
    elif modality == "image" and not raw_image:
        what = "words of pictures (sequences['keywords'], a row an item)"
        how = "features.keywords or `mmrec data encode` finds them"
        how += "; variant='ResNet-style' reads the feature 'image' instead" if "image" in data.features else ""
    else:
        what, how = f"the feature {modality!r}", f"name it when reading (features={{{modality!r}: ...}})"
    has = {name for name, key in SENTENCES.items() if key in data.sequences} | {*data.features} - {"image"}
    others = sorted(has - {modality})
    without = f"modalities={others[0]!r}" if others else "method 'sasrec', which reads item IDs alone"
    if not others and "image" in data.features and not raw_image:
        without = "modalities='image', variant='ResNet-style', which reads the feature 'image'"
    raise ValueError(
        f"mp4sr needs {what}, which data set {data.name!r} has not. To add them: {how}. Without them: {without}."
    )
