"""The reader: gets chunks from the source in a thread of its own, one ahead, and cuts them into blocks.

Reading ahead hides the latency of a remote file; it is bounded by bytes. A chunk counts against the budget from the
moment that it is read until the last of its blocks has ended, because the columns of a block are views of the chunk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .columns import Array
from .cutting import bytes_before, cut, share_offsets
from .errors import EvprocError, InputError, in_context
from .module import Chunk, Source
from .replay import EventList
from .state import Budget
from .store import EventPool, Store

if TYPE_CHECKING:
    from .boundaries import Boundaries, Cut

AHEAD = 1
"""Chunks that may be waiting, read and not begun."""


class BlockLimit(NamedTuple):
    """How large a block may be."""

    events: int
    nbytes: int | None
    """Bytes of its columns; a single event may have more. None: not limited."""


class OpenChunk:
    """A chunk of which blocks are open or still to be cut."""

    __slots__ = ("_bytes", "at", "blocks", "chunk", "cut", "nbytes")

    def __init__(self, chunk: Chunk, cut: Cut | None = None) -> None:
        self.chunk = chunk
        self.nbytes = chunk.nbytes or sum(column.nbytes for column in chunk.columns.values())
        #: events that have been cut off so far
        self.at = 0
        #: where blocks must end; None: anywhere
        self.cut = cut
        #: blocks of it that are open
        self.blocks = 0
        #: bytes before each event, (events + 1,)
        self._bytes: Array | None = None

    def next_stop(self, limit: BlockLimit) -> int:
        """The end of the next block."""
        stop = min(self.at + limit.events, len(self.chunk))
        if self.cut is not None:
            stop = min(stop, self.cut.stop(self.at))
        if limit.nbytes is None or self.nbytes <= limit.nbytes:
            return stop
        if self._bytes is None:
            self._bytes = bytes_before(self.chunk.columns, len(self.chunk))
        room = int(np.searchsorted(self._bytes, self._bytes[self.at] + limit.nbytes, side="right")) - 1
        return max(self.at + 1, min(stop, room))

    @property
    def spent(self) -> bool:
        """Whether all of it has been cut and all its blocks have ended."""
        return self.at >= len(self.chunk) and not self.blocks


class Reader:
    """Reads chunks and cuts blocks. `changed` is called when a chunk has come or the source is at its end."""

    def __init__(
        self,
        source: Source,
        keys: frozenset[str],
        *,
        memory: Budget,
        limit: BlockLimit,
        changed: Callable[[], None],
        boundaries: Boundaries | None = None,
        only: EventList | None = None,
    ) -> None:
        self._source = source
        self._keys = keys
        self._memory = memory
        self._limit = limit
        self._changed = changed
        self._boundaries = boundaries
        self._only = only
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evproc-reader")
        self._chunks: Iterator[Chunk] | None = None
        self._waiting: deque[OpenChunk] = deque()
        self._reading: asyncio.Future[Chunk | None] | None = None
        self._largest = 0
        self._pool = EventPool()
        self._events = 0
        self._failure: BaseException | None = None
        self._stopped = False
        self.ended = False
        self.seconds = 0.0
        """Time in the source, seconds; in a thread of its own, beside the modules."""

    @property
    def available(self) -> int:
        """1 if a block can be taken at once, else 0."""
        if self._boundaries and self._waiting:
            opened = self._waiting[0]
            return 1 if opened.cut and self._boundaries.ready(opened.cut, opened.at) else 0
        return 1 if self._waiting else 0

    @property
    def exhausted(self) -> bool:
        """Whether no block will be there to take any more."""
        return self.ended and not self._waiting

    @property
    def reading(self) -> bool:
        """Whether a chunk is being read."""
        return self._reading is not None

    @property
    def held(self) -> int:
        """Bytes of the chunks that are waiting or have blocks that are open."""
        return self._memory.used

    def read_ahead(self) -> None:
        """Start to read the next chunk, if none is being read and the budget allows."""
        fits = not self._memory.used or self._memory.used + self._largest <= self._memory.limit
        if self.ended or self._reading or len(self._waiting) > AHEAD or not fits:
            return
        self._reading = asyncio.get_running_loop().run_in_executor(self._thread, self._next)
        self._reading.add_done_callback(self._came)

    def _next(self) -> Chunk | None:
        begin = perf_counter()
        try:
            return self._next_chunk()
        finally:
            self.seconds += perf_counter() - begin

    def _next_chunk(self) -> Chunk | None:
        if self._chunks is None:
            chunks = iter(self._source.chunks(self._keys))
            self._chunks = chunks if self._only is None else self._only.chosen(chunks)
        for chunk in self._chunks:
            if len(chunk):
                share_offsets(chunk.columns)
                return chunk
        return None

    def _came(self, reading: asyncio.Future[Chunk | None]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        error = reading.exception()
        chunk = None if error else reading.result()
        if error and not self._stopped:
            self._failure = error
        if chunk is None:
            self.ended = True
        elif not self.ended:
            opened = OpenChunk(chunk, self._boundaries.cut(chunk) if self._boundaries else None)
            self._memory.take(opened.nbytes)
            self._largest = max(self._largest, opened.nbytes)
            self._waiting.append(opened)
            self.read_ahead()
        self._changed()

    def raise_failure(self) -> None:
        """Raise what went wrong while reading, if anything did."""
        error = self._failure
        if error is None:
            return
        where = f"source '{self._source.label}' ({type(self._source).__name__})"
        if isinstance(error, EvprocError):
            raise in_context(error, where)
        raise InputError(f"{where} failed: {error!r}") from error

    def take(self) -> tuple[Store, OpenChunk]:
        """Cut the next block."""
        opened = self._waiting[0]
        chunk, first = opened.chunk, opened.at
        stop = opened.next_stop(self._limit)
        size = stop - first
        where = f"{chunk.where}, from entry {first} of it" if first and chunk.where else chunk.where
        store = Store(size, chunk.ids.slice(first, stop), self._events, where, self._pool)
        if size == len(chunk):
            store.columns.update(chunk.columns)
        else:
            store.columns.update(cut(chunk.columns, first, stop))
        if opened.cut and self._boundaries:
            store.conditions = self._boundaries.conditions(chunk, opened.cut, first) or store.conditions
        self._events += size
        opened.at = stop
        opened.blocks += 1
        if stop == len(chunk):
            self._waiting.popleft()
        self.read_ahead()
        return store, opened

    def give_back(self, opened: OpenChunk) -> None:
        """A block of a chunk has ended."""
        opened.blocks -= 1
        if opened.spent:
            self._memory.give(opened.nbytes)
            self.read_ahead()

    def stop(self) -> None:
        """Read no more, and forget what was read and not begun."""
        self.ended = self._stopped = True
        for opened in self._waiting:
            opened.at = len(opened.chunk)
            if opened.spent:
                self._memory.give(opened.nbytes)
        self._waiting.clear()

    async def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self._reading:
            await asyncio.wait([self._reading])
        chunks: Any = self._chunks
        if hasattr(chunks, "close"):
            await asyncio.get_running_loop().run_in_executor(self._thread, chunks.close)
        self._thread.shutdown(wait=True)
