"""Linear probes: planted labels, noise, a loop by hand, refusals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from mmrec_lite.probes import linear_probe, probe_table


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


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "give one label a row"), ([0] * 6, "two labels or more"), ([0, 0, 0, 0, 0, 1], "rarest with 1 rows")],
)
def test_what_cannot_be_probed_is_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(np.zeros((6, 2)), labels)
