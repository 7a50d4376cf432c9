"""Which events have come before: exact, by columns, in 12 bytes an event.

Problem: a job over 100 million events must find the one that comes twice, and a set of tuples would hold 20 GB. A hash alone
could take two events for one. Policy: run and luminosity block get a number (32 bits); the event number is mixed with it by a
function that can be turned round. Two events are the same exactly if both numbers are, so nothing is lost; and the mixed
numbers are even over 64 bits, so that sorted arrays of them are searched alone, and the others compared only where these
agree. New events make sorted arrays that are merged when they are as large as those before them: each event is merged a
logarithmic number of times. A batch is sorted once, and searched for, compared with itself and added in that order: a search
whose needles are sorted stays in the cache. Cost: 12 bytes an event, up to 36 for a moment while the largest arrays are
merged; about 0.3 us an event in jobs of a million.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from evproc.framework.columns import Array

from .event_ranges import Keys, equal_runs

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_LAST = np.uint64(31)


@dataclass(frozen=True)
class Hashed:
    """Identities as (mixed number, number of run and block); equal exactly if the identities are."""

    mixed: Array
    """(events,) uint64"""
    group: Array
    """(events,) uint32"""

    def at(self, index: Array) -> Hashed:
        """Those of some events."""
        return Hashed(self.mixed[index], self.group[index])

    @cached_property
    def order(self) -> Array:
        """What sorts them by both numbers; equal ones stay as they came. (events,) int64"""
        order = np.argsort(self.mixed)
        mixed = self.mixed[order]
        if (mixed[1:] == mixed[:-1]).any():  # which is rare, and sorting by both takes four times as long
            order = np.lexsort((self.group, self.mixed))
        return order

    @cached_property
    def in_order(self) -> tuple[Array, Array]:
        """Both numbers, in that order."""
        return self.mixed[self.order], self.group[self.order]


class _Level(NamedTuple):
    """Some known events, sorted by `mixed`."""

    mixed: Array
    group: Array
    value: Array | None


class EventIndex:
    """The events that are known, with a number for each if `values`: where it is."""

    def __init__(self, *, values: bool = False) -> None:
        self._groups: dict[int, int] = {}
        self._levels: list[_Level] = []
        self._values = values

    def __len__(self) -> int:
        return sum(len(level.mixed) for level in self._levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for level in self._levels for part in level if part is not None)

    def hashed(self, keys: Keys) -> Hashed:
        """The form in which events are compared. Steps of the SplitMix64 generator, which are bijective, mix the number."""
        starts, lengths = equal_runs(keys.place)
        numbers = [self._groups.setdefault(place, len(self._groups)) for place in keys.place[starts].tolist()]
        group = np.repeat(np.array(numbers, np.uint32), lengths)
        mixed = keys.event + (group.astype(np.uint64) + np.uint64(1)) * _STEP
        for shift, factor in _MIX:
            mixed = (mixed ^ (mixed >> shift)) * factor
        return Hashed(mixed ^ (mixed >> _LAST), group)

    def find(self, events: Hashed) -> Array:
        """The value of each event: (events,) int64; -1 where it is not known, 0 for a known one in an index without values."""
        mixed, group = events.in_order
        found = np.full(len(mixed), -1, np.int64)
        for level in self._levels:
            at = np.searchsorted(level.mixed, mixed)
            open_ = np.flatnonzero(level.mixed.take(at, mode="clip") == mixed)
            while len(open_):
                place = at[open_]
                hit = level.group[place] == group[open_]
                found[open_[hit]] = 0 if level.value is None else level.value[place[hit]]
                open_ = open_[~hit]
                at[open_] += 1
                open_ = open_[at[open_] < len(level.mixed)]
                open_ = open_[level.mixed[at[open_]] == mixed[open_]]
        return _as_they_came(found, events.order)

    def add(self, events: Hashed, values: Array | None = None) -> None:
        """Make events known that are not known, and differ from each other."""
        if not len(events.mixed):
            return
        new = _Level(*events.in_order, None if values is None else values[events.order])
        while self._levels and len(self._levels[-1].mixed) <= 2 * len(new.mixed):
            new = _merged(self._levels.pop(), new)
        self._levels.append(new)

    def forget(self, events: Hashed) -> None:
        """Make known events unknown again."""
        for number, level in enumerate(self._levels):
            keep = np.ones(len(level.mixed), np.bool_)
            for mixed, group in zip(events.mixed.tolist(), events.group.tolist(), strict=True):
                at = int(np.searchsorted(level.mixed, np.uint64(mixed)))
                while at < len(keep) and int(level.mixed[at]) == mixed:
                    keep[at] &= int(level.group[at]) != group
                    at += 1
            if not keep.all():
                value = None if level.value is None else level.value[keep]
                self._levels[number] = _Level(level.mixed[keep], level.group[keep], value)
        self._levels = [level for level in self._levels if len(level.mixed)]

    def clear(self) -> None:
        """Know nothing."""
        self._levels.clear()
        self._groups.clear()


def repeated(events: Hashed) -> Array:
    """Which events have come before within the same arrays: (events,) bool."""
    mixed, group = events.in_order
    same = np.zeros(len(mixed), np.bool_)
    same[1:] = (mixed[1:] == mixed[:-1]) & (group[1:] == group[:-1])
    return _as_they_came(same, events.order)


def _as_they_came(values: Array, order: Array) -> Array:
    """Values that are sorted by `order`, in the order of the events."""
    if (values == values[:1]).all():
        return values
    unsorted = np.empty_like(values)
    unsorted[order] = values
    return unsorted


def _merged(one: _Level, two: _Level) -> _Level:
    mixed = np.concatenate([one.mixed, two.mixed])
    order = np.argsort(mixed, kind="stable")
    value = None
    if one.value is not None and two.value is not None:
        value = np.concatenate([one.value, two.value])[order]
    return _Level(mixed[order], np.concatenate([one.group, two.group])[order], value)
