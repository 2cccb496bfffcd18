"""A measurement in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import torch

from mmrec_lite.methods.base import Method, Stage
from mmrec_lite.training import make_optimizer

CPU = bool(os.environ.get("MMREC_BENCH_CPU"))  # a busy machine: one thread, and the processor's seconds instead of all
clock = time.process_time if CPU else time.perf_counter


def in_a_process(benchmark, label: str, module: str, *arguments: object) -> dict[str, float]:
    """Run `python -m tests.benchmarks.MODULE ARGUMENTS` once, and leave what it prints where `table.py` finds it.

    Dictionaries travel as JSON.
    """
    words = [json.dumps(a) if isinstance(a, dict) else str(a) for a in arguments]
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *words]

    def once() -> dict[str, float]:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    measured = benchmark.pedantic(once, rounds=1)
    benchmark.extra_info.update({"label": label, **measured})
    return measured


def optimizer_of(model: Method, stage: Stage) -> torch.optim.Optimizer:
    """Return the stage's optimiser as `fit` makes it; a plain form of a method gets PyTorch's default Adam."""
    return torch.optim.Adam(stage.parameters) if model.name.endswith("-plain") else make_optimizer(stage)
