"""Random processes, drawn by hypothesis: a `Plan` is plain data, and `process_of` makes the process that it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from evproc.framework import (
    ConditionalTask,
    EndPath,
    ExceptionPolicy,
    FinalPath,
    Path,
    Process,
    Sequence,
    Task,
)
from evproc.framework.columns import Column, Flat
from evproc.framework.event import EventIDs
from evproc.framework.module import Catalog, Chunk, Source
from evproc.framework.schedule import Schedule
from tests.framework.random_modules import COLUMNAR, FORMS, STAGES, Desk, Part, module_of
from tests.framework.reference import CONTINUE, IGNORE, RETHROW, Entry, Plan


class Numbered(Source):
    """Events that hold their number as x, in chunks whose arrays are their own."""

    def __init__(self, events: int, chunk: int) -> None:
        super().__init__()
        self.events, self.chunk = events, chunk

    def catalog(self) -> Catalog:
        return Catalog({"x": "int64"}, events=self.events, where="events of the test")

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        for start in range(0, self.events, self.chunk):
            ids = EventIDs.numbered(start, min(self.chunk, self.events - start))
            columns: dict[str, Column] = {key: Flat(np.arange(start, start + len(ids))) for key in keys}
            yield Chunk(ids, columns, "events of the test")


MARKS = ("", "~", "ignored")
LABELS = [f"m{number}" for number in range(9)]


@st.composite
def plans(draw: st.DrawFn, *, failures: bool = False, policy: bool = True) -> Plan:
    """Processes; without failures nothing in them raises. `policy`: with failures, whether they may go on behind them."""
    parts: dict[str, Part] = {}
    labels = LABELS[: draw(st.sampled_from([6, 9, 4, 1]))]
    for place, label in enumerate(labels):
        role = draw(st.sampled_from(["producer", "producer", "filter"]))
        made = [before for before in labels[:place] if parts[before].role == "producer"]
        reads = draw(st.lists(st.sampled_from(["x", *made]), min_size=1, max_size=3, unique=True))
        parts[label] = Part(
            role,
            draw(st.sampled_from(list(FORMS[role]))),
            tuple(reads),
            draw(st.integers(0, 50)),
            jagged=draw(st.booleans()),
            divisor=draw(st.sampled_from([2, 3, 2, 1])),
            nbytes=draw(st.sampled_from([0, 1, 100])),
        )
    plan = Plan(parts)
    _draw_paths(draw, plan, labels)
    _draw_tasks(draw, plan)
    _draw_ends(draw, plan, labels)
    if failures:
        _draw_failures(draw, plan, policy)
    else:
        _make_sure(plan)
    plan.events = draw(st.sampled_from([13, 40, 5] if failures else [13, 40, 100, 1, 0]))
    plan.chunk = draw(st.sampled_from([1000, 11, 1, 5]))
    plan.order = draw(st.sampled_from(["first", "last", "random"]))
    plan.slice = draw(st.sampled_from([0.005, 0.0]))
    plan.seed = draw(st.integers(0, 99))
    plan.options = {
        "block": draw(st.sampled_from([7, 1, 3, 1000, "auto"])),
        "streams": draw(st.sampled_from(["auto", 1, 2, 5])),
        "in_flight": draw(st.sampled_from([32.0, 1e-6, 1e-4, 3e-4])),
        "memory": draw(st.sampled_from([128.0, 1e-6, 2e-4])),
        "threads": draw(st.sampled_from([1, 4])),
    }
    return plan


def _draw_members(draw: st.DrawFn, plan: Plan, labels: list[str], prefix: str) -> list[Entry]:
    """Members in the order of data flow, so that there always is a schedule; and an analyzer perhaps."""
    filters = [label for label in labels if plan.parts[label].role == "filter"]
    some = draw(st.lists(st.sampled_from([*filters, *labels]), min_size=min(2, len(labels)), max_size=5))
    chosen = sorted(set(some), key=labels.index)
    entries = []
    for label in chosen:
        marks = ["", "", "~", "ignored"] if plan.parts[label].role == "filter" else [""]
        entries.append(Entry(label, draw(st.sampled_from(marks))))
    if draw(st.booleans()):
        made = [label for label in labels if plan.parts[label].role == "producer"]
        reads = draw(st.lists(st.sampled_from(["x", *made]), min_size=1, max_size=3, unique=True))
        label = f"watch_{prefix}"
        plan.parts[label] = Part("analyzer", "event", tuple(reads), draw(st.integers(0, 50)))
        entries.insert(draw(st.integers(0, len(entries))), Entry(label))
    return entries


def _draw_paths(draw: st.DrawFn, plan: Plan, labels: list[str]) -> None:
    for number in range(draw(st.integers(1, 3))):
        plan.paths[f"p{number}"] = _draw_members(draw, plan, labels, f"p{number}")


def _draw_tasks(draw: st.DrawFn, plan: Plan) -> None:
    made = [label for label, part in plan.parts.items() if part.role == "producer"]
    placed = {entry.label for members in plan.paths.values() for entry in members}
    free = [label for label in made if label not in placed]
    if made:
        for path in plan.paths:
            if draw(st.booleans()):
                plan.conditional[path] = draw(st.lists(st.sampled_from(made), unique=True, max_size=4))
    if free:
        plan.tasks.append(draw(st.lists(st.sampled_from(free), unique=True)))


def _draw_ends(draw: st.DrawFn, plan: Plan, labels: list[str]) -> None:
    for number in range(draw(st.integers(1, 2))):
        end = f"e{number}"
        members = _draw_members(draw, plan, labels, end) if number else []
        made = [label for label in labels if plan.parts[label].role == "producer"]
        if draw(st.booleans()):  # what is on no path is then made for others alone
            made = [label for label in made if any(Entry(label) in path for path in plan.paths.values())]
        results = [f"{kind}_{path}" for kind in ("TriggerResults", "PathStatus") for path in plan.paths]
        for which in range(draw(st.integers(1, 2))):
            reads = draw(st.lists(st.sampled_from(["x", *made, *results]), min_size=1, max_size=2, unique=True))
            _add_output(draw, plan, f"out_{end}_{which}", reads, members)
        plan.ends[end] = members
    if draw(st.booleans()):
        placed = {entry.label for path in (*plan.paths.values(), *plan.ends.values()) for entry in path}
        made = sorted(label for label in placed if plan.parts[label].role == "producer")
        reads = draw(st.lists(st.sampled_from(["x", *made]), min_size=1, max_size=2, unique=True))
        members = plan.finals["last"] = []
        _add_output(draw, plan, "out_last", reads, members)


def _add_output(draw: st.DrawFn, plan: Plan, label: str, reads: list[str], members: list[Entry]) -> None:
    texts = [f"{before}{path}" for path in (*plan.paths, "*", "p?") for before in ("", "!", "exception@")]
    texts += [f"{path}&noexception" for path in (*plan.paths, "*")]
    select = draw(st.lists(st.sampled_from(texts), unique=True, max_size=2))
    form = draw(st.sampled_from(["event", "columns"])) if reads == ["x"] else "event"
    plan.parts[label] = Part("output", form, tuple(reads), select=tuple(select))
    members.append(Entry(label))


def _draw_failures(draw: st.DrawFn, plan: Plan, policy: bool) -> None:
    able = [label for label, part in plan.parts.items() if part.role != "output"]
    walks = [*plan.paths.values(), *plan.ends.values()]
    read = [tag for part in plan.parts.values() for tag in part.reads if tag in able]
    inside = [entry.label for walk in walks for entry in walk[:-1] if entry.label in able]
    for label in draw(st.lists(st.sampled_from([*inside, *read] or able), min_size=1, max_size=3)):
        part = plan.parts[label]
        part.where = draw(st.sampled_from(STAGES.get(part.form, ("call",))))
        errors = draw(st.lists(st.sampled_from(["ValueError", "KeyError", "IndexError"]), min_size=1, max_size=3))
        every = range(draw(st.integers(0, 4)), 40, draw(st.sampled_from([3, 2, 5, 7])))
        part.fails = {number: errors[number % len(errors)] for number in every}
    for label in able:
        plan.parts[label].lenient = draw(st.booleans())
    if policy:
        actions = st.sampled_from([CONTINUE, CONTINUE, IGNORE])
        plan.policy = {error: draw(actions) for error in ("ValueError", "KeyError", "IndexError", "ProductNotFound")}
        if draw(st.integers(0, 4)) == 0:
            plan.policy[draw(st.sampled_from(sorted(plan.policy)))] = RETHROW
        placed = [label for label in able if any(Entry(label, mark) in path for path in walks for mark in MARKS)]
        plan.anyway = draw(st.lists(st.sampled_from(placed), unique=True, max_size=1)) if placed else []


def _make_sure(plan: Plan) -> None:
    """Modules by columns read only what all events have: others have the per-event form instead."""
    sure = {"x"}
    walks = [*plan.paths.values(), *plan.ends.values()]
    placed = {entry.label for walk in walks for entry in walk}
    conditional = {label for labels in plan.conditional.values() for label in labels}
    first = set()
    for walk in walks:
        for entry in walk:
            if plan.parts[entry.label].role == "filter" and entry.mark != "ignored":
                break
            first.add(entry.label)
    for label, part in plan.parts.items():
        if part.role in ("producer", "filter"):
            if part.form in COLUMNAR and not sure.issuperset(part.reads):
                part.form = "event"
            if label in first or (label not in placed and label not in conditional):
                sure.add(label)


def process_of(plan: Plan) -> Process:
    """The process that a plan stands for; its `desk` answers external work."""
    process = Process("RANDOM", **plan.options)
    process.source = Numbered(plan.events, plan.chunk)
    process.desk = desk = Desk(plan.order, plan.seed)
    for label, part in plan.parts.items():
        setattr(process, label, module_of(part, desk))
    for number, labels in enumerate(plan.tasks):
        setattr(process, f"task{number}", Task(*labels))
    for label in plan.paths:
        setattr(process, label, Path(*_members(plan, label, plan.paths[label])))
        if label in plan.conditional:
            setattr(process, f"task_{label}", ConditionalTask(*plan.conditional[label]))
            getattr(process, label).associate(getattr(process, f"task_{label}"))
    for label, members in plan.ends.items():
        setattr(process, label, EndPath(*_members(plan, label, members)))
    for label, members in plan.finals.items():
        setattr(process, label, FinalPath(*(entry.label for entry in members)))
    if plan.policy is not None:
        lists = {
            action: [error for error, found in plan.policy.items() if found == action] for action in (CONTINUE, IGNORE)
        }
        process.policy = ExceptionPolicy(**lists, call_anyway=[*plan.anyway], failed_events="")
    return process


def _members(plan: Plan, label: str, members: list[Entry]) -> list[Any]:
    """The members as a workflow writes them; some in a sequence."""
    texts: list[Any] = [{"": "{}", "~": "~{}", "ignored": "ignored({})"}[mark].format(name) for name, mark in members]
    if len(texts) > 2 and (plan.seed + len(label)) % 2:
        return [texts[0], Sequence(*texts[1:-1]), texts[-1]]
    return texts


def ended_before(schedule: Schedule, path: str, first: int, second: int) -> bool:
    """Whether a member of a path has ended before another begins."""
    members = schedule.placed[path].members
    places: dict[tuple[str, int], list[int]] = {}
    for number, step in enumerate(schedule.steps):
        places.setdefault((step.node.label, step.node.mask), []).append(number)
    masks = [member.mask if member.chosen is None else member.chosen for member in members]
    return places[members[first].label, masks[first]][-1] < places[members[second].label, masks[second]][0]
