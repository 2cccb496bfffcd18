"""What can be set of a method, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
from pydantic.errors import PydanticInvalidForJsonSchema

from mmrec_lite.methods.base import Hyperparameters
from mmrec_lite.methods.registry import method_class

__all__ = ["settings"]

_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_WORDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


def settings(method: str) -> pd.DataFrame:
    """Return a method's hyper-parameters, one row each: a column for each profile, `values` and `meaning`.

    Raises ``ValueError`` for a method that there is not.

    >>> import mmrec_lite as mm
    >>> mm.settings("micro").loc["lam", "values"]
    'number >= 0 and <= 1'
    """
    cls = method_class(method)
    fields, known = cls.Config.model_fields, _schemas(cls.Config)
    profiles = {name: cls.Config.checked(method, values) for name, values in cls.profiles.items()}
    rows = [
        {profile: getattr(config, name) for profile, config in profiles.items()}
        | {"values": _values(known.get(name, {})), "meaning": fields[name].description or ""}
        for name in fields
    ]
    return pd.DataFrame(rows, index=pd.Index(fields, name="setting"), dtype=object)


def _schemas(config: type[Hyperparameters]) -> dict[str, Any]:
    """What JSON can tell of each field; nothing where one of them has a type that JSON does not know."""
    try:
        return config.model_json_schema()["properties"]
    except PydanticInvalidForJsonSchema:
        return {}


def _values(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words; what it does not tell is left out."""
    if "anyOf" in schema:
        parts = [_values(part) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(filter(None, parts)))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        each = schema.get("items") or {}
        if each.get("type") == "string" and "enum" not in each:
            return "names"
        return f"one or several of {_values(each)}" if _values(each) else "several"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
    word = "" if "pattern" in schema else _WORDS.get(schema.get("type", ""), "")
    return f"{word} {' and '.join(bounds)}".strip()
