"""The methods by name."""

from __future__ import annotations

import difflib
from typing import Any

import torch

from mmrec_lite.data.splits import Split
from mmrec_lite.methods.backbones import MF, NGCF, LightGCN
from mmrec_lite.methods.base import HyperparameterError, Hyperparameters, Method, Stage
from mmrec_lite.methods.mcptr import MCPTR
from mmrec_lite.methods.micro import MICRO
from mmrec_lite.methods.mixgcf import MixGCF
from mmrec_lite.methods.mp4sr import MP4SR
from mmrec_lite.methods.pamd import PAMD
from mmrec_lite.methods.reference import ContentKNN, ItemKNN, Oracle, Popularity, Random
from mmrec_lite.methods.sequences import SASRec
from mmrec_lite.methods.vbpr import VBPR

__all__ = [
    "HyperparameterError",
    "Hyperparameters",
    "Method",
    "Stage",
    "configure",
    "create",
    "method_class",
    "methods",
]

REGISTRY: dict[str, type[Method]] = {
    cls.name: cls
    for cls in (
        Random,
        Popularity,
        ItemKNN,
        ContentKNN,
        Oracle,
        MF,
        NGCF,
        LightGCN,
        VBPR,
        MixGCF,
        MICRO,
        PAMD,
        MCPTR,
        SASRec,
        MP4SR,
    )
}


def methods() -> dict[str, str]:
    """Return every method's name with one line on what it is."""
    return {name: cls.summary for name, cls in REGISTRY.items()}


def method_class(name: str) -> type[Method]:
    """Return a method's class, or raise ``ValueError`` that names the methods there are."""
    if name not in REGISTRY:
        close = difflib.get_close_matches(str(name), REGISTRY, 1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"there is no method {name!r}. {hint}Methods: {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def configure(name: str, profile: str = "paper", **hyper: Any) -> Hyperparameters:
    """Return a method's validated hyper-parameters: the profile's, changed by what is given.

    Raises ``HyperparameterError`` for an unknown name or a value out of range, ``ValueError`` for another profile.
    """
    cls = method_class(name)
    if profile not in cls.profiles:
        raise ValueError(f"{name} has no profile {profile!r}; choose one of {', '.join(cls.profiles)}.")
    return cls.Config.checked(name, cls.profiles[profile] | hyper)


def create(name: str, split: Split, *, profile: str = "paper", seed: int = 0, **hyper: Any) -> Method:
    """Make a method for a split, its weights drawn from the seed.

    >>> import mmrec_lite as mm
    >>> split = mm.split(mm.load("bazaar"), "ratio", seed=0)
    >>> model = mm.create("micro", split, k=10, lam=0.7, modalities=("image", "text"), seed=0)
    """
    config = configure(name, profile, **hyper)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method_class(name)(split, config, seed)
