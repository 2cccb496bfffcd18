"""The methods, and how one is made."""

from __future__ import annotations

import importlib
import numbers
import sys
from types import ModuleType
from typing import Any

import torch

from mmrec_lite._threads import ALONE
from mmrec_lite.data.errors import expect
from mmrec_lite.data.splits import Split
from mmrec_lite.methods.base import (
    HyperparameterError,
    Hyperparameters,
    Method,
    PairwiseHyperparameters,
    Stage,
    VectorMethod,
)
from mmrec_lite.methods.registry import REGISTRY, adopt, method_class, methods, own_methods, register
from mmrec_lite.methods.settings import settings

__all__ = [
    "REGISTRY",
    "HyperparameterError",
    "Hyperparameters",
    "Method",
    "PairwiseHyperparameters",
    "Stage",
    "VectorMethod",
    "adopt",
    "configure",
    "create",
    "method_class",
    "methods",
    "own_methods",
    "register",
    "settings",
]


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
    expect("create", split, Split, "mm.split() makes one of a data set, as in mm.create('micro', mm.split(data))")
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ValueError(f"create: seed = {seed!r}, but it is a whole number from 0 to 2^63 - 1.")
    seed = int(seed)
    with ALONE, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # weights are drawn on the CPU; a GPU's generator is left alone
        return method_class(name)(split, config, seed)


class _Package(ModuleType):
    """This package, which `mm.methods()` asks for the methods; `mmrec_lite.methods.micro` stays a module of it."""

    def __call__(self) -> dict[str, str]:
        """Return every method's name with one line on what it is."""
        return methods()

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (__name__,)


sys.modules[__name__].__class__ = _Package
