"""Layers by the name of what they belong to."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["ModulesByName"]


class ModulesByName(nn.ModuleDict):
    """An `nn.ModuleDict` that takes any name: a feature may be called "type" or "values".

    PyTorch's own refuses a name that is an attribute of every module, since it could not be read as `modules.type`;
    read as `modules["type"]` it can. The state's names are the same.
    """

    def __setitem__(self, key: str, module: nn.Module) -> None:
        if not isinstance(key, str) or "." in key or not isinstance(module, nn.Module):
            raise TypeError(f"{key!r}: {type(module).__name__} is no layer by a name without a dot.")
        self._modules[key] = module

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "training":  # set by `train`, and no module even where one is called so
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
