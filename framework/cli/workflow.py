"""What the commands that take a workflow have in common: the arguments, loading, and settings from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from evproc.framework.errors import ConfigurationError, Fault

if TYPE_CHECKING:
    from evproc.framework.process import Process

WorkflowFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="WORKFLOW",
        help="A Python file that defines `process`, or a configuration in YAML or JSON. "
        "What follows `--` becomes the arguments of a Python file.",
    ),
]
Settings: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        help="Set a parameter, as in -o energy.min_energy=0.1 or -o options.streams=8; may be repeated.",
    ),
]
Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")]


@dataclass(slots=True)
class Loaded:
    """A process with the settings of the command line, and what was wrong with these."""

    process: Process
    settings: dict[str, str] = field(default_factory=dict)
    """Key -> value, as they were typed."""
    faults: list[Fault] = field(default_factory=list)

    def all_faults(self, found: Sequence[Fault]) -> list[Fault]:
        """The faults of the settings and those found in the process; wrong values from the command line say so."""
        return [*self.faults, *(self._placed(fault) for fault in found)]

    def _placed(self, fault: Fault) -> Fault:
        name = f"{fault.label}.{fault.key}"
        for key, value in self.settings.items():
            if name == key or name.startswith(f"{key}."):
                return Fault(fault.message, fault.label, fault.key, f"-o {key}={value}")
        return fault


def load_with(path: Path, settings: Sequence[str], arguments: Sequence[str] | None = None) -> Loaded:
    """Load a workflow and set what the command line sets. Raises ConfigurationError if it cannot be loaded."""
    from evproc.framework.documents import parse_value
    from evproc.framework.loading import load

    loaded = Loaded(load(path, arguments or ()))
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            loaded.faults.append(Fault("a setting is written KEY=VALUE", where=f"-o {setting}"))
            continue
        try:
            loaded.process.override(key, parse_value(text))
            loaded.settings[key] = text
        except ValueError as error:
            loaded.faults.append(Fault(f"the value is not valid YAML: {error}", where=f"-o {setting}"))
        except ConfigurationError as error:
            loaded.faults.extend(
                Fault(fault.message, fault.label, fault.key, f"-o {setting}") for fault in error.faults
            )
    return loaded
