"""Paths become masks: which module runs for which events, before it is known in which order."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from .errors import Fault
from .exception_policy import ExceptionPolicy
from .flow import kind_of
from .masks import ALL_EVENTS, Chosen, Mask, Placed, PlacedPath
from .module import ExternalWork, Module, OutputModule
from .path_plans import PathPlan, Plans
from .paths import Mark, Path
from .selection import parse_selection

if TYPE_CHECKING:
    from .process import Process


class Phase(IntEnum):
    """What a step does; the value is its precedence among steps that are free. (Numbers are hashed faster than names.)"""

    ACQUIRE = 0
    RUN = 1
    COLLECT = 2
    RESULT = 3
    """What a path has come to."""
    TAIL = 4


class Node(NamedTuple):
    """A module, for the events of a mask, in a phase."""

    label: str
    mask: int
    phase: Phase


class Placing:
    """Gives each module of each path its mask."""

    def __init__(self, process: Process, plans: Plans) -> None:
        self.process = process
        self.plans = plans.paths
        self.faults = plans.faults
        self.warnings = plans.warnings
        self.masks: list[Mask] = [Mask(ALL_EVENTS)]
        self.mask_numbers: dict[Mask, int] = {}
        #: label -> the masks in which paths and end paths schedule it
        self.scheduled: dict[str, list[int]] = {}
        self.placed: dict[str, PlacedPath] = {}
        self.path_masks: dict[str, int] = {}
        #: whether modules may fail and the job goes on: what a path comes to is then known when all its members have run
        self.tolerant = any(isinstance(service, ExceptionPolicy) for service in process.services.values())
        #: nodes that must have ended before a mask is known
        self.mask_makers: dict[int, set[Node]] = {ALL_EVENTS: set()}

    def mask_number(self, mask: Mask) -> int:
        """The number of a mask; equal masks have the same."""
        if mask not in self.mask_numbers:
            self.mask_numbers[mask] = len(self.masks)
            self.masks.append(mask)
        return self.mask_numbers[mask]

    def place_paths(self) -> None:
        """Give every module of every path its mask; output modules with `select` when all paths are known."""
        for plan in self.plans:
            mask, members = ALL_EVENTS, []
            for label, mark in plan.members:
                module = self.process.modules[label]
                kind = kind_of(module)
                members.append(Placed(label, mask, mark, kind))
                if not _selects(module):
                    self._schedule(label, mask)
                if kind == "filter" and mark is not Mark.IGNORED:
                    before, mask = mask, self.mask_number(Mask(mask, label, mark is Mark.INVERTED))
                    self.mask_makers[mask] = {self.end_of(label, before)}
            self.placed[plan.label] = PlacedPath(plan.label, tuple(members), mask)
            if plan.kind is Path:
                self.path_masks[plan.label] = mask
        for plan in self.plans:
            self._place_selections(plan)

    def _schedule(self, label: str, mask: int) -> None:
        masks = self.scheduled.setdefault(label, [])
        if mask not in masks:
            masks.append(mask)

    def _place_selections(self, plan: PathPlan) -> None:
        """Narrow output modules with `select` to the events that the results of paths choose."""
        path = self.placed[plan.label]
        members = [self._selected(member) for member in path.members]
        self.placed[plan.label] = path._replace(members=tuple(members))

    def _selected(self, member: Placed) -> Placed:
        module = self.process.modules[member.label]
        if not _selects(module):
            return member
        selection, problems = parse_selection(module.config.select, list(self.path_masks))
        faults = [Fault(problem, member.label, "select", module.where) for problem in problems]
        self.faults.extend(fault for fault in faults if fault not in self.faults)
        paths = tuple(self.placed[label] for label in selection.paths)
        mask = self.mask_number(Mask(member.mask, chosen=Chosen(selection, paths)))
        makers = self.mask_makers[mask] = set(self.mask_makers[member.mask])
        for path in paths:
            makers |= self.mask_makers[path.mask]
            ends = [end for end in self.ends_of(path) if self.tolerant or end.phase is Phase.TAIL]
            makers.update(end for end in ends if end.label != member.label)
        self._schedule(member.label, mask)
        return member._replace(chosen=mask)

    def ends_of(self, path: PlacedPath) -> Iterable[Node]:
        """The nodes after which all members of a path have run for their events."""
        for member in path.members:
            yield self.end_of(member.label, member.mask if member.chosen is None else member.chosen)

    def end_of(self, label: str, mask: int) -> Node:
        """The node after which a module has run for the events of a mask."""
        module = self.process.modules[label]
        if kind_of(module) in ("analyzer", "output"):
            return Node(label, mask, Phase.TAIL)
        return Node(label, mask, Phase.COLLECT if isinstance(module, ExternalWork) else Phase.RUN)


def _selects(module: Module) -> bool:
    return isinstance(module, OutputModule) and not module.faults() and bool(module.config.select)
