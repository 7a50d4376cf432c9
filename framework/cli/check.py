"""`evproc check`: all faults of a workflow at once; nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from evproc.framework.errors import ConfigurationError

from . import text
from .failures import reported
from .workflow import Customise, Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile, load_with

if TYPE_CHECKING:
    from evproc.framework.process import Process

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=WorkflowCommand)
def check(
    ctx: typer.Context,
    workflow: WorkflowFile,
    settings: Settings = [],  # noqa: B006 - typer reads it, nobody changes it
    modifiers: Modifiers = [],  # noqa: B006
    customise: Customise = [],  # noqa: B006
    traceback: Traceback = False,
) -> None:
    """Find all faults of a workflow: parameters, inputs, data flow, files, servers and models. Nothing is run."""
    with reported(traceback):
        from evproc.framework import job

        loaded = load_with(workflow, settings, ctx.obj, modifiers, customise)
        faults, warnings = job.check(loaded.process)
        for warning in warnings:
            typer.echo(f"{typer.style('warning:', fg='yellow')} {warning}", err=True)
        faults = loaded.all_faults(faults)
        if faults:
            raise ConfigurationError(faults)
        typer.echo(f"{loaded.process.name}: no faults in {_counts(loaded.process)}")


def _counts(process: Process) -> str:
    parts = {"module": process.modules, "path": process.paths, "end path": process.end_paths}
    parts |= {"final path": process.final_paths, "sequence": process.sequences, "task": process.tasks}
    parts |= {"conditional task": process.conditional_tasks, "service": process.services}
    said = [text.count(len(table), noun) for noun, table in parts.items() if table or noun == "module"]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
