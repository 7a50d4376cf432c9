"""What a source did, as plain data: which events it left out and why, what was lost, which luminosity blocks are done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Lumis = dict[str, list[list[int]]]
"""Run -> ranges [first, last] of luminosity blocks, both included: the form of the certification files of CMS."""


@dataclass(slots=True)
class Entries:
    """Entries of a file that have something in common."""

    file: str
    first: int | None
    """The first of these events. None, as `last`: the whole file, whose number of entries is not known."""
    last: int | None
    """The last, included."""
    events: int | None
    """How many of them the job would have processed; None: not known."""
    reason: str


@dataclass(slots=True)
class FileEvents:
    """What was done with one input file."""

    file: str
    entries: int
    """Entries of it that were looked at."""
    events: int
    """Events of it that were processed."""


def blocks_in(lumis: Lumis) -> set[tuple[int, int]]:
    """The luminosity blocks as (run, block)."""
    return {(int(run), block) for run, parts in lumis.items() for low, top in parts for block in range(low, top + 1)}


def as_lumis(blocks: Iterable[tuple[int, int]]) -> Lumis:
    """Luminosity blocks, as (run, block) in any order, as ranges.

    >>> as_lumis([(7, 2), (7, 1), (7, 4)])
    {'7': [[1, 2], [4, 4]]}
    """
    found: Lumis = {}
    for run, block in sorted(set(blocks)):
        parts = found.setdefault(str(run), [])
        if parts and parts[-1][1] == block - 1:
            parts[-1][1] = block
        else:
            parts.append([block, block])
    return found


@dataclass(slots=True)
class InputReport:
    """What a source did. Events that were read ahead and not processed, because the job ended early, count nowhere."""

    label: str = ""
    events: int = 0
    """Events that were processed."""
    files: list[FileEvents] = field(default_factory=list)
    """The files that were read, in the order of the input."""
    friends: list[str] = field(default_factory=list)
    """The files of friends."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why -> events that were looked at and not processed: `lumi_mask`, `only`, `without`, `skip_events` ..."""
    lost: list[Entries] = field(default_factory=list)
    """What could not be read and was skipped, in the order of the input."""
    duplicates: list[Entries] = field(default_factory=list)
    """Events that were skipped because they had come before."""
    lumis: Lumis = field(default_factory=dict)
    """Luminosity blocks of which every event that was found has been processed; empty unless asked for."""
    incomplete_lumis: Lumis = field(default_factory=dict)
    """Those of which some events have been processed, or left out, and others not."""

    def not_complete(self, blocks: set[tuple[int, int]] | None = None) -> None:
        """Some luminosity blocks (None: all) hold events that were not processed after all."""
        complete = blocks_in(self.lumis)
        moved = complete if blocks is None else complete & blocks
        if moved:
            self.lumis = as_lumis(complete - moved)
            self.incomplete_lumis = as_lumis(blocks_in(self.incomplete_lumis) | moved)
