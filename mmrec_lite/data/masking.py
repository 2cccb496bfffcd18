"""Taking content away, to see what a method does without it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .dataset import MultimodalDataset
from .errors import DataError
from .vectors import IndexedVectors

__all__ = ["mask_modalities"]

SHOWN_BY = {"sentences": "text", "keywords": "image"}  # item sequences made from a modality, hidden with it


def mask_modalities(
    dataset: MultimodalDataset, share: float, seed: int = 0, modalities: str | Iterable[str] | None = None
) -> MultimodalDataset:
    """A copy in which a share of the items lacks each modality: zero rows, `present` False.

    For each of `modalities` (default: all) round(share * n) of the n items that have it are drawn, independently of
    the other modalities. With one seed, what a smaller share hides a larger one hides too. The sentences of an item
    go with its text, the keywords with its image; the words and picture paths in the `items` table stay, no method
    reads them. Raises `DataError` for a share outside [0, 1] or an unknown modality.

    Source: PAMD section 5.7, Fig. 3b (20 % to 100 %).

    >>> import mmrec_lite as mm
    >>> half = mask_modalities(mm.load("bazaar"), 0.5)
    >>> half.name
    'bazaar-masked50'
    """
    if not 0 <= share <= 1:
        raise DataError(f"mask_modalities: share = {share}, but it is the part of the items to hide, 0 to 1.")
    names = dataset.check_modalities(dataset.modalities if modalities is None else modalities)
    features, present, sequences = dict(dataset.features), dict(dataset.present), dict(dataset.sequences)
    for name in names:
        # A stream of its own for each modality: what hides one does not depend on which others are hidden.
        rng = np.random.default_rng([seed, *name.encode()])
        having = rng.permutation(np.flatnonzero(present[name]))
        hidden = having[: round(share * len(having))]
        values, mask = features[name].copy(), present[name].copy()
        values[hidden], mask[hidden] = 0, False
        features[name], present[name] = values, mask
        for key in (key for key, shown in SHOWN_BY.items() if shown == name and key in sequences):
            if sequences[key].rows == "items":
                index = sequences[key].index.copy()
                index[hidden] = -1
                sequences[key] = IndexedVectors(sequences[key].vectors, index, "items")
    card = dataset.card | {"masked": {"share": share, "seed": seed, "modalities": list(names)}}
    name = f"{dataset.name}-masked{round(100 * share)}"
    return dataset.replace(name=name, features=features, present=present, sequences=sequences, card=card)
