"""How the function of a module is called, for one event or for a block: bound once, when the job begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .columns import Flat, Jagged, Nested
from .event import Columns, Event
from .signature import Argument, Role, Signature


def unpacked(result: Any) -> Any:
    """Several products as a dict; bare columns in it as arrays."""
    if hasattr(result, "_asdict"):
        result = result._asdict()
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = {item.name: getattr(result, item.name) for item in dataclasses.fields(result)}
    return {key: _array(value) for key, value in result.items()} if isinstance(result, dict) else result


def _array(value: Any) -> Any:
    return value.array() if isinstance(value, Flat | Jagged | Nested) else value


def bound_call(signature: Signature, function: Callable[..., Any], config: Any) -> Callable[[Any], Any]:
    """What calls the function for one event, or for the columns of a block."""
    readers: dict[str, tuple[str, Argument]] = {}
    constants: dict[str, Any] = {}
    positional: list[Any] = []
    for argument in signature.arguments:
        value: Any = None if argument.role is Role.IDENTITY else getattr(config, argument.name)
        if argument.role is Role.SETTING or (argument.role is Role.INPUT and value is None):
            constants[argument.name] = value
        else:
            readers[argument.name] = (value, argument)
        if not argument.by_name:
            positional.append(argument.name)
    if signature.columns:
        return partial(_call_columns, function, readers, constants, positional)
    plain = all(argument.role is Role.INPUT for _, argument in readers.values()) and not positional
    leading = [argument.name for argument in signature.arguments if argument.positional][: len(readers)]
    if plain and leading == list(readers):
        return _quick(partial(function, **constants) if constants else function, [key for key, _ in readers.values()])
    return partial(_call_event, function, readers, constants, positional)


def _quick(function: Callable[..., Any], keys: list[str]) -> Callable[[Event], Any]:
    """The common case, in which the products are the first arguments."""
    if len(keys) == 1:
        (first,) = keys
        return lambda event: function(event[first])
    if len(keys) == 2:
        first, second = keys
        return lambda event: function(event[first], event[second])
    if len(keys) == 3:
        first, second, third = keys
        return lambda event: function(event[first], event[second], event[third])
    return lambda event: function(*[event[key] for key in keys])


def _call_event(
    function: Callable[..., Any],
    readers: Mapping[str, tuple[str, Argument]],
    constants: Mapping[str, Any],
    positional: list[str],
    event: Event,
) -> Any:
    values = dict(constants)
    for name, (key, argument) in readers.items():
        if argument.role is Role.IDENTITY:
            values[name] = event.id
        elif argument.role is Role.CONDITION:
            values[name] = event.conditions[key]
        else:
            values[name] = event[key]
    return function(*[values.pop(name) for name in positional], **values)


def _call_columns(
    function: Callable[..., Any],
    readers: Mapping[str, tuple[str, Argument]],
    constants: Mapping[str, Any],
    positional: list[str],
    columns: Columns,
) -> Any:
    values = dict(constants)
    for name, (key, argument) in readers.items():
        if argument.role is Role.IDENTITY:
            values[name] = columns.ids
        elif argument.role is Role.CONDITION:
            values[name] = columns.conditions[key]
        else:
            values[name] = _bare(columns, key) if argument.bare else columns[key]
    return _array(function(*[values.pop(name) for name in positional], **values))


def _bare(columns: Columns, key: str) -> Any:
    """A bare column; the offsets of a jagged one begin at 0, and its content is that of the block alone."""
    column = columns.column(key)
    return column.compact() if isinstance(column, Jagged) else column
