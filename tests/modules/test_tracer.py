"""The file that `Tracer` writes: its form, and that it is whole whatever happens."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evproc.framework import ConfigurationError, EndPath, Event, ModuleError, Process
from evproc.framework import Path as ModulePath
from evproc.framework.report import Report
from evproc.modules import Tracer
from evproc.modules.trace_file import BUFFER, TraceFile
from tests.framework.core_toys import Add, Call, Later, Look, numbers

FIELDS = {
    "M": {"name", "pid", "tid", "args"},
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"},
    "b": {"name", "cat", "id", "pid", "tid", "ts"},
    "e": {"name", "cat", "id", "pid", "tid", "ts"},
    "C": {"name", "pid", "tid", "ts", "args"},
    "i": {"name", "s", "pid", "tid", "ts"},
}
"""Kind of event -> the fields that its readers ask for."""
ROUNDING = 0.0021
"""Times are written to 0.001 us."""


def checked(path: Path) -> list[dict[str, Any]]:
    """The events of a trace that keeps the form: all fields, slices nested on each track, asynchronous ones balanced."""
    events: list[dict[str, Any]] = json.loads(path.read_text())["traceEvents"]
    tracks = defaultdict(list)
    begun: dict[tuple[str, str], dict[str, Any]] = {}
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    for event in events:
        assert FIELDS[event["ph"]] <= event.keys(), event
        assert event["pid"] in processes
        assert event.get("ts", 0) >= 0
        if event["ph"] == "X":
            assert (event["pid"], event["tid"]) in named
            tracks[event["pid"], event["tid"]].append((event["ts"], -event["dur"]))
        elif event["ph"] == "b":
            assert (event["cat"], event["id"]) not in begun
            begun[event["cat"], event["id"]] = event
        elif event["ph"] == "e":
            assert begun.pop((event["cat"], event["id"]))["ts"] <= event["ts"]
        elif event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
    assert not begun
    for slices in tracks.values():
        check_nesting([(begin, begin - minus) for begin, minus in sorted(slices)])
    return events


def check_nesting(slices: list[tuple[float, float]]) -> None:
    """Of two slices of a track one is within the other, or they do not overlap."""
    open_until: list[float] = []
    for begin, end in slices:
        while open_until and open_until[-1] <= begin + ROUNDING:
            open_until.pop()
        assert not open_until or end <= open_until[-1] + ROUNDING
        open_until.append(end)


class Threaded(Add):
    """A sum, in a thread."""

    threaded = True


def job(path: Path, block: int | str = 50, events: int = 500, **parameters: Any) -> Process:
    """A job with external work and a thread."""
    process = Process("TRACED", block=block)
    process.source = numbers(events, chunk=200)
    process.a = Add(plus=1)
    process.later = Later(of=["a"])
    process.threaded = Threaded()
    process.look = Look(of=["later", "threaded"])
    process.path = ModulePath(process.a, process.later, process.threaded, process.look)
    process.tracer = Tracer(file=str(path), **parameters)
    return process


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_trace_holds_the_whole_job(block: int, tmp_path: Path) -> None:
    """Every block, module, wait, chunk and thread is there, in the form that readers of traces ask for."""
    path = tmp_path / "sub" / "trace.json"
    report = job(path, block).run()
    events = checked(path)
    slices = [event for event in events if event["ph"] == "X"]
    names = Counter(event["name"] for event in slices)
    blocks = [event for event in slices if event["cat"] == "block"]
    assert len(blocks) == report.blocks
    assert sum(event["args"]["events"] for event in blocks) == 500
    assert names["chunk 1"] == names["chunk 3"] == 1
    done: Counter[str] = Counter()
    for event in slices:
        if event["args"].get("outcome") == "ended":
            done[event["name"]] += event["args"]["events"]
    assert done == dict.fromkeys(["a", "later acquire", "later collect", "threaded", "look"], 500)
    assert sum(event["args"]["events"] for event in events if event["ph"] == "b") == 500
    assert names["threaded"] > len([1 for event in slices if event["cat"] == "thread"]) == report.blocks
    tracks = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"engine", "reader", "stream 0"} <= tracks
    curves = {event["name"] for event in events if event["ph"] == "C"}
    assert curves == {"blocks open", "external work in flight", "input held", "memory of the process"}
    assert report.services["tracer"]["complete"]
    assert report.services["tracer"]["nbytes"] == path.stat().st_size
    assert report.services["tracer"]["trace_events"] == len(events)


def test_streams_are_tracks() -> None:
    """Blocks that are open at the same time are on different tracks, and a track is used again."""
    from evproc.modules.tracer import Slots

    slots = Slots()
    assert [slots.take(number) for number in (5, 6, 7)] == [(0, True), (1, True), (2, True)]
    slots.free(1)
    assert slots.take(8) == (1, False)


def test_a_trace_is_whole_after_an_error(tmp_path: Path) -> None:
    """A job that fails leaves a trace in which all slices end, the one that failed with it."""

    def fail(event: Event) -> int:
        if event.id.event == 250:
            raise ValueError('no "good"')
        return 1

    process = Process("FAILS", block=10)
    process.source = numbers(500)
    process.later = Later(turns=50)
    process.fails = Call(fail)
    process.look = Look(of=["later", "fails"])
    process.end = EndPath(process.look)
    process.tracer = Tracer(file=str(tmp_path / "trace.json"))
    with pytest.raises(ModuleError):
        process.run()
    events = checked(tmp_path / "trace.json")
    failed = [event for event in events if event.get("args", {}).get("outcome") == "failed"]
    assert [event["name"] for event in failed] == ["fails"]
    assert failed[0]["args"]["block"] == 25


def test_a_trace_does_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    """At the limit tracing ends, in form, and the report warns; the job goes on."""
    path = tmp_path / "trace.json"
    report: Report = job(path, block=1, events=4000, max_size=1.0).run()
    events = checked(path)
    assert 0.5e6 < path.stat().st_size <= 1e6
    assert any(event["name"] == "the trace is full" for event in events)
    assert report.events == 4000
    assert not report.services["tracer"]["complete"]
    assert any("ends early" in warning for warning in report.warnings)


def test_a_trace_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """After each write to the disk the file is a whole one, as is that of a job that was killed."""
    path = tmp_path / "trace.json"
    trace = TraceFile(path, 10**9)
    sizes = set()
    trace.name("process_name", 1, 0, "evproc")
    trace.name("thread_name", 1, 1, "engine")
    for number in range(2000):
        trace.complete('µ "quoted" \\', "run", 1, 1, number, number + 0.5, f'"block": {number}')
        if path.stat().st_size not in sizes:
            sizes.add(path.stat().st_size)
            json.loads(path.read_text() or "{}")
    trace.close()
    assert len(sizes) > 2000 * 60 // BUFFER
    assert all(later > earlier for earlier, later in pairwise(sorted(sizes)))
    slices = [event for event in checked(path) if event["ph"] == "X"]
    assert len(slices) == 2000
    assert slices[0]["name"] == 'µ "quoted" \\'


def test_a_trace_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    """It is found before the first event."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"tracer\.file: .* is a file"):
        job(tmp_path / "file" / "trace.json").run()
