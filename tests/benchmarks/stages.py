"""Time a stage of a method, or a sweep, in a process of its own and print a line of JSON: seconds and peak memory.

python -m tests.benchmarks.stages epoch mcptr pretrain FOLDER '{"modalities": "text,image,graph"}' --batches 20
python -m tests.benchmarks.stages sweep 2
python -m tests.benchmarks.stages load bazaar
python -m tests.benchmarks.stages split ratio FOLDER
"""

from __future__ import annotations

import argparse
import json

import mmrec_lite as mm
from mmrec_lite.experiments import peak_memory
from tests.benchmarks.process import clock
from tests.benchmarks.sequences import stage_epoch

SEEDS = range(8)


def epoch(method: str, stage: str, folder: str, hyper: str, batches: int) -> dict[str, float]:
    """Seconds of one epoch of a stage, from its first batches after a warm-up."""
    parts = mm.split(mm.load(folder), "ratio", seed=0)
    return stage_epoch(mm.create(method, parts, **json.loads(hyper)), stage, batches)


def sweep(jobs: int) -> dict[str, float]:
    """Seconds of eight trainings on the shop, one after the other or in so many processes."""
    shop = mm.load("bazaar")
    started = clock()
    rows = mm.sweep("lightgcn", shop, seeds=SEEDS, jobs=jobs, progress=False, profile="lecture", epochs=40, patience=40)
    if "error" in rows:
        raise RuntimeError(rows["error"].dropna().iloc[0])
    return {"seconds": clock() - started}


def load(data: str) -> dict[str, float]:
    """Seconds until a data set is there, the first time in a process that has imported the library."""
    started = clock()
    mm.load(data)
    return {"seconds": clock() - started}


def split(protocol: str, folder: str) -> dict[str, float]:
    """Seconds until a split is there with what methods ask of it."""
    data = mm.load(folder)
    started = clock()
    made = mm.split(data, protocol)
    made.matrix("train"), made.train_sequences(), made.train_counts
    return {"seconds": clock() - started}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="what", required=True)
    stage = commands.add_parser("epoch")
    for name in ("method", "stage", "folder", "hyper"):
        stage.add_argument(name)
    stage.add_argument("--batches", type=int, required=True)
    commands.add_parser("sweep").add_argument("jobs", type=int)
    commands.add_parser("load").add_argument("data")
    parts = commands.add_parser("split")
    for name in ("protocol", "folder"):
        parts.add_argument(name)
    args = vars(parser.parse_args())
    what = {"epoch": epoch, "sweep": sweep, "load": load, "split": split}[args.pop("what")]
    print(json.dumps(what(**args) | {"MiB": peak_memory()}))


if __name__ == "__main__":
    main()
