"""The expanded configuration of a process as plain data, and the hash of what changes its results."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .config import is_placement
from .errors import ConfigurationError, Fault
from .function_entries import entry_of, named_by, why_unnamed
from .paths import ConditionalTask, ModuleList, expand
from .plugins import Registry, discover
from .workflow_import import file_of, home_of

if TYPE_CHECKING:
    from .configured import Configured
    from .process import Process

RECORD = ("arguments", "modifiers", "customise")
"""What a workflow was given when it was expanded."""
SWITCH = "SwitchProducer"
"""The type of a switch in a configuration."""
LISTS = ("paths", "end_paths", "final_paths", "sequences", "tasks", "conditional_tasks")
SECTIONS = ("services", "modules", *LISTS)


def dump(process: Process, *, full: bool = True, directory: Path | None = None) -> dict[str, Any]:
    """The configuration as plain data (JSON types), from which `loading.load` makes the same process again.

    `full` spells out all defaults; otherwise only what was set. Files of classes that are defined beside a workflow are named
    relative to `directory`, or by absolute paths without one. Raises ConfigurationError with every fault of every parameter.
    """
    registry = discover()
    parts = [*process.modules.values(), *process.services.values()]
    faults = [*process._all_faults(), *(fault for part in parts for fault in part.faults())]
    parts += [case for switch in process.switches.values() for case in switch.cases.values() if case not in parts]
    faults += [fault for part in parts if (fault := _unnamed(part)) is not None]
    options: dict[str, Any] = {}
    try:
        options = process.options.model_dump(mode="json", exclude_unset=not full)
    except ConfigurationError as error:
        faults += error.faults
    if faults:
        raise ConfigurationError(faults)

    def entry(part: Configured) -> dict[str, Any]:
        name = type_name(type(part), registry, directory)
        return {"type": name, **entry_of(type(part)), **part.config.model_dump(mode="json", exclude_unset=not full)}

    def entries(table: dict[str, Configured]) -> dict[str, Any]:
        return {label: entry(part) for label, part in table.items()}

    data: dict[str, Any] = {"process": process.name, **process._record(), "options": options}
    data |= {"services": entries(process.services), "modules": entries(process.modules)}
    for label, switch in process.switches.items():
        cases = {name: entry(case) for name, case in switch.cases.items()}
        data["modules"][label] = {"type": SWITCH, "case": switch.config.case, "cases": cases}
    data["aliases"] = {label: alias.of for label, alias in process.aliases.items()}
    data |= {name: {label: part.texts() for label, part in getattr(process, name).items()} for name in LISTS}
    return {key: value for key, value in data.items() if value or key == "process"}


def type_name(part: type[object], registry: Registry, directory: Path | None = None) -> str:
    """How a configuration names a class: its plug-in name, `file.py:Class` or `package.module:Class`."""
    name = registry.name_of(part)
    file = file_of(part.__module__)
    if name is None and file is not None:
        shown = os.path.relpath(file.resolve(), directory.resolve()) if directory else str(file)
        return f"{Path(shown).as_posix()}:{part.__qualname__}"
    return name or f"{part.__module__}:{part.__qualname__}"


def _unnamed(part: Configured) -> Fault | None:
    """The fault of a class that has no name by which it could be found again."""
    kind = type(part)
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return None if found is named_by(kind) else Fault(why_unnamed(kind), part.label, where=part.where)


def results_hash(process: Process) -> str:
    """SHA-256, in hexadecimal, over all of the configuration that can change results.

    That is everything but parameters marked as placement (servers, timeouts, streams ...) and services that have no others. It
    does not depend on the order of modules, on spelled-out defaults, on plug-in names or on the folder of the workflow.
    Raises ConfigurationError.
    """
    faults = [fault for part in [*process.modules.values(), *process.services.values()] for fault in part.faults()]
    if faults:
        raise ConfigurationError(faults)
    data: dict[str, Any] = {"form": 1, "process": process.name}
    data["modules"] = {label: _results_of(part) for label, part in process.modules.items()}
    data["options"] = _results(process.options, process.options.model_dump(mode="json"))
    if process.aliases:
        data["aliases"] = {label: alias.of for label, alias in process.aliases.items()}
    services = {label: _results_of(part) for label, part in process.services.items()}
    data["services"] = {label: entry for label, entry in services.items() if entry["parameters"]}
    for name in LISTS:
        table = {label: _members(part, process) for label, part in getattr(process, name).items()}
        if name in ("paths", "end_paths", "tasks") or (table and name != "sequences"):
            data[name] = table
    if process.options.only:
        data["options"]["only"] = _digest(Path(process.options.only).expanduser())
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    """SHA-256 of a file that changes results; its name, if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return str(path)


def _members(part: ModuleList, process: Process) -> list[str]:
    """The modules of a path or task, sequences opened, and the conditional tasks that it takes in."""
    found = expand(part, process)
    conditional = [task.label for task in found.tasks if isinstance(task, ConditionalTask)]
    return [*(member.text for member in found.members), *conditional]


def _results_of(part: Configured) -> dict[str, Any]:
    kind = type(part)
    return {
        "type": f"{home_of(kind.__module__)}:{kind.__qualname__}",
        **entry_of(kind),
        "parameters": _results(part.config, part.config.model_dump(mode="json")),
    }


def _results(block: BaseModel, dumped: dict[str, Any]) -> dict[str, Any]:
    """Of a block and its dump, what is not placement."""
    kept = {name: dumped[name] for name, field in type(block).model_fields.items() if not is_placement(field)}
    return {name: _inner(getattr(block, name), value) for name, value in kept.items()}


def _inner(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return _results(value, dumped)
    if isinstance(value, dict) and isinstance(dumped, dict):
        items: Iterable[tuple[Any, Any]] = zip(dumped, value.values(), strict=True)
        return {key: _inner(inner, dumped[key]) for key, inner in items}
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_inner(inner, plain) for inner, plain in zip(value, dumped, strict=True)]
    return dumped
