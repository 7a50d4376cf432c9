"""Jobs that end before their input: after a time, or when outputs have enough; and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework import Catalog, Chunk, ConfigurationError, EndPath, Path, Process, Source
from evproc.framework.columns import Flat
from evproc.framework.early_end import OutputQuota, below
from evproc.framework.event import EventIDs
from tests.framework.core_toys import Add, Divisible, Later, Look, Write, numbers


class Endless(Source):
    """Events without an end."""

    def catalog(self) -> Catalog:
        return Catalog({"x": "int64"})

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        for first in count(0, 50):
            columns: dict[str, Any] = {"x": Flat(np.arange(first, first + 50))} if keys else {}
            yield Chunk(EventIDs.numbered(first, 50), columns)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_an_output_with_a_limit_ends_the_job_at_its_last_event(block: int, chunk: int) -> None:
    """The file has exactly so many events, the first in the order of the input, and nothing sees a later event."""
    process = Process("P", block=block)
    process.source = numbers(500, chunk=chunk)
    process.sum = Later(plus=1)
    process.even = Divisible(by=2)
    process.look, process.out, process.all = Look(), Write(of=["sum"], select=["path"], max_events=20), Write()
    process.path = Path(process.even)
    process.end = EndPath(process.look, process.out, process.all)
    report = process.run()
    assert process.out.rows == [(n, n + 1) for n in range(0, 40, 2)]
    assert process.look.events == process.all.events == list(range(39))
    assert (report.events, report.paths[0].passed, report.input.events) == (39, 20, 39)
    assert report.ended == "max_events: out has all the events that it was to have"
    assert not report.interrupted
    assert process.out.life == process.all.life == ["begin", "end", "commit"]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_job_goes_on_until_all_outputs_with_limits_are_full(block: int) -> None:
    """One that is full earlier writes no more, and others write what the job still processes."""
    process = Process("P", block=block)
    process.source = numbers(200, chunk=64)
    process.even, process.third = Divisible(by=2), Divisible(by=3)
    process.a, process.b = Write(select=["two"], max_events=10), Write(select=["three"], max_events=10)
    process.two, process.three = Path(process.even), Path(process.third)
    process.end = EndPath(process.a, process.b)
    report = process.run()
    assert process.a.events == list(range(0, 20, 2))
    assert process.b.events == list(range(0, 30, 3))
    assert report.events == 28


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    """The job goes to the end of its input and says nothing of an early end."""
    process = Process("P", block=7)
    process.source = numbers(30)
    process.out = Write(max_events=31)
    process.end = EndPath(process.out)
    report = process.run()
    assert (len(process.out.rows), report.events, report.ended) == (30, 30, "")


@given(
    st.lists(st.lists(st.booleans(), max_size=6), max_size=12),
    st.lists(st.lists(st.booleans(), max_size=6), max_size=12),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_a_quota_counts_like_a_loop_over_events(
    first: list[list[bool]], second: list[list[bool]], one: int, two: int
) -> None:
    """However the input is cut into blocks, each output sees what a loop over events would give it."""
    blocks = [list(zip(a, b, strict=False)) for a, b in zip(first, second, strict=False)]
    wanted: dict[str, list[int]] = {"a": [], "b": []}
    for number, (a, b) in enumerate(event for block in blocks for event in block):
        if len(wanted["a"]) >= one and len(wanted["b"]) >= two:
            break
        if a and len(wanted["a"]) < one:
            wanted["a"].append(number)
        if b and len(wanted["b"]) < two:
            wanted["b"].append(number)
    quota = OutputQuota({"a": one, "b": two})
    seen: dict[str, list[int]] = {"a": [], "b": []}
    begin = 0
    for block in blocks:
        reached = {"a": [n for n, (a, _) in enumerate(block) if a], "b": [n for n, (_, b) in enumerate(block) if b]}
        limits = quota.cut(reached, len(block))
        for label, index in reached.items():
            limit = min(limits[label], limits[""])
            seen[label] += [begin + n for n in below(index, limit, len(block)) or []]
        begin += len(block)
        if quota.full:
            break
    assert seen == wanted


def test_no_limit_below_one() -> None:
    """A limit is a number of events, or -1 for none."""
    process = Process("P")
    process.source = numbers(3)
    process.out = Write(max_events=0)
    process.end = EndPath(process.out)
    with pytest.raises(ConfigurationError, match=r"out\.max_events: .*greater than or equal to 1"):
        process.run()


def test_a_job_ends_when_its_time_is_up() -> None:
    """No more events are begun, those in flight are finished, and outputs are complete without a gap."""
    process = Process("P", max_seconds=0.05, block=7)
    process.source = Endless()
    process.sum = Add()
    process.out, process.look = Write(of=["sum"]), Look()
    process.end = EndPath(process.out, process.look)
    report = process.run()
    assert process.out.events == process.look.events == list(range(report.events))
    assert report.events > 0
    assert process.out.life == ["begin", "end", "commit"]
    assert report.ended == "max_seconds: 0.05 s are over"
    assert report.to_dict()["ended"] == report.ended


def test_time_is_up_though_all_is_read() -> None:
    """Blocks of a chunk that is the last one are not begun either when the time is up."""
    process = Process("P", max_seconds=0.05, block=1)
    process.source = numbers(20_000)
    process.out = Write()
    process.end = EndPath(process.out)
    report = process.run()
    assert 0 < report.events < 20_000
    assert report.ended == "max_seconds: 0.05 s are over"


def test_time_that_suffices_is_not_spoken_of() -> None:
    """A job that ends by itself has not ended early."""
    process = Process("P", max_seconds=3600.0)
    process.source = numbers(30)
    process.out = Write()
    process.end = EndPath(process.out)
    report = process.run()
    assert (report.events, report.ended) == (30, "")
