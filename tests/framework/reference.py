"""What a process must do, worked out one event at a time: the reference that evproc is held against.

No blocks, masks, steps or answers here: an event walks along each path; a module is run when the event comes to it, or when
somebody who runs needs its product, and never twice. `Reference` is as slow and as plain as it can be, and knows nothing of
the schedule but one thing where something fails: which members of a path have ended before another begins. That much
is free ("members of the path that come later in the schedule do not run").
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.framework.random_modules import ABSENT, COLUMNAR, Part, gathered, mix, spread

PASS, FAIL, EXCEPTION = 1, 2, 3
RETHROW, CONTINUE, IGNORE = "rethrow", "try_to_continue", "ignore"
MADE, OUT, FAILED, LEFT, IGNORED = "made", "out", "failed", "left out", "ignored"
"""What becomes of a module for an event: it ran; the event does not come to it; it failed; it could not run; it failed and
that is passed over."""


class Entry(NamedTuple):
    """A member of a path."""

    label: str
    mark: str = ""
    """Empty, `~` or `ignored`."""


@dataclass(slots=True)
class Plan:
    """A random process: modules, paths, and how it is run."""

    parts: dict[str, Part]
    paths: dict[str, list[Entry]] = field(default_factory=dict)
    ends: dict[str, list[Entry]] = field(default_factory=dict)
    finals: dict[str, list[Entry]] = field(default_factory=dict)
    conditional: dict[str, list[str]] = field(default_factory=dict)
    """Path or end path -> members of its conditional task."""
    tasks: list[list[str]] = field(default_factory=list)
    events: int = 12
    policy: dict[str, str] | None = None
    """Category of errors -> what happens; None: the process has no policy."""
    anyway: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    chunk: int = 1000
    order: str = "random"
    """In which order external work is answered."""
    slice: float = 0.005
    """After which time the engine gives way, seconds."""
    seed: int = 0


class Run(NamedTuple):
    """What became of a module for an event, and its value."""

    kind: str
    value: Any = None


class Reference:
    """The events of a plan, one after another. `ended(path, i, j)`: has member i of a path ended before member j begins?"""

    def __init__(self, plan: Plan, ended: Callable[[str, int, int], bool] = lambda path, i, j: False) -> None:
        self.plan, self.ended = plan, ended
        self.walks = {
            label: self._with_conditional(members, plan.conditional.get(label, []))
            for label, members in {**plan.paths, **plan.ends, **plan.finals}.items()
        }
        self.homes: dict[str, list[tuple[str, int]]] = {}
        for path, members in self.walks.items():
            for place, member in enumerate(members):
                self.homes.setdefault(member.label, []).append((path, place))

    def events(self) -> list[Story]:
        """All events."""
        return [Story(self, number) for number in range(self.plan.events)]

    def _with_conditional(self, members: list[Entry], offered: list[str]) -> list[Entry]:
        placed: list[Entry] = []
        explicit = {entry.label for entry in members}

        def place(entry: Entry) -> None:
            for tag in sorted(set(self.plan.parts[entry.label].reads)):
                if tag in offered and tag not in explicit and tag not in {other.label for other in placed}:
                    place(Entry(tag))
            placed.append(entry)

        for entry in members:
            place(entry)
        return placed


class Story:
    """One event."""

    def __init__(self, reference: Reference, number: int) -> None:
        self.reference, self.plan, self.number = reference, reference.plan, number
        self.runs: dict[str, Run] = {}
        self.errors: list[tuple[str, str, str]] = []
        """(module, error, what happens with it)."""
        self.uncalled: set[str] = set()
        """Modules that failed without a call."""
        final = [entry.label for members in self.plan.finals.values() for entry in members]
        for label in [label for label in reference.homes if label not in final]:
            self.run(label)
        for label in self.plan.parts:
            if label not in reference.homes:
                self.runs.setdefault(label, Run(OUT))  # nobody to whom the event comes has asked for it
        for label in final:
            self.run(label)

    def state(self, path: str) -> int:
        """What the event comes to on a path."""
        for entry in self.reference.walks[path]:
            if self.run(entry.label).kind in (FAILED, LEFT):
                return EXCEPTION
            if not self._lets_pass(entry):
                return FAIL
        return PASS

    def selected(self, label: str) -> bool:
        """Whether the `select` of an output module accepts the event."""
        states = {path: self.state(path) for path in self.plan.paths}
        found = not self.plan.parts[label].select
        for text in self.plan.parts[label].select:
            pattern = text.removeprefix("!").removeprefix("exception@").removesuffix("&noexception")
            named = [states[path] for path in fnmatch.filter(states, pattern)]
            if text.startswith("!"):
                accepts = all(state == FAIL for state in named)
            else:
                accepts = (EXCEPTION if text.startswith("exception@") else PASS) in named
            found |= accepts and not (text.endswith("&noexception") and EXCEPTION in states.values())
        return found

    def run(self, label: str) -> Run:
        """What becomes of a module; to ask for one that stands on no path makes it run."""
        if label not in self.runs:
            self.runs[label] = self._run(label)
        return self.runs[label]

    def _lets_pass(self, entry: Entry) -> bool:
        if self.plan.parts[entry.label].role != "filter" or entry.mark == "ignored":
            return True
        run = self.run(entry.label)
        return run.kind in (MADE, IGNORED) and run.value != (entry.mark == "~")

    def _comes_to(self, label: str, path: str, place: int) -> bool:
        """Whether the event comes to a member of a path, failures of those before it that are no filters aside."""
        if not all(self._lets_pass(entry) for entry in self.reference.walks[path][:place]):
            return False
        return self.plan.parts[label].role != "output" or self.selected(label)

    def _is_stopped(self, path: str, place: int) -> bool:
        """Whether the event's way along a path ends before a member, because one that had ended by then has failed.

        On an end path, only a filter.
        """
        for before, entry in enumerate(self.reference.walks[path][:place]):
            decides = self.plan.parts[entry.label].role == "filter" and entry.mark != "ignored"
            if self.reference.ended(path, before, place) and (decides or path in self.plan.paths):
                if self.run(entry.label).kind in (FAILED, LEFT):
                    return True
                if not self._lets_pass(entry):
                    return False
        return False

    def _run(self, label: str) -> Run:
        part, anyway = self.plan.parts[label], label in self.plan.anyway
        homes = self.reference.homes.get(label, [])
        comes = any(self._comes_to(label, *way) and (anyway or not self._is_stopped(*way)) for way in homes)
        if homes and not comes and not any(self._comes_to(label, *way) for way in homes):
            left = not anyway and any(self._is_stopped(*way) for way in homes)
            return Run(LEFT if left else OUT)
        kinds = {self.run(tag).kind for tag in part.reads if tag in self.plan.parts}
        if homes and not comes:
            return Run(LEFT)
        if not anyway and kinds & {FAILED, LEFT}:
            return Run(LEFT)
        if kinds & {FAILED, LEFT, IGNORED} and (part.role == "output" or part.form in COLUMNAR):
            self.uncalled.add(label)
            return self._failed(label, "ProductNotFound")
        inputs = [self._product(tag) for tag in part.reads]
        if part.role == "output":
            return Run(MADE, (self.number, *inputs))
        if self.number in part.fails and part.where in ("call", "acquire"):
            return self._failed(label, part.fails[self.number])
        if None in inputs and (not part.lenient or part.form in COLUMNAR):
            return self._failed(label, "ProductNotFound")
        if self.number in part.fails:
            return self._failed(label, part.fails[self.number])
        value = mix(part.salt, [ABSENT if one is None else one for one in inputs])
        if part.role == "filter":
            return Run(MADE, value % part.divisor == 0)
        return Run(MADE, gathered(spread(value)) if part.role == "producer" and part.jagged else value)

    def _product(self, tag: str) -> int | None:
        """A product as a number; None if it is not there."""
        if tag == "x":
            return self.number
        if tag.startswith(("TriggerResults_", "PathStatus_")):
            kind, path = tag.split("_", 1)
            return int(self.state(path) == PASS) if kind == "TriggerResults" else self.state(path)
        run = self.run(tag)
        return int(run.value) if run.kind == MADE else None

    def _failed(self, label: str, error: str) -> Run:
        rules = self.plan.policy or {}
        action = rules.get(error, RETHROW)
        if action == CONTINUE and label in self.plan.anyway:
            action = IGNORE
        self.errors.append((label, error, action))
        return Run(IGNORED, True) if action == IGNORE else Run(FAILED)
