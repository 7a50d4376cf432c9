"""Pictures of a scan: throughput and latency against each thing that was varied. PNG, as bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from evproc.sonic_client.planning.law import event_time

from .points import AXES, TITLES, Measured, Point, Result, said
from .summary import Line

COLOURS = ("#3f90da", "#bd1f01", "#94a4a2", "#832db6", "#ffa90e", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
"""Of M. Petroff's accessible colour cycle (arXiv:2107.02270)."""


def pictures(results: Iterable[Result], lines: Sequence[Line]) -> dict[str, bytes]:
    """Name of the axis -> a picture, for each axis with more than one value; of `clients` if there is none."""
    good = [(result.point, result.measured) for result in results if result.measured is not None]
    varied = [axis for axis in AXES if len({getattr(point, axis) for point, _ in good}) > 1]
    return {axis: _picture(axis, varied, good, lines) for axis in varied or AXES[:1]} if good else {}


def _picture(axis: str, varied: Sequence[str], good: Sequence[tuple[Point, Measured]], lines: Sequence[Line]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained")
    axes: Any = figure.subplots(2, 1, sharex=True)
    upper, lower = axes
    others = [name for name in varied if name != axis]
    groups: dict[tuple[Any, ...], dict[float, list[Measured]]] = {}
    for point, measured in good:
        value = getattr(point, axis)
        if value is not None:
            group = groups.setdefault(tuple(getattr(point, name) for name in others), {})
            group.setdefault(value, []).append(measured)
    for (key, found), colour in zip(groups.items(), COLOURS * (1 + len(groups) // len(COLOURS)), strict=False):
        name = ", ".join(said(other, value) for other, value in zip(others, key, strict=True))
        places = sorted(found)
        _spread(upper, places, [[each.throughput for each in found[place]] for place in places], colour, name)
        median_ms = [[1e3 * each.latency_median_s for each in found[place]] for place in places]
        _spread(lower, places, median_ms, colour, name)
        late = [1e3 * median(each.latency_p99_s for each in found[place]) for place in places]
        lower.plot(places, late, ":", color=colour, linewidth=1)
    if axis == "clients":
        _laws(upper, lines, max(point.clients for point, _ in good))
    upper.set_ylabel("Events/s, all clients")
    lower.set_ylabel("Latency of a request, ms\n(median; dotted: 99 %)")
    lower.set_xlabel(TITLES[axis])
    for part in (upper, lower):
        part.set_ylim(bottom=0)
        if axis in ("batch", "block"):
            values = sorted({value for found in groups.values() for value in found})
            part.set_xscale("log")
            part.set_xticks(values, labels=[f"{value:g}" for value in values])
            part.minorticks_off()
    handles, names = upper.get_legend_handles_labels()
    if any(names):
        upper.legend(handles, names, frameon=False, fontsize="small")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


def _spread(axes: Any, places: Sequence[float], values: Sequence[Sequence[float]], colour: str, name: str) -> None:
    """Medians as points; from the smallest to the largest of the repeats as bars."""
    middles = [median(each) for each in values]
    low = [middle - min(each) for middle, each in zip(middles, values, strict=True)]
    high = [max(each) - middle for middle, each in zip(middles, values, strict=True)]
    axes.errorbar(places, middles, yerr=[low, high], fmt="o", color=colour, label=name, markersize=5, capsize=2)


def _laws(axes: Any, lines: Sequence[Line], most: int) -> None:
    """What a plan says, from the point with the fewest clients."""
    grid = [1 + (most - 1) * step / 200 for step in range(201)]
    for line, colour in zip(lines, COLOURS * (1 + len(lines) // len(COLOURS)), strict=False):
        if line.plan is not None:
            rates = [clients / event_time(line.plan, clients) for clients in grid]
            axes.plot(grid, rates, "-", color=colour, linewidth=1, alpha=0.8)
    if any(line.plan is not None for line in lines):
        axes.plot([], [], "-", color="0.4", linewidth=1, label="plan, from the fewest clients")
