"""Time PAMD in a process of its own and print a line of JSON: seconds and peak memory.

python -m tests.benchmarks.pamd recommend pamd FOLDER '{"batch_size": 100}' --batches 50

Beside the library's PAMD stands a plain one, the loop that the released program runs: every pair's two items are
encoded anew, together with all six mapped parts that only pre-training needs, and every user's 1,000 candidates are
encoded for that user alone.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

import mmrec_lite as mm
from mmrec_lite.data import Split
from mmrec_lite.experiments import peak_memory
from mmrec_lite.losses import pointwise_loss
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.pamd import PAMD
from tests.benchmarks.process import optimizer_of

CANDIDATES = 1000
# The released program's model: linear maps, raw anchors, the user asks, cross-entropy on single pairs.
RELEASED = {"depth": 1, "dim": 100, "anchors": "raw", "order": "infonce", "query": "user", "scaled": False}
RELEASED |= {"objective": "pointwise", "l2": 0.0}


class PlainPAMD(PAMD):
    """PAMD's recommendation as the released program computes it, pair by pair."""

    name = "pamd-plain"

    def pair_scores(self, users, items):
        """Score pairs (B,), (B,) -> (B,), everything about an item made at every place it stands in."""
        parts = {name: self.parts(name, items) for name in self.modalities}
        for here, own in parts.items():
            for part in own.values():
                self.maps[here](part)  # computed and thrown away, as released
        user, item = self.backbone()
        views = [parts[name][kind] for kind in self.kinds for name in self.modalities]
        logits = torch.stack([(user[users] * view).sum(dim=1) for view in views], dim=1)
        weights = logits.softmax(dim=1)
        final = item[items] + sum(weights[:, k, None] * view for k, view in enumerate(views))
        return (user[users] * final).sum(dim=1)

    def recommend_loss(self, batch):
        return {
            "bpr": pointwise_loss(
                self.pair_scores(batch.users, batch.positives), self.pair_scores(batch.users, batch.negatives)
            )
        }


def recommend(model: PAMD, batches: int) -> dict[str, float]:
    """Seconds of one epoch of the recommendation stage, from its first batches after a warm-up."""
    stage = model.stages()[-1]
    optimizer = optimizer_of(model, stage)
    model.train()
    took = []
    for i, batch in enumerate(stage.batches(torch.Generator().manual_seed(0))):
        if i == batches + 2:
            break
        started = time.perf_counter()
        optimizer.zero_grad()
        sum(stage.loss(batch).values()).backward()
        optimizer.step()
        took.append(time.perf_counter() - started)
    batch = float(np.mean(took[2:]))
    return {"seconds": batch * stage.n_batches, "batch": batch}


@torch.no_grad()
def sampled_plain(model: PlainPAMD, split: Split, users: int = 100) -> dict[str, float]:
    """Seconds of ranking against sampled candidates for all users, from the first of them, one user at a time."""
    model.eval()
    rng, test = np.random.default_rng(0), split.matrix("test").tolil().rows
    seen = split.matrix("train").tolil().rows
    everyone = split.users("test")
    started = time.perf_counter()
    for user in everyone[:users]:
        free = np.setdiff1d(np.arange(split.n_items), [*seen[user], *test[user]])
        items = np.concatenate([test[user], rng.choice(free, CANDIDATES, replace=False)]).astype(np.int64)
        scores = model.pair_scores(torch.full((len(items),), int(user)), torch.from_numpy(items))
        scores.argsort(descending=True)[:10].tolist()
    one = (time.perf_counter() - started) / users
    return {"seconds": one * len(everyone), "a user": one}


def sampled(model: PAMD, split: Split) -> dict[str, float]:
    """Seconds of ranking against sampled candidates for all users, by ``mm.evaluate``; items are encoded anew."""
    started = time.perf_counter()
    report = mm.evaluate(model, split, ks=(10,), candidates=CANDIDATES)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "a user": seconds / len(report.per_user)}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("recommend", "sampled"))
    parser.add_argument("method")
    parser.add_argument("folder")
    parser.add_argument("hyper", nargs="?", default="{}")
    parser.add_argument("--batches", type=int, default=20)
    args = parser.parse_args()
    REGISTRY["pamd-plain"] = PlainPAMD
    split = mm.split(mm.load(args.folder), "ratio", seed=0)
    model = mm.create(args.method, split, **json.loads(args.hyper))
    if args.what == "recommend":
        out = recommend(model, args.batches)
    else:
        out = sampled_plain(model, split) if isinstance(model, PlainPAMD) else sampled(model, split)
    print(json.dumps(out | {"MiB": peak_memory(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
