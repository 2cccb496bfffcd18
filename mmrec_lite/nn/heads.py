"""What content representations are plugged into: attention and BPR, BPR++, NFM++, NeuMF++.

A head scores pairs in training and whole blocks of users in ranking. Both start from `items` and `users`, which make
all that one side can compute without the other, so that ranking does each item's and each user's share once.

Shapes throughout: user and item embeddings (n, d) as a backbone made them, `views` (n, K, d) the K representations of
each item, `present` (n, K) bool; rows of absent views are zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_lite.nn.disentangle import ModalityAttention
from mmrec_lite.ops import CHUNK_ELEMENTS, masked_softmax
from mmrec_lite.options import check_option

__all__ = ["AttentionHead", "ConcatHead", "Head", "NFMHead", "NeuMFHead", "bi_interaction", "in_chunks", "make_head"]

Side = tuple[Tensor, ...]


def in_chunks(score: Callable[[Side], Tensor], users: Side, elements_a_user: int) -> Tensor:
    """Score some users at a time, so that the largest intermediate stays below `CHUNK_ELEMENTS`.

    Shapes: users (B, ...) each, `score` of (b, ...) -> (b, I) -> (B, I).
    """
    step = max(1, CHUNK_ELEMENTS // max(1, elements_a_user))
    size = len(users[0])
    if size <= step:
        return score(users)
    return torch.cat([score(tuple(part[i : i + step] for part in users)) for i in range(0, size, step)])


class Head(nn.Module):
    """How users' and items' embeddings and the items' representations become scores.

    The inner product is the default of `pairs` and `table`; what a subclass adds must keep both in agreement.
    """

    vectors = True  # whether `items` is one vector an item whose inner product with the user's is the score

    def users(self, index: Tensor, user: Tensor) -> Side:
        """Return the users' side: index (n,) the users' numbers, user (n, d) their embeddings."""
        return (user,)

    def items(self, index: Tensor, item: Tensor, views: Tensor, present: Tensor) -> Side:
        """Return the items' side: index (n,), item (n, d), views (n, K, d), present (n, K)."""
        return (item,)

    def pairs(self, users: Side, items: Side) -> Tensor:
        """Score user b with item b, sides of B rows -> (B,)."""
        return torch.linalg.vecdot(users[0], items[0])

    def table(self, users: Side, items: Side) -> Tensor:
        """Score every user with every item, sides of B and I rows -> (B, I)."""
        return users[0] @ items[0].T


class AttentionHead(Head):
    """An item is its embedding plus its representations, weighted by attention; the score is the inner product.

    Source: PAMD Eq. 12-13 (query="item"). query="user" as released: the weights, and with them the item's vector,
    differ from user to user.
    """

    def __init__(self, query: str = "item", scaled: bool = True):
        super().__init__()
        check_option("AttentionHead", "query", query, ("item", "user"))
        self.attention = ModalityAttention(scaled)
        self.query = query
        self.vectors = query == "item"

    def items(self, index: Tensor, item: Tensor, views: Tensor, present: Tensor) -> Side:
        """The fused item vector; with the user's query the parts it will be fused from."""
        if self.query == "item":
            return (self.attention(item, views, present),)
        return item, views, present

    def pairs(self, users: Side, items: Side) -> Tensor:
        """Score pairs (B,)."""
        if self.query == "item":
            return super().pairs(users, items)
        item, views, present = items
        return torch.linalg.vecdot(users[0], self.attention(item, views, present, query=users[0]))

    def table(self, users: Side, items: Side) -> Tensor:
        """Score all (B, I). With the user's query no item vector is built.

        u . (e + sum_k a_k r_k) = u . e + sum_k a_k (u . r_k), and a is a softmax over the same u . r_k: one matrix
        product a representation is enough.
        """
        if self.query == "item":
            return super().table(users, items)
        item, views, present = items
        factor = self.attention.factor(item.shape[1])
        by_view, shown = views.movedim(1, 0), present.T[:, None]  # (K, I, d), (K, 1, I)

        def block(users: Side) -> Tensor:
            products = users[0] @ by_view.mT  # (K, b, I)
            weights = masked_softmax(products * factor, shown, dim=0)
            return users[0] @ item.T + (weights * products).sum(dim=0)

        return in_chunks(block, users, views.shape[1] * len(item))


class ConcatHead(Head):
    """BPR++: the concatenated representations beside the item's embedding, matched by a second user embedding.

    score = u . e + u' . W [r_1; ...; r_K]. On a graph backbone (u and e propagated) it is LightGCN++.

    Source: the model PAMD section 5.3 calls BPR++. Differs: W brings the concatenation to d; the paper does not
    say how it meets the user.
    """

    def __init__(self, n_users: int, dim: int, n_views: int):
        super().__init__()
        self.taste = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_users, dim))) if n_views else None
        self.content = content_map(n_views, dim)

    def users(self, index: Tensor, user: Tensor) -> Side:
        """[u; u'] (n, 2 d)."""
        return (user if self.taste is None else torch.cat([user, self.taste[index]], dim=1),)

    def items(self, index: Tensor, item: Tensor, views: Tensor, present: Tensor) -> Side:
        """[e; W r] (n, 2 d)."""
        return (item if self.content is None else torch.cat([item, self.content(views.flatten(1))], dim=1),)


def content_map(n_views: int, dim: int) -> nn.Linear | None:
    """A map of K concatenated representations to d; None without any. No bias: an item without content adds nothing."""
    return nn.Linear(n_views * dim, dim, bias=False) if n_views else None


def bi_interaction(total: Tensor, squares: Tensor) -> Tensor:
    """The sum over all pairs of features of the elementwise products of their weighted embeddings.

    Shapes: total (..., d) = sum_j x_j v_j, squares (..., d) = sum_j (x_j v_j)^2 -> (..., d).

    Source: NFM Eq. 4 in the linear-time form of its Eq. 5.
    """
    return (total.square() - squares) / 2


class NFMHead(Head):
    """NFM++: a factorisation machine over user, item and every entry of the representations, under a hidden layer.

    score = w_i + w . r + h . relu(W f + b), f the bi-interaction of u, e and r_j v_j over the entries r_j of
    [r_1; ...; r_K]. The user's own bias is left out: it does not change a ranking.

    Source: He and Chua, SIGIR 2017, Eq. 3-7, with PAMD's representations as features.
    """

    vectors = False

    def __init__(self, n_items: int, dim: int, n_views: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.content = content_map(n_views, dim)  # its weight (d, K d) holds the v_j as columns
        self.linear = nn.Linear(n_views * dim, 1, bias=False) if n_views else None
        self.hidden = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, 1, bias=False)

    def items(self, index: Tensor, item: Tensor, views: Tensor, present: Tensor) -> Side:
        """x = e + sum_j r_j v_j, the pairs within x, and the linear part: (n, d), (n, d), (n,)."""
        if self.content is None:
            return item, torch.zeros_like(item), self.bias[index]
        r = views.flatten(1)
        x = item + self.content(r)
        squares = item.square() + F.linear(r.square(), self.content.weight.square())
        return x, bi_interaction(x, squares), self.bias[index] + self.linear(r).squeeze(1)

    def _score(self, user: Tensor, items: Side) -> Tensor:
        # ((u + x)^2 - u^2 - squares) / 2 = u x + (x^2 - squares) / 2: the second summand is the item's alone.
        x, own, linear = items
        return linear + self.out(torch.relu(self.hidden(user * x + own))).squeeze(-1)

    def pairs(self, users: Side, items: Side) -> Tensor:
        """Score pairs (B,)."""
        return self._score(users[0], items)

    def table(self, users: Side, items: Side) -> Tensor:
        """Score all (B, I), some users at a time."""
        return in_chunks(lambda side: self._score(side[0][:, None], items), users, items[0].numel())


class NeuMFHead(Head):
    """NeuMF++: the product of the embeddings (GMF) beside a tower over user, item and content (MLP).

    score = h . [u * e; tower([p; q; r_1; ...; r_K])], the tower two layers with ReLU (d, d / 2) on embeddings p, q of
    its own.

    Source: He et al., WWW 2017, Eq. 12, with PAMD's representations beside the item's embedding.
    """

    vectors = False

    def __init__(self, n_users: int, n_items: int, dim: int, n_views: int):
        super().__init__()
        self.user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_users, dim)))
        self.item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n_items, dim)))
        half = max(1, dim // 2)
        # The first layer of the tower in three parts: what a user and what an item adds is computed once for each.
        self.from_user = nn.Linear(dim, dim)
        self.from_item = nn.Linear(dim, dim, bias=False)
        self.content = content_map(n_views, dim)
        self.second = nn.Linear(dim, half)
        self.out = nn.Linear(dim + half, 1, bias=False)

    def users(self, index: Tensor, user: Tensor) -> Side:
        """u weighted by h, and the user's share of the first layer: (n, d), (n, d)."""
        return user * self.out.weight[0, : user.shape[1]], self.from_user(self.user[index])

    def items(self, index: Tensor, item: Tensor, views: Tensor, present: Tensor) -> Side:
        """e, and the item's share of the first layer: (n, d), (n, d)."""
        share = self.from_item(self.item[index])
        return item, share if self.content is None else share + self.content(views.flatten(1))

    def _tower(self, user: Tensor, item: Tensor) -> Tensor:
        hidden = torch.relu(self.second(torch.relu(user + item)))
        return hidden @ self.out.weight[0, -hidden.shape[-1] :]

    def pairs(self, users: Side, items: Side) -> Tensor:
        """Score pairs (B,)."""
        return super().pairs(users, items) + self._tower(users[1], items[1])

    def table(self, users: Side, items: Side) -> Tensor:
        """Score all (B, I), some users at a time."""

        def block(side: Side) -> Tensor:
            return side[0] @ items[0].T + self._tower(side[1][:, None], items[1])

        return in_chunks(block, users, items[1].numel())


def make_head(name: str, n_users: int, n_items: int, dim: int, n_views: int) -> Head:
    """Make the head of "bpr++", "lightgcn++" (the same on another backbone), "nfm++" or "neumf++".

    Raises ``ValueError`` for another name.
    """
    check_option("make_head", "name", name, ("bpr++", "lightgcn++", "nfm++", "neumf++"))
    if name == "nfm++":
        return NFMHead(n_items, dim, n_views)
    if name == "neumf++":
        return NeuMFHead(n_users, n_items, dim, n_views)
    return ConcatHead(n_users, dim, n_views)
