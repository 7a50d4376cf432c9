"""`evproc server`: the real Triton that evproc can bring along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="server",
    help="A Triton inference server on this machine, without container or GPU.",
    add_completion=False,
    no_args_is_help=True,
)


@app.command()
def install() -> None:
    """Fetch the server (a wheel of 30 MB from PyPI) into evproc's own data folder."""
    from evproc.framework.cli.failures import reported

    from . import triton_wheel

    with reported():
        if triton_wheel.is_installed():
            folder = triton_wheel.install()  # says if this machine cannot run it
            typer.echo(f"Triton {triton_wheel.TRITON_VERSION} is installed already, in {folder}")
        else:
            typer.echo(f"Fetching Triton {triton_wheel.TRITON_VERSION} ...")
            typer.echo(f"Installed in {triton_wheel.install()}")


@app.command()
def status() -> None:
    """Say what of the server is there, or what is missing (exit code 6)."""
    from importlib.metadata import version

    from evproc.framework.cli.failures import reported

    from . import triton_wheel

    with reported():
        typer.echo(f"Triton {triton_wheel.TRITON_VERSION}: {triton_wheel.locate().root}")
        typer.echo(f"shared library of Python: {triton_wheel.shared_python()}")
        triton_wheel.require_onnxruntime()
        typer.echo(f"onnxruntime {version('onnxruntime')}")


@app.command()
def start(
    models: Annotated[list[Path], typer.Option(help="A model repository; may be given more than once.")],
    load: Annotated[list[str] | None, typer.Option(help="A model to load; default: all.")] = None,
    log: Annotated[Path | None, typer.Option(help="File for the server's log; default: a temporary one.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each instance of an ONNX model.")] = 1,
) -> None:
    """Run the server in the foreground, until Ctrl-C."""
    from evproc.framework.cli.failures import reported

    from .embedded import EmbeddedServer

    with reported(), EmbeddedServer(models, load=load or None, log=log, threads=threads) as server:
        typer.echo(f"listening on {server.url} (log: {server.log_path}); Ctrl-C stops it")
        try:
            server.wait()
        except KeyboardInterrupt:
            typer.echo("stopping")
