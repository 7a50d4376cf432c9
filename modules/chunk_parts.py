"""What is read for some entries of a file, and how the events that are taken out of it are put together into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evproc.framework.column_making import concatenate
from evproc.framework.columns import Array, Column, Jagged
from evproc.framework.event import EventIDs

from .chunking import Run, runs


@dataclass(slots=True)
class Part:
    """Events that were read, before they are put together into chunks."""

    entries: Array
    """(events,) int64, ascending"""
    ids: EventIDs
    columns: dict[str, Column]
    nbytes: int


@dataclass(slots=True)
class Parts:
    """Consecutive parts that are each too small for a chunk."""

    held: list[Part] = field(default_factory=list)
    events: int = 0
    nbytes: int = 0

    def add(self, part: Part) -> None:
        """Hold another part."""
        self.held.append(part)
        self.events += len(part.entries)
        self.nbytes += part.nbytes

    def joined(self) -> tuple[Array, EventIDs, dict[str, Column]]:
        """Entries, identities and columns of all parts; there must be one."""
        first, *others = self.held
        if not others:
            return first.entries, first.ids, first.columns
        ids = EventIDs(
            np.concatenate([part.ids.run for part in self.held]),
            np.concatenate([part.ids.luminosity_block for part in self.held]),
            np.concatenate([part.ids.event for part in self.held]),
        )
        columns = {key: concatenate([part.columns[key] for part in self.held]) for key in first.columns}
        return np.concatenate([part.entries for part in self.held]), ids, columns


def plan_of(pieces: Sequence[int], entries: Array, size: int | None, target: int) -> list[Run]:
    """What to read for some entries, ascending: neighbouring pieces of the file that hold one, from the first to the last.

    >>> plan_of([0, 100, 200, 300], np.array([5, 130, 210, 250]), None, 200)
    [Run(start=5, stop=200, step=195), Run(start=200, stop=251, step=51)]
    """
    bounds = np.asarray(pieces, np.int64)
    piece = np.searchsorted(bounds, entries, side="right")
    starts = np.flatnonzero(np.diff(piece, prepend=-1) > 1)
    plan: list[Run] = []
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(entries)], strict=True):
        first, stop = int(entries[begin]), int(entries[end - 1]) + 1
        plan += [Run(first, stop, size)] if size else runs(pieces, first, stop, target)
    return plan


def nbytes_of(columns: dict[str, Column]) -> int:
    """Memory that columns hold; offsets that several share count once."""
    total = 0
    shared: set[int] = set()
    for column in columns.values():
        total += column.nbytes
        if isinstance(column, Jagged):
            if id(column.offsets) in shared:
                total -= column.offsets.nbytes
            shared.add(id(column.offsets))
    return total
