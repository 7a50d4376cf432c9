"""What the signature of a function says: which of its parameters are products, which are settings, and what it makes.

An ordinary typed function on products is a module (see functions.py) if its signature can be read without asking. The rules:

- a parameter without a default is a product, named as the parameter is; one with a default is a setting;
- unless its annotation says otherwise: text, paths, enumerations and tables are no products, arrays are no settings (so an
  array that defaults to None is a product that may be left out);
- and what is given for it decides between the two where both are possible: a name is a product, a number is a setting;
- `EventID` (by columns: `EventIDs`) is the identity of the event, `Condition[...]` a condition; a `Protocol` names the
  fields that are read of a collection; awkward arrays and bare columns (`Jagged`, `Flat`) say that the function takes
  whole blocks.

Reading a signature never raises: what is wrong with it is kept in `faults`, and told with all other faults of the process.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .columns import Flat, Jagged, Nested
from .conditions import ConditionMark
from .event import EventID, EventIDs

EMPTY = inspect.Parameter.empty
_COLUMN_TYPES = (Flat, Jagged, Nested)
_WORDS = {bool: "bool", int: "int64", float: "float64", complex: "complex128", str: "string"}
_NEVER_PRODUCTS = (str, bytes, PurePath, Enum, BaseModel)
OPTIONS = ("columns", "produces", "threaded", "resources")
"""Words of `producer` and its like, which no parameter of a function may have for a name."""


class Role(Enum):
    """What a parameter of a function is."""

    INPUT = "a product"
    SETTING = "a parameter"
    IDENTITY = "the identity of the event"
    CONDITION = "a condition"


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a function."""

    name: str
    role: Role
    annotation: Any
    default: Any = EMPTY
    fields: tuple[str, ...] = ()
    """Of a collection: the fields that are read; empty: all."""
    bare: bool = False
    """Whether it is given a bare column."""
    positional: bool = True
    """Whether it may be given by its place."""
    by_name: bool = True
    """Whether it may be given by its name."""


@dataclass(slots=True)
class Signature:
    """What the signature of a function says."""

    name: str
    arguments: list[Argument] = field(default_factory=list)
    columns: bool = False
    """Whether it takes whole blocks of events."""
    asynchronous: bool = False
    produces: str | dict[str, str] = ""
    """As `Producer.produces`."""
    several: bool = False
    """Whether it returns several products, as the fields of one object."""
    returns: Any = EMPTY
    faults: list[str] = field(default_factory=list)


def read_signature(function: Callable[..., Any], given: Mapping[str, Any], columns: bool | None = None) -> Signature:
    """The signature of a function, for the keywords that it is given. `columns` None: as the annotations say."""
    found = Signature(name_of(function))
    target = getattr(function, "py_func", function)  # what numba has compiled
    wrong = _no_function(function, target)
    if wrong:
        found.faults.append(wrong)
        return found
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        found.faults.append(f"the signature of {found.name} cannot be read; wrap it in a function of your own")
        return found
    hints = _hints(target, found)
    found.asynchronous = inspect.iscoroutinefunction(target)
    found.returns = hints.get("return", EMPTY)
    for parameter in parameters.values():
        _read(parameter, hints.get(parameter.name, EMPTY), given, found)
    said = any(_says_columns(argument.annotation) for argument in found.arguments) or _says_columns(found.returns)
    found.columns = said if columns is None else columns
    if said and columns is False:
        found.faults.append(
            "its annotations say that it takes whole blocks, as awkward arrays or columns, but columns=False"
        )
    _read_returns(found)
    return found


def name_of(function: Any) -> str:
    """The name of a function, of what a partial calls, or of the class of a callable object."""
    while hasattr(function, "func"):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _no_function(function: Any, target: Any) -> str:
    if isinstance(function, type):
        return f"it takes a function, not the class {function.__name__}"
    if not callable(function):
        return f"it takes a function, not {type(function).__name__}"
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        return f"{name_of(function)} is a generator: a function returns what it makes, it does not yield it"
    return ""


def _hints(target: Any, found: Signature) -> dict[str, Any]:
    """The annotations of a function, evaluated."""
    while hasattr(target, "func"):
        target = target.func
    if not hasattr(target, "__annotations__"):
        target = type(target).__call__
    try:
        hints = typing.get_type_hints(target, include_extras=True)
        return {name: meaning(annotation) for name, annotation in hints.items()}
    except Exception as error:
        found.faults.append(
            f"the annotations of {found.name} cannot be evaluated: {type(error).__name__}: {error} "
            "(their names must be importable where the function is, not only for type checkers)"
        )
        return {}


def meaning(annotation: Any) -> Any:
    """What the name of a type stands for: one made by `type Pts = npt.NDArray[np.float32]`, or NumPy's own names since 2.5."""
    alias = get_origin(annotation) or annotation
    if not hasattr(alias, "__value__") or not hasattr(alias, "__type_params__"):
        return annotation
    value, arguments = alias.__value__, get_args(annotation)
    return meaning(value[arguments] if len(arguments) == len(getattr(value, "__parameters__", ())) == 1 else value)


def _read(parameter: inspect.Parameter, annotation: Any, given: Mapping[str, Any], found: Signature) -> None:
    name, kind = parameter.name, parameter.kind
    if kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        found.faults.append(f"parameter '{parameter}' stands for any number; name each product and each parameter")
        return
    if name in OPTIONS or name.startswith("_") or hasattr(BaseModel, name):
        found.faults.append(f"'{name}' cannot be the name of a parameter here, it has a meaning of its own; rename it")
        return
    found.arguments.append(
        Argument(
            name,
            _role(annotation, parameter.default, given.get(name, EMPTY)),
            annotation,
            parameter.default,
            _fields(annotation),
            any(choice in _COLUMN_TYPES for choice in _choices(annotation)),
            kind is not parameter.KEYWORD_ONLY,
            kind is not parameter.POSITIONAL_ONLY,
        )
    )


def _role(annotation: Any, default: Any, value: Any) -> Role:
    """What a parameter is, by its annotation, its default and what it is given."""
    if _is_condition(annotation):
        return Role.CONDITION
    choices = _choices(annotation)
    if any(choice in (EventID, EventIDs) for choice in choices):
        return Role.IDENTITY
    if any(map(_is_array, choices)):
        return Role.INPUT
    if choices and all(map(_never_product, choices)):
        return Role.SETTING
    if isinstance(value, FieldInfo) or (isinstance(value, str) and str not in choices):
        return Role.INPUT
    if value is EMPTY:
        return Role.INPUT if default is EMPTY else Role.SETTING
    return Role.SETTING


def _is_condition(annotation: Any) -> bool:
    """Whether it is `Condition[...]`; one that may be None as well, which a condition never is."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_condition(meaning(part)) for part in get_args(annotation))
    return any(isinstance(mark, ConditionMark) for mark in getattr(annotation, "__metadata__", ()))


def _choices(annotation: Any) -> list[Any]:
    """The types that an annotation allows, None left out; empty if it says nothing."""
    annotation = meaning(annotation)
    if annotation in (EMPTY, Any, object):
        return []
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return [] if annotation in (None, type(None)) else [annotation]


def _is_array(kind: Any) -> bool:
    """Whether a type is that of arrays, columns or collections."""
    kind = get_origin(kind) or kind
    return kind is np.ndarray or kind in _COLUMN_TYPES or _is_awkward(kind) or bool(_fields(kind))


def _is_awkward(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] == "awkward"


def _says_columns(annotation: Any) -> bool:
    return any(_is_awkward(kind) or kind in _COLUMN_TYPES or kind is EventIDs for kind in _choices(annotation))


def _never_product(kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return True
    kind = origin or kind
    return isinstance(kind, type) and issubclass(kind, (*_NEVER_PRODUCTS, Mapping, list, tuple, set, frozenset))


def _fields(annotation: Any) -> tuple[str, ...]:
    """The fields that a Protocol names; empty for all other types."""
    names: list[str] = []
    for kind in _choices(annotation):
        if isinstance(kind, type) and getattr(kind, "_is_protocol", False):
            for base in reversed(kind.__mro__):
                if getattr(base, "_is_protocol", False):
                    members = vars(base)
                    names += [name for name in members.get("__annotations__", {}) if not name.startswith("_")]
                    names += [name for name, member in members.items() if isinstance(member, property)]
    return tuple(dict.fromkeys(names))


def _read_returns(found: Signature) -> None:
    """What a producer of this signature makes."""
    kind = found.returns
    if get_origin(kind) is Annotated:
        found.produces = _declared(kind, found.columns)
        return
    members = members_of(kind)
    if members is not None:
        found.several = True
        found.produces = {name: _declared(inner, found.columns) for name, inner in members.items()}
        if not members:
            found.faults.append(f"it returns {kind.__name__}, which has no fields")
    else:
        found.produces = _declared(kind, found.columns)


def members_of(kind: Any) -> dict[str, Any] | None:
    """The fields of a TypedDict, a NamedTuple or a dataclass, with their annotations; None for other types."""
    if not isinstance(kind, type):
        return None
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    if not (typing.is_typeddict(kind) or named or dataclasses.is_dataclass(kind)) or kind in _COLUMN_TYPES:
        return None
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:
        hints = {}
    if named:
        return {name: hints.get(name, Any) for name in kind._fields}  # type: ignore[attr-defined]  # of a NamedTuple
    if dataclasses.is_dataclass(kind):
        return {item.name: hints.get(item.name, Any) for item in dataclasses.fields(kind)}
    return {name: hints.get(name, Any) for name in kind.__annotations__}


def _declared(annotation: Any, columns: bool) -> str:
    """The type of a product, as far as an annotation says it.

    By columns, the shape of an array is that of the block, and nothing follows for one event.
    """
    annotation = meaning(annotation)
    if get_origin(annotation) is Annotated:
        said = [mark for mark in get_args(annotation)[1:] if isinstance(mark, str)]
        return said[0] if said else _declared(get_args(annotation)[0], columns)
    if columns:
        return ""
    if get_origin(annotation) is np.ndarray:
        return _of_array(annotation)
    if get_origin(annotation) is list:
        inner = _declared(get_args(annotation)[0], columns)
        return f"var * {inner}" if inner else ""
    if isinstance(annotation, type) and issubclass(annotation, np.generic):
        return _dtype(annotation)
    return _WORDS.get(annotation, "") if isinstance(annotation, type) else ""


def _of_array(annotation: Any) -> str:
    """`npt.NDArray[np.float32]` is taken for one list per event; other shapes are declared by words."""
    numbers = get_args(annotation)[-1]
    inner = get_args(numbers)[0] if get_args(numbers) else None
    name = _dtype(inner) if isinstance(inner, type) else ""
    return f"var * {name}" if name else ""


def _dtype(kind: type[Any]) -> str:
    """The name of a NumPy scalar type; empty for kinds of numbers as `np.floating`."""
    try:
        dtype = np.dtype(kind)
    except TypeError:
        return ""
    return dtype.name if dtype.kind in "biufc" and dtype.type is kind else ""
