"""`evproc new`: begin a package of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import reported

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="producer, filter, analyzer or service.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called, as JetSum or jet-sum.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="FOLDER", help="Where to write it; by default ./evproc-NAME.")
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show Python's traceback of an error.")] = False,
) -> None:
    """Write a package with a new module or service, ready to install, with a test that passes."""
    with reported(traceback):
        from evproc.framework.new_plugin import names_of, write_plugin

        files = write_plugin(kind, name, folder)
        for file in files:
            typer.echo(file)
        place = files[0].parent
        typer.echo(f"\npip install -e {place}; pytest {place}; evproc modules {names_of(name).plugin}")
