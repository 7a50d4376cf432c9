"""Loading of conditions: ahead of the blocks that need them, once, and for no longer than needed.

`Shelf` decides what is loaded and dropped; `ConditionsLoader` starts the loads and has the products.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy.typing as npt

from .conditions import BlockConditions, ConditionsProducer, called
from .errors import ConditionsError, InternalError, in_context
from .intervals import GAP
from .module import Chunk

Places = Mapping[str, npt.NDArray[Any]]
"""Condition -> number of the interval of each event of a chunk."""


class Shelf:
    """Which products of one condition are held: those in use, those wanted ahead, and the `kept` that were used last.

    Invariant: a product is held from `want` until `give` or `clear` names it as one to drop.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._users: dict[int, int] = {}
        self._ahead: set[int] = set()
        #: held without users; the one that was used last comes last
        self._idle: dict[int, None] = {}

    def want(self, place: int) -> bool:
        """A block will need the product of an interval; returns whether it must be loaded."""
        self._ahead.add(place)
        self._idle.pop(place, None)
        if place in self._users:
            return False
        self._users[place] = 0
        return True

    def take(self, place: int) -> None:
        """A block that needs it was opened."""
        self._ahead.discard(place)
        self._users[place] += 1

    def give(self, place: int) -> list[int]:
        """A block that needed it has ended; returns what to drop."""
        self._users[place] -= 1
        if self._users[place] or place in self._ahead:
            return []
        self._idle[place] = None
        dropped = list(self._idle)[: max(0, len(self._idle) - self._kept)]
        for old in dropped:
            del self._idle[old], self._users[old]
        return dropped

    def clear(self) -> list[int]:
        """The job ends; returns what to drop."""
        dropped = list(self._users)
        self._users.clear()
        self._ahead.clear()
        self._idle.clear()
        return dropped


class ConditionsLoader:
    """The conditions of a job that modules read."""

    def __init__(
        self, producers: Mapping[str, ConditionsProducer], declared: Mapping[str, Sequence[str]], pool: Executor
    ) -> None:
        self.producers = producers
        self.changed: Callable[[], None] = lambda: None
        self._declared = declared
        self._pool = pool
        self._shelves = {label: Shelf(part.config.kept) for label, part in producers.items()}
        self._loads: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._used: dict[int, dict[str, int]] = {}
        #: the intervals of the conditions that were taken last, and these conditions; None if some of them were dropped
        self._next: dict[str, int] = {}
        self._made: BlockConditions | None = None

    def places(self, chunk: Chunk) -> Places:
        """The interval of each event of a chunk, for each condition."""
        return {label: part.places(chunk) for label, part in self.producers.items()}

    def want(self, label: str, place: int) -> bool:
        """Start to load a product unless it is there; returns whether it can be taken, or never will be."""
        if place == GAP:
            return True
        if self._shelves[label].want(place):
            load = self._loads[label, place] = asyncio.ensure_future(self._load(label, place))
            load.add_done_callback(lambda _: self.changed())
        return self._loads[label, place].done()

    async def _load(self, label: str, place: int) -> Any:
        part = self.producers[label]
        assert part.table is not None
        interval = part.table.intervals[place]
        try:
            product = await called(part.load, interval, pool=self._pool)
        except Exception as error:
            where = f"condition '{label}' ({type(part).__name__}) could not be loaded for {interval}"
            raise _conditions_error(error, where) from error
        part.loaded += 1
        return product

    def take(self, chunk: Chunk, number: int, places: Places) -> BlockConditions:
        """The conditions of the block that begins at an event of a chunk. Raises ConditionsError."""
        used = {label: int(of[number]) for label, of in places.items()}
        if self._made is None or used != self._next:
            for label, place in used.items():
                if place == GAP:
                    raise self.producers[label].gap(chunk, number)
            products = {label: self._loads[label, place].result() for label, place in used.items()}
            self._next, self._made = used, BlockConditions(products, self._declared)
        for label, place in used.items():
            self._shelves[label].take(place)
        return self._made

    def opened(self, number: int) -> None:
        """The block for which conditions were taken last has this number."""
        self._used[number] = self._next

    def ended(self, number: int) -> None:
        """A block has ended."""
        for label, place in self._used.pop(number, {}).items():
            self._drop(label, self._shelves[label].give(place))

    async def close(self) -> None:
        """Nothing is needed any more: cancel what is being loaded, drop the rest."""
        for load in self._loads.values():
            load.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)
        for label, shelf in self._shelves.items():
            self._drop(label, shelf.clear())

    def _drop(self, label: str, places: Sequence[int]) -> None:
        for place in places:
            self._made = None
            load = self._loads.pop((label, place))
            if load.cancelled() or load.exception() is not None:
                continue
            part = self.producers[label]
            try:
                part.release(load.result())
            except Exception as error:
                where = f"condition '{label}' ({type(part).__name__}) failed in release"
                raise _conditions_error(error, where) from error


def _conditions_error(error: Exception, where: str) -> Exception:
    """The error of a producer: of its own class if it is one of ours, else a ConditionsError; chained."""
    wrapped = in_context(error, where)
    if isinstance(wrapped, ConditionsError | InternalError):
        return wrapped
    return ConditionsError(str(wrapped))
