"""Item representations as points in the plane: frames of a training, PCA, UMAP, and one map turned onto another."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmrec_lite.methods import Method

__all__ = ["Frame", "Recorder", "align", "pca_map", "project", "umap_map"]

ONE_LAYOUT = threading.RLock()  # of UMAP at a time: it has a core to itself, and Numba's threads bear no other
_BRUTE = 4096  # rows from which UMAP searches neighbours approximately, which compiles longer than it saves here


@dataclass(frozen=True)
class Frame:
    """Item representations at one moment: `spaces` name -> (I, d) and attention `weights` name -> (I,)."""

    label: str
    spaces: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    @classmethod
    def of(cls, models: Method | Mapping[str, Method], label: str = "as trained", only: Sequence[str] = ()) -> Frame:
        """Read a model's representations, or several models' under their names; `only` names those to keep.

        Raises ``ValueError`` for a name in `only` that no model has.
        """
        named = models if isinstance(models, Mapping) else {"": models}
        spaces: dict[str, np.ndarray] = {}
        weights: dict[str, np.ndarray] = {}
        for name, model in named.items():
            prefix = f"{name}: " if name else ""
            spaces |= {prefix + k: v.numpy(force=True).astype(np.float32) for k, v in _embeddings(model).items()}
            weights |= {prefix + k: v for k, v in attention(model).items()}
        unknown = [name for name in only if name not in spaces]
        if unknown:
            raise ValueError(f"no representation is called {unknown[0]!r}; there are: {', '.join(spaces)}.")
        return cls(label, {name: spaces[name] for name in only or spaces}, weights)


def _embeddings(model: Method) -> dict[str, Any]:
    model.eval()  # dropout belongs to training, not to a map
    return model.embeddings()


def attention(model: Method) -> dict[str, np.ndarray]:
    """Return each item's attention to each modality, name -> (I,); nothing where a method has none for items alone."""
    names = getattr(model, "representations", None) or getattr(model, "modalities", ())
    if hasattr(model, "pretraining"):
        names = model.pretraining["item"].modalities
    try:
        table = model.modality_weights().numpy(force=True)
    except (AttributeError, ValueError):  # no attention, or one that needs users
        return {}
    return {name: table[:, place] for place, name in enumerate(names)} if table.shape[1] == len(names) else {}


class Recorder:
    """A callback for ``mm.fit`` that keeps the representations of every `every`-th epoch, the first before training.

        recorder = Recorder(model, every=5)
        mm.fit(model, split, callback=recorder)
        frames = recorder.finish()

    It reads, and changes nothing: a recorded training ends with the weights of one that is not. `finish` adds what
    training left, which is the best epoch, not the last.
    """

    def __init__(self, model: Method, every: int = 1, only: Sequence[str] = ()):
        if every < 1:
            raise ValueError(f"Recorder: every = {every} must be 1 or more epochs.")
        self.model, self.every, self.only = model, every, tuple(only)
        self.frames = [Frame.of(model, "untrained", self.only)]

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Take an epoch's row of the history."""
        if row["epoch"] % self.every == 0:
            self.frames.append(Frame.of(self.model, f"{row['stage']}, epoch {row['epoch']}", self.only))

    def finish(self) -> list[Frame]:
        """Return all frames, the trained model's last."""
        return [*self.frames, Frame.of(self.model, "as trained", self.only)]


def pca_map(vectors: ArrayLike) -> tuple[np.ndarray, float]:
    """Project onto the two directions of most variance. Shapes: (N, d) -> (N, 2) and the share of variance kept.

    Signs are fixed, the largest loading of each direction is positive: the same vectors give the same map.
    Raises ``ValueError`` for fewer than two columns.
    """
    x = np.asarray(vectors, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] < 2:
        raise ValueError(f"pca_map: vectors are {x.shape}; a map needs rows of two numbers or more.")
    x = x - x.mean(axis=0)
    values, directions = np.linalg.eigh(x.T @ x)
    axes = directions[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = values.sum()
    return x @ axes, float(values[-2:].sum() / total) if total > 0 else 0.0


def umap_map(vectors: ArrayLike, seed: int = 0, neighbors: int = 15, epochs: int = 200) -> np.ndarray:
    """Lay out by UMAP on cosines, from PCA. Shapes: (N, d) -> (N, 2).

    The seed fixes the map on one machine, on another it may differ. The first call in a process imports and compiles
    UMAP, which takes as long as several maps; another layout in another thread waits for it.
    """
    x = np.asarray(vectors, dtype=np.float32)
    with ONE_LAYOUT:
        # For good: `catch_warnings` in two threads may undo, or leave behind, the filters of all others.
        warnings.filterwarnings("ignore", message="n_jobs value")  # a seed means one thread
        warnings.filterwarnings("ignore", message="precomputed_knn")  # no new points will be added to the map
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(umap|pynndescent|numba|sklearn)\b")
        from umap import UMAP

        # UMAP's own start is spectral, which fails where the graph falls apart; PCA's scale is that of its docs.
        start = pca_map(x)[0]
        start = (10 * start / max(np.abs(start).max(), 1e-12)).astype(np.float32)
        start = start + np.random.default_rng(seed).normal(scale=1e-4, size=start.shape).astype(np.float32)
        options = {"n_neighbors": min(neighbors, len(x) - 1), "n_epochs": epochs, "metric": "cosine"}
        if _BRUTE <= len(x) <= 4 * _BRUTE:
            options["precomputed_knn"] = _nearest(x, options["n_neighbors"])
        return np.asarray(UMAP(init=start, random_state=seed, **options).fit_transform(x), dtype=np.float64)


def _nearest(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Return each row's k nearest by cosine, itself first, and their distances; exact, in blocks."""
    from sklearn.neighbors import NearestNeighbors

    distances, places = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(x).kneighbors(x)
    return places, distances.astype(np.float32), None


def align(moving: ArrayLike, onto: ArrayLike, same_size: bool = False) -> tuple[np.ndarray, float]:
    """Turn, mirror, shift and scale one map onto another of the same items (Procrustes). Shapes: (N, 2) twice.

    Returns the aligned map and the share of the other's variance that the best scale leaves unexplained: 0 is the
    same map, 1 is none of it. The best scale shrinks a map that has nothing to do with the other to a point; with
    `same_size` the result is as wide as the other instead, to be looked at.
    """
    from scipy.linalg import orthogonal_procrustes

    a, b = (np.asarray(x, dtype=np.float64) for x in (moving, onto))
    if a.shape != b.shape:
        raise ValueError(f"align: maps are {a.shape} and {b.shape}; give the same items in the same order.")
    centre, a, b = b.mean(axis=0), a - a.mean(axis=0), b - b.mean(axis=0)
    size, other = (a**2).sum(), (b**2).sum()
    if size == 0 or other == 0:
        return np.broadcast_to(centre, a.shape).copy(), 1.0
    turn, overlap = orthogonal_procrustes(a, b)
    scale = np.sqrt(other / size) if same_size else overlap / size
    return a @ turn * scale + centre, float(1 - overlap**2 / (size * other))


def project(spaces: Sequence[np.ndarray], how: str = "PCA", shared: bool = True, seed: int = 0) -> list[np.ndarray]:
    """Map several representations of the same items. Shapes: (I, d) each -> (I, 2) each.

    `shared`: one fit on all rows together, so that a place means the same in every map; the widths must agree. Else
    each has a fit of its own, turned onto the first (`align`): shapes can be compared, places cannot.
    `how` is "PCA" or "UMAP". Raises ``ValueError`` for another, and for rows or widths that do not agree.
    """
    if how not in ("PCA", "UMAP"):
        raise ValueError(f"project: how = {how!r} is unknown; choose 'PCA' or 'UMAP'.")
    rows = [len(space) for space in spaces]
    if len(set(rows)) > 1:
        raise ValueError(f"project: the representations have {rows} rows; give the same items in the same order.")
    fit = (lambda x: pca_map(x)[0]) if how == "PCA" else (lambda x: umap_map(x, seed))
    if shared:
        widths = [space.shape[1] for space in spaces]
        if len(set(widths)) > 1:
            raise ValueError(f"project: one fit for all needs one width, these are {widths}; take a fit each.")
        return np.split(fit(np.concatenate(list(spaces))), len(spaces))
    first, *others = [fit(space) for space in spaces]
    return [first, *(align(other, first, same_size=True)[0] for other in others)]
