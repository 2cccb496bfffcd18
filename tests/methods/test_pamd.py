"""PAMD: pre-training, variants, bases, missing modalities, reuse of the pre-trained part, refusals."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import evaluation
from mmrec_lite.data.masking import mask_modalities
from mmrec_lite.methods import HyperparameterError
from mmrec_lite.methods.pamd import PAMDConfig
from tests.tiny import tiny_shop

VARIANTS, BASES = (get_args(PAMDConfig.model_fields[name].annotation) for name in ("variant", "base"))
TERMS = {
    "full": {"align", "orthogonal", "order"},
    "w/o specific": {"align", "orthogonal", "order"},
    "w/o common": {"align", "orthogonal", "order"},
    "pamd-con": {"align", "orthogonal", "gap"},
    "en only": {"align", "orthogonal"},
    "de only": {"order"},
}


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def make(split, **hyper):
    small = {"dim": 6, "batch_size": 64, "pretrain_batch_size": 8, "pretrain_epochs": 2, "epochs": 2, "lr": 0.01}
    return mm.create("pamd", split, **small | {"encoder_lr": 0.01} | hyper)


def gradients(model, terms) -> dict[str, float]:
    """How much gradient of the summed terms each parameter gets."""
    model.zero_grad()
    sum(terms.values()).backward()
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in model.named_parameters()}


def first_batch(model):
    return next(iter(model.batches(torch.Generator().manual_seed(0))))


# Pre-training -------------------------------------------------------------------------------------------------------


def numbers(model) -> dict[str, dict[str, np.ndarray]]:
    return {name: {k: v.detach().numpy() for k, v in model.parts(name).items()} for name in ("image", "text")}


@pytest.mark.parametrize("anchors", ["detached", "attached", "raw"])
def test_pre_training_is_equations_3_to_11(split, anchors):
    """The loss of all items once more, item by item."""
    model = make(split, anchors=anchors).double()
    items, parts = torch.arange(30), numbers(model)
    raw = {name: getattr(model, f"features_{name}").numpy() for name in parts}
    gaps = dict.fromkeys(("common", "primitive", "specific"), 0.0)
    align = orthogonal = 0.0
    for i in range(30):
        a, b = parts["image"], parts["text"]
        align += ((a["common"][i] - b["common"][i]) ** 2).sum() / (30 * 6)
        orthogonal += (a["specific"][i] @ b["specific"][i]) ** 2 / 30
        for here, there in (("image", "text"), ("text", "image")):
            anchor = (raw if anchors == "raw" else {n: p["primitive"] for n, p in parts.items()})[there][i]
            for kind in gaps:
                mapped = model.maps[here](torch.tensor(parts[here][kind][i]))
                gaps[kind] += ((anchor - mapped.detach().numpy()) ** 2).sum() / (30 * len(anchor))

    def log_sigmoid(x):
        return -math.log(1 + math.exp(-x))

    order = -log_sigmoid(gaps["primitive"] - gaps["common"]) - log_sigmoid(gaps["specific"] - gaps["primitive"])
    expected = {"align": align, "orthogonal": orthogonal, "order": order}
    got = {name: float(value.detach()) for name, value in model.pretrain_loss(items).items()}
    assert got == pytest.approx(expected, abs=1e-6)
    assert {k: v.item() for k, v in model.gaps(items).items()} == pytest.approx(gaps, abs=1e-6)


def test_the_forms_of_equation_10_agree_with_the_loss(split):
    model = make(split, order="printed")
    items = torch.arange(30)
    gaps = model.gaps(items)
    printed = torch.nn.functional.logsigmoid(gaps["common"] - gaps["primitive"])
    printed = printed + torch.nn.functional.logsigmoid(gaps["primitive"] - gaps["specific"])
    torch.testing.assert_close(model.pretrain_loss(items)["order"], printed)
    warm, cold = (make(split, order="infonce", temperature=t).pretrain_loss(items)["order"].item() for t in (0.5, 0.05))
    assert warm > 0 and cold > 0 and warm != cold


def test_the_printed_form_runs_away_and_the_bounded_does_not(split):
    ends = {}
    for order in ("printed", "bounded"):
        model = make(split, order=order, variant="de only", pretrain_epochs=20, pretrain_lr=0.01)
        ends[order] = mm.fit(model, split, stages=("pretrain",), progress=False).frame["order"].to_numpy()
    assert ends["printed"][-1] < 10 * ends["printed"][0] < 0
    assert 0 <= ends["bounded"][-1] < ends["bounded"][0]


def test_attached_anchors_collapse(split):
    """With Eq. 14 anchors that may move all move to one point, where every gap is 0; detached ones stay apart."""
    spread = {}
    for anchors in ("attached", "detached"):
        model = make(split, anchors=anchors, variant="pamd-con", pretrain_epochs=60, pretrain_lr=0.01)
        before = model.parts("image")["primitive"].std(dim=0).mean()
        mm.fit(model, split, stages=("pretrain",), progress=False)
        spread[anchors] = float(model.parts("image")["primitive"].std(dim=0).mean() / before)
    assert spread["attached"] < 0.1 and spread["detached"] > 0.3


def test_what_an_anchor_passes_on(split):
    """Detached or raw anchors pull the map's input alone; attached ones move as well."""
    grads = {}
    for anchors in ("detached", "attached"):
        model = make(split, anchors=anchors)
        items = torch.arange(30)
        image, text = model.parts("image", items), {k: v.detach() for k, v in model.parts("text", items).items()}
        target, _ = list(model.mapped(items, {"image": image, "text": text}))[1]  # text -> image: the anchor is image
        grads[anchors] = target.requires_grad
    assert grads == {"detached": False, "attached": True}
    assert not make(split, anchors="raw").anchor("image", {}, torch.arange(3)).requires_grad


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.01), ("sgd", 0.05)])
def test_pre_training_by_either_optimiser_lowers_the_loss(split, optimizer, rate):
    model = make(split, pretrain_optimizer=optimizer, pretrain_lr=rate, pretrain_epochs=15)
    assert model.stages()[0].optimizer == optimizer
    frame = mm.fit(model, split, stages=("pretrain",), progress=False).frame
    assert set(frame["stage"]) == {"pretrain"} and frame["loss"].iloc[-1] < 0.9 * frame["loss"].iloc[0]


def test_weight_decay_is_the_optimisers_on_all_weights_in_both_stages(split, tmp_path):
    model = make(split, weight_decay=0.1, encoder_lr=1e-3)
    groups = [group for stage in model.stages() for group in stage.parameters]
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in model.parameters()}
    lengths = []
    for decay in (0.0, 0.1):
        model = make(split, weight_decay=decay, encoder_lr=1e-3, pretrain_epochs=3)
        mm.fit(model, split, epochs=3, progress=False)
        lengths.append({name: p.detach().norm() for name, p in model.named_parameters() if p.ndim > 1})
    assert all(lengths[1][name] < lengths[0][name] for name in lengths[0])
    model.save_pretrained(tmp_path / "part.safetensors")
    with pytest.raises(ValueError, match="weight_decay"):  # it shaped what was pre-trained
        make(split, encoder_lr=1e-3, pretrain_epochs=3).load_pretrained(tmp_path / "part.safetensors")


def test_pre_training_sees_no_interaction_and_leaves_the_recommender_alone(split):
    model = make(split)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    mm.fit(model, split, stages=("pretrain",), progress=False)
    for name, p in model.named_parameters():
        assert torch.equal(before[name], p) == (not name.startswith(model.pretrained)), name


# Variants -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_on_every_base_trains(split, variant, base):
    model = make(split, variant=variant, base=base)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    history = mm.fit(model, split, progress=False)
    terms = TERMS.get(variant, set())
    frame = history.frame
    assert set(frame["stage"]) == ({"pretrain", "recommend"} if terms else {"recommend"})
    rows = frame[frame["stage"] == "pretrain"].dropna(axis=1, how="all")
    assert set(rows) - {"stage", "epoch", "loss", "lr", "seconds"} == terms
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters())
    report = mm.evaluate(model, split, ks=(5, 10), candidates=10)
    assert 0 <= report.metrics["recall@10"] <= 1
    assert np.isfinite(model.score(torch.arange(40)).numpy()).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_neither_parameters_nor_gradient_for_what_it_leaves_out(split, variant):
    model = make(split, variant=variant)
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert ("maps" in parts) == bool({"order", "gap"} & TERMS.get(variant, set()))
    assert ("encoder" in parts) == (variant != "cf")
    assert any("extract" in name for name, _ in model.named_parameters()) == (variant not in ("features", "cf"))
    if TERMS.get(variant):
        terms = model.pretrain_loss(torch.arange(30))
        assert set(terms) == TERMS[variant]
        got = gradients(model, terms)
        assert all((value > 0) == name.startswith(model.pretrained) for name, value in got.items()), got
    model.train()
    got = gradients(model, model.recommend_loss(first_batch(model)))
    assert all((value > 0) == (not name.startswith("maps")) for name, value in got.items()), got


@pytest.mark.parametrize(
    ("variant", "kinds"),
    [("full", "cs"), ("w/o specific", "c"), ("w/o common", "s"), ("features", "p"), ("cf", ""), ("en only", "cs")],
)
def test_what_a_variant_recommends_with(split, variant, kinds):
    """The final vector is the item's embedding and the attended representations, and those alone."""
    model = make(split, variant=variant)
    found, names = model.embeddings(), {"c": "common", "s": "specific", "p": "primitive"}
    wanted = tuple(f"{m} {names[k]}" for k in kinds for m in ("image", "text"))
    assert model.representations == wanted
    expected = found["id"].double().numpy()
    if wanted:
        views = np.stack([found[name].double().numpy() for name in wanted])
        logits = np.einsum("id,kid->ki", expected, views) / math.sqrt(6)
        weights = np.exp(logits) / np.exp(logits).sum(0)
        expected = expected + np.einsum("ki,kid->id", weights, views)
        np.testing.assert_allclose(model.modality_weights().numpy(), weights.T, atol=1e-6)
    np.testing.assert_allclose(found["final"].numpy(), expected, atol=1e-5)
    scores = model.score(torch.arange(5)).numpy()
    np.testing.assert_allclose(scores, model.backbone.user[:5].detach().double().numpy() @ expected.T, atol=1e-5)


def test_common_and_specific_add_up_to_primitive(split):
    model = make(split)
    mm.fit(model, split, epochs=1, progress=False)
    found = model.embeddings()
    for name in ("image", "text"):
        torch.testing.assert_close(found[f"{name} common"] + found[f"{name} specific"], found[f"{name} primitive"])


def test_without_content_it_is_matrix_factorisation(split):
    bare = mm.create("mf", split, dim=6)
    assert torch.equal(make(split, variant="cf").score(torch.arange(9)), bare.score(torch.arange(9)))


# The attention's query ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [True, False])
def test_with_the_users_query_an_item_differs_from_user_to_user(split, scaled):
    model = make(split, query="user", scaled=scaled, init="normal").eval()
    views, _ = model.content(torch.arange(30))
    views, item = views.detach().double().numpy(), model.backbone.item.detach().double().numpy()
    scores = model.score(torch.arange(8)).numpy()
    for u in range(8):
        user = model.backbone.user[u].detach().double().numpy()
        for i in range(30):
            logits = views[i] @ user / (math.sqrt(6) if scaled else 1)
            a = np.exp(logits) / np.exp(logits).sum()
            assert scores[u, i] == pytest.approx(user @ (item[i] + a @ views[i]), abs=1e-4)
            if i < 2:
                np.testing.assert_allclose(model.modality_weights([u], [i])[0].numpy(), a, atol=1e-5)
    assert "final" not in model.embeddings()
    with pytest.raises(ValueError, match="weighs pairs: give as many users as items"):
        model.modality_weights(items=[0, 1])


def test_weights_of_items_are_the_same_for_every_user(split):
    model = make(split)
    assert torch.equal(model.modality_weights([3, 4], [0, 5]), model.modality_weights(items=[0, 5]))
    with pytest.raises(ValueError, match=r"base='nfm\+\+'.* has no attention; take base='bpr'"):
        make(split, base="nfm++").modality_weights()


# Learning rates, objectives, starts ---------------------------------------------------------------------------------


def test_encoders_have_a_rate_of_their_own_and_can_be_frozen(split):
    groups = make(split, lr=0.02, encoder_lr=0.003).stages()[-1].parameters
    assert [group["lr"] for group in groups] == [0.02, 0.003]
    frozen = make(split, encoder_lr=0)
    assert [group["lr"] for group in frozen.stages()[-1].parameters] == [0.01]
    before = frozen.encoder["image"].encode[0].weight.detach().clone()
    mm.fit(frozen, split, stages=("recommend",), progress=False)
    assert torch.equal(before, frozen.encoder["image"].encode[0].weight)


def test_frozen_encoders_are_read_once_and_score_as_those_that_may_move(split, monkeypatch):
    """The same loss and the same gradient of everything else; after other weights came in, theirs."""
    free, frozen = make(split, encoder_lr=0.01), make(split, encoder_lr=0)
    calls = []
    encode = frozen._encode_all
    monkeypatch.setattr(frozen, "_encode_all", lambda: calls.append(1) or encode())
    for batch in list(free.batches(torch.Generator().manual_seed(0)))[:2]:
        theirs = gradients(free, free.recommend_loss(batch))
        ours = gradients(frozen, frozen.recommend_loss(batch))
        for name, size in ours.items():
            assert size == (0 if name.startswith("encoder.") else pytest.approx(theirs[name], rel=1e-5)), name
    assert len(calls) == 1
    users = torch.arange(split.n_users)
    torch.testing.assert_close(frozen.score(users), free.score(users))
    mm.fit(frozen, split, stages=("pretrain",), progress=False)
    free.load_state_dict(frozen.state_dict())
    torch.testing.assert_close(frozen.score(users), free.score(users))


def test_the_pointwise_objective_is_another_loss(split):
    a, b = make(split), make(split, objective="pointwise")
    batch = first_batch(a)
    assert float(b.recommend_loss(batch)["bpr"]) == pytest.approx(2 * math.log(2), abs=0.3)
    assert float(a.recommend_loss(batch)["bpr"]) == pytest.approx(math.log(2), abs=0.3)


def test_repeated_items_are_encoded_once_and_scored_alike(split):
    """The batch's loss from the table of all scores."""
    model = make(split, l2=0.0)
    batch, scores = first_batch(model), model.score(torch.arange(40))
    gap = scores[batch.users, batch.negatives] - scores[batch.users, batch.positives]
    assert float(model.recommend_loss(batch)["bpr"]) == pytest.approx(float(torch.nn.functional.softplus(gap).mean()))


@pytest.mark.parametrize(("init", "low", "high"), [("xavier", -1, 1), ("uniform", 0, 1), ("normal", -6, 6)])
def test_starts(split, init, low, high):
    user = make(split, init=init, dim=50).backbone.user
    assert low <= user.min() and user.max() <= high
    assert {"xavier": 0.1, "uniform": 0.29, "normal": 1.0}[init] == pytest.approx(float(user.std()), rel=0.5)


def test_features_are_standardised_unless_told_otherwise(split):
    raw = torch.from_numpy(split.dataset.dense("text"))
    assert torch.equal(make(split, standardize=False).features_text, raw)
    made = make(split).features_text
    torch.testing.assert_close(made, (raw - raw.mean(0)) / raw.std(0, correction=0))


# Missing modalities, held-out data, reuse ---------------------------------------------------------------------------


def test_an_item_may_lack_a_modality_or_all():
    shop = tiny_shop()
    features = {name: values.copy() for name, values in shop.features.items()}
    present = {name: np.ones(shop.n_items, dtype=bool) for name in features}
    for name, items in (("image", [2, 5]), ("text", [5])):
        features[name][items], present[name][items] = 0, False
    split = mm.split(shop.replace(features=features, present=present), "ratio", seed=0)
    for hyper in ({}, {"query": "user"}, *({"base": base} for base in BASES[1:])):
        model = make(split, **hyper)
        assert len(model.complete) == 28 and not {2, 5} & set(model.complete.tolist())
        mm.fit(model, split, progress=False)
        assert torch.isfinite(model.score(torch.arange(40))).all()
        found = model.embeddings()
        assert all(found[f"image {kind}"][[2, 5]].abs().sum() == 0 for kind in ("primitive", "common", "specific"))
        if hyper.get("base") is None:
            weights = model.modality_weights([0, 0, 0], [2, 5, 7])
            assert weights[0, 0] == weights[0, 2] == 0 and weights[0].sum() == pytest.approx(1)
            assert weights[1].sum() == 0 and (weights[2] > 0).all()
    assert torch.equal(make(split).embeddings()["final"][5], make(split).embeddings()["id"][5])


def test_with_everything_masked_only_interactions_are_left():
    split = mm.split(mask_modalities(tiny_shop(), 1.0), "ratio", seed=0)
    with pytest.warns(UserWarning, match="no item has both image and text: stage 'pretrain' has no data"):
        model = make(split)
    assert [stage.name for stage in model.stages()] == ["recommend"]
    mm.fit(model, split, progress=False)
    found = model.embeddings()
    assert torch.equal(found["final"], found["id"])


@pytest.mark.parametrize("hyper", [{}, {"query": "user"}, {"base": "neumf++"}])
def test_the_same_seed_gives_the_same_scores(split, hyper):
    def scores(seed):
        model = mm.create("pamd", split, seed=seed, dim=6, batch_size=64, epochs=2, pretrain_epochs=2, **hyper)
        mm.fit(model, split, progress=False)
        return model.score(torch.arange(40))

    first, second, third = scores(0), scores(0), scores(1)
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_a_pretrained_part_gives_identical_scores_when_it_is_loaded(split, tmp_path):
    """Both stages at once, or the second on a reloaded first: the same. And it fits every base and ablation."""
    whole, first, second = make(split), make(split), make(split)
    mm.fit(whole, split, progress=False)
    mm.fit(first, split, stages=("pretrain",), progress=False)
    file = first.save_pretrained(tmp_path / "pamd.safetensors")
    second.load_pretrained(file)
    mm.fit(second, split, stages=("recommend",), progress=False)
    assert torch.equal(whole.score(torch.arange(40)), second.score(torch.arange(40)))
    for hyper in ({"base": "nfm++"}, {"base": "lightgcn++"}, {"variant": "w/o common"}):
        other = make(split, **hyper)
        other.load_pretrained(file)
        assert torch.equal(other.parts("text")["common"], first.parts("text")["common"])
    with pytest.raises(ValueError, match="another method or variant"):
        make(split, variant="en only").load_pretrained(file)


def test_a_pretrained_part_serves_every_split_and_second_stage_but_no_other_pretraining(split, tmp_path):
    """PAMD pre-trains on the items' content alone: no split is learned from."""
    file = make(split).save_pretrained(tmp_path / "pamd.safetensors")
    other = mm.split(split.dataset, "ratio", seed=1)
    for parts, hyper in (
        (other, {}),
        (split, {"objective": "pointwise", "init": "normal", "query": "user", "lr": 1.0}),
    ):
        make(parts, **hyper).load_pretrained(file)
    for hyper in ({"standardize": False}, {"anchors": "attached"}, {"order": "infonce"}, {"pretrain_epochs": 3}):
        name = next(iter(hyper))
        with pytest.raises(ValueError, match=rf"pre-trained with other settings \(\{{'{name}': .*, here \{{'{name}': "):
            make(split, **hyper).load_pretrained(file)


@pytest.mark.parametrize("hyper", [{}, {"encoder_lr": 0}])
def test_recommending_in_blocks_encodes_the_items_once(split, hyper, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK_ELEMENTS", 3 * split.n_items)  # three users a block
    model, calls = make(split, **hyper), []
    mm.fit(model, split, epochs=1, progress=False)
    parts = model.parts
    monkeypatch.setattr(model, "parts", lambda *of: calls.append(of) or parts(*of))
    mm.recommend(model, split)
    assert len(calls) == len(model.modalities)
    mm.evaluate(model, split)
    assert len(calls) == len(model.modalities)
    mm.fit(model, split, epochs=1, stages=["recommend"], progress=False)
    mm.recommend(model, split)
    assert len(calls) > 2 * len(model.modalities)


def test_scores_follow_the_weights(split):
    model = make(split)
    before = model.score(torch.arange(3)).clone()
    state = {name: tensor * 1.5 for name, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    assert not torch.equal(before, model.score(torch.arange(3)))


def test_k_folds_and_cold_items(split):
    shop = tiny_shop()
    for protocol, options, how in (("kfold", {"fold": 2}, 10), ("cold-items", {}, "held-out")):
        part = mm.split(shop, protocol, seed=0, **options)
        model = make(part, epochs=1)
        mm.fit(model, part, progress=False)
        assert 0 <= mm.evaluate(model, part, ks=(5,), candidates=how).metrics["recall@5"] <= 1


def test_it_learns_what_was_planted(split):
    model = make(split, base="bpr++", epochs=15, lr=0.02)
    mm.fit(model, split, progress=False)
    ours = mm.evaluate(model, split, ks=(5,)).metrics["ndcg@5"]
    assert ours > 1.3 * mm.evaluate(mm.create("popularity", split), split, ks=(5,)).metrics["ndcg@5"]


# Refusals -----------------------------------------------------------------------------------------------------------


def test_two_modalities_are_needed_and_chosen(split):
    shop = split.dataset
    three = mm.split(shop.replace(features=shop.features | {"audio": shop.features["text"]}), "ratio", seed=0)
    assert make(three).modalities == ("image", "text")
    assert make(three, modalities="audio, image").representations[0] == "audio common"
    assert make(three, modalities=("audio", "image", "text"), variant="features").representations[2] == "text primitive"


@pytest.mark.parametrize(
    ("names", "hyper", "message"),
    [
        (("text",), {}, "data set 'tiny' has: 'text'. Add features when reading .*variant='features'"),
        ((), {}, "data set 'tiny' has: none. .*variant='cf', which needs none"),
        ((), {"variant": "features"}, "has: none"),
        (("image", "text"), {"modalities": "image"}, "chosen are: 'image'"),
        (("image", "text"), {"modalities": "image,image"}, "image, image: name each of them once"),
        (("image", "text"), {"modalities": "image,smell"}, "unknown modality 'smell'; it has: image, text"),
    ],
)
def test_missing_modalities_are_refused_in_a_sentence(split, names, hyper, message):
    bare = split.dataset.replace(features={name: split.dataset.features[name] for name in names})
    with pytest.raises(ValueError, match=message):
        make(mm.split(bare, "ratio", seed=0), **hyper)


def test_variants_that_do_with_less(split):
    data = split.dataset
    one = mm.split(data.replace(features={"text": data.features["text"]}), "ratio", seed=0)
    assert make(one, variant="features").representations == ("text primitive",)
    none = mm.split(data.replace(features={}), "ratio", seed=0)
    assert set(make(none, variant="cf").embeddings()) == {"id", "final"}


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"order": "bound"}, "pamd: order = 'bound' is refused"),
        ({"variant": "pamd"}, "pamd: variant = 'pamd' is refused"),
        ({"base": "nfm"}, "pamd: base = 'nfm' is refused"),
        ({"encoder_lr": -1}, "encoder_lr = -1 is refused.*0 freezes them"),
        ({"pretrain_lrs": 1}, "no hyper-parameter 'pretrain_lrs'; did you mean 'pretrain_lr'"),
    ],
)
def test_hyper_parameters_are_checked(split, hyper, message):
    with pytest.raises(HyperparameterError, match=message):
        make(split, **hyper)
