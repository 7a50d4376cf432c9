"""A `Process` from a workflow in Python, with its arguments and modifiers.

A workflow defines `process`: a `Process`, or a function that returns one. A workflow of the first kind may read its arguments
from `sys.argv`, by argparse for instance. The parameters of the function are the options of a workflow of the second kind,
as typer makes them of a signature:

    def process(events: int = 100, server: str = "grpc://localhost:8001") -> Process:

What nobody takes is an error, so that a typing error is not lost.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, Fault, did_you_mean
from .modifiers import choosing, declared
from .process import Process
from .workflow_import import Arguments, as_argv, explained, import_workflow


def load_python(
    path: Path, arguments: Sequence[str] = (), modifiers: Sequence[str] = (), options: Sequence[str] = ()
) -> Process:
    """The process that a Python file defines. Raises ConfigurationError."""
    argv = Arguments([str(path.resolve()), *arguments])
    with choosing(modifiers):
        names = vars(import_workflow(path, argv))
        process = names.get("process")
        if inspect.isfunction(process) and process.__module__ == names["__name__"]:
            process = _called(process, path, argv)
            if not isinstance(process, Process):
                wrong = f"the function `process` returns a Process, not {type(process).__name__}"
                raise ConfigurationError([Fault(wrong, where=path.name)])
    if not isinstance(process, Process):
        raise ConfigurationError([_no_process(names, process, path)])
    faults = []
    if arguments and not argv.read:
        faults.append(not_taken(f"'{path.name}'", arguments, options))
    for name in modifiers:
        if name not in declared():
            there = f"; there are {', '.join(declared())}" if declared() else "; it has none"
            faults.append(Fault(f"no modifier is named '{name}'{did_you_mean(name, declared()) or there}"))
    if faults:
        raise ConfigurationError(faults)
    if arguments:
        process._made_by["arguments"] = list(arguments)
    return process


def not_taken(who: str, arguments: Sequence[str], options: Sequence[str]) -> Fault:
    """The fault of arguments that nobody takes; those that look like a known option name it."""
    names = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
    near = next((hint for name in names if (hint := did_you_mean(name, options))), "")
    return Fault(f"{who} takes no arguments, but got {' '.join(arguments)}{near}")


def _called(function: Callable[..., Any], path: Path, argv: Arguments) -> Any:
    """Call the function `process` with options from the command line. Raises SystemExit as a program does."""
    import typer

    made: list[Any] = []

    @functools.wraps(function)
    def call(*arguments: Any, **parameters: Any) -> None:
        made.append(function(*arguments, **parameters))

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    with as_argv(argv), explained(path.resolve()):
        app.command()(call)
        try:
            typer.main.get_command(app).main(args=argv[1:], prog_name=path.name)
        except SystemExit:
            if not made:
                raise
    return made[0]


def _no_process(names: dict[str, Any], process: object, path: Path) -> Fault:
    others = [name for name, value in names.items() if isinstance(value, Process)]
    if others:
        found = f"the Process here is named '{others[0]}'; name it `process`"
    elif process is not None:
        kind = f"the class {process.__name__}" if isinstance(process, type) else f"a {type(process).__name__}"
        found = f"here `process` is {kind}"
    else:
        found = "it defines no Process"
    return Fault(f"a workflow file defines `process = Process(...)`: {found}", where=path.name)
