"""Answers are judged as the lessons say, whatever a reader writes, and what is expected is what the text asks for."""

from __future__ import annotations

import ast
import math
import types
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import exercises
from mmrec_lite.data import IndexedVectors
from mmrec_lite.data.bazaar.vocabulary import HUES
from tests.tiny import tiny_shop


@pytest.mark.parametrize(
    ("got", "expected", "verdict"),
    [
        (None, 1.0, "not yet answered"),
        ((None, 2.0), (1.0, 2.0), "not yet answered"),
        (0.5004, 0.5, "right"),
        (0.502, 0.5, "not yet: 0.502 is not it"),
        (math.nan, 0.5, "not yet: nan is not it"),
        (torch.tensor([0.25, 0.75], requires_grad=True), np.array([0.25, 0.75]), "right"),
        ([1 / 3] * 3, np.full(3, 1 / 3), "right"),
        (1 / 3, np.full(3, 1 / 3), "not yet: 3 numbers are wanted, one number is given"),
        ([1.0, 2.0], 1.0, "not yet: one number is wanted, 2 numbers are given"),
        ("half", 0.5, "not yet: half is no number"),
        ([1, [2]], 0.5, "not yet: [1, [2]] is no number"),
        pytest.param(10**400, 0.5, "not yet: a number so large is not it", id="beyond all floats"),
        (0.5, lambda: 0.5, "right"),
        (0.5, lambda: None, "these data cannot tell"),
    ],
)
def test_a_verdict_is_a_sentence(got, expected, verdict):
    assert exercises.compare(got, expected) == verdict


def test_the_tolerance_is_the_callers():
    assert exercises.compare(0.502, 0.5, 0.01) == "right"
    assert exercises.compare(0.5 + 1e-4, 0.5, 1e-9) == "not yet: 0.5001 is not it"


def test_nothing_is_computed_before_there_is_an_answer():
    def costs():
        raise AssertionError("computed")

    assert exercises.compare(None, costs) == "not yet answered"
    assert exercises.check("10-2", None, data=None, settings={}) == "not yet answered"
    with pytest.raises(AssertionError, match="computed"):
        exercises.compare(1.0, costs)


def test_what_is_not_known_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"exercise '11-9' is not known: it is one of 00-A, .*13-B\."):
        exercises.check("11-9", 1.0)
    with pytest.raises(ValueError, match=r"exercise '11-2': .*'vectors'"):
        exercises.check("11-2", 1.0, counts=[1, 2])
    with pytest.raises(ValueError, match=r"exercise '09-1': .*'seed'"):
        exercises.check("09-1", None, seed=0)
    with pytest.raises(ValueError, match="exercise '09-1' is there twice"):
        exercises.exercise("09-1")(lambda: 1.0)


BY_HAND = {
    "03-3": 0.09017,  # exp(1 / 0.09017) = 65,500
    "04-1": 4.6,  # log(1 + exp(-4.6)) = 0.01
    "06-1": math.log((math.e**2 + 1 + math.e**1.2 + math.e**1.6) / (math.e**2 + 1)),
    "06-3": 22_500 / 81,
    "08-1": 0.0211,
    "09-1": 9,
    "09-2": np.array([0.0092, 0.0]),
    "10-1": np.array([0.08, 0.2221]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_done_by_hand_is_right_and_something_else_is_not(name):
    assert exercises.check(name, BY_HAND[name]) == "right"
    assert exercises.check(name, 1.2 * BY_HAND[name]).startswith("not yet: ")


def test_the_share_of_the_most_popular_tenth():
    counts = [1] * 18 + [60, 22]  # two of twenty items have 82 of 100
    assert exercises.check("01-1", 0.82, counts=counts) == "right"
    assert exercises.check("01-1", 0.6, counts=counts) == "not yet: 0.6 is not it"


def test_hue_in_reviews_is_read_from_training_reviews_alone():
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import cross_val_score

    shop = tiny_shop()
    hues = np.arange(shop.n_items) % 3
    items = shop.interactions["item"].to_numpy()
    vectors = (np.eye(3)[hues[items]] + 2.0 * np.random.default_rng(0).normal(size=(len(items), 3))).astype(np.float32)
    reviews = IndexedVectors(vectors, np.arange(len(items))[:, None], rows="interactions")
    split = mm.split(shop.replace(sequences={"reviews": reviews}, truth={"item_hue": hues}), "ratio", seed=0)
    rows = split.train
    means = pd.DataFrame(vectors[rows]).groupby(items[rows]).mean()
    truth = cross_val_score(RidgeClassifier(), means.to_numpy(), hues[means.index], cv=3).mean()
    assert 0.4 < truth < 1
    assert exercises.check("01-3", truth, split=split, probe=RidgeClassifier()) == "right"
    assert exercises.check("01-3", truth - 0.05, split=split, probe=RidgeClassifier()).startswith("not yet")


def test_centred_texts_by_loops():
    shop = tiny_shop()
    present = np.ones(shop.n_items, dtype=bool)
    present[[3, 8]] = False
    texts = shop.features["text"] * present[:, None]
    shop = shop.replace(features=shop.features | {"text": texts}, present={"text": present})
    there = [i for i in range(shop.n_items) if shop.present["text"][i]]
    vectors = shop.dense("text").astype(float)
    centre = sum(vectors[i] for i in there) / len(there)
    unit = {i: (vectors[i] - centre) / np.linalg.norm(vectors[i] - centre) for i in there}
    moved = np.stack([vectors[i] - centre if i in unit else 0 * centre for i in range(shop.n_items)])
    own = mm.MultimodalDataset(
        name="moved", users=shop.users, items=shop.items, interactions=shop.interactions,
        features={"text": moved.astype(np.float32)}, present={"text": present},
    )  # fmt: skip
    from mmrec_lite.similarity import mean_cosines

    expected = mean_cosines(own, "text")
    every = np.mean([unit[i] @ unit[j] for i in there for j in there if i < j])
    assert expected[0] == pytest.approx(every, abs=2e-3)
    assert exercises.check("02-A", expected, data=shop) == "right"
    assert exercises.check("02-A", mean_cosines(shop, "text"), data=shop).startswith("not yet")


def test_named_hues_are_counted_among_those_that_could_be_named():
    class Namer:
        """Sees the hue of a picture, and takes every second red thing for a blue one."""

        def encode(self, pictures):
            return np.eye(len(HUES), dtype=np.float32)[pictures]

        def encode_texts(self, words):
            return np.eye(len(HUES), dtype=np.float32)[[HUES.index(word) for word in words]]

        def knows(self, words):
            return [True] * len(words)

    class Shop:
        def __init__(self):
            self.truth = {"item_hue": np.array([HUES.index(hue) for hue in ("red", "red", "blue", "green", "green")])}
            self.seen = [HUES.index(hue) for hue in ("red", "blue", "blue", "blue", "blue")]

        def image(self, item):
            return self.seen[item]

    given = {"encoder": Namer(), "colours": ["red", "blue"], "count": 5}
    assert exercises.check("02-B", 2 / 3, data=Shop(), **given) == "right"
    assert exercises.check("02-B", 2 / 5, data=Shop(), **given).startswith("not yet")
    assert exercises.check("02-B", 2 / 3, data=tiny_shop(), **given) == "these data cannot tell"


SETTINGS = {"seed": 1, "split_seed": 1, "profile": "lecture", "epochs": 1}


def recall(method, data, **settings):
    return mm.run(method, data, **settings).metrics["recall@20"]


def test_the_runs_that_are_asked_for_are_the_ones_that_are_made():
    shop = tiny_shop()
    image = recall("micro", shop, modalities=("image",), lam=0.5, **SETTINGS)
    assert exercises.check("00-A", image, data=shop, settings=SETTINGS | {"lam": 0.5}) == "right"
    assert exercises.check("00-A", image + 1e-3, data=shop, settings=SETTINGS | {"lam": 0.5}).startswith("not yet")
    how = {"seed": 1, "split_seed": 1, "protocol": "cold-items", "profile": "lecture"}
    cold = recall("lightgcn", shop, epochs=1, **how), recall("content_knn", shop, **how)
    assert cold[0] != cold[1]
    assert exercises.check("00-B", cold, data=shop, settings=SETTINGS) == "right"
    assert exercises.check("00-B", cold[::-1], data=shop, settings=SETTINGS).startswith("not yet")


def test_hidden_texts_are_as_pictures_alone():
    from mmrec_lite.data.masking import mask_modalities

    shop = tiny_shop()
    hidden = recall("micro", mask_modalities(shop, 1.0, modalities="text"), **SETTINGS)
    difference = hidden - recall("micro", shop, modalities=("image",), **SETTINGS)
    assert exercises.check("10-2", difference, data=shop, settings=SETTINGS) == "right"
    assert exercises.check("10-2", difference + 0.1, data=shop, settings=SETTINGS).startswith("not yet")
    texts = shop.replace(features={"text": shop.features["text"]}, present={})
    assert exercises.check("10-2", 0.0, data=texts, settings=SETTINGS) == "these data cannot tell"


def test_popular_is_what_was_taken_more_often_than_the_median():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, size=400)
    vectors = rng.normal(size=(400, 5))
    vectors[:, 0] += 3 * (counts > np.median(counts))
    from mmrec_lite.probes import linear_probe

    score = linear_probe(vectors, np.array([count > sorted(counts)[200] for count in counts]))
    assert score > 0.5
    assert exercises.check("11-2", score, vectors=vectors, counts=counts) == "right"
    assert exercises.check("11-2", 0.0, vectors=vectors, counts=counts).startswith("not yet")


def test_titles_alone_are_encoded_and_trained_on():
    class Letters:
        """A text encoder: how often each of eight letters stands in a text."""

        model, fingerprint, cache = "letters", "0" * 64, None

        def __init__(self):
            self.seen = []

        def encode(self, texts, progress=False):
            self.seen += texts
            return np.array([[text.count(letter) + 1.0 for letter in "thing 12"] for text in texts], dtype=np.float32)

    shop, encoder = tiny_shop(), Letters()
    shop = shop.replace(items=shop.items.assign(text="a long description"))
    verdict = exercises.check("12-A", -1.0, data=shop, encoder=encoder, settings=SETTINGS)
    assert verdict == "not yet: -1.0 is not it"
    assert encoder.seen == shop.items["title"].tolist()
    short = shop.replace(features=shop.features | {"text": encoder.encode(encoder.seen[:]).astype(np.float16)})
    own = recall("micro", short, modalities=("text",), **SETTINGS)
    assert exercises.check("12-A", own, data=shop, encoder=Letters(), settings=SETTINGS) == "right"


def test_the_weight_that_validation_likes_best():
    grid = pd.DataFrame({"weight": [0.3, 1.0, 3.0], "bpr best metric": [0.1, 0.3, 0.2], "recall@20": [0.4, 0.1, 0.2]})
    assert exercises.check("13-B", 1.0, grid=grid) == "right"
    assert exercises.check("13-B", 0.3, grid=grid).startswith("not yet")
    assert exercises.check("13-B", 0.3, grid=None) == "these data cannot tell"


def test_the_share_of_the_gain_that_survives_a_shuffle():
    gains = {"lightgcn, no content": 0.0, "micro, both": 0.04, "micro, both shuffled": 0.01}
    runs = pd.DataFrame({"against no content": gains})
    assert exercises.check("12-B", 0.25, runs=runs) == "right"
    assert exercises.check("12-B", 0.01, runs=runs).startswith("not yet")
    assert exercises.check("12-B", 0.25, runs=0 * runs) == "these data cannot tell"


def test_how_many_times_chance_by_loops():
    shop = tiny_shop()

    def share(vectors):
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -2)
        near = [set(np.argsort(-row)[:1]) for row in cosines]
        taken = shop.interactions.groupby("user")["item"].agg(set)
        return sum(any(j in near[i] for i in mine for j in mine) for mine in taken) / shop.n_users

    vectors = shop.dense("text").astype(float)
    permuted = vectors[np.random.default_rng(4).permutation(shop.n_items)]
    found, by_chance = share(vectors), share(permuted)
    assert found != by_chance > 0
    assert exercises.check("02-C", found / by_chance, data=shop, seed=4, k=1) == "right"
    assert exercises.check("02-C", 1.2 * found / by_chance, data=shop, seed=4, k=1).startswith("not yet")


NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def check_cell(lesson, words):
    """The code of a lesson's check cell that holds `words`."""
    cells = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4).cells
    return next(c.source for c in cells if "check" in c.metadata.get("tags", []) and words in c.source)


def checker(lesson, name, **names):
    """The function `name` of a check cell, without the call that follows it."""
    body = ast.parse(check_cell(lesson, f"def {name}(")).body
    definitions = [node for node in body if isinstance(node, ast.FunctionDef)]
    names = {"torch": torch, "mm": mm, "exercises": exercises} | names
    exec(compile(ast.Module(definitions, []), lesson, "exec"), names)
    return names[name]


def off_diagonal(matrix, fill):
    return matrix.masked_fill(torch.eye(len(matrix), dtype=torch.bool), fill)


def test_a_contrast_with_a_bare_exponential_is_not_right():
    check_contrast = checker("03_micro_losses", "check_contrast")

    def rows(view, fused, tau):
        view, fused = (torch.nn.functional.normalize(x, dim=1) for x in (view, fused))
        return view @ fused.T / tau, view @ view.T / tau

    def safe(view, fused, tau):
        across, inside = rows(view, fused, tau)
        logits = torch.cat([across, off_diagonal(inside, -torch.inf)], dim=1)
        return torch.nn.functional.cross_entropy(logits, torch.arange(len(view)))

    def bare(view, fused, tau):
        across, inside = (x.exp() for x in rows(view, fused, tau))
        return -(across.diagonal() / (across.sum(1) + off_diagonal(inside, 0.0).sum(1))).log().mean()

    assert check_contrast(safe) == ["right", "right"]
    verdicts = check_contrast(bare)
    assert verdicts[0] == "right"
    assert verdicts[1].startswith("not yet")


def test_a_next_item_loss_with_a_bare_exponential_is_not_right():
    check_loss = checker("06_mp4sr_losses", "check_loss")

    def rows(a, b, z, ids, tau):
        return a @ z.T / tau, b @ z.T / tau, (ids[:, None] == ids).fill_diagonal_(False)

    def safe(*case):
        first, second, twins = rows(*case)
        logits = torch.logaddexp(first, second).masked_fill(twins, -torch.inf)
        return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)))

    def bare(*case):
        first, second, twins = rows(*case)
        terms = (first.exp() + second.exp()).masked_fill(twins, 0.0)
        return -(terms.diagonal() / terms.sum(1)).log().mean()

    assert check_loss(safe) == ["right", "right"]
    verdicts = check_loss(bare)
    assert verdicts[0] == "right"
    assert verdicts[1].startswith("not yet")


def test_a_parting_is_right_up_to_rounding():
    from mmrec_lite import losses
    from mmrec_lite.nn import split_common_specific

    item = {"picture": torch.tensor([[3.0, 1.0]]), "text": torch.tensor([[1.0, 3.0]])}
    library = {"losses": losses, "split_common_specific": split_common_specific}
    check_extract = checker("04_pamd_losses", "check_extract", **item, **library)
    assert check_extract(lambda e: e.min(dim=1, keepdim=True).values.expand_as(e)) == "right"
    # (3 - 2)(1 - 2) + (1 - 2 - r)(3 - 2 - r) = -1 + r^2 - 1 = 0 for r the root of 2, which no float holds exactly
    assert check_extract(lambda e: torch.tensor([[2.0, 2 + 2**0.5]])) == "right"
    assert check_extract(lambda e: torch.tensor([[2.0, 3.4]])).startswith("not yet")
    assert check_extract(torch.zeros_like).startswith("not yet")


def test_a_claim_of_ones_own_is_about_the_picture_and_the_text():
    judged = types.SimpleNamespace(judge=lambda *_: pd.DataFrame(["judged"]), run_study=lambda *_, **__: None)
    verdict = checker("08_ablations", "verdict", experiments=judged, shop=None, how={})
    assert verdict(None) == "not yet answered"

    def study(claim, **recipes):
        return mm.experiments.Study("Mine", "Table 1", "", "", recipes, claim, "08")

    claim = (("a", "b"),)
    for one, other in ((("image",), ("text",)), (["image"], ["text"]), ("image", "text")):
        a, b = ({"method": "micro", "modalities": modalities} for modalities in (one, other))
        assert verdict(study(claim, a=a, b=b)).loc[0, 0] == "judged"
    wrong = [
        mm.experiments.STUDIES["MICRO Table 6"],
        study(claim, a={"method": "popularity"}, b={"method": "random"}),
        study((("b", "a"),), a=a, b=b),
        study((("a", "c"),), a=a, b=b),
        study((), a=a, b=b),
        study(claim, a=a | {"method": "pamd"}, b=b),
        study(claim, a=a | {"modalities": ("image", "text")}, b=b),
    ]
    assert {verdict(one) for one in wrong} == {"not yet: micro with the picture alone beats micro with the text alone"}


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        (None, "not yet answered"),
        ("T", "right"),
        ("v", "right"),
        ("G", "not yet: G is behind another by more than the noise"),
        (["T", "V"], "one of R, T, V, G"),
    ],
)
def test_one_letter_is_asked_for(best, verdict, capsys):
    names = {"best": best, "exercises": exercises, "experiments": mm.experiments}
    exec(compile(check_cell("05_mcptr_losses", "MCPTR Fig. 3"), "05", "exec"), names)
    assert capsys.readouterr().out.strip() == verdict
