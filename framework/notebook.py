"""What a notebook shows: processes, reports and results as tables, and a bar while a job runs.

All of it is plain HTML that takes its colours from the notebook. The bar is drawn anew whenever the job reports progress, by
the thread that called `process.run()`, since a notebook puts what other threads show where it likes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from .cli import text
from .flow import kind_of
from .module import ExternalWork

if TYPE_CHECKING:
    from .process import Process
    from .report import Progress, Report
    from .result import Result

_CELL = "text-align:{};padding:1px 1em 1px 0;vertical-align:top"
_BAR = (
    '<div style="width:{width};height:{height};border:1px solid #8888;border-radius:3px;overflow:hidden">'
    '<div style="width:{share:.2f}%;height:100%;background:{colour}"></div></div>'
)
RUNS, DONE, FAILED = "#3b8ea5", "#4b9b5f", "#b5483a"


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, which can show HTML and change it afterwards."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def shown(progress: Callable[[Progress], None] | bool | None) -> Iterator[Callable[[Progress], None] | None]:
    """What is called with the progress of a job: None means a bar in a notebook and nothing elsewhere, True a bar anywhere."""
    if progress is None:
        progress = in_notebook()
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    elif in_notebook():
        with NotebookBar() as bar:
            yield bar
    else:
        from .cli.display import display_for

        with display_for(sys.stderr, 1.0) as display:
            yield display


class NotebookBar:
    """A bar in a cell of a notebook, drawn anew as the job goes on; it stays when the job has ended, or failed."""

    def __init__(self, show: Callable[[str], Callable[[str], None]] | None = None) -> None:
        #: shows some HTML, and returns what puts other HTML into its place
        self._show = show or _show
        self._update: Callable[[str], None] | None = None
        self._last: Progress | None = None

    def __enter__(self) -> NotebookBar:
        self._update = self._show("<div>Checking the workflow ...</div>")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        assert self._update is not None
        if kind is not None:
            self._update(bar_html(self._last, FAILED, "failed" if self._last else "failed before the first event"))

    def __call__(self, progress: Progress) -> None:
        """Draw the bar anew."""
        assert self._update is not None
        self._last = progress
        self._update(bar_html(progress, DONE if progress.done else RUNS))


def _show(html: str) -> Callable[[str], None]:
    import IPython.display

    shows: Any = IPython.display
    handle = shows.display(shows.HTML(html), display_id=True)
    return lambda other: handle.update(shows.HTML(other))


def bar_html(progress: Progress | None, colour: str, said: str = "") -> str:
    """How far a job has come, as a bar and a line."""
    if progress is None:
        return f"<div>{escape(said)}</div>"
    known = bool(progress.total)
    share = 100 * progress.events / progress.total if progress.total else 100 * progress.done
    bar = _BAR.format(width="30em", height="0.8em", share=min(100.0, share), colour=colour)
    of = f" of {text.count(progress.total, 'event')}" if known and progress.total else " events"
    facts = [f"{progress.events:,}{of}", *_facts(progress)]
    return f"<div>{bar}<small>{escape(', '.join([*([said] if said else []), *facts]))}</small></div>"


def _facts(progress: Progress) -> list[str]:
    if progress.done:
        return [f"in {text.duration(progress.elapsed_s)}", *([text.rate(progress.rate)] if progress.rate else [])]
    from .cli.display import facts

    return facts(progress)


def process_html(process: Process) -> str:
    """A process: its modules with what was set, its paths, tasks and services."""
    parts = {**process.modules, **process.services}
    rows = []
    for label, part in parts.items():
        kind = kind_of(part) or "service" if label in process.modules else "service"
        set_here = ", ".join(f"{key}={_short(value)}" for key, value in part._parameters.items())
        external = "external " if isinstance(part, ExternalWork) else ""
        wrong = "; ".join(str(fault.message) for fault in part.faults())
        rows.append((label, f"{external}{kind}", type(part).__name__, wrong or set_here))
    tables = {"path": process.paths, "end path": process.end_paths, "task": process.tasks}
    lanes = [
        (label, kind, ", ".join(members.labels())) for kind, table in tables.items() for label, members in table.items()
    ]
    return (
        f"<div><b>{escape(process.name)}</b>"
        + table(("label", "kind", "type", "set"), rows)
        + (table(("label", "kind", "modules"), lanes) if lanes else "")
        + "</div>"
    )


def report_html(report: Report) -> str:
    """What a job did."""
    rate = f", {text.rate(report.events / report.wall_s)}" if report.events and report.wall_s > 0 else ""
    head = f"{text.count(report.events, 'event')} in {text.duration(report.wall_s)}{rate}"
    found = [f"<b>{escape(report.process)}</b>: {escape(head)}"]
    if report.interrupted:
        found.append("<b>Interrupted: the outputs hold the events done so far.</b>")
    if report.ended:
        found.append(escape(report.ended))
    rows = [
        (
            module.label,
            module.kind,
            f"{module.calls:,}",
            "" if module.passed is None else f"{module.passed:,}",
            text.duration(module.cpu_s) if module.cpu_s else "",
            _share(module.cpu_s, report.wall_s),
        )
        for module in report.modules
    ]
    found.append(table(("module", "kind", ">events", ">passed", ">CPU", "share"), rows))
    if report.paths:
        passed = [
            (path.label, f"{path.events:,}", f"{path.passed:,}", _share(path.passed, path.events))
            for path in report.paths
        ]
        found.append(table(("path", ">events", ">passed", "share"), passed))
    if report.failed_events:
        failed = [(str(item.id), item.module, item.error, item.message) for item in report.failed[:20]]
        found.append(f"{text.count(report.failed_events, 'event')} failed")
        found.append(table(("event", "module", "error", ""), failed))
    if report.outputs:
        written = [(out.label, f"{out.events:,}", text.size(out.nbytes), out.file) for out in report.outputs]
        found.append(table(("output", ">events", ">size", "file"), written))
    found += [f"warning: {escape(warning)}" for warning in report.warnings]
    found += [f"<i>{escape(report.limit)}</i>"] if report.limit else []
    return f"<div>{'<br>'.join(found).replace('</table><br>', '</table>').replace('<br><table', '<table')}</div>"


def result_html(result: Result) -> str:
    """What a job did, and its histograms, as they show themselves."""
    drawn = [
        f'<div style="display:inline-block;margin-right:1em"><b>{escape(name)}</b><br>{histogram._repr_html_()}</div>'
        for name, histogram in result.histograms.items()
        if hasattr(histogram, "_repr_html_")
    ]
    return report_html(result) + "".join(drawn)


class Raw(str):
    """HTML, not to be escaped."""

    __slots__ = ()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a column whose name begins with `>` is flushed right."""
    sides = ["right" if name.startswith(">") else "left" for name in columns]
    head = "".join(
        f'<th style="{_CELL.format(side)}">{escape(name.removeprefix(">"))}</th>'
        for name, side in zip(columns, sides, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_CELL.format(side)}">{cell if isinstance(cell, Raw) else escape(cell)}</td>'
            for cell, side in zip(row, sides, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f'<table style="border:none;margin:0.5em 0"><tr>{head}</tr>{body}</table>'


def _share(part: float, whole: float) -> Raw:
    share = 100 * part / whole if whole > 0 else 0.0
    bar = _BAR.format(width="6em", height="0.7em", share=min(100.0, share), colour=RUNS)
    return Raw(f'<span title="{escape(text.percent(part, whole))}">{bar}</span>')


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
