"""Ending a job before the end of its input: after a time, or when output modules have written enough.

Problem: a job runs many blocks at once, and the event that fills a file lies somewhere inside of one. Stopping at the next
block would make the other outputs depend on the size of blocks. Policy: analyzers and output modules run in the order of the
input and after all else, when it is known which events reach them. So before they begin with a block, `OutputQuota` says at
which event the job ends, and none of them sees a later one. Blocks behind it are dropped.
Cost: nothing without quotas; with them one look per block. Producers and filters have run for events that no output sees.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .binding import Binding
    from .block import Block
    from .schedule import Schedule


@dataclass(slots=True)
class OutputQuota:
    """How many events each output module may still write. The job ends when none of those with a quota may."""

    left: dict[str, int]
    """Output module -> events that it may still write."""
    full: bool = field(default=False, init=False)
    """Whether the job ends with the present block."""

    def cut(self, reached: Mapping[str, Sequence[int]], size: int) -> dict[str, int]:
        """Count a block. `reached`: output module -> numbers of the events that reach it, ascending; `size`: of the block.

        Returns a limit for each module, that sees only events with smaller numbers; that of the whole block under "".

        >>> quota = OutputQuota({"out": 3})
        >>> quota.cut({"out": [0, 5]}, 10), quota.full
        ({'out': 10, '': 10}, False)
        >>> quota.cut({"out": [2, 6, 7]}, 10), quota.full
        ({'out': 3, '': 3}, True)
        """
        limits: dict[str, int] = {}
        for label, left in self.left.items():
            events = reached[label]
            limits[label] = events[left - 1] + 1 if 0 < left <= len(events) else 0 if not left else size
            self.left[label] = max(0, left - len(events))
        self.full = not any(self.left.values())
        limits[""] = max(limits.values()) if self.full else size
        return limits


def cut_block(quota: OutputQuota, block: Block, tail: Sequence[Binding], schedule: Schedule) -> None:
    """Say for a block at its tail which of its events the modules there see."""
    size = block.store.size
    reached: dict[str, Sequence[int]] = {}
    for binding in tail:
        if binding.label in quota.left:
            index = block.going_on(binding.label, binding.mask, schedule)
            events: Sequence[int] = range(size) if index is None else index
            if block.failed or block.ignored:
                harmed = binding.harmed(block)
                events = [number for number in events if number not in harmed]
            before = reached.get(binding.label)
            reached[binding.label] = events if before is None else sorted({*before, *events})
    block.limits = quota.cut(reached, size)


def below(index: Sequence[int] | None, limit: int, size: int) -> Sequence[int] | None:
    """The event numbers of `index` (ascending; None: all of a block of `size`) that are smaller than `limit`."""
    if limit >= size:
        return index
    return range(limit) if index is None else index[: bisect_left(index, limit)]


@contextmanager
def after(seconds: float | None, stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the running loop when the time is up; None: never."""
    handle = None if seconds is None else asyncio.get_running_loop().call_later(max(0.0, seconds), stop)
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
