"""The tables of what services measured: times per event, memory of products."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from evproc.framework.report import Report

SLOWEST = 5
"""Events that are named as the slowest of the job."""


def measured(report: Report) -> Iterator[RenderableType]:
    """The tables of the services that have measured something."""
    from rich.text import Text

    for figures in report.services.values():
        if figures.get("timing"):
            yield Text()
            yield _timing(figures["timing"])
            yield from _slowest(figures["timing"])
        if figures.get("memory"):
            yield Text()
            yield _memory(figures["memory"])
            held = f"All products together held {text.size(figures['products_peak'])} at most"
            grown = text.size(max(0, figures["resident_peak"] - figures["resident_begin"]))
            yield Text(f"{held}; the process grew by {grown} while the job ran.")


def _timing(entries: list[dict[str, Any]]) -> Table:
    from .summary import table

    made = table("time per event", "", ">timed", ">median", ">mean", ">99 %", ">slowest")
    for entry in entries:
        times = (precise(entry[key]) for key in ("median_s", "mean_s", "p99_s", "max_s"))
        made.add_row(entry["module"], entry["phase"], f"{entry['timed']:,}", *times)
    return made


def _slowest(entries: list[dict[str, Any]]) -> Iterator[RenderableType]:
    from rich.text import Text

    found = [(event["seconds"], event["event"], entry) for entry in entries for event in entry["slowest"]]
    found.sort(key=lambda item: item[0], reverse=True)
    if found:
        yield Text()
        yield Text("slowest of the events that were timed", style="bold")
    for seconds, (run, block, event), entry in found[:SLOWEST]:
        name = f"run {run}, luminosity block {block}, event {event}"
        yield Text(f"{precise(seconds)}  {entry['module']} {entry['phase']}  {name}")


def _memory(entries: list[dict[str, Any]]) -> Table:
    from .summary import table

    made = table("products of", ">made", ">per event", ">held at most", ">process grew by")
    for entry in sorted(entries, key=lambda entry: entry["held_peak"], reverse=True):
        grown = text.size(entry["growth"]) if entry["growth"] > 0 else ""
        if entry["made"] or grown:
            sizes = (text.size(entry[key]) if entry["made"] else "" for key in ("made", "per_event", "held_peak"))
            made.add_row(entry["module"], *sizes, grown)
    return made


def precise(seconds: float) -> str:
    """A time that may be short: `83 ns`, `4.21 us`; else as `text.duration` says it."""
    if seconds < 0.9995e-6:
        return f"{seconds * 1e9:.0f} ns"
    return f"{seconds * 1e6:.3g} us" if seconds < 0.9995e-3 else text.duration(seconds)
