"""The schedule: which module runs after which, and for which events, decided before the first event.

The problem. Paths, tasks and data flow say only *partly* in which order modules run. CMSSW decides the rest per event
while it runs; in Python that costs more than the modules. So it is decided once, and what is left at run time is a flat
list of steps.

The form. A *mask* is the set of events that have passed some filters of a path, in order; mask 0 is all events (masks.py).
A *node* is (module, mask, phase): the module runs for the events of that mask that it has not run for yet. A module on
two paths thus runs once per event, and a producer that nothing schedules gets one node for each mask in which somebody
reads its product: it runs only for events in which it is needed. External work has two nodes, `acquire` and `collect`.
The result of a path, where a module reads it, has a node that waits for all members of the path.

A node waits for the filters of its mask and for the makers of what it reads, and for nothing else. Among the nodes that
are free, `acquire` goes first and `collect` last: work is handed out as early as its inputs and its path's filters
allow, and waited for as late as possible. Analyzers and output modules make the *tail*: they run last, for one block at
a time, in the order of the input.

The cost. Order among modules of a path that do not depend on each other is not kept; only side effects could tell.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import Fault
from .flow import Flow, kind_of
from .masks import ALL_EVENTS, Mask, PlacedPath
from .module import Module
from .path_names import PASSED, PathResult
from .path_plans import plan_paths
from .path_results import PathResults
from .paths import FinalPath
from .placing import Node, Phase, Placing

if TYPE_CHECKING:
    from .process import Process


Place = tuple[str, int]
"""A module, and the mask of the events that come to it."""


@dataclass(slots=True)
class Step:
    """One entry of the schedule."""

    node: Node
    module: Module
    repeated: bool = False
    """Whether the module has other steps of this phase."""
    before: tuple[int, ...] = ()
    """The masks of those of them that come before: it has run for their events."""
    release: list[str] = field(default_factory=list)
    """Products that nothing reads after this step."""


@dataclass(slots=True)
class Schedule:
    """What to do with each block."""

    steps: list[Step]
    tail: int
    """Number of the first step of the tail."""
    masks: list[Mask]
    path_masks: dict[str, int]
    """Path -> mask of the events that pass it, as long as nothing fails."""
    faults: list[Fault]
    warnings: list[str]
    placed: dict[str, PlacedPath] = field(default_factory=dict)
    """Path, end path or final path -> its members, each with its mask."""
    results: dict[str, PathResult] = field(default_factory=dict)
    """Product that a step of phase `RESULT` makes -> the path."""
    _ways: dict[tuple[str, int], tuple[tuple[Place, ...], ...]] = field(default_factory=dict)

    @property
    def labels(self) -> set[str]:
        """The modules that run."""
        return {step.node.label for step in self.steps}

    def ways(self, label: str, mask: int) -> tuple[tuple[Place, ...], ...]:
        """For each path by which events come to a module: the members before it that have run by then, with their masks.

        None at all if there is a way without such members. Asked only in blocks in which something has failed.
        """
        key = (label, mask)
        if key not in self._ways:
            places = [(step.node.label, step.node.mask) for step in self.steps]
            ends = {place: number for number, place in enumerate(places)}
            begin = places.index(key)
            found = []
            for path in self.placed.values():
                for number, member in enumerate(path.members):
                    if member.label == label and mask in (member.mask, member.chosen):
                        ends_way = path.label in self.path_masks  # on an end path, only failures of filters matter
                        before = [other for other in path.members[:number] if other.chosen is None]
                        before = [other for other in before if ends_way or other.decides]
                        pairs = [(other.label, other.mask) for other in before]
                        found.append(tuple(pair for pair in pairs if ends[pair] < begin))
            self._ways[key] = tuple(found) if all(found) else ()
        return self._ways[key]


class _Compiler(Placing):
    """Builds the graph of nodes. `after[n]` are the nodes that must have ended before node n."""

    def __init__(self, process: Process, flow: Flow) -> None:
        super().__init__(process, plan_paths(process, flow))
        self.flow = flow
        self.after: dict[Node, set[Node]] = {}
        self._reads: dict[str, list[str]] = {}

    def need_all(self) -> None:
        """Make the nodes of all modules that paths schedule. Those of final paths need no others, and come last."""
        final = {member.label for plan in self.plans if plan.kind is FinalPath for member in plan.members}
        pairs = [(label, mask) for label, masks in self.scheduled.items() for mask in masks]
        for label, mask in pairs:
            if label not in final:
                self.need(label, mask)
        made: dict[str, list[int]] = {}
        for node in self.after:
            made.setdefault(node.label, [])
            if node.mask not in made[node.label]:
                made[node.label].append(node.mask)
        tail = [node for node in self.after if node.phase is Phase.TAIL]
        for label, mask in pairs:
            if label in final:
                self.need(label, mask, made)
                self.after[self.end_of(label, mask)].update(tail)

    def _result(self, key: str, reader: Node) -> set[Node]:
        """The node of a path's result, for a module that reads it; none if that cannot be."""
        path = self.placed[self.flow.results[key].path]
        node = Node(key, ALL_EVENTS, Phase.RESULT)
        where = self.process.modules[reader.label].where
        if reader.label in [member.label for member in path.members]:
            self.faults.append(Fault(f"reads '{key}', the result of a path on which it is", reader.label, where=where))
            return set()
        if node not in self.after:
            self.after[node] = set(self.ends_of(path)) | self.mask_makers[path.mask]
        tail = [end.label for end in self.after[node] if end.phase is Phase.TAIL]
        if tail and reader.phase is not Phase.TAIL:
            why = f"path '{path.label}' holds '{tail[0]}', which runs after all producers and filters"
            hint = f"move '{tail[0]}' to an end path"
            self.faults.append(Fault(f"reads '{key}', but {why}; {hint}", reader.label, where=where))
        return {node}

    def need(self, label: str, mask: int, by_others: dict[str, list[int]] | None = None) -> None:
        """Make the nodes of a module for a mask, and of what it reads.

        by_others: label -> masks in which others have made it run, for a module that makes nothing run.
        """
        pending = [self.end_of(label, mask)]
        while pending:
            end = pending.pop()
            if end in self.after:
                continue
            before = set(self.mask_makers[end.mask])
            if end.label not in self._reads:
                self._reads[end.label] = sorted(self.flow.products(end.label), reverse=True)
            for key in self._reads[end.label]:
                maker = self.flow.makers[key]
                if maker == self.flow.source:
                    continue
                if key in self.flow.results:
                    before |= self._result(key, end)
                    continue
                masks = self.scheduled.get(maker) or (by_others or {}).get(maker) or [end.mask]
                ends = [self.end_of(maker, mask) for mask in masks]
                before.update(ends)
                pending.extend(ends)
            if end.phase is Phase.COLLECT:
                first = Node(end.label, end.mask, Phase.ACQUIRE)
                self.after[first] = before
                before = {first}
            self.after[end] = before

    def order(self) -> list[Node]:
        """The nodes, each after those that it waits for; among free nodes by phase, then as the paths name them."""
        rank = {node: place for place, node in enumerate(self.after)}
        waiting = {node: len(before) for node, before in self.after.items()}
        followers: dict[Node, list[Node]] = {}
        for node, before in self.after.items():
            for other in before:
                followers.setdefault(other, []).append(node)
        free = [(node.phase.value, rank[node], node) for node, count in waiting.items() if not count]
        heapq.heapify(free)
        ordered: list[Node] = []
        while free:
            node = heapq.heappop(free)[2]
            ordered.append(node)
            for follower in followers.get(node, ()):
                waiting[follower] -= 1
                if not waiting[follower]:
                    heapq.heappush(free, (follower.phase.value, rank[follower], follower))
        stuck = list(dict.fromkeys(node.label for node, count in waiting.items() if count))
        if stuck:
            results = any(label in self.flow.results for label in stuck)
            why = "a path waits for its own result" if results else "a filter reads what is made behind it"
            self.faults.append(Fault(f"no order satisfies paths and data flow for {', '.join(stuck)}: {why}"))
        return ordered


def compile_schedule(process: Process, flow: Flow) -> Schedule:
    """Compile paths, tasks and data flow into a list of steps. Faults are returned, not raised."""
    compiler = _Compiler(process, flow)
    compiler.place_paths()
    schedule = Schedule([], 0, compiler.masks, compiler.path_masks, compiler.faults, compiler.warnings, compiler.placed)
    if flow.faults or compiler.faults:
        return schedule
    compiler.need_all()
    ordered = compiler.order()
    if compiler.faults:
        return schedule
    late: dict[Node, None] = {}  # the tail, and what waits for a part of it: a producer that only a selection needs
    for node in ordered:
        if node.phase is Phase.TAIL or not late.keys().isdisjoint(compiler.after[node]):
            late[node] = None
    nodes = [node for node in ordered if node not in late]
    count: dict[tuple[str, Phase], int] = {}
    for node in ordered:
        count[node.label, node.phase] = count.get((node.label, node.phase), 0) + 1
    results = PathResults()
    results.label = PASSED
    before: dict[tuple[str, Phase], tuple[int, ...]] = {}
    for node in (*nodes, *late):
        module = results if node.phase is Phase.RESULT else process.modules[node.label]
        key = (node.label, node.phase)
        schedule.steps.append(Step(node, module, count[key] > 1, before.get(key, ())))
        before[key] = (*before.get(key, ()), node.mask)
    schedule.tail = len(nodes)
    schedule.results = {key: result for key, result in flow.results.items() if key in schedule.labels}
    _plan_releases(schedule.steps, flow)
    schedule.warnings += [
        f"'{key}' of the input is hidden by the result of path '{result.path}'"
        for key, result in schedule.results.items()
        if key in flow.hidden
    ]
    running = schedule.labels
    for label, module in process.modules.items():
        kind = kind_of(module)
        if label not in running and kind not in ("source", ""):
            why = "nothing reads its product" if kind == "producer" else "it is on no path"
            schedule.warnings.append(f"module '{label}' ({type(module).__name__}) does not run: {why}")
    return schedule


def _plan_releases(steps: list[Step], flow: Flow) -> None:
    """Note after which step each product is read no more."""
    last: dict[str, int] = {}
    for number, step in enumerate(steps):
        for key in flow.products(step.node.label):
            last[key] = number
    made: dict[str, list[str]] = {}
    for key, label in flow.makers.items():
        made.setdefault(label, []).append(key)
    for number, step in enumerate(steps):
        for key in made.get(step.node.label, ()):
            last.setdefault(key, number)
            if last[key] < number:
                last[key] = number
    for key, number in last.items():
        steps[number].release.append(key)


__all__ = ["ALL_EVENTS", "Mask", "Node", "Phase", "Schedule", "Step", "compile_schedule"]
