"""A job from begin to end: results and their order, zero events, threads, where it can run, progress and report."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Catalog,
    Chunk,
    ConfigurationError,
    EndPath,
    Event,
    Path,
    Process,
    Progress,
    Source,
)
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from evproc.framework.job import check
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Divisible,
    DivisibleColumns,
    Later,
    LaterColumns,
    LaterFilter,
    Look,
    Write,
    numbers,
)


@pytest.mark.parametrize("block", [1, 7, 1000, "auto"])
@pytest.mark.parametrize("streams", [1, 16, "auto"])
@pytest.mark.parametrize("in_flight", [0.0001, 32.0])
def test_results_do_not_depend_on_blocks_streams_and_budgets(block: Any, streams: Any, in_flight: float) -> None:
    """Analyzers and outputs see the same events with the same values, in the order of the input."""
    process = Process("P", block=block, streams=streams, in_flight=in_flight)
    process.source = numbers(120, chunk=37)
    process.one, process.two = Later(plus=1), LaterColumns(of=["one"])
    process.some, process.third = LaterFilter(by=2), DivisibleColumns(by=3)
    process.sum = AddColumns(of=["two", "x"])
    process.more = Later(of=["sum"], turns=5)
    process.look, process.out = Look(of=["more", "two"]), Write(of=["sum"], select=["path"])
    process.path = Path(process.some, process.look, process.third)
    process.end = EndPath(process.out)
    report = process.run()
    assert process.look.rows == [(n, 2 * n + 1, n + 1) for n in range(0, 120, 2)]
    assert process.out.rows == [(n, 2 * n + 1) for n in range(0, 120, 6)]
    assert (report.events, report.paths[0].passed) == (120, 20)


def test_zero_events_are_a_job_like_any_other() -> None:
    """With nothing to read all modules begin, end and commit, and the report says zero."""
    process = Process("P")
    process.source, process.later, process.out = numbers(0), Later(), Write(of=["later"])
    process.end = EndPath(process.out)
    report = process.run()
    assert process.out.life == ["begin", "end", "commit"]
    assert (report.events, report.blocks) == (0, 0)
    assert report.limit == "No events were processed."


def test_empty_chunks_are_passed_over() -> None:
    """A chunk without events, at the begin, within or at the end, changes nothing."""

    class Gaps(Source):
        def catalog(self) -> Catalog:
            return Catalog({"x": "int64"})

        def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
            at = 0
            for size in (0, 2, 0, 0, 1, 0):
                yield Chunk(EventIDs.numbered(at, size), {"x": Flat(np.arange(at, at + size))})
                at += size

    process = Process("P")
    process.source, process.look = Gaps(), Look()
    process.end = EndPath(process.look)
    assert process.run().events == 3
    assert process.look.rows == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("block", [1, 7, "auto"])
@pytest.mark.parametrize("streams", [1, 8])
def test_threaded_modules_run_in_the_pool_and_keep_the_order(block: Any, streams: int) -> None:
    """A module that says `threaded` is called in a thread of the pool; an analyzer still sees events in order."""
    names: set[str] = set()

    class Threaded(Add):
        threaded = True

        def produce(self, event: Event) -> int:
            names.add(threading.current_thread().name)
            return super().produce(event)

    class ThreadedColumns(AddColumns):
        threaded = True

    class ThreadedFilter(Divisible):
        threaded = True

    class ThreadedLook(Look):
        threaded = True

    process = Process("P", block=block, streams=streams)
    process.source, process.a, process.b = numbers(60), Threaded(plus=1), ThreadedColumns(of=["a"], plus=1)
    process.even, process.look = ThreadedFilter(), ThreadedLook(of=["b"])
    process.path = Path(process.even, process.look)
    process.run()
    assert process.look.rows == [(number, number + 2) for number in range(0, 60, 2)]
    assert all(name.startswith("evproc_") for name in names)
    assert names


def test_a_job_runs_inside_a_running_loop() -> None:
    """In a notebook a loop is running already: run and check work there too, and errors come through."""
    process = Process("P")
    process.source, process.later, process.look = numbers(10), Later(plus=1), Look(of=["later"])
    process.end = EndPath(process.look)

    async def cell() -> None:
        assert check(process) == ([], [])
        assert process.run().events == 10
        other = process.clone()
        other.later.set(plus="much")
        with pytest.raises(ConfigurationError, match=r"later.plus"):
            other.run()
        assert len(check(other)[0]) == 1

    asyncio.run(cell())
    assert process.look.rows == [(number, number + 1) for number in range(10)]


def test_a_job_runs_in_a_thread() -> None:
    """A job need not run in the main thread."""
    process = Process("P")
    process.source, process.look = numbers(10), Look()
    process.end = EndPath(process.look)
    thread = threading.Thread(target=process.run)
    thread.start()
    thread.join()
    assert process.look.events == list(range(10))


def test_progress_begins_at_nothing_and_ends_with_all() -> None:
    """The callback is called at once, and at the end with `done`; numbers never go back."""
    seen: list[Progress] = []
    process = Process("P", block=10)
    process.source, process.later, process.look = numbers(100), Later(), Look(of=["later"])
    process.end = EndPath(process.look)
    process.run(seen.append)
    assert (seen[0].events, seen[0].total, seen[0].done) == (0, 100, False)
    assert (seen[-1].events, seen[-1].total, seen[-1].done) == (100, 100, True)
    assert [progress.events for progress in seen] == sorted(progress.events for progress in seen)
    assert seen[-1].seconds_left == 0.0


def test_the_report_counts_what_was_done() -> None:
    """Calls, passed events, time per module, blocks, paths; as plain data with a version."""
    process = Process("P", block=10)
    process.source, process.later, process.even = numbers(100), Later(), Divisible()
    process.look = Look(of=["later"])
    process.path, process.end = Path(process.even), EndPath(process.look)
    report = process.run()
    calls = {module.label: (module.kind, module.calls, module.passed) for module in report.modules}
    assert calls == {
        "source": ("source", 100, None),
        "later": ("producer", 100, None),
        "even": ("filter", 100, 50),
        "look": ("analyzer", 100, None),
    }
    assert report.blocks == 10
    assert report.wall_s >= report.waiting_external_s >= 0
    assert report.module("later").external_wait_s > 0
    assert report.limit.startswith("Limited by")
    data = report.to_dict()
    assert (data["version"], data["process"], data["paths"][0]["passed"]) == (1, "P", 50)
    with pytest.raises(KeyError):
        report.module("nobody")
