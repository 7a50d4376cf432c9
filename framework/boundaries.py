"""Boundaries: where blocks must end, whatever their size, and what happens there.

The reader asks where a chunk is to be cut; the engine says which block was opened, came to the tail, and has ended. Who
listens is decided when the job begins: without a listener there are no boundaries, and nobody is asked anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .transitions import Transitions, change_points

if TYPE_CHECKING:
    from .block import Block
    from .module import Chunk, Module
    from .schedule import Schedule
    from .service import Service


class Boundaries:
    """The boundaries of a job."""

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions

    def stops(self, chunk: Chunk) -> list[int]:
        """Where blocks of a chunk end at the latest: ascending numbers of events, the last is that of the chunk's end."""
        points = change_points(chunk.ids, self._transitions.levels)
        return [*(np.flatnonzero(points) + 1).tolist(), len(chunk)]

    def opened(self, block: Block) -> None:
        """A block was opened."""
        self._transitions.opened(block.number, block.chunk.chunk.file, block.store.ids)

    def at_tail(self, block: Block) -> None:
        """A block has come to the tail; may be called again for the same."""
        self._transitions.at_tail(block.number)

    def ended(self, turn: int) -> None:
        """All blocks before `turn` have ended."""
        self._transitions.ended(turn)

    def finish(self, *, failed: bool) -> None:
        """The job ends."""
        self._transitions.finish(failed=failed)


def boundaries_of(schedule: Schedule, modules: Sequence[Module], services: Sequence[Service]) -> Boundaries | None:
    """The boundaries of a job; None if nobody listens. `modules` are those that run, without the source."""
    last = {step.node.label for step in schedule.steps[schedule.tail :]}
    body = [module for module in modules if module.label not in last]
    transitions = Transitions(services, body, [module for module in modules if module.label in last])
    return Boundaries(transitions) if transitions.levels else None
