"""PAMD's layers: encoders that part a modality in two, maps between modalities, attention over the parts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmrec_lite.ops import masked_softmax

__all__ = [
    "CrossModalMap",
    "DisentangledEncoder",
    "ModalityAttention",
    "mlp",
    "split_common_specific",
]


def mlp(d_in: int, d_out: int, depth: int = 2, bias: bool = True) -> nn.Sequential:
    """Make `depth` linear layers with GELU between them; hidden layers are as wide as the output.

    depth=1 is the plain linear map of PAMD's released program.
    """
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Linear(d_in if i == 0 else d_out, d_out, bias=bias))
        if i + 1 < depth:
            layers.append(nn.GELU())
    return nn.Sequential(*layers)


def split_common_specific(primitive: Tensor, extract: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Part a representation: what `extract` makes of it is common, the rest specific.

    Shapes: primitive (B, d), `extract` (B, d) -> (B, d); returns common (B, d) and specific (B, d), whose sum is the
    primitive representation by construction. Raises ``ValueError`` if `extract` changes the shape.

    Source: PAMD Eq. 1-2.
    """
    common = extract(primitive)
    if common.shape != primitive.shape:
        raise ValueError(
            f"split_common_specific: extract made {tuple(common.shape)} of {tuple(primitive.shape)}; the specific part "
            f"is the difference, so the shape must stay."
        )
    return common, primitive - common


class DisentangledEncoder(nn.Module):
    """One modality's features -> its primitive, common and specific representations.

    `disentangle=False` leaves the parting out, parameters included: only the primitive one is made.

    Source: PAMD section 4.1, Eq. 1-2. Differs: an MLP is one hidden layer with GELU; the paper gives neither. depth=1
    is as released: linear, the common part's map without bias.
    """

    def __init__(self, d_in: int, dim: int, depth: int = 2, disentangle: bool = True):
        super().__init__()
        self.encode = mlp(d_in, dim, depth)
        self.extract = mlp(dim, dim, depth, bias=depth > 1) if disentangle else None

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Encode features (B, d_m) -> `primitive` and, if parted, `common` and `specific`, (B, d) each."""
        primitive = self.encode(features)
        if self.extract is None:
            return {"primitive": primitive}
        common, specific = split_common_specific(primitive, self.extract)
        return {"primitive": primitive, "common": common, "specific": specific}


class CrossModalMap(nn.Module):
    """Map one modality's representations to the other's; the same weights for all three parts.

    Source: PAMD Eq. 4, 6 and 7 (Phi_v maps image -> text, Phi_t text -> image).
    """

    def __init__(self, dim: int, d_out: int | None = None, depth: int = 2):
        super().__init__()
        self.layers = mlp(dim, d_out or dim, depth)

    def forward(self, representation: Tensor) -> Tensor:
        """Map (B, d) -> (B, d_out)."""
        return self.layers(representation)


class ModalityAttention(nn.Module):
    """Weigh an item's representations by their inner product with a query and add them to the item's embedding.

    Has no parameters: the query and the representations are learned elsewhere.

    Source: PAMD Eq. 12-13, where the query is the item's embedding. Differs: the query may be the user's and
    ``scaled=False`` drops 1 / sqrt(d), both as released.
    """

    def __init__(self, scaled: bool = True):
        super().__init__()
        self.scaled = scaled

    def weights(self, query: Tensor, views: Tensor, present: Tensor | None = None) -> Tensor:
        """Attention weights.

        Shapes: query (B, d), views (B, K, d), present (B, K) bool or None (absent views get weight 0, and so do all
        where none is present) -> (B, K), which add up to 1 over the present views.
        """
        logits = torch.einsum("bd,bkd->bk", query, views) * self.factor(query.shape[-1])
        return masked_softmax(logits, present, dim=1)

    def factor(self, dim: int) -> float:
        """What the inner products are multiplied by: 1 / sqrt(d), or 1."""
        return 1 / math.sqrt(dim) if self.scaled else 1.0

    def forward(
        self, item: Tensor, views: Tensor, present: Tensor | None = None, query: Tensor | None = None
    ) -> Tensor:
        """Return item + sum_k weight_k view_k; the query is the item's embedding unless another is given.

        Shapes: item (B, d), views (B, K, d), present (B, K), query (B, d) -> (B, d).
        """
        weights = self.weights(item if query is None else query, views, present)
        return item + torch.einsum("bk,bkd->bd", weights, views)
