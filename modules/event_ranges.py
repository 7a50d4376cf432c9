"""Which events are asked for: luminosity masks, lists and ranges of events, all as one kind of set.

Each is a set of closed ranges of identities in the order (run, luminosity block, event): a block of a mask goes from its
event 0 to the largest, a single event from itself to itself. Ranges are sorted and joined once; the identities of a file are
held against all of them by columns, in two binary searches; if the set is of whole blocks, one event of each block is.
Cost: 32 bytes a range, and at most about 0.1 us an event.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evproc.framework.columns import Array
from evproc.framework.errors import InputError
from evproc.framework.event import EventIDs
from evproc.framework.input_report import Lumis, as_lumis

from .input_files import near_files

LARGEST = (1 << 64) - 1
LARGEST_BLOCK = (1 << 32) - 1
SHOWN = 5
"""Faults of one file that are shown."""
_PLACE = r"(\d+)(?::(\d+))?(?::(\d+))?"
_RANGE = re.compile(rf"{_PLACE}(?:\s*-\s*{_PLACE})?")

Bound = tuple[int, int]
"""(place, event), where place is run * 2**32 + luminosity block."""


class Keys(NamedTuple):
    """Identities as two numbers that sort like (run, luminosity block, event)."""

    place: Array
    """run * 2**32 + luminosity block: (events,) uint64"""
    event: Array
    """(events,) uint64"""

    def at(self, index: Array) -> Keys:
        """Those of some events."""
        return Keys(self.place[index], self.event[index])

    def name(self, number: int) -> str:
        """An event, for messages."""
        place = int(self.place[number])
        return f"run {place >> 32}, luminosity block {place & LARGEST_BLOCK}, event {int(self.event[number])}"


class Unfit(ValueError):
    """A mask, list or range that cannot be used; carries what is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


def keys_of(ids: EventIDs, where: str) -> Keys:
    """The identities as keys. Raises InputError for numbers that no identity has."""
    parts: list[Array] = []
    named = {"run": ids.run, "luminosity block": ids.luminosity_block, "event": ids.event}
    for (name, values), largest in zip(named.items(), (LARGEST_BLOCK, LARGEST_BLOCK, LARGEST), strict=True):
        array = np.asarray(values)
        if len(array) and (int(array.min()) < 0 or int(array.max()) > largest):
            wrong = int(array.min()) if int(array.min()) < 0 else int(array.max())
            raise InputError(
                f"{where}: {name} {wrong} is no {name} number (0 to {largest}); events cannot be told apart"
            )
        parts.append(array.astype(np.uint64, copy=False))
    run, block, event = parts
    return Keys((run << np.uint64(32)) | block, event)


class EventRanges:
    """A set of events, as closed ranges of identities that are sorted and do not overlap."""

    def __init__(self, bounds: Iterable[tuple[Bound, Bound]]) -> None:
        firsts: list[Bound] = []
        lasts: list[Bound] = []
        for first, last in sorted(bounds):
            if lasts and first <= lasts[-1]:
                lasts[-1] = max(lasts[-1], last)
            else:
                firsts.append(first)
                lasts.append(last)
        self._first = _columns(firsts)
        self._last = _columns(lasts)
        self._blocks = not self._first.event.any() and bool((self._last.event == LARGEST).all())

    def __len__(self) -> int:
        return len(self._first.place)

    def contains(self, keys: Keys) -> Array:
        """Which events are in the set: (events,) bool.

        >>> chosen = EventRanges([((1, 5), (1, 9)), ((3, 0), (4, 2))])
        >>> chosen.contains(Keys(np.array([1, 1, 3, 4], np.uint64), np.array([4, 9, 7, 3], np.uint64))).tolist()
        [False, True, True, False]
        """
        if not len(self):
            return np.zeros(len(keys.event), np.bool_)
        if self._blocks:  # events of a block come together: one of them answers for all
            starts, lengths = equal_runs(keys.place)
            return np.repeat(self._inside(keys.at(starts)), lengths)
        return self._inside(keys)

    def _inside(self, keys: Keys) -> Array:
        before = _not_after(self._first, keys)
        at = np.maximum(before - 1, 0)
        place, event = self._last.place[at], self._last.event[at]
        inside = (keys.place < place) | ((keys.place == place) & (keys.event <= event))
        return np.asarray(inside & (before > 0))


def equal_runs(values: Array) -> tuple[Array, Array]:
    """Where equal values that follow each other begin, and how many they are: two arrays (runs,) int64.

    >>> [part.tolist() for part in equal_runs(np.array([7, 7, 8, 7]))]
    [[0, 2, 3], [2, 1, 1]]
    """
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
    return starts, np.diff(starts, append=len(values))


def _columns(bounds: list[Bound]) -> Keys:
    return Keys(
        np.array([place for place, _ in bounds], np.uint64), np.array([event for _, event in bounds], np.uint64)
    )


def _not_after(sorted_keys: Keys, keys: Keys) -> Array:
    """How many of the sorted keys are not after each key: (events,) int64."""
    low = np.searchsorted(sorted_keys.place, keys.place, side="left")
    high = np.searchsorted(sorted_keys.place, keys.place, side="right")
    while True:
        open_ = low < high
        if not open_.any():
            return np.asarray(low)
        middle = (low + high) // 2
        smaller = open_ & (sorted_keys.event[np.minimum(middle, len(sorted_keys.event) - 1)] <= keys.event)
        low = np.where(smaller, middle + 1, low)
        high = np.where(open_ & ~smaller, middle, high)


def lumi_mask(mask: str | dict[str, Any]) -> EventRanges:
    """The luminosity blocks of a certification file of CMS, `{"run": [[first, last], ...]}`, or of such a dict.

    Raises Unfit.
    """
    where = "" if isinstance(mask, dict) else f"'{mask}': "
    data: Any = mask
    if isinstance(mask, str):
        text = _text(mask, "luminosity mask")
        try:
            data = json.loads(text)
        except ValueError as error:
            raise Unfit([f"{where}it is not JSON ({error})"]) from None
    if not isinstance(data, dict):
        raise Unfit([f'{where}a luminosity mask is {{"run": [[first, last], ...]}}, not {type(data).__name__}'])
    bounds: list[tuple[Bound, Bound]] = []
    problems: list[str] = []
    for run, ranges in data.items():
        if not str(run).isdecimal() or int(run) > LARGEST_BLOCK:
            problems.append(f"{where}'{run}' is no run number")
            continue
        for pair in ranges if isinstance(ranges, list | tuple) else [ranges]:
            sound = isinstance(pair, list | tuple) and len(pair) == 2 and all(type(number) is int for number in pair)
            if not sound or not 0 <= pair[0] <= pair[1] <= LARGEST_BLOCK:
                problems.append(f"{where}run {run}: {pair!r} is no range [first, last] of luminosity blocks")
                continue
            base = int(run) << 32
            bounds.append(((base | pair[0], 0), (base | pair[1], LARGEST)))
    if problems:
        raise Unfit(_some(problems))
    return EventRanges(bounds)


def event_ranges(named: Sequence[str]) -> EventRanges:
    """The events of a list of ranges and files with such lines: `1`, `1:5`, `1:5:77`, `1:5-1:9`, `list.txt`.

    Raises Unfit.
    """
    bounds: list[tuple[Bound, Bound]] = []
    problems: list[str] = []
    for item in named:
        try:
            if is_range(item):
                bounds.append(_bounds(item.strip()))
            else:
                bounds.extend(_bounds_of_file(item))
        except Unfit as error:
            problems.extend(error.problems)
    if problems:
        raise Unfit(problems)
    return EventRanges(bounds)


def is_range(item: str) -> bool:
    """Whether an item of a list is a range itself; else it is a file of them."""
    return item.strip()[:1].isdecimal() and bool(_RANGE.fullmatch(item.strip()))


def _bounds_of_file(path: str) -> list[tuple[Bound, Bound]]:
    bounds: list[tuple[Bound, Bound]] = []
    problems: list[str] = []
    for number, line in enumerate(_text(path, "list of events").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            bounds.append(_bounds(text))
        except Unfit as error:
            problems.append(f"'{path}', line {number}: {error}")
    if problems:
        raise Unfit(_some(problems))
    return bounds


def _bounds(text: str) -> tuple[Bound, Bound]:
    """The first and last identity of one range."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Unfit([f"'{text}' is neither run, run:block, run:block:event, nor a range of two of them, first-last"])
    parts = [None if part is None else int(part) for part in match.groups()]
    first, last = parts[:3], parts[3:] if parts[3] is not None else parts[:3]
    low = (first[0] or 0, first[1] or 0, first[2] or 0)
    top = (last[0] or 0, LARGEST_BLOCK if last[1] is None else last[1], LARGEST if last[2] is None else last[2])
    if max(*low[:2], *top[:2]) > LARGEST_BLOCK or max(low[2], top[2]) > LARGEST:
        raise Unfit([f"'{text}': a number is too large"])
    if low > top:
        raise Unfit([f"'{text}': the range ends before it begins"])
    return (low[0] << 32 | low[1], low[2]), (top[0] << 32 | top[1], top[2])


def _text(path: str, what: str) -> str:
    place = Path(path).expanduser()
    try:
        return place.read_text()
    except FileNotFoundError:
        raise Unfit([f"there is no {what} '{path}'{near_files(place)}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Unfit([f"the {what} '{path}' cannot be read: {why}"]) from None


def _some(problems: list[str]) -> list[str]:
    more = len(problems) - SHOWN
    return problems if more <= 0 else [*problems[:SHOWN], f"and {more} more such faults"]


def compact(places: Array) -> Lumis:
    """Luminosity blocks, as run * 2**32 + block in any order, in the form of a certification file.

    >>> compact(np.array([(7 << 32) | 2, (7 << 32) | 1, (7 << 32) | 4], np.uint64))
    {'7': [[1, 2], [4, 4]]}
    """
    return as_lumis((place >> 32, place & LARGEST_BLOCK) for place in np.unique(places).tolist())


__all__ = ["EventRanges", "Keys", "Unfit", "compact", "event_ranges", "keys_of", "lumi_mask"]
