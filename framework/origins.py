"""Every value of a configuration, with where it comes from; and what differs between two configurations.

Keys are those of `-o`: `energy.client.timeout`, `options.streams`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .config import is_placement
from .dumping import RECORD, dump
from .errors import ConfigurationError
from .plugins import discover
from .workflow_import import home_of

if TYPE_CHECKING:
    from .configured import Configured
    from .plugins import Registry
    from .process import Process

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a configuration."""

    key: str
    value: Any
    """Plain data."""
    origin: str
    """`default`, `workflow.py:12`, `-o a.b=3`, `modifier remote [workflow.py:12]`, `customise tune [custom.py:4]` ..."""
    placement: bool
    """Whether it cannot change results."""


@dataclass(slots=True)
class Difference:
    """What differs between two configurations: key -> (value of the first, value of the second); None where there is none."""

    results: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """What can change results."""
    placement: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """What cannot."""


def settings_of(process: Process) -> list[Setting]:
    """Every parameter and option of a process. Raises ConfigurationError if they have faults."""
    parts = [*process.modules.values(), *process.services.values()]
    faults = [*process._all_faults(), *(fault for part in parts for fault in part.faults())]
    if faults:
        raise ConfigurationError(faults)
    found = list(_options(process))
    for label, part in [*process.services.items(), *process.modules.items()]:
        switch = process.switches.get(label)
        if switch is None:
            found += _parameters(part, label)
            continue
        found.append(Setting(f"{label}.case", switch.config.case, switch.origin_of("case") or DEFAULT, False))
        for name, case in switch.cases.items():
            found += _parameters(case, f"{label}.{name}", case is not part)
    return found


def _options(process: Process) -> Iterator[Setting]:
    options = process.options
    dumped = options.model_dump(mode="json")
    for name, info in type(options).model_fields.items():
        origin = process._origins.get(name, DEFAULT)
        yield Setting(f"options.{name}", dumped[name], origin or process.where, is_placement(info))


def _parameters(part: Configured, label: str, idle: bool = False) -> Iterator[Setting]:
    """The parameters of a module or service; `idle` if none of them can change results."""
    dumped = part.config.model_dump(mode="json")
    yield from _fields(part, part.config, dumped, label, (), idle)


def _fields(
    part: Configured, block: BaseModel, dumped: dict[str, Any], label: str, above: tuple[str, ...], placement: bool
) -> Iterator[Setting]:
    for name, info in type(block).model_fields.items():
        path, value = (*above, name), getattr(block, name)
        places = placement or is_placement(info)
        if isinstance(value, BaseModel):
            yield from _fields(part, value, dumped[name], label, path, places)
            continue
        origin = part.origin_of(".".join(path)) if name in block.model_fields_set else ""
        yield Setting(".".join((label, *path)), dumped[name], origin or DEFAULT, places)


def snapshot(process: Process) -> dict[str, tuple[Any, bool]]:
    """Key -> (value, whether it cannot change results), for all of a configuration: types, paths and aliases too.

    To be taken before another workflow is loaded, which may have classes of the same names. Raises ConfigurationError.
    """
    data, registry = dump(process), discover()
    found: dict[str, tuple[Any, bool]] = {"process": (process.name, False)}
    found |= {key: (data[key], True) for key in RECORD if key in data}
    settings = settings_of(process)
    deciding = {setting.key.partition(".")[0] for setting in settings if not setting.placement}
    for label, part in process.services.items():
        found[f"{label}.type"] = (_type(part, registry), label not in deciding)
    for label, part in process.modules.items():
        switch = process.switches.get(label)
        for name, case in switch.cases.items() if switch else ():
            found[f"{label}.{name}.type"] = (_type(case, registry), case is not part)
        if switch is None:
            found[f"{label}.type"] = (_type(part, registry), False)
    found |= {f"{label}.as": (entry["as"], False) for label, entry in data.get("modules", {}).items() if "as" in entry}
    found |= {setting.key: (setting.value, setting.placement) for setting in settings}
    for section, table in data.items():
        if section not in ("process", *RECORD, "options", "services", "modules"):
            found |= {f"{section}.{label}": (value, False) for label, value in table.items()}
    return found


def _type(part: Configured, registry: Registry) -> str:
    kind = type(part)
    return registry.name_of(kind) or f"{home_of(kind.__module__)}:{kind.__qualname__}"


def compare(first: dict[str, tuple[Any, bool]], second: dict[str, tuple[Any, bool]]) -> Difference:
    """What differs between two snapshots. A part that only one of them has is told by its type alone."""
    difference = Difference()
    alone = {
        key.removesuffix("type")
        for key in {**first, **second}
        if key.endswith(".type") and (key in first) != (key in second)
    }
    for key in {**first, **second}:
        one, other = first.get(key, (None, True)), second.get(key, (None, True))
        told = any(key.startswith(start) and key != f"{start}type" for start in alone)
        if one[0] != other[0] and not told:
            table = difference.placement if one[1] and other[1] else difference.results
            table[key] = (one[0], other[0])
    return difference
