"""Boundaries: where blocks must end, whatever their size, and what happens there.

The reader asks where a chunk is to be cut, and whether the next block has its conditions; the engine says which block was
opened, came to the tail, and has ended. Who listens, and which conditions are read, is decided when the job begins: without
either there are no boundaries, and nobody is asked anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from .condition_loading import ConditionsLoader, Places
from .conditions import BlockConditions, ConditionsProducer, condition_faults, conditions_of
from .transitions import Transitions, change_points, transition_faults

if TYPE_CHECKING:
    from .block import Block
    from .errors import Fault
    from .flow import Flow
    from .module import Chunk, Module
    from .process import Process
    from .schedule import Schedule
    from .service import Service

AHEAD = 3
"""How many boundaries further on conditions are loaded."""


class Cut:
    """Where a chunk is to be cut, and which intervals its events are in."""

    __slots__ = ("_ready", "_stops", "places")

    def __init__(self, stops: list[int], places: Places) -> None:
        #: ascending numbers of events, the last is that of the chunk's end
        self._stops = stops
        self.places = places
        #: begin of the block whose conditions are known to be there
        self._ready = -1

    def stop(self, at: int) -> int:
        """Where a block that begins at an event ends at the latest."""
        return self._stops[bisect_right(self._stops, at)]

    def ready(self, at: int, want: Callable[[str, int], bool]) -> bool:
        """Whether the block that begins at an event has its conditions; they are wanted, and those of the next blocks."""
        if self._ready == at:
            return True
        ready = True
        for label, of in self.places.items():
            ready &= want(label, int(of[at]))
        for stop in islice(self._stops, bisect_right(self._stops, at), bisect_right(self._stops, at) + AHEAD):
            for label, of in self.places.items():
                if stop < len(of):
                    want(label, int(of[stop]))
        if ready:
            self._ready = at
        return ready


class Boundaries:
    """The boundaries of a job."""

    def __init__(self, transitions: Transitions, conditions: ConditionsLoader) -> None:
        self._transitions = transitions
        self._conditions = conditions
        times = [part.config.time for part in conditions.producers.values() if part.table and part.table.of_time]
        self.keys = frozenset(times)
        """Products of the source that are needed to find intervals."""

    def call_when_loaded(self, changed: Callable[[], None]) -> None:
        """Call this whenever a condition has come."""
        self._conditions.changed = changed

    def cut(self, chunk: Chunk) -> Cut:
        """Where a chunk is to be cut."""
        points = change_points(chunk.ids, self._transitions.levels)
        places = self._conditions.places(chunk)
        for of in places.values():
            points |= of[1:] != of[:-1]
        return Cut([*(np.flatnonzero(points) + 1).tolist(), len(chunk)], places)

    def ready(self, cut: Cut, at: int) -> bool:
        """Whether the block that begins at an event of a chunk can be opened."""
        return not cut.places or cut.ready(at, self._conditions.want)

    def conditions(self, chunk: Chunk, cut: Cut, at: int) -> BlockConditions | None:
        """The conditions of the block that begins at an event; None if none are read. Raises ConditionsError."""
        return self._conditions.take(chunk, at, cut.places) if cut.places else None

    def opened(self, block: Block) -> None:
        """A block was opened."""
        self._conditions.opened(block.number)
        self._transitions.opened(block.number, block.chunk.chunk.file, block.store.ids)

    def at_tail(self, block: Block) -> None:
        """A block has come to the tail; may be called again for the same."""
        self._transitions.at_tail(block.number)

    def ended(self, turn: int) -> None:
        """All blocks before `turn` have ended."""
        self._conditions.ended(turn - 1)
        self._transitions.ended(turn)

    def finish(self, *, failed: bool) -> None:
        """The job ends."""
        self._transitions.finish(failed=failed)

    async def close(self) -> None:
        """No block is open any more: drop all conditions."""
        await self._conditions.close()


def boundaries_of(
    schedule: Schedule, modules: Sequence[Module], services: Sequence[Service], pool: Executor
) -> Boundaries | None:
    """The boundaries of a job; None if nobody listens and no condition is read. `modules` are those that run."""
    last = {step.node.label for step in schedule.steps[schedule.tail :]}
    last -= {step.node.label for step in schedule.steps[: schedule.tail]}
    body = [module for module in modules if module.label not in last]
    transitions = Transitions(services, body, [module for module in modules if module.label in last])
    declared = {module.label: conditions_of(module) for module in modules}
    read = {name for names in declared.values() for name in names}
    producers = {part.label: part for part in services if isinstance(part, ConditionsProducer) and part.label in read}
    if not transitions.levels and not producers:
        return None
    return Boundaries(transitions, ConditionsLoader(producers, declared, pool))


def boundary_faults(process: Process, flow: Flow) -> list[Fault]:
    """What is wrong with transitions and conditions of a process."""
    parts = [*process.modules.values(), *process.services.values()]
    return [*transition_faults(parts, process.source_module), *condition_faults(process, flow)]
