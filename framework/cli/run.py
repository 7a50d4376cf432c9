"""`evproc run`: run a workflow."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evproc.framework.errors import ConfigurationError, OutputError
from evproc.framework.logs import categories, shown

from .failures import EVENTS_FAILED, INTERRUPTED, reported
from .watching import add_service
from .workflow import Customise, Loaded, Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile, load_with

if TYPE_CHECKING:
    from evproc.framework.report import Report

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=WorkflowCommand)
def run(
    ctx: typer.Context,
    workflow: WorkflowFile,
    settings: Settings = [],  # noqa: B006 - typer reads it, nobody changes it
    modifiers: Modifiers = [],  # noqa: B006
    customise: Customise = [],  # noqa: B006
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.json", help="Write the report of the job as JSON.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE.json", help="Write what happened when, for ui.perfetto.dev."),
    ] = None,
    only: Annotated[
        Path | None,
        typer.Option("--only", metavar="FILE", help="Process only the events of this file: those that failed before."),
    ] = None,
    timing: Annotated[
        bool, typer.Option("--timing", help="Time modules event by event, and name the slowest events.")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Show how much memory the products of modules hold.")
    ] = False,
    metrics: Annotated[
        int | None,
        typer.Option(
            "--metrics", metavar="PORT", help="Answer Prometheus on this port of this machine; 0: one that is free."
        ),
    ] = None,
    log: Annotated[
        str, typer.Option("--log", metavar="LIST", help="Log to stderr: discovery, service, client, failure, or all.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor summary.")] = False,
    traceback: Traceback = False,
) -> None:
    """Run a workflow to its end, show how far it has come, and sum up what it did.

    Ctrl-C ends the job cleanly: outputs are complete for the events done, and the exit code is 130. It is 7 if the job ended
    well but a module had failed on some events.
    """
    with reported(traceback):
        if report is not None:
            _check_writable(report)
        wanted_logs = _categories(log)
        loaded = load_with(workflow, settings, ctx.obj, modifiers, customise)
        if trace is not None:
            add_service(loaded.process, "Tracer", file=str(trace))
        if only is not None:
            loaded.process.set_options(only=str(only))
        for wanted, kind in ((timing, "Timing"), (memory, "Memory")):
            if wanted:
                add_service(loaded.process, kind)
        if metrics is not None:
            add_service(loaded.process, "Metrics", port=metrics)
        with shown(wanted_logs):
            done = _run(loaded, quiet)
        if report is not None:
            _write_report(done, report)
        if not quiet:
            from .summary import summary, write

            write(summary(done))
        elif done.input.lost:
            from .summary import lost_input

            typer.echo(f"{typer.style('warning:', fg='yellow')} {lost_input(done.input)}", err=True)
        if done.interrupted:
            raise typer.Exit(INTERRUPTED)
        if done.failed_events:
            raise typer.Exit(EVENTS_FAILED)


def _categories(log: str) -> list[str]:
    try:
        return categories(log)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--log'") from None


def _run(loaded: Loaded, quiet: bool) -> Report:
    """Run the job with a display. Raises ConfigurationError with the faults of settings and workflow together."""
    from evproc.framework import job

    from .display import display_for

    if loaded.faults:
        raise ConfigurationError(loaded.all_faults(job.check(loaded.process)[0]))
    try:
        try:
            period = loaded.process.options.progress
        except ConfigurationError:
            period = 1.0  # the faults of the options are told with all others
        with nullcontext() if quiet else display_for(sys.stderr, period) as display:
            return job.run(loaded.process, display)
    except ConfigurationError as error:
        raise ConfigurationError(loaded.all_faults(error.faults)) from error.__cause__


def _check_writable(path: Path) -> None:
    """Find out before the job, not after it."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "it is a folder" if path.is_dir() else f"the folder '{folder}' cannot be written to"
        raise OutputError(f"cannot write the report '{path}': {why}")


def _write_report(done: Report, path: Path) -> None:
    try:
        done.write(path)
    except OSError as error:
        raise OutputError(f"cannot write the report '{path}': {error.strerror}") from error
