"""Time a stage of a sequential method in a process of its own and print a line of JSON: seconds and peak memory.

python -m tests.benchmarks.sequences pretrain mp4sr FOLDER --batches 8

Beside the library's MP4SR and SASRec stand plain ones, which compute what the released programs do: every prefix is a
row padded to 50, and MP4SR's experts adapt an item at every position it stands in.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

import mmrec_lite as mm
from mmrec_lite.data import IndexedVectors, MultimodalDataset
from mmrec_lite.experiments import peak_memory
from mmrec_lite.losses import cross_modal_loss, next_item_cross_entropy, next_item_loss
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.mp4sr import MP4SR
from mmrec_lite.methods.sequences import SASRec
from mmrec_lite.nn import complementary_mixup
from tests.benchmarks.process import clock, optimizer_of

USERS, ITEMS, INTERACTIONS = 13_614, 7_670, 131_311  # Amazon Pantry
WIDTH, CLUSTERS = 768, 120


def make(seed: int = 0) -> MultimodalDataset:
    """Pantry's size: 4-10 sentences and 1-10 pictures' words an item, 768-d, near their item's place with noise."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(CLUSTERS, size=ITEMS)
    place = rng.normal(size=(CLUSTERS, 48))[cluster] + 0.6 * rng.normal(size=(ITEMS, 48))

    def told(low: int, high: int) -> IndexedVectors:
        there = np.arange(high) < rng.integers(low, high + 1, size=ITEMS)[:, None]
        index = np.where(there, there.cumsum().reshape(there.shape) - 1, -1).astype(np.int32)
        signal = (place @ rng.normal(size=(48, WIDTH)))[np.nonzero(there)[0]]
        return IndexedVectors((signal / 7 + rng.normal(size=signal.shape)).astype(np.float16), index)

    lengths = 5 + rng.geometric(1 / (INTERACTIONS / USERS - 4), size=USERS)
    popular = np.exp(-0.55 * np.log(rng.permutation(ITEMS) + 1.0))
    users, items = [], []
    for user, length in enumerate(lengths):
        weight = popular * np.where(np.isin(cluster, rng.integers(CLUSTERS, size=3)), 30, 1)
        users.append(np.full(length, user))
        items.append(rng.choice(ITEMS, size=length, replace=False, p=weight / weight.sum()))
    table = {"user": np.concatenate(users), "item": np.concatenate(items)}
    return MultimodalDataset(
        name="pantry-size",
        users=pd.DataFrame({"user_id": np.arange(USERS).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(ITEMS).astype(str)}),
        interactions=pd.DataFrame(table | {"timestamp": np.arange(len(table["user"]))}),
        sequences={"sentences": told(4, 10), "keywords": told(1, 10)},
    )


def folder(root: Path) -> Path:
    """Return the saved data set below a folder, made when it is not there yet."""
    target = Path(root) / "pantry-size"
    return target if target.exists() else make().save(target)


class _PaddedPrefixes:
    """Every prefix a row padded to `max_length`."""

    def prefixes(self, batch):
        rows, ends = batch.cases.nonzero(as_tuple=True)
        places = torch.arange(self.config.max_length)
        items = F.pad(batch.items, (0, self.config.max_length))[rows][:, : self.config.max_length]
        return items * (places <= ends[:, None]), ends, batch.items[rows, ends + 1]

    def last(self, x, ends):
        return self.transformer(x)[torch.arange(len(ends)), ends]


class PlainSASRec(_PaddedPrefixes, SASRec):
    """SASRec on padded prefixes."""

    name = "sasrec-plain"

    def recommend_loss(self, batch, among=None, tables=None):
        items, ends, targets = self.prefixes(batch)
        return next_item_cross_entropy(self.last(self.item[items], ends)[None], self.item[None], targets)


class PlainMP4SR(_PaddedPrefixes, MP4SR):
    """MP4SR's steps as the released program computes them, on padded prefixes.

    Every item's sentences, filled up with zeros, are attended to once a step and without gradient; the experts, one
    after the other, work at every position, and besides on all items.
    """

    name = "mp4sr-plain"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.told = {}
        for name in self.modalities:
            vectors, index, _ = self.content(name)
            self.told[name] = vectors[index.clamp(min=0)] * (index >= 0).unsqueeze(-1)  # (I, L, width)

    @torch.no_grad()
    def fused(self, name):
        layer, told, index = self.encoder(name).attention, self.told[name], self._index[name]
        logits = layer.second(layer.first(told)).masked_fill((index < 0).unsqueeze(-1), -1e30)  # released: not masked
        return (logits.softmax(dim=1) * told).sum(dim=1)

    def adapted(self, name, fused):
        experts, out = self.encoder(name).experts, 0
        gates, count = experts.gates(fused), len(experts.scale)
        for k, (weight, bias) in enumerate(
            zip(experts.experts.weight.chunk(count), experts.experts.bias.chunk(count), strict=True)
        ):
            one = F.dropout(F.linear(fused, weight, bias), experts.dropout, self.training)
            out = out + gates[..., k, None] * F.layer_norm(one, one.shape[-1:], experts.scale[k], experts.shift[k])
        return out

    def pretrain_loss(self, batch, items=None):
        items, ends, targets = self.prefixes(batch)
        fused = {name: self.fused(name) for name in self.modalities}
        at = {name: self.adapted(name, fused[name][items]) for name in self.modalities}
        mixed = complementary_mixup(at["text"], at["image"], 0.25)
        h = {n: self.last(x, ends) for n, x in zip(self.modalities, mixed, strict=True)}
        terms = {}
        for name, other in (("text", "image"), ("image", "text")):
            a, b = self.project(name, h[name]), self.project(name, h[other])
            terms[f"nip {name}"] = next_item_loss(a, b, self.adapted(name, fused[name])[targets], targets)
            terms[f"cmcl {name}"] = self.config.lam * cross_modal_loss(a, b, targets)
        return terms

    def recommend_loss(self, batch, among=None, tables=None):
        items, ends, targets = self.prefixes(batch)
        fused = {name: self.fused(name) for name in self.scored}
        tables = torch.stack([self.adapted(name, fused[name]) for name in self.scored]) + self.item
        at = [self.adapted(name, fused[name][items]) + self.item[items] for name in self.scored]
        return next_item_cross_entropy(torch.stack([self.last(x, ends) for x in at]), tables, targets)


def stage_epoch(model, name: str, batches: int) -> dict[str, float]:
    """Time some batches of a stage's epoch after one to warm up; the rest is extrapolated."""
    stage = next(stage for stage in model.stages() if stage.name == name)
    optimizer = optimizer_of(model, stage)
    before = peak_memory()  # the interpreter, PyTorch with what its optimisers import, the data
    model.train()
    stage.begin_epoch and stage.begin_epoch(0)
    times = []
    for number, batch in enumerate(stage.batches(torch.Generator().manual_seed(0))):
        started = clock()
        optimizer.zero_grad()
        sum(stage.loss(batch).values()).backward()
        optimizer.step()
        times.append(clock() - started)
        if number == batches:
            break
    batch_seconds = float(np.mean(times[1:]))
    return {"seconds": batch_seconds * stage.n_batches, "batch": batch_seconds, "before a step": before}


def train(method: str, hyper: dict, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, float]:
    """Train on the shop as the lessons do; the mean over seeds, and of learning to recommend the seconds an epoch."""
    split = mm.split(mm.load("bazaar"), "leave-one-out")
    rows = []
    for seed in seeds:
        model = mm.create(method, split, seed=seed, profile="lecture", **hyper)
        history = mm.fit(model, split, progress=False)
        last = [row["seconds"] for row in history.rows if row["stage"] == "recommend"]
        metrics = mm.evaluate(model, split, ks=(20,)).metrics
        rows.append({"seconds": float(np.mean(last)), "epochs": len(last), **metrics})
    out = {key: float(np.mean([row[key] for row in rows])) for key in ("seconds", "epochs", "recall@20", "ndcg@20")}
    return out | {"recall@20, ±": float(np.std([row["recall@20"] for row in rows], ddof=1))}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=("pretrain", "recommend", "evaluate", "train"))
    parser.add_argument("method")
    parser.add_argument("folder")
    parser.add_argument("hyper", nargs="?", default="{}")
    parser.add_argument("--batches", type=int, default=8)
    args = parser.parse_args()
    REGISTRY.update({method.name: method for method in (PlainSASRec, PlainMP4SR)})
    hyper, out = json.loads(args.hyper), {}
    if args.stage == "train":
        out |= train(args.method, hyper)
    else:
        split = mm.split(mm.load(args.folder), "leave-one-out")
        model = mm.create(args.method, split, **hyper)
        if args.stage == "evaluate":
            started = clock()
            mm.evaluate(model, split, ks=(20,))
            out["seconds"] = clock() - started
        else:
            out |= stage_epoch(model, args.stage, args.batches)
    print(json.dumps(out | {"MiB": peak_memory(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
