"""The tables at the end of a job."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from . import text
from .measured import measured, precise

if TYPE_CHECKING:
    from evproc.framework.input_report import InputReport
    from evproc.framework.report import Report

PIPED_WIDTH = 200
"""Columns when the output is no terminal: a table is as wide as it needs, nothing wraps."""
SHOWN_LOSSES = 20


def write(items: Iterable[RenderableType], stream: TextIO | None = None) -> None:
    """Write tables and lines, in colour and to the width of a terminal, or plain and without trailing blanks elsewhere."""
    out: TextIO = sys.stdout if stream is None else stream
    if out.isatty():
        console = Console(file=out, highlight=False)
        for item in items:
            console.print(item, soft_wrap=isinstance(item, Text))
        return
    buffer = io.StringIO()
    console = Console(file=buffer, width=PIPED_WIDTH, color_system=None, force_terminal=False, highlight=False)
    for item in items:
        console.print(item, soft_wrap=isinstance(item, Text))
    out.write("".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines()))
    out.flush()


def table(*columns: str, shrink: str = "") -> Table:
    """A table without lines. A column whose name begins with `>` is flushed right; only `shrink` gives way if it must."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        title = name.removeprefix(">")
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        made.add_column(title, justify=justify, no_wrap=title != shrink, overflow="fold")
    return made


def summary(report: Report) -> Iterator[RenderableType]:
    """What a job did, as lines and tables; the last line says what limits it."""
    yield _headline(report)
    yield _times(report)
    yield Text()
    yield _modules(report)
    if report.paths:
        yield Text()
        yield _paths(report)
    if report.failures:
        yield Text()
        yield _failures(report)
    models = [model for figures in report.services.values() for model in figures.get("models") or ()]
    if models:
        yield Text()
        yield _models(models)
        if any(model.get("waiting_s") is not None for model in models):
            yield Text()
            yield _split(models)
    yield from measured(report)
    if report.outputs:
        yield Text()
        yield _outputs(report)
    if report.input.left_out or report.input.lost:
        yield Text()
        yield from _input(report.input)
    if report.warnings:
        yield Text()
        yield from (Text.assemble(("warning: ", "yellow"), warning) for warning in report.warnings)
    if report.limit:
        yield Text()
        yield Text(report.limit, style="bold green")


def _headline(report: Report) -> Text:
    per_second = report.events / report.wall_s if report.wall_s > 0 else 0.0
    facts = [f"{text.count(report.events, 'event')} in {text.duration(report.wall_s)}"]
    facts += [text.rate(per_second)] if report.events else []
    facts += [text.count(report.blocks, "block"), f"{report.peak_memory_mb:,.0f} MB at most"]
    head = Text.assemble((report.process, "bold"), f": {', '.join(facts)}")
    if report.interrupted:
        head.append("\nInterrupted: the outputs hold the events done so far.", style="bold yellow")
    elif report.ended:
        head.append(f"\nEnded early: {report.ended}.", style="bold yellow")
    if report.failed_events:
        share = text.percent(report.failed_events, report.events)
        again = f"; run them again with --only {report.failed_events_file}" if report.failed_events_file else ""
        failed = "1 event has failed" if report.failed_events == 1 else f"{report.failed_events:,} events have failed"
        head.append(f"\n{failed} ({share}){again}.", style="bold yellow")
    if report.input.lost:
        head.append(f"\n{lost_input(report.input)}; the files are listed below.", style="bold red")
    return head


def lost_input(report: InputReport) -> str:
    """That some of the input could not be read, and how much, in a line."""
    known = sum(lost.events or 0 for lost in report.lost)
    unknown = {lost.file for lost in report.lost if lost.events is None}
    parts = [text.count(known, "event")] if known else []
    if unknown:
        parts.append(f"an unknown number in {text.count(len(unknown), 'file')}")
    return f"Some of the input could not be read and is lost: {' and '.join(parts)}"


def _input(report: InputReport) -> Iterator[Text]:
    """What was not processed, and why."""
    if report.left_out:
        parts = [f"{count:,} by {why}" for why, count in report.left_out.items()]
        yield Text(f"left out: {', '.join(parts)}")
    for lost in report.lost[:SHOWN_LOSSES]:
        what = "all of it" if lost.first is None else f"entries {lost.first:,} to {lost.last:,}"
        events = "" if lost.events is None else f" ({text.count(lost.events, 'event')})"
        yield Text.assemble(("lost: ", "bold red"), f"{lost.file}, {what}{events}: {lost.reason}")
    if len(report.lost) > SHOWN_LOSSES:
        yield Text.assemble(
            ("lost: ", "bold red"), f"{len(report.lost) - SHOWN_LOSSES:,} times more; see the JSON report"
        )


def _times(report: Report) -> Text:
    parts = {
        "busy": report.busy_s,
        "waiting for answers": report.waiting_external_s,
        "waiting for input": report.waiting_input_s,
    }
    said = [f"{text.percent(part, report.wall_s)} {name}" for name, part in parts.items() if report.wall_s > 0]
    return Text(", ".join(said), style="dim")


def _modules(report: Report) -> Table:
    waits = any(module.external_wait_s for module in report.modules)
    made = table("module", "kind", ">events", ">passed", ">CPU", ">share", *([">external wait"] if waits else []))
    for module in report.modules:
        made.add_row(
            module.label,
            module.kind,
            f"{module.calls:,}",
            "" if module.passed is None else f"{module.passed:,}",
            text.duration(module.cpu_s) if module.cpu_s else "",
            text.percent(module.cpu_s, report.wall_s) if module.cpu_s else "",
            *([text.duration(module.external_wait_s) if module.external_wait_s else ""] if waits else []),
        )
    return made


def _paths(report: Report) -> Table:
    """Each path, and below it the filters and what they rejected; modules only where they failed."""
    fails = any(path.exceptions for path in report.paths)
    made = table("path", ">events", ">passed", ">rejected", *([">exceptions"] if fails else []), ">share")
    for path in report.paths:
        broken = [f"{path.exceptions:,}"] if fails else []
        share = text.percent(path.passed, path.events)
        made.add_row(path.label, f"{path.events:,}", f"{path.passed:,}", f"{path.failed:,}", *broken, share)
        for module in path.modules:
            if module.filter or module.exceptions:
                broken = [f"{module.exceptions:,}"] if fails else []
                passed = module.events - module.rejected - module.exceptions
                share = text.percent(passed, module.events)
                rejected = f"{module.rejected:,}" if module.filter else ""
                made.add_row(f"  {module.shown}", f"{module.events:,}", f"{passed:,}", rejected, *broken, share)
    return made


def _failures(report: Report) -> Table:
    made = table("failed module", "error", "action", ">events", "first", shrink="first")
    for failure in report.failures:
        made.add_row(failure.module, failure.error, failure.action, f"{failure.events:,}", failure.first)
    return made


def _models(models: list[dict[str, Any]]) -> Table:
    made = table("model", "server", ">rows", ">requests", ">rows/req.", ">median", ">99 %", ">retries", shrink="server")
    for model in models:
        made.add_row(
            str(model.get("model", "")),
            str(model.get("server", "")),
            _figure(model.get("rows")),
            _figure(model.get("requests")),
            _figure(model.get("rows_per_request")),
            _latency(model.get("latency_median_s")),
            _latency(model.get("latency_p99_s")),
            _figure(model.get("retries")),
        )
    return made


def _split(models: list[dict[str, Any]]) -> Table:
    """Where the time of a request goes, what an event takes, and what went wrong."""
    parts = ("waiting_s", "wire_s", "server_queue_s", "server_compute_s")
    made = table(
        *("time of a request", "server", ">waits here", ">wire", ">server queue", ">server compute"),
        *(">sent/event", ">received", ">failures", ">circuit opened"),
        shrink="server",
    )
    for model in models:
        made.add_row(
            str(model.get("model", "")),
            str(model.get("server", "")),
            *("?" if model.get(part) is None else precise(model[part]) for part in parts),
            text.size(round(model.get("sent_bytes_per_event") or 0)),
            text.size(round(model.get("received_bytes_per_event") or 0)),
            _figure(model.get("failures")),
            _figure(model.get("circuit_opened")),
        )
    return made


def _figure(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int) or (value or 0) >= 100 else f"{value or 0:.3g}"


def _latency(value: Any) -> str:
    return text.duration(float(value)) if value is not None else ""


def _outputs(report: Report) -> Table:
    made = table("output", ">events", ">size", "file", shrink="file")
    for output in report.outputs:
        made.add_row(output.label, f"{output.events:,}", text.size(output.nbytes), output.file)
    return made
