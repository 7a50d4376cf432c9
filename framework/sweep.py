"""A sweep: one function called for many events, in pieces that do not hold the event loop.

The loop itself is `list.extend(map(...))`, which runs in C: ten calls an event cost then little more than the calls. Its second
virtue is that, when a call raises, the list holds the results of all calls before it, so the event that failed is known
without counting. The number of events in a piece follows the time that they take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from time import perf_counter
from typing import Any

PIECE_SECONDS = 0.002
"""How long one piece should take, seconds."""


class Sweep:
    """Calls `function` for each of `total` tuples of arguments; `results` grows."""

    __slots__ = ("_calls", "_piece", "results", "seconds", "total")

    def __init__(self, function: Callable[..., Any], total: int, *arguments: Iterable[Any], piece: int = 64) -> None:
        self._calls = map(function, *arguments)
        self._piece = piece
        self.results: list[Any] = []
        self.seconds = 0.0
        self.total = total

    def advance(self, until: float, limit: int = 0) -> bool:
        """Call on until the clock says `until`, or `limit` more calls were made; returns whether the sweep has ended.

        At least one piece is done. An exception of the function passes through; `len(results)` is then the number of the
        tuple that it was called for.
        """
        results, calls, total = self.results, self._calls, self.total
        stop = min(total, len(results) + limit) if limit else total
        now = perf_counter()
        while len(results) < stop:
            begin, before = now, len(results)
            piece = min(self._piece, stop - before)
            try:
                results.extend(islice(calls, piece))
            finally:
                now = perf_counter()
                self.seconds += now - begin
            if len(results) < before + piece:
                raise AssertionError("a sweep ran out of events")
            taken = max(now - begin, 1e-7)
            self._piece = max(1, min(int(piece * PIECE_SECONDS / taken), 8 * piece))
            if now >= until:
                break
        return len(results) >= total
