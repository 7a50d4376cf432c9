"""What the benchmarks share: measuring several sides in turn, ratios of them, the table and the last line.

Problem: absolute times on a shared machine move by a factor of two from minute to minute, ratios need not. Policy: the
sides of a comparison run in turn, many short rounds of all sides rather than one long run of each; the order is turned
round from one round to the next; the ratio is taken within each round, and its median over the rounds is the figure.
All sides run in the same process, with the same setting of the cycle collector (that of a job: it looks rarely), and
begin with nothing to collect. Cost: a machine whose load changes within a round still moves single ratios; the
quartiles that the table shows say by how much.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from evproc.framework.beside import COLLECTOR

T = TypeVar("T")


@dataclass(slots=True)
class Timing(Generic[T]):
    """One run of one side."""

    wall: float
    """s"""
    cpu: float
    """s of this process, all threads"""
    result: T


@dataclass(slots=True)
class Series:
    """All runs of one side, in the order of the rounds."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """Median wall time, s."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """Median CPU time, s."""
        return statistics.median(self.cpus)


@dataclass(slots=True)
class Spread:
    """The median of something measured in each round, with its quartiles."""

    median: float
    low: float
    high: float
    values: list[float]

    def __str__(self) -> str:
        return f"{number(self.median)}  [{number(self.low)}, {number(self.high)}]"


@dataclass(slots=True)
class Figure:
    """One figure that is held against a bar."""

    name: str
    spread: Spread
    bar: float
    goal: float | None
    at_most: bool
    """Whether it should be at most the bar (else at least)."""
    meaning: str
    unit: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return self.spread.median

    @property
    def verdict(self) -> str:
        """How it compares."""
        if self._holds(self.bar):
            return "goal" if self.goal is not None and self._holds(self.goal) else "bar"
        return "MISSED"

    def _holds(self, limit: float) -> bool:
        return self.value <= limit if self.at_most else self.value >= limit


@contextmanager
def calm_collector() -> Iterator[None]:
    """Nothing to collect at the begin, and the thresholds of a job."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def timed(run: Callable[[], T]) -> Timing[T]:
    """Run one side once."""
    with calm_collector():
        cpu, wall = time.process_time(), time.perf_counter()
        result = run()
        return Timing(time.perf_counter() - wall, time.process_time() - cpu, result)


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int, *, warm_up: bool = True) -> dict[str, Series]:
    """Run all sides in turn, `rounds` times; the first round after a warm-up counts."""
    series = {name: Series() for name in sides}
    if warm_up:
        for run in sides.values():
            timed(run)
    for turn in range(rounds):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            timing = timed(sides[name])
            series[name].walls.append(timing.wall)
            series[name].cpus.append(timing.cpu)
            series[name].results.append(timing.result)
    return series


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    ordered = sorted(values)
    if len(ordered) < 3:
        return Spread(statistics.median(ordered), ordered[0], ordered[-1], list(values))
    low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(middle, low, high, list(values))


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio within each round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def number(value: float) -> str:
    """A number with three or four figures."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def arguments(doc: str | None, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of a benchmark: `--quick`, and `--tiny` for the tests of the benchmarks themselves."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: rough figures in some seconds")
    parser.add_argument("--tiny", action="store_true", help="as few as possible: shows that it runs, measures nothing")
    return parser.parse_args(argv)


def by_size(options: argparse.Namespace, full: T, quick: T, tiny: T) -> T:
    """The value for the size that was asked for."""
    if options.tiny:
        return tiny
    return quick if options.quick else full


def machine() -> str:
    """What this ran on, in one line."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, {cores} cores{load}"


def show(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    figures: Sequence[Figure],
    notes: Sequence[str] = (),
) -> None:
    """Print a table of what was measured, a table of the figures, and the last line: the figures as JSON."""
    print(f"\n{title}  ({machine()})")
    _table(columns, rows)
    print()
    _table(
        ("figure", "median  [quartiles]", "bar", "goal", "holds", "what it is"),
        [
            (
                figure.name,
                f"{figure.spread}{' ' + figure.unit if figure.unit else ''}",
                _limit(figure.bar, figure),
                "-" if figure.goal is None else _limit(figure.goal, figure),
                figure.verdict,
                figure.meaning,
            )
            for figure in figures
        ],
    )
    for note in notes:
        print(f"  {note}")
    print()
    print(
        json.dumps(
            {
                figure.name: {"value": round(figure.value, 4), "bar": figure.bar, "goal": figure.goal}
                for figure in figures
            }
        ),
        flush=True,
    )


def _limit(limit: float, figure: Figure) -> str:
    return f"{'<=' if figure.at_most else '>='} {limit:g}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]
    for row in [columns, ["-" * width for width in widths], *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
