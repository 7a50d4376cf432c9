"""What paths have come to, for each event of a block: for output modules, for those that read it, and for the summary.

Results are made from the masks of a block, which are there anyway, so they cost nothing until somebody asks. With no
failure in a block, the events that pass a path are a mask. Where a module has failed (`Block.failed`), an event ends its
way along a path at the first member that failed for it, and the path's result is an exception.

`TriggerResults_PATH` (bool: it passes) and `PathStatus_PATH` (uint8, the values of `PathState`) are products like others
for those who read them; the schedule has steps that make them only if somebody does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .columns import Array, Flat
from .early_end import below
from .masks import Mask, PlacedPath
from .module import Producer
from .path_names import PASSED
from .paths import Member
from .report import PathModuleReport, PathReport
from .selection import PathState

if TYPE_CHECKING:
    from .block import Block
    from .schedule import Schedule


class PathResults(Producer):
    """Stands for the steps that make the results of paths; the engine does their work."""


def states(block: Block, path: PlacedPath, masks: list[Mask]) -> Array:
    """What a path has come to for the events of a block, once its members have run: (events,) uint8."""
    found = np.full(block.store.size, PathState.FAIL, np.uint8)
    found[_flags(block, path.mask, masks)] = PathState.PASS
    if block.failed:
        for member in path.members:
            broken = block.failed.get(member.label)
            if broken:
                reached = block.events_of(member.mask, masks)
                found[_numbers(broken if reached is None else broken.intersection(reached))] = PathState.EXCEPTION
    return found


def make_result(block: Block, key: str, schedule: Schedule) -> None:
    """Put the product that says what a path has come to into a block."""
    path, kind = schedule.results[key]
    found = states(block, schedule.placed[path], schedule.masks)
    block.store.put_column(key, Flat(found == PathState.PASS if kind == PASSED else found), None)


def _numbers(events: Collection[int]) -> Array:
    return np.fromiter(events, np.int64, len(events))


def _flags(block: Block, mask: int, masks: list[Mask]) -> Array:
    """Which events of a block are in a mask: (events,) bool."""
    index = block.events_of(mask, masks)
    if index is None:
        return np.ones(block.store.size, np.bool_)
    flags = np.zeros(block.store.size, np.bool_)
    flags[_numbers(index)] = True
    return flags


@dataclass(slots=True)
class _Count:
    """What one member of a path did in blocks with failures."""

    events: int = 0
    rejected: int = 0
    exceptions: int = 0


class PathCounter:
    """Counts what paths come to: events for each mask, and where something has failed, member by member."""

    def __init__(self, schedule: Schedule) -> None:
        self._paths = [schedule.placed[label] for label in schedule.path_masks]
        self._masks = schedule.masks
        numbers = {number for path in self._paths for number in (path.mask, *(member.mask for member in path.members))}
        self._events = dict.fromkeys(sorted(numbers), 0)
        self._broken = {path.label: [_Count() for _ in path.members] for path in self._paths}
        self._broken_passed = dict.fromkeys(self._broken, 0)
        self._total = 0

    def add(self, block: Block, size: int) -> None:
        """A block has ended; its first `size` events count."""
        self._total += size
        if block.failed:
            for path in self._paths:
                self._add_broken(block, path, size)
            return
        for number in self._events:
            index = below(block.events_of(number, self._masks), size, block.store.size)
            self._events[number] += size if index is None else len(index)

    def _add_broken(self, block: Block, path: PlacedPath, size: int) -> None:
        alive = np.arange(block.store.size) < size
        after = [*(member.mask for member in path.members), path.mask][1:]
        for member, count, following in zip(path.members, self._broken[path.label], after, strict=True):
            alive &= _flags(block, member.mask, self._masks)
            broken = np.zeros_like(alive)
            broken[_numbers(block.failed.get(member.label, ()))] = True
            broken &= alive
            count.events += int(alive.sum())
            count.exceptions += int(broken.sum())
            alive &= ~broken
            count.rejected += int((alive & ~_flags(block, following, self._masks)).sum())
        alive &= _flags(block, path.mask, self._masks)
        self._broken_passed[path.label] += int(alive.sum())

    def reports(self) -> list[PathReport]:
        """What each path has come to so far."""
        return [self._report(path) for path in self._paths]

    def _report(self, path: PlacedPath) -> PathReport:
        modules = []
        after = [*(member.mask for member in path.members), path.mask][1:]
        for member, broken, following in zip(path.members, self._broken[path.label], after, strict=True):
            reached = self._events[member.mask]
            rejected = reached - self._events[following] + broken.rejected
            marked = Member(member.label, member.mark).text
            decides = member.kind == "filter"
            events = reached + broken.events
            modules.append(PathModuleReport(member.label, marked, decides, events, rejected, broken.exceptions))
        passed = self._events[path.mask] + self._broken_passed[path.label]
        exceptions = sum(count.exceptions for count in self._broken[path.label])
        return PathReport(path.label, self._total, passed, self._total - passed - exceptions, exceptions, modules)
