"""MCPTR's two pre-training losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmrec_lite.ops import unit_rows
from mmrec_lite.options import check_option

__all__ = ["cima_loss", "interaction_bce"]


def cima_loss(
    text: Tensor, image: Tensor, temperature: float = 0.1, form: str = "sigmoid", balanced: bool = True
) -> Tensor:
    """Contrastive inter-modal alignment: which of the N x N pairs of a text and an image belong to one item?

    ``form="sigmoid"``: binary cross-entropy of sigmoid(cos / temperature) against the identity. The N true pairs and
    the N^2 - N wrong ones weigh the same, half each; ``balanced=False`` weighs every pair the same, as printed, so
    that the wrong ones decide. ``form="softmax"``: cross-entropy of each text over all images and of each image over
    all texts, averaged, as in CLIP.

    Shapes: text (N, d), image (N, d), row n of both from item n -> scalar >= 0. Holds (N, N): N is a batch.
    Raises ``ValueError`` for shapes that differ, no rows, a temperature <= 0 or another form.

    Source: MCPTR Eq. 11. Differs: the printed s = cos / temperature is no probability (its logarithm does not exist
    for a negative cosine, nor that of 1 - s for a cosine above the temperature); a mean instead of the sum.
    """
    check_option("cima_loss", "form", form, ("sigmoid", "softmax"))
    if text.ndim != 2 or text.shape != image.shape or not len(text):
        raise ValueError(f"cima_loss: text is {tuple(text.shape)}, image {tuple(image.shape)}; both must be (N, d)")
    if temperature <= 0:
        raise ValueError(f"cima_loss: temperature = {temperature}, but it divides the cosines and must be > 0")
    logits = unit_rows(text) @ unit_rows(image).T / temperature
    n = len(logits)
    if form == "softmax":
        target = torch.arange(n, device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    true = logits.diagonal()
    missed = F.softplus(-true)  # -log sigmoid(l)
    mistaken = F.softplus(logits).sum() - F.softplus(true).sum()  # -log(1 - sigmoid(l)) of the wrong pairs
    if n == 1:
        return missed.mean()
    if balanced:
        return (missed.mean() + mistaken / (n * n - n)) / 2
    return (missed.sum() + mistaken) / (n * n)


def interaction_bce(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of sigmoid(score) for pairs of a user and an item, observed or drawn.

    Shapes: scores (B,), labels (B,) of 0 and 1 -> scalar >= 0, computed from the logits, which cannot overflow.
    Raises ``ValueError`` for different shapes.

    Source: MCPTR Eq. 15. Differs: sigmoid of the dot product (the bare one is no probability), drawn negatives
    instead of all unobserved pairs, a mean instead of the sum.

    >>> import torch
    >>> round(float(interaction_bce(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]))), 4)  # log 2
    0.6931
    """
    if scores.shape != labels.shape:
        raise ValueError(f"interaction_bce: {tuple(scores.shape)} scores against {tuple(labels.shape)} labels")
    return F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype))
