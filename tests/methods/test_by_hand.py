"""Whole trainings against plain loops in double precision, on dense matrices: batches, losses, Adam, early stopping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import mmrec_lite as mm
from mmrec_lite.metrics import ranking_metrics
from tests.tiny import tiny_shop

SHARED = {"dim": 6, "batch_size": 40, "lr": 0.02, "l2": 0.05, "epochs": 9, "patience": 3, "monitor": "ndcg@3"}
MICRO = {"k": 4, "lam": 0.4, "beta": 0.2, "temperature": 0.2}
CASES = [
    ("mf", {}, 1),
    ("lightgcn", {"layers": 3}, 2),
    ("lightgcn", {"graph": "row+self"}, 3),
    ("micro", MICRO, 4),
    ("micro", MICRO | {"rebuild": "batch", "self_loops": False, "norm": "row", "symmetric": False, "layers": 2}, 5),
    ("micro", MICRO | {"lam": 0.0, "variant": "micro/feats", "backbone": "mf"}, 6),
]


def holed_shop(seed: int):
    """Some items lack a modality, as in real data."""
    data, rng = tiny_shop(seed=seed), np.random.default_rng(seed)
    present = {name: rng.random(data.n_items) > 0.15 for name in data.modalities}
    features = {name: data.dense(name) * present[name][:, None] for name in data.modalities}
    return data.replace(features=features, present=present)


def row_scale(degree: Tensor, power: float) -> Tensor:
    return torch.where(degree > 0, degree.clamp(min=1e-300) ** power, 0.0)


def normalized(graph: Tensor, norm: str) -> Tensor:
    degree = graph.sum(1)
    if norm == "row":
        return row_scale(degree, -1)[:, None] * graph
    return row_scale(degree, -0.5)[:, None] * graph * row_scale(degree, -0.5)


def unit(x: Tensor) -> Tensor:
    return x * row_scale(x.square().sum(1), -0.5)[:, None]


def neighbours(x: Tensor, k: int, self_loops: bool) -> Tensor:
    cosines = unit(x) @ unit(x).T
    order = cosines.detach().clone().fill_diagonal_(torch.inf if self_loops else -torch.inf)
    near = order.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return cosines.clamp(min=0) * torch.zeros_like(cosines).scatter_(1, near, 1.0)


def infonce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    cross, inside = (unit(a) @ unit(other).T / temperature for other in (b, a))
    inside = inside.masked_fill(torch.eye(len(a), dtype=torch.bool), -torch.inf)
    return (torch.cat([cross, inside], dim=1).logsumexp(1) - cross.diagonal()).mean()


class ByHand:
    """A method's weights as plain tensors, and what it makes of them."""

    def __init__(self, model, split):
        self.c, self.data, self.n_users = model.config, split.dataset, split.n_users
        self.w = {name: p.detach().double().clone().requires_grad_() for name, p in model.named_parameters()}
        self.kept: dict[str, Tensor] = {}
        layers, graph = getattr(self.c, "cf_layers", None), getattr(self.c, "cf_graph", None)
        self.layers = layers if layers is not None else getattr(self.c, "layers", 0)
        if getattr(self.c, "backbone", model.name) == "mf":
            self.layers = 0
        taken = torch.from_numpy(split.matrix("train").toarray()).double()
        nodes = torch.zeros(sum(taken.shape), sum(taken.shape), dtype=torch.double)
        nodes[: split.n_users, split.n_users :], nodes[split.n_users :, : split.n_users] = taken, taken.T
        loops = (graph or getattr(self.c, "graph", "sym")) == "row+self"
        self.graph = normalized(nodes + torch.eye(len(nodes)) if loops else nodes, "row" if loops else "sym")

    def item_graph(self, name: str, content: Tensor, training: bool) -> Tensor:
        c = self.c
        if name in self.kept:
            return self.kept[name]
        raw, learned = (
            normalized(neighbours(x, c.k, c.self_loops), c.norm)
            for x in (torch.from_numpy(self.data.dense(name)).double(), content)
        )
        graph = c.lam * raw + (1 - c.lam) * learned
        if training and c.rebuild == "epoch":
            self.kept[name] = graph.detach()
        return graph

    def vectors(self, training: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Users, items and the contrast."""
        w, c = self.w, self.c
        layers = [torch.cat([w["backbone.user"], w["backbone.item"]])]
        for _ in range(self.layers):
            layers.append(self.graph @ layers[-1])
        user, item = torch.stack(layers).mean(0).split([self.n_users, self.data.n_items])
        if not hasattr(c, "beta"):
            return user, item, torch.zeros(())
        views, present = [], torch.tensor(np.stack([self.data.present[name] for name in self.data.modalities]))
        for name, there in zip(self.data.modalities, present, strict=True):
            features = torch.from_numpy(self.data.dense(name)).double()
            content = F.linear(features, w[f"transform.{name}.weight"], w[f"transform.{name}.bias"]) * there[:, None]
            view = content if c.variant == "micro/feats" else w["backbone.item"]
            graph = self.item_graph(name, content, training)
            for _ in range(c.layers):
                view = graph @ view
            views.append(view)
        stack = torch.stack(views)
        keys = F.linear(stack, w["fusion.project.weight"], w["fusion.project.bias"]).tanh()
        weights = (keys @ w["fusion.query.weight"][0]).masked_fill(~present, -1e300).softmax(0) * present
        fused = (weights[..., None] * stack).sum(0)
        pairs = [(view[there], fused[there]) for view, there in zip(views, present, strict=True)]
        contrast = torch.stack([infonce(a, b, c.temperature) for a, b in pairs]).mean()
        if c.symmetric:
            contrast = (contrast + torch.stack([infonce(b, a, c.temperature) for a, b in pairs]).mean()) / 2
        return user, item + unit(fused), contrast

    def loss(self, batch) -> Tensor:
        user, item, contrast = self.vectors(training=True)
        margin = (user[batch.users] * (item[batch.positives] - item[batch.negatives])).sum(1)
        own, items = self.w["backbone.user"], self.w["backbone.item"]
        length = sum(x.square().sum() for x in (own[batch.users], items[batch.positives], items[batch.negatives]))
        bpr = F.softplus(-margin).mean() + self.c.l2 * length / (2 * len(batch.users))
        return bpr + getattr(self.c, "beta", 0.0) * contrast


@pytest.mark.parametrize(("name", "settings", "seed"), CASES)
def test_a_training_is_the_plain_loop(name, settings, seed):
    split = mm.split(holed_shop(seed), "ratio", seed=seed)
    model = mm.create(name, split, seed=seed, **SHARED | settings)
    hand, c = ByHand(model, split), model.config
    optimizer = torch.optim.Adam(hand.w.values(), foreach=False)
    valid, seen = (torch.from_numpy(split.matrix(part).toarray() > 0) for part in ("valid", "train"))
    figures: list[float] = []
    best: dict[str, Tensor] = {}
    while len(figures) < c.epochs and len(figures) - 1 - (np.argmax(figures) if figures else 0) < c.patience:
        epoch = len(figures)
        optimizer.param_groups[0]["lr"] = c.lr * (0.96 ** (epoch / 50) if name == "micro" else 1)
        hand.kept.clear()
        for batch in model.batches(torch.Generator().manual_seed(seed * 1_000_003 + epoch)):
            optimizer.zero_grad()
            hand.loss(batch).backward()
            optimizer.step()
        hand.kept.clear()
        with torch.no_grad():
            user, item, _ = hand.vectors(training=False)
        figures.append(float(np.nanmean(ranking_metrics(user @ item.T, valid, seen, (3,))["ndcg@3"])))
        if np.argmax(figures) == epoch:
            best = {key: value.detach().clone() for key, value in hand.w.items()}
    history = mm.fit(model, split, precision="64-true", progress=False)
    assert history.frame["valid ndcg@3"].tolist() == pytest.approx(figures)
    for key, value in model.named_parameters():
        torch.testing.assert_close(value.double(), best[key], rtol=1e-4, atol=1e-5)
