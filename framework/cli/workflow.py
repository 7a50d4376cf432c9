"""What the commands that take a workflow have in common: the arguments, loading, and settings from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.core import TyperCommand

from evproc.framework.errors import ConfigurationError, Fault, did_you_mean

if TYPE_CHECKING:
    from evproc.framework.process import Process

WorkflowFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="WORKFLOW",
        help="A Python file that defines `process`, or a configuration in YAML or JSON. "
        "Unknown options behind its name, and what follows `--`, are the arguments of a Python file.",
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
Modifiers: TypeAlias = Annotated[
    list[str],
    typer.Option("--modifier", metavar="NAME", help="Give the process a modifier of the workflow; may be repeated."),
]
Customise: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--customise",
        metavar="MODULE:FUNCTION",
        help="Let a function change the process, of a module or of a file.py; before -o; may be repeated.",
    ),
]
Traceback: TypeAlias = Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")]


class WorkflowCommand(TyperCommand):
    """A command that takes a workflow: options that it does not know, and `--help`, behind the name are the workflow's.

    They come to `ctx.obj`, as `Given`.
    """

    ignore_unknown_options = True
    allow_extra_args = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Part the arguments of the command from those of the workflow."""
        after: list[str] = []
        if "--" in args:
            split = args.index("--")
            args, after = args[:split], args[split + 1 :]
        wants_help = False
        if "--help" in args:
            place = args.index("--help")
            wants_help = any(arg.endswith(".py") and Path(arg).is_file() for arg in args[:place])
            if wants_help:
                args = [*args[:place], *args[place + 1 :]]
        super().parse_args(ctx, args)
        workflow = ctx.params.get("workflow")
        known = [name for option in self.params for name in option.opts if name.startswith("--")]
        if workflow is not None and str(workflow).startswith("-"):
            near = did_you_mean(str(workflow), known)
            ctx.fail(f"no option {workflow}{near}; options of a workflow come behind its name")
        ctx.obj = Given([*ctx.args, *after], known, ctx.get_help() if wants_help else "")
        ctx.args = []
        return []


@dataclass(slots=True)
class Given:
    """What the command line gives to the workflow."""

    arguments: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    """The options of the command, for hints."""
    help: str = ""
    """The help of the command, if help of the workflow was asked for."""


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


def load_with(
    path: Path,
    settings: Sequence[str],
    given: Given | None = None,
    modifiers: Sequence[str] = (),
    customise: Sequence[str] = (),
) -> Loaded:
    """Load a workflow, and change it as the command line says: modifiers, customise functions, then settings.

    Raises ConfigurationError if it cannot be loaded.
    """
    from evproc.framework.configured import because

    given = given or Given()
    loaded = Loaded(_load(path, given, modifiers))
    for name in customise:
        try:
            loaded.process.customise(name)
        except ConfigurationError as error:
            where = f"--customise {name}"
            loaded.faults.extend(
                Fault(fault.message, fault.label, fault.key, fault.where or where) for fault in error.faults
            )
    for setting in settings:
        with because(f"-o {setting}"):
            _set(loaded, setting)
    return loaded


def _load(path: Path, given: Given, modifiers: Sequence[str]) -> Process:
    """Load a workflow, or show its help and end."""
    from evproc.framework.loading import load

    if not given.help:
        return load(path, given.arguments, modifiers, given.options)
    try:
        load(path, [*given.arguments, "--help"], modifiers)
    except SystemExit as end:
        if not end.code:
            typer.echo(f"\nThese are the arguments of {path.name}; `--help` before its name shows those of evproc.")
        raise
    except ConfigurationError as error:
        if not any("takes no arguments" in fault.message for fault in error.faults):
            raise
    typer.echo(given.help)
    typer.echo(f"\n{path.name} has no arguments of its own.")
    raise typer.Exit


def _set(loaded: Loaded, setting: str) -> None:
    """Set one KEY=VALUE."""
    from evproc.framework.documents import parse_value

    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key:
        loaded.faults.append(Fault("a setting is written KEY=VALUE", where=f"-o {setting}"))
        return
    try:
        loaded.process.override(key, parse_value(text))
        loaded.settings[key] = text
    except ValueError as error:
        loaded.faults.append(Fault(f"the value is not valid YAML: {error}", where=f"-o {setting}"))
    except ConfigurationError as error:
        loaded.faults.extend(Fault(fault.message, fault.label, fault.key, f"-o {setting}") for fault in error.faults)
