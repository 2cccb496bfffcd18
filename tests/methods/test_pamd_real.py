"""PAMD on real data, a few epochs each: it runs, it beats chance, and it refuses what it cannot part.

The data may not be published with the project: the tests skip where the folder is absent.
"""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.methods import HyperparameterError
from tests.real_data import beauty, films

SMALL = {"profile": "lecture", "dim": 32, "pretrain_epochs": 2, "epochs": 8, "monitor": "recall@20"}


def chance(split) -> float:
    """Expected Recall@20 of a random ranking with one test item a user."""
    return 20 / split.n_items


def fitted(split, **hyper):
    model = mm.create("pamd", split, **SMALL | hyper)
    mm.fit(model, split, progress=False)
    return model, mm.evaluate(model, split, ks=(20,)).metrics["recall@20"]


def test_movies_with_posters_and_overviews(shared_data):
    """Tiny posters and words counted: 22 films lack a poster, and are ranked all the same."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    decomposition = pytest.importorskip("sklearn.decomposition")
    movies = films(shared_data("movielens_small_mm"))
    posters = [movies.image(item) for item in range(movies.n_items)]
    there = np.array([poster is not None for poster in posters])
    image = np.zeros((movies.n_items, 8 * 8 * 3), dtype=np.float32)
    image[there] = [np.asarray(p.convert("RGB").resize((8, 8))).ravel() / 255 for p in posters if p is not None]
    words = text.TfidfVectorizer(min_df=3).fit_transform(movies.items["text"].fillna(""))
    vectors = decomposition.TruncatedSVD(64, random_state=0).fit_transform(words).astype(np.float32)
    told = np.abs(vectors).sum(axis=1) > 0
    movies = movies.replace(features={"image": image, "text": vectors}, present={"image": there, "text": told})
    split = mm.split(movies, "leave-one-out")
    model, recall = fitted(split)
    assert (~there).sum() == 22 and recall > 2 * chance(split)
    weights = model.modality_weights(items=np.flatnonzero(~there & told)).numpy()
    pictures = [name.startswith("image") for name in model.representations]
    assert (weights[:, pictures] == 0).all() and np.allclose(weights.sum(axis=1), 1)


def test_beauty_has_one_modality_and_that_is_said(shared_data):
    """Nothing to part in texts alone: the refusal names the variants that work, and they do."""
    folder = shared_data("amazon_beauty")
    data = beauty(folder)
    text = np.load(folder / "text_feat.npy", allow_pickle=False)
    split = mm.split(data.replace(features={"text": text}, present={"text": text.any(axis=1)}), "leave-one-out")
    with pytest.raises(
        (HyperparameterError, ValueError), match=r"two different modalities.*'text'.*variant='features'"
    ):
        mm.create("pamd", split)
    _, recall = fitted(split, variant="features", epochs=3, batch_size=8192)
    assert recall > 2 * chance(split)
