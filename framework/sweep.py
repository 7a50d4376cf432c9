"""A sweep: one function called for many events, in pieces that do not hold the event loop.

The calls are a list comprehension over a list's iterator: the interpreter runs a Python function called there without
leaving its loop, which `map` cannot, so ten calls an event cost little more than the calls. When a call raises, the
iterator knows how many events are left, so the event that failed is known without counting. The number of events in a
piece follows the time that they take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .failures import Note

PIECE_SECONDS = 0.002
"""How long one piece should take, seconds."""
NO_FAILURES: Mapping[int, Note] = {}


class Sweep:
    """Calls `function(event)` for each of some events, or `function(event, result)` if there are results; `results` grows.

    Results that are dicts with one and the same name may have `named`: this name, and what gives the values of a range of
    them. Then the dicts are made here, where that costs least.
    """

    __slots__ = ("_events", "_function", "_second", "failures", "piece", "place", "results", "seconds", "total")

    def __init__(
        self,
        function: Callable[..., Any],
        events: Sequence[Any],
        second: Sequence[Any] | None = None,
        *,
        piece: int = 64,
    ) -> None:
        self._function = function
        self._events = events
        self._second = second
        self.piece = piece
        self.results: list[Any] = []
        #: place -> what is to be said of its failure, in a sweep that goes on behind one
        self.failures: Mapping[int, Note] = NO_FAILURES
        self.seconds = 0.0
        self.total = len(events)
        #: number of the event that the last call was for; after an exception, of the one that failed
        self.place = 0

    def forget(self) -> None:
        """Forget the failures: they have been taken up. This sweep notes none."""

    def advance(self, until: float, limit: int = 0) -> bool:
        """Call on until the clock says `until`, or `limit` more calls were made; returns whether the sweep has ended.

        At least one piece is done. An exception of the function passes through;
        `place` then says for which event.
        """
        results, function, total = self.results, self._function, self.total
        stop = min(total, len(results) + limit) if limit else total
        now = perf_counter()
        while (first := len(results)) < stop:
            begin = now
            last = min(stop, first + self.piece)
            events = iter(self._events if last - first == total else self._events[first:last])
            try:
                if limit and self._second is not None:
                    results.extend(map(function, events, self._second[first:last]))
                elif limit:
                    results.extend(map(function, events))  # keeps what was returned before an exception: it may be work
                elif self._second is None:
                    if first:
                        results += [function(event) for event in events]
                    else:  # most sweeps have one piece: its list need not be copied
                        results = self.results = [function(event) for event in events]
                elif (named := getattr(self._second, "named", None)) is not None:
                    name, values = named
                    pairs = zip(events, values(first, last), strict=True)
                    results += [function(event, {name: value}) for event, value in pairs]
                else:
                    second = self._second[first:last]
                    results += [function(event, result) for event, result in zip(events, second, strict=True)]
            except BaseException:
                self.place = last - 1 - events.__length_hint__()  # type: ignore[attr-defined]  # of a list's iterator
                raise
            finally:
                now = perf_counter()
                self.seconds += now - begin
            self.place = last - 1
            piece = last - first
            taken = max(now - begin, 1e-7)
            self.piece = max(1, min(int(piece * PIECE_SECONDS / taken), 8 * piece))
            if now >= until:
                break
        return len(results) >= total
