"""Maps: PCA beside scikit-learn, Procrustes beside SciPy, recording that changes nothing."""

from __future__ import annotations

import sys
import threading
import time
import types
import warnings

import numpy as np
import pytest
import torch

import mmrec_lite as mm
from mmrec_lite.maps import Frame, Recorder, align, attention, pca_map, project, umap_map
from tests.tiny import tiny_shop


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    return points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_pca_is_scikit_learns_up_to_signs():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = np.random.default_rng(0).normal(size=(60, 7)) * np.arange(1, 8) + 5
    got, share = pca_map(x)
    pca = decomposition.PCA(2).fit(x)
    np.testing.assert_allclose(np.abs(got), np.abs(pca.transform(x)), atol=1e-9)
    assert share == pytest.approx(pca.explained_variance_ratio_.sum())
    np.testing.assert_array_equal(got, pca_map(x)[0])


def test_alignment_undoes_turn_mirror_scale_and_shift_and_agrees_with_scipy():
    from scipy.spatial import procrustes

    rng = np.random.default_rng(1)
    target = rng.normal(size=(40, 2)) @ np.diag([3, 1]) + 7
    moved = turned(target, 1.1) * [-0.2, 0.2] - 3
    back, left = align(moved, target)
    np.testing.assert_allclose(back, target, atol=1e-9)
    assert left == pytest.approx(0, abs=1e-12)
    noisy = moved + rng.normal(size=moved.shape)
    got, left = align(noisy, target)
    assert left == pytest.approx(procrustes(target, noisy)[2])
    assert ((got - target) ** 2).sum() == pytest.approx(left * ((target - target.mean(0)) ** 2).sum())
    assert align(np.zeros((40, 2)), target)[1] == 1
    strange = rng.normal(size=(40, 2)) * 50
    wide, alone = align(strange, target, same_size=True), align(strange, target)
    assert wide[1] == alone[1] > 0.5
    assert ((wide[0] - target.mean(0)) ** 2).sum() == pytest.approx(((target - target.mean(0)) ** 2).sum())
    assert ((alone[0] - target.mean(0)) ** 2).sum() < 0.5 * ((target - target.mean(0)) ** 2).sum()
    with pytest.raises(ValueError, match="same items"):
        align(target[1:], target)


def test_a_shared_fit_is_one_fit_and_own_fits_are_turned_onto_the_first():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(30, 5)), rng.normal(size=(30, 5)) * [1, 9, 1, 1, 1]
    left, right = project([a, b])
    np.testing.assert_allclose(np.concatenate([left, right]), pca_map(np.concatenate([a, b]))[0])
    own = project([a, b[:, :3]], shared=False)
    np.testing.assert_allclose(own[0], pca_map(a)[0])
    np.testing.assert_allclose(own[1], align(pca_map(b[:, :3])[0], own[0], same_size=True)[0])
    for one, other in zip(own, project([a, 100 * rng.normal(size=(30, 4))], shared=False), strict=True):
        assert one.std() == pytest.approx(other.std(), rel=0.5), "neither is shrunk to a point"
    with pytest.raises(ValueError, match=r"one width, these are \[5, 3\]"):
        project([a, b[:, :3]])
    for shared in (True, False):  # 50 of one's items were once drawn in the other's map
        with pytest.raises(ValueError, match=r"project: the representations have \[30, 20\] rows; give the same items"):
            project([a, b[:20]], shared=shared)
    with pytest.raises(ValueError, match="choose 'PCA' or 'UMAP'"):
        project([a], how="t-SNE")
    with pytest.raises(ValueError, match="two numbers or more"):
        pca_map(a[:, :1])


@pytest.mark.slow
def test_umap_parts_what_is_far_apart():
    pytest.importorskip("umap")
    rng = np.random.default_rng(3)
    group = np.arange(120) % 3
    x = 6 * np.eye(3)[group] @ rng.normal(size=(3, 8)) + rng.normal(size=(120, 8)) * 0.3
    got = umap_map(x, seed=4, epochs=50)
    np.testing.assert_array_equal(got, umap_map(x, seed=4, epochs=50))
    centres = np.stack([got[group == g].mean(axis=0) for g in range(3)])
    nearest = np.linalg.norm(got[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.95


def test_a_layout_waits_for_another_and_leaves_the_warnings_of_others_alone(monkeypatch):
    at_once, most, rows = [], [], np.random.default_rng(0).normal(size=(20, 4))

    class Slow:
        def __init__(self, init, **options):
            self.start = init

        def fit_transform(self, x):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.05)
            at_once.pop()
            return self.start

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Slow))
    kept = warnings.catch_warnings  # swapped for two threads at once, it loses or leaves behind what others set
    monkeypatch.setattr(warnings, "catch_warnings", lambda **_: pytest.fail("filters are the process's"))
    threads = [threading.Thread(target=umap_map, args=(rows,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    monkeypatch.setattr(warnings, "catch_warnings", kept)
    assert most == [1, 1, 1]


def test_recording_changes_nothing_and_ends_with_the_trained_model(split):
    def train(callback_of):
        model = mm.create("micro", split, k=3, seed=1)
        recorder = callback_of(model)
        mm.fit(model, split, epochs=4, progress=False, callback=recorder)
        return model, recorder

    plain, _ = train(lambda model: None)
    recorded, recorder = train(lambda model: Recorder(model, every=2, only=["fused"]))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, recorded.state_dict()[name]), name
    frames = recorder.finish()
    assert [f.label for f in frames] == ["untrained", "joint, epoch 2", "joint, epoch 4", "as trained"]
    np.testing.assert_array_equal(frames[-1].spaces["fused"], recorded.embeddings()["fused"].numpy())
    assert all(set(f.spaces) == {"fused"} and set(f.weights) == {"image", "text"} for f in frames)
    assert not np.array_equal(frames[0].spaces["fused"], frames[1].spaces["fused"])
    with pytest.raises(ValueError, match="every = 0"):
        Recorder(recorded, every=0)


def test_frames_of_several_models_carry_their_names(split):
    models = {"ours": mm.create("micro", split, k=3), "parted": mm.create("pamd", split, dim=8)}
    frame = Frame.of(models, "now")
    assert {"ours: fused", "parted: image common", "parted: text specific"} <= set(frame.spaces)
    assert frame.weights["parted: image common"].shape == (split.n_items,)
    total = sum(v for k, v in frame.weights.items() if k.startswith("ours"))
    np.testing.assert_allclose(total, 1, atol=1e-6)
    with pytest.raises(ValueError, match="no representation is called 'unknown'"):
        Frame.of(models, only=["unknown"])
    assert attention(mm.create("lightgcn", split)) == {}
    assert attention(mm.create("pamd", split, dim=8, query="user")) == {}
