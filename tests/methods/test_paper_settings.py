"""The profile "paper" is what the papers print, written out here: a default that drifts is noticed."""

from __future__ import annotations

import pytest

from mmrec_lite.methods import configure

PUBLISHED: dict[str, dict[str, object]] = {
    "micro": {  # 4.1.4
        "dim": 64,
        "batch_size": 1024,
        "lr": 5e-4,
        "l2": 1e-4,
        "k": 10,
        "lam": 0.7,
        "temperature": 0.5,
        "beta": 0.03,
        "monitor": "recall@20",
        "patience": 10,
    },
    "pamd": {  # 5.4; pre-training's epochs: 5.7, Fig. 3a
        "dim": 150,
        "pretrain_lr": 1e-3,
        "pretrain_batch_size": 100,
        "pretrain_epochs": 100,
        "batch_size": 100,
        "encoder_lr": 1e-4,  # the paper's rate of the recommendation phase
    },
    "mcptr": {  # 4.1.4
        "dim": 64,
        "adapter_dim": 512,
        "graph_layers": 2,
        "batch_size": 2048,
        "pretrain_lr": 1e-3,
        "lam": 0.2,
        "temperature": 0.1,
        "n_candidates": 64,
        "epochs": 1000,
    },
    "mp4sr": {  # 4.1.4
        "max_length": 50,
        "sentences": 10,
        "lr": 1e-3,
        "batch_size": 1024,
        "experts": 8,
        "rho": 0.2,
        "temperature": 0.07,
        "lam": 0.01,
        "attention_dim": 64,
        "dim": 64,
        "pretrain_epochs": 300,
        "heads": 2,
        "layers": 2,
        "monitor": "recall@20",
        "patience": 10,
        "mixup": 0.5,  # 3.3.3
        "finetune_lr": 1e-4,  # this and the next two: of the grid searched for each data set
        "finetune_batch_size": None,  # as in pre-training
        "weight_decay": 1e-3,
    },
}
# What a paper leaves open, or where this project departs from it by decision (methods.md).
DECIDED: dict[str, dict[str, object]] = {
    "micro": {"layers": 1, "cf_layers": 2, "backbone": "lightgcn", "symmetric": True, "negatives": None,
              "rebuild": "epoch", "self_loops": True, "norm": "sym"},
    # As released: lr (the paper: 1e-4, which the encoders have) and Adam (the paper: SGD).
    "pamd": {"lr": 1e-3, "pretrain_optimizer": "adam", "init": "xavier", "standardize": True, "order": "bounded",
             "anchors": "detached", "depth": 2, "query": "item", "scaled": True, "objective": "pairwise"},
    # LightGCN's own lr, l2 and layers in fine-tuning: "the original publications".
    "mcptr": {"lr": 1e-3, "l2": 1e-4, "cf_layers": 3, "mixing": "hop", "norm": "row_sqrt", "max_neighbors": 50,
              "form": "sigmoid", "balanced": True, "n_negatives": 4},
    "mp4sr": {"normalize": False, "drop": "fixed", "same_item": "mask", "contrast": "intra", "own_negatives": False,
              "ids": True, "warm": 0},
}  # fmt: skip


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_papers_settings_are_the_profile(method):
    expected = {"variant": "full"} | PUBLISHED[method] | DECIDED[method]
    found = configure(method, "paper").model_dump()
    assert {name: found[name] for name in expected} == expected
    assert len(expected) == 1 + len(PUBLISHED[method]) + len(DECIDED[method]), "nothing is listed twice"
