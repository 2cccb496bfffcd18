"""MICRO's contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmrec_lite.ops import pairwise_infonce, unit_rows

__all__ = ["micro_contrast"]


def micro_contrast(
    view: Tensor | Sequence[Tensor],
    fused: Tensor,
    temperature: float = 0.5,
    symmetric: bool = True,
    negatives: int | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """InfoNCE between every item's modality-aware and fused representation.

    An item's two representations are the positive pair; all other items are negatives, in the other view
    (inter-view) and in its own (intra-view). Both directions are averaged; ``symmetric=False`` keeps view -> fused
    alone, as released. Similarities are cosines.

    Shapes: view (I, d), or (M, I, d) / a sequence of views for the mean over modalities, fused (I, d) -> scalar >= 0.
    The sum runs over all items in tiles and never holds (I, I). ``negatives=n`` estimates it from n + 1 items drawn
    without replacement by ``generator``: they are anchors and one another's negatives, each negative weighted by
    (I - 1) / n so that the partition sum keeps its size. ``dtype=torch.bfloat16`` computes the pair
    terms in bfloat16 and sums them in float32.
    Raises ``ValueError`` for shapes that differ, a temperature <= 0 or negatives < 1; I - 1 or more are all there are.

    Source: MICRO Eq. 10-12. Differs: loss = minus the paper's mutual information, averaged over modalities as printed
    (released: summed over modalities).
    """
    views = view if isinstance(view, Tensor) else torch.stack(list(view))
    views = views[None] if views.ndim == 2 else views
    if views.shape[1:] != fused.shape:
        raise ValueError(f"micro_contrast: view is {tuple(views.shape[1:])}, but fused {tuple(fused.shape)}")
    if temperature <= 0:
        raise ValueError(f"micro_contrast: temperature = {temperature}, but it divides the cosines and must be > 0")
    n_items = len(fused)
    if negatives is None or negatives >= n_items - 1:
        return pairwise_infonce(unit_rows(views), unit_rows(fused), temperature, symmetric, dtype)
    if negatives < 1:
        raise ValueError(f"micro_contrast: negatives = {negatives}, but at least one is needed")
    place = fused.device if generator is None else generator.device
    chosen = torch.randperm(n_items, generator=generator, device=place)[: negatives + 1].to(fused.device)
    each = (n_items - 1) / negatives
    return pairwise_infonce(unit_rows(views[:, chosen]), unit_rows(fused[chosen]), temperature, symmetric, dtype, each)
