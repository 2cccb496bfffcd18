"""The loop: resuming, early stopping, the best state, divergence, refusals."""

from __future__ import annotations

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mmrec_lite as mm
from mmrec_lite import parallel
from mmrec_lite._random import own_random_numbers
from mmrec_lite.files import read_tensors, write_tensors
from mmrec_lite.methods.backbones import LightGCN
from mmrec_lite.methods.base import Stage
from mmrec_lite.training import CheckpointError, TrainingDiverged, _Trainer, make_optimizer
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def make(split, name="micro", **hyper):
    settings = {"dim": 8, "batch_size": 64, "lr": 0.02, "epochs": 6, "patience": 50}
    return mm.create(name, split, **settings | ({"k": 4, "negatives": 12} if name == "micro" else {}) | hyper)


def same_weights(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["micro", "ngcf"])  # ngcf draws dropout masks, micro its sampled negatives
@pytest.mark.parametrize("broken_after", [1, 4])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(split, tmp_path, monkeypatch, name, broken_after):
    whole = make(split, name)
    history = mm.fit(whole, split, progress=False)
    mm.fit(make(split, name), split, epochs=broken_after, checkpoint=tmp_path, progress=False)
    resumed, trained, epoch = make(split, name), [], _Trainer.epoch
    monkeypatch.setattr(_Trainer, "epoch", lambda self: trained.append(self.state.epoch + 1) or epoch(self))
    again = mm.fit(resumed, split, checkpoint=tmp_path, progress=False)
    assert trained == [*range(broken_after + 1, 7)]  # and none anew
    assert same_weights(whole, resumed)
    drop = ["seconds"]
    assert again.frame.drop(columns=drop).equals(history.frame.drop(columns=drop))
    assert again.best == history.best and len(again.rows) == 6


def test_what_stands_in_another_s_place_is_named():
    """A name, a data set or a split where another of them belongs once ended in "has no attribute"."""
    data = tiny_shop()
    split = mm.split(data)
    model = mm.create("popularity", split)
    for call, sentence in [
        (lambda: mm.split("bazaar"), r"split: 'bazaar' is no MultimodalDataset; mm\.load\(\) reads one"),
        (lambda: mm.split(split), "split: a Split is no MultimodalDataset"),
        (lambda: mm.create("mf", data), r"create: a MultimodalDataset is no Split; mm\.split\(\) makes one"),
        (lambda: mm.fit("mf", split), r"fit: 'mf' is no Method; mm\.create\(\) makes one"),
        (lambda: mm.fit(model, data), "fit: a MultimodalDataset is no Split; pass the one"),
        (lambda: mm.evaluate("mf", split), r"evaluate: 'mf' is no Method; .* result\.model"),
        (lambda: mm.evaluate(model, data), "evaluate: a MultimodalDataset is no Split"),
        (lambda: mm.recommend(model, data, [0]), "recommend: a MultimodalDataset is no Split"),
        (lambda: mm.run("mf", split), "load: a Split is no data set; take one, its name or its folder"),
    ]:
        with pytest.raises(mm.data.DataError, match=sentence):
            call()


def test_validation_ranks_the_candidates_that_are_asked_for(split):
    cold = mm.split(tiny_shop(n_users=60), "cold-items", seed=0)
    metric = "valid recall@1"
    found = {}
    for candidates in ("all", "held-out"):
        model = make(cold, monitor="recall@1")
        history = mm.fit(model, cold, candidates=candidates, progress=False)
        found[candidates] = mm.evaluate(model, cold, part="valid", candidates=candidates, ks=(1,)).metrics["recall@1"]
        assert history.best["joint"]["metric"] == history.frame[metric].max() == found[candidates]
    assert found["held-out"] > found["all"]
    with pytest.raises(ValueError, match="holds no items out"):
        mm.fit(make(split), split, candidates="held-out")


def test_a_run_validates_by_what_it_reports():
    runs = {
        asked: mm.run(
            "micro", tiny_shop(n_users=60), protocol="cold-items", candidates=asked, dim=8, k=4, negatives=12,
            epochs=2, monitor="recall@1",
        )
        for asked in ("all", "held-out", 3)
    }  # fmt: skip
    figures = {asked: result.history["valid recall@1"].tolist() for asked, result in runs.items()}
    assert figures["all"] == figures[3] != figures["held-out"]


def test_ctrl_c_keeps_the_best_state_the_history_and_the_checkpoint(split, tmp_path):
    def interrupt(row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    model = make(split)
    with pytest.raises(KeyboardInterrupt):
        mm.fit(model, split, checkpoint=tmp_path, progress=False, callback=interrupt)
    assert len(model.history.rows) == 3 and model.history.stopped == {"joint": "interrupted"}
    assert mm.evaluate(model, split, part="valid", ks=(20,)).metrics["recall@20"] == pytest.approx(
        model.history.best["joint"]["metric"]
    )
    resumed, whole = make(split), make(split)
    mm.fit(resumed, split, checkpoint=tmp_path, progress=False)
    mm.fit(whole, split, progress=False)
    assert same_weights(resumed, whole)


def test_the_same_seed_gives_bit_identical_metrics_and_another_does_not(split):
    def metrics(seed):
        model = mm.create("micro", split, seed=seed, dim=8, k=4, batch_size=64, lr=0.02, epochs=3)
        mm.fit(model, split, progress=False)
        return mm.evaluate(model, split).metrics, model.state_dict()["backbone.user"]

    (first, a), (second, b), (_, c) = metrics(0), metrics(0), metrics(1)
    assert first == second and torch.equal(a, b) and not torch.equal(a, c)


def test_two_trainings_in_two_threads_leave_one_another_alone(split):
    """An explorer trains in a thread; whoever runs a cell besides gets the same numbers as without it."""

    def train(seed):
        model = mm.create("ngcf", split, seed=seed, dim=8, batch_size=16, lr=0.02, epochs=12, dropout=0.3)
        mm.fit(model, split, progress=False)
        return model

    alone = [train(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(train, (1, 2)))
    assert all(same_weights(a, b) for a, b in zip(alone, together, strict=True))
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_seed_is_a_whole_number(split):
    assert same_weights(mm.create("mf", split, seed=np.int64(3)), mm.create("mf", split, seed=3))
    for seed in ("3", 2.0, True, -1, 2**70):
        with pytest.raises(ValueError, match="but it is a whole number from 0"):
            mm.create("mf", split, seed=seed)


def test_numbers_of_numpy_are_written_into_checkpoints(split, tmp_path, monkeypatch):
    model = make(split, "mf", epochs=1)
    stages = [dataclasses.replace(stage, lr_decay=lambda epoch: np.float32(0.9) ** epoch) for stage in model.stages()]
    monkeypatch.setattr(model, "stages", lambda: stages)
    mm.fit(model, split, candidates=np.int64(10), checkpoint=tmp_path, progress=False)
    assert (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("patience", [0, None, 1.5])
def test_patience_is_a_number_of_epochs(split, patience):
    with pytest.raises(ValueError, match="but it is a whole number of epochs from 1"):
        dataclasses.replace(make(split, "mf").stages()[0], patience=patience)


def test_the_surrounding_random_state_is_left_alone(split):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    mm.fit(make(split, "ngcf"), split, epochs=1, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_early_stopping_restores_the_best_state(split):
    model = make(split, "mf", epochs=200, patience=3, lr=0.05, monitor="ndcg@3")
    history = mm.fit(model, split, progress=False)
    valid = history.frame["valid ndcg@3"]
    assert history.stopped == {"bpr": "early stop"}
    best = history.best["bpr"]
    assert best["epoch"] == valid.idxmax() + 1 and best["metric"] == valid.max()
    assert len(valid) == best["epoch"] + 3  # three epochs without a better one, then the end
    again = mm.evaluate(model, split, part="valid", ks=(3,)).metrics["ndcg@3"]
    assert again == pytest.approx(best["metric"])


def test_training_learns_what_was_planted(split):
    """Two tastes: after a few epochs MICRO finds much more than popularity does."""
    model = make(split, epochs=30)
    mm.fit(model, split, progress=False)
    ours = mm.evaluate(model, split, ks=(5,)).metrics["ndcg@5"]
    floor = mm.evaluate(mm.create("popularity", split), split, ks=(5,)).metrics["ndcg@5"]
    assert ours > 1.3 * floor


def test_a_callback_ends_the_training(split):
    rows = []
    history = mm.fit(make(split), split, progress=False, callback=lambda row: rows.append(row) or len(rows) < 2)
    assert len(history.rows) == 2 and history.stopped == {"joint": "callback"}


def test_the_history_names_every_term_and_their_sum(split):
    frame = mm.fit(make(split), split, progress=False).frame
    assert list(frame.columns) == [
        "stage", "epoch", "bpr", "contrast", "l2", "loss", "valid recall@20", "lr", "seconds",
    ]  # fmt: skip
    assert frame["loss"].to_numpy() == pytest.approx(frame[["bpr", "contrast", "l2"]].sum(axis=1).to_numpy())
    assert frame["lr"].tolist() == pytest.approx([0.02 * 0.96 ** (e / 50) for e in range(6)])


def test_divergence_names_term_epoch_and_batch(split, tried):
    model = make(split)
    with torch.no_grad():
        model.backbone.user[3] = float("nan")
    with pytest.raises(TrainingDiverged, match=r"micro, stage 'joint': bpr, l2 is not finite in epoch 1, batch 1"):
        mm.fit(model, split, progress=False)
    tried("weights that become NaN or infinite during `fit`", 1, "TrainingDiverged: term, epoch, batch")


def test_divergence_later_leaves_the_best_state(split, tmp_path, tried):
    def poison(row):
        if row["epoch"] == 2:
            with torch.no_grad():
                model.backbone.user.fill_(float("inf"))

    model = make(split, "mf")
    with pytest.raises(TrainingDiverged, match=r"epoch 3.*checkpoint.safetensors holds epoch 2\."):
        mm.fit(model, split, progress=False, callback=poison, checkpoint=tmp_path)
    assert torch.isfinite(model.backbone.user).all()
    tried("weights that become NaN or infinite during `fit`", 1, "TrainingDiverged: term, epoch, batch")


@pytest.mark.parametrize("monitor", [None, "recall@20"])
def test_a_gradient_that_is_not_finite_leaves_the_last_good_checkpoint(split, tmp_path, tried, monitor):
    """The last step's terms are finite and its gradient is not: nothing of it is validated or written."""

    class Model(LightGCN):
        name = "of_late"

        def stages(self):
            return [dataclasses.replace(stage, monitor=monitor) for stage in super().stages()]

    def build():
        torch.manual_seed(0)
        return Model(split, LightGCN.Config(dim=4, batch_size=10_000, epochs=4), 0)

    model, steps = build(), []
    hook = model.backbone.user.register_hook(lambda g: steps.append(0) or (g * torch.nan if len(steps) == 3 else g))
    with pytest.raises(TrainingDiverged, match=r"weight backbone\.user is not finite in epoch 3, .* holds epoch 2\."):
        mm.fit(model, split, progress=False, checkpoint=tmp_path)
    hook.remove()
    assert torch.isfinite(model.backbone.user).all() == (monitor is not None)  # the best state, where there is one
    again, whole = build(), build()
    mm.fit(again, split, progress=False, checkpoint=tmp_path)
    mm.fit(whole, split, progress=False)
    torch.testing.assert_close(again.backbone.user, whole.backbone.user, rtol=0, atol=0)
    tried("weights that become NaN or infinite during `fit`", 1, "TrainingDiverged: term, epoch, batch")


class WithSGD(LightGCN):
    name = "with_sgd"

    def stages(self):
        return [dataclasses.replace(stage, optimizer="sgd", monitor=None) for stage in super().stages()]


def test_a_stage_may_take_plain_gradient_steps(split, tmp_path):
    """One SGD step is minus rate times gradient, and a checkpoint of an optimiser without state is resumed."""
    config = LightGCN.Config(dim=4, batch_size=10_000, lr=0.5, epochs=3)
    model = WithSGD(split, config, 0)
    stage = model.stages()[0]
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = next(iter(stage.batches(torch.Generator().manual_seed(0))))  # what seed 0 draws in stage 0, epoch 0
    sum(stage.loss(batch).values()).backward()
    gradient = model.backbone.user.grad.clone()
    mm.fit(model, split, epochs=1, progress=False, checkpoint=tmp_path)
    torch.testing.assert_close(model.backbone.user.detach(), start["backbone.user"] - 0.5 * gradient)
    whole, resumed = WithSGD(split, config, 0), WithSGD(split, config, 0)
    whole.load_state_dict(start)
    mm.fit(whole, split, progress=False)
    mm.fit(resumed, split, progress=False, checkpoint=tmp_path)
    assert same_weights(whole, resumed)


def test_adam_takes_the_papers_steps():
    """Three steps on two groups are those of Kingma and Ba's Algorithm 1, written out."""
    rates, beta1, beta2, epsilon = (0.1, 0.02), 0.9, 0.999, 1e-8
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(5, 3, generator=generator, dtype=torch.float64)) for _ in rates]
    groups = [{"params": [weight], "lr": rate} for weight, rate in zip(weights, rates, strict=True)]
    optimizer = make_optimizer(Stage("joint", iter, dict, groups, 1, None))
    expected, first, second = [w.detach().clone() for w in weights], [0.0, 0.0], [0.0, 0.0]
    for t in (1, 2, 3):
        for i, weight in enumerate(weights):
            weight.grad = torch.randn(5, 3, generator=generator, dtype=torch.float64)
            first[i] = beta1 * first[i] + (1 - beta1) * weight.grad
            second[i] = beta2 * second[i] + (1 - beta2) * weight.grad**2
            mean, square = first[i] / (1 - beta1**t), second[i] / (1 - beta2**t)
            expected[i] = expected[i] - rates[i] * mean / (square.sqrt() + epsilon)
        optimizer.step()
    for weight, truth in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), truth, rtol=1e-12, atol=1e-12)


def test_methods_without_stages_need_no_training(split):
    history = mm.fit(mm.create("popularity", split), split)
    assert history.rows == [] and "nothing trained" in repr(history)


def test_a_history_says_in_a_line_what_was_best(split):
    history = mm.fit(make(split, epochs=2, monitor="ndcg@5"), split, progress=False)
    best = history.frame["valid ndcg@5"]
    assert f"2 epochs (all epochs), best valid ndcg@5 {best.max():.4f} in epoch {best.idxmax() + 1}" in repr(history)


@pytest.mark.parametrize("epochs", [-1, "2", 1.5])
def test_epochs_are_a_number_of_epochs(split, epochs):
    with pytest.raises(ValueError, match="but it is the most epochs of a stage"):
        mm.fit(make(split), split, epochs=epochs)


def test_another_split_is_refused(split):
    with pytest.raises(ValueError, match="fit: the model was made for another split than tiny-ratio-s1"):
        mm.fit(make(split), mm.split(split.dataset, "ratio", seed=1))


def test_foreign_and_damaged_checkpoints_are_refused(split, tmp_path, tried):
    mm.fit(make(split), split, epochs=1, checkpoint=tmp_path, progress=False)
    file = tmp_path / "checkpoint.safetensors"
    assert [f.name for f in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    whole = file.read_bytes()
    with pytest.raises(CheckpointError, match=r"another config \(\{'k': 4\}, here \{'k': 5\}\)"):
        mm.fit(make(split, k=5), split, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="another method"):
        mm.fit(make(split, "mf"), split, checkpoint=tmp_path, progress=False)
    other = mm.split(split.dataset, "ratio", seed=1)
    with pytest.raises(CheckpointError, match="another split"):
        mm.fit(make(other), other, checkpoint=tmp_path, progress=False)
    cold = mm.split(split.dataset, "cold-items", seed=0)
    mm.fit(make(cold), cold, epochs=1, checkpoint=tmp_path / "cold", progress=False)
    with pytest.raises(CheckpointError, match=r"another choice of candidates \(all, here held-out\)"):
        mm.fit(make(cold), cold, checkpoint=tmp_path / "cold", candidates="held-out", progress=False)
    for damaged in (whole[: len(whole) // 2], b"", whole[:4]):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            mm.fit(make(split), split, checkpoint=tmp_path, progress=False)
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
        mm.fit(make(split), split, checkpoint=tmp_path, progress=False)
    tried("checkpoint of another method, setting, split, choice of candidates or version", 4, "refused: says which")


def test_a_checkpoint_of_another_version_is_refused(split, tmp_path, tried):
    mm.fit(make(split), split, epochs=1, checkpoint=tmp_path, progress=False)
    file = tmp_path / "checkpoint.safetensors"
    header, tensors = read_tensors(file)
    write_tensors(file, tensors, header | {"version": 99})
    with pytest.raises(CheckpointError, match="checkpoint version 99, this program reads 3"):
        mm.fit(make(split), split, checkpoint=tmp_path, progress=False)
    tried("checkpoint of another method, setting, split, choice of candidates or version", 1, "refused: says which")


def test_one_bit_that_changed_is_noticed(split, tmp_path, tried):
    model = make(split, "mf")
    mm.fit(model, split, epochs=1, checkpoint=tmp_path, progress=False)
    file = tmp_path / "checkpoint.safetensors"
    whole = file.read_bytes()
    places = range(len(whole) - 1, 0, -len(whole) // 40)  # weights, the optimiser's state, the header
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            mm.fit(make(split, "mf"), split, checkpoint=tmp_path, progress=False)
    tried("checkpoint with one bit changed", len(places), "refused")


def test_only_the_named_stages_are_trained(split):
    model = make(split, "mf")
    before = model.backbone.user.detach().clone()
    history = mm.fit(model, split, stages=(), progress=False)
    assert history.rows == [] and torch.equal(model.backbone.user, before)
    assert len(mm.fit(model, split, stages=("bpr",), epochs=1, progress=False).rows) == 1
    with pytest.raises(ValueError, match="mf has no stage 'pretrain'; it has: bpr"):
        mm.fit(model, split, stages=("pretrain",), progress=False)


class WithPretraining(LightGCN):
    name = "with_pretraining"
    pretrained = ("backbone.item",)


def test_a_pretrained_part_is_saved_and_loaded_on_its_own(split, tmp_path):
    config = LightGCN.Config(dim=4)
    one, other = (WithPretraining(split, config, seed) for seed in (0, 1))
    file = one.save_pretrained(tmp_path / "part" / "item.safetensors")
    user = other.backbone.user.detach().clone()
    other.load_pretrained(file)
    assert torch.equal(one.backbone.item, other.backbone.item) and torch.equal(other.backbone.user, user)
    with pytest.raises(ValueError, match=r"backbone.item is \(30, 4\), here \(30, 5\)"):
        WithPretraining(split, LightGCN.Config(dim=5), 0).load_pretrained(file)
    with pytest.raises(ValueError, match="has no pre-trained part"):
        make(split, "mf").save_pretrained(tmp_path / "x")
    with pytest.raises(ValueError, match=r"another method or variant \(with_pretraining, here mf\)"):
        make(split, "mf").load_pretrained(file)
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ValueError, match="is not a whole pre-trained part"):
        other.load_pretrained(file)


def test_a_pretrained_part_knows_where_it_comes_from(split, tmp_path):
    config = LightGCN.Config(dim=4)
    file = WithPretraining(split, config, 0).save_pretrained(tmp_path / "item.safetensors")
    other = mm.split(split.dataset, "ratio", seed=1)
    with pytest.raises(ValueError, match="pre-trained on another split of the same interactions"):
        WithPretraining(other, config, 0).load_pretrained(file)
    elsewhere = mm.split(tiny_shop(seed=1), "ratio", seed=1)  # other data: what pre-training is for
    WithPretraining(elsewhere, config, 0).load_pretrained(file)
    with pytest.raises(ValueError, match=r"other settings \(\{'layers': 2\}, here \{'layers': 3\}\); take these"):
        WithPretraining(split, LightGCN.Config(dim=4, layers=3), 0).load_pretrained(file)
    write_tensors(file, load_file(file), {"pretrained": "with_pretraining"})
    with pytest.raises(ValueError, match=r"an older version wrote it. Pre-train and save it again"):
        WithPretraining(split, config, 0).load_pretrained(file)


@pytest.fixture(scope="module")
def staged():
    return mm.split(tiny_shop(), "ratio", seed=0)


def pamd(split):
    small = {"dim": 8, "batch_size": 64, "epochs": 3, "patience": 50, "pretrain_epochs": 2}
    return mm.create("pamd", split, profile="lecture", **small)


def test_stages_one_at_a_time_with_a_checkpoint_are_both_in_one_go(staged, tmp_path):
    whole, parts = pamd(staged), pamd(staged)
    mm.fit(whole, staged, progress=False)
    mm.fit(parts, staged, stages=["pretrain"], checkpoint=tmp_path, progress=False)
    mm.fit(parts, staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    assert same_weights(whole, parts)
    fresh = pamd(staged)  # in another process: what the checkpoint holds is enough
    history = mm.fit(fresh, staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    assert same_weights(whole, fresh) and len(history.rows) == 5


def test_a_stage_that_the_checkpoint_has_left_behind_is_not_trained_again(staged, tmp_path):
    mm.fit(pamd(staged), staged, checkpoint=tmp_path, progress=False)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=r"is past the stages to train \(pretrain\): it holds 'recommend'"):
        mm.fit(pamd(staged), staged, stages=["pretrain"], checkpoint=tmp_path, progress=False)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_checkpoint_of_the_second_stage_alone_does_not_stand_for_both(staged, tmp_path):
    mm.fit(pamd(staged), staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"holds 'recommend', trained without 'pretrain' before it"):
        mm.fit(pamd(staged), staged, checkpoint=tmp_path, progress=False)
    again = mm.fit(pamd(staged), staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    assert set(again.stopped) == {"recommend"}


def test_a_checkpoint_knows_the_pretrained_part_it_began_with(staged, tmp_path):
    files = []
    for name, epochs in (("a", 1), ("b", 2)):
        model = pamd(staged)
        mm.fit(model, staged, stages=["pretrain"], epochs=epochs, progress=False)
        files.append(model.save_pretrained(tmp_path / f"{name}.safetensors"))

    def go_on(file, **options):
        model = pamd(staged)
        if file is not None:
            model.load_pretrained(file)
        mm.fit(model, staged, stages=["recommend"], checkpoint=tmp_path / "kept", progress=False, **options)
        return model

    go_on(files[0], epochs=1)
    for file in (files[1], None):
        with pytest.raises(CheckpointError, match=r"another pre-trained part \([0-9a-f]{64}, here "):
            go_on(file)
    whole = pamd(staged)
    whole.load_pretrained(files[0])
    mm.fit(whole, staged, stages=["recommend"], progress=False)
    assert same_weights(go_on(files[0]), whole)


def test_a_checkpoint_says_how_its_stage_ended(staged, tmp_path):
    """Else the history of a second stage that goes on from it names a first one that never ended."""
    mm.fit(pamd(staged), staged, stages=["pretrain"], checkpoint=tmp_path, progress=False)
    history = mm.fit(pamd(staged), staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    assert history.stopped == {"pretrain": "all epochs", "recommend": "all epochs"}
    model = pamd(staged)
    file = model.save_pretrained(tmp_path / "part.safetensors")
    small = {"dim": 8, "batch_size": 64, "epochs": 3, "patience": 50, "pretrain_epochs": 2, "profile": "lecture"}
    with pytest.raises(CheckpointError, match=r"another pre-trained part \(None, here "):
        mm.run("pamd", staged.dataset, pretrained=file, checkpoint=tmp_path, **small)


def test_a_stage_that_was_broken_off_is_said_to_have_been(staged, tmp_path, monkeypatch):
    """Killed after an epoch: what was written then knows of no end."""
    save = _Trainer.save

    def and_die(trainer):
        save(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(_Trainer, "save", and_die)
        mm.fit(pamd(staged), staged, checkpoint=tmp_path, progress=False)
    history = mm.fit(pamd(staged), staged, stages=["recommend"], checkpoint=tmp_path, progress=False)
    assert history.stopped == {"pretrain": "interrupted", "recommend": "all epochs"}


def test_a_checkpoint_of_another_version_of_the_kit_is_refused(split, tmp_path, monkeypatch):
    mm.fit(make(split), split, epochs=1, checkpoint=tmp_path, progress=False)
    monkeypatch.setattr(mm, "__version__", "9.9")
    with pytest.raises(CheckpointError, match=r"another version of mmrec_lite \(0\..*, here 9\.9\)"):
        mm.fit(make(split), split, checkpoint=tmp_path, progress=False)


# What a user's method may get wrong ---------------------------------------------------------------------------------


class Tied(LightGCN):
    """One weight under two names, as where users and items share a table."""

    name = "tied"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.again = self.backbone.item


def test_a_weight_with_two_names_is_written_and_read(split, tmp_path):
    config = LightGCN.Config(dim=4, batch_size=64, epochs=3, lr=0.05)

    def build():
        torch.manual_seed(0)
        return Tied(split, config, 0)

    whole, broken, resumed = build(), build(), build()
    mm.fit(whole, split, progress=False)
    mm.fit(broken, split, epochs=1, checkpoint=tmp_path, progress=False)
    mm.fit(resumed, split, checkpoint=tmp_path, progress=False)
    assert resumed.again is resumed.backbone.item and same_weights(whole, resumed)
    resumed.pretrained = ("again", "backbone.item")
    fresh = build()
    fresh.pretrained = resumed.pretrained
    fresh.load_pretrained(resumed.save_pretrained(tmp_path / "part.safetensors"))
    assert fresh.again is fresh.backbone.item and torch.equal(fresh.again, resumed.again)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"monitor": "recall"}, r"stage 'x': monitor = 'recall' is no validation metric; .*such as 'recall@20'"),
        ({"monitor": "map@10"}, "monitor = 'map@10' is no validation metric; take one of recall, precision"),
        ({"monitor": "recall@0"}, "monitor = 'recall@0' is no"),
        ({"optimizer": "adamw"}, "stage 'x': optimizer = 'adamw' is unknown; choose 'adam' or 'sgd'"),
        ({"parameters": [{"params": []}]}, "stage 'x': parameter group 0 has no 'lr'"),
        ({"parameters": [{"params": [], "lr": 1.0}, {"lr": 0.1}]}, "parameter group 1 has no 'params'"),
        ({"epochs": -1}, "stage 'x': epochs = -1, but it is a whole number from 0"),
        ({"epochs": 2.5}, "stage 'x': epochs = 2.5"),
        ({"loss": 5}, "stage 'x': batches and loss, its second and third argument, are functions"),
        ({"parameters": [torch.nn.Parameter(torch.zeros(1))]}, "group 0 has no 'params'; each group is a dict"),
    ],
)
def test_a_stage_is_checked_when_it_is_made(wrong, words):
    settings = {"batches": iter, "loss": dict, "parameters": [], "epochs": 1}
    with pytest.raises(ValueError, match=words):
        Stage("x", **settings | wrong)
    Stage("x", **settings | {"epochs": np.int64(3), "monitor": "ndcg@3"})


LOSSES = [
    (
        lambda n, terms: terms | ({"late": terms["l2"]} if n else {}),
        "'bpr', batch 2: the loss returns bpr, l2, late, but",
    ),
    (lambda n, terms: terms if n == 0 else {"bpr": terms["bpr"], "l3": terms["l2"]}, "returns bpr, l3, but bpr, l2 in"),
    (lambda n, terms: sum(terms.values()), "returns tensor.*return its terms by name"),
    (lambda n, terms: {}, "return its terms by name"),
    (lambda n, terms: terms | {"extra": 0.0}, "term 'extra' is float; return a tensor of one number"),
    (lambda n, terms: terms | {"extra": torch.ones(2)}, r"term 'extra' is of shape \(2,\)"),
]


@pytest.mark.parametrize(("change", "words"), LOSSES)
def test_loss_terms_are_scalars_of_the_same_names(split, change, words):
    model = make(split, "mf")
    loss, calls = model.loss, []
    model.loss = lambda batch: (calls.append(0), change(len(calls) - 1, loss(batch)))[1]
    with pytest.raises(ValueError, match=words):
        mm.fit(model, split, progress=False)


def test_loss_terms_may_come_in_another_order(split):
    plain, model = make(split, "mf"), make(split, "mf")
    loss, calls = model.loss, []

    def turned(batch):
        calls.append(0)
        terms = loss(batch)
        return terms if len(calls) % 2 else dict(reversed(terms.items()))

    model.loss = turned
    found, expected = (mm.fit(m, split, epochs=1, progress=False).frame for m in (model, plain))
    assert found["bpr"].tolist() == pytest.approx(expected["bpr"].tolist()) and len(calls) > 1
    assert found["l2"].tolist() == pytest.approx(expected["l2"].tolist())


def test_a_stage_without_batches_is_said_to_have_none(split):
    class Empty(LightGCN):
        def stages(self):
            return [dataclasses.replace(stage, batches=lambda generator: iter(())) for stage in super().stages()]

    with pytest.raises(ValueError, match="stage 'bpr': `batches` yields none"):
        mm.fit(Empty(split, LightGCN.Config(dim=4), 0), split, progress=False)


def test_epochs_may_be_numpys(split):
    assert len(mm.fit(make(split, "mf"), split, epochs=np.int64(2), progress=False).rows) == 2


@pytest.mark.parametrize("name", ["lightgcn", "ngcf", "mixgcf", "micro", "mcptr"])
@pytest.mark.filterwarnings("ignore:mcptr. data set")
def test_mixed_precision_trains_what_has_a_graph(split, name):
    """A CPU has no sparse product of 16 bits; what is propagated stays in 32."""
    settings = {"epochs": 2} | {"mcptr": {"pretrain_epochs": 1}, "micro": {"negatives": None}}.get(name, {})
    narrow, wide = (make(split, name, **settings) for _ in range(2))
    found = mm.fit(narrow, split, precision="bf16-mixed", device="cpu", progress=False)
    expected = mm.fit(wide, split, device="cpu", progress=False)
    assert found.frame["loss"].tolist() == pytest.approx(expected.frame["loss"].tolist(), rel=0.02)
    assert all(weight.dtype == torch.float32 for weight in narrow.parameters())


def test_auto_is_no_device_without_sparse_matrices(monkeypatch):
    monkeypatch.setattr("lightning_fabric.accelerators.MPSAccelerator.is_available", lambda: True)  # a Mac
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert parallel.start().device.type == "cpu"


def test_random_numbers_on_the_cpu_wake_up_no_gpu(monkeypatch):
    """PyTorch's default puts the random state of every GPU back, and makes a context on each for it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: pytest.fail(f"GPU {device} was asked"))
    before = torch.get_rng_state()
    with own_random_numbers(torch.device("cpu"), 3) as generator:
        assert torch.equal(torch.rand(2), torch.rand(2, generator=generator))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("term", ["loss", "lr", "epoch", "valid recall@20"])
def test_a_term_has_no_name_of_a_column(term):
    """The term was lost, or took the epoch's number."""
    split = mm.split(tiny_shop())
    model = mm.create("mf", split)
    (stage,) = model.stages()
    named = dataclasses.replace(stage, loss=lambda batch: stage.loss(batch) | {term: torch.zeros(())})
    model.stages = lambda: [named]
    with pytest.raises(ValueError, match=f"term '{term}' has the name of a column of the history"):
        mm.fit(model, split, epochs=1, progress=False)


def test_all_random_numbers_of_a_loss_come_from_the_seed(tmp_path):
    """NumPy's and Python's, too: a training that was broken off went on with others."""
    split, weights, rows = mm.split(tiny_shop()), [], []
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    for stops in ((3,), (1, 3)):
        for epochs in stops:
            model = mm.create("mf", split)
            (stage,) = model.stages()

            def loss(batch, stage=stage):
                factor = float(np.random.rand()) + random.random()  # noqa: NPY002
                return {name: term * factor for name, term in stage.loss(batch).items()}

            made = dataclasses.replace(stage, loss=loss)
            model.stages = lambda made=made: [made]
            history = mm.fit(model, split, epochs=epochs, checkpoint=tmp_path / str(len(stops)), progress=False)
        weights.append(torch.cat([weight.flatten() for weight in model.parameters()]))
        rows.append(history.frame.drop(columns="seconds"))
    assert torch.equal(*weights) and rows[0].equals(rows[1])
    assert before == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
