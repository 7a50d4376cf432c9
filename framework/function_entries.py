"""Functions in configuration files: what is written of a module that was made of one, and how it is made again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .functions import FunctionModule, class_of
from .module import Module
from .signature import name_of

KINDS = ("producer", "filter", "analyzer")
_KEYS = ("columns", "produces", "threaded", "resources", "fields")


def entry_of(kind: type[object]) -> dict[str, Any]:
    """What a configuration says of a class made of a function, beside its type and parameters; empty for other classes."""
    if not issubclass(kind, FunctionModule):
        return {}
    told = {key: dict(value) if isinstance(value, Mapping) else value for key, value in kind.used_as.items()}
    return {"as": told["kind"] if len(told) == 1 else told}


def named_by(kind: type[object]) -> object:
    """What the place of a class in its module holds: for a class made of a function, that function."""
    return kind.function if issubclass(kind, FunctionModule) else kind


def why_unnamed(kind: type[object]) -> str:
    """Why a class has no name by which a configuration could find it."""
    what = "function" if issubclass(kind, FunctionModule) else "class"
    if "<lambda>" in kind.__qualname__:
        return "a lambda cannot be named in a file; define a function at the top of a module"
    if "<locals>" in kind.__qualname__:
        return f"{what} {kind.__qualname__} cannot be named in a file: a function defines it"
    held = sys.modules.get(kind.__module__)
    there = hasattr(held, kind.__qualname__.partition(".")[0])
    why = "its module has another of that name" if there else "its module has nothing of that name"
    return f"{what} {kind.__qualname__} cannot be named in a file: {why}"


def from_entry(function: Any, used_as: Any, given: Mapping[str, Any]) -> tuple[type[Module] | None, str]:
    """The class for an entry of a configuration whose type is a function; or None, and what is wrong with `as`."""
    told = {"kind": used_as} if isinstance(used_as, str) else used_as
    name = name_of(function)
    if told is None:
        return None, f"{name} is a function: say what it is, as one of {', '.join(f'`as: {kind}`' for kind in KINDS)}"
    if not isinstance(told, dict) or told.get("kind") not in KINDS:
        return (
            None,
            f"`as` says what the function {name} is: {', '.join(KINDS)}, or a table with kind and {', '.join(_KEYS)}",
        )
    unknown = [str(key) for key in told if key not in ("kind", *_KEYS)]
    if unknown or (told["kind"] != "producer" and "produces" in told):
        wrong = ", ".join(unknown) or "produces"
        return None, f"`as` of a {told['kind']} knows kind, columns, threaded, resources and fields, not {wrong}"
    options: dict[str, Any] = {key: told[key] for key in _KEYS if key in told}
    return class_of(function, told["kind"], given, **options), ""
