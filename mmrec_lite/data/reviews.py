"""What users wrote, as one vector a user or an item."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from .errors import DataError
from .splits import Split

__all__ = ["mean_reviews"]


def mean_reviews(split: Split, side: str = "user") -> tuple[np.ndarray, np.ndarray]:
    """Average the review vectors of each user (``side="user"``) or of each item over the training rows.

    Every review counts the same, however many vectors it has. A review of a validation or test row tells what is to
    be predicted and is never read.
    Shapes: -> means (n, d) float32, written (n,) bool, False for who has no training review; their mean is zero.
    Raises `DataError` without sequences["reviews"] over interactions, or for another side.

    Source: MCPTR Eq. 3-4 (average pooling, for users).
    """
    reviews = split.dataset.sequences.get("reviews")
    if reviews is None or reviews.rows != "interactions":
        raise DataError(
            f"data set {split.dataset.name!r} has no review vectors: sequences['reviews'] must be IndexedVectors with "
            f"rows='interactions'. features.encode_sentences(list(data.interactions['review']), encoder, "
            f"rows='interactions') makes them from the texts."
        )
    if side not in ("user", "item"):
        raise DataError(f"mean_reviews: side = {side!r} is unknown; choose 'user' or 'item'.")
    rows = split.review_rows()
    n = split.n_users if side == "user" else split.n_items
    owners = split.dataset.interactions[side].to_numpy()[rows]
    counts = np.bincount(owners, minlength=n)
    there = reviews.mask[rows]
    lengths = there.sum(axis=1)
    weights = np.repeat(1.0 / (counts[owners] * lengths), lengths).astype(np.float32)
    # A sparse product sums without a dense row for each review: there are many more reviews than users.
    entries = (np.repeat(owners, lengths), reviews.index[rows][there])
    average = csr_array((weights, entries), shape=(n, len(reviews.vectors)))
    return average @ reviews.vectors.astype(np.float32), counts > 0
