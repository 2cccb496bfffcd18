"""Linear probes: planted labels, noise, a loop by hand, refusals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from mmrec_lite.probes import (
    PLANTED,
    cka_table,
    linear_cka,
    linear_probe,
    neighbours_kept,
    planted_factors,
    probe_table,
    shuffled_probes,
    strongest_representation,
)


@pytest.fixture(scope="module")
def planted():
    """Vectors of which the first three columns tell the label, and nothing tells `noise`."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    vectors = rng.normal(size=(600, 8))
    vectors[:, :3] += 4 * np.eye(3)[labels]
    return vectors, labels, rng.integers(3, size=600)


def test_a_label_that_is_there_is_read_and_one_that_is_not_is_not(planted):
    vectors, labels, noise = planted
    assert linear_probe(vectors, labels) > 0.9
    assert abs(linear_probe(vectors, noise)) < 0.15


def test_it_is_ridge_regression_on_held_out_rows(planted):
    """The same number by NumPy's normal equations on the same folds."""
    from sklearn.model_selection import StratifiedKFold

    vectors, labels, _ = planted
    vectors = vectors[:, 2:5]  # one of three telling columns: neither 0 nor 1
    right = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=5).split(vectors, labels):
        mean, spread = vectors[train].mean(0), vectors[train].std(0)
        x, held = (vectors[train] - mean) / spread, (vectors[test] - mean) / spread
        y = np.where(labels[train][:, None] == np.arange(3), 1.0, -1.0)
        weights = np.linalg.solve(x.T @ x + 10 * np.eye(3), x.T @ (y - y.mean(0)))
        right.append(np.mean((held @ weights + y.mean(0)).argmax(1) == labels[test]))
    chance = np.bincount(labels).max() / len(labels)
    expected = (np.mean(right) - chance) / (1 - chance)
    assert 0.1 < expected < 0.9
    assert linear_probe(vectors, labels, seed=5) == pytest.approx(expected, abs=1e-9)


def test_scale_and_place_do_not_matter_and_the_table_holds_the_single_probes(planted):
    vectors, labels, noise = planted
    table = probe_table({"as is": vectors, "moved": 1000 * vectors - 7}, {"label": labels, "noise": noise})
    assert list(table.index) == ["as is", "moved"] and list(table.columns) == ["label", "noise"]
    np.testing.assert_allclose(table.loc["as is"], table.loc["moved"], atol=1e-9)
    assert table.loc["as is", "noise"] == linear_probe(vectors, noise)


def test_shuffled_rows_say_what_vectors_score_that_know_nothing(planted):
    """Wide noise scores below 0, and so do the shuffled rows of vectors that know; what they know stands out."""
    vectors, labels, noise = planted
    wide = np.random.default_rng(1).normal(size=(600, 60))
    factors = {"label": labels, "noise": noise}
    floor = shuffled_probes(np.hstack([vectors, wide]), factors, shuffles=19)
    assert floor.shape == (19,) and len(set(floor)) > 10
    empty = probe_table({"noise": np.random.default_rng(2).normal(size=(600, 68))}, factors).to_numpy().mean()
    assert floor.min() - floor.std() < empty < floor.max() + floor.std() and floor.mean() < -0.01
    assert probe_table({"it": np.hstack([vectors, wide])}, factors).to_numpy().mean() > floor.max() + 0.3
    np.testing.assert_array_equal(floor[:2], shuffled_probes(np.hstack([vectors, wide]), factors, shuffles=2))


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "give one label a row"), ([0] * 6, "two labels or more"), ([0, 0, 0, 0, 0, 1], "rarest with 1 rows")],
)
def test_what_cannot_be_probed_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(np.zeros((6, 2)), labels)


def test_cka_is_the_kernel_form_on_centred_gram_matrices():
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), written with N x N matrices as in the paper's Eq. 3."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 6)) + 3, rng.normal(size=(50, 4))
    y[:, :2] += x[:, :2]
    centre = np.eye(50) - 1 / 50
    k, l = (centre @ (v @ v.T) @ centre for v in (x, y))  # noqa: E741 (the paper's letter)
    expected = np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))
    assert 0.05 < expected < 0.95
    assert linear_cka(x, y) == pytest.approx(expected)
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert linear_cka(x, 7 * x @ turn - 2) == pytest.approx(1)
    table = cka_table({"x": x, "y": y, "turned": x @ turn})
    assert table.loc["x", "y"] == table.loc["y", "x"] == pytest.approx(expected)
    assert table.loc["x", "turned"] == pytest.approx(1) and np.diagonal(table).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="same items"):
        linear_cka(x, y[1:])
    with pytest.raises(ValueError, match="same for all items"):
        linear_cka(x, np.ones((50, 3)))


def test_planted_factors_are_the_truths_labels_in_words():
    import mmrec_lite as mm

    shop = mm.load("bazaar")
    found = planted_factors(shop)
    assert set(found) == {name for names in PLANTED.values() for name in names}  # shape has 48 labels
    assert (found["category"] == shop.items["category"].to_numpy(str)).all()
    for name, labels in found.items():
        pairs = set(zip(labels.tolist(), shop.truth[f"item_{name}"].tolist(), strict=True))
        assert len(pairs) == len(set(labels.tolist())) == len(np.unique(shop.truth[f"item_{name}"]))
    assert planted_factors(shop.replace(truth={})) == {}


def test_neighbours_kept_is_a_loop_over_items():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 2))
    y[:, 0] += 2 * x[:, 0]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    shares = []
    for i in range(40):
        others = [j for j in range(40) if j != i]
        by_cosine = sorted(others, key=lambda j: -unit[i] @ unit[j])[:6]
        on_map = sorted(others, key=lambda j: np.linalg.norm(y[i] - y[j]))[:6]
        shares.append(len(set(by_cosine) & set(on_map)) / 6)
    assert neighbours_kept(x, y, 6) == pytest.approx(np.mean(shares))
    assert neighbours_kept(unit, unit) == 1
    with pytest.raises(ValueError, match="k = 40"):
        neighbours_kept(x, y, 40)


@pytest.mark.parametrize("query", ["user", "item"])
def test_the_strongest_representation_of_right_pairs_by_hand(query):
    import mmrec_lite as mm
    from tests.tiny import tiny_shop

    split = mm.split(tiny_shop(), "ratio", seed=0)
    model = mm.create("pamd", split, dim=8, query=query, seed=0)
    mm.fit(model, split, epochs=2, progress=False)
    report = mm.evaluate(model, split, ks=(20,))
    counts, kinds = dict.fromkeys(model.representations, 0), {"common": 0, "specific": 0}
    for user, ranked in zip(report.per_user["user"], report.top, strict=True):
        held = split.pairs("test")[1][split.pairs("test")[0] == user]
        for item in ranked[:15]:
            if item in held:
                weights = model.modality_weights([user] if query == "user" else None, [item])[0].tolist()
                counts[model.representations[int(np.argmax(weights))]] += 1
                attention = dict(zip(model.representations, weights, strict=True))
                both = {kind: sum(w for name, w in attention.items() if name.endswith(kind)) for kind in kinds}
                kinds[max(both, key=both.get)] += 1
    found = strongest_representation(model, report, 15)
    sums = strongest_representation(model, report, 15, together=True)
    total = sum(counts.values())
    assert total > 5 and found.name == f"of {total} pairs"
    assert found.to_dict() == pytest.approx({name: count / total for name, count in counts.items()})
    assert sums.to_dict() == pytest.approx({name: count / total for name, count in kinds.items()})
    with pytest.raises(ValueError, match="strongest_representation: k = 21 is beyond the ranking's 20"):
        strongest_representation(model, report, 21)
