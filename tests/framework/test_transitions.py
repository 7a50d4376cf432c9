"""Begin and end of files, runs and luminosity blocks: in order, balanced, for whoever listens, however the job ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework import (
    Analyzer,
    ConfigurationError,
    EndPath,
    Event,
    ModuleError,
    Path,
    Process,
    Producer,
    Service,
)
from evproc.framework.testing import EventSource
from evproc.framework.transitions import Level, LumiID, Spans
from tests.framework.core_toys import Look

Log = list[tuple[Any, ...]]
RUNS = [1, 1, 1, 1, 2, 2, 2, 1, 1, 3]
LUMIS = [1, 1, 2, 2, 2, 2, 5, 5, 5, 5]
IDS = [(run, lumi, number) for number, (run, lumi) in enumerate(zip(RUNS, LUMIS, strict=True))]
EVENTS = {"x": np.arange(10)}


class Listens:
    """Writes down every transition, and fails where a test says."""

    label: str
    log: Log
    fails: tuple[Any, ...] = ()

    def note(self, *what: Any) -> None:
        self.log.append((self.label, *what))
        if what == self.fails:
            raise ValueError("oops")

    def begin_file(self, file: str) -> None:
        self.note("begin", file)

    def end_file(self, file: str) -> None:
        self.note("end", file)

    def begin_run(self, run: int) -> None:
        self.note("begin", run)

    def end_run(self, run: int) -> None:
        self.note("end", run)

    def begin_lumi(self, lumi: LumiID) -> None:
        self.note("begin", lumi)

    def end_lumi(self, lumi: LumiID) -> None:
        self.note("end", lumi)


class ListeningProducer(Listens, Producer):
    """Makes the number of the event."""

    consumes = ("x",)
    produces = "int64"

    def __init__(self, log: Log | None = None, fails: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.log, self.fails = [] if log is None else log, fails

    def produce(self, event: Event) -> Any:
        self.note("event", event.id.event)
        return event["x"]


class ListeningThread(ListeningProducer):
    """The same in a thread."""

    threaded = True


class ListeningAnalyzer(Listens, Analyzer):
    """Looks."""

    consumes = ("made",)

    def __init__(self, log: Log | None = None, fails: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.log, self.fails = [] if log is None else log, fails

    def analyze(self, event: Event) -> None:
        self.note("event", event.id.event)


class ListeningService(Listens, Service):
    """A service that listens."""

    def __init__(self, log: Log | None = None, fails: tuple[Any, ...] = ()) -> None:
        super().__init__()
        self.log, self.fails = [] if log is None else log, fails


def listening(log: Log, *, fails: tuple[Any, ...] = (), thread: bool = False, **options: Any) -> Process:
    """A process in which a producer, an analyzer and a service listen; the one of `fails` fails there."""

    def of(label: str) -> tuple[Any, ...]:
        return fails[1:] if fails[:1] == (label,) else ()

    process = Process("P", **options)
    process.source = EventSource(EVENTS, IDS, chunk=3)
    process.made = (ListeningThread if thread else ListeningProducer)(log, of("made"))
    process.look = ListeningAnalyzer(log, of("look"))
    process.meter = ListeningService(log, of("meter"))
    process.path = Path(process.made)
    process.end = EndPath(process.look)
    return process


def sequence(ids: list[tuple[int, int, int]] = IDS) -> Log:
    """What one listener sees that sees everything in the order of the input: lumis inside runs."""
    seen: Log = []
    for run, of_run in groupby(ids, key=lambda one: one[0]):
        seen.append(("begin", run))
        for lumi, events in groupby(of_run, key=lambda one: LumiID(*one[:2])):
            seen += [("begin", lumi), *(("event", number) for _, _, number in events), ("end", lumi)]
        seen.append(("end", run))
    return seen


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("thread", [False, True])
def test_analyzers_see_begin_events_end(block: int, streams: int, thread: bool) -> None:
    """An analyzer sees begin, its events, end, strictly; a run that comes back is begun again."""
    log: Log = []
    listening(log, block=block, streams=streams, thread=thread).run()
    assert [entry[1:] for entry in log if entry[0] == "look"] == sequence()


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("thread", [False, True])
def test_producers_see_begin_before_and_end_after(block: int, streams: int, thread: bool) -> None:
    """A producer sees each begin before the first event of the piece, the end after the last one, and each once."""
    log: Log = []
    listening(log, block=block, streams=streams, thread=thread).run()
    seen = [entry[1:] for entry in log if entry[0] == "made"]
    expected = sequence()
    assert sorted(map(str, seen)) == sorted(map(str, expected))
    place, taken = 0, [entry for entry in expected if entry[0] == "begin"]
    assert [entry for entry in seen if entry[0] == "begin"] == taken
    events = [entry for entry in seen if entry[0] == "event"]
    assert (sorted(events) if thread else events) == [("event", number) for number in range(10)]  # threads overtake
    for number, (run, lumi, _) in enumerate(IDS):
        place = seen.index(("event", number))
        for value in (run, LumiID(run, lumi)):
            before = [entry for entry in seen[:place] if entry[1] == value and entry[0] != "event"]
            assert before.count(("begin", value)) == before.count(("end", value)) + 1


def test_services_are_told_first_and_last() -> None:
    """A service is told of a begin before the modules, and of an end after them."""
    log: Log = []
    listening(log, streams=1).run()
    for value in (1, 2, 3, LumiID(1, 1), LumiID(3, 5)):
        begins = [entry[0] for entry in log if entry[1:] == ("begin", value)]
        ends = [entry[0] for entry in log if entry[1:] == ("end", value)]
        times = 2 if value == 1 else 1
        assert begins == ["meter", "made", "look"] * times
        assert ends == ["made", "look", "meter"] * times


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("who", ["made", "look", "meter"])
@pytest.mark.parametrize(
    ("fails", "where"),
    [
        (("begin", 2), "begin_run of run 2"),
        (("end", 2), "end_run of run 2"),
        (("begin", LumiID(2, 5)), "begin_lumi of run 2, luminosity block 5"),
        (("end", LumiID(3, 5)), "end_lumi of run 3, luminosity block 5"),
    ],
)
def test_an_error_in_a_transition(block: int, who: str, fails: tuple[Any, ...], where: str) -> None:
    """The message names the transition, its run and luminosity block, and the module; the others stay balanced."""
    log: Log = []
    kind = "service" if who == "meter" else "module"
    with pytest.raises(ModuleError, match=rf"^{kind} '{who}' \(Listening\w+\) failed in {where}: ValueError: oops$"):
        listening(log, fails=(who, *fails), block=block).run()
    begins = sorted(str((label, value)) for label, what, value in log if what == "begin")
    assert begins == sorted(str((label, value)) for label, what, value in log if what == "end")


@pytest.mark.parametrize("thread", [False, True])
def test_an_error_at_an_event_leaves_transitions_balanced(thread: bool) -> None:
    """When an event fails, whoever was told of a begin is told of the end, and the error is that of the event."""
    log: Log = []
    with pytest.raises(ModuleError, match=r"failed at run 2, luminosity block 5, event 6"):
        listening(log, fails=("made", "event", 6), thread=thread, block=1).run()
    begins = sorted(str((label, value)) for label, what, value in log if what == "begin")
    assert begins == sorted(str((label, value)) for label, what, value in log if what == "end")


def test_early_end_is_balanced() -> None:
    """A job that is interrupted in the middle ends what it has begun, in order, and begins no more."""
    log: Log = []
    ids = [(number // 7, 1, number) for number in range(20_000)]
    process = listening(log, block=1)
    process.source = EventSource({"x": np.arange(len(ids))}, ids)
    process.stop = Interrupts()
    process.end = EndPath(process.look, process.stop)
    report = process.run()
    assert report.interrupted
    assert 5 < report.events < len(ids)
    assert [entry[1:] for entry in log if entry[0] == "look"] == sequence(ids[: report.events])


class Interrupts(Analyzer):
    """Interrupts the job at event 5, as Ctrl-C does."""

    consumes = ("x",)

    def analyze(self, event: Event) -> None:
        if event["x"] == 5:
            os.kill(os.getpid(), signal.SIGINT)


def test_who_does_not_listen_costs_nothing() -> None:
    """Blocks are cut at boundaries only if something that runs listens to them."""

    class RunsOnly(Analyzer):
        consumes = ("x",)

        def end_run(self, run: int) -> None:
            pass

        def analyze(self, event: Event) -> None:
            pass

    def blocks(module: Analyzer | None, *, listens: bool = False) -> int:
        process = Process("P")
        process.source, process.look = EventSource(EVENTS, IDS), Look()
        if module is not None:
            process.listener = module
        process.idle = ListeningProducer()  # runs for nobody
        process.end = EndPath("look", "listener") if module is not None and listens else EndPath("look")
        return process.run().blocks

    assert blocks(None) == 1
    assert blocks(RunsOnly()) == 1
    assert blocks(RunsOnly(), listens=True) == 4


def test_without_events_nothing_begins() -> None:
    """A job without events has no transitions."""
    log: Log = []
    process = listening(log)
    process.source = EventSource({"x": np.arange(0)})
    process.run()
    assert log == []


def test_methods_that_could_not_be_called_are_faults() -> None:
    """A source that listens, and a transition that is a coroutine, are found before the first event."""

    class Listening(EventSource):
        def begin_run(self, run: int) -> None:
            pass

    class Waits(Service):
        async def end_run(self, run: int) -> None:  # type: ignore[override]
            pass

    process = Process("P")
    process.source, process.waits, process.look = Listening(EVENTS, IDS), Waits(), Look()
    process.end = EndPath(process.look)
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    said = str(caught.value)
    assert "source: Listening is a source, which makes transitions and is told of none: begin_run()" in said
    assert "waits: end_run() of Waits may not be a coroutine" in said


def test_files(tmp_path: FilePath) -> None:
    """Each input file begins and ends once, whatever its chunks; a run that goes on in the next file goes on."""
    from evproc.modules import ArraySource, NtupleOutput, NtupleSource

    files = []
    for number, part in enumerate((slice(0, 5), slice(5, 10))):
        process = Process("WRITE")
        process.source = ArraySource(
            {
                "run": RUNS[part],
                "luminosityBlock": LUMIS[part],
                "event": list(range(10))[part],
                "x": np.arange(10)[part],
            }
        )
        files.append(str(tmp_path / f"{number}.root"))
        process.out = NtupleOutput(file=files[-1], keep=["x"])
        process.end = EndPath(process.out)
        process.run()
    for block in (1, 7, 1000):
        log: Log = []
        process = listening(log, block=block)
        process.source = NtupleSource(files=files, chunk=2)
        process.run()
        seen = [entry[1:] for entry in log if entry[0] == "look"]
        of_files = [entry for entry in seen if isinstance(entry[1], str)]
        assert of_files == [(what, file) for file in files for what in ("begin", "end")]
        assert [entry for entry in seen if entry not in of_files] == sequence()
        assert seen.index(("end", files[0])) + 1 == seen.index(("begin", files[1])) == seen.index(("event", 5)) - 1


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_spans_are_balanced_and_in_order(data: st.DataObject) -> None:
    """For any runs, any order of opening and ending: pieces do not overlap their own level's order, and each ends once."""
    runs = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=12))
    spans = Spans([Level.RUN])
    begun: list[Any] = []
    over: list[Any] = []
    opened = turn = 0
    while turn < len(runs):
        if opened == turn or (opened < len(runs) and data.draw(st.booleans())):
            begun += spans.opened(opened, {Level.RUN: runs[opened]})
            opened += 1
        else:
            spans.at_tail(turn)
            assert spans.at_tail(turn) == []
            turn += 1
            over += spans.ended(turn)
        last_ended = over[-1].first if over else -1
        assert last_ended < turn
        assert len(begun) >= len(over)
    over += spans.finish()
    assert begun == over
    assert [change.value for change in begun] == list(pieces(runs))


def pieces(runs: list[int]) -> Iterator[int]:
    """The runs, each contiguous piece once."""
    return (run for run, _ in groupby(runs))
