"""MP4SR's losses: next item and cross-modality contrast in pre-training, one softmax over all items in fine-tuning."""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.utils.checkpoint
from torch import Tensor
from torch.nn import functional as F

from mmrec_lite.ops import CHUNK_ELEMENTS, unit_rows
from mmrec_lite.options import check_option

__all__ = ["catalogue_scores", "cross_modal_loss", "next_item_cross_entropy", "next_item_loss"]


def next_item_loss(
    seq_a: Tensor,
    seq_b: Tensor | None,
    items: Tensor,
    item_ids: Tensor | None = None,
    temperature: float = 0.07,
    groups: Tensor | None = None,
    same_item: Literal["mask", "zero", "keep"] = "mask",
) -> Tensor:
    """Modality-specific next item prediction: both mixed sequences find their next item among the batch's.

    Case j's two sequence representations (one if ``seq_b`` is None) and its next item's representation are the
    positives; the other cases' next items are the negatives. Similarities are cosines, divided by ``temperature``.

    Shapes: seq_a, seq_b, items (B, d), item_ids (B,) -> scalar >= 0. Cases with the same ``item_ids`` are not negatives
    of one another, nor are cases of the same ``groups`` (B,), such as the prefixes of one user's sequence; None knows
    of no such cases. ``same_item="zero"`` sets the logit of a same item to 0 as released (it still adds e^0 = 1),
    "keep" leaves it the false negative that Eq. 7 prints.
    Raises ``ValueError`` for shapes that differ, a temperature <= 0 or another ``same_item``.

    Source: MP4SR Eq. 7-8. Differs: the mean over the batch; false negatives masked; log-sum-exp.
    """
    check_option("next_item_loss", "same_item", same_item, ("mask", "zero", "keep"))
    *sequences, items = _alike("next_item_loss", temperature, seq_a, seq_b, items)
    same, own = _alike_cases(item_ids, items), _alike_cases(groups, items)
    unit = unit_rows(items)
    everything, positive = [], []
    for sequence in sequences:
        cosines = unit_rows(sequence) @ unit.T / temperature
        if same is not None and same_item == "zero":
            cosines = cosines.masked_fill(same, 0.0)
        cosines = _barred(cosines, same if same_item == "mask" else None, own)
        everything.append(cosines.logsumexp(1))
        positive.append(cosines.diagonal())
    return (torch.stack(everything).logsumexp(0) - torch.stack(positive).logsumexp(0)).mean()


def cross_modal_loss(
    seq_a: Tensor,
    seq_b: Tensor,
    item_ids: Tensor | None = None,
    temperature: float = 0.07,
    groups: Tensor | None = None,
    form: Literal["intra", "printed"] = "intra",
) -> Tensor:
    """Cross-modality contrast: a case's two mixed sequences belong together, those of other cases do not.

    Negatives are the other cases' representations in the other view (inter-view) and in the same one (intra-view);
    both directions are averaged. Similarities are cosines, divided by ``temperature``.

    Shapes: seq_a, seq_b (B, d), item_ids and groups (B,) or None as in ``next_item_loss`` -> scalar >= 0.
    ``form="printed"`` takes the second sum as printed, without its hats: the inter-view negatives once more.
    Raises ``ValueError`` for shapes that differ, a temperature <= 0 or another form.

    Source: MP4SR Eq. 9-10, after GCA (Zhu et al., WWW 2021). Differs: the mean over the batch; cases with the same next
    item or of one sequence are no negatives; log-sum-exp.
    """
    check_option("cross_modal_loss", "form", form, ("intra", "printed"))
    a, b = (unit_rows(seq) for seq in _alike("cross_modal_loss", temperature, seq_a, seq_b))
    same, own = _alike_cases(item_ids, a), _alike_cases(groups, a)
    itself = torch.eye(len(a), dtype=torch.bool, device=a.device)
    cross = _barred(a @ b.T / temperature, same, own)
    total = cross.new_zeros(())
    for view, there in ((a, cross), (b, cross.T)):
        second = _barred(view @ view.T / temperature, same, own, itself) if form == "intra" else _barred(there, itself)
        total = total + (torch.logaddexp(there.logsumexp(1), second.logsumexp(1)) - cross.diagonal()).mean()
    return total / 2


def _alike(name: str, temperature: float, *rows: Tensor | None) -> list[Tensor]:
    """Return what is given, or raise ``ValueError`` for different shapes and a temperature that cannot divide."""
    given = [row for row in rows if row is not None]
    if len({tuple(row.shape) for row in given}) > 1 or given[0].ndim != 2:
        shapes = ", ".join(str(tuple(row.shape)) for row in given)
        raise ValueError(f"{name}: expected matrices (B, d) of one shape, got {shapes}")
    if temperature <= 0:
        raise ValueError(f"{name}: temperature = {temperature}, but it divides the cosines and must be > 0")
    return given


def _alike_cases(ids: Tensor | None, rows: Tensor) -> Tensor | None:
    """Which other cases have the same id: (B,) -> (B, B) bool, False on the diagonal."""
    if ids is None:
        return None
    if ids.shape != rows.shape[:1]:
        raise ValueError(f"ids of cases: expected ({len(rows)},), one a case, got {tuple(ids.shape)}")
    ids = ids.to(rows.device)
    return (ids[:, None] == ids).fill_diagonal_(False)


def _barred(logits: Tensor, *masks: Tensor | None) -> Tensor:
    """Take cases out of a partition sum: -inf where any mask says so; one pass over the logits for all masks."""
    given = [mask for mask in masks if mask is not None]
    return logits.masked_fill(functools.reduce(torch.logical_or, given), -torch.inf) if given else logits


def catalogue_scores(
    sequences: Tensor, items: Tensor, normalize: bool = False, temperature: float | None = None
) -> Tensor:
    """Score every item for some sequences: h_t (F_t + E)^T + h_v (F_v + E)^T, one product a view, added up.

    Shapes: sequences (V, B, d), items (V, I, d), one a view -> (B, I). ``normalize`` takes cosines in each view, and
    ``temperature`` divides, as the released program does.

    Source: MP4SR Eq. 12, before the softmax.
    """
    if normalize:
        sequences, items = unit_rows(sequences), unit_rows(items)
    # Views side by side: the sum over views is part of one product, and there is one (B, I) matrix.
    scores = sequences.transpose(0, 1).flatten(1) @ items.transpose(0, 1).flatten(1).T
    return scores if temperature is None else scores / temperature


def next_item_cross_entropy(
    sequences: Tensor,
    items: Tensor,
    targets: Tensor,
    normalize: bool = False,
    temperature: float | None = None,
    barred: Tensor | None = None,
    log_counts: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the next item under a softmax over all items.

    Shapes: sequences (V, B, d), items (V, I, d), targets (B,) int64 -> scalar, the mean over the cases. ``barred`` (I,)
    bool: items that are not on sale yet and no class. ``log_counts`` (I,): where the items are drawn ones, the
    logarithm of how many each stands for in the softmax's sum; the targets stand for themselves, 0. At most a block of
    (cases, I) scores lives at a time; where there are several, they are computed again on the way back.

    Source: MP4SR Eq. 12-13. Differs: the mean over the batch instead of the sum.
    """

    def block(rows: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        scores = catalogue_scores(rows, items, normalize, temperature)
        scores = scores if log_counts is None else scores + log_counts
        if barred is not None:
            scores = scores.masked_fill(barred, -torch.inf)
        return F.cross_entropy(scores.float() if scores.dtype.itemsize < 4 else scores, targets, reduction="sum")

    step = max(1, CHUNK_ELEMENTS // items.shape[1])
    if len(targets) <= step:
        return block(sequences, items, targets) / len(targets)
    total = sequences.new_zeros(())
    for start in range(0, len(targets), step):
        part = (sequences[:, start : start + step], items, targets[start : start + step])
        total = total + torch.utils.checkpoint.checkpoint(block, *part, use_reentrant=False)
    return total / len(targets)
