"""The cost of the engine: ten per-event modules that do nothing, against the same ten calls in a loop written by hand.

    python -m benchmarks.loop [--quick]

Each module puts one product, a constant, so nothing but the calls and the engine is measured. The loop by hand calls
the same ten bound methods for the same number of events, which are there beforehand, and throws the results away. The
job is measured whole: checking, compiling, its own events, its reader's thread, the end. `wait_us` adds one module with
external work to the job: the work of many events together awaits a timer of 1 ms; all that this costs beyond the ten
modules counts: the CPU time of all threads, and the time when the job could do nothing but wait. (On a machine with
nothing else to do, that is the wall time; unlike the wall time it does not double when other programs take half of the
core.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show, spread
from evproc.framework import (
    Analyzer,
    Catalog,
    Chunk,
    EndPath,
    Event,
    EventIDs,
    ExternalProducer,
    Flat,
    Path,
    Process,
    Producer,
    Source,
)

MODULES = 10
CHUNK = 20_000
WAIT = 0.001  # s


class Numbers(Source):
    """Events in memory, with one number each."""

    def __init__(self, events: int = 0) -> None:
        super().__init__()
        self.events = events

    def catalog(self) -> Catalog:
        """One product, `number`."""
        return Catalog({"number": "int64"}, events=self.events)

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events; `number` counts them."""
        for first in range(0, self.events, CHUNK):
            count = min(CHUNK, self.events - first)
            columns = {"number": Flat(np.arange(first, first + count))} if "number" in keys else {}
            yield Chunk(EventIDs.numbered(first, count), dict(columns), "numbers", nbytes=8 * count)


class Constant(Producer):
    """Puts one product and does nothing else."""

    produces = "float64"

    def produce(self, event: Event) -> float:
        """One."""
        return 1.0


class Waiter(ExternalProducer):
    """Waits, once for many events."""

    produces = "float64"

    def acquire(self, event: Event) -> float:
        """Nothing to prepare."""
        return 1.0

    async def external(self, work: list[Any]) -> Sequence[Any]:
        """Waits for a timer."""
        await asyncio.sleep(WAIT)
        return work

    def produce(self, event: Event, result: float) -> float:
        """What came of the work."""
        return result


class Collector(Analyzer):
    """Keeps the sum of all products of each event; for the check that is not timed."""

    consumes = (*(f"m{place}" for place in range(MODULES)), "wait")

    def begin_job(self, job: Any) -> None:
        """Forget."""
        self.sums: list[float] = []

    def analyze(self, event: Event) -> None:
        """Keep the sum."""
        self.sums.append(sum(event[key] for key in self.consumes))


def job(events: int, *, wait: bool = False, check: bool = False) -> Process:
    """Ten modules, and one that waits if asked to."""
    process = Process("LOOP")
    process.source = Numbers(events)
    for place in range(MODULES):
        setattr(process, f"m{place}", Constant())
    members = [f"m{place}" for place in range(MODULES)]
    if wait:
        process.wait = Waiter()
        members.append("wait")
    process.path = Path(*members)
    if check:
        process.collector = Collector()
        process.end = EndPath(process.collector)
    return process


def run_job(events: int, *, wait: bool = False) -> Any:
    """Run the job; returns its report."""
    report = job(events, wait=wait).run()
    modules = [f"m{place}" for place in range(MODULES)] + (["wait"] if wait else [])
    assert all(report.module(label).calls == events for label in modules)
    return report


def by_hand(events: Sequence[int], calls: Sequence[Callable[[Any], Any]]) -> None:
    """The loop that one would write."""
    for event in events:
        for call in calls:
            call(event)


def by_hand_kept(events: Sequence[int], calls: Sequence[tuple[str, Callable[[Any], Any]]]) -> None:
    """The same, with the products of each event in a dict."""
    for event in events:
        products = {}
        for name, call in calls:
            products[name] = call(event)


def check_products(events: int) -> None:
    """That all products are made, for all events, and that the waiting module waits."""
    process = job(events, wait=True, check=True)
    process.run()
    if process.collector.sums != [MODULES + 1.0] * events:
        raise AssertionError("the job did not make the products that it should")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 400_000, 200_000, 2_000)
    rounds = by_size(options, 9, 5, 1)
    check_products(min(events, 20_000))
    methods = [Constant().produce for _ in range(MODULES)]
    named = [(f"m{place}", method) for place, method in enumerate(methods)]
    numbers = list(range(events))
    series = in_turn(
        {
            "loop by hand": lambda: by_hand(numbers, methods),
            "by hand, results in a dict": lambda: by_hand_kept(numbers, named),
            "evproc": lambda: run_job(events),
            "evproc, with a wait": lambda: run_job(events, wait=True),
        },
        rounds,
    )
    hand, ours, waiting = series["loop by hand"], series["evproc"], series["evproc, with a wait"]
    extra = [1e6 * (b - a) / events for a, b in zip(_busy_and_idle(ours), _busy_and_idle(waiting), strict=True)]
    figures = [
        Figure("ratio", ratios(ours.walls, hand.walls), 2.5, 1.5, True, "evproc / loop by hand, wall time"),
        Figure("wait_us", spread(extra), 2.0, 1.0, True, "more per event with a batched wait", "us"),
    ]
    rows = [_row(name, item, hand, events) for name, item in series.items()]
    outside = [wall - report.wall_s for wall, report in zip(ours.walls, ours.results, strict=True)]
    show(
        f"loop: {MODULES} modules that do nothing, {events:,} events, {rounds} rounds",
        ("side", "us/event", "CPU us/event", "/ by hand", "CPU / by hand"),
        rows,
        figures,
        [
            f"A job spends {1000 * spread(outside).median:.0f} ms before the first event and after the last; counted.",
            f"The wait: a timer of {1000 * WAIT:g} ms for many events together.",
        ],
    )


def _busy_and_idle(item: Series) -> list[float]:
    """CPU time of each job, and the time when it could only wait for answers, s."""
    return [cpu + report.waiting_external_s for cpu, report in zip(item.cpus, item.results, strict=True)]


def _row(name: str, item: Series, hand: Series, events: int) -> tuple[str, ...]:
    return (
        name,
        number(1e6 * item.wall / events),
        number(1e6 * item.cpu / events),
        str(ratios(item.walls, hand.walls)),
        str(ratios(item.cpus, hand.cpus)),
    )


if __name__ == "__main__":
    main()
