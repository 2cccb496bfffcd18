"""MP4SR's layers: sentences to an item, experts, and what is done to sequences before they are encoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite import parallel
from mmrec_lite.data.batches import sent

__all__ = ["ContentEncoder", "MixtureOfExperts", "SentenceAttention", "complementary_mixup", "drop_items"]


class SentenceAttention(nn.Module):
    """Weigh an item's sentence vectors and add them up.

    Source: MP4SR Eq. 3: softmax((x W_1 + b_1) W_2 + b_2) over the item's sentences, no activation between the two maps.
    The two maps are multiplied first: a sentence then costs one inner product instead of d_a.
    """

    def __init__(self, width: int, attention_dim: int = 64):
        super().__init__()
        self.first = nn.Linear(width, attention_dim)
        self.second = nn.Linear(attention_dim, 1)

    def importance(self, vectors: Tensor) -> Tensor:
        """The number before the softmax: (N, width) -> (N,)."""
        weight = self.first.weight.T @ self.second.weight[0]
        return vectors @ weight + (self.second(self.first.bias))

    def forward(self, vectors: Tensor, index: Tensor, filled: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Fuse the sentences of R items; a vector that several items share is looked at once.

        Shapes: vectors (N, width), index (R, L) int64 into them, -1 for padding -> fused (R, width), weights (R, L),
        which add up to 1 over an item's sentences and are 0 at padding. An item without any gets a zero vector.
        ``filled`` (S,) are the entries of the flattened index that are no padding, where they are known: a GPU that
        has to find them is waited for.
        """
        there = index >= 0
        filled = there.flatten().nonzero().squeeze(1) if filled is None else filled
        flat = index.flatten()[filled]
        logits = vectors.new_full(index.shape, torch.finfo(vectors.dtype).min)
        logits = logits.masked_scatter(there, self.importance(vectors).to(logits.dtype)[flat])
        weights = logits.softmax(dim=1) * there
        counts = there.sum(dim=1)
        starts = counts.cumsum(0) - counts
        # The bag adds up weighted rows where they lie: no (R, L, width) copy, no work at padding.
        fused = F.embedding_bag(flat, vectors, starts, mode="sum", per_sample_weights=weights.flatten()[filled])
        return fused, weights


class MixtureOfExperts(nn.Module):
    """Adapt a content vector by O experts (linear, dropout, layer norm), mixed by a softmax gate.

    Source: MP4SR Eq. 4-5, with the biases the paper leaves out for simplicity. All experts are one matrix product.
    """

    def __init__(self, width: int, dim: int, experts: int = 8, dropout: float = 0.2):
        super().__init__()
        self.experts = nn.Linear(width, experts * dim)
        self.gate = nn.Linear(width, experts)
        self.scale = nn.Parameter(torch.ones(experts, dim))
        self.shift = nn.Parameter(torch.zeros(experts, dim))
        self.dropout = dropout

    def gates(self, x: Tensor) -> Tensor:
        """How much each expert counts, adding up to 1: (R, width) -> (R, O)."""
        return self.gate(x).softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (R, width) -> (R, dim)."""
        out = parallel.dropout(self.experts(x), self.dropout, self.training).unflatten(
            -1, self.scale.shape
        )  # (R, O, dim)
        gates = self.gates(x)
        # sum_k g_k (norm_k * scale_k + shift_k), the shift taken out of the sum over (R, O, dim)
        out = F.layer_norm(out, self.scale.shape[-1:]) * self.scale
        return (gates.unsqueeze(-2) @ out).squeeze(-2) + gates @ self.shift


class ContentEncoder(nn.Module):
    """An item's sentence vectors to one vector of the sequences' space: attention, then experts.

    Source: MP4SR 3.3.2. An item without content gets a zero vector, not what the experts make of nothing.
    """

    def __init__(self, width: int, dim: int, attention_dim: int = 64, experts: int = 8, dropout: float = 0.2):
        super().__init__()
        self.attention = SentenceAttention(width, attention_dim)
        self.experts = MixtureOfExperts(width, dim, experts, dropout)

    def forward(self, vectors: Tensor, index: Tensor, filled: Tensor | None = None) -> Tensor:
        """Shapes: vectors (N, width), index (R, L) int64 into them, -1 for padding -> (R, dim); `filled` if known."""
        return self.experts(self.attention(vectors, index, filled)[0]) * (index >= 0).any(dim=1, keepdim=True)


def drop_items(
    items: Tensor, lengths: Tensor, ratio: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Drop each item of each sequence with probability `ratio`; what is left moves together.

    A sequence's first item is always kept, so that no sequence and no prefix of one is ever empty (as released).

    Shapes: items (B, L) int64, lengths (B,) >= 1 -> kept items (B, L'), their lengths (B,), and last (B, L): for each
    original position, where the last kept item up to and including it now stands. What was to follow position t is
    thus to be predicted from new position last[t].

    Source: MP4SR 3.3.1. Differs: all prefixes of a sequence share one draw, so that one pass serves them.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"drop_items: ratio = {ratio}, but it is a probability below 1")
    real = torch.arange(items.shape[1], device=items.device) < lengths[:, None]
    draw = parallel.rand(*items.shape, generator=generator, device=generator.device if generator else None)
    keep = draw.to(items.device) >= ratio
    keep[:, 0] = True
    keep &= real
    left = keep.sum(dim=1)
    longest = parallel.largest(int(left.max()))  # all processes pad alike, or they would draw unlike numbers later
    order = (~keep).sort(dim=1, stable=True).indices[:, :longest]
    return items.gather(1, order), left, keep.cumsum(dim=1) - 1


def complementary_mixup(
    text: Tensor, image: Tensor, ratio: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Swap the two modalities at each position with probability `ratio`.

    Shapes: (B, L, d) twice -> (B, L, d) twice. At every position the two results hold the same two vectors as the
    inputs: their sum is the inputs' sum.

    Source: MP4SR 3.3.3.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"complementary_mixup: ratio = {ratio}, but it is a probability")
    draw = parallel.rand(*text.shape[:-1], generator=generator, device=generator.device if generator else None)
    swap = sent(draw < ratio, text.device).unsqueeze(-1)
    return torch.where(swap, image, text), torch.where(swap, text, image)
