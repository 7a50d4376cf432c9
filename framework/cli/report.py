"""`evproc report`: the summary of a job that has ended, and the form of its report."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from .failures import reported
from .workflow import Traceback

WIDTH = 110

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.json", help="A report that `evproc run --report` wrote.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Write the JSON Schema of reports.")] = False,
    fields: Annotated[bool, typer.Option("--fields", help="List the fields of reports, with what they mean.")] = False,
    traceback: Traceback = False,
) -> None:
    """Show the summary of a job from its report, or the form of reports."""
    if file is None and not schema and not fields:
        ctx.fail("name a report, or ask for --schema or --fields")
    with reported(traceback):
        from evproc.framework import report_form

        if schema:
            typer.echo(json.dumps(report_form.schema(), indent=2))
        elif fields:
            for number, (name, text, rows) in enumerate(report_form.described()):
                typer.echo(("\n" if number else "") + f"{name}: {text}")
                for field, kind, sentence in rows:
                    head, rest = f"  {field:<22}{kind:<28}", " " * 52
                    lines = textwrap.fill(sentence, WIDTH, initial_indent=head, subsequent_indent=rest)
                    typer.echo(lines or head.rstrip())
        elif file is not None:
            from .summary import summary, write

            write(summary(report_form.read_report(file)))
