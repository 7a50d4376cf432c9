"""The data flow of a process as nodes and edges, for the picture and the text of `evproc graph`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .conditions import ConditionsProducer, conditions_of
from .flow import kind_of
from .module import ExternalWork, OutputModule
from .path_plans import plan_paths
from .paths import expand

if TYPE_CHECKING:
    from .flow import Flow
    from .process import Process

FEW = 3
"""Up to so many products are named one by one on an edge; more of them are counted."""


@dataclass(frozen=True, slots=True)
class Node:
    """A module, or what makes conditions that modules read."""

    label: str
    type: str
    """The name of its class."""
    kind: str
    """source, producer, filter, analyzer or output; `external producer` if it hands out work; `conditions`."""
    level: int
    """The longest way to it from a module that reads nothing."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What one module makes and others read."""

    maker: str
    readers: tuple[str, ...]
    text: str
    """The products, in short."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A path, a task, or the producers that run on demand."""

    kind: str
    label: str
    members: tuple[str, ...]
    """Labels of modules."""
    texts: tuple[str, ...] = ()
    """The members as a configuration writes them, where that differs."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The members as they are shown."""
        return self.texts or self.members


@dataclass(frozen=True, slots=True)
class Spent:
    """What a job has spent on a module."""

    share: float
    """Its time over that of the job, 0 to 1."""
    time: str
    """The same in words, as `1.2 s, 31 %`."""
    wait: str
    """How long its external work took, mean over events, as `waits 40 ms`; empty if it has none."""


@dataclass(slots=True)
class Graph:
    """The data flow of a process."""

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    """By label, in order of level."""
    edges: list[Edge] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    selections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Label of an output module -> the paths that select its events."""
    spent: dict[str, Spent] = field(default_factory=dict)
    """Label -> what a job has spent on it; empty without its report."""


def build(process: Process, flow: Flow) -> Graph:
    """The graph of a process whose data flow is resolved."""
    graph = Graph(process.name)
    conditions = _conditions(process)
    links = [(maker, reader) for maker, reader, _ in flow.edges]
    links += [(edge.maker, reader) for edge in conditions for reader in edge.readers]
    found = levels([*process.modules, *(edge.maker for edge in conditions)], links)
    for label in sorted(found, key=lambda label: found[label]):
        if label not in process.modules:
            graph.nodes[label] = Node(label, type(process.services[label]).__name__, "conditions", found[label])
            continue
        module = process.modules[label]
        kind = kind_of(module) or "module"
        shown = f"external {kind}" if isinstance(module, ExternalWork) else kind
        graph.nodes[label] = Node(label, type(module).__name__, shown, found[label])
        if isinstance(module, OutputModule) and not module.faults() and module.config.select:
            graph.selections[label] = tuple(module.config.select)
    graph.edges = [*_edges(flow), *conditions]
    for plan in plan_paths(process, flow).paths:
        texts = tuple(member.text for member in plan.members)
        labels = tuple(member.label for member in plan.members)
        graph.lanes.append(Lane(plan.kind.noun, plan.label, labels, texts if texts != labels else ()))
    for task in (*process.tasks.values(), *process.conditional_tasks.values()):
        members = tuple(label for label in expand(task, process).labels if label in graph.nodes)
        graph.lanes.append(Lane(task.noun.removesuffix(" task"), task.label, members))
    placed = {member for lane in graph.lanes for member in lane.members}
    rest = tuple(label for label, node in graph.nodes.items() if label not in placed and node.kind.endswith("producer"))
    if rest:
        graph.lanes.append(Lane("on demand", "", rest))
    return graph


def levels(labels: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each node, in edges. A cycle is cut where it is found."""
    makers: dict[str, list[str]] = {label: [] for label in labels}
    for maker, reader in edges:
        if maker in makers and reader in makers:
            makers[reader].append(maker)
    found: dict[str, int] = {}

    def visit(label: str, trail: tuple[str, ...]) -> int:
        if label not in found:
            before = [visit(maker, (*trail, label)) for maker in makers[label] if maker not in trail and maker != label]
            found[label] = 1 + max(before, default=-1)
        return found[label]

    for label in makers:
        visit(label, ())
    return found


def _conditions(process: Process) -> list[Edge]:
    """One edge for each conditions producer that modules read."""
    readers: dict[str, list[str]] = {}
    for label, module in process.modules.items():
        for name in conditions_of(module):
            if isinstance(process.services.get(name), ConditionsProducer):
                readers.setdefault(name, []).append(label)
    return [Edge(name, tuple(labels), name) for name, labels in readers.items()]


def _edges(flow: Flow) -> list[Edge]:
    """One edge for each maker and text, with all its readers. Branches of the source are put together for each reader."""
    products: dict[tuple[str, str], list[str]] = {}
    for maker, reader, key in flow.edges:
        if key in flow.results:
            continue  # made by no module
        products.setdefault((maker, reader), []).append(key)
    readers: dict[tuple[str, str], list[str]] = {}
    for (maker, reader), keys in products.items():
        together = maker == flow.source or len(keys) > 2 * FEW
        collections = flow.offered.collections if maker == flow.source else {}
        for text in [in_short(keys, collections)] if together else keys:
            readers.setdefault((maker, text), []).append(reader)
    return [Edge(maker, tuple(labels), text) for (maker, text), labels in readers.items()]


def in_short(keys: Iterable[str], collections: Mapping[str, tuple[str, ...]]) -> str:
    """`Muon_pt, Muon_eta`, or `36 branches of HBHEChannel`, or both kinds of them."""
    groups: dict[str, list[str]] = {}
    for key in dict.fromkeys(keys):
        homes = [name for name in collections if key.startswith(f"{name}_")]
        groups.setdefault(max(homes, key=len, default=""), []).append(key)
    plain = groups.pop("", [])
    named = sum(len(group) for group in groups.values()) + len(plain) <= FEW
    said = []
    for name, group in groups.items():
        said.append(", ".join(group) if named or len(group) == 1 else f"{len(group)} branches of {name}")
    if plain:
        said.append(", ".join(plain) if named or len(plain) <= FEW else f"{len(plain)} products")
    if len(said) > 2 * FEW:
        total = sum(len(group) for group in groups.values()) + len(plain)
        return f"{total} branches of {len(groups)} collections"
    return ", ".join(said)
