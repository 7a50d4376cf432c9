"""`evproc config`: the configuration of a workflow, expanded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evproc.framework.errors import ConfigurationError, OutputError

from .failures import reported
from .workflow import Customise, Loaded, Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile, load_with

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Form(StrEnum):
    """The language of a configuration."""

    yaml = "yaml"
    json = "json"


@app.command(cls=WorkflowCommand)
def config(
    ctx: typer.Context,
    workflow: WorkflowFile,
    settings: Settings = [],  # noqa: B006 - typer reads it, nobody changes it
    modifiers: Modifiers = [],  # noqa: B006
    customise: Customise = [],  # noqa: B006
    form: Annotated[Form | None, typer.Option("--format", help="YAML unless the output's name ends in .json.")] = None,
    full: Annotated[bool, typer.Option("--full/--set-only", help="With all defaults, or only what is set.")] = True,
    prune: Annotated[
        bool, typer.Option("--prune", help="Leave out the modules that do not run, and name them.")
    ] = False,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from instead.")] = False,
    diff: Annotated[
        Path | None,
        typer.Option(
            "--diff", metavar="FIRST", help="Show what differs from another workflow or configuration instead."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file.")] = None,
    traceback: Traceback = False,
) -> None:
    """Write the configuration of a workflow. `evproc run` takes that file too, with the same results.

    `--diff` ends with exit code 1 if something differs that can change results.
    """
    with reported(traceback):
        from evproc.framework.documents import format_document
        from evproc.framework.loading import DOCUMENTS, dump

        if output is not None and output.suffix not in DOCUMENTS:
            raise OutputError(f"cannot write '{output}': `evproc run` takes {', '.join(DOCUMENTS)}")
        if diff is not None:
            raise typer.Exit(_differ(diff, lambda: load_with(workflow, settings, ctx.obj, modifiers, customise), form))
        loaded = load_with(workflow, settings, ctx.obj, modifiers, customise)
        if origin:
            _show_origins(loaded)
            return
        with _told(loaded):
            data = dump(loaded.process, full=full, directory=output.absolute().parent if output else None)
            if prune:
                from evproc.framework.pruning import idle_modules, pruned

                idle = idle_modules(loaded.process)
                data = pruned(data, idle)
                typer.echo(f"left out: {', '.join(sorted(idle)) or 'nothing'}", err=True)
        if form is None:
            form = Form.json if output and output.suffix == ".json" else Form.yaml
        written = format_document(data, form.value)
        if output is None:
            typer.echo(written, nl=False)
            return
        try:
            output.write_text(written, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write '{output}': {error.strerror}") from error


def _show_origins(loaded: Loaded) -> None:
    """Every value, and where it comes from."""
    from rich.text import Text

    from evproc.framework.origins import settings_of

    from .summary import table, write

    with _told(loaded):
        found = settings_of(loaded.process)
    made = table("parameter", "from", "value", shrink="value")
    for setting in found:
        made.add_row(setting.key, Text(setting.origin), Text(_shown(setting.value)))
    write([made])


def _differ(first: Path, load_second: Callable[[], Loaded], form: Form | None) -> int:
    """Show what differs between two configurations; returns the exit code."""
    from evproc.framework.loading import load
    from evproc.framework.origins import compare, snapshot

    before = snapshot(load(first))
    loaded = load_second()
    with _told(loaded):
        found = compare(before, snapshot(loaded.process))
    if form is Form.json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return int(bool(found.results))
    if not found.results and not found.placement:
        typer.echo("nothing differs")
    for title, items in (("changes results", found.results), ("changes no results", found.placement)):
        if items:
            typer.echo(title)
            width = max(map(len, items))
            for key, (one, other) in items.items():
                typer.echo(f"  {key:{width}}  {_shown(one)} -> {_shown(other)}")
    return int(bool(found.results))


@contextmanager
def _told(loaded: Loaded) -> Iterator[None]:
    """The faults of settings and process, together."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(loaded.all_faults(error.faults)) from error.__cause__
    if loaded.faults:
        raise ConfigurationError(loaded.faults)


def _shown(value: object) -> str:
    return "(none)" if value is None else value if isinstance(value, str) and value else json.dumps(value)
