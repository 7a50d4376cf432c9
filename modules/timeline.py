"""The time line of a job as a picture, and how much of its work went on at the same time; from the trace that it wrote.

    evproc run workflows/reconstruction.py --trace trace.json
    python -m evproc.modules.timeline trace.json timeline.png

Perfetto shows a trace in full, to look around in. This is for a page: the streams with their modules, the servers with
their requests, one below the other, and the figures of the overlap. Intervals of one kind are joined before they are
added, so that nothing counts twice: `at once` is the time in which requests for two models or more were under way,
`parts` the CPU's time plus that of each model as if one had followed the other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from evproc.framework.errors import InputError, OutputError

Interval: TypeAlias = tuple[float, float]
"""Begin and end, s since the job began."""
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
MODULES = ("acquire", "run", "collect", "tail")
"""Kinds of slices in which a module has the CPU."""


@dataclass(slots=True)
class TimeLine:
    """What a trace says, by track."""

    streams: dict[str, list[tuple[str, Interval]]] = field(default_factory=dict)
    """Per stream: modules, while they have the CPU."""
    servers: dict[str, list[tuple[str, Interval]]] = field(default_factory=dict)
    """Per server and request slot: models, while a request is under way."""
    wall: float = 0.0
    """From the first slice to the last, s."""

    @property
    def models(self) -> dict[str, list[Interval]]:
        """Per model, when requests were under way; joined."""
        found: dict[str, list[Interval]] = {}
        for slices in self.servers.values():
            for name, interval in slices:
                found.setdefault(name, []).append(interval)
        return {name: joined(intervals) for name, intervals in sorted(found.items())}

    @property
    def busy(self) -> list[Interval]:
        """When a module had the CPU; joined."""
        return joined(interval for slices in self.streams.values() for _, interval in slices)

    def figures(self) -> dict[str, float]:
        """Seconds: `wall`, `CPU`, one for each model, `at once` and `parts`; see the head of this file."""
        models = {name: length(intervals) for name, intervals in self.models.items()}
        cpu = length(self.busy)
        edges = sorted(
            (at, step)
            for intervals in self.models.values()
            for interval in intervals
            for at, step in zip(interval, (1, -1), strict=True)
        )
        together, last, at_once = 0, 0.0, 0.0
        for at, step in edges:
            at_once += (at - last) * (together >= 2)
            together, last = together + step, at
        return {"wall": self.wall, "CPU": cpu, **models, "at once": at_once, "parts": cpu + sum(models.values())}


def joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times as intervals that do not touch, in order."""
    found: list[Interval] = []
    for begin, end in sorted(intervals):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def length(intervals: Sequence[Interval]) -> float:
    """The sum of their lengths, s; they do not touch."""
    return sum(end - begin for begin, end in intervals)


def read_time_line(path: str | Path) -> TimeLine:
    """The time line in a trace that `Tracer` wrote. Raises InputError if it is none."""
    try:
        events: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))["traceEvents"]
        names = {(each["pid"], each["tid"], each["name"]): each["args"] for each in events if each["ph"] == "M"}
        slices = [each for each in events if each["ph"] == "X"]
        line = TimeLine()
        if not slices:
            return line
        start = min(each["ts"] for each in slices)
        line.wall = (max(each["ts"] + each["dur"] for each in slices) - start) / 1e6
        for each in slices:
            begin = (each["ts"] - start) / 1e6
            interval = (begin, begin + each["dur"] / 1e6)
            track = str(names[each["pid"], each["tid"], "thread_name"]["name"])
            if each["cat"] in MODULES:
                line.streams.setdefault(track, []).append((each["name"].split(" ")[0], interval))
            elif each["cat"] == "request":
                server = str(names[each["pid"], 0, "process_name"]["name"])
                line.servers.setdefault(f"{server}\n{track}", []).append((each["name"].split(":")[0], interval))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a trace of evproc: {error!r}") from error
    return line


def draw(line: TimeLine, path: str | Path) -> Path:
    """Draw the tracks, one below the other; a PNG file. Raises OutputError if it cannot be written."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    path = Path(path)
    servers = {name.split("\n")[0]: number for number, name in enumerate(sorted(line.servers), start=1)}
    order = {url: number for number, url in enumerate(sorted(servers), start=1)}
    tracks = [(name, line.streams[name]) for name in sorted(line.streams, key=_numbered)]
    for name in sorted(line.servers, key=_numbered):
        url, slot = name.split("\n")
        tracks.append((f"server {order[url]}, {slot.replace('requests', 'request')}", line.servers[name]))
    kinds = list(dict.fromkeys(name for _, slices in tracks for name, _ in slices))
    colour = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(kinds)}
    figure = Figure(figsize=(12, 1.8 + 0.34 * len(tracks)))
    axes = figure.subplots()
    for row, (_, slices) in enumerate(tracks):
        for name, (begin, end) in slices:
            axes.broken_barh([(begin, end - begin)], (row - 0.4, 0.8), color=colour[name], linewidth=0)
    axes.set_yticks(range(len(tracks)), [name for name, _ in tracks])
    axes.set_ylim(len(tracks) - 0.4, -0.6)
    axes.set_xlim(0.0, max(line.wall, 1e-6))
    axes.axhline(len(line.streams) - 0.5, color="0.3", linewidth=0.8)
    axes.set_xlabel("time [s]")
    axes.legend(
        handles=[Patch(color=colour[name], label=name) for name in kinds],
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        frameon=False,
    )
    try:
        figure.savefig(path, dpi=110, bbox_inches="tight", format="png")
    except OSError as error:
        raise OutputError(f"cannot write the picture {path}: {error}") from error
    return path


def _numbered(name: str) -> tuple[str, int]:
    """Tracks in the order of their numbers."""
    head, _, number = name.rpartition(" ")
    return (head, int(number)) if number.isdigit() else (name, 0)


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m evproc.modules.timeline trace.json timeline.png`."""
    parser = argparse.ArgumentParser(
        prog="python -m evproc.modules.timeline", description="Draw the time line of a job from its trace."
    )
    parser.add_argument("trace", type=Path, help="what `evproc run --trace` wrote")
    parser.add_argument("picture", type=Path, help="the PNG file to draw")
    chosen = parser.parse_args(arguments)
    line = read_time_line(chosen.trace)
    draw(line, chosen.picture)
    figures = line.figures()
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items()))  # noqa: T201
    if figures["wall"]:
        print(f"the parts, one after the other, would take {figures['parts'] / figures['wall']:.2f} times as long")  # noqa: T201


if __name__ == "__main__":
    main()
