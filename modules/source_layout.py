"""What the first file of a source says of branches and identity, which all others must agree with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from evproc.framework.columns import Array, Column, Flat
from evproc.framework.declared_types import number_type
from evproc.framework.errors import InputError, did_you_mean
from evproc.framework.event import EventIDs

from .root_reading import Reader, Unreadable

USUAL_NAMES = {"run": "run", "luminosity_block": "luminosityBlock", "event": "event"}
"""Part of the identity -> the branch that usually holds it."""


@dataclass(slots=True)
class Layout:
    """What the first file says; all others must agree."""

    types: dict[str, str]
    unreadable: dict[str, str]
    where: str
    identity: dict[str, str]
    """Part of the identity -> branch; empty where events are numbered."""
    counters: dict[str, str] = field(default_factory=dict)


def layout_of(reader: Reader, names: Collection[str], asked: Mapping[str, str | None]) -> Layout:
    """What a file says of some products, and of the identity. Raises InputError.

    asked: part of the identity -> branch, `auto`, or empty for none.
    """
    identity = _identity(reader, asked)
    layout = Layout({}, {}, reader.where, identity)
    for name in dict.fromkeys([*names, *identity.values()]):
        if name not in reader.names:
            continue
        try:
            branch = reader.branch(name)
        except Unreadable as error:
            layout.unreadable[name] = str(error)
            continue
        layout.types[name] = branch.type
        if branch.counter:
            layout.counters[name] = branch.counter
    for part, name in identity.items():
        if name in layout.unreadable:
            raise InputError(f"the branch '{name}' names the {part} of events: {layout.unreadable[name]}")
    return layout


def _identity(reader: Reader, asked: Mapping[str, str | None]) -> dict[str, str]:
    """Part of the identity -> the branch that holds it."""
    usual = {part: name for part, name in USUAL_NAMES.items() if asked[part] == "auto"}
    there = [name for name in usual.values() if name in reader.names]
    found = {}
    for part, name in asked.items():
        if not name or (name == "auto" and not there):
            continue
        if name == "auto" and usual[part] not in reader.names:
            raise InputError(
                f"{reader.where}: there is a branch '{there[0]}' but no '{usual[part]}'"
                f"{did_you_mean(usual[part], reader.names)}; set {part} to the branch that holds it, or to '' if none does"
            )
        found[part] = _identity_branch(reader, part, usual.get(part, name))
    return found


def _identity_branch(reader: Reader, part: str, name: str) -> str:
    """The name of a branch that can be a part of the identity. Raises InputError if it cannot."""
    what = f"{reader.where}: branch '{name}', the {part} of events,"
    if name not in reader.names:
        raise InputError(f"{what} is not there{did_you_mean(name, reader.names)}")
    try:
        kind = reader.branch(name).type
    except Unreadable as error:
        raise InputError(f"{what} cannot be read: {error}") from error
    if not np.issubdtype(number_type(kind) or object, np.integer) or " * " in kind:
        raise InputError(
            f"{what} must hold one integer per event, not {kind}; set {part} to another branch, or to '' if there is none"
        )
    return name


def require(keys: Collection[str], layout: Layout, reader: Reader) -> None:
    """Raise InputError unless all keys can be read."""
    for key in sorted(keys):
        if key in layout.unreadable:
            raise InputError(f"{layout.where}: branch '{key}' cannot be read: {layout.unreadable[key]}")
        if key not in layout.types:
            raise InputError(f"{layout.where}: there is no branch '{key}'{did_you_mean(key, reader.names)}")


def differences(layout: Layout, reader: Reader) -> dict[str, str]:
    """Branch -> how this file differs from the first."""
    found: dict[str, str] = {}
    if reader.where == layout.where:
        return found
    for name, kind in layout.types.items():
        if name not in reader.names:
            found[name] = f"it is missing in {reader.where}"
            continue
        try:
            other = reader.branch(name).type
        except Unreadable as error:
            found[name] = f"cannot be read in {reader.where}: {error}"
        else:
            if other != kind:
                found[name] = f"it is {kind} in {layout.where}, but {other} in {reader.where}"
    return found


def agree(layout: Layout, reader: Reader) -> None:
    """Raise InputError unless this file has the branches of the layout, with the same types."""
    for name, difference in differences(layout, reader).items():
        near = did_you_mean(name, reader.names) if name not in reader.names else ""
        raise InputError(f"branch '{name}' changes between files: {difference}{near}")


def identities(identity: Mapping[str, str], columns: Mapping[str, Column], first: int, count: int) -> EventIDs:
    """The identities of `count` events, the first of which is number `first` of the job."""
    numbered = EventIDs.numbered(first, count)
    if not identity:
        return numbered

    def values(part: str, otherwise: Array) -> Array:
        column = columns[identity[part]] if part in identity else None
        return column.values if isinstance(column, Flat) else otherwise

    return EventIDs(
        values("run", numbered.run),
        values("luminosity_block", numbered.luminosity_block),
        values("event", numbered.event),
    )
