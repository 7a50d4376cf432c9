"""Transitions: begin and end of an input file, a run, a luminosity block, for the modules and services that want to know.

The problem. Blocks are in flight side by side, so "the end of run 5" is not a moment: blocks of run 6 may be at work when the
last of run 5 ends. CMSSW has the same with concurrent luminosity blocks, and answers it with two kinds of order.

The policy. If anything that runs defines `begin_run` or `end_run`, say, no block spans two runs; the reader cuts there, and
nowhere else. Then, with blocks numbered in the order of the input:

    producers, filters   begin before the first block of the run is begun, end after its last block has ended; the next run
                         may have begun by then
    analyzers, outputs   see their events in the order of the input, and so just: begin, the events of the run, end
    services             begin before all modules, end after them

A piece of a run is what is contiguous in the input. A run whose events come in several pieces is begun and ended once for
each. Files are independent of runs: a run that goes on in the next file goes on. An end is told when the first block behind
it has been opened, or at the end of the job; whoever was told of a begin is told of the end, also when the job fails.

The cost. What is not defined is not called, and nothing is cut for it. A cut costs what a block costs, so a module that
listens to luminosity blocks of three events has blocks of three events.

`Spans` decides, `Transitions` calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import Fault, in_context

if TYPE_CHECKING:
    from .configured import Configured
    from .event import EventIDs
    from .module import Module
    from .service import Service


class LumiID(NamedTuple):
    """The identity of a luminosity block."""

    run: int
    luminosity_block: int

    def __str__(self) -> str:
        return f"run {self.run}, luminosity block {self.luminosity_block}"


class TransitionMethods:
    """What a module or a service may define to be told of transitions. They are called in the event loop, and may not wait."""

    def begin_file(self, file: str) -> None:
        """Events of an input file begin; `file` is its path or URL. Sources without files have no such transition."""

    def end_file(self, file: str) -> None:
        """The events of an input file have ended."""

    def begin_run(self, run: int) -> None:
        """Events of a run begin."""

    def end_run(self, run: int) -> None:
        """The events of a run have ended."""

    def begin_lumi(self, lumi: LumiID) -> None:
        """Events of a luminosity block begin."""

    def end_lumi(self, lumi: LumiID) -> None:
        """The events of a luminosity block have ended."""


class Level(Enum):
    """What begins and ends; outer ones first."""

    FILE = "file"
    RUN = "run"
    LUMI = "lumi"


class Change(NamedTuple):
    """One piece of one level."""

    level: Level
    value: Any
    """The file, the run, or the LumiID."""
    first: int
    """Number of its first block."""

    def __str__(self) -> str:
        return str(self.value) if self.level is Level.LUMI else f"{self.level.value} {self.value}"


class Spans:
    """Which pieces of which levels are open. Knows no modules, and calls nothing.

    Invariant: of each level, the pieces are in the order of the input; the last is that of the block opened last, and the
    first is that of the oldest block that has not ended.
    """

    def __init__(self, levels: Iterable[Level]) -> None:
        self._open: dict[Level, deque[Change]] = {level: deque() for level in Level if level in set(levels)}
        self._at_tail: dict[int, list[Change]] = {}

    def opened(self, number: int, values: Mapping[Level, Any]) -> list[Change]:
        """A block was opened: what begins with it, outer levels first."""
        begun = []
        for level, pieces in self._open.items():
            if not pieces or pieces[-1].value != values[level]:
                change = Change(level, values[level], number)
                pieces.append(change)
                begun.append(change)
        if begun:
            self._at_tail[number] = begun
        return begun

    def at_tail(self, number: int) -> list[Change]:
        """A block has come to the tail: what begins there with it; once."""
        return self._at_tail.pop(number, [])

    def ended(self, turn: int) -> list[Change]:
        """All blocks before `turn` have ended: what ends thereby, inner levels first."""
        over = []
        for pieces in reversed(self._open.values()):
            while len(pieces) > 1 and pieces[1].first <= turn:
                over.append(pieces.popleft())
        return over

    def finish(self) -> list[Change]:
        """The job ends: everything that is open, inner levels first."""
        over = [change for pieces in reversed(self._open.values()) for change in pieces]
        for pieces in self._open.values():
            pieces.clear()
        self._at_tail.clear()
        return over


class Transitions:
    """Calls the modules and services that listen."""

    def __init__(self, services: Sequence[Service], modules: Sequence[Module], tail: Sequence[Module]) -> None:
        #: level -> who hears of it when a block is opened: services, then producers and filters
        self._body: dict[Level, list[Configured]] = {}
        #: level -> who hears of it when a block comes to the tail
        self._tail: dict[Level, list[Configured]] = {}
        for level in Level:
            self._body[level] = [part for part in [*services, *modules] if _listens(part, level)]
            self._tail[level] = [part for part in tail if _listens(part, level)]
        self.levels = frozenset(level for level in Level if self._body[level] or self._tail[level])
        self._services = frozenset(map(id, services))
        self._spans = Spans(self.levels)
        self._turn = 0
        #: who was told of a begin, and not yet of the end
        self._told: dict[Change, list[Configured]] = {}

    def opened(self, number: int, file: str, ids: EventIDs) -> None:
        """A block was opened. Raises what a module raises, with its label and the transition."""
        run, lumi = int(ids.run[0]), int(ids.luminosity_block[0])
        begun = self._spans.opened(number, {Level.FILE: file, Level.RUN: run, Level.LUMI: LumiID(run, lumi)})
        if begun:
            self.ended(self._turn)
            self._begin(begun, self._body)

    def at_tail(self, number: int) -> None:
        """The oldest block has come to the tail."""
        begun = self._spans.at_tail(number)
        if begun:
            self._begin(begun, self._tail)

    def ended(self, turn: int) -> None:
        """All blocks before `turn` have ended."""
        self._turn = turn
        for change in self._spans.ended(turn):
            self._end(change)

    def finish(self, *, failed: bool) -> None:
        """The job ends: end whatever has begun. After a failure, further ones are left out; else the first is raised."""
        self._spans.finish()
        pieces = sorted(self._told, key=lambda change: list(Level).index(change.level), reverse=True)
        for change in pieces:
            if failed:
                while self._told.get(change):
                    with suppress(Exception):
                        self._end(change)
            else:
                self._end(change)

    def _begin(self, begun: Sequence[Change], listeners: Mapping[Level, Sequence[Configured]]) -> None:
        for change in begun:
            if change.level is Level.FILE and not change.value:
                continue
            for part in listeners[change.level]:
                self._told.setdefault(change, []).append(part)
                self._call(part, "begin", change)

    def _end(self, change: Change) -> None:
        told = self._told.get(change, [])
        told.sort(key=lambda part: id(part) in self._services)
        while told:
            self._call(told.pop(0), "end", change)
        self._told.pop(change, None)

    def _call(self, part: Configured, what: str, change: Change) -> None:
        method = f"{what}_{change.level.value}"
        try:
            getattr(part, method)(change.value)
        except Exception as error:
            kind = "service" if id(part) in self._services else "module"
            where = f"{kind} '{part.label}' ({type(part).__name__}) failed in {method} of {change}"
            raise in_context(error, where) from error


def change_points(ids: EventIDs, levels: Iterable[Level]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Before which events of a chunk something ends: (events - 1,) bool, for the events from the second on."""
    wanted = set(levels)
    points = np.zeros(max(0, len(ids) - 1), np.bool_)
    if wanted & {Level.RUN, Level.LUMI}:
        points |= ids.run[1:] != ids.run[:-1]
    if Level.LUMI in wanted:
        points |= ids.luminosity_block[1:] != ids.luminosity_block[:-1]
    return points


def _listens(part: Configured, level: Level) -> bool:
    return bool(_defined(part, level))


def _defined(part: Configured, level: Level) -> list[str]:
    """The methods of a level that a class defines."""
    methods = [f"{what}_{level.value}" for what in ("begin", "end")]
    return [name for name in methods if getattr(type(part), name) is not getattr(TransitionMethods, name)]


def transition_faults(parts: Iterable[Configured], source: Configured | None) -> list[Fault]:
    """Methods that could not be called: those of the source, and coroutines."""
    faults = []
    for part in parts:
        defined = [name for level in Level for name in _defined(part, level)]
        kind = type(part).__name__
        for name in defined:
            if part is source:
                text = (
                    f"{kind} is a source, which makes transitions and is told of none: {name}() would never be called"
                )
                faults.append(Fault(text, part.label, where=part.where))
            elif iscoroutinefunction(getattr(part, name)):
                text = f"{name}() of {kind} may not be a coroutine: nothing waits in a transition"
                faults.append(Fault(text, part.label, where=part.where))
    return faults
