"""The state of a run, and every decision about it. Nothing here awaits, reads a clock or touches a file.

A *block* is open from the moment that it is taken from the source until its last step has ended. At any time it can be

    READY       it could use the CPU now
    ANSWERS     it waits for external work
    BUDGET      it waits until external work in flight holds less memory
    THREAD      one of its steps runs in a thread
    RESOURCE    its step needs what a step of another block holds
    TURN        it is at its tail, and an earlier block has not ended

and `decide` says what the CPU does next: go on with the oldest block that is ready; if none is, open another, which is
what keeps the CPU busy for any latency of the network; if that is not allowed, wait. The oldest goes first because it
holds memory longest and because the tail needs the blocks in order. Blocks are opened only when none is ready, so
nothing is read that need not be.

Invariants: blocks are numbered in the order of the input; `turn` is the oldest open block, or the next to be opened; a
block whose number is `turn` never waits for its turn; bytes in flight and bytes open are the sums over what was taken
and not given back.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum


class Status(Enum):
    """What an open block waits for."""

    READY = "ready"
    ANSWERS = "answers"
    BUDGET = "budget"
    THREAD = "thread"
    RESOURCE = "resource"
    TURN = "turn"


class Action(Enum):
    """What to do next."""

    RUN = "run"
    OPEN = "open"
    WAIT = "wait"
    END = "end"


@dataclass(slots=True)
class Budget:
    """Bytes that may be in use; the last one to take some may go above the limit, so that nothing is ever too big."""

    limit: int
    used: int = 0
    peak: int = 0

    @property
    def open(self) -> bool:
        """Whether more may be taken."""
        return self.used < self.limit

    def take(self, nbytes: int) -> None:
        """Note that bytes are in use."""
        self.used += nbytes
        self.peak = max(self.peak, self.used)

    def give(self, nbytes: int) -> None:
        """Note that bytes are free again."""
        self.used -= nbytes
        if self.used < 0:
            raise AssertionError("more was given back to a budget than was taken")


@dataclass(slots=True)
class RunState:
    """Which blocks are open, what each waits for, and what may be done next."""

    streams: int
    """Blocks that may be open at once."""
    in_flight: Budget
    """Bytes of external work that was handed out and not yet produced."""
    status: dict[int, Status] = field(default_factory=dict)
    """Number of an open block -> what it waits for."""
    turn: int = 0
    """The oldest block that has not ended."""
    next_number: int = 0
    """Number of the next block to be opened."""
    exhausted: bool = False
    """The source has no more, or no more is wanted."""
    available: int = 0
    """Blocks that have been read and can be opened at once."""
    _ready: list[int] = field(default_factory=list)
    """Heap of the numbers of blocks that were made ready; may hold some that are not ready any more."""

    def decide(self) -> tuple[Action, int]:
        """What to do next, and with which block."""
        ready = self._ready
        while ready:
            number = ready[0]
            if self.status.get(number) is Status.READY:
                return Action.RUN, number
            heapq.heappop(ready)
        room = len(self.status) < self.streams and (self.in_flight.open or not self.status)
        if self.available and room:
            return Action.OPEN, self.next_number
        if not self.status and self.exhausted and not self.available:
            return Action.END, -1
        return Action.WAIT, -1

    def opened(self) -> int:
        """A block was taken from the source; returns its number."""
        number = self.next_number
        self.next_number += 1
        self.available -= 1
        self._set_ready(number)
        return number

    def waits(self, number: int, status: Status) -> None:
        """An open block cannot go on until something happens. One whose turn it is does not wait for it."""
        if status is Status.TURN and number == self.turn:
            return
        if status is Status.BUDGET and self.in_flight.open:
            return
        self.status[number] = status

    def ready(self, number: int) -> None:
        """What a block waited for has happened. Blocks that have ended meanwhile are left alone."""
        if number in self.status and self.status[number] is not Status.READY:
            self._set_ready(number)

    def answered(self, number: int) -> None:
        """Some external work of a block has ended."""
        if self.status.get(number) in (Status.ANSWERS, Status.BUDGET):
            self._set_ready(number)

    def ended(self, number: int) -> None:
        """A block has ended; the next may have its turn."""
        assert number == self.turn, "blocks end in the order of the input"
        del self.status[number]
        self.turn += 1
        if self.status.get(self.turn) is Status.TURN:
            self._set_ready(self.turn)

    def freed(self, nbytes: int) -> None:
        """External work has been produced: its bytes are free, and blocks that waited for that may go on, oldest first."""
        self.in_flight.give(nbytes)
        if self.in_flight.open:
            for number, status in self.status.items():
                if status is Status.BUDGET:
                    self._set_ready(number)

    def _set_ready(self, number: int) -> None:
        self.status[number] = Status.READY
        heapq.heappush(self._ready, number)

    def check(self) -> None:
        """Assert the invariants; for tests."""
        assert all(self.turn <= number < self.next_number for number in self.status)
        assert self.status.get(self.turn) is not Status.TURN
        assert self.in_flight.used >= 0
        assert all(number in self._ready for number, status in self.status.items() if status is Status.READY)
