"""What identifies a method's code: a result or a checkpoint of one version must not pass for another's."""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mmrec_lite.methods.base import Method

__all__ = ["code_of", "function_id"]

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_ADDED_BY_PYTHON = {"__module__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"}


def code_of(cls: type[Method]) -> str | None:
    """Return SHA-256 over a class's compiled code and that of what it uses in the module (or notebook) it stands in.

    None for the kit's own classes: for them the kit's version speaks, in a run's id and a checkpoint's identity.

    Followed are functions, classes and plain constants by their names, also in lists and dicts; comments and layout do
    not count. What is
    imported from elsewhere is left out, and so is what a name holds that is neither (an array, a data set). The same
    program gives the same figure in every process under one version of Python.
    """
    return _digest(cls.__module__, cls)


def function_id(function: Callable[..., Any]) -> str:
    """Return what tells a function from others: module and name, and, unless it is the kit's own, its code's hash.

    The hash is that of ``code_of``, its first ten digits: two lambdas of one notebook have the same name. Raises
    ``ValueError`` for another object that can be called, and for a method: what it holds is not seen.
    """
    inner = function.func if isinstance(function, functools.partial) else function
    if not isinstance(inner, types.FunctionType | types.BuiltinFunctionType):
        raise ValueError(f"{function!r} must be a function, or a functools.partial of one with its settings.")
    name = f"{inner.__module__}.{inner.__qualname__}"
    code = _digest(inner.__module__, function if isinstance(function, functools.partial) else inner)
    return f"{name} {code[:10]}" if code else name


def _digest(module: str, value: Any) -> str | None:
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return None
    digest = hashlib.sha256()
    for line in _Walk(module).thing(value):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


class _Walk:
    """Goes through a class and what it names, each thing once."""

    def __init__(self, module: str):
        self.module = module
        self.seen: set[int] = set()

    def thing(self, value: Any) -> Iterator[str]:
        """Yield lines that describe a value of a module or a class; nothing for what stands elsewhere."""
        if isinstance(value, (*_PLAIN, set, frozenset)):
            yield _plain(value)
        elif isinstance(value, list | tuple):
            yield from self.elements(enumerate(value), value)
        elif isinstance(value, dict):
            yield from self.elements(((key, value[key]) for key in sorted(value, key=_plain)), value)
        elif isinstance(value, staticmethod | classmethod | types.MethodType):
            yield from self.thing(value.__func__)
        elif isinstance(value, functools.partial):
            yield from self.thing(value.args)
            yield from self.thing(value.keywords)
            yield from self.thing(value.func)
        elif isinstance(value, property):
            for part in (value.fget, value.fset):
                yield from self.thing(part)
        elif getattr(value, "__module__", None) != self.module or id(value) in self.seen:
            return
        elif isinstance(value, type):
            self.seen.add(id(value))
            yield from self.type(value)
        elif isinstance(value, types.FunctionType):
            self.seen.add(id(value))
            yield f"def {value.__name__}"
            yield from self.thing(value.__defaults__)
            yield from self.thing(value.__kwdefaults__)
            yield from self.code(value.__code__, value.__globals__)
            for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                with contextlib.suppress(ValueError):  # a cell that is still empty
                    yield f"{name} ->"
                    yield from self.thing(cell.cell_contents)
        elif callable(inner := getattr(value, "__wrapped__", None)):  # of functools.cache
            self.seen.add(id(value))
            yield from self.thing(inner)
        elif callable(value) and hasattr(value, "__dict__"):  # an object that is called, with what it holds
            self.seen.add(id(value))
            yield from self.thing(type(value))
            yield from self.thing(vars(value))

    def elements(self, pairs: Iterable[tuple[Any, Any]], whole: Any) -> Iterator[str]:
        """Yield lines for what a list, tuple or dict holds: constants as they stand, and what the module defines."""
        if id(whole) in self.seen:  # it may hold itself
            return
        self.seen.add(id(whole))
        yield f"{type(whole).__name__} of {len(whole)}"
        for key, value in pairs:
            yield f"{_plain(key)} -> {'' if isinstance(value, list | tuple | dict) else _plain(value)}"
            yield from self.thing(value)

    def type(self, cls: type) -> Iterator[str]:
        """Yield lines for a class, its bases first."""
        bases = ", ".join(f"{base.__module__}.{base.__name__}" for base in cls.__bases__)
        yield f"class {cls.__name__}({bases})"
        for base in cls.__bases__:
            yield from self.thing(base)
        for name, value in sorted(vars(cls).items()):
            if name in _ADDED_BY_PYTHON or name.startswith(("__pydantic", "_abc_")):
                continue
            yield f"{name}:"
            yield from self.thing(value)

    def code(self, code: types.CodeType, scope: dict[str, Any]) -> Iterator[str]:
        """Yield lines for compiled code and for what it names in its module."""
        inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
        plain = [const for const in code.co_consts if not isinstance(const, types.CodeType)]
        yield f"{code.co_code.hex()} {_plain(plain)} {code.co_names} {code.co_varnames} {code.co_freevars}"
        for part in inner:
            yield from self.code(part, scope)
        read = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
        for name in sorted(read & scope.keys()):  # not co_names: it has the attributes' names, too
            yield f"{name} ->"
            yield from self.thing(scope[name])


def _plain(value: Any) -> str:
    """Write a constant so that it reads the same in every process; what is not plain is only said to be there."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{_plain(key)}: {_plain(item)}" for key, item in value.items())) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_plain, value))) + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(_plain, value)) + ")"
    return repr(value) if isinstance(value, _PLAIN) else f"<{type(value).__name__}>"
