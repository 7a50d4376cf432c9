"""`evproc graph`: how data flow through a workflow, as text and as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evproc.framework.errors import ConfigurationError

from . import text
from .failures import reported
from .workflow import Customise, Modifiers, Settings, Traceback, WorkflowCommand, WorkflowFile, load_with

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evproc.framework.graph import Graph, Spent

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=WorkflowCommand)
def graph(
    ctx: typer.Context,
    workflow: WorkflowFile,
    settings: Settings = [],  # noqa: B006 - typer reads it, nobody changes it
    modifiers: Modifiers = [],  # noqa: B006
    customise: Customise = [],  # noqa: B006
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Draw it too: .svg, .png or .pdf.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.json", help="Show the time that a job has spent on each module."),
    ] = None,
    traceback: Traceback = False,
) -> None:
    """Show how data flow through a workflow: who makes what, who reads it, and the paths."""
    with reported(traceback):
        from evproc.framework.flow import resolve
        from evproc.framework.graph import build

        from .summary import write

        loaded = load_with(workflow, settings, ctx.obj, modifiers, customise)
        flow = resolve(loaded.process)
        faults = loaded.all_faults(flow.faults)
        made = build(loaded.process, flow)
        if report is not None:
            from evproc.framework.graph_times import add_times
            from evproc.framework.report_form import read_report

            add_times(made, read_report(report), str(report))
        write(_shown(made))
        if output is not None and not faults:
            from evproc.framework.graph_drawing import draw

            draw(made, output)
        if faults:
            raise ConfigurationError(faults)


def _shown(graph: Graph) -> Iterator[RenderableType]:
    """Modules by level, each with what it makes and for whom; then the paths."""
    from rich.table import Table
    from rich.text import Text

    yield Text(graph.name, style="bold")
    levels = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        levels.add_column(no_wrap=True)
    levels.add_column(overflow="fold")
    if graph.spent:
        levels.add_column(no_wrap=True)
    before = -1
    for node in graph.nodes.values():
        if node.level != before:
            levels.add_row()
            before = node.level
        spent = graph.spent.get(node.label)
        times = [Text(", ".join(filter(None, (spent.time, spent.wait))), style=_style(spent))] if spent else []
        levels.add_row(Text(node.label, style="bold"), node.kind, Text(node.type, style="dim"), *times)
        for edge in graph.edges:
            if edge.maker == node.label:
                levels.add_row("", f"-> {', '.join(edge.readers)}", edge.text)
    yield levels
    lanes = Table.grid(padding=(0, 2, 0, 0))
    for lane in graph.lanes:
        order = " > " if lane.kind == "path" else ", "
        members = [shown + _selected(graph, member) for member, shown in zip(lane.members, lane.shown, strict=True)]
        lanes.add_row(lane.kind, Text(lane.label, style="bold"), order.join(members))
    yield Text()
    yield lanes


def _style(spent: Spent) -> str:
    return "bold red" if spent.share > 0.5 else "yellow" if spent.share > 0.1 else ""


def _selected(graph: Graph, member: str) -> str:
    paths = graph.selections.get(member)
    return f" (events of {text.names(paths)})" if paths else ""
