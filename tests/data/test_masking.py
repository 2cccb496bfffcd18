"""Hiding modalities: how much, which, and nothing of it left."""

from __future__ import annotations

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.data import DataError, IndexedVectors
from mmrec_lite.data.masking import mask_modalities
from tests.tiny import tiny_shop


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_the_share_of_each_modality_is_hidden(share):
    shop = tiny_shop()
    masked = mask_modalities(shop, share, seed=3)
    for name in ("image", "text"):
        there = masked.present[name]
        assert (~there).sum() == round(share * 30)
        assert not masked.features[name][~there].any()
        np.testing.assert_array_equal(masked.features[name][there], shop.features[name][there])
    assert masked.name == f"tiny-masked{round(100 * share)}"
    assert masked.card["masked"] == {"share": share, "seed": 3, "modalities": ["image", "text"]}
    assert shop.present["image"].all() and shop.name == "tiny"  # the original is left alone
    assert (masked.hash == shop.hash) == (share == 0)


def test_a_larger_share_hides_what_a_smaller_one_does():
    few, many = (mask_modalities(tiny_shop(), share, seed=1).present for share in (0.3, 0.7))
    for name in few:
        assert (few[name] | ~many[name]).all()  # hidden in few -> hidden in many
    assert not np.array_equal(few["image"], few["text"])  # modalities are hidden independently


def test_the_seed_decides():
    hidden = [mask_modalities(tiny_shop(), 0.5, seed=s).present["text"] for s in (0, 0, 1)]
    assert np.array_equal(hidden[0], hidden[1]) and not np.array_equal(hidden[0], hidden[2])


def test_one_modality_alone_and_those_already_missing():
    shop = mask_modalities(tiny_shop(), 0.5, modalities="image")
    assert shop.present["text"].all() and (~shop.present["image"]).sum() == 15
    again = mask_modalities(shop, 0.2, seed=9)
    assert (~again.present["image"]).sum() == 15 + 3 and not (again.present["image"] & ~shop.present["image"]).any()


def test_what_was_made_from_a_modality_goes_with_it():
    index = np.zeros((30, 2), dtype=np.int32)
    vectors = np.ones((1, 3), dtype=np.float32)
    reviews = IndexedVectors(vectors, np.zeros((len(tiny_shop()), 1), dtype=np.int32), "interactions")
    sequences = {"sentences": IndexedVectors(vectors, index), "keywords": IndexedVectors(vectors, index)}
    masked = mask_modalities(tiny_shop().replace(sequences=sequences | {"reviews": reviews}), 0.4)
    for name, modality in (("sentences", "text"), ("keywords", "image")):
        np.testing.assert_array_equal(masked.sequences[name].mask.any(axis=1), masked.present[modality])
    assert masked.sequences["reviews"].mask.all()


@pytest.mark.parametrize("name", ["micro", "pamd"])
def test_methods_run_on_what_is_left(name):
    split = mm.split(mask_modalities(tiny_shop(), 0.6), "ratio")
    model = mm.create(name, split, dim=4, epochs=1, **({"k": 3} if name == "micro" else {"pretrain_epochs": 1}))
    mm.fit(model, split, progress=False)
    assert 0 <= mm.evaluate(model, split).metrics["recall@20"] <= 1


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match=r"share = 20, but it is the part of the items to hide, 0 to 1"):
        mask_modalities(tiny_shop(), 20)
    with pytest.raises(DataError, match="unknown modality 'smell'"):
        mask_modalities(tiny_shop(), 0.2, modalities="smell")
