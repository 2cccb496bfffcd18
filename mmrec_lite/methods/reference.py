"""Reference points that are not trained: chance, popularity, nearest neighbours, and the oracle of a planted truth."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from mmrec_lite.data.splits import Split
from mmrec_lite.graphs import from_scipy
from mmrec_lite.methods.base import Hyperparameters, Method, Modalities, chosen_features
from mmrec_lite.ops import unit_rows

__all__ = ["ContentKNN", "ItemKNN", "Oracle", "Popularity", "Random"]


class UntrainedConfig(Hyperparameters):
    """Nothing is trained."""

    epochs: int = Field(0, ge=0, description="ignored: nothing is trained")


class Random(Method):
    """Scores drawn from the seed: what chance finds."""

    name = "random"
    summary = "random scores: the floor"
    Config = UntrainedConfig
    knows_newcomers = True

    def score(self, users: Tensor) -> Tensor:
        """Return each user's scores (B, I); they depend on the seed and the user alone."""
        rows = []
        for user in users.tolist():
            own = torch.Generator().manual_seed((self.seed * 1_000_003 + user) % 2**63)
            rows.append(torch.rand(self.n_items, generator=own))
        return torch.stack(rows)


class Popularity(Method):
    """Every user gets what most others took in training."""

    name = "popularity"
    summary = "the same list for all: training interactions per item"
    Config = UntrainedConfig
    knows_newcomers = True

    def __init__(self, split: Split, config: UntrainedConfig, seed: int):
        super().__init__(split, config, seed)
        self.register_buffer("counts", torch.tensor(split.train_counts, dtype=torch.float32))

    def score(self, users: Tensor) -> Tensor:
        """Return the items' training counts for every user (B, I)."""
        return self.counts.expand(len(users), -1)


class ItemKNN(Method):
    """Items taken by the same users as those in the user's history."""

    name = "item_knn"
    summary = "items taken by the same users, by cosine, summed over the user's history"
    source = "Sarwar et al., WWW 2001"
    Config = UntrainedConfig

    def __init__(self, split: Split, config: UntrainedConfig, seed: int):
        super().__init__(split, config, seed)
        self.interactions = split.matrix("train")
        self.register_buffer("taken", from_scipy(self.interactions), persistent=False)
        self.register_buffer("takers", from_scipy(self.interactions.T.tocsr()), persistent=False)
        counts = torch.tensor(split.train_counts, dtype=torch.float32)
        self.register_buffer("scale", torch.where(counts > 0, counts.clamp(min=1).rsqrt(), 0.0)[:, None])

    def score(self, users: Tensor) -> Tensor:
        """Return sum_j |U_i and U_j| / sqrt(|U_i| |U_j|) over the user's items j (B, I)."""
        own = _histories(self.interactions, users, self.device)
        return (self.scale * (self.takers @ (self.taken @ (self.scale * own)))).T


class ContentConfig(UntrainedConfig):
    """Which features are compared."""

    modalities: Modalities = Field(None, description="features to use; default: all the data set has")


class ContentKNN(Method):
    """Items that look or read like the user's history, without any training.

    An item that lacks some of the modalities stands as high among the items that have all as it does, by what it has,
    among those that have that. One that lacks them all stands in the middle.
    """

    name = "content_knn"
    summary = "cosine between an item's features and the mean of the user's, averaged over the modalities"
    Config = ContentConfig

    def __init__(self, split: Split, config: ContentConfig, seed: int):
        super().__init__(split, config, seed)
        data = split.dataset
        self.modalities = chosen_features(self.name, data, config.modalities, "method 'item_knn'")
        self.interactions = split.matrix("train")
        for name in self.modalities:
            self.register_buffer(f"unit_{name}", unit_rows(torch.from_numpy(data.dense(name))), persistent=False)
        there = np.stack([data.present[name] for name in self.modalities])  # (M, I)
        self.register_buffer("there", torch.from_numpy(there), persistent=False)

    def score(self, users: Tensor) -> Tensor:
        """Return the mean cosine over the modalities (B, I)."""
        own = _histories(self.interactions, users, self.device)
        units = [getattr(self, f"unit_{name}") for name in self.modalities]
        cosines = torch.stack([unit_rows(own.T @ unit) @ unit.T for unit in units])
        mean, whole = cosines.mean(dim=0), self.there.all(dim=0)
        if whole.all():
            return mean
        # Standard scores of each modality over the items that have it; of n of them the sum spreads by the root of n.
        scores = sum(torch.where(has, _standard(c, has), 0.0) for c, has in zip(cosines, self.there, strict=True))
        scores = scores / self.there.sum(dim=0).clamp(min=1).sqrt()
        if whole.sum() < 2:
            return scores
        known = mean[:, whole]
        return torch.where(whole, mean, known.mean(dim=1, keepdim=True) + known.std(dim=1, keepdim=True) * scores)


def _standard(values: Tensor, chosen: Tensor) -> Tensor:
    """Return (B, I) less the mean of the chosen columns, in units of their standard deviation."""
    if chosen.sum() < 2:
        return torch.zeros_like(values)
    known = values[:, chosen]
    spread = known.std(dim=1, keepdim=True)
    return (values - known.mean(dim=1, keepdim=True)) / torch.where(spread > 0, spread, 1.0)


class OracleConfig(UntrainedConfig):
    """What the oracle is told."""

    groups: Modalities = Field(
        None, description="factor groups it knows, of common, image_only, text_only; default: all, () none of them"
    )
    at: Literal["end"] | None = Field(None, description="'end': tastes at the end of a user's time; default: average")


class Oracle(Method):
    """The planted truth's own scores: the ceiling. Only for data that bring a truth.

    With some `groups` alone it tells what each part of the signal is worth; how attractive an item is to everybody it
    knows in any case. `at="end"` fits a test on last interactions, the default one on random interactions.
    """

    name = "oracle"
    summary = "the planted truth's own scores: the ceiling, only where the data bring one"
    Config = OracleConfig
    knows_newcomers = True

    def __init__(self, split: Split, config: OracleConfig, seed: int):
        super().__init__(split, config, seed)
        self.dataset, self.at = split.dataset, config.at
        if not self.dataset.truth:
            raise ValueError(
                f"oracle needs a planted truth, which data set {self.dataset.name!r} does not have; "
                f"only the embedded shop ('bazaar') brings one."
            )
        from mmrec_lite.data.bazaar.world import GROUP_NAMES

        self.groups = GROUP_NAMES if config.groups is None else config.groups
        self.score(torch.zeros(1, dtype=torch.long))  # an unknown group is refused here, not in the middle of a run

    def score(self, users: Tensor) -> Tensor:
        """Return each user's true utilities (B, I)."""
        from mmrec_lite.data.bazaar import oracle_scores

        return torch.as_tensor(oracle_scores(self.dataset, users.cpu().numpy(), at=self.at, groups=self.groups))


def _histories(interactions: csr_array, users: Tensor, device: torch.device) -> Tensor:
    """What each of some users took, a column each: (U, I) and (B,) -> (I, B) float32."""
    rows = interactions[users.cpu().numpy()].toarray()
    return torch.from_numpy(np.ascontiguousarray(rows.T)).to(device)
