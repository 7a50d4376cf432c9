"""Where to cut a tree into chunks.

Problem: a file stores each branch in compressed pieces (baskets of a TTree, clusters of an RNTuple). A chunk that ends inside
a piece makes it be decompressed twice, or kept; a chunk of one small piece pays the fixed cost of a chunk for few events.
Policy: cut where the pieces of all branches that are read end together; join small clusters up to the target; split a larger
one evenly, in one pass that keeps its open baskets.
Cost: a cluster that is larger than the target is held decompressed while its chunks are handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TARGET_EVENTS = 20_000
TARGET_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive chunks of equal length; the last may be shorter."""

    start: int
    stop: int
    step: int

    def chunks(self) -> list[tuple[int, int]]:
        """The entries (start, stop) of each chunk."""
        return [(at, min(at + self.step, self.stop)) for at in range(self.start, self.stop, self.step)]


def events_per_chunk(bytes_per_event: float) -> int:
    """How many events a chunk should have at most."""
    if bytes_per_event <= 0:
        return TARGET_EVENTS
    return max(1, min(TARGET_EVENTS, int(TARGET_BYTES / bytes_per_event)))


def runs(boundaries: Sequence[int], start: int, stop: int, target: int) -> list[Run]:
    """Cut the entries from `start` to `stop` into runs of chunks of at most `target` entries.

    boundaries: entries at which the pieces of all branches end together, ascending.

    >>> runs([0, 10, 20, 30, 40, 45], 0, 45, 20)
    [Run(start=0, stop=45, step=20)]
    >>> runs([0, 100], 0, 100, 30)
    [Run(start=0, stop=100, step=25)]
    """
    cuts = [start, *(at for at in boundaries if start < at < stop), stop]
    found: list[Run] = []
    begin = start
    for at, after in zip(cuts[1:], [*cuts[2:], None], strict=True):
        if after is not None and after - begin <= target:
            continue
        length = at - begin
        if length > 0:
            pieces = -(-length // target)
            _append(found, Run(begin, at, -(-length // pieces)))
        begin = at
    return found


def fixed_runs(start: int, stop: int, step: int) -> list[Run]:
    """Chunks of exactly `step` entries."""
    return [Run(start, stop, step)] if stop > start else []


def _append(found: list[Run], new: Run) -> None:
    """Add a run, joined with the one before where the chunks stay as they are."""
    if found:
        last = found[-1]
        whole = (last.stop - last.start) % last.step == 0
        if whole and (new.step == last.step or (len(new.chunks()) == 1 and new.step < last.step)):
            found[-1] = Run(last.start, new.stop, last.step)
            return
    found.append(new)
