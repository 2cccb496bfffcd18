"""Quality beside the released programs, on the data that they were timed on, by the evaluation they were judged by.

    python ../shared/bench/gen_data.py build/bench synbaby
    python -m tests.benchmarks.quality build/bench/synbaby ../shared/bench/eval_common.py lightgcn micro

Made-up data of the size of Amazon Baby with a split of their own. Each method trains on the train part and stops by the
validation part; its vectors are then ranked by that other evaluation: all items, the user's training items left out.
Rows go to tests/benchmarks/quality.json, from which tests/benchmarks/README.md is drawn.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch

import mmrec_lite as mm
from mmrec_lite.data import MultimodalDataset
from mmrec_lite.files import beside

RECORD = Path(__file__).with_name("quality.json")
SETTINGS = {
    "lightgcn": {"lr": 3e-3, "epochs": 60, "patience": 8},
    "micro": {"lr": 3e-3, "epochs": 60, "patience": 8, "negatives": 1024},
}
PEERS = {  # measured by that evaluation with these programs, on another machine
    "LightGCN, MMRec, 20 epochs": (0.130, 0.062),
    "LightGCN, RecBole, 20 epochs": (0.127, 0.061),
    "MICRO, released, 2 epochs": (0.119, 0.049),
    "LATTICE, MMRec": (0.118, 0.053),
    "nearest neighbours in pictures": (0.101, None),
}


def read(folder: Path) -> MultimodalDataset:
    """The generator's files with their own split."""
    core = np.load(folder / "core.npz")
    parts = np.array(["train", "valid", "test"])[core["label"]]
    return MultimodalDataset(
        name=folder.name,
        users=pd.DataFrame({"user_id": np.arange(core["n_users"]).astype(str)}),
        items=pd.DataFrame({"item_id": np.arange(core["n_items"]).astype(str)}),
        interactions=pd.DataFrame({"user": core["user"], "item": core["item"], "split": parts}),
        features={name: np.load(folder / f"{name}_feat.npy") for name in ("image", "text")},
    )


def loaded(file: Path) -> ModuleType:
    """The evaluation's program as a module."""
    spec = importlib.util.spec_from_file_location("eval_common", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(method: str, folder: Path, judge: ModuleType) -> dict[str, float]:
    """Train one method and rank with its vectors."""
    split = mm.split(read(folder), "given")
    model = mm.create(method, split, seed=0, **SETTINGS[method])
    history = mm.fit(model, split, checkpoint=folder / f"checkpoint-{method}")
    with torch.no_grad():
        users, items = (vectors.numpy() for vectors in model.vectors())
    found = judge.evaluate(folder / "core.npz", lambda chosen: users[chosen] @ items.T)
    best = next(iter(history.best.values()))["epoch"]
    return {"recall@20": found["recall"], "ndcg@20": found["ndcg"], "epochs": len(history.rows), "best": best}


def section(record: Path = RECORD) -> str:
    """The benchmark page's section, empty where nothing was measured."""
    if not record.exists():
        return ""
    rows = json.loads(record.read_text())
    lines = ["| | Recall@20 | NDCG@20 |", "|---|---|---|"]
    for label, (recall, ndcg) in PEERS.items():
        lines.append(f"| {label} | {recall:.3f} | {'' if ndcg is None else f'{ndcg:.3f}'} |")
    for method, row in rows.items():
        label = f"{method}, here, best of {row['epochs']} epochs by validation"
        lines.append(f"| **{label}** | **{row['recall@20']:.3f}** | **{row['ndcg@20']:.3f}** |")
    return "\n".join(
        [
            "\n## quality beside the released programs, data of Baby's size\n",
            *lines,
            "\n*One seed, untuned settings (`tests/benchmarks/quality.py`), the others' own evaluation and split.*\n",
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("methods", nargs="+", choices=sorted(SETTINGS))
    args = parser.parse_args()
    for name in args.methods:
        row = measure(name, args.folder, loaded(args.evaluation))
        known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        with beside(RECORD) as file:
            file.write_text(json.dumps(known | {name: row}, indent=1) + "\n")
        print(name, row, flush=True)
