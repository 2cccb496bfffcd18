"""MICRO: equations, variants, where the gradient goes, missing modalities, refusals."""

from __future__ import annotations

import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite import parallel
from mmrec_lite.methods import HyperparameterError
from mmrec_lite.methods.micro import MICRO
from mmrec_lite.nn import AttentionFusion
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def make(split, **hyper):
    return mm.create("micro", split, **{"dim": 8, "k": 4, "batch_size": 64, "lr": 0.01} | hyper)


def first_batch(model):
    return next(iter(model.batches(torch.Generator().manual_seed(0))))


def gradients(model, batch) -> dict[str, float]:
    """How much gradient of the summed terms each parameter gets."""
    model.train()
    model.zero_grad()
    sum(model.loss(batch).values()).backward()
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in model.named_parameters()}


def test_attention_fusion_is_the_printed_equation():
    torch.manual_seed(0)
    fusion = AttentionFusion(5).double()
    views = torch.randn(3, 7, 5, dtype=torch.float64)
    w, b = fusion.project.weight.detach().numpy(), fusion.project.bias.detach().numpy()
    q = fusion.query.weight.detach().numpy()[0]
    fused, weights = fusion(views)
    for i in range(7):
        importance = np.array([q @ np.tanh(w @ views[m, i].numpy() + b) for m in range(3)])
        alpha = np.exp(importance) / np.exp(importance).sum()
        np.testing.assert_allclose(weights[:, i].detach().numpy(), alpha, atol=1e-9)
        expected = sum(alpha[m] * views[m, i].numpy() for m in range(3))
        np.testing.assert_allclose(fused[i].detach().numpy(), expected, atol=1e-9)


def test_attention_fusion_gradient():
    torch.manual_seed(0)
    fusion = AttentionFusion(3).double()
    present = torch.tensor([[True, False, True, False], [True, True, False, False]])
    views = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: fusion(v, present)[0], (views,))


def test_an_absent_view_has_no_weight():
    fusion = AttentionFusion(3)
    present = torch.tensor([[True, False, False], [True, True, False]])
    fused, weights = fusion(torch.randn(2, 3, 3), present)
    assert weights[0, 1] == 0 and weights[1, 1] == 1 and torch.equal(weights[:, 2], torch.zeros(2))
    assert torch.equal(fused[2], torch.zeros(3))


def test_the_score_is_equations_5_to_14(split):
    """The whole forward pass once more, dense and in NumPy."""
    lam, k = 0.3, 4
    model = make(split, backbone="mf", lam=lam, k=k, layers=2).double().eval()
    item_id = model.backbone.item.detach().numpy().astype(np.float64)

    def graph(x):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        cosine = unit @ unit.T
        kept = np.zeros_like(cosine)
        for i, row in enumerate(cosine):
            best = np.argsort(-row, kind="stable")[:k]
            kept[i, best] = np.maximum(row[best], 0)
        degree = kept.sum(1)
        return kept / np.sqrt(degree[:, None] * degree[None, :])

    views = []
    for name in ("image", "text"):
        features = split.dataset.features[name].astype(np.float64)
        layer = model.transform[name]
        learned = features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        mixed = lam * graph(features) + (1 - lam) * graph(learned)
        views.append(mixed @ mixed @ item_id)
    fused = model.fusion(torch.tensor(np.stack(views)))[0].detach().numpy()
    item = item_id + fused / np.linalg.norm(fused, axis=1, keepdims=True)
    expected = model.backbone.user.detach().numpy()[:6] @ item.T
    np.testing.assert_allclose(model.score(torch.arange(6)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("backbone", ["mf", "ngcf", "lightgcn"])
@pytest.mark.parametrize("variant", ["full", "w/o contrast", "micro/feats", "cf+feats", "cf"])
def test_every_variant_on_every_backbone_trains(split, variant, backbone):
    model = make(split, variant=variant, backbone=backbone)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    history = mm.fit(model, split, epochs=2, progress=False)
    named = set(history.frame) - {"stage", "epoch", "loss", "lr", "seconds", "valid recall@20"}
    assert named == {"bpr", "l2"} | ({"contrast"} if variant in ("full", "micro/feats") else set())
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters())
    assert 0 <= mm.evaluate(model, split).metrics["recall@20"] <= 1


def test_a_variant_has_no_parameters_for_what_it_leaves_out(split):
    plain = make(split, variant="cf")
    assert {name.split(".")[0] for name, _ in plain.named_parameters()} == {"backbone"}
    assert torch.equal(plain.vectors()[1], mm.create("lightgcn", split, dim=8).vectors()[1])


def test_where_the_gradient_goes(split):
    """With rebuild="epoch" the graph's transform learns from the first batch alone, with "batch" from every one."""
    per_epoch, per_batch = make(split), make(split, rebuild="batch")
    batch = first_batch(per_epoch)
    first, second = gradients(per_epoch, batch), gradients_again(per_epoch, batch)
    assert first["transform.image.weight"] > 0 and second["transform.image.weight"] == 0
    gradients(per_batch, batch)
    assert gradients_again(per_batch, batch)["transform.image.weight"] > 0
    for name in ("backbone.user", "backbone.item", "fusion.query.weight"):
        assert first[name] > 0 and second[name] > 0


def gradients_again(model, batch) -> dict[str, float]:
    model.zero_grad()
    sum(model.loss(batch).values()).backward()
    return {name: 0.0 if p.grad is None else float(p.grad.abs().sum()) for name, p in model.named_parameters()}


def test_the_first_batch_is_the_same_for_both_ways_of_rebuilding(split):
    per_epoch, per_batch = make(split), make(split, rebuild="batch")
    batch = first_batch(per_epoch)
    a, b = gradients(per_epoch, batch), gradients(per_batch, batch)
    assert a == pytest.approx(b, rel=1e-5)


def test_with_lam_one_nothing_is_learned_about_the_graph(split):
    model = make(split, lam=1.0)
    assert gradients(model, first_batch(model))["transform.text.weight"] == 0


def test_without_contrast_is_beta_zero(split):
    a, b = make(split, variant="w/o contrast"), make(split, beta=0.0)
    batch = first_batch(a)
    assert {k: v.item() for k, v in a.loss(batch).items()} == {k: v.item() for k, v in b.loss(batch).items()}


@pytest.mark.parametrize("names", ["image", ("text",), ("text", "image"), "image,text"])
def test_any_number_of_modalities(split, names):
    model = make(split, modalities=names)
    wanted = tuple(names.split(",")) if isinstance(names, str) else names
    assert model.modalities == wanted
    assert set(model.embeddings()) == {"id", "final", "fused", *wanted}
    weights = model.modality_weights(items=[0, 3])
    assert weights.shape == (2, len(wanted)) and torch.allclose(weights.sum(1), torch.ones(2))


def test_an_item_may_lack_a_modality_or_all():
    shop = tiny_shop()
    features = {name: values.copy() for name, values in shop.features.items()}
    present = {name: np.ones(shop.n_items, dtype=bool) for name in features}
    for name, items in (("image", [2, 5]), ("text", [5])):
        features[name][items] = 0
        present[name][items] = False
    gappy = shop.replace(features=features, present=present)
    split = mm.split(gappy, "ratio", seed=0)
    model = make(split)
    mm.fit(model, split, epochs=2, progress=False)
    weights, vectors = model.modality_weights(), model.embeddings()
    assert weights[2, 0] == 0 and weights[2, 1] == 1 and weights[5].sum() == 0
    assert vectors["fused"][5].abs().sum() == 0 and torch.isfinite(vectors["final"]).all()
    for graph in model.item_graphs("image").values():
        assert graph.to_dense()[2].abs().sum() == 0 and graph.to_dense()[:, 2].abs().sum() == 0


def test_item_graphs_are_what_the_model_uses(split):
    model = make(split, lam=0.4)
    graphs = model.item_graphs("image")
    expected = 0.4 * graphs["raw"].to_dense() + 0.6 * graphs["learned"].to_dense()
    torch.testing.assert_close(graphs["mixed"].to_dense(), expected)


def test_permuting_items_permutes_scores():
    """Items renumbered, weights moved along: the same scores in the other order."""
    shop = tiny_shop()
    order = np.random.default_rng(0).permutation(shop.n_items)
    place = np.argsort(order)
    moved = shop.replace(
        items=shop.items.iloc[order].reset_index(drop=True),
        interactions=shop.interactions.assign(item=place[shop.interactions["item"]].astype(np.int32)),
        features={name: values[order] for name, values in shop.features.items()},
    )
    splits = [mm.split(data, "leave-one-out") for data in (shop, moved)]
    models = [make(s).eval() for s in splits]
    state = models[0].state_dict()
    state["backbone.item"] = state["backbone.item"][torch.from_numpy(order)]
    models[1].load_state_dict(state)
    a, b = (m.score(torch.arange(10)) for m in models)
    torch.testing.assert_close(a[:, torch.from_numpy(order)], b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"lam": 1.7}, r"micro: lam = 1.7 is refused: input should be less than or equal to 1 \(lambda, the share"),
        ({"lam": "a third"}, "micro: lam = 'a third' is refused: input should be a valid number"),
        ({"kk": 3}, "micro has no hyper-parameter 'kk'; did you mean 'k'"),
        ({"variant": "w/o fusion"}, "variant = 'w/o fusion' is refused"),
        ({"monitor": "accuracy"}, "monitor = 'accuracy' is refused"),
        ({"lam": 2, "k": 0}, "lam = 2 is refused.*k = 0 is refused|k = 0 is refused.*lam = 2 is refused"),
    ],
)
def test_hyper_parameters_are_checked(split, hyper, message):
    with pytest.raises(HyperparameterError, match=message):
        mm.create("micro", split, **hyper)


def test_a_string_from_papermill_becomes_a_number(split):
    config = make(split, k="7", lam="0.5", modalities="text").config
    assert (config.k, config.lam, config.modalities) == (7, 0.5, ("text",))


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"k": 30}, r"k = 30, but it must be at least 1 and below the number of items \(30\)"),
        ({"modalities": ("image", "smell")}, "unknown modality 'smell'; it has: image, text"),
    ],
)
def test_what_the_data_do_not_allow_is_refused(split, hyper, message):
    with pytest.raises(ValueError, match=message):
        make(split, **hyper)


def test_without_features_micro_names_the_variant_that_works(split):
    bare = mm.split(split.dataset.replace(features={}), "ratio", seed=0)
    with pytest.raises(ValueError, match=r"data set 'tiny' has none.*variant='cf'"):
        make(bare)
    model = make(bare, variant="cf", backbone="mf")
    kept = model.embeddings()
    assert kept.keys() == {"id", "final"}
    kept["final"].zero_()  # what is returned is nobody else's
    assert model.backbone.item.abs().sum() > 0


def test_what_a_variant_has_not_is_refused_in_a_sentence(split):
    with pytest.raises(ValueError, match="micro: variant='cf' has no modality weights"):
        make(split, variant="cf").modality_weights()
    for variant in ("cf", "cf+feats"):
        with pytest.raises(ValueError, match=f"micro: variant='{variant.replace('+', '.')}' has no item graphs"):
            make(split, variant=variant).item_graphs("image")


def test_an_unknown_method_or_profile_is_refused(split):
    with pytest.raises(ValueError, match=r"there is no method 'mikro'. Did you mean 'micro'\?"):
        mm.create("mikro", split)
    with pytest.raises(ValueError, match="micro has no profile 'exam'; choose one of paper, lecture"):
        mm.create("micro", split, profile="exam")


@pytest.mark.parametrize("hidden", [("text",), ("image", "text")])
def test_a_modality_that_no_item_has_is_no_obstacle(hidden):
    """A catalogue whose texts are all missing once divided by zero in the contrast's sampling."""
    from mmrec_lite.data.masking import mask_modalities

    bare = mask_modalities(tiny_shop(), 1.0, modalities=hidden)
    result = mm.run("micro", bare, dim=4, k=3, negatives=5, epochs=2, batch_size=64)
    assert result.history["bpr"].notna().all() and 0 <= result.metrics["recall@20"] <= 1


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_loaded_weights_make_their_own_graphs(split, lam):
    model, other = (make(split, lam=lam, seed=seed) for seed in (0, 1))
    users = torch.arange(split.n_users)
    model.score(users)  # the graphs that these weights learned are kept
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model.score(users), other.score(users), rtol=0, atol=0)


@pytest.mark.parametrize("able", [True, False])
def test_16_bit_products_are_taken_where_the_processor_has_them(split, monkeypatch, able):
    """A processor without a unit for them takes tens of times as long: there the contrast is that in 32 bits."""
    monkeypatch.setattr(sys.modules[MICRO.__module__], "multiplies_bfloat16", lambda device: able)
    narrow, wide = make(split, contrast_precision="bfloat16").train(), make(split).train()
    batch = first_batch(wide)
    expected = wide.loss(batch)["contrast"]
    with nullcontext() if able else pytest.warns(UserWarning, match="no unit for 16-bit products"):
        got = narrow.loss(batch)["contrast"]
    if not able:  # said once: not in each epoch again
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            narrow.loss(batch)
    assert torch.equal(got, expected) is not able
    torch.testing.assert_close(got, expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_slow_mixed_precision_is_said(split, monkeypatch, able, precision):
    monkeypatch.setattr("mmrec_lite.ops.multiplies_bfloat16", lambda device: able)
    with pytest.warns(UserWarning, match="leave precision out") if not able else nullcontext():
        mm.fit(make(split), split, epochs=1, progress=False, device="cpu", precision=precision)


@pytest.mark.parametrize(("precision", "said"), [("bf16-mixed", True), ("16-mixed", False), ("32-true", False)])
def test_a_gpu_without_bfloat16_may_have_float16(monkeypatch, precision, said):
    monkeypatch.setattr("mmrec_lite.ops.multiplies_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="leave precision out") if said else warnings.catch_warnings():
        warnings.simplefilter("always" if said else "error")
        parallel._warn_of_slow_products("cuda", precision)
