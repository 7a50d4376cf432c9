"""What became of every entry of the input, in the order of the input, so that a report can say it when the job has ended.

Problem: a source reads ahead. When a job ends early, because of a limit, its time or Ctrl-C, events that were read have not
been processed, and no luminosity block with such an event may be called done. Policy: the source notes for each entry why it
is left out, or that it is to be processed; the engine says how many were processed, which are the first of these, because
events end in the order of the input; what lies behind the last of them counts nowhere. All of this is the same for any size of
chunks. Cost: one byte per entry (9 with luminosity blocks) for the segment of a file that is being read, then runs of equal
entries: a few bytes for a mask, 13 bytes an event at worst.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from evproc.framework.columns import Array
from evproc.framework.input_report import Entries, FileEvents, InputReport

from .event_ranges import compact

SHOWN_RANGES = 10_000
"""Ranges of duplicates that a report lists; the rest is counted."""
NO_PLACE = np.uint64((1 << 64) - 1)
"""Luminosity block of an entry whose identity cannot be read."""


class Fate(IntEnum):
    """What becomes of an entry."""

    PROCESS = 0
    LUMI_MASK = 1
    ONLY = 2
    WITHOUT = 3
    DUPLICATE = 4
    FRIENDS = 5
    SKIP_EVENTS = 6
    LOST = 7
    NOT_REACHED = 8


@dataclass(slots=True)
class Segment:
    """Consecutive entries of a file that are looked at together."""

    file: str
    first: int
    codes: Array
    """What becomes of each entry, as `Fate`: (entries,) uint8"""
    places: Array | None
    """Its luminosity block, as run * 2**32 + block: (entries,) uint64; None where nobody asks"""


@dataclass(slots=True)
class _Runs:
    """A segment, as runs of equal entries."""

    file: str
    first: int
    codes: Array
    places: Array | None
    lengths: Array

    @property
    def processed(self) -> int:
        """Entries that were to be processed."""
        return int(self.lengths[self.codes == Fate.PROCESS].sum())


class InputLedger:
    """The fate of all entries."""

    def __init__(self) -> None:
        self._done: list[_Runs] = []
        self._open: Segment | None = None
        #: (number of the segment, what was lost)
        self._lost: list[tuple[int, Entries]] = []
        #: (number of segments before, blocks)
        self._listed: list[tuple[int, Array]] = []
        self.stopped = False
        """Whether the source stopped by itself before the end of its files."""

    def begin(self, segment: Segment) -> None:
        """From now on, entries of this segment are looked at; its codes may change until `end`."""
        self._open = segment

    def end(self) -> None:
        """The segment has been dealt with, or is given up."""
        segment, self._open = self._open, None
        if segment is None or not len(segment.codes):
            return
        changes = segment.codes[1:] != segment.codes[:-1]
        if segment.places is not None:
            changes |= segment.places[1:] != segment.places[:-1]
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        lengths = np.diff(np.append(starts, len(segment.codes)))
        places = None if segment.places is None else segment.places[starts]
        self._done.append(_Runs(segment.file, segment.first, segment.codes[starts], places, lengths.astype(np.uint32)))

    def lose(self, lost: Entries) -> None:
        """Something cannot be read and is skipped; joined with what was lost before by the same fault."""
        number = len(self._done)
        if self._lost and lost.first is not None:
            _, before = self._lost[-1]
            if (before.file, before.reason) == (lost.file, lost.reason):
                before.last = lost.last
                before.events = None if before.events is None or lost.events is None else before.events + lost.events
                return
        self._lost.append((number, lost))

    def list_blocks(self, places: Array) -> None:
        """Luminosity blocks of a file that has been gone through to its end, those without events among them."""
        self._listed.append((len(self._done), places))

    def report(self, label: str, events: int, *, early: bool) -> InputReport:
        """What was done, if `events` events were processed; `early`: the job did not go on to the end of its input."""
        report = InputReport(label, events)
        end = len(self._done), 0
        if early:
            end = self._cut(events)
        runs = self._done[: end[0] + 1]
        for number, segment in enumerate(runs):
            stop = end[1] if number == end[0] else len(segment.codes)
            counts = _counts(segment.codes[:stop], segment.lengths[:stop])
            _add_file(report.files, segment.file, counts)
            for code, count in counts:
                if code not in (Fate.PROCESS, Fate.NOT_REACHED, Fate.LOST):
                    name = Fate(code).name.lower()
                    report.left_out[name] = report.left_out.get(name, 0) + count
            _add_duplicates(report.duplicates, segment, stop)
        for number, lost in self._lost:
            if not early or number < end[0] or (number == end[0] and self._before(lost, end)):
                report.lost.append(lost)
        if self._listed or any(segment.places is not None for segment in runs):
            self._luminosity(report, runs, end, early=early)
        return report

    def _cut(self, events: int) -> tuple[int, int]:
        """Number of the segment with the last event that was processed, and of the run behind it, which is cut there."""
        left = events
        for number, segment in enumerate(self._done):
            there = segment.processed
            if left > there:
                left -= there
                continue
            if not left:
                break
            upto = np.cumsum(np.where(segment.codes == Fate.PROCESS, segment.lengths, 0), dtype=np.int64)
            at = int(np.searchsorted(upto, left))
            rest = int(upto[at]) - left
            if rest:
                segment.lengths = np.insert(segment.lengths, at + 1, rest)
                segment.lengths[at] -= rest
                segment.codes = np.insert(segment.codes, at + 1, segment.codes[at])
                if segment.places is not None:
                    segment.places = np.insert(segment.places, at + 1, segment.places[at])
            return number, at + 1
        return 0, 0

    def _before(self, lost: Entries, end: tuple[int, int]) -> bool:
        """Whether something that was lost in the segment of the last event lies before it."""
        if lost.first is None or end[0] >= len(self._done):
            return lost.first is None
        segment = self._done[end[0]]
        return lost.first < segment.first + int(segment.lengths[: end[1]].sum())

    def _luminosity(self, report: InputReport, runs: list[_Runs], end: tuple[int, int], *, early: bool) -> None:
        """Which luminosity blocks are complete. The one in which reading stopped never is: the next file may go on with it."""
        done = [places for number, places in self._listed if number <= end[0]]
        touched: list[Array] = []
        undone: list[Array] = []
        for number, segment in enumerate(runs):
            if segment.places is None:
                continue
            finished = np.isin(segment.codes, (Fate.PROCESS, Fate.DUPLICATE))
            if number == end[0]:
                finished[end[1] :] = False
            unknown = segment.places == NO_PLACE
            beside = unknown.copy()
            beside[1:] |= unknown[:-1]
            beside[:-1] |= unknown[1:]
            undone += [segment.places[~finished], segment.places[beside]]
            done.append(segment.places[finished])
            touched += [segment.places[finished], segment.places[segment.codes == Fate.LOST]]
        if (early or self.stopped) and runs and runs[-1].places is not None:
            undone.append(runs[-1].places[-1:])
        every = np.unique(np.concatenate(done)) if done else np.empty(0, np.uint64)
        unfinished = np.unique(np.concatenate(undone)) if undone else np.empty(0, np.uint64)
        seen = np.unique(np.concatenate(touched)) if touched else every
        report.lumis = compact(np.setdiff1d(every, unfinished))
        report.incomplete_lumis = compact(np.setdiff1d(np.intersect1d(seen, unfinished), [NO_PLACE]))


def _counts(codes: Array, lengths: Array) -> list[tuple[int, int]]:
    """(code, entries) of some runs."""
    return [(int(code), int(lengths[codes == code].sum())) for code in np.unique(codes)]


def _add_file(found: list[FileEvents], file: str, counts: list[tuple[int, int]]) -> None:
    """Count the entries of a segment to its file."""
    if not found or found[-1].file != file:
        found.append(FileEvents(file, 0, 0))
    found[-1].entries += sum(count for code, count in counts if code != Fate.NOT_REACHED)
    found[-1].events += sum(count for code, count in counts if code == Fate.PROCESS)


def _add_duplicates(found: list[Entries], segment: _Runs, stop: int) -> None:
    """List the ranges of duplicates among the first runs of a segment."""
    ends = np.cumsum(segment.lengths, dtype=np.int64) + segment.first
    for at in np.flatnonzero(segment.codes[:stop] == Fate.DUPLICATE).tolist():
        count, last = int(segment.lengths[at]), int(ends[at]) - 1
        if found and found[-1].file == segment.file and found[-1].last == last - count:
            found[-1].last, found[-1].events = last, (found[-1].events or 0) + count
        elif len(found) < SHOWN_RANGES:
            found.append(Entries(segment.file, last - count + 1, last, count, "these events had come before"))
