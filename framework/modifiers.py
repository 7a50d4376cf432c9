"""Modifiers: named switches that change parameters, or replace parts, of the processes that have them.

    remote = Modifier("remote")
    gpu = Modifier("gpu")
    everything = Modifier("everything", remote, gpu)             # has the others with it
    remote.modify(process.energy, client={"timeout": 5})         # as `set`
    (remote & ~gpu).replace(process.energy, Other())             # another part under the same label
    (remote | gpu).customise(process, function)                  # whatever else

A process has the modifiers that it is made with, and those of the command line (`--modifier NAME`), from its first line on.
So a change is made at once where it is written, and what is written later holds, as in any Python. Only what does not
belong to a process yet, such as the modules of a fragment, keeps the change until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .callers import caller
from .configured import because

if TYPE_CHECKING:
    from .process import Process

_chosen: ContextVar[tuple[str, ...]] = ContextVar("chosen", default=())
_declared: dict[str, Modifier] = {}


class Condition:
    """Whether a process has some modifiers: a modifier, or several with `&`, `|` and `~`."""

    def holds(self, chosen: frozenset[str]) -> bool:
        """Whether it holds for a process with these modifiers."""
        raise NotImplementedError

    def __and__(self, other: Condition) -> Condition:
        return _Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return _Either(self, other)

    def __invert__(self) -> Condition:
        return _Not(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Condition:
        return self

    def __bool__(self) -> bool:
        raise TypeError(f"whether '{self}' holds depends on the process; combine with &, | and ~, or ask .holds()")

    def modify(self, part: Any, **changes: Any) -> None:
        """Set parameters of a module or service, as `set` does, if its process has the modifiers."""
        if not hasattr(part, "set"):
            raise TypeError(f"{type(part).__name__} has no parameters to modify; use replace")
        _now_or_later(part, Change(self, caller(), changes=changes))

    def replace(self, part: Any, other: Any) -> None:
        """Put another part in the place of this one, under its label, if its process has the modifiers."""
        if other.label:
            raise ValueError(f"the part to put there has the label '{other.label}' already; use a clone")
        _now_or_later(part, Change(self, caller(), other=other))

    def customise(self, process: Process, *functions: Callable[[Process], Any] | str) -> None:
        """Call functions that change the process, as `process.customise`, if it has the modifiers."""
        if self.holds(process.modifiers):
            with because(f"modifier {self}"):
                process.customise(*functions)


class Modifier(Condition):
    """A switch, by name. Choosing it chooses the modifiers in `others` too."""

    def __init__(self, name: str, *others: Modifier) -> None:
        self.name = name
        self._implied_by: list[Modifier] = _declared[name]._implied_by if name in _declared else []
        for other in others:
            if not any(above.name == name for above in other._implied_by):
                other._implied_by.append(self)
        _declared[name] = self

    def holds(self, chosen: frozenset[str]) -> bool:
        """Whether it is among them, or one that has it with it is."""
        pending: list[Modifier] = [self]
        seen: set[str] = set()
        while pending:
            one = pending.pop()
            if one.name in chosen:
                return True
            if one.name not in seen:
                seen.add(one.name)
                pending.extend(one._implied_by)
        return False

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Modifier('{self.name}')"


@dataclass(frozen=True, slots=True)
class _Both(Condition):
    first: Condition
    second: Condition

    def holds(self, chosen: frozenset[str]) -> bool:
        return self.first.holds(chosen) and self.second.holds(chosen)

    def __str__(self) -> str:
        return f"{self.first} & {self.second}"


@dataclass(frozen=True, slots=True)
class _Either(Condition):
    first: Condition
    second: Condition

    def holds(self, chosen: frozenset[str]) -> bool:
        return self.first.holds(chosen) or self.second.holds(chosen)

    def __str__(self) -> str:
        return f"({self.first} | {self.second})"


@dataclass(frozen=True, slots=True)
class _Not(Condition):
    inner: Condition

    def holds(self, chosen: frozenset[str]) -> bool:
        return not self.inner.holds(chosen)

    def __str__(self) -> str:
        return f"~({self.inner})" if isinstance(self.inner, _Both) else f"~{self.inner}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a condition does to a part."""

    condition: Condition
    where: str
    changes: dict[str, Any] | None = None
    other: Any = None
    """The part that replaces it."""


def _now_or_later(part: Any, change: Change) -> None:
    owner = getattr(part, "_owner", None)
    process = owner() if owner else None
    if process is not None:
        _apply(process, part, change)
    else:
        part.__dict__.setdefault("_pending", []).append(change)


def apply_pending(process: Process, part: Any) -> None:
    """Make the changes that a part was waiting for, now that it belongs to a process."""
    pending = part.__dict__.pop("_pending", [])
    part.__dict__["_pending"] = []
    for change in pending:
        part = _apply(process, part, change)


def _apply(process: Process, part: Any, change: Change) -> Any:
    """Make a change if its condition holds; returns what the process has under the label now."""
    if not change.condition.holds(process.modifiers):
        return part
    where = f" [{change.where}]" if change.where else ""
    with because(f"modifier {change.condition}{where}"):
        if change.changes is not None:
            part.set(**change.changes)
            return part
        setattr(process, part.label, change.other)
        return change.other


@contextmanager
def choosing(names: Iterable[str]) -> Iterator[None]:
    """Processes that are made within have these modifiers."""
    token = _chosen.set(tuple(names))
    try:
        yield
    finally:
        _chosen.reset(token)


def all_chosen(modifiers: Iterable[Modifier | str]) -> frozenset[str]:
    """The names of modifiers, and those of the command line."""
    return frozenset([*_chosen.get(), *map(str, modifiers)])


def declared() -> dict[str, Modifier]:
    """Every modifier that has been made, by name."""
    return _declared
