"""The cost of the framework on a workflow of a real one's shape: some 190 modules that do nothing.

    python -m benchmarks.topology [--quick]

The shape is drawn, with a seed, by `benchmarks.topology_shape`. A process has one output, which writes nothing, and the
producers of all layers but the paths' own are in a task, as in CMSSW: they run only for events in which something needs them.

`us_per_module_event` is the CPU time of a whole job over the calls that it makes: events times modules, less what filters
leave out. Checking, compiling, the job's own events, its reader's thread and its end are in it. `compile_s` is what comes
before the first event: `check`, which is all that `evproc check` does once the workflow is loaded. Both are the least of
several runs, again and again, and the median of that: a machine with other work on it makes single runs slower, never faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, show, spread
from benchmarks.topology_shape import BRANCHES, LAYERS, SEED, Shape, shape
from evproc.framework import (
    Analyzer,
    Catalog,
    Chunk,
    EndPath,
    Event,
    EventIDs,
    Filter,
    Flat,
    OutputModule,
    Path,
    Process,
    Producer,
    Source,
    Task,
)
from evproc.framework.flow import resolve
from evproc.framework.job import check
from evproc.framework.schedule import compile_schedule

CHUNK, BLOCK = 20_000, 1_000


class Branches(Source):
    """Events in memory, with a number in each branch, and the answer of each filter."""

    def __init__(self, filters: dict[str, float] | None = None, events: int = 0) -> None:
        super().__init__()
        self.filters, self.events = dict(filters or {}), events

    def catalog(self) -> Catalog:
        """The branches, and `pass_FILTER`."""
        names = {f"branch{place}": "float32" for place in range(BRANCHES)}
        return Catalog(names | {f"pass_{name}": "bool" for name in self.filters}, events=self.events)

    def begin_job(self, job: Any) -> None:
        """Draw the answers of the filters for one chunk; all chunks are alike."""
        draw = np.random.default_rng(SEED)
        self.columns = {f"pass_{name}": Flat(draw.random(CHUNK) < part) for name, part in self.filters.items()}
        values = Flat(draw.random(CHUNK).astype(np.float32))
        self.columns |= {f"branch{place}": values for place in range(BRANCHES)}

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events."""
        for first in range(0, self.events, CHUNK):
            count = min(CHUNK, self.events - first)
            columns: dict[str, Any] = {key: self.columns[key].slice(0, count) for key in keys}
            yield Chunk(EventIDs.numbered(first, count), columns, "branches", nbytes=4 * count * len(columns))


class Make(Producer):
    """Declares its inputs, puts one product and does nothing else."""

    produces: ClassVar[str] = "float64"

    def __init__(self, reads: Sequence[str] = ()) -> None:
        super().__init__()
        self.consumes = tuple(reads)  # type: ignore[misc]  # of this instance

    def produce(self, event: Event) -> float:
        """One."""
        return 1.0


class Pass(Filter):
    """Says what the input holds for it."""

    def __init__(self, key: str = "") -> None:
        super().__init__()
        self.key = key
        self.consumes = (key,)  # type: ignore[misc]  # of this instance

    def filter(self, event: Event) -> bool:
        """The answer."""
        return event[self.key]  # type: ignore[no-any-return]  # bool


class Monitor(Analyzer):
    """Declares its inputs, and looks at nothing."""

    def __init__(self, reads: Sequence[str] = ()) -> None:
        super().__init__()
        self.consumes = tuple(reads)  # type: ignore[misc]  # of this instance

    def analyze(self, event: Event) -> None:
        """Nothing."""


class Nowhere(OutputModule):
    """Reads all tables, and writes nothing."""

    consumes = tuple(f"table{place}" for place in range(LAYERS["table"]))

    def write(self, event: Event) -> None:
        """Nothing."""


def job(drawn: Shape, events: int) -> Process:
    """The workflow as a process."""
    process = Process("TOPOLOGY", block=BLOCK)
    process.source = Branches(drawn.filters, events)
    for label, reads in drawn.reads.items():
        setattr(process, label, Make(reads))
    for label in drawn.filters:
        setattr(process, label, Pass(f"pass_{label}"))
    for label, reads in drawn.analyzers.items():
        setattr(process, label, Monitor(reads))
    process.out = Nowhere(select=["*"])
    for place, members in enumerate(drawn.paths):
        setattr(process, f"path{place}", Path(*members))
    placed = {label for members in drawn.paths for label in members}
    process.end = EndPath(*(label for label in drawn.analyzers if label not in placed), process.out)
    process.on_demand = Task(*(label for label in drawn.reads if label not in placed))
    return process


def run_job(drawn: Shape, events: int) -> Any:
    """Run the job; returns its report."""
    report = job(drawn, events).run()
    assert report.events == events
    return report


def calls_of(report: Any) -> int:
    """How many calls of modules a job has made."""
    return sum(module.calls for module in report.modules if module.kind != "source")


def check_calls(drawn: Shape, events: int) -> None:
    """That modules were called for the events for which they should be: paths walked one event at a time."""
    columns = Branches(drawn.filters, events)
    columns.begin_job(None)
    passes = {name: columns.columns[f"pass_{name}"].values.tolist() for name in drawn.filters}
    wanted: Counter[str] = Counter()
    reads = drawn.reads | drawn.analyzers
    for event in range(events):
        reached: set[str] = set()
        passed = False
        for members in drawn.paths:
            going = True
            for label in members:
                if going:
                    reached.add(label)
                going = going and passes.get(label, [True] * events)[event]
            passed = passed or going
        reached |= {label for label in drawn.analyzers if not any(label in members for members in drawn.paths)}
        pending = [*reached, *(Nowhere.consumes if passed else ())]
        while pending:
            label = pending.pop()
            reached.add(label)
            pending += [key for key in reads.get(label, ()) if key in drawn.reads and key not in reached]
        wanted.update(reached - {key for key in reached if key.startswith("branch")})
        wanted["out"] += passed
    report = run_job(drawn, events)
    made = {module.label: module.calls for module in report.modules if module.kind != "source"}
    if made != {label: wanted[label] for label in made}:
        raise AssertionError("modules were not called for the events for which they should be")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = arguments(__doc__, argv)
    events = by_size(options, 40_000, 20_000, 2_000)
    rounds, batch = by_size(options, (25, 5), (9, 3), (1, 1))
    drawn = shape()
    check_calls(drawn, by_size(options, 2_500, 2_500, 1_100))
    built = job(drawn, 0)

    def compile_only() -> Any:
        return compile_schedule(built, resolve(built))

    series = in_turn(
        {
            "job": lambda: run_job(drawn, events),
            "check": lambda: check(built),
            "resolve and compile": compile_only,
            "build the process": lambda: job(drawn, 0),
        },
        rounds,
    )
    calls = calls_of(series["job"].results[-1])
    modules = len(series["job"].results[-1].modules) - 1
    schedule = series["resolve and compile"].results[-1]
    costs = [1e6 * cpu / calls for cpu in series["job"].cpus]
    figures = [
        Figure(
            "us_per_module_event", spread(least(costs, batch)), 0.15, 0.08, True, "CPU time of a job per call", "us"
        ),
        Figure("compile_s", spread(least(series["check"].walls, batch)), 0.2, None, True, "all before an event", "s"),
    ]
    show(
        f"topology: {modules} modules that do nothing, {events:,} events in blocks of {BLOCK:,}, {rounds} rounds",
        ("side", "wall s, least", "median", "CPU s, least", "median"),
        [_row(name, item) for name, item in series.items()],
        figures,
        [
            f"{len(schedule.steps)} steps, {len(schedule.masks)} masks; {calls / events:.1f} calls an event; seed {SEED}.",
            f"Inputs of a producer, and how many have so many: {_degrees(drawn)}.",
        ],
    )


def least(values: Sequence[float], batch: int) -> list[float]:
    """The least of each `batch` values in a row."""
    return [min(values[first : first + batch]) for first in range(0, len(values), batch)]


def _degrees(drawn: Shape) -> str:
    counts = Counter(len(reads) for reads in drawn.reads.values())
    return ", ".join(f"{degree}: {counts[degree]}" for degree in sorted(counts))


def _row(name: str, item: Series) -> tuple[str, ...]:
    return (name, number(min(item.walls)), number(item.wall), number(min(item.cpus)), number(item.cpu))


if __name__ == "__main__":
    main()
