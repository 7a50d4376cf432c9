"""The schedule: which module runs after which, and for which events, decided before the first event.

The problem. Paths, tasks and data flow say only *partly* in which order modules run. CMSSW decides the rest per event
while it runs; in Python that costs more than the modules. So it is decided once, and what is left at run time is a flat
list of steps.

The form. A *mask* is the set of events that have passed some filters of a path, in order; mask 0 is all events. A
*node* is (module, mask, phase): the module runs for the events of that mask that it has not run for yet. A module on
two paths thus runs once per event, and a producer that nothing schedules gets one node for each mask in which somebody
reads its product: it runs only for events in which it is needed. External work has two nodes, `acquire` and `collect`.

A node waits for the filters of its mask and for the makers of what it reads, and for nothing else. Among the nodes that
are free, `acquire` goes first and `collect` last: work is handed out as early as its inputs and its path's filters
allow, and waited for as late as possible. Analyzers and output modules make the *tail*: they run last, for one block at
a time, in the order of the input.

The cost. Order among modules of a path that do not depend on each other is not kept; only side effects could tell.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from .errors import Fault, did_you_mean
from .flow import Flow, kind_of
from .module import ExternalWork, Module, OutputModule

if TYPE_CHECKING:
    from .process import Process

ALL_EVENTS = 0


class Phase(Enum):
    """What a step does; the value is its precedence among steps that are free."""

    ACQUIRE = 0
    RUN = 1
    COLLECT = 2
    TAIL = 3


class Mask(NamedTuple):
    """Events that passed `filter` among those of mask `parent`; or, if `paths`, those that passed any of these masks."""

    parent: int
    filter: str
    paths: tuple[int, ...] = ()


class Node(NamedTuple):
    """A module, for the events of a mask, in a phase."""

    label: str
    mask: int
    phase: Phase


@dataclass(slots=True)
class Step:
    """One entry of the schedule."""

    node: Node
    module: Module
    repeated: bool = False
    """Whether the module has other steps, so that the events that it has run for must be remembered."""
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
    """Path -> mask of the events that pass it."""
    faults: list[Fault]
    warnings: list[str]

    @property
    def labels(self) -> set[str]:
        """The modules that run."""
        return {step.node.label for step in self.steps}


class _Compiler:
    """Builds the graph of nodes. `after[n]` are the nodes that must have ended before node n."""

    def __init__(self, process: Process, flow: Flow) -> None:
        self.process = process
        self.flow = flow
        self.faults: list[Fault] = []
        self.warnings: list[str] = []
        self.masks: list[Mask] = [Mask(ALL_EVENTS, "")]
        self.mask_numbers: dict[Mask, int] = {}
        self.after: dict[Node, set[Node]] = {}
        #: label -> the masks in which paths and end paths schedule it
        self.scheduled: dict[str, list[int]] = {}
        self.path_masks: dict[str, int] = {}
        #: nodes that must have ended before a mask is known
        self.mask_makers: dict[int, set[Node]] = {ALL_EVENTS: set()}

    def mask_number(self, mask: Mask) -> int:
        if mask not in self.mask_numbers:
            self.mask_numbers[mask] = len(self.masks)
            self.masks.append(mask)
        return self.mask_numbers[mask]

    def place_paths(self) -> None:
        """Give every module of every path its mask."""
        for paths in (self.process.paths, self.process.end_paths):
            for label, path in paths.items():
                mask = ALL_EVENTS
                for member in path.labels():
                    module = self.process.modules.get(member)
                    if module is None:
                        hint = did_you_mean(member, self.process.modules)
                        named = (
                            f"module '{member}'{hint}" if member else "a module that is not an attribute of the process"
                        )
                        self.faults.append(Fault(f"names {named}", label, where=path.where))
                        continue
                    if kind_of(module) == "source":
                        self.faults.append(
                            Fault(f"names the source '{member}', which runs by itself", label, where=path.where)
                        )
                        continue
                    self._place(member, module, mask)
                    if kind_of(module) == "filter":
                        step = Mask(mask, member)
                        mask = self.mask_number(step)
                        self.mask_makers[mask] = {self.end_of(member, step.parent)}
                if paths is self.process.paths:
                    self.path_masks[label] = mask

    def _place(self, label: str, module: Module, mask: int) -> None:
        if isinstance(module, OutputModule) and not module.faults() and module.config.select:
            return  # placed by place_selections, when all paths are known
        masks = self.scheduled.setdefault(label, [])
        if mask not in masks:
            masks.append(mask)

    def place_selections(self) -> None:
        """Give output modules with `select` the union of the paths that they name."""
        for label, module in self.process.modules.items():
            if not isinstance(module, OutputModule) or module.faults() or not module.config.select:
                continue
            if not any(
                label in path.labels() for path in [*self.process.paths.values(), *self.process.end_paths.values()]
            ):
                continue
            unknown = [name for name in module.config.select if name not in self.path_masks]
            for name in unknown:
                near = did_you_mean(name, self.path_masks) or f"; there are {', '.join(self.path_masks) or 'none'}"
                self.faults.append(Fault(f"no path '{name}'{near}", label, "select", module.where))
            union = tuple(sorted({self.path_masks[name] for name in module.config.select if name not in unknown}))
            mask = union[0] if len(union) == 1 else self.mask_number(Mask(ALL_EVENTS, "", union))
            self.mask_makers.setdefault(mask, set()).update(*(self.mask_makers[part] for part in union))
            self.scheduled[label] = [mask]

    def end_of(self, label: str, mask: int) -> Node:
        """The node after which a module has run for the events of a mask."""
        module = self.process.modules[label]
        if kind_of(module) in ("analyzer", "output"):
            return Node(label, mask, Phase.TAIL)
        return Node(label, mask, Phase.COLLECT if isinstance(module, ExternalWork) else Phase.RUN)

    def need(self, label: str, mask: int) -> None:
        """Make the nodes of a module for a mask, and of what it reads."""
        pending = [self.end_of(label, mask)]
        while pending:
            end = pending.pop()
            if end in self.after:
                continue
            before = set(self.mask_makers[end.mask])
            for key in sorted(self.flow.products(end.label), reverse=True):
                maker = self.flow.makers[key]
                if maker == self.flow.source:
                    continue
                ends = [self.end_of(maker, mask) for mask in self.scheduled.get(maker) or [end.mask]]
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
            self.faults.append(
                Fault(
                    f"no order satisfies paths and data flow for {', '.join(stuck)}: a filter reads what is made behind it"
                )
            )
        return ordered


def compile_schedule(process: Process, flow: Flow) -> Schedule:
    """Compile paths, tasks and data flow into a list of steps. Faults are returned, not raised."""
    compiler = _Compiler(process, flow)
    compiler.place_paths()
    compiler.place_selections()
    for task in process.tasks.values():
        for label in task.labels():
            if label not in process.modules:
                near = did_you_mean(label, process.modules)
                compiler.faults.append(Fault(f"names module '{label}'{near}", task.label, where=task.where))
    if flow.faults or compiler.faults:
        return Schedule([], 0, compiler.masks, compiler.path_masks, compiler.faults, compiler.warnings)
    for label, masks in list(compiler.scheduled.items()):
        for mask in masks:
            compiler.need(label, mask)
    ordered = compiler.order()
    nodes = [node for node in ordered if node.phase is not Phase.TAIL]
    tail = [node for node in ordered if node.phase is Phase.TAIL]
    count: dict[tuple[str, Phase], int] = {}
    for node in ordered:
        count[node.label, node.phase] = count.get((node.label, node.phase), 0) + 1
    steps = [Step(node, process.modules[node.label], count[node.label, node.phase] > 1) for node in [*nodes, *tail]]
    _plan_releases(steps, flow)
    running = {step.node.label for step in steps}
    for label, module in process.modules.items():
        kind = kind_of(module)
        if label not in running and kind not in ("source", ""):
            why = "nothing reads its product" if kind == "producer" else "it is on no path"
            compiler.warnings.append(f"module '{label}' ({type(module).__name__}) does not run: {why}")
    return Schedule(steps, len(nodes), compiler.masks, compiler.path_masks, compiler.faults, compiler.warnings)


def _plan_releases(steps: list[Step], flow: Flow) -> None:
    """Note after which step each product is read no more."""
    last: dict[str, int] = {}
    for number, step in enumerate(steps):
        for key in flow.products(step.node.label):
            last[key] = number
    for number, step in enumerate(steps):
        made = [key for key, label in flow.makers.items() if label == step.node.label]
        for key in made:
            last.setdefault(key, number)
            if last[key] < number:
                last[key] = number
    for key, number in last.items():
        steps[number].release.append(key)
