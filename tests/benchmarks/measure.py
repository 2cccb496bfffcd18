"""Time one thing in a process of its own and print a line of JSON: seconds and the process's peak memory.

python -m tests.benchmarks.measure epoch micro FOLDER '{"negatives": 1024}' --batches 20
"""

from __future__ import annotations

import argparse
import json
import random

import numpy as np
import torch

import mmrec_lite as mm
from mmrec_lite.data import Split
from mmrec_lite.data.batches import PairBatches
from mmrec_lite.experiments import peak_memory
from mmrec_lite.losses import bpr_loss, embedding_l2
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.backbones import LightGCN
from mmrec_lite.methods.micro import MICRO
from mmrec_lite.methods.mixgcf import MixGCF
from mmrec_lite.nn import hop_layers
from mmrec_lite.ops import unit_rows
from tests.benchmarks.process import clock, optimizer_of


class PlainMICRO(MICRO):
    """MICRO with the contrast as one writes it down first, and as the released program computes it.

    One direction, view to fused; similarity rows in chunks of 4,096; bare exponentials; all intermediate matrices
    kept for the backward pass.
    """

    name = "micro-plain"

    def contrast(self, views, fused):
        fused, total = unit_rows(fused), 0.0
        for view in unit_rows(views):
            for start in range(0, len(view), 4096):
                rows = view[start : start + 4096]
                inside = (rows @ view.T / self.config.temperature).exp()
                cross = (rows @ fused.T / self.config.temperature).exp()
                here = torch.arange(len(rows))
                positive = cross[here, here + start]
                negatives = inside.sum(1) + cross.sum(1) - inside[here, here + start]
                total = total - (positive / negatives).log().sum()
        return total / views.shape[0] / views.shape[1]


class PlainLightGCN(LightGCN):
    """LightGCN trained by PyTorch's default Adam (see `optimizer_of`)."""

    name = "lightgcn-plain"


class PlainMixGCF(MixGCF):
    """MixGCF as one writes it down first: negatives drawn pair by pair, all mixed candidates of all layers built."""

    name = "mixgcf-plain"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.batches = PairBatches(split, config.batch_size)
        self.taken = [set(items) for items in np.split(*_by_user(split))]

    def loss(self, batch):
        candidates = torch.tensor([self.draw(user) for user in batch.users.tolist()])
        b, n = self.backbone, self.n_users
        layers = torch.stack(hop_layers(b.graph, torch.cat([b.user, b.item]), b.layers, b.transpose), dim=1)
        user, items = layers[batch.users], layers[n:]
        alpha = torch.rand(len(batch.users), 1, layers.shape[1], 1)
        negative = self.mix(user.mean(dim=1), items, batch.positives, candidates, alpha)
        positive = items[batch.positives]
        u, p, q = (part.mean(dim=1) for part in (user, positive, negative))
        l2 = self.config.l2 * embedding_l2(user[:, 0], positive[:, 0], negative[:, 0])
        return {"bpr": bpr_loss((u * p).sum(1), (u * q).sum(1)), "l2": l2}

    def draw(self, user: int) -> list[int]:
        out: list[int] = []
        while len(out) < self.config.n_candidates:
            item = random.randrange(self.n_items)
            if item not in self.taken[user]:
                out.append(item)
        return out

    @staticmethod
    def mix(users, items, positives, candidates, alpha):
        """Shapes: items (I, H, d), alpha (B, 1, H, 1) -> (B, H, d)."""
        mixed = alpha * items[positives][:, None] + (1 - alpha) * items[candidates]
        best = torch.einsum("bd,bmhd->bmh", users, mixed).argmax(dim=1)
        return mixed.gather(1, best[:, None, :, None].expand(-1, 1, -1, mixed.shape[-1])).squeeze(1)


def _by_user(split: Split) -> tuple[np.ndarray, np.ndarray]:
    users, items = split.pairs("train")
    order = np.argsort(users, kind="stable")
    return items[order], np.cumsum(np.bincount(users, minlength=split.n_users))[:-1]


REGISTRY |= {"micro-plain": PlainMICRO, "mixgcf-plain": PlainMixGCF, "lightgcn-plain": PlainLightGCN}


def epoch(model, batches: int | None) -> dict[str, float]:
    """Train one epoch, or its first batches with the rest extrapolated; the graph's rebuild counts once."""
    (stage,) = model.stages()
    optimizer = optimizer_of(model, stage)

    def one(number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        model.train()
        if stage.begin_epoch:
            stage.begin_epoch(number)
        started = clock()
        for i, batch in enumerate(stage.batches(generator)):
            if i == 1:
                took.append(clock() - started)
                started = clock()
            if batches is not None and i > batches:
                break
            optimizer.zero_grad()
            sum(stage.loss(batch).values()).backward()
            optimizer.step()
        took.append((clock() - started) / (min(batches or i, i)))

    took: list[float] = []
    one(0)  # warm-up: allocations, thread pool, the first Adam step
    took.clear()
    one(1)
    first, rest = took
    return {"seconds": first + rest * (stage.n_batches - 1), "batch": rest, "first batch": first}


def train(method: str, split: Split, hyper: dict, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, float]:
    """Train to the best validation epoch with each seed; return the means of time, epochs and test metrics.

    `recall@20, ±` is the standard deviation over the seeds.
    """
    rows = []
    for seed in seeds:
        model = mm.create(method, split, seed=seed, **hyper)
        history = mm.fit(model, split, progress=False)
        metrics = mm.evaluate(model, split, ks=(20,)).metrics
        rows.append({"seconds": history.seconds, "epochs": len(history.rows), **metrics})
    out = {key: float(np.mean([row[key] for row in rows])) for key in ("seconds", "epochs", "recall@20", "ndcg@20")}
    return out | {"recall@20, ±": float(np.std([row["recall@20"] for row in rows], ddof=1))}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("epoch", "graph", "evaluate", "train"))
    parser.add_argument("method")
    parser.add_argument("folder")
    parser.add_argument("hyper", nargs="?", default="{}")
    parser.add_argument("--batches", type=int)
    args = parser.parse_args()
    hyper = json.loads(args.hyper)
    started = clock()
    split = mm.split(mm.load(args.folder), "ratio", seed=0)
    loaded = clock()
    model = mm.create(args.method, split, **hyper)
    made = clock()
    out: dict[str, float] = {"load": loaded - started, "create": made - loaded}
    if args.what == "epoch":
        out |= epoch(model, args.batches)
    elif args.what == "evaluate":
        mm.evaluate(model, split, ks=(20,))
        started = clock()
        mm.evaluate(model, split, ks=(20,))
        out["seconds"] = clock() - started
    elif args.what == "graph":
        out["seconds"] = out["create"]
    else:
        out |= train(args.method, split, hyper)
    print(json.dumps(out | {"MiB": peak_memory(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
