"""Which features a method reads, and what they may be called."""

from __future__ import annotations

import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.nn.named import ModulesByName
from tests.hardness.worlds import small, whole_shop

NONE = [
    ("micro", {}, r"modalities=\(\) names none of those of data set 'tiny'. Name some of them: image, text; or take"),
    ("vbpr", {}, r"modalities=\(\) names none of .*method 'mf'"),
    ("content_knn", {}, r"modalities=\(\) names none of .*method 'item_knn'"),
    ("pamd", {}, "but chosen are: none"),
    ("pamd", {"variant": "features"}, "but chosen are: none"),
    ("mp4sr", {}, "mixes two modalities, but got none"),
]


@pytest.mark.parametrize(("name", "hyper", "words"), NONE)
@pytest.mark.parametrize("none", [(), ""])
def test_no_modality_is_none_and_not_all(name, hyper, words, none):
    split = mm.split(whole_shop(), "given")
    with pytest.raises(ValueError, match=words):
        mm.create(name, split, modalities=none, **hyper)


@pytest.mark.parametrize(("name", "hyper"), [("micro", {"variant": "cf"}), ("mcptr", {}), ("pamd", {"variant": "cf"})])
def test_who_can_do_without_does(name, hyper):
    split = mm.split(whole_shop(), "given")
    model = mm.create(name, split, modalities=(), **small(name) | hyper)
    assert model.modalities == ()
    mm.fit(model, split, epochs=1, progress=False)


# Attributes of every module, or of those that hold modules by name.
ODD = (
    "type",
    "values",
    "keys",
    "items",
    "half",
    "training",
    "forward",
    "to",
    "pop",
    "update",
    "extra_repr",
    "T_destination",
)


@pytest.mark.parametrize("name", ["content_knn", "vbpr", "micro", "pamd", "mcptr", "mp4sr"])
@pytest.mark.parametrize("pair", list(zip(ODD[::2], ODD[1::2], strict=True)), ids="-".join)
def test_a_feature_may_have_the_name_of_a_modules_attribute(name, pair):
    """It trains as under any other name, and a state is loaded by these names."""
    shop, users, scores = whole_shop(), torch.arange(5), []
    for names in (("one", "two"), pair):
        features = dict(zip(names, shop.features.values(), strict=True))
        split = mm.split(shop.replace(features=features), "given")
        model, other = (mm.create(name, split, seed=seed, modalities=names, **small(name)) for seed in (0, 1))
        mm.fit(model, split, epochs=1, progress=False)
        other.load_state_dict(model.state_dict())
        scores.append(model.score(users).clone())
        assert torch.equal(other.score(users), scores[-1])
    assert torch.equal(*scores)


@pytest.mark.parametrize(("key", "module"), [(5, torch.nn.Identity()), ("a.b", torch.nn.Identity()), ("a", 3)])
def test_what_torch_could_not_keep_is_refused(key, module):
    with pytest.raises(TypeError, match="is no layer by a name without a dot"):
        ModulesByName()[key] = module
