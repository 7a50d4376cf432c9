"""`evproc config`: the configuration of a workflow, expanded."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evproc.framework.errors import ConfigurationError, OutputError

from .failures import reported
from .workflow import Customise, Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile, load_with

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
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to a file.")] = None,
    traceback: Traceback = False,
) -> None:
    """Write the configuration of a workflow. `evproc run` takes that file too, with the same results."""
    with reported(traceback):
        from evproc.framework.documents import format_document
        from evproc.framework.loading import dump

        loaded = load_with(workflow, settings, ctx.obj, modifiers, customise)
        try:
            data = dump(loaded.process, full=full, directory=output.absolute().parent if output else None)
        except ConfigurationError as error:
            raise ConfigurationError(loaded.all_faults(error.faults)) from error.__cause__
        if loaded.faults:
            raise ConfigurationError(loaded.faults)
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
