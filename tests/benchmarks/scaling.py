"""Measure what notebooks/SCALING.md reckons with: python -m tests.benchmarks.scaling WHAT [...]

    bandwidth                       copying, and products with a sparse matrix against what their bytes allow
    contrast                        MICRO's exact contrast, and the operations it cannot do without, one by one
    neighbours METHOD ITEMS         ten nearest of every item, 384 features (neighbours.py)
    catalogue ITEMS [STEPS]         MICRO from approximate graphs with 1,024 negatives, an epoch or its first steps
    softmax ITEMS NEGATIVES         a step of MP4SR's fine-tuning, among all items (0) or with as many drawn
    step METHOD FOLDER [HYPER]      seconds a step; under `fabric run --devices 2` on two processes
    limits                          what a step of each stage multiplies, reads and writes, and how long it takes
    notebooks                       the shop trained in one, two and four processes at once, by how long threads spin

Every call is one row of `scaling.json` beside this file (a call with the same arguments and processes takes its place);
`scaling_page.py` makes the page's tables of them.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import mmrec_lite as mm
from mmrec_lite import _threads, parallel
from mmrec_lite.data import IndexedVectors, MultimodalDataset, Split
from mmrec_lite.experiments import peak_memory
from mmrec_lite.files import beside
from mmrec_lite.graphs import bipartite_graph, knn_graph
from mmrec_lite.losses import micro_contrast
from mmrec_lite.ops import TILE
from mmrec_lite.training import make_optimizer
from tests.benchmarks import neighbours
from tests.benchmarks.limits import best, limits
from tests.benchmarks.table import machine

RECORD = Path(__file__).with_suffix(".json")
WIDTH, BATCH = 64, 16_384
LARGE = {  # how a catalogue is trained that is too large for exact searches and contrasts
    "micro": {"search": "approximate", "negatives": 1024, "batch_size": BATCH},
    "lightgcn": {"batch_size": BATCH},
}
GRAPHS = {"Baby": (19_445, 7_050, 139_110), "a million nodes": (600_000, 400_000, 5_000_000)}


def bandwidth() -> dict:
    """Copy 512 MiB, then multiply user-item graphs with (N, 64); bytes if every row is read once, and if per edge."""
    a = torch.ones(2**27)
    b = torch.empty_like(a)
    copy = 2 * a.numel() * 4 / best(lambda: b.copy_(a))
    rows = {}
    for name, (users, items, edges) in GRAPHS.items():
        rng = np.random.default_rng(0)
        popular = rng.permutation(items)[np.minimum(rng.zipf(1.4, edges), items) - 1]
        mixed = np.where(rng.random(edges) < 0.5, popular, rng.integers(items, size=edges))
        keys = np.unique(rng.integers(users, size=edges) * items + mixed)
        graph = bipartite_graph(keys // items, keys % items, users, items)
        nodes = torch.randn(users + items, WIDTH)
        once = graph._nnz() * 12 + 2 * nodes.numel() * 4
        gathered = graph._nnz() * (12 + 4 * WIDTH) + nodes.numel() * 4
        seconds = best(lambda g=graph, n=nodes: g @ n, 5)
        rows[name] = {"edges": graph._nnz(), "seconds": seconds, "once": once, "gathered": gathered}
    return {"copy": copy, "products": rows}


def contrast(n: int = 7_050, m: int = 2) -> dict:
    """One value and gradient of `micro_contrast` in both directions, and each kind of operation on one tile of it.

    Pairs: n^2 for every view against the fused vectors; of a view, or of the fused vectors, with itself one triangle.
    They are formed twice, for the sums and for the gradient.
    """
    tile, out, right = torch.rand(TILE, TILE), torch.empty(TILE, TILE), torch.randn(TILE, WIDTH)
    tiles = (m + m / 2 + 1 / 2) * (n / TILE) ** 2
    work = {
        "cosines": (2, lambda: torch.mm(right, right.T, out=out)),
        "exponentials": (2, lambda: torch.exp(tile, out=out)),
        "sums of rows and of columns": (1, lambda: (tile.sum(1), tile.sum(0))),
        "a weight each pair": (1, lambda: torch.add(right[:, :1], right[:, 0], out=out).mul_(tile)),
        "weighted vectors, both ways": (1, lambda: (tile @ right, tile.T @ right)),
    }
    row = {name: {"tiles": times * tiles, "seconds": best(what, 20)} for name, (times, what) in work.items()}
    views, fused = torch.randn(m, n, WIDTH, requires_grad=True), torch.randn(n, WIDTH, requires_grad=True)
    return {"work": row, "seconds": best(lambda: micro_contrast(views, fused).backward(), 3)}


def large(n: int) -> Split:
    """Split n made-up items with 384 features, n / 2 users and 4 n interactions; none of it has any structure."""
    rng = np.random.default_rng(0)
    features = neighbours.features(n).half().numpy()
    pairs = np.unique(rng.integers(n // 2, size=4 * n) * n + rng.integers(n, size=4 * n))
    data = MultimodalDataset(
        name=f"items-{n}",
        users=pd.DataFrame({"user_id": np.arange(n // 2).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(n).astype(str)}),
        interactions=pd.DataFrame({"user": pairs // n, "item": pairs % n}),
        features={"text": features},
    )
    return mm.split(data, "ratio")


def catalogue(n: int, steps: int | None = None) -> dict:
    """One epoch (or its first steps) of MICRO on n items with 384 features, n / 2 users and 4 n interactions."""
    split = large(n)
    knn_graph(neighbours.features(600), neighbours.K, method="approximate")  # pays for compilation
    made = peak_memory()
    started = time.perf_counter()
    model = mm.create("micro", split, **LARGE["micro"])
    graph = time.perf_counter() - started
    (stage,) = model.stages()
    optimizer = make_optimizer(stage)
    model.train()
    stage.begin_epoch(0)
    started = time.perf_counter()
    for number, batch in enumerate(stage.batches(torch.Generator().manual_seed(0))):
        optimizer.zero_grad()
        sum(stage.loss(batch).values()).backward()
        optimizer.step()
        if number == 0:
            first = time.perf_counter() - started
        if number + 1 == steps:
            break
    seconds = time.perf_counter() - started
    full = -(-len(split.train) // BATCH)
    sizes = {
        "interactions": len(split.dataset),
        "steps": number + 1,
        "of": full,
        "data MiB": made,
        "MiB": peak_memory(),
    }
    return {"graph": graph, "first step": first, "seconds": seconds, **sizes}


def told(n: int) -> Split:
    """Split n made-up items with five sentences and three words of pictures (384-d, 16 bits), n / 2 histories of 8."""
    rng, users = np.random.default_rng(0), n // 2

    def vectors(each: int) -> IndexedVectors:
        return IndexedVectors(rng.normal(size=(n * each, 384)).astype(np.float16), np.arange(n * each).reshape(n, each))

    pairs = np.unique(rng.integers(users, size=8 * users) * n + rng.integers(n, size=8 * users))
    data = MultimodalDataset(
        name=f"told-{n}",
        users=pd.DataFrame({"user_id": np.arange(users).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(n).astype(str)}),
        interactions=pd.DataFrame({"user": pairs // n, "item": pairs % n, "timestamp": np.arange(len(pairs))}),
        sequences={"sentences": vectors(5), "keywords": vectors(3)},
    )
    return mm.split(data, "leave-one-out")


def softmax(items: int, negatives: int, steps: int = 5) -> dict:
    """Seconds a step (median after one) of MP4SR's fine-tuning among all items, or among those drawn."""
    split = told(items)
    model = mm.create("mp4sr", split, negatives=negatives or None)
    stage = model.stages()[-1]
    optimizer = make_optimizer(stage)
    model.train()
    took, before = [], peak_memory()
    for batch in itertools.islice(stage.batches(torch.Generator().manual_seed(0)), steps + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        sum(stage.loss(batch).values()).backward()
        optimizer.step()
        took.append(time.perf_counter() - started)
    sizes = {"data MiB": before, "MiB": peak_memory(), "steps": stage.n_batches}
    return {"seconds": float(np.median(took[1:])), **sizes}


def step(method: str, folder: str, hyper: str = "{}") -> dict:
    """Seconds a step of the first stage (median of steps 3 to 10), alone or in the processes of `fabric run`."""
    fabric = parallel.start("cpu")
    split = mm.split(mm.load(folder), "leave-one-out" if "pantry" in folder else "ratio")
    model = mm.create(method, split, **json.loads(hyper))
    stage, *_ = model.stages()
    weights = [p for group in stage.parameters for p in group["params"]]
    optimizer = make_optimizer(stage)
    model.train()
    torch.manual_seed(0)
    stage.begin_epoch and stage.begin_epoch(0)
    took: dict[str, list[float]] = {"seconds": [], "summing": []}
    for number, batch in enumerate(stage.batches(torch.Generator().manual_seed(0))):
        if number == 10:
            break
        started = time.perf_counter()
        part, share, weight = parallel.take_share(batch, fabric.global_rank, fabric.world_size)
        with parallel.taking(share):
            terms = stage.loss(part)
            optimizer.zero_grad()
            (weight * sum(terms.values())).backward()
        ready = time.perf_counter()
        if fabric.world_size > 1:
            parallel.sum_gradients(weights, torch.stack([t.detach() for t in terms.values()]))
        took["summing"].append(time.perf_counter() - ready)
        optimizer.step()
        took["seconds"].append(time.perf_counter() - started)
    medians = {name: float(np.median(values[2:])) for name, values in took.items()}
    return medians | {"weights": sum(p.numel() for p in weights), "processes": fabric.world_size}


def search(method: str, n: str) -> dict:
    """Ten nearest, exact or approximate."""
    knn_graph(neighbours.features(600), neighbours.K, method=method)
    x = neighbours.features(int(n))
    started = time.perf_counter()
    graph = knn_graph(x, neighbours.K, method=method)
    return {"seconds": time.perf_counter() - started, "MiB": peak_memory(), "edges": graph._nnz()}


TRAIN = """\
import time
import mmrec_lite as mm

split = mm.split(mm.load("bazaar"), "ratio", seed=0)
for method, epochs in {"lightgcn": 4, "micro": 6}.items():
    model = mm.create(method, split, profile="lecture", seed=0)
    print("ready", flush=True)
    input()
    started = time.perf_counter()
    mm.fit(model, split, epochs=epochs, progress=False)
    print((time.perf_counter() - started) / epochs, flush=True)
"""
SPINS = {"libgomp": "300000", "mmrec_lite": _threads.SPIN}  # rounds that an idle thread waits


def notebooks(counts: tuple[int, ...] = (1, 2, 4)) -> dict:
    """Seconds an epoch on the shop (median) where so many processes train at once, each with a thread a core."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, spin in SPINS.items():
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
        environment["GOMP_SPINCOUNT"] = spin
        for count in counts:
            command = [sys.executable, "-c", TRAIN]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            running = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
            for method in ("lightgcn", "micro"):
                if [p.stdout.readline() for p in running] != ["ready\n"] * count:
                    raise RuntimeError("a training did not start")
                for p in running:
                    print(file=p.stdin, flush=True)
                took = [float(p.stdout.readline()) for p in running]
                found.setdefault(method, {}).setdefault(name, []).append(float(np.median(took)))
            for p in running:
                p.wait()
    return {"at once": counts, "seconds": found}


def main(what: str, *arguments: str) -> None:
    """Measure, and write the row beside the others."""
    functions = {
        "bandwidth": bandwidth,
        "contrast": contrast,
        "catalogue": lambda *n: catalogue(*map(int, n)),
        "softmax": lambda *n: softmax(*map(int, n)),
        "step": step,
        "neighbours": search,
        "limits": limits,
        "notebooks": notebooks,
    }
    row = {"threads": torch.get_num_threads(), **functions[what](*arguments)}
    if parallel.rank() > 0:
        return
    shown = [Path(a).name if os.sep in a else a for a in arguments]
    row |= {"date": pd.Timestamp.now("UTC").strftime("%Y-%m-%d"), "machine": machine(threads=False)}
    shown = shown[:1] if what == "catalogue" else shown  # one row a size, however many steps
    key = " ".join([what, *shown, f"x{row.get('processes', 1)}", f"t{row['threads']}"])
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    with beside(RECORD) as file:
        file.write_text(json.dumps(known | {key: row}, indent=1) + "\n")
    print(json.dumps({key: row}))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    main(*sys.argv[1:])
