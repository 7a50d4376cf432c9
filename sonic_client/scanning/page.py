"""A scan as one page of HTML that needs nothing else: tables, pictures within it, and how it was measured."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from evproc import __version__

from .points import TITLES, Result
from .scan import Setup
from .summary import Line

STYLE = """body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15rem .7rem;text-align:right;
border-bottom:1px solid #ddd}th{border-bottom:2px solid #888}td:first-child,th:first-child{text-align:left}
img{max-width:100%}code{background:#f2f2f2;padding:.1rem .3rem}.bad{color:#a00}.note{color:#555}"""
POINTS = (
    "point",
    "events/s",
    "event",
    "requests",
    "rows each",
    "median",
    "99 %",
    "client busy",
    "server busy",
    "failed",
)
LINES = (
    "line",
    "event, measured",
    "by the plan",
    "capacity, measured",
    "by the plan",
    "saturates at",
    "by the plan",
    "ratio",
)


def page(
    title: str,
    setup: Setup,
    facts: Mapping[str, str],
    results: Sequence[Result],
    lines: Sequence[Line],
    pictures: Mapping[str, bytes],
) -> str:
    """The page. facts: what else there is to say of how it was measured."""
    parts = [f"<h1>{escape(title)}</h1>", _facts({**_of(setup), **facts})]
    for axis, picture in pictures.items():
        data = base64.b64encode(picture).decode()
        about = escape(TITLES[axis].lower())
        parts.append(
            f'<h2>By {about}</h2>\n<img alt="Throughput and latency by {about}" src="data:image/png;base64,{data}">'
        )
    parts.append("<h2>Saturation</h2>")
    parts.append(_table(LINES, [line_cells(line) for line in lines]))
    parts.append(
        '<p class="note">The plan is made of the reports of the line\'s point with the fewest clients alone: it predicts the '
        "others. Its law is drawn in the pictures.</p>"
    )
    parts.append("<h2>Points</h2>")
    parts.append(_table(POINTS, [cells(result) for result in results]))
    failed = [result for result in results if result.measured is None]
    parts += [f'<p class="bad">{escape(str(result.point))}: {escape(result.error)}</p>' for result in failed]
    parts.append(
        '<p class="note">Each client is a process that runs the workflow; all of a point begin together. Events count in the '
        "time in which all clients run, after the time of warming up; a block that is partly in it counts with that part. "
        "Latency is that of requests that were answered in it, from sending to having the answer.</p>"
    )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def cells(result: Result) -> list[str]:
    """A row for a point."""
    found = result.measured
    if found is None:
        return [str(result.point), "failed", *[""] * (len(POINTS) - 2)]
    return [
        str(result.point),
        f"{found.throughput:.4g}",
        _time(found.event_s),
        str(found.requests),
        f"{found.rows_per_request:.4g}",
        _time(found.latency_median_s),
        _time(found.latency_p99_s),
        f"{found.client_busy:.0%}",
        "-" if found.server_busy is None else f"{found.server_busy:.0%}",
        str(found.failures),
    ]


def line_cells(line: Line) -> list[str]:
    """A row for a line."""
    fitted, plan, planned = line.fitted, line.plan, line.planned
    reached = fitted.clients if fitted else None
    return [
        line.name or "all",
        "-" if fitted is None else _time(fitted.event_s),
        "-" if plan is None else _time(plan.t_alone),
        "-" if fitted is None or fitted.capacity is None else f"{fitted.capacity:.4g}/s",
        "-" if plan is None else f"{1 / plan.t_shared:.4g}/s",
        "not reached" if reached is None else f"{reached:.3g} clients",
        "-" if planned is None else f"{planned:.3g} clients",
        "-" if planned is None or reached is None else f"{reached / planned:.3f}",
    ]


def _time(seconds: float) -> str:
    from evproc.sonic_client.planning.units import seconds as shown

    return shown(seconds)


def _of(setup: Setup) -> dict[str, str]:
    """How it was measured, for readers."""
    server = setup.server
    if setup.capacity:
        server += f" ({', '.join(f'{name} {value:g}' for name, value in setup.capacity.items())})"
    facts = {"workflow": " ".join([setup.workflow, *setup.arguments]), "server": server}
    if setup.settings:
        facts["settings"] = ", ".join(setup.settings)
    facts["measured"] = f"{setup.seconds:g} s for each point, of which the first {setup.warm_up:g} s do not count"
    facts["made by"] = f"evproc {__version__}"
    return facts


def _facts(facts: Mapping[str, str]) -> str:
    return (
        "<p>" + "<br>\n".join(f"{escape(name)}: <code>{escape(text)}</code>" for name, text in facts.items()) + "</p>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>\n{body}</table>"
