"""Conditions: each event gets what is valid for it, loaded once and ahead; what is missing is said before, or by run."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework import (
    Analyzer,
    Columns,
    ConfigurationError,
    EndPath,
    Event,
    ExternalProducer,
    InputError,
    ModuleError,
    Path,
    Process,
    Producer,
)
from evproc.framework.boundaries import Cut
from evproc.framework.condition_loading import Shelf
from evproc.framework.conditions import ConditionsProducer, ConditionTag
from evproc.framework.event import EventIDs
from evproc.framework.exception_policy import ExceptionPolicy
from evproc.framework.intervals import GAP, Interval, IntervalTable, lumi_keys
from evproc.framework.job import check
from evproc.framework.testing import EventSource, run_module
from tests.framework.core_toys import Look

EVENTS = 60
IDS = [(1 + number // 10, 1 + number % 10 // 4, number) for number in range(EVENTS)]
TIMES = [1000.0 + 2.5 * number for number in range(EVENTS)]
DATA = {"x": np.arange(EVENTS), "time": np.array(TIMES)}


class Constant:
    """A product that can be watched."""

    def __init__(self, value: float) -> None:
        self.value = value


class Calibration(ConditionsProducer):
    """A number for each interval: its payload. Writes down what it does."""

    def __init__(self, *intervals: Interval, fails: Any = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.given = intervals
        self.fails = fails
        self.log: list[tuple[str, Any]] = []
        self.alive: list[weakref.ref[Constant]] = []
        self.most_alive = 0
        self.threads: set[str] = set()

    def intervals(self) -> Iterable[Interval]:
        self.log.append(("intervals", None))
        return self.given

    def load(self, interval: Interval) -> Any:
        self.threads.add(threading.current_thread().name.partition("_")[0])
        return self.make(interval)

    def make(self, interval: Interval) -> Constant:
        self.log.append(("load", interval.payload))
        if interval.payload == self.fails:
            raise FileNotFoundError("no such file")
        made = Constant(interval.payload)
        self.alive.append(weakref.ref(made))
        self.most_alive = max(self.most_alive, sum(one() is not None for one in self.alive))
        return made

    def release(self, product: Constant) -> None:
        self.log.append(("release", product.value))


class Remote(Calibration):
    """The same by coroutines."""

    async def intervals(self) -> Iterable[Interval]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().intervals()

    async def load(self, interval: Interval) -> Any:
        for _ in range(5):
            await asyncio.sleep(0)
        return self.make(interval)


class Calibrated(Producer):
    """The number times the condition, by events."""

    consumes = ("x",)
    conditions = ("scale",)

    def produce(self, event: Event) -> float:
        return float(event["x"] * event.conditions["scale"].value)


class CalibratedThreads(Calibrated):
    """The same in threads."""

    threaded = True


class CalibratedColumns(Producer):
    """The same by columns, the condition named by a parameter."""

    consumes = ("x",)

    class Config(Producer.Config):
        of: ConditionTag = "scale"

    def produce_columns(self, columns: Columns) -> Any:
        return columns["x"] * float(columns.conditions[self.config.of].value)


class CalibratedLater(ExternalProducer):
    """The same with external work: the condition is read in both methods."""

    consumes = ("x",)
    conditions = ("scale",)

    def acquire(self, event: Event) -> Any:
        return self.work(event.conditions["scale"].value)

    async def work(self, value: float) -> float:
        await asyncio.sleep(0)
        return value

    def produce(self, event: Event, result: float) -> float:
        assert result == event.conditions["scale"].value
        return float(event["x"] * result)


PER_RUN = tuple(Interval.runs(run, run, float(run)) for run in range(1, 7))
PER_LUMI = (
    Interval.lumis((1, 1), (2, 1), 10.0),
    Interval.lumis((2, 2), None, 20.0),
    Interval.lumis((4, 1), None, 30.0),
)
PER_TIME = (Interval.times(1000, 1031, 7.0), Interval.times(1031, None, 8.0), Interval.times(1060.0, 2000, 9.0))


def expected(intervals: Iterable[Interval]) -> list[float]:
    """What each event gets, event by event and interval by interval."""
    values = []
    ordered = sorted(intervals, key=lambda one: one.first)
    for number, (run, lumi, _) in enumerate(IDS):
        key: Any = TIMES[number] if ordered[0].of_time else (run, lumi)
        values.append(number * [one.payload for one in ordered if one.first <= key][-1])
    return values


def job(producer: Calibration, module: Any = None, *, chunk: int = 17, **options: Any) -> Process:
    """A process with one condition, and one module that reads it."""
    process = Process("P", **options)
    process.source = EventSource(DATA, IDS, chunk=chunk)
    process.scale = producer
    process.made = module or Calibrated()
    process.look = Look(of=["made"])
    process.path, process.end = Path(process.made), EndPath(process.look)
    return process


@pytest.mark.parametrize(("block", "streams"), [(1, 1), (1, 8), (7, 8), (1000, 1)])
@pytest.mark.parametrize("intervals", [PER_RUN, PER_LUMI, PER_TIME, (Interval.always(3.0),)])
@pytest.mark.parametrize("kind", [Calibrated, CalibratedThreads, CalibratedColumns, CalibratedLater])
def test_each_event_gets_what_is_valid(kind: Any, intervals: tuple[Interval, ...], streams: int, block: int) -> None:
    """By runs, luminosity blocks, time or for ever; per event, by columns, in threads, with external work."""
    for producer in (Calibration, Remote)[: 2 if streams == 8 else 1]:
        calibration = producer(*intervals, time="time")
        process = job(calibration, kind(), block=block, streams=streams)
        process.run()
        assert [row[1] for row in process.look.rows] == expected(intervals)
        assert [what for what, _ in calibration.log].count("intervals") == 1
        loads = [value for what, value in calibration.log if what == "load"]  # threads load what is ahead, in any order
        assert sorted(loads) == sorted(one.payload for one in intervals)
        assert calibration.report() == {"intervals": len(intervals), "loaded": len(intervals)}
        assert calibration.threads <= {"evproc"}


def test_products_are_released() -> None:
    """A product is dropped when no block needs it: few are there at a time, loaded ahead, and none at the end."""
    many = tuple(Interval.lumis((run, lumi), (run, lumi), run + lumi / 10) for run in range(1, 7) for lumi in (1, 2, 3))
    for kept in (0, 1):
        calibration = Calibration(*many, kept=kept)
        job(calibration, streams=1, block=4).run()
        gc.collect()
        assert [one for one in calibration.alive if one() is not None] == []
        loads = [value for what, value in calibration.log if what == "load"]
        assert sorted(value for what, value in calibration.log if what == "release") == sorted(loads)
        assert calibration.most_alive <= 4 + kept + 1


def test_nothing_is_loaded_twice_for_events_that_come_back() -> None:
    """Events that go to and fro between two intervals load each once, if both are kept."""
    calibration = Calibration(*PER_RUN, kept=2)
    process = job(calibration, streams=1, block=1)
    ids = [(1 + number // 2 % 2, 1, number) for number in range(EVENTS)]
    process.source = EventSource(DATA, ids, chunk=17)
    process.run()
    assert [row[1] for row in process.look.rows] == [float(number * ids[number][0]) for number in range(EVENTS)]
    assert [value for what, value in calibration.log if what == "load"] == [1.0, 2.0]


def test_only_what_is_needed_is_loaded() -> None:
    """Intervals without events are not loaded; a condition that nobody reads is not asked for at all, and said so."""
    calibration = Calibration(*PER_RUN, Interval.runs(7, 9, 70.0))
    process = job(calibration)
    process.other = Calibration(Interval.always(1.0))
    report = process.run()
    assert ("load", 70.0) not in calibration.log
    assert process.other.log == []
    assert report.warnings == ["condition 'other' (Calibration) is not loaded: no module that runs reads it"]
    assert check(process)[1] == report.warnings
    assert report.services["scale"] == {"intervals": 7, "loaded": 6}


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_gap(block: int) -> None:
    """An event without an interval is an error that names the condition, run, luminosity block, and what is near."""
    intervals = (Interval.runs(1, 2, 1.0), Interval.lumis((3, 2), (9, 9), 2.0))
    with pytest.raises(InputError) as caught:
        job(Calibration(*intervals), block=block).run()
    assert str(caught.value) == (
        "condition 'scale' (Calibration) has no interval for run 3, luminosity block 1, event 20 (events of the test); "
        "near it are: runs 1 to 2, and from run 3, luminosity block 2 to run 9, luminosity block 9"
    )
    assert caught.value.exit_code == 3


def test_a_gap_in_time() -> None:
    """A gap in time names the time too."""
    with pytest.raises(InputError, match=r"no interval for run 2, luminosity block 1, event 12, at 1030.0 s, \(events"):
        job(Calibration(Interval.times(0, 1029, 1.0), time="time")).run()


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("producer", [Calibration, Remote])
def test_a_load_that_fails(producer: Any, block: int) -> None:
    """The error names condition and interval, and keeps its cause; the job ends, and leaves nothing."""
    with pytest.raises(InputError) as caught:
        job(producer(*PER_RUN, fails=4.0), block=block).run()
    said = rf"condition 'scale' \({producer.__name__}\) could not be loaded for run 4: FileNotFoundError: no such file"
    assert caught.match(said)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_what_comes_next_is_wanted_ahead() -> None:
    """With the conditions of the next block those behind the next boundaries are wanted; no more, and not twice."""
    places = np.repeat([4, 5, 6, 7, 8, 9], 10)
    cut = Cut([*range(10, 61, 10)], {"scale": places})
    wanted: list[int] = []

    def want(label: str, place: int) -> bool:
        wanted.append(place)
        return place != 5

    assert cut.ready(0, want)
    assert wanted == [4, 5, 6, 7]
    assert cut.ready(0, want)
    assert wanted == [4, 5, 6, 7]
    assert not cut.ready(10, want)
    assert not cut.ready(12, want)
    assert cut.ready(50, want)
    assert wanted[4:] == [5, 6, 7, 8, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_modules_that_may_fail(block: int) -> None:
    """With an exception policy, a module with limits goes on after an event that fails, with the right condition."""

    class Sometimes(CalibratedThreads):
        threaded = 1
        resources = ("library",)

        def produce(self, event: Event) -> float:
            if event["x"] % 9 == 4:
                raise ValueError("oops")
            return super().produce(event)

    process = job(Calibration(*PER_RUN), Sometimes(), block=block)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events="")
    process.run()
    good = [number for number in range(EVENTS) if number % 9 != 4]
    assert [row[1] for row in process.look.rows] == [expected(PER_RUN)[number] for number in good]


def test_a_module_that_fails_leaves_nothing() -> None:
    """When a module fails while a condition is being loaded, the load is cancelled and what is there released."""
    calibration = Remote(*PER_RUN)
    process = job(calibration)
    process.bad = FailsAt()
    process.path = Path(process.made, process.bad)
    with pytest.raises(ModuleError, match="'bad'"):
        process.run()
    gc.collect()
    assert [one for one in calibration.alive if one() is not None] == []


class FailsAt(Producer):
    """Fails at event 25."""

    consumes = ("x",)

    def produce(self, event: Event) -> float:
        return 1 / (25 - int(event["x"]))


def test_what_is_missing_is_said_before_the_first_event() -> None:
    """Unknown conditions, intervals that overlap, times that are not there: faults, all together."""

    class Reads(Analyzer):
        conditions = ("scal", "look", "twice")
        consumes = ("x",)

        def analyze(self, event: Event) -> None:
            pass

    process = job(Calibration(*PER_RUN))
    process.reads = Reads()
    process.twice = Calibration(Interval.runs(1, 5), Interval.runs(4, 9))
    process.timed = Calibration(*PER_TIME, time="tim")
    process.end = EndPath(process.look, process.reads)
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    said = str(caught.value)
    for part in (
        "reads: reads the condition 'scal', which is not there; did you mean 'scale'?  [test_conditions.py:",
        "reads: reads the condition 'look': that is a Look",
        "twice: two intervals overlap: runs 1 to 5, and runs 4 to 9",
        "timed.time: the source has no product 'tim'; did you mean 'time'?",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ((), "it has no intervals"),
        ((Interval.runs(3, 2),), "an interval is empty: runs 3 to 2"),
        ((Interval.times(5, 5),), "an interval is empty: from 1970-01-01 00:00:05 to 1970-01-01 00:00:05"),
        ((Interval.runs(-1),), "runs and luminosity blocks are numbers from 0 to 4294967295, not run -1"),
        ((Interval.runs(3), Interval.runs(3)), "two intervals begin alike: runs from 3 on"),
        ((Interval.runs(1, 3), Interval.runs(3, 4)), "two intervals overlap: runs 1 to 3, and runs 3 to 4"),
        ((Interval.runs(1), Interval.times(3)), "its intervals are partly of time, partly of runs"),
        (((1, 2),), r"intervals\(\) gives tuple, not Interval"),
        ((Interval.times(1.0),), "its intervals are of time: set `time` to the product"),
    ],
)
def test_wrong_intervals(intervals: tuple[Any, ...], message: str) -> None:
    """Intervals that cannot be are faults of the producer."""
    with pytest.raises(ConfigurationError, match=f"scale: {message}"):
        job(Calibration(*intervals)).run()


def test_an_undeclared_condition() -> None:
    """Reading a condition that the module does not declare is an error of the module that names it."""

    class Sneaks(Producer):
        consumes = ("x",)

        def produce(self, event: Event) -> Any:
            return event.conditions["scale"]

    process = job(Calibration(*PER_RUN))
    process.sneaks = Sneaks()
    process.path = Path(process.made, process.sneaks)
    with pytest.raises(
        ModuleError, match=r"module 'sneaks' reads the condition 'scale', which it does not declare; it"
    ):
        process.run()
    with pytest.raises(ModuleError, match="which it does not declare"):
        run_module(Sneaks(), [{"x": 1}])


def test_one_module_alone() -> None:
    """run_module takes conditions by their labels."""
    made = run_module(Calibrated(), [{"x": 2.0}, {"x": 3.0}], services={"scale": Calibration(Interval.always(5.0))})
    assert made == [10.0, 15.0]


def test_blocks_are_cut_only_for_what_is_read() -> None:
    """A condition that nobody reads cuts no blocks; one that is read cuts where its intervals end."""
    assert job(Calibration(*PER_RUN), chunk=1000).run().blocks == 6
    process = job(Calibration(*PER_RUN), chunk=1000)
    process.plain = Look(of=["x"])
    process.end, process.path = EndPath(process.plain), Path()
    assert process.run().blocks == 1


numbers = st.integers(0, 6)
intervals = st.lists(st.tuples(numbers, numbers, st.none() | st.tuples(numbers, numbers)), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(intervals, st.lists(st.tuples(numbers, numbers), max_size=20))
def test_look_up_is_that_of_a_search_one_by_one(drawn: list[Any], lumis: list[tuple[int, int]]) -> None:
    """For any intervals without faults, a luminosity block is in the one that holds it, and else in a gap."""
    table = IntervalTable(Interval.lumis((run, lumi), last) for run, lumi, last in drawn)
    if table.faults:
        return
    run, lumi = (np.array([one[place] for one in lumis], np.uint32) for place in (0, 1))
    found = table.places(lumi_keys(EventIDs(run, lumi, np.zeros(len(lumis), np.uint64))))
    for one, place in zip(lumis, found, strict=True):
        holds = []
        for number, interval in enumerate(table.intervals):
            later = table.intervals[number + 1].first if number + 1 < len(table.intervals) else (99, 0)
            inside = one <= interval.last if interval.last is not None else one < later  # type: ignore[operator]
            holds += [number] if interval.first <= one and inside else []  # type: ignore[operator]
        assert ([] if place == GAP else [place]) == holds


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_shelf_never_drops_what_is_needed(data: st.DataObject) -> None:
    """For any order of blocks: loaded before taken, held while used, dropped once, and few are held."""
    places = data.draw(st.lists(st.integers(0, 3), max_size=30))
    kept = data.draw(st.integers(0, 2))
    shelf, held = Shelf(kept), set[int]()
    opened = ended = 0
    while ended < len(places):
        if opened == ended or (opened < len(places) and data.draw(st.booleans())):
            for ahead in places[opened : opened + data.draw(st.integers(1, 3))]:
                if shelf.want(ahead):
                    assert ahead not in held
                    held.add(ahead)
            assert places[opened] in held
            shelf.take(places[opened])
            opened += 1
        else:
            ended += 1
            for dropped in shelf.give(places[ended - 1]):
                held.remove(dropped)
                assert dropped not in places[ended:opened]
        assert set(places[ended:opened]) <= held
    assert sorted(shelf.clear()) == sorted(held)


class Aligned(Calibration):
    """A condition that would be made of another."""

    class Config(Calibration.Config):
        """Which."""

        base: ConditionTag = "base"


class AlsoAligned(Calibration):
    """The same, said by the class."""

    conditions = ("base",)


@pytest.mark.parametrize("kind", [Aligned, AlsoAligned])
def test_conditions_of_conditions_are_a_fault(kind: type[Calibration]) -> None:
    """Who tries it is told before the first event, and not by what a look-up finds or does not find."""
    process = Process("P")
    process.source = EventSource([{"x": 1}])
    process.base = Calibration(Interval.always(1.0))
    process.made = kind(Interval.always(2.0))
    faults, _ = check(process)
    assert [fault.label for fault in faults] == ["made"]
    assert "reads the condition 'base': conditions cannot be made of others" in faults[0].message
