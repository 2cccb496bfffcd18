"""`check_method` finds what is wrong with a method, one planted fault at a time, and none in the kit's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mmrec_lite as mm
from mmrec_lite.checking import CHECKS, check_method
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.backbones import MF
from tests.hardness.worlds import TRAINED, small, whole_shop


@pytest.fixture(scope="module")
def parts():
    return mm.split(whole_shop(), "given")


@pytest.fixture
def outcome(parts):
    """Register a class for this test alone and return what is said of it, by check."""
    before = dict(REGISTRY)

    def check(cls) -> dict[str, tuple[str, str]]:
        mm.register(cls)
        table = check_method(cls.name, parts, **({"dim": 8, "batch_size": 64} if issubclass(cls, MF) else {}))
        assert list(table["check"]) == list(CHECKS)
        return {row.check: (row.outcome, row.found) for row in table.itertuples()}

    yield check
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.parametrize("name", [*TRAINED, "random", "popularity", "item_knn", "content_knn"])
def test_the_kits_own_methods_are_without_fault(name, parts):
    table = check_method(name, parts, **small(name))
    assert not (table["outcome"] == "fault").any(), table.to_string()


def test_a_part_of_the_shop_is_what_is_tried_by_default():
    table = check_method("mf")
    assert (table["outcome"] == "ok").all(), table.to_string()


class SeesTest(MF):
    name = "sees_test"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.register_buffer("bonus", torch.from_numpy(split.matrix("test").toarray()))

    def score(self, users):
        return super().score(users) + self.bonus[users]


class LearnsFromValidation(MF):
    name = "learns_from_validation"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.pairs = [torch.from_numpy(column.copy()) for column in split.pairs("valid")]

    def loss(self, batch):
        users, items = self.pairs
        drawn = (self.backbone.user[users] * self.backbone.item[items]).sum(1)
        return super().loss(batch) | {"extra": F.softplus(-drawn).mean()}


class CountsValidation(mm.Method):
    name, summary = "counts_validation", "popularity that also counts the validation part"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        items = np.concatenate([split.pairs(part)[1] for part in ("train", "valid")])
        self.counts = torch.from_numpy(np.bincount(items, minlength=split.n_items)).float()

    def score(self, users):
        return self.counts.repeat(len(users), 1)


class DropsWhileScoring(MF):
    name = "drops_while_scoring"

    def score(self, users):
        return F.dropout(super().score(users), 0.5)


class OthersMatter(MF):
    name = "others_matter"

    def score(self, users):
        scores = super().score(users)
        return scores + scores[:1]


class NumpyStart(MF):
    name = "numpy_start"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.backbone.item = nn.Parameter(
            torch.from_numpy(np.random.default_rng().normal(size=(self.n_items, 8))).float()
        )


class LearnsAside(MF):
    """A running mean in a plain attribute: no checkpoint holds it."""

    name = "learns_aside"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.mean = torch.zeros(split.n_items)

    def loss(self, batch):
        self.mean = self.mean + torch.bincount(batch.positives, minlength=self.n_items)
        return super().loss(batch)

    def score(self, users):
        return super().score(users) + self.mean


class CountsSteps(MF):
    """The weight of a term grows by a plain counter: taken up again, it starts anew."""

    name = "counts_steps"

    def __init__(self, split, config, seed):
        super().__init__(split, config, seed)
        self.steps = 0

    def loss(self, batch):
        self.steps += 1
        return {name: self.steps * term for name, term in super().loss(batch).items()} | {
            "grows": self.steps * self.backbone.item.square().mean()
        }


class Detached(MF):
    name = "detached"

    def loss(self, batch):
        return {name: term.detach() for name, term in super().loss(batch).items()}


class NormalisesOverUsers(MF):
    name = "normalises_over_users"

    def score(self, users):  # in whatever order: the mean of those who are asked about
        scores = super().score(users)
        return scores - scores.mean(dim=0)


class NotANumber(MF):
    name = "not_a_number"

    def score(self, users):
        return super().score(users).log()


class TooFew(MF):
    name = "too_few"

    def score(self, users):
        return super().score(users)[:, :-1]


class Breaks(MF):
    name = "breaks"

    def stages(self):
        raise RuntimeError("no stage today")


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (SeesTest, "held-out data", "it has seen the test part"),
        (LearnsFromValidation, "held-out data", "it learns from them"),
        (CountsValidation, "held-out data", "it learns from them"),
        (DropsWhileScoring, "scores", "two calls differ"),
        (OthersMatter, "scores", "which other users"),
        (NormalisesOverUsers, "scores", "which other users"),
        (NumpyStart, "is made", "backbone.item"),
        (LearnsAside, "state", "neither a parameter nor a buffer"),
        (CountsSteps, "resumes", "these differ"),
        (Detached, "losses", "has a gradient"),
        (NotANumber, "scores", "NaN"),
        (TooFew, "scores", "29"),
        (Breaks, "losses", "no stage today"),
    ],
)
def test_a_planted_fault_is_found(cls, check, words, outcome):
    found = outcome(cls)
    assert found[check][0] == "fault" and words in found[check][1], found


def test_after_an_exception_nothing_more_is_tried(outcome):
    found = outcome(Breaks)
    assert all("not tried" in words for name, (_, words) in found.items() if name not in ("is made", "losses"))


def test_a_weight_that_never_moves_is_noted(outcome):
    class Idle(MF):
        name = "idle"

        def __init__(self, split, config, seed):
            super().__init__(split, config, seed)
            self.unused = nn.Parameter(torch.ones(3))

    kind, words = outcome(Idle)["learns"]
    assert kind == "note" and "unused" in words


def test_cold_items_are_said_not_to_be_tried():
    table = check_method("mf", mm.split(whole_shop(), "cold-items", seed=0), dim=8, epochs=1).set_index("check")
    assert table.loc["held-out data", "outcome"] == "note"


def test_it_is_tried_on_the_cpu_where_there_is_a_gpu(parts, monkeypatch):
    """There "auto" would leave a trained model on the GPU, and those it is compared with are made on the CPU."""

    def fit(model, parts, device="auto", **options):
        history = mm.fit(model, parts, device="cpu", **options)
        model.to("cpu" if device == "cpu" else "meta")
        return history

    monkeypatch.setattr("mmrec_lite.checking.fit", fit)
    table = check_method("mf", parts, dim=8, batch_size=64)
    assert not (table["outcome"] == "fault").any(), table.to_string()
