"""The methods by name: those of the kit, and those that a user adds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from mmrec_lite.methods.backbones import MF, NGCF, LightGCN
from mmrec_lite.methods.base import Hyperparameters, Method, VectorMethod
from mmrec_lite.methods.mcptr import MCPTR
from mmrec_lite.methods.micro import MICRO
from mmrec_lite.methods.mixgcf import MixGCF
from mmrec_lite.methods.mp4sr import MP4SR
from mmrec_lite.methods.pamd import PAMD
from mmrec_lite.methods.reference import ContentKNN, ItemKNN, Oracle, Popularity, Random
from mmrec_lite.methods.sequences import SASRec
from mmrec_lite.methods.vbpr import VBPR

__all__ = ["REGISTRY", "adopt", "method_class", "methods", "own_methods", "register"]

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
_SHIPPED = dict(REGISTRY)
# Arguments of `create`, `run` and `sweep`, and columns of a run's row: a setting of the same name would never arrive,
# or be overwritten.
TAKEN = {"also", "candidates", "checkpoint", "code", "dask", "data", "device", "devices", "error", "finished", "format"}
TAKEN |= {"grid", "id", "jobs", "ks", "label", "method", "methods", "name", "parameters", "pretrained", "profile"}
TAKEN |= {"progress", "protocol", "save", "seed", "seeds", "split", "split_options", "split_seed", "swept", "threads"}
TAKEN |= {"wait"}
Class = TypeVar("Class", bound=type[Method])


def methods() -> dict[str, str]:
    """Return every method's name with one line on what it is."""
    return {name: cls.summary for name, cls in REGISTRY.items()}


def method_class(name: str) -> type[Method]:
    """Return a method's class, or raise ``ValueError`` that names the methods there are."""
    if name not in REGISTRY:
        close = difflib.get_close_matches(str(name), REGISTRY, 1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        own = "" if own_methods() else " A method of your own is known after @mm.register."
        raise ValueError(f"there is no method {name!r}. {hint}Methods: {', '.join(REGISTRY)}.{own}")
    return REGISTRY[name]


def register(cls: Class) -> Class:
    """Make a method of your own known by its `name`, to ``create``, ``run``, ``sweep`` and all that takes a name.

    A decorator of a `Method` subclass with a `name`, a `summary` and ``score`` (or, for a `VectorMethod`,
    ``vectors``). Registering a name again replaces the former class, as running a notebook's cell again does.

    Raises ``ValueError`` for what is no such class, lacks one of these, takes a name of the kit's, has a setting that
    ``run`` or a row of it uses the name of (`TAKEN`), or a profile that its own ``Config`` refuses.

    >>> import mmrec_lite as mm, torch
    >>> @mm.register
    ... class Backwards(mm.Method):
    ...     name, summary = "backwards", "the last item of the table first"
    ...     def score(self, users):
    ...         return torch.arange(self.n_items).float().repeat(len(users), 1)
    >>> model = mm.create("backwards", mm.split(mm.load("bazaar"), "ratio", seed=0))
    """
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise ValueError(f"register: {cls!r} is no class derived from mm.Method.")
    where = f"register: class {cls.__name__}"
    name, summary = vars(cls).get("name"), getattr(cls, "summary", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name):
        raise ValueError(
            f"{where} needs a `name` of its own of small letters, digits and _, such as 'my_method'; it has {name!r}."
        )
    if name in _SHIPPED:
        raise ValueError(f"{where}: {name!r} is a method of the kit's; choose another name.")
    if not isinstance(summary, str) or not summary.strip():
        raise ValueError(f"{where} needs a `summary`: one line that says what it is.")
    if cls.score is Method.score:
        raise ValueError(f"{where} has no score(users), which gives every item's score, (B, I).")
    if issubclass(cls, VectorMethod) and cls.score is VectorMethod.score and cls.vectors is VectorMethod.vectors:
        raise ValueError(f"{where} has no vectors(), which gives the users' and the items' vectors.")
    if not (isinstance(cls.Config, type) and issubclass(cls.Config, Hyperparameters)):
        raise ValueError(f"{where}: Config = {cls.Config!r} is no class derived from mm.Hyperparameters.")
    if taken := sorted(TAKEN & cls.Config.model_fields.keys()):
        raise ValueError(
            f"{where}: its setting {taken[0]!r} has the name of an argument or a column of mm.run or mm.sweep; choose "
            f"another."
        )
    for settings in cls.profiles.values():
        cls.Config.checked(name, settings)
    REGISTRY[name] = cls
    return cls


def own_methods(names: Iterable[str] | None = None) -> dict[str, type[Method]]:
    """Return those of some methods (default: all) that users registered: what another process does not know."""
    wanted = set(REGISTRY if names is None else names)
    return {name: cls for name, cls in REGISTRY.items() if name in wanted and name not in _SHIPPED}


def adopt(own: Mapping[str, type[Method]]) -> None:
    """Take over what `own_methods` gave in another process; a name's former class is replaced."""
    REGISTRY.update({name: cls for name, cls in own.items() if name not in _SHIPPED})
