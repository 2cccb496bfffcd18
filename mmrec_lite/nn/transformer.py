"""The causal transformer of sequential recommendation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite import parallel

__all__ = ["CausalTransformer"]


class CausalTransformer(nn.Module):
    """Encode sequences so that position t has seen positions 0..t and nothing later.

    Learned positions, then layers of multi-head attention and a feed-forward network, each followed by dropout, the
    residual and a layer norm. Sequences are padded at their *end*: no real position ever sees padding, so no mask is
    needed and one pass gives the representation of every prefix.

    Source: MP4SR 3.3.4 and SASRec (Kang and McAuley, ICDM 2018), in the form of S3-Rec's and RecBole's programs: layer
    norm and dropout after the positions are added, GELU, weights drawn from N(0, 0.02).
    """

    def __init__(
        self, dim: int = 64, layers: int = 2, heads: int = 2, inner: int = 256, dropout: float = 0.2, length: int = 50
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"CausalTransformer: dim = {dim} is not a multiple of heads = {heads}")
        self.dropout = dropout
        self.position = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList(_Layer(dim, heads, inner, dropout) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (B, L, d) -> (B, L, d), L at most `length`."""
        if x.shape[1] > len(self.position):
            raise ValueError(f"CausalTransformer: sequences of {x.shape[1]}, but there are {len(self.position)} places")
        x = parallel.dropout(self.norm(x + self.position[: x.shape[1]]), self.dropout, self.training)
        for layer in self.layers:
            x = layer(x)
        return x


class _Layer(nn.Module):
    """Causal attention and a feed-forward network."""

    def __init__(self, dim: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attend, self.merge = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        for linear in (self.attend, self.merge, self.widen, self.narrow):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        drop = self.dropout if self.training else 0.0
        query, key, value = (
            self.attend(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, L, d/h)
        seen = _attend(query, key, value, drop)
        x = self.norms[0](x + parallel.dropout(self.merge(seen.transpose(1, 2).flatten(2)), drop))
        return self.norms[1](x + parallel.dropout(self.narrow(F.gelu(self.widen(x))), drop))


def _attend(query: Tensor, key: Tensor, value: Tensor, drop: float) -> Tensor:
    """Causal attention, (B, heads, L, d/h) thrice; written out where several processes must drop alike."""
    if drop == 0 or parallel.current() is None:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=drop, is_causal=True)
    logits = query @ key.mT / query.shape[-1] ** 0.5
    later = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
    return parallel.dropout(logits.masked_fill(later, -torch.inf).softmax(dim=-1), drop) @ value
