"""A graph that does not fit is foreseen and refused with what to change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from mmrec_lite import memory
from mmrec_lite.graphs import cooccurrence_graph, knn_graph

REPOSITORY = Path(__file__).resolve().parents[2]

PEAK = r"""
import re, sys, numpy as np, torch
from pathlib import Path
from mmrec_lite import graphs
asked = []
graphs.require_memory = lambda needed, *words: asked.append(needed)
torch.set_num_threads(1)
rng = np.random.default_rng(0)
rows, cols, x = rng.integers(0, 4000, 80_000), rng.integers(0, 400, 80_000), torch.randn(20_000, 16)
def peak():  # not getrusage: a child's figure begins with its parent's
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")
before = peak()
graphs.cooccurrence_graph(rows, cols, 4000, 400, None) if sys.argv[1] == "all" else graphs.knn_graph(x, 400)
print((peak() - before) / asked[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize("graph", ["all", "nearest"])
def test_the_estimate_is_near_what_is_taken(graph):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", PEAK, graph], env=environment, capture_output=True, text=True)
    assert 0.5 < float(done.stdout) < 1.3, (done.stdout, done.stderr)


def test_what_does_not_fit_is_refused_with_a_remedy(monkeypatch, tried):
    held = psutil.Process().memory_info().rss // 2**20
    monkeypatch.setenv("MMREC_MEMORY", str(held + 100))
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 3000, 60_000), rng.integers(0, 30, 60_000)
    with pytest.raises(MemoryError, match=r"among 3,000 rows needs about .* GiB are free. Keep fewer with max_neighb"):
        cooccurrence_graph(rows, cols, 3000, 30, None)
    with pytest.raises(MemoryError, match=r"knn_graph: 4,000,000 edges among 20,000 items needs about .* smaller k"):
        knn_graph(torch.randn(20_000, 4), 200)
    monkeypatch.setenv("MMREC_MEMORY", str(held + 4000))
    assert knn_graph(torch.randn(2_000, 4), 5).shape == (2000, 2000)
    tried("graphs larger than the memory there is", 2, "refused before the work, with what to change")


def test_free_memory_is_the_systems_figure_or_the_limit(monkeypatch):
    monkeypatch.delenv("MMREC_MEMORY", raising=False)
    assert 0 < memory.available_memory() <= psutil.virtual_memory().total
    monkeypatch.setenv("MMREC_MEMORY", "1")
    assert memory.available_memory() < 0
    for wrong in ("1.5", "-3", "0", "all", "²"):
        monkeypatch.setenv("MMREC_MEMORY", wrong)
        with pytest.raises(ValueError, match="give a whole number of MiB"):
            memory.available_memory()
