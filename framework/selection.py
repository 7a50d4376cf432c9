"""Which events an output module writes, by the results of paths: the language of `select`, and nothing else.

    signal                  events that pass the path `signal`
    *, mu_?                 events that pass any path that matches; `*` is any text, `?` any letter
    !signal                 events that fail it: a filter has said no. An exception is no failure
    !mu_*                   events that fail all paths that match
    exception@signal        events for which a module of the path has failed; with wildcards, for any path that matches
    signal&noexception      as without, but not if any path of the process ended by an exception

An event is written if any entry of the list accepts it; an empty list accepts all. The rules are those of CMSSW's
EventSelector, but an entry that matches no path is a fault, wildcards or not: it would silently write nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

import numpy as np

from .columns import Array
from .errors import did_you_mean

_ENTRY = re.compile(r"(?P<no>!?)(?:(?P<word>\w*)@)?(?P<name>[\w*?]*)(?:&(?P<only>\w*))?")
_WORD, _ONLY = "exception", "noexception"


class PathState(IntEnum):
    """What a path has come to for an event; the numbers are those of CMSSW."""

    READY = 0
    """It has not run."""
    PASS = 1
    FAIL = 2
    """A filter has said no."""
    EXCEPTION = 3
    """A module that the event reached has failed."""


class Criterion(NamedTuple):
    """One entry: accepts events for which a path (for `FAIL`: each path) has a state."""

    text: str
    state: PathState
    paths: tuple[str, ...]
    quiet: bool
    """Whether no path of the process may have ended by an exception."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list of entries selects."""

    criteria: tuple[Criterion, ...]
    every: tuple[str, ...]
    """All paths of the process."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths whose results matter, in the order of the process."""
        return self.every if any(criterion.quiet for criterion in self.criteria) else self.named

    @property
    def named(self) -> tuple[str, ...]:
        """The paths that entries match, in the order of the process."""
        named = {path for criterion in self.criteria for path in criterion.paths}
        return tuple(path for path in self.every if path in named)

    @property
    def union(self) -> bool:
        """Whether it is just the events that pass any of the paths named, as long as nothing fails."""
        return all(criterion.state is PathState.PASS for criterion in self.criteria)

    def accepted(self, states: Mapping[str, Array]) -> Array:
        """Which events are selected: (events,) bool, from path -> (events,) uint8, the values of `PathState`."""
        answers = [self._answer(criterion, states) for criterion in self.criteria]
        return reduce(np.logical_or, answers)

    def _answer(self, criterion: Criterion, states: Mapping[str, Array]) -> Array:
        hits = [states[path] == criterion.state for path in criterion.paths]
        answer: Array = reduce(np.logical_and if criterion.state is PathState.FAIL else np.logical_or, hits)
        if criterion.quiet:
            broken = [states[path] == PathState.EXCEPTION for path in self.every]
            answer = answer & ~reduce(np.logical_or, broken)
        return answer


def parse_selection(entries: Sequence[str], paths: Sequence[str]) -> tuple[Selection, list[str]]:
    """What the entries select among the paths of a process, and what is wrong with them; wrong entries are left out."""
    criteria: list[Criterion] = []
    problems: list[str] = []
    for entry in entries:
        read = _criterion(entry, paths)
        if isinstance(read, str):
            problems.append(read)
        else:
            criteria.append(read)
    return Selection(tuple(criteria), tuple(paths)), problems


def _criterion(entry: str, paths: Sequence[str]) -> Criterion | str:
    """One entry; or what is wrong with it."""
    found = _ENTRY.fullmatch(entry.strip())
    if found is None or not found["name"]:
        return f"'{entry}' is no selection; write a path, '!path', 'exception@path' or 'path&noexception', with * and ?"
    no, word, name, only = bool(found["no"]), found["word"], found["name"], found["only"]
    if word is not None and word != _WORD:
        return f"'{entry}': before @ stands only '{_WORD}', not '{word}'"
    if only is not None and only != _ONLY:
        return f"'{entry}': behind & stands only '{_ONLY}', not '{only}'"
    if word and no:
        return f"'{entry}' has both ! and {_WORD}@; an event that a path fails, or passes, has no exception there"
    if word and only:
        return f"'{entry}' contradicts itself: it wants an exception, and none"
    matches = tuple(path for path in paths if matches_pattern(name, path))
    if not matches:
        return no_path(name, paths)
    state = PathState.FAIL if no else PathState.EXCEPTION if word else PathState.PASS
    return Criterion(entry, state, matches, bool(only))


def matches_pattern(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern with `*` and `?`.

    >>> matches_pattern("mu_?", "mu_1"), matches_pattern("mu_?", "mu_12")
    (True, False)
    """
    form = "".join({"*": r"\w*", "?": r"\w"}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(form, name) is not None


def no_path(pattern: str, paths: Sequence[str]) -> str:
    """The fault of a pattern that matches no path."""
    there = f"; there are {', '.join(paths)}" if paths else "; the process has no path"
    if "*" in pattern or "?" in pattern:
        return f"no path matches '{pattern}'{there}"
    return f"no path '{pattern}'{did_you_mean(pattern, paths) or there}"
