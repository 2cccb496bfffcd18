"""Time a method of RecBole or cornac on the split that ours are timed on: python -m tests.benchmarks.peers NAME FOLDER

Their program in their environment, on our export; prints a line of JSON: seconds of an epoch or of an evaluation by
their own evaluator, and the peak memory of their process. `--batches` times an epoch's first batches and extrapolates.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

import mmrec_lite as mm
from mmrec_lite.experiments.peers import PEERS, run_job
from tests.benchmarks.process import CPU

ALIKE = {  # the settings of ours that decide the work of a step: width 64, two layers, batches as large
    "recbole sasrec": {"hidden_size": 64, "inner_size": 256, "n_heads": 2, "n_layers": 2, "train_batch_size": 1024},
}


def measure(name: str, folder: str, protocol: str, what: str, batches: int | None) -> dict[str, float]:
    """Run the peer for two epochs (or some batches) and return the later one's seconds, or the evaluation's."""
    split = mm.split(mm.load(folder), protocol, seed=0)
    job = {"epochs": 2 if what == "epoch" else 1, "threads": torch.get_num_threads(), "batches": batches}
    settings = {**PEERS[name].settings, **ALIKE.get(name, {})}
    settings |= {"eval_step": 0} if PEERS[name].library == "recbole" else {}  # no validation while the epochs are timed
    done, _ = run_job(name, split, job | {"clock": "cpu" if CPU else "", "only": what, "settings": settings})
    seconds = done["epoch seconds"][-1] if what == "epoch" else done["evaluation seconds"]
    return {"seconds": float(np.round(seconds, 6)), "MiB": done["MiB"], "threads": torch.get_num_threads()}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("epoch", "evaluation"))
    parser.add_argument("name", choices=tuple(PEERS))
    parser.add_argument("folder")
    parser.add_argument("--protocol", default="ratio")
    parser.add_argument("--batches", type=int)
    args = parser.parse_args()
    print(json.dumps(measure(args.name, args.folder, args.protocol, args.what, args.batches)))


if __name__ == "__main__":
    main()
