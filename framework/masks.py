"""Masks: sets of events, named when the schedule is compiled and filled in for each block.

A mask is the events that some filters of a path have let pass, in order; mask 0 is all events. Paths that begin with
the same filters share masks, so that a module on both runs once. What a path makes of a filter is part of its mask:
an inverted filter makes another mask than a plain one, an ignored filter makes none.
"""

from __future__ import annotations

from typing import NamedTuple

from .paths import Mark
from .selection import Selection

ALL_EVENTS = 0


class Placed(NamedTuple):
    """A module at its place on a path."""

    label: str
    mask: int
    """The events that come to it, as long as nothing fails."""
    mark: Mark
    kind: str
    """producer, filter, analyzer or output."""
    chosen: int | None = None
    """The mask of an output module that selects events by the results of paths."""

    @property
    def decides(self) -> bool:
        """Whether it is a filter whose answer matters there."""
        return self.kind == "filter" and self.mark is not Mark.IGNORED


class PlacedPath(NamedTuple):
    """A path with its masks."""

    label: str
    members: tuple[Placed, ...]
    mask: int
    """The events that pass it, as long as nothing fails."""


class Chosen(NamedTuple):
    """Events chosen by the results of paths."""

    selection: Selection
    paths: tuple[PlacedPath, ...]


class Mask(NamedTuple):
    """Of the events of mask `parent`, those that passed `filter` (that it rejected, if `inverted`); or those `chosen`."""

    parent: int
    filter: str = ""
    inverted: bool = False
    chosen: Chosen | None = None
