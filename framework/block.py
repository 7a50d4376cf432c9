"""An open block: its products, its place in the schedule, and what it is in the middle of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from .masks import ALL_EVENTS, Chosen, Mask
from .path_results import states
from .store import Store, View
from .sweep import Sweep

if TYPE_CHECKING:
    from .schedule import Schedule

_NOT = bytes([1]) + bytes(255)
"""Turns flags of a filter round."""


LARGE = 256
"""Events from which on NumPy is faster than a loop."""


@dataclass(slots=True)
class Piece:
    """External work of some events of a block, between `acquire` and `produce`."""

    index: Sequence[int] | None
    """The events; None: all of the block."""
    answer: asyncio.Future[Sequence[Any]]
    nbytes: int
    since: float
    """When it was handed out."""
    columns: bool = False
    """Whether it is one work of a columnar module, for all these events."""

    def event(self, place: object) -> int | None:
        """The number of the event at a place of the work; None if there is none."""
        return self.index[place] if isinstance(place, int) and self.index is not None and not self.columns else None


class Harvest:
    """What `produce` has returned so far for the pieces of one module, which may come in any order."""

    __slots__ = ("_index", "_size", "_values")

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: list[Any] = [None] * size
        self._index: list[Sequence[int]] = []

    def add(self, index: Sequence[int], values: list[Any]) -> None:
        """Keep the values of the events of a piece."""
        self._index.append(index)
        if isinstance(index, range):
            self._values[index.start : index.stop] = values
        else:
            for number, value in zip(index, values, strict=True):
                self._values[number] = value

    def gathered(self) -> tuple[list[Any], list[int] | None]:
        """The values in the order of the events, and which events these are (None: all of the block)."""
        if sum(map(len, self._index)) == self._size:
            return self._values, None
        numbers = sorted(number for index in self._index for number in index)
        return [self._values[number] for number in numbers], numbers


@dataclass(slots=True, eq=False)
class Block:
    """A block of events on its way through the schedule."""

    number: int
    store: Store
    chunk: Any
    """What keeps the memory of its chunk accounted for."""
    place: int = 0
    """Number of the step that it is at."""
    sweep: Sweep | None = None
    """The sweep that the present step is in the middle of."""
    todo: Sequence[int] | None = None
    """The events of that sweep; None: all."""
    acquired: int = 0
    """Events of the present step whose work has been handed out."""
    masks: dict[int, Sequence[int] | None] = field(default_factory=lambda: {ALL_EVENTS: None})
    """Mask -> numbers of its events, ascending; None: all."""
    _left: dict[tuple[int, tuple[int, ...]], Sequence[int] | None] = field(default_factory=dict)
    """(mask, other masks) -> numbers of its events that are not in those."""
    _bits: dict[int, int] = field(default_factory=dict)
    """Mask -> its events as flags."""
    _index: dict[int, Sequence[int] | None] = field(default_factory=lambda: {0: []})
    """Flags -> numbers of the events."""
    passed: dict[str, bytearray] = field(default_factory=dict)
    """Filter -> for each event, 1 if it passes."""
    failed: dict[str, set[int]] = field(default_factory=dict)
    """Module -> numbers of the events for which it failed, or did not run because what it needs had failed."""
    limits: dict[str, int] | None = None
    """Module -> the events that it sees have smaller numbers, "" for all modules; set at the tail of a job with quotas."""
    failing: dict[str, set[int]] = field(default_factory=dict)
    """Module with external work -> events for which it has failed so far; they count as failed when all work has come back."""
    ignored: dict[str, set[int]] = field(default_factory=dict)
    """Module -> numbers of the events for which its failure was ignored: they go on without its products."""
    done: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """(module, phase) -> events that it has run for; kept for modules with several steps, once masks do not say it all."""
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    """Module -> external work handed out and not yet produced."""
    harvest: dict[str, Harvest] = field(default_factory=dict)
    """Module -> what `produce` returned for pieces whose step has not ended."""
    whole_done: set[str] = field(default_factory=set)
    """Columnar modules with a piece that has been produced."""
    collecting: tuple[str, Piece, Sweep] | None = None
    """The piece that `produce` is in the middle of."""
    thread: asyncio.Future[Any] | None = None
    """The present step, if it runs in a thread."""
    view: View | None = None
    """What the present step may read."""

    def next_step(self) -> None:
        """Go on to the next step of the schedule."""
        if self.view is not None:
            self.view.clear()  # it refers to itself through collections, and would keep their arrays
        self.sweep = self.todo = self.view = None
        self.place += 1

    def events_of(self, number: int, masks: list[Mask]) -> Sequence[int] | None:
        """The events of a mask; None: all."""
        if number not in self.masks:
            mask = masks[number]
            if self._is_simple(mask):
                self.masks[number] = self._numbers(self._flags(number, masks))
            else:
                parent = self.events_of(mask.parent, masks)
                if mask.chosen is not None:
                    self.masks[number] = self._chosen(parent, mask.chosen, masks)
                else:
                    self.masks[number] = self._narrowed(parent, mask)
        return self.masks[number]

    def left(self, number: int, before: tuple[int, ...], masks: list[Mask]) -> Sequence[int] | None:
        """The events of a mask that are in none of the masks `before`; None: all."""
        if not before:
            return self.events_of(number, masks)
        key = (number, before)
        if key not in self._left:
            own, gone = self._flags(number, masks), self._union(before, masks)
            self._left[key] = self._numbers(own & ~gone) if own & gone else self.events_of(number, masks)
        return self._left[key]

    def union(self, numbers: tuple[int, ...], masks: list[Mask]) -> set[int]:
        """The events that are in any of some masks."""
        index = self._numbers(self._union(numbers, masks))
        return set(range(self.store.size) if index is None else index)

    def _union(self, numbers: tuple[int, ...], masks: list[Mask]) -> int:
        flags = 0
        for number in numbers:
            flags |= self._flags(number, masks)
        return flags

    def _flags(self, number: int, masks: list[Mask]) -> int:
        """The events of a mask as a number with a byte for each event of the block, 1 if it is one of them."""
        if number not in self._bits:
            mask, size = masks[number], self.store.size
            if number == ALL_EVENTS:
                flags = int.from_bytes(b"\1" * size, "little")
            elif self._is_simple(mask):
                flags = int.from_bytes(self._answers(mask), "little")
                if mask.parent != ALL_EVENTS:
                    flags &= self._flags(mask.parent, masks)
            else:
                index = self.events_of(number, masks)
                places = bytearray(size)
                for event in range(size) if index is None else index:
                    places[event] = 1
                flags = int.from_bytes(places, "little")
            self._bits[number] = flags
        return self._bits[number]

    def _is_simple(self, mask: Mask) -> bool:
        """Whether the filter's answers say all."""
        return mask.chosen is None and not (self.failed and self.failed.get(mask.filter))

    def _answers(self, mask: Mask) -> bytearray:
        """For each event, 1 if the filter lets it go on; undefined where it has not been asked."""
        flags = self.passed[mask.filter]
        return flags.translate(_NOT) if mask.inverted else flags

    def _numbers(self, flags: int) -> Sequence[int] | None:
        """The events of such a number; None: all."""
        if flags not in self._index:
            size = self.store.size
            index = _places(flags.to_bytes(size, "little"))
            self._index[flags] = None if len(index) == size else index
        return self._index[flags]

    def _narrowed(self, parent: Sequence[int] | None, mask: Mask) -> Sequence[int] | None:
        """Behind a filter that has failed for some events: they do not go on."""
        flags, broken = self._answers(mask), self.failed[mask.filter]
        every = range(self.store.size) if parent is None else parent
        return [number for number in every if flags[number] and number not in broken]

    def _chosen(self, parent: Sequence[int] | None, chosen: Chosen, masks: list[Mask]) -> Sequence[int] | None:
        if chosen.selection.union and not self.failed:
            named = chosen.selection.named
            index = self._numbers(self._union(tuple(path.mask for path in chosen.paths if path.label in named), masks))
        else:
            found = {path.label: states(self, path, masks) for path in chosen.paths}
            index = np.flatnonzero(chosen.selection.accepted(found)).tolist()
        if parent is None or index is None:
            return parent if index is None else index
        selected = set(index)
        return [number for number in parent if number in selected]

    def going_on(self, label: str, number: int, schedule: Schedule) -> Sequence[int] | None:
        """The events of a mask that come to a module, without those whose way has ended at a member that failed; None: all."""
        index = self.events_of(number, schedule.masks)
        ways = schedule.ways(label, number) if self.failed else ()
        if not ways:
            return index
        ended = set.intersection(*(set().union(*(self.failed.get(before, ()) for before, _ in way)) for way in ways))
        if not ended:
            return index
        every = range(self.store.size) if index is None else index
        return [event for event in every if event not in ended]

    def note_passed(self, name: str, answers: Any, index: Sequence[int] | None) -> int:
        """Keep what a filter said for the events of `index` (None: all); returns how many pass."""
        flags = self.passed.get(name)
        if flags is None:
            flags = self.passed[name] = bytearray(self.store.size)
        if index is None:
            try:
                flags[:] = bytes(answers) if isinstance(answers, list) else np.asarray(answers, np.uint8).tobytes()
            except TypeError:  # NumPy's booleans are no integers
                flags[:] = bytes(map(bool, answers))
            return flags.count(1)
        if not isinstance(answers, list):
            answers = answers.tolist()
        passing = list(compress(index, answers))
        for number in passing:
            flags[number] = 1
        return len(passing)


def _places(flags: bytes | bytearray) -> list[int]:
    """Where there is a 1."""
    if len(flags) < LARGE:
        return list(compress(range(len(flags)), flags))
    return np.frombuffer(flags, np.uint8).nonzero()[0].tolist()
