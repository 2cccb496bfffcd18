"""Time one thing on a large catalogue in a process of its own and print a line of JSON: seconds and peak memory.

python -m tests.benchmarks.large epoch micro 100000 --batches 4

An epoch is reckoned from its first batches, an evaluation from `USERS` users of all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

import numpy as np
import torch

import mmrec_lite as mm
from mmrec_lite.data import Split
from mmrec_lite.evaluation import evaluate
from mmrec_lite.experiments import peak_memory
from mmrec_lite.graphs import knn_graph
from tests.benchmarks import measure, neighbours
from tests.benchmarks.scaling import LARGE, large

USERS = 4096


def some_users(split: Split) -> Split:
    """The same split with the test interactions of `USERS` users alone."""
    users = split.users("test")
    chosen = np.random.default_rng(0).choice(users, min(USERS, len(users)), replace=False)
    test = split.test[np.isin(split.dataset.interactions["user"].to_numpy()[split.test], chosen)]
    return dataclasses.replace(split, test=test)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("graph", "epoch", "evaluate"))
    parser.add_argument("method", choices=tuple(LARGE))
    parser.add_argument("items", type=int)
    parser.add_argument("--batches", type=int)
    args = parser.parse_args()
    split = large(args.items)
    everybody = len(split.users("test"))
    if args.what == "evaluate":
        split = some_users(split)
    if args.method == "micro":
        knn_graph(neighbours.features(600), neighbours.K, method="approximate")  # pays for compilation
    started = time.perf_counter()
    model = mm.create(args.method, split, **LARGE[args.method])
    out = {"seconds": time.perf_counter() - started}
    if args.what == "epoch":
        out = measure.epoch(model, args.batches)
    elif args.what == "evaluate":
        started = time.perf_counter()
        evaluate(model, split, ks=(20,))
        out = {"seconds": (time.perf_counter() - started) * everybody / len(split.users("test"))}
    print(json.dumps(out | {"MiB": peak_memory(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
