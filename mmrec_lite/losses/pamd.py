"""PAMD's losses: what parts an item's modalities into common and specific, and what keeps the parts in order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmrec_lite.ops import unit_rows
from mmrec_lite.options import check_option

__all__ = ["cosine_gap", "disentangle_loss", "gap", "order_loss", "pointwise_loss"]


def disentangle_loss(common_a: Tensor, common_b: Tensor, specific_a: Tensor, specific_b: Tensor) -> dict[str, Tensor]:
    """Pull two modalities' common parts together and turn their specific parts square to one another.

    Shapes: (B, d) each -> `align`, the mean squared difference of the common parts over all entries, and
    `orthogonal`, the mean over items of the squared inner product of the specific parts (one number an item).
    Raises ``ValueError`` for shapes that differ.

    Source: PAMD Eq. 3, the two terms apart. Differs: means instead of sums; the printed norm around the product of
    two vectors is read as the square of their inner product, as released.

    >>> import torch
    >>> one, up = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    >>> {name: float(term) for name, term in disentangle_loss(one, up, one, 3 * up).items()}
    {'align': 2.0, 'orthogonal': 9.0}
    """
    _same_shapes("disentangle_loss", common_a, common_b, specific_a, specific_b)
    product = torch.linalg.vecdot(specific_a, specific_b)
    return {"align": F.mse_loss(common_a, common_b), "orthogonal": product.square().mean()}


def gap(target: Tensor, mapped: Tensor) -> Tensor:
    """How far what was mapped over from one modality lies from the other modality's own representation.

    Shapes: (B, d), (B, d) -> scalar, the mean squared difference over all entries.
    Raises ``ValueError`` for shapes that differ.

    Source: one summand of PAMD Eq. 5, 8 and 9. Differs: the mean instead of the sum.
    """
    _same_shapes("gap", target, mapped)
    return F.mse_loss(mapped, target)


def cosine_gap(target: Tensor, mapped: Tensor) -> Tensor:
    """One minus the cosine, item by item: the gap that ``order_loss(form="infonce")`` compares.

    Shapes: (B, d), (B, d) -> (B,) in [0, 2]; 1 where either is a zero vector.
    Raises ``ValueError`` for shapes that differ.

    Source: PAMD's released program (Train.py:25-34), which compares cosines instead of Eq. 5, 8 and 9.
    """
    _same_shapes("cosine_gap", target, mapped)
    return 1 - (unit_rows(target) * unit_rows(mapped)).sum(dim=1)


def order_loss(
    gap_common: Tensor,
    gap_primitive: Tensor,
    gap_specific: Tensor,
    form: str = "bounded",
    temperature: float = 0.5,
) -> Tensor:
    """Ask that common parts map over best, primitive representations next, specific parts worst.

    Shapes: three scalars, or (B,) each for the mean over items -> scalar.
    `form`:
        "bounded"  -log sigmoid(L_p - L_c) - log sigmoid(L_s - L_p), never below 0. The order the paper wants.
        "printed"  log sigmoid(L_c - L_p) + log sigmoid(L_p - L_s), Eq. 10 as it stands. The same order, but the
                   wider the gaps are apart the faster it falls: it has no lower bound.
        "infonce"  -log softmax of -gap / temperature, the common part against all three and the primitive one
                   against the specific, as released (gaps from ``cosine_gap``).
    Raises ``ValueError`` for another form, shapes that differ or a temperature <= 0.

    Source: PAMD Eq. 10. Differs: the default is bounded; its gradient reaches the encoders as well, as Eq. 11 and the
    program have it, while Eq. 10 is printed as a minimum over the maps alone. The released "infonce" adds up the
    specific part's cosines over the whole batch, a slip; here every item has its own.

    >>> import torch
    >>> gaps = torch.tensor(1.0), torch.tensor(1.0), torch.tensor(1.0)
    >>> [round(float(order_loss(*gaps, form=form)), 4) for form in ("bounded", "printed", "infonce")]
    [1.3863, -1.3863, 1.7918]
    """
    check_option("order_loss", "form", form, ("bounded", "printed", "infonce"))
    _same_shapes("order_loss", gap_common, gap_primitive, gap_specific)
    if form == "bounded":
        return (F.softplus(gap_common - gap_primitive) + F.softplus(gap_primitive - gap_specific)).mean()
    if form == "printed":
        return (F.logsigmoid(gap_common - gap_primitive) + F.logsigmoid(gap_primitive - gap_specific)).mean()
    if temperature <= 0:
        raise ValueError(f"order_loss: temperature = {temperature}, but it divides the gaps and must be > 0")
    logits = -torch.stack([gap_common, gap_primitive, gap_specific]) / temperature
    common_first = logits.log_softmax(dim=0)[0]
    primitive_second = logits[1:].log_softmax(dim=0)[0]
    return -(common_first + primitive_second).mean()


def pointwise_loss(pos_scores: Tensor, neg_scores: Tensor) -> Tensor:
    """Cross-entropy of each score's sigmoid on its own: what a user took is 1, what not 0.

    Shapes: (B,), (B,) -> scalar, the mean of softplus(-positive) + softplus(negative).
    Raises ``ValueError`` for different shapes.

    Source: PAMD's released program (Model.py:173-175) trains this and calls it BPR. Differs: the mean, not the sum.
    """
    _same_shapes("pointwise_loss", pos_scores, neg_scores)
    return (F.softplus(-pos_scores) + F.softplus(neg_scores)).mean()


def _same_shapes(name: str, *tensors: Tensor) -> None:
    shapes = [tuple(t.shape) for t in tensors]
    if len(set(shapes)) > 1:  # broadcasting would compare every item with every other
        raise ValueError(f"{name}: the shapes {', '.join(map(str, shapes))} differ")
