"""What a source did, as plain data: which events it left out and why, what was lost, which luminosity blocks are done."""

from __future__ import annotations

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
class InputReport:
    """What a source did. Events that were read ahead and not processed, because the job ended early, count nowhere."""

    label: str = ""
    events: int = 0
    """Events that were processed."""
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
