"""MixGCF: negatives made up from positives, candidates and the layers of a graph convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmrec_lite import parallel
from mmrec_lite.graphs import propagate
from mmrec_lite.losses import bpr_loss, embedding_l2
from mmrec_lite.options import check_option

__all__ = ["hop_layers", "mixgcf_loss", "mixgcf_negatives"]


def hop_layers(graph: Tensor, nodes: Tensor, layers: int, transpose: Tensor | None = None) -> list[Tensor]:
    """Return the node vectors (N, d) of each layer 0..L, before they are pooled."""
    out = [nodes]
    for _ in range(layers):
        out.append(propagate(graph, out[-1], 1, "last", transpose))
    return out


def mixgcf_negatives(
    users: Tensor, item_layers: Sequence[Tensor], positives: Tensor, candidates: Tensor, alpha: Tensor
) -> Tensor:
    """Make one hard negative a pair and layer.

    Positive mixing draws each candidate towards the positive, alpha e+ + (1 - alpha) e-, in every layer; hop mixing
    then takes, layer by layer, the mixed candidate that the user scores highest, so that a negative's layers may come
    from different items. Pool them like any item's. With one alpha for all candidates the choice does not depend
    on it.

    Shapes: users (B, d) pooled vectors, item_layers of L + 1 tensors (I, d), positives (B,) and candidates (B, M) item
    numbers, alpha (L + 1, B, 1) or, one a candidate, (L + 1, B, M), in [0, 1] -> (L + 1, B, d). Gradients flow to the
    items mixed, not through the choice.
    Raises ``ValueError`` for shapes that do not fit.

    Source: MixGCF Eq. 4-6, which MCPTR section 3.6 fine-tunes with.
    """
    chosen, share = _hop_mixing(users, item_layers, positives, candidates, alpha)
    layers = zip(item_layers, chosen, share, strict=True)
    return torch.stack([a * items[positives] + (1 - a) * items[best] for items, best, a in layers])


@torch.no_grad()
def _hop_mixing(
    users: Tensor, item_layers: Sequence[Tensor], positives: Tensor, candidates: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the item chosen in each layer (L + 1, B) and its alpha (L + 1, B, 1); shapes as in `mixgcf_negatives`.

    No mixed candidate is built: the score is linear, so the mixed scores are the scores' mixture.
    """
    (b, m), h = candidates.shape, len(item_layers)
    if len(users) != b or len(positives) != b or tuple(alpha.shape) not in ((h, b, 1), (h, b, m)):
        raise ValueError(
            f"mixgcf_negatives: {len(users)} users, {len(positives)} positives, candidates {(b, m)} and alpha "
            f"{tuple(alpha.shape)} do not fit; alpha must be {(h, b, 1)} or {(h, b, m)}"
        )
    one_each = alpha.shape[2] == m > 1
    best = []
    for items, share in zip(item_layers, alpha, strict=True):
        scores = _candidate_scores(users, items, candidates)
        if one_each:
            scores = share * (users * items[positives]).sum(1, keepdim=True) + (1 - share) * scores
        best.append(scores.argmax(dim=1))
    index = torch.stack(best)[..., None]
    chosen = candidates.expand(h, b, m).gather(2, index).squeeze(2)
    return chosen, alpha.gather(2, index) if one_each else alpha


def _candidate_scores(users: Tensor, items: Tensor, candidates: Tensor) -> Tensor:
    """Return the inner product of every user (B, d) with its candidates (B, M) among the items (I, d) -> (B, M).

    A product sampled at the candidates: fetching their B * M rows first takes 15 times as long. Where a user has more
    candidates than there are items, which a sparse row cannot hold, all products are the cheaper ones.
    """
    wide = torch.promote_types(users.dtype, torch.float32)  # there is no sparse product of 16 bits
    users, items = users.to(wide), items.to(wide)
    b, m = candidates.shape
    if m > len(items):
        return (users @ items.T).gather(1, candidates)
    crow = torch.arange(0, b * m + 1, m, device=users.device)
    zeros = users.new_zeros(b * m)
    pattern = torch.sparse_csr_tensor(crow, candidates.reshape(-1), zeros, (b, len(items)), check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, users, items.T, beta=0.0).values().view(b, m)


def mixgcf_loss(
    layers: Sequence[Tensor],
    n_users: int,
    users: Tensor,
    positives: Tensor,
    candidates: Tensor,
    l2: float,
    mixing: str = "hop",
) -> dict[str, Tensor]:
    """BPR of a batch against negatives from `mixgcf_negatives`, and L2 on the vectors of layer 0.

    Shapes: layers of L + 1 node tensors (U + I, d), users first, pooled by their mean as in LightGCN; users and
    positives (B,), candidates (B, M) -> terms `bpr` and `l2`. ``mixing="hop"`` draws one alpha a pair and layer
    (MixGCF Eq. 4), ``"candidate"`` one for each candidate too.
    Raises ``ValueError`` for another mixing.

    Source: MixGCF Eq. 3-6; layer 0's L2, the mixed negative's included, as in the released program.
    """
    check_option("mixgcf_loss", "mixing", mixing, ("hop", "candidate"))
    parts = [len(users)] * 3
    with torch.no_grad():
        pooled = torch.stack([nodes[users] for nodes in layers]).mean(dim=0)
        shape = candidates.shape if mixing == "candidate" else (len(users), 1)
        alpha = parallel.rand(len(layers), *shape, dim=1, device=pooled.device, dtype=pooled.dtype)
        item_layers = [nodes[n_users:] for nodes in layers]
        chosen, alpha = _hop_mixing(pooled, item_layers, positives, candidates, alpha)
    # One gather a layer: the gradient of each is a table of all nodes.
    rows = [
        nodes[torch.cat([users, n_users + positives, n_users + best])]
        for nodes, best in zip(layers, chosen, strict=True)
    ]
    user, positive, picked = torch.stack(rows).split(parts, dim=1)
    negative = alpha * positive + (1 - alpha) * picked
    u, p, n = (part.mean(dim=0) for part in (user, positive, negative))
    return {
        "bpr": bpr_loss((u * p).sum(dim=1), (u * n).sum(dim=1)),
        "l2": l2 * embedding_l2(user[0], positive[0], negative[0]),
    }
