"""The parts of a process that put modules in order: paths, sequences and tasks, as a workflow writes them.

process.select = Path(process.mass, ~process.veto, ignored(process.window), process.extra)
process.extra = Sequence(process.scale, process.smear)

    Path, EndPath      modules in an order; a filter that says no ends the path for that event
    FinalPath          output modules that run when all end paths have, and make nothing run
    Sequence           modules in an order, to be used in several paths; sequences may hold sequences
    Task               producers that run only for events in which something needs their products; tasks may hold tasks
    ConditionalTask    producers that a path takes in behind its filters, just before the module that needs them

Members are parts, or text: a label, `~label` (inverted), `ignored(label)`. Text is what configurations hold, and it is
resolved only when the process is compiled, so a part may be named before it is there. Nothing here raises for a wrong
member: what is wrong is kept until the process is compiled, and reported with all other faults.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from .callers import caller
from .module import Module

if TYPE_CHECKING:
    from .process import Process

_MARKED = re.compile(r"(?P<mark>~|inverted(?=\()|ignored(?=\())\s*\(?\s*(?P<label>\w*)\s*\)?")


class Mark(Enum):
    """What a path makes of the decision of a filter."""

    PLAIN = ""
    INVERTED = "inverted"
    IGNORED = "ignored"


class Member(NamedTuple):
    """A module of a path."""

    label: str
    mark: Mark = Mark.PLAIN

    @property
    def text(self) -> str:
        """As a configuration writes it: `f`, `~f` or `ignored(f)`."""
        return {Mark.INVERTED: "~{}", Mark.IGNORED: "ignored({})"}.get(self.mark, "{}").format(self.label)


@dataclass(frozen=True, slots=True)
class Marked:
    """A filter whose decision a path inverts or ignores."""

    part: Part
    mark: Mark

    def __invert__(self) -> Marked:
        return inverted(self)


def inverted(part: Part) -> Marked:
    """The member of a path that lets the events pass that the filter rejects; `~filter` is the same."""
    return Marked(part, Mark.INVERTED)


def ignored(part: Part) -> Marked:
    """The member of a path that runs, and whose decision does not matter there."""
    return Marked(part, Mark.IGNORED)


class ModuleList:
    """Modules in an order: the base of paths, sequences and tasks."""

    noun = "list"

    def __init__(self, *members: Part) -> None:
        self.label = ""
        self.where = caller(self)
        self._members: tuple[Part, ...] = members
        self._owner: weakref.ref[Process] | None = None

    @property
    def members(self) -> tuple[Part, ...]:
        """What was given: modules, labels, sequences, tasks."""
        return self._members

    def texts(self) -> list[str]:
        """The members as a configuration writes them. Sequences and tasks without a label are written out."""
        return [text for member in self._members for text in _texts(member)]

    def labels(self) -> list[str]:
        """The labels of the members, in order, without marks."""
        return [parse(text).label for text in self.texts()]

    def __invert__(self) -> Marked:
        return inverted(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.texts())})"


class _Associating(ModuleList):
    """A list to which tasks can be added."""

    def associate(self, *tasks: Task | ConditionalTask) -> None:
        """Add tasks; the same as naming them among the members. Raises ConfigurationError if the process has run."""
        owner = self._owner() if self._owner is not None else None
        if owner is not None:
            owner._check_changeable(self.label)
        self._members += tasks


class Path(_Associating):
    """Modules that run in order; a filter that says no ends the path for that event. Whether an event passes is its result."""

    noun = "path"


class EndPath(_Associating):
    """Modules that run when all paths have: analyzers and output modules, mostly."""

    noun = "end path"


class FinalPath(ModuleList):
    """Output modules that run when all end paths have. They write what there is: no producer runs for their sake."""

    noun = "final path"


class Sequence(_Associating):
    """Modules in an order, to be used in several paths."""

    noun = "sequence"


class Task(ModuleList):
    """Producers that run only for events in which something needs their products."""

    noun = "task"


class ConditionalTask(ModuleList):
    """Producers that a path takes in where its modules need them, behind the filters that stand before these."""

    noun = "conditional task"


Part = Module | str | ModuleList | Marked


def parse(text: str) -> Member:
    """A member from its text.

    >>> parse("~busy")
    Member(label='busy', mark=<Mark.INVERTED: 'inverted'>)
    """
    found = _MARKED.fullmatch(text.strip())
    if found is None:
        return Member(text.strip())
    return Member(found["label"], Mark.IGNORED if found["mark"] == "ignored" else Mark.INVERTED)


def _texts(part: Part) -> list[str]:
    inner, mark = _unmarked(part)
    if isinstance(inner, str):
        return [inner if mark is Mark.PLAIN else Member(inner, mark).text]
    if isinstance(inner, ModuleList) and not inner.label:
        return inner.texts()
    label = inner.label if isinstance(inner, Module | ModuleList) else repr(inner)
    return [Member(label, mark).text]


def _unmarked(part: Part) -> tuple[object, Mark]:
    """What is marked, and how."""
    return (part.part, part.mark) if isinstance(part, Marked) else (part, Mark.PLAIN)


@dataclass(slots=True)
class Expanded:
    """The members of a path or task of a process, sequences and nested tasks opened."""

    members: list[Member] = field(default_factory=list)
    """Labels that may not be those of modules."""
    tasks: list[Task | ConditionalTask] = field(default_factory=list)
    """Tasks that are associated."""
    problems: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """The labels of the members."""
        return [member.label for member in self.members]


def expand(part: ModuleList, process: Process) -> Expanded:
    """Open the sequences and tasks that a part of a process holds, by object or by label."""
    found = Expanded()
    _open(part, process, found, (part,))
    return found


def _open(part: ModuleList, process: Process, found: Expanded, trail: tuple[ModuleList, ...]) -> None:
    for member in part.members:
        inner, mark = _unmarked(member)
        if isinstance(inner, Marked):
            found.problems.append(f"marks a member twice: {', '.join(_texts(inner))} is {inner.mark.value} already")
            continue
        if isinstance(inner, str):
            read = parse(inner)
            if read.mark is not Mark.PLAIN and mark is not Mark.PLAIN:
                found.problems.append(f"marks a member twice: {inner} is {read.mark.value} already")
                continue
            mark = read.mark if mark is Mark.PLAIN else mark
            inner = _named(read.label, process)
        if isinstance(inner, ModuleList):
            _open_list(inner, mark, process, found, trail)
        elif isinstance(inner, Module | str):
            found.members.append(Member(inner if isinstance(inner, str) else inner.label, mark))
        else:
            found.problems.append(f"holds {inner!r}, which is no module but of type {type(inner).__name__}")


def _open_list(inner: ModuleList, mark: Mark, process: Process, found: Expanded, trail: tuple[ModuleList, ...]) -> None:
    outer = trail[-1]
    name = f"the {inner.noun} '{inner.label}'" if inner.label else f"a {inner.noun}"
    if mark is not Mark.PLAIN:
        word = "inverts" if mark is Mark.INVERTED else "ignores"
        found.problems.append(f"{word} {name}; only a filter decides something: mark the filters in it")
    elif inner in trail:
        names = " > ".join(one.label or one.noun for one in (*trail[trail.index(inner) :], inner))
        found.problems.append(f"holds itself: {names}")
    elif isinstance(outer, Task | ConditionalTask):
        if type(inner) is type(outer):
            _open(inner, process, found, (*trail, inner))
        else:
            found.problems.append(f"holds {name}; a {outer.noun} holds producers and other {outer.noun}s")
    elif isinstance(inner, Sequence) and not isinstance(outer, FinalPath):
        _open(inner, process, found, (*trail, inner))
    elif isinstance(inner, Task | ConditionalTask) and not isinstance(outer, FinalPath):
        if not inner.label:
            found.problems.append(f"is associated with {name} that is not an attribute of the process")
        found.tasks.append(inner)
    else:
        hint = "; what several paths share is a Sequence" if isinstance(inner, Path | EndPath) else ""
        found.problems.append(f"holds {name}{hint}")


def _named(label: str, process: Process) -> Module | ModuleList | str:
    """The part of a process that is not a path, by its label; the label itself if there is none."""
    for table in (process.sequences, process.tasks, process.conditional_tasks):
        if label in table:
            named: ModuleList = table[label]
            return named
    for table in (process.paths, process.end_paths, process.final_paths):
        if label in table:
            path: ModuleList = table[label]
            return path
    return label


def lists_of(process: Process) -> Iterator[ModuleList]:
    """All paths, sequences and tasks of a process."""
    for table in (process.paths, process.end_paths, process.final_paths):
        yield from table.values()
    for table in (process.sequences, process.tasks, process.conditional_tasks):
        yield from table.values()
