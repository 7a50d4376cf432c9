"""A configuration without what does not run: modules whose products nothing reads, and those that are on no path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .flow import kind_of, resolve
from .paths import parse
from .schedule import compile_schedule

if TYPE_CHECKING:
    from .process import Process

LISTS = ("sequences", "tasks", "conditional_tasks")
"""What may hold modules that do not run; all that is on a path does."""


def idle_modules(process: Process) -> set[str]:
    """The labels of the modules that do not run. The source's files are looked at. Raises ConfigurationError."""
    flow = resolve(process)
    schedule = compile_schedule(process, flow)
    if flow.faults or schedule.faults:
        raise ConfigurationError([*flow.faults, *schedule.faults])
    running = schedule.labels
    kinds = {label: kind_of(module) for label, module in process.modules.items()}
    return {label for label, kind in kinds.items() if label not in running and kind not in ("source", "")}


def pruned(data: dict[str, Any], idle: set[str]) -> dict[str, Any]:
    """What `dump` gave, without some modules, without aliases of them, and without lists that held nothing else.

    >>> pruned({"modules": {"a": {}, "b": {}}, "tasks": {"t": ["a", "b"], "u": ["a"]}}, {"a"})
    {'modules': {'b': {}}, 'tasks': {'t': ['b']}}
    """
    gone = set(idle)
    gone |= {label for label, of in data.get("aliases", {}).items() if of.partition(":")[0] in gone}
    left = {**data, **{name: dict(data[name]) for name in LISTS if name in data}}
    before = -1
    while before != len(gone):
        before = len(gone)
        for name in LISTS:
            for label, texts in left.get(name, {}).items():
                kept = [text for text in texts if parse(text).label not in gone]
                left[name][label] = kept
                if texts and not kept:
                    gone.add(label)
    for name in ("modules", "aliases", *LISTS):
        if name in left:
            left[name] = {label: entry for label, entry in left[name].items() if label not in gone}
    return {key: value for key, value in left.items() if value or key == "process"}
