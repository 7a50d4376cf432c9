"""The paths of a process, opened: which modules they hold in which order, with every fault that they have.

Conditional tasks are dealt with here: a module of one goes into the path just before the first module that reads its
product, and so behind the filters that stand before that one; what no module of the path reads is left to run on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import Fault, did_you_mean
from .flow import Flow, kind_of
from .paths import ConditionalTask, EndPath, Expanded, FinalPath, Mark, Member, ModuleList, expand

if TYPE_CHECKING:
    from .process import Process


@dataclass(slots=True)
class PathPlan:
    """A path, an end path or a final path: its modules in order."""

    label: str
    kind: type[ModuleList]
    members: list[Member]


@dataclass(slots=True)
class Plans:
    """All paths of a process, in the order in which they are compiled, and what is wrong or odd about them."""

    paths: list[PathPlan] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of(self, kind: type[ModuleList]) -> list[PathPlan]:
        """The paths of one kind."""
        return [plan for plan in self.paths if plan.kind is kind]


def plan_paths(process: Process, flow: Flow) -> Plans:
    """Open all paths and tasks. Members with faults are left out."""
    plans = Plans()
    used: set[int] = set()
    for table in (process.paths, process.end_paths, process.final_paths):
        for path in table.values():
            found = expand(path, process)
            plans.faults += _faults(path, found, process)
            members = [member for member in found.members if _is_sound(member, process)]
            conditional = [task for task in found.tasks if isinstance(task, ConditionalTask)]
            used.update(map(id, conditional))
            offered = {label for task in conditional for label in expand(task, process).labels}
            plans.paths.append(PathPlan(path.label, type(path), _with_conditional(members, offered, flow)))
    for part in (*process.tasks.values(), *process.conditional_tasks.values(), *process.sequences.values()):
        plans.faults += _faults(part, expand(part, process), process)
    for task in process.conditional_tasks.values():
        if id(task) not in used:
            plans.warnings.append(f"conditional task '{task.label}' belongs to no path: its modules run on demand")
    plans.faults += _placed_twice(plans, process)
    return plans


def _is_sound(member: Member, process: Process) -> bool:
    return kind_of(process.modules[member.label]) not in ("source", "") if member.label in process.modules else False


def _faults(part: ModuleList, found: Expanded, process: Process) -> Iterator[Fault]:
    """What is wrong with the members of a path, sequence or task."""
    for problem in found.problems:
        yield Fault(problem, part.label, where=part.where)
    for member in found.members:
        problem = _problem(part, member, process)
        if problem:
            yield Fault(problem, part.label, where=part.where)


def _problem(part: ModuleList, member: Member, process: Process) -> str:
    label = member.label
    module = process.modules.get(label)
    if module is None:
        if not label:
            return "names a module that is not an attribute of the process"
        known = [*process.modules, *process.sequences, *process.tasks, *process.conditional_tasks]
        return f"names module '{label}'{did_you_mean(label, known)}"
    kind = kind_of(module)
    article = "an" if kind[:1] in "ao" else "a"
    if kind == "source":
        return f"names the source '{label}', which runs by itself"
    if member.mark is not Mark.PLAIN and kind not in ("filter", ""):
        word = "inverts" if member.mark is Mark.INVERTED else "ignores the decision of"
        return f"{word} '{label}', {article} {kind}; only a filter decides something"
    if part.noun.endswith("task") and kind not in ("producer", ""):
        return f"holds '{label}', {article} {kind}; only producers run on demand"
    if isinstance(part, FinalPath) and kind not in ("output", ""):
        return f"holds '{label}', {article} {kind}; a final path holds only output modules: use a Path or an EndPath"
    return ""


def _with_conditional(members: list[Member], offered: set[str], flow: Flow) -> list[Member]:
    """The members of a path with modules of its conditional tasks, each before the first that reads it."""
    if not offered:
        return members
    there = {member.label for member in members}
    placed: list[Member] = []
    for member in members:
        trail = [(member, _makers(member.label, flow))]
        while trail:
            reader, makers = trail[-1]
            for maker in makers:
                if maker in offered and maker not in there:
                    there.add(maker)
                    trail.append((Member(maker), _makers(maker, flow)))
                    break
            else:
                placed.append(reader)
                trail.pop()
    return placed


def _makers(label: str, flow: Flow) -> Iterator[str]:
    return iter([flow.makers[key] for key in sorted(flow.products(label)) if key in flow.makers])


def _placed_twice(plans: Plans, process: Process) -> Iterator[Fault]:
    """Output modules of final paths that are on another path as well: there, producers would run for them."""
    others = {member.label: plan.label for plan in plans.paths if plan.kind is not FinalPath for member in plan.members}
    for plan in plans.of(FinalPath):
        for member in plan.members:
            if member.label in others:
                path = process.final_paths[plan.label]
                yield Fault(
                    f"holds '{member.label}', which is on '{others[member.label]}' too", path.label, "", path.where
                )


__all__ = ["EndPath", "PathPlan", "Plans", "plan_paths"]
