"""Which entries of a file become events: masks, lists and ranges, held against the identities before anything else is read.

The order is that of CMSSW: first what is excluded (`without`), then what is asked for (`lumi_mask`, `only`), then duplicates
and events without a friend, then `skip_events`, then `max_events`: the last two count only events that would be processed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from evproc.framework import Fault
from evproc.framework.columns import Array
from evproc.framework.errors import InputError

from .event_ranges import EventRanges, Keys, Unfit, event_ranges, is_range, lumi_mask
from .input_ledger import Fate

CHECKS_OF_FILES = ("lumi_mask", "only", "without")


class Selection(NamedTuple):
    """The masks, lists and ranges of a source."""

    lumi_mask: EventRanges | None
    only: EventRanges | None
    without: EventRanges | None

    def __bool__(self) -> bool:
        return any(part is not None for part in self)

    def codes(self, keys: Keys) -> Array:
        """What becomes of each event, as `Fate`: (events,) uint8."""
        codes = np.zeros(len(keys.event), np.uint8)
        for ranges, fate in ((self.only, Fate.ONLY), (self.lumi_mask, Fate.LUMI_MASK)):
            if ranges is not None:
                codes[~ranges.contains(keys)] = fate
        if self.without is not None:
            codes[self.without.contains(keys)] = Fate.WITHOUT
        return codes


def selection_of(config: Any) -> Selection:
    """The selection of a configuration; reads the files that it names. Raises InputError."""
    problems = [f"{key}: {text}" for key, texts in _problems(config) for text in texts]
    if problems:
        raise InputError("; ".join(problems))
    return Selection(*(_parsed(config, key) for key in CHECKS_OF_FILES))


def selection_faults(config: Any, label: str, where: str) -> list[Fault]:
    """What is wrong with masks, lists and ranges."""
    return [Fault(text, label, key, where) for key, texts in _problems(config) for text in texts]


def selection_files(config: Any) -> list[str]:
    """The files that masks, lists and ranges are read from."""
    named = [[item] if isinstance(item, str) else item for item in (config.only, config.without)]
    files = [item for items in named for item in items if not is_range(item)]
    return [config.lumi_mask, *files] if isinstance(config.lumi_mask, str) else files


def _problems(config: Any) -> Iterator[tuple[str, list[str]]]:
    for key in CHECKS_OF_FILES:
        try:
            _parsed(config, key)
        except Unfit as error:
            yield key, error.problems


def _parsed(config: Any, key: str) -> EventRanges | None:
    value = getattr(config, key)
    if key == "lumi_mask":
        return None if value is None else lumi_mask(value)
    named = [value] if isinstance(value, str) else value
    return event_ranges(named) if named else None


def needs_identity(config: Any) -> dict[str, tuple[tuple[str, ...], str]]:
    """Parameter -> the parts of the identity without which it cannot be, and why."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    if config.lumi_mask is not None:
        found["lumi_mask"] = ("run", "luminosity_block"), "a luminosity mask needs runs and luminosity blocks"
    if config.processed_lumis:
        found["processed_lumis"] = ("run", "luminosity_block"), "luminosity blocks are told by run and block"
    if config.duplicates != "off":
        found["duplicates"] = ("event",), "duplicates are found by the identity of events"
    return found
