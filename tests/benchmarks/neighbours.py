"""Time the search for each item's ten nearest, exact or approximate: python -m tests.benchmarks.neighbours exact 7000

Items lie around cluster centres as in `worlds.py`, 384 features each, as a sentence encoder gives them. `found` is the
share of the exact neighbours that the search found, on 500 drawn items.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from mmrec_lite.experiments import peak_memory
from mmrec_lite.graphs import knn_graph

WIDTH, K = 384, 10


def features(n: int) -> torch.Tensor:
    """Return (n, 384) unit rows around n / 60 centres."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(max(2, n // 60), 48, generator=draw)
    place = centres[torch.randint(len(centres), (n,), generator=draw)] + 0.6 * torch.randn(n, 48, generator=draw)
    x = place @ torch.randn(48, WIDTH, generator=draw) / 7
    return torch.nn.functional.normalize(x.add_(0.3 * torch.randn(n, WIDTH, generator=draw)))


def main(method: str, n: int) -> None:
    """Build the graph once, after a small one that pays for compilation."""
    knn_graph(features(600), K, method=method)
    x = features(n)
    started = time.perf_counter()
    graph = knn_graph(x, K, method=method)
    seconds = time.perf_counter() - started
    draw = torch.randperm(n, generator=torch.Generator().manual_seed(1))[:500]
    truth = (x[draw] @ x.T).topk(K, dim=1).indices
    crow, col = graph.crow_indices(), graph.col_indices()
    shared = [len(set(col[crow[i] : crow[i + 1]].tolist()) & set(t.tolist())) for i, t in zip(draw, truth, strict=True)]
    found = sum(shared) / truth.numel()
    print(json.dumps({"seconds": seconds, "found": found, "MiB": peak_memory(), "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
