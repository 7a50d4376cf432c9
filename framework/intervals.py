"""Intervals of validity: for which events a condition holds. Pure; knows neither producers nor products.

An interval is of runs and luminosity blocks, or of time. The identity (run, luminosity block) is one number of 64 bits, so
that looking up a chunk of events is one binary search in an array of begins, 20 ns an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .transitions import LumiID

if TYPE_CHECKING:
    from .event import EventIDs

LAST = 0xFFFFFFFF
"""The largest number of a run or a luminosity block."""
GAP = -1
"""The place of an event for which there is no interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What a condition is valid for, and what its producer needs to know to load it."""

    first: LumiID | float
    """The first luminosity block, or the time at which it begins, seconds since 1970."""
    last: LumiID | float | None
    """The last luminosity block, or the time at which it has ended; None: until the next interval begins."""
    payload: Any = None
    """What to load: a file, a hash, a number."""

    @classmethod
    def runs(cls, first: int, last: int | None = None, payload: Any = None) -> Interval:
        """From a run to another, both included; without `last`, until the next interval begins."""
        return cls(LumiID(first, 0), None if last is None else LumiID(last, LAST), payload)

    @classmethod
    def lumis(cls, first: tuple[int, int], last: tuple[int, int] | None = None, payload: Any = None) -> Interval:
        """From (run, luminosity block) to another, both included."""
        return cls(LumiID(*first), None if last is None else LumiID(*last), payload)

    @classmethod
    def times(cls, begin: float, end: float | None = None, payload: Any = None) -> Interval:
        """From a time on and before another, seconds since 1970."""
        return cls(float(begin), None if end is None else float(end), payload)

    @classmethod
    def always(cls, payload: Any = None) -> Interval:
        """For all events."""
        return cls(LumiID(0, 0), None, payload)

    @property
    def of_time(self) -> bool:
        """Whether it is of time."""
        return not isinstance(self.first, LumiID)

    def __str__(self) -> str:
        if not isinstance(self.first, LumiID):
            end = "" if self.last is None else f" to {_clock(self.last)}"
            return f"from {_clock(self.first)}{end}"
        if self.first == (0, 0) and self.last is None:
            return "all events"
        if self.first.luminosity_block == 0 and (self.last is None or self._last_lumi == LAST):
            return _range("run", self.first.run, None if self.last is None else self.last[0])  # type: ignore[index]
        end = "" if self.last is None else f" to {self.last}"
        return f"from {self.first}{end}"

    @property
    def _last_lumi(self) -> int:
        return self.last.luminosity_block if isinstance(self.last, LumiID) else LAST


class IntervalTable:
    """The intervals of one condition, in order; `faults` says what is wrong with them."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.faults: list[str] = []
        found: list[Any] = list(intervals)
        wrong = [one for one in found if not isinstance(one, Interval)]
        kinds = {one.of_time for one in found if isinstance(one, Interval)}
        if wrong:
            self.faults.append(f"intervals() gives {type(wrong[0]).__name__}, not Interval")
        elif not found:
            self.faults.append("it has no intervals")
        elif len(kinds) > 1:
            self.faults.append("its intervals are partly of time, partly of runs; they must be of one kind")
        if self.faults:
            found = []
        self.of_time = kinds == {True}
        self.intervals = sorted(found, key=lambda one: one.first)
        begins = [_number(one.first) for one in self.intervals]
        ends = [self._end(place) for place in range(len(self.intervals))]
        self._check(begins, ends)
        if self.faults:
            begins, ends = [], []
        kind = np.float64 if self.of_time else np.uint64
        self._begins, self._ends = np.array(begins, kind), np.array(ends, kind)

    def _end(self, place: int) -> float | int:
        """Where an interval ends: the last number that it holds, or for time the first that it does not."""
        last = self.intervals[place].last
        if last is not None:
            return _number(last)
        if place + 1 == len(self.intervals):
            return np.inf if self.of_time else 2**64 - 1
        return _number(self.intervals[place + 1].first) - (0 if self.of_time else 1)

    def _check(self, begins: list[float | int], ends: list[float | int]) -> None:
        for place, one in enumerate(self.intervals):
            begin, end = begins[place], ends[place]
            later = self.intervals[place + 1] if place + 1 < len(self.intervals) else None
            for edge in (one.first, one.last):
                if isinstance(edge, LumiID) and not all(0 <= number <= LAST for number in edge):
                    self.faults.append(f"runs and luminosity blocks are numbers from 0 to {LAST}, not {edge}")
            if not (begin < end or (begin == end and not self.of_time)):
                twice = one.last is None and later is not None
                self.faults.append(f"two intervals begin alike: {one}" if twice else f"an interval is empty: {one}")
            elif later and (end > begins[place + 1] if self.of_time else end >= begins[place + 1]):
                self.faults.append(f"two intervals overlap: {one}, and {later}")

    def places(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Number of the interval of each event: (events,), `GAP` where there is none. `keys`: of `lumi_keys`, or times."""
        found = np.searchsorted(self._begins, keys, side="right").astype(np.int64) - 1
        ends = self._ends[np.maximum(found, 0)]
        inside = (keys < ends) if self.of_time else (keys <= ends)
        return np.where((found >= 0) & inside, found, GAP)

    def around(self, key: float) -> str:
        """The intervals before and after a place in a gap, in words."""
        after = int(np.searchsorted(self._begins, key, side="right"))
        near = [str(self.intervals[place]) for place in (after - 1, after) if 0 <= place < len(self.intervals)]
        return ", and ".join(near)


def lumi_keys(ids: EventIDs) -> npt.NDArray[np.uint64]:
    """Run and luminosity block of each event as one number: (events,) uint64."""
    run, lumi = ids.run.astype(np.uint64), ids.luminosity_block.astype(np.uint64)
    return (run << np.uint64(32)) | (lumi & np.uint64(LAST))


def _number(value: LumiID | float) -> float | int:
    return value.run << 32 | value.luminosity_block if isinstance(value, LumiID) else value


def _range(what: str, first: int, last: int | None) -> str:
    if last is None:
        return f"{what}s from {first} on"
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def _clock(seconds: float | LumiID) -> str:
    assert not isinstance(seconds, LumiID)
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ").removesuffix("+00:00")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
