"""Ours beside RecBole's and cornac's in the same run, on the same split: `make peers`, then `make bench ONLY=peers`."""

from __future__ import annotations

import pytest

from mmrec_lite.experiments.peers import absent
from tests.benchmarks import sequences, worlds
from tests.benchmarks.process import in_a_process

OURS = "measure"
LAST = ("--protocol", "leave-one-out")
PAIRS = {  # group -> rows: label, module, arguments (FOLDER stands for the data)
    "one epoch of LightGCN, ours and a peer's, Baby size": [
        ("RecBole's LightGCN", "peers", ("epoch", "recbole lightgcn", "FOLDER", "--batches", 20)),
        ("LightGCN", OURS, ("epoch", "lightgcn", "FOLDER", {}, "--batches", 20)),
    ],
    "one epoch of VBPR, ours and a peer's, Baby size": [
        ("cornac's VBPR", "peers", ("epoch", "cornac vbpr", "FOLDER")),
        ("VBPR", OURS, ("epoch", "vbpr", "FOLDER", {}, "--batches", 20)),
    ],
    "one epoch of SASRec, ours and a peer's, Pantry size": [
        ("RecBole's SASRec", "peers", ("epoch", "recbole sasrec", "PANTRY", *LAST, "--batches", 3)),
        ("SASRec", "sequences", ("recommend", "sasrec", "PANTRY", "--batches", 8)),
    ],
    "full-ranking evaluation, ours and the peers', Baby size": [
        ("RecBole's, LightGCN", "peers", ("evaluation", "recbole lightgcn", "FOLDER")),
        ("cornac's, VBPR", "peers", ("evaluation", "cornac vbpr", "FOLDER")),
        ("ours, LightGCN", OURS, ("evaluate", "lightgcn", "FOLDER")),
    ],
}  # fmt: skip
CASES = [
    pytest.param(*row, id=row[0], marks=pytest.mark.benchmark(group=group))
    for group, rows in PAIRS.items()
    for row in rows
]


@pytest.mark.parametrize(("label", "module", "arguments"), CASES)
def test_speed(benchmark, bench_data, label, module, arguments):
    if module == "peers" and (missing := absent(arguments[1])):
        pytest.skip(missing)
    places = {"FOLDER": worlds.folder, "PANTRY": sequences.folder}
    row = [places[word](bench_data) if isinstance(word, str) and word in places else word for word in arguments]
    in_a_process(benchmark, label, module, *row)
