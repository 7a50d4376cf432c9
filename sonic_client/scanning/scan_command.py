"""`evproc scan`: throughput and latency of many clients on one server, point by point, and where the server is full."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evproc.framework.cli.workflow import Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evproc.framework.cli.workflow import Loaded

    from .points import Point, Result
    from .scan import Folder, Setup
    from .summary import Line

app = typer.Typer(add_completion=False, rich_markup_mode=None)
POINTS_FAILED = 7
"""Exit code: the scan ended well, but some points have failed."""


@app.command(cls=WorkflowCommand)
def scan(
    ctx: typer.Context,
    workflow: WorkflowFile,
    clients: Annotated[
        str, typer.Option(metavar="LIST", help="Numbers of client processes, as 1,2,4 or 1-8.")
    ] = "1,2,4",
    batch: Annotated[
        str, typer.Option(metavar="LIST", help="Rows of a request at most; default: what the workflow says.")
    ] = "",
    block: Annotated[
        str, typer.Option(metavar="LIST", help="Events of a block; default: what the workflow says.")
    ] = "",
    streams: Annotated[
        str, typer.Option(metavar="LIST", help="Blocks in flight of a client; default: what the workflow says.")
    ] = "",
    latency: Annotated[str, typer.Option(metavar="LIST", help="Network latency that is added, as 0,10ms,60ms.")] = "0",
    repeat: Annotated[int, typer.Option(min=1, help="Measure each point so often.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.05, help="For which clients run at each point.")] = 5.0,
    warm_up: Annotated[float, typer.Option(min=0, help="Of these, seconds at the begin that do not count.")] = 0.5,
    server: Annotated[
        str,
        typer.Option(
            help="What the clients share: `workflow` (the servers that it names), `triton` (an embedded one, with the models "
            "of its fallback), `fake` (known capacity), or `auto`: the workflow's if it names some, else triton."
        ),
    ] = "auto",
    models: Annotated[list[Path], typer.Option(help="Model repository for `triton`; may be repeated.")] = [],  # noqa: B006
    service_time: Annotated[
        str, typer.Option(metavar="TIME", help="Of the fake server, for a request, as 20ms.")
    ] = "0",
    row_time: Annotated[str, typer.Option(metavar="TIME", help="Of the fake server, for a row.")] = "0",
    instances: Annotated[int, typer.Option(min=1, help="Requests that the server computes at once.")] = 1,
    settings: Settings = [],  # noqa: B006
    modifiers: Modifiers = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For what it finds; default: scan-NAME. A scan goes on there.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew in a folder that holds a scan.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    traceback: Traceback = False,
) -> None:
    """Run a workflow in many client processes against one server, and find where the server is full.

    Writes a table, scan.csv, scan.json, pictures and one page of HTML. Finished points are kept: the same command goes on
    where it was left. In an option of the workflow (-o), {client} is the number of the client.
    """
    from evproc.framework.cli.failures import INTERRUPTED, reported

    with reported(traceback):
        from evproc.framework.cli.workflow import load_with
        from evproc.framework.errors import ConfigurationError

        from .options import Lists
        from .points import grid
        from .scan import Folder, Setup, run_scan
        from .servers import Capacity, Kind, Servers, Shared

        lists = Lists()
        points = grid(
            lists.numbers(clients, "--clients"),
            lists.optional(batch, "--batch"),
            lists.optional(block, "--block"),
            lists.optional(streams, "--streams"),
            lists.times(latency, "--latency"),
            repeat,
        )
        capacity = Capacity(
            lists.times(service_time, "--service-time")[0], lists.times(row_time, "--row-time")[0], instances
        )
        lists.one_of(server, [kind.value for kind in Kind], "--server")
        if warm_up >= seconds:
            lists.wrong(f"{warm_up:g} s of {seconds:g} s leave nothing to measure", "--warm-up")
        if server != Kind.fake and (capacity.request or capacity.row):
            lists.wrong("is for --server fake", "--service-time or --row-time")
        if lists.faults:
            raise ConfigurationError(lists.faults)
        path = workflow.absolute()
        given = [text.replace("{client}", "1") for text in settings]
        loaded = load_with(path, given, ctx.obj, modifiers)
        if loaded.faults:
            raise ConfigurationError(loaded.faults)
        shared = Shared.of(loaded.process)
        kind = shared.kind(Kind(server))
        known = {"request": capacity.request, "row": capacity.row} if kind is Kind.fake else {}
        setup = Setup(
            str(path),
            tuple(ctx.obj.arguments if ctx.obj else ()),
            tuple(settings),
            tuple(modifiers),
            kind.value,
            {**known, "instances": instances},
            tuple(map(str, models)),
            seconds,
            warm_up,
        )
        folder = Folder.open(output or Path(f"scan-{path.stem}"), setup, fresh=fresh)
        show = _Progress(points, folder, quiet=quiet)
        interrupted = False
        try:
            with (
                _terminable(),
                Servers(shared, kind, capacity, models, sorted({point.latency_s for point in points})) as servers,
            ):
                if todo := [point for point in points if not folder.finished(point)]:
                    more = [*given, *servers.settings(todo[0].latency_s)]
                    _check(load_with(path, more, ctx.obj, modifiers))
                run_scan(folder, points, servers, list(shared.work), show)
        except KeyboardInterrupt:
            interrupted = True
            show.interrupted()
        results = [folder.results[point] for point in points if point in folder.results]
        _finish(folder, setup, results, loaded.process.name)
        if interrupted:
            typer.echo(f"Interrupted; {len(results)} of {len(points)} points are in {folder.path}", err=True)
            raise typer.Exit(INTERRUPTED)
        if any(result.measured is None for result in results):
            raise typer.Exit(POINTS_FAILED)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the scan as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check(loaded: Loaded) -> None:
    """Find all faults of the workflow before any client does. Raises ConfigurationError."""
    from evproc.framework import job
    from evproc.framework.errors import ConfigurationError

    faults, _ = job.check(loaded.process)
    if faults or loaded.faults:
        raise ConfigurationError(loaded.all_faults(faults))


class _Progress:
    """Says on stderr what is measured, and what was found."""

    def __init__(self, points: list[Point], folder: Folder, *, quiet: bool) -> None:
        self._number = {point: number for number, point in enumerate(points, 1)}
        self._quiet = quiet
        self._begun = False
        there = sum(map(folder.finished, points))
        if there and not quiet:
            typer.echo(f"{there} of {len(points)} points are in {folder.path} already", err=True)

    def __call__(self, point: Point, result: Result | None) -> None:
        if self._quiet:
            return
        self._begun = result is None
        if result is None:
            typer.echo(f"[{self._number[point]}/{len(self._number)}] {point}: ", nl=False, err=True)
        elif result.measured is None:
            typer.echo(f"failed: {result.error}", err=True)
        else:
            typer.echo(f"{result.measured.throughput:.4g} events/s", err=True)

    def interrupted(self) -> None:
        """End the line that was begun."""
        if self._begun:
            typer.echo("interrupted", err=True)


def _finish(folder: Folder, setup: Setup, results: list[Result], name: str) -> None:
    """Tables on the terminal, pictures and the page."""
    from evproc.framework.cli.summary import write as write_terminal
    from evproc.framework.errors import OutputError

    from .scan import write
    from .summary import lines

    if not results:
        return
    reports = {result.point: folder.reports(result.point) for result in results}
    found = lines(results, reports, int(setup.capacity.get("instances", 1)))
    try:
        from .plots import pictures

        drawn = pictures(results, found)
    except ImportError:
        drawn = {}
        typer.echo("no pictures: they need matplotlib, of evproc[plot]", err=True)
    from .page import page

    facts = {"machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"}
    for axis, picture in drawn.items():
        try:
            (folder.path / f"{axis}.png").write_bytes(picture)
        except OSError as error:
            raise OutputError(f"cannot write a picture in '{folder.path}': {error.strerror}") from error
    write(folder.path / "scan.html", page(f"Scan of {name}", setup, facts, results, found, drawn))
    write_terminal(shown(results, found), sys.stdout)
    typer.echo(f"\n{folder.path}: scan.html, scan.csv, scan.json{''.join(f', {axis}.png' for axis in drawn)}")


def shown(results: list[Result], found: list[Line]) -> Iterator[RenderableType]:
    """Tables for the terminal."""
    from rich.text import Text

    from evproc.framework.cli.summary import table

    from .page import LINES, POINTS, cells, line_cells

    rows = table(*(name if not place else f">{name}" for place, name in enumerate(POINTS)))
    for result in results:
        rows.add_row(*cells(result))
    yield rows
    yield Text()
    many = table(*(name if not place else f">{name}" for place, name in enumerate(LINES)))
    for line in found:
        many.add_row(*line_cells(line))
    yield many
    for result in results:
        if result.measured is None:
            yield Text(f"{result.point}: {result.error}", style="red")
