"""Whether the methods of a module can be called as the framework calls them.

A method with a parameter too many, or `async def produce`, would fail at the first event, or worse: what it returns would be
taken for a product. It is found when the class is looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module

_LIFE = {"begin_job": ("job",), "end_job": (), "check": (), "commit": (), "discard": (), "inputs": ()}


def method_faults(part: type[Module]) -> list[str]:
    """The methods of a module's class that cannot be called as they will be."""
    found = []
    for name, given in expected(part).items():
        defined = inspect.getattr_static(part, name, None)
        if defined is None or _is_own(part, name):
            continue
        if inspect.iscoroutinefunction(getattr(part, name)) and not name.startswith("acquire"):
            found.append(f"{part.__name__}.{name}() is asynchronous, but nobody awaits it; external work is for that")
        elif inspect.isgeneratorfunction(getattr(part, name)) and name != "chunks":
            found.append(f"{part.__name__}.{name}() yields, but should return")
        elif wrong := _uncallable(part, name, given, isinstance(defined, staticmethod)):
            found.append(wrong)
    return found


def expected(part: type[Module]) -> Mapping[str, tuple[str, ...]]:
    """Method -> what it is called with."""
    from .flow import KINDS
    from .module import ExternalWork

    methods: dict[str, tuple[str, ...]] = dict(_LIFE)
    for kind, _, method in KINDS:
        if not issubclass(part, kind):
            continue
        if method == "chunks":
            methods |= {"catalog": (), "chunks": ("keys",)}
            continue
        result = ("result",) if issubclass(kind, ExternalWork) else ()
        methods |= {method: ("event", *result), f"{method}_columns": ("columns", *result)}
        if result:
            methods |= {"acquire": ("event",), "acquire_columns": ("columns",)}
    return methods


def _is_own(part: type[object], name: str) -> bool:
    """Whether a method is the framework's, which needs no look."""
    owner = next(base for base in part.__mro__ if name in vars(base))
    return owner.__module__.startswith("evproc.framework.")


def _uncallable(part: type[object], name: str, given: tuple[str, ...], static: bool) -> str:
    """Why a method cannot be called with what it will be given; empty if it can."""
    try:
        signature = inspect.signature(getattr(part, name))
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*([None] * (len(given) + (not static))))
    except TypeError:
        return f"{part.__name__}.{name}{_shown(signature)} cannot be called with ({', '.join(given)})"
    return ""


def _shown(signature: inspect.Signature) -> str:
    plain = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def constructor_faults(part: Any) -> list[str]:
    """What keeps a configuration file from making a module or service: arguments that are no parameters."""
    needed = [
        parameter.name
        for parameter in list(inspect.signature(part.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not needed:
        return []
    names = ", ".join(f"'{name}'" for name in needed)
    return [f"{part.__name__}.__init__() must be given {names}, but a configuration has only the fields of Config"]


def default_faults(part: Any) -> list[str]:
    """Defaults of parameters that the parameters themselves would refuse."""
    from pydantic import ValidationError
    from pydantic_core import PydanticUndefined

    fields = part.Config.model_fields
    given = {name: field.default for name, field in fields.items() if field.default is not PydanticUndefined}
    try:
        part.Config.model_validate(given)
    except ValidationError as error:
        wrong = [item for item in error.errors(include_url=False) if item["type"] not in ("missing", "extra_forbidden")]
        return [
            f"the default {given[name]!r} of {part.__name__}.Config.{name} is refused: {item['msg']}"
            for item in wrong
            if item["loc"] and (name := str(item["loc"][0])) in given
        ]
    return []
