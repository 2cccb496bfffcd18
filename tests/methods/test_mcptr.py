"""MCPTR: both stages, every variant, where the gradient goes, what is missing and what is held out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import losses
from mmrec_lite.data import IndexedVectors, mean_reviews
from mmrec_lite.methods import HyperparameterError
from tests.tiny import tiny_shop

VARIANTS = ["full", "w/o CIMA", "w/o BCE", "Random", "CLIP"]


def reviewed_shop():
    """Every interaction but those of user 5 has a review of its own, which tells the item's half."""
    shop, rng = tiny_shop(), np.random.default_rng(0)
    side = shop.interactions["item"].to_numpy() % 2
    vectors = (np.outer(2 * side - 1, rng.normal(size=6)) + rng.normal(size=(len(shop), 6))).astype(np.float32)
    index = np.arange(len(shop), dtype=np.int32)[:, None]
    index[shop.interactions["user"] == 5] = -1
    return shop.replace(sequences={"reviews": IndexedVectors(vectors, index, rows="interactions")})


@pytest.fixture(scope="module")
def split():
    return mm.split(reviewed_shop(), "ratio", seed=0)


def make(split, **hyper):
    small = {"dim": 8, "adapter_dim": 10, "batch_size": 64, "lr": 0.01, "pretrain_lr": 0.01, "n_candidates": 5}
    return mm.create("mcptr", split, **small | hyper)


def first_batch(batches):
    return next(iter(batches(torch.Generator().manual_seed(0))))


def gradients(model, terms) -> dict[str, float]:
    """How much gradient of the summed terms each parameter gets."""
    model.zero_grad()
    sum(terms.values()).backward()
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in model.named_parameters()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains(split, variant):
    model = make(split, variant=variant)
    frame = mm.fit(model, split, epochs=2, progress=False).frame
    stages = ["recommend"] * 2 if variant in ("Random", "CLIP") else ["pretrain"] * 2 + ["recommend"] * 2
    assert frame["stage"].tolist() == stages and {"bpr", "l2"} <= set(frame)
    assert ("cima" in frame) == (variant in ("full", "w/o BCE"))
    assert ("bce" in frame) == (variant in ("full", "w/o CIMA"))
    assert 0 <= mm.evaluate(model, split).metrics["recall@20"] <= 1
    assert {"id", "final"} <= set(model.embeddings())


def test_pretraining_is_equations_6_to_16(split):
    """One batch of pre-training once more, dense and in NumPy."""
    model = make(split, lam=0.3)
    batch = first_batch(model.pretraining_batches)
    terms = {name: term.item() for name, term in model.pretraining_loss(batch).items()}
    user, item = (v.detach().numpy().astype(np.float64) for v in model.pretrained_vectors())
    total, count = 0.0, 0
    for u, i, others in zip(*(part.tolist() for part in batch), strict=True):
        for j in (i, *others):
            probability = 1 / (1 + np.exp(-user[u] @ item[j]))
            total -= np.log(probability if j == i else 1 - probability)
            count += 1
    assert terms["bce"] == pytest.approx(0.7 * total / count, rel=1e-4)
    views = model.pretraining["item"].views()
    taken = batch.positives.unique()
    expected = losses.cima_loss(views["text"][taken], views["image"][taken], 0.1)
    assert terms["cima"] == pytest.approx(0.3 * float(expected), rel=1e-5)


def test_the_users_reviews_are_the_mean_of_training_reviews(split):
    means, written = mean_reviews(split)
    encoder = make(split).pretraining["user"]
    assert np.array_equal(encoder.features_reviews.numpy(), means) and not written[5]
    assert float(encoder()[1][0, 5]) == 0 and encoder.modalities == ("reviews", "graph")


def test_where_the_gradient_goes(split):
    model = make(split)
    got = gradients(model, model.pretraining_loss(first_batch(model.pretraining_batches)))
    assert all((value > 0) == name.startswith("pretraining.") for name, value in got.items()), got
    model.begin_tuning()
    got = gradients(model, model.tuning_loss(first_batch(model.tuning_batches)))
    assert all((value > 0) == name.startswith("backbone.") for name, value in got.items()), got


def test_a_removed_term_leaves_no_gradient_and_no_parameters(split):
    without = make(split, variant="w/o CIMA")
    assert not any("adapters" in name for name, _ in without.named_parameters())
    blind = make(split, variant="w/o BCE")
    got = gradients(blind, blind.pretraining_loss(first_batch(blind.pretraining_batches)))
    assert {name for name, value in got.items() if value > 0} == {
        f"pretraining.item.adapters.{name}.{part}" for name in ("image", "text") for part in ("weight", "bias")
    }
    for variant in ("Random", "CLIP"):
        names = {name.split(".")[0] for name, _ in make(split, variant=variant).named_parameters()}
        assert names == {"backbone"}


@pytest.mark.parametrize(("variant", "lam"), [("w/o CIMA", 0.0), ("w/o BCE", 1.0)])
def test_a_variant_is_the_end_of_lambda(split, variant, lam):
    a, b = make(split, variant=variant), make(split, lam=lam)
    batch = first_batch(a.pretraining_batches)
    first, second = ({k: v.item() for k, v in m.pretraining_loss(batch).items()} for m in (a, b))
    assert first == second and len(first) == 1


@pytest.mark.parametrize("letter", ["R", "T", "V", "G", "T,V", "R,G", "R,T,V,G"])
def test_modalities_alone_and_together(split, letter):
    names = {"R": "reviews", "T": "text", "V": "image", "G": "graph"}
    model = make(split, modalities=letter)
    assert set(model.modalities) == {names[part] for part in letter.split(",")}
    user, item = model.pretraining["user"], model.pretraining["item"]
    assert set(user.modalities) == set(model.modalities) & {"reviews", "graph"}
    assert set(item.modalities) == set(model.modalities) & {"text", "image", "graph"}
    assert hasattr(user, "free") == (not user.modalities) and hasattr(item, "free") == (not item.modalities)
    assert ("cima" in model.pretraining_loss(first_batch(model.pretraining_batches))) == ("T,V" in letter)
    mm.fit(model, split, epochs=1, progress=False)
    weights = model.modality_weights(items=[0, 3])
    assert weights.shape == (2, len(item.modalities))
    if item.modalities:
        torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert model.modality_weights(users=[1]).shape == (1, len(user.modalities))


def test_random_is_mixgcf(split):
    """The same seed, the same training: MCPTR without pre-training is plain MixGCF, bit by bit."""
    random = make(split, variant="Random")
    plain = mm.create("mixgcf", split, dim=8, batch_size=64, lr=0.01, n_candidates=5)
    for model in (random, plain):
        mm.fit(model, split, epochs=2, progress=False)
    assert torch.equal(random.backbone.user, plain.backbone.user)
    assert torch.equal(random.score(torch.arange(4)), plain.score(torch.arange(4)))


def test_clip_starts_the_items_alone_from_their_features(split):
    clip, random = make(split, variant="CLIP"), make(split, variant="Random")
    assert torch.equal(clip.backbone.user, random.backbone.user)
    half = torch.arange(split.n_items) % 2
    start = clip.backbone.item.detach()
    cosine = torch.nn.functional.cosine_similarity(start[:, None], start[None], dim=2)
    assert cosine[half[:, None] == half].mean() > 0.5 > 0 > cosine[half[:, None] != half].mean()


def test_fine_tuning_starts_where_pretraining_ended(split):
    model = make(split)
    mm.fit(model, split, epochs=3, stages=["pretrain"], progress=False)
    before, (user, item) = model.score(torch.arange(6)), model.pretrained_vectors()
    assert torch.equal(before, (user[:6] @ item.T).detach()) and not bool(model.tuned)
    model.begin_tuning(epoch=0)
    assert torch.equal(model.backbone.user, user) and torch.equal(model.backbone.item, item)
    assert bool(model.tuned)
    with torch.no_grad():
        model.backbone.item.mul_(2)
    model.begin_tuning(epoch=1)  # a later epoch, also of a resumed run, starts nothing anew
    assert torch.equal(model.backbone.item, 2 * item)


def test_fine_tuning_goes_on_where_it_was(split):
    """As with every other method; the pre-trained vectors are the start of the first time alone."""
    model, twice = make(split), make(split)
    for one in (model, twice):
        mm.fit(one, split, epochs=2, progress=False)
    tuned = model.backbone.item.detach().clone()
    mm.fit(twice, split, stages=["recommend"], epochs=0, progress=False)
    assert torch.equal(twice.backbone.item, tuned)
    starts = []
    loss = twice.tuning_loss
    twice.tuning_loss = lambda batch: starts.append(twice.backbone.item.detach().clone()) or loss(batch)
    mm.fit(twice, split, stages=["recommend"], epochs=1, progress=False)
    assert torch.equal(starts[0], tuned)
    mm.fit(twice, split, epochs=1, progress=False)  # pre-trained on, it starts from there
    assert bool(twice.tuned) and not torch.equal(starts[-1], tuned)


def test_the_start_may_be_shortened(split):
    model = make(split, start_scale=0.25)
    model.begin_tuning()
    user, item = model.pretrained_vectors()
    torch.testing.assert_close(model.backbone.user.data, user / 4)
    torch.testing.assert_close(model.backbone.item.data, item / 4)


def test_a_saved_pretraining_gives_identical_scores_and_the_same_fine_tuning(split, tmp_path):
    model, other = make(split), make(split, seed=1)
    mm.fit(model, split, epochs=2, stages=["pretrain"], progress=False)
    file = model.save_pretrained(tmp_path / "part.safetensors")
    mm.fit(other, split, epochs=1, progress=False)  # a model already tuned forgets it
    other.load_pretrained(file)
    assert torch.equal(model.score(torch.arange(9)), other.score(torch.arange(9)))
    third = make(split)
    third.load_pretrained(file)
    for m in (model, third):
        mm.fit(m, split, epochs=2, stages=["recommend"], progress=False)
    assert torch.equal(model.score(torch.arange(9)), third.score(torch.arange(9)))
    with pytest.raises(ValueError, match="mcptr has no pre-trained part to save"):
        make(split, variant="Random").save_pretrained(tmp_path / "none")
    with pytest.raises(ValueError, match="another method or variant"):
        make(split, variant="w/o CIMA").load_pretrained(file)


def test_a_saved_pretraining_serves_every_fine_tuning_and_no_other_pretraining(split, tmp_path):
    file = make(split).save_pretrained(tmp_path / "part.safetensors")
    for hyper in ({"start_scale": 0.2}, {"mixing": "candidate", "lr": 0.1, "l2": 1.0, "cf_layers": 1, "patience": 2}):
        make(split, **hyper).load_pretrained(file)
    for hyper, words in (
        ({"graph_layers": 3}, r"other settings \(\{'graph_layers': 2\}, here \{'graph_layers': 3\}\)"),
        ({"norm": "sym"}, "'norm': 'row_sqrt'"),
        ({"batch_size": 7}, "'batch_size': 7"),
        ({"variant": "w/o BCE"}, r"'share of cima': 0.2\}, here \{'share of cima': 1.0"),
    ):
        with pytest.raises(ValueError, match=words):
            make(split, **hyper).load_pretrained(file)
    other = make(mm.split(split.dataset, "ratio", seed=1))
    with pytest.raises(ValueError, match="another split of the same interactions"):
        other.load_pretrained(file)


def test_a_resumed_run_ends_where_an_unbroken_one_does(split, tmp_path):
    whole, broken = make(split), make(split)
    mm.fit(whole, split, epochs=3, progress=False)
    rows = []

    def stop(row):
        rows.append(row)
        return len(rows) < 5

    mm.fit(broken, split, epochs=3, checkpoint=tmp_path, callback=stop, progress=False)
    resumed = make(split)
    mm.fit(resumed, split, epochs=3, checkpoint=tmp_path, progress=False)
    state = resumed.state_dict()
    assert len(rows) == 5 and all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


def test_training_ignores_what_is_held_out():
    """Other items and other reviews in validation and test rows, the same training: bit-identical weights."""
    shop = reviewed_shop()
    base = mm.split(shop, "leave-one-out")
    table, index = shop.interactions.copy(), shop.sequences["reviews"].index.copy()
    taken = set(zip(table["user"], table["item"], strict=True))
    for row in base.test:
        user = table.at[row, "user"]
        table.at[row, "item"] = next(i for i in range(shop.n_items) if (user, i) not in taken)
    index[np.concatenate([base.valid, base.test])] = 3
    reviews = IndexedVectors(shop.sequences["reviews"].vectors, index, rows="interactions")
    other = mm.split(shop.replace(interactions=table, sequences={"reviews": reviews}), "leave-one-out")
    states = []
    for split in (base, other):
        model = make(split)
        mm.fit(model, split, epochs=3, progress=False)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_graphs_have_training_interactions_alone(split):
    model = make(split)
    seen = split.matrix("train").toarray() > 0
    for side, matrix in (("user", seen), ("item", seen.T)):
        shared = (matrix.astype(int) @ matrix.T.astype(int)) > 0
        np.fill_diagonal(shared, False)
        assert np.array_equal(model.pretraining[side].graph.graph.to_dense().numpy() > 0, shared)
    few = make(split, max_neighbors=3).pretraining["user"].graph.graph
    assert int(few.crow_indices().diff().max()) == 3


def test_cold_items_have_content_and_no_graph():
    split = mm.split(reviewed_shop(), "cold-items", seed=0)
    model = make(split)
    mm.fit(model, split, epochs=1, progress=False)
    cold = np.concatenate(list(split.held_out_items.values()))
    weights = model.modality_weights(items=cold)
    assert not weights[:, 2].any() and torch.allclose(weights.sum(1), torch.ones(len(cold)))


def test_an_item_may_lack_a_modality_or_all(split):
    shop = split.dataset
    features = {name: values.copy() for name, values in shop.features.items()}
    present = {name: np.ones(shop.n_items, dtype=bool) for name in features}
    for name, items in (("image", [2, 5]), ("text", [5])):
        features[name][items] = 0
        present[name][items] = False
    gappy = mm.split(shop.replace(features=features, present=present), "ratio", seed=0)
    for hyper in ({}, {"modalities": "T,V"}, {"variant": "CLIP"}):
        model = make(gappy, **hyper)
        mm.fit(model, gappy, epochs=2, progress=False)
        assert all(torch.isfinite(vectors).all() for vectors in model.embeddings().values())
    weights = make(gappy, modalities="T,V").modality_weights()
    image, text = (make(gappy, modalities="T,V").modalities.index(name) for name in ("image", "text"))
    assert weights[2, image] == 0 and weights[2, text] == 1 and not weights[5].any()


def parted_shop(*both: int):
    """Every item has a picture or a text, `both` have both."""
    shop = reviewed_shop()
    present = {name: np.arange(shop.n_items) % 2 == side for side, name in enumerate(shop.features)}
    for mask in present.values():
        mask[list(both)] = True
    features = {name: values * present[name][:, None] for name, values in shop.features.items()}
    return shop.replace(features=features, present=present)


def test_a_batch_without_an_item_to_align_learns_nothing_of_it():
    """Without BCE no other term has a gradient: once the training died there."""
    split = mm.split(parted_shop(3), "ratio", seed=0)
    model = make(split, variant="w/o BCE", batch_size=4)
    batches = [batch.positives for batch in model.pretraining_batches(torch.Generator().manual_seed(0))]
    assert any(3 in batch for batch in batches) and any(3 not in batch for batch in batches)
    frame = mm.fit(model, split, epochs=1, stages=["pretrain"], progress=False).frame
    assert np.isfinite(frame["cima"]).all() and (frame["cima"] > 0).all()


@pytest.mark.parametrize("hyper", [{"variant": "w/o BCE"}, {"lam": 1.0}])
def test_without_any_item_to_align_and_without_bce_nothing_is_left(hyper):
    cold = mm.split(parted_shop(), "cold-items", seed=0)
    held = int(cold.held_out_items["test"][0])  # it has both, but is in no training row
    for split in (mm.split(parted_shop(), "ratio", seed=0), mm.split(parted_shop(held), "cold-items", seed=0)):
        with pytest.raises(ValueError, match=r"no item of the training part has two of image, text.*such as 'full'"):
            make(split, **hyper)
        mm.fit(make(split), split, epochs=1, progress=False)


@pytest.mark.parametrize(
    "hyper", [{"form": "softmax"}, {"balanced": False}, {"norm": "sym"}, {"n_negatives": 1}, {"temperature": 0.5}]
)
def test_an_option_changes_pretraining(split, hyper):
    models = make(split), make(split, **hyper)
    values = [sum(m.pretraining_loss(first_batch(m.pretraining_batches)).values()).item() for m in models]
    assert values[0] != pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize("hyper", [{"mixing": "candidate"}, {"n_candidates": 9}, {"cf_layers": 1}, {"l2": 0.1}])
def test_an_option_changes_fine_tuning(split, hyper):
    values = []
    for model in (make(split), make(split, **hyper)):
        model.begin_tuning()
        torch.manual_seed(0)
        values.append(sum(model.tuning_loss(first_batch(model.tuning_batches)).values()).item())
    assert values[0] != pytest.approx(values[1], rel=1e-7)


def test_same_seed_same_result(split):
    scores = []
    for seed in (0, 0, 1):
        model = make(split, seed=seed)
        mm.fit(model, split, epochs=2, progress=False)
        scores.append(model.score(torch.arange(5)))
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])


def test_without_reviews_the_variant_that_works_is_named(split):
    bare = mm.split(tiny_shop(), "ratio", seed=0)
    left = r"It goes on with modalities='image,text,graph'; name them to say that this is meant"
    with pytest.warns(UserWarning, match=rf"data set 'tiny' has no reviews \(sequences=.*{left}") as said:
        assert make(bare).modalities == ("image", "text", "graph")
    assert said[0].filename == __file__  # who made the model is told, not the library
    with pytest.raises(ValueError, match=r"has none.*modalities='image,text,graph'.*rows='interactions'"):
        make(bare, modalities="R,T")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(bare, modalities="image,text,graph")
        make(bare, variant="Random")


def test_without_two_features_the_missing_contrast_is_said(split):
    shop = reviewed_shop()
    one = mm.split(shop.replace(features={"text": shop.features["text"]}, present={}), "ratio", seed=0)
    with pytest.warns(UserWarning, match=r"no two features that its contrast.*modalities='reviews,text,graph'"):
        assert make(one).lam == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(one, variant="w/o CIMA")
        make(split)


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"modalities": "T,smell"}, "unknown modality 'smell'; it has: image, text"),
        ({"modalities": "T,G", "variant": "w/o BCE"}, "only the alignment of two features is trained, but there are 1"),
        ({"modalities": "G", "lam": 1.0}, "there are 0 among the modalities graph"),
        ({"modalities": "G", "variant": "CLIP"}, "variant='CLIP' starts from the items' features.*variant='Random'"),
    ],
)
def test_what_the_data_do_not_allow_is_refused(split, hyper, message):
    with pytest.raises(ValueError, match=message):
        make(split, **hyper)


def test_a_feature_may_not_take_the_name_of_a_modality(split):
    shop = split.dataset
    clash = mm.split(shop.replace(features={"graph": shop.features["text"]}), "ratio", seed=0)
    with pytest.raises(ValueError, match="mcptr has a modality 'graph' of its own; rename"):
        make(clash)


def test_hyper_parameters_are_checked(split):
    with pytest.raises(HyperparameterError, match=r"mcptr: lam = 1.5 is refused.*lambda, the share of CIMA"):
        make(split, lam=1.5)
    with pytest.raises(HyperparameterError, match="variant = 'w/o cima' is refused"):
        make(split, variant="w/o cima")
    with pytest.raises(ValueError, match="'CLIP' has no modality weights"):
        make(split, variant="CLIP").modality_weights()


def test_a_catalogue_smaller_than_the_candidates_trains():
    small = mm.split(tiny_shop(n_items=12, per_user=6), "ratio", seed=0)
    frame = mm.fit(make(small, n_candidates=16), small, epochs=1, progress=False).frame
    assert np.isfinite(frame["bpr"].dropna()).all() and frame["stage"].iloc[-1] == "recommend"
