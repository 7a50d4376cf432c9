"""A job from begin to end: order of events, life of modules and services, errors with their context, checks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Analyzer,
    Catalog,
    Chunk,
    Columns,
    ConfigurationError,
    EndPath,
    Event,
    Fault,
    Filter,
    InputError,
    Job,
    Module,
    ModuleError,
    OutputError,
    OutputModule,
    Path,
    Process,
    Producer,
    ProductNotFound,
    Progress,
    Service,
    Source,
)
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from evproc.framework.job import check
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Call,
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


class Fails(Module):
    """Something that fails at event 13, in one of its methods."""

    def fail(self, event: Event) -> Any:
        if event["x"] == 13:
            raise ValueError("oops")
        return True


class FailingProducer(Fails, Producer):
    consumes = ("x",)

    def produce(self, event: Event) -> Any:
        return self.fail(event)


class FailingFilter(Fails, Filter):
    consumes = ("x",)

    def filter(self, event: Event) -> bool:
        return bool(self.fail(event))


class FailingAnalyzer(Fails, Analyzer):
    consumes = ("x",)

    def analyze(self, event: Event) -> None:
        self.fail(event)


class FailingOutput(Fails, OutputModule):
    consumes = ("x",)

    def write(self, event: Event) -> None:
        self.fail(event)


class ThreadedProducer(FailingProducer):
    threaded = True


KINDS = (FailingProducer, FailingFilter, FailingAnalyzer, FailingOutput, ThreadedProducer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [1, 7, "auto"])
@pytest.mark.parametrize("by", [1, 13])
def test_an_error_names_module_type_path_event_and_file(kind: type[Module], block: Any, by: int) -> None:
    """Whatever kind of module fails, behind a filter or not: the message has all, and nothing is committed."""
    process = Process("P", block=block)
    process.source, process.some, process.bad = numbers(40, chunk=20), Divisible(by=by), kind()
    process.out = Write()
    process.path, process.end = Path(process.some, process.bad), EndPath(process.out)
    words = rf"module 'bad' \({kind.__name__}\) on path 'path' failed at run 1, .*event 13 \(events of the test"
    with pytest.raises(ModuleError, match=words + r".*\): ValueError: oops") as caught:
        process.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__context__ is caught.value.__cause__, "the traceback shows the cause, and nothing else"
    assert process.out.life == ["begin", "end", "discard"]
    assert process.out.events == sorted(process.out.events)
    assert all(number < 13 for number in process.out.events)


@pytest.mark.parametrize("kind", ["produce_columns", "filter_columns", "analyze_columns", "write_columns"])
def test_an_error_in_columns_names_the_events_of_the_block(kind: str) -> None:
    """For a columnar module the message names the first and the last event of the block."""

    def fail(self: Any, columns: Columns) -> Any:
        raise ValueError("oops")

    base = {"produce": Producer, "filter": Filter, "analyze": Analyzer, "write": OutputModule}[kind.partition("_")[0]]
    process = Process("P", block=7, streams=1)
    process.source, process.bad = numbers(40), type("Bad", (base,), {kind: fail, "consumes": ("x",)})()
    process.path = Path(process.bad)
    with pytest.raises(
        ModuleError, match=r"module 'bad' \(Bad\) .*7 events from .*event 0 to .*event 6.*ValueError: oops"
    ):
        process.run()


def test_a_module_on_several_paths_is_named_with_all() -> None:
    """The message names the paths; a producer on none has none."""
    process = Process("P")
    process.source, process.bad = numbers(20), FailingProducer()
    process.one, process.two = Path(process.bad), Path(process.bad)
    with pytest.raises(ModuleError, match=r"on path 'one, two' failed"):
        process.run()
    process = Process("P")
    process.source, process.bad, process.look = numbers(20), FailingProducer(), Look(of=["bad"])
    process.end = EndPath(process.look)
    with pytest.raises(ModuleError, match=r"module 'bad' \(FailingProducer\) failed at"):
        process.run()


def test_stop_iteration_is_an_error_like_any_other() -> None:
    """A module that lets a StopIteration out fails at its event; events are not silently left out."""

    def first(event: Event) -> Any:
        return next(value for value in event["y"] if value)

    process = Process("P")
    process.source, process.bad = numbers(20), Call(first, of=["y"])
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=r"module 'bad' .*event 0 .*StopIteration"):
        process.run()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (1, r"event 0 .*a filter returns True or False, not 1"),
        (None, r"event 0 .*a filter returns True or False, not None"),
        (np.array([True]), r"event 0 .*a filter returns True or False, not array\(\[ True\]\)"),
    ],
)
def test_a_filter_says_true_or_false(result: Any, words: str) -> None:
    """A filter that returns something else, which would pass or not by accident, is an error."""

    class Says(Filter):
        consumes = ("x",)

        def filter(self, event: Event) -> Any:
            return result

    process = Process("P")
    process.source, process.bad = numbers(5), Says()
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=words):
        process.run()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (np.ones(3, bool), r"a filter returns \(5,\) bool, not \(3,\) bool"),
        (np.ones(5), r"a filter returns \(5,\) bool, not \(5,\) float64"),
        (True, r"a filter returns \(5,\) bool, not \(\) bool"),
    ],
)
def test_a_columnar_filter_says_it_for_each_event(result: Any, words: str) -> None:
    """The answer of a columnar filter is one bool per event."""

    class Says(Filter):
        consumes = ("x",)

        def filter_columns(self, columns: Columns) -> Any:
            return result

    process = Process("P")
    process.source, process.bad = numbers(5), Says()
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=words):
        process.run()


class Several(Producer):
    """Several products, as a test says."""

    produces = {"a": "int64", "b": "int64"}
    consumes = ("x",)
    result: Any = None

    def produce(self, event: Event) -> Any:
        return self.result


class SeveralColumns(Producer):
    produces = {"a": "int64", "b": "int64"}
    consumes = ("x",)
    result: Any = None

    def produce_columns(self, columns: Columns) -> Any:
        return self.result


FIVE = np.arange(5)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"a": 1}, r"it should return a dict of \['a', 'b'\], not \['a'\]"),
        ({"a": 1, "b": 2, "c": 3}, r"it should return a dict of \['a', 'b'\], not \['a', 'b', 'c'\]"),
        (3, r"it should return a dict of \['a', 'b'\], not int"),
    ],
)
def test_a_module_returns_just_the_products_that_it_declares(result: Any, words: str) -> None:
    """A dict with other products than the declared ones is an error of the event."""
    process = Process("P")
    process.source, process.bad = numbers(5), Several()
    process.bad.result = result
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=rf"module 'bad' \(Several\) .*event 0 .*{words}"):
        process.run()


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"a": FIVE}, r"it should return a dict of \['a', 'b'\]"),
        ({"a": FIVE, "c": FIVE}, r"it should return a dict of \['a', 'b'\], not \['a', 'c'\]"),
        (FIVE, r"it should return a dict of \['a', 'b'\]"),
        ({"a": FIVE, "b": FIVE[1:]}, r"product 'bad:b' has 4 entries for 5 events"),
        ({"a": FIVE, "b": [1, 2, 3, 4, 5]}, r"a column is a NumPy or awkward array, not list"),
        ({"a": FIVE, "b": np.array(3)}, r"a single number is no column"),
    ],
)
def test_a_columnar_module_returns_an_array_for_each_product(result: Any, words: str) -> None:
    """Products of columnar modules have one entry for each event."""
    process = Process("P")
    process.source, process.bad = numbers(5), SeveralColumns()
    process.bad.result = result
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=rf"module 'bad' \(SeveralColumns\) .*5 events from .*{words}"):
        process.run()


def test_several_products_are_read_by_their_names() -> None:
    """label:instance names one product of several, by event and by column alike."""
    for module, result in (
        (Several(), {"a": 1, "b": 2}),
        (SeveralColumns(), {"a": np.ones(5, int), "b": np.full(5, 2)}),
    ):
        process = Process("P", block=5)
        process.source, process.s = numbers(5), module
        module.result = result
        process.look = Look(of=["s:b", "s:a"])
        process.end = EndPath(process.look)
        process.run()
        assert process.look.rows == [(number, 2, 1) for number in range(5)]


def test_reading_what_is_not_declared_fails_the_job() -> None:
    """The error is ProductNotFound, with module and event."""

    process = Process("P")
    process.source, process.bad = numbers(5), Call(lambda event: event["y"], of=["x"])
    process.path = Path(process.bad)
    with pytest.raises(
        ProductNotFound, match=r"module 'bad' \(Call\) .*event 0 .*reads 'y', which it does not declare"
    ):
        process.run()


class BadSource(Source):
    """A source that fails after some chunks."""

    error: Exception = InputError("file 'a.root' is truncated")

    def catalog(self) -> Catalog:
        return Catalog({"x": "int64"})

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        for start in (0, 10):
            yield Chunk(EventIDs.numbered(start, 10), {"x": Flat(np.arange(start, start + 10))}, "a.root")
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("file 'a.root' is truncated"), r"^file 'a.root' is truncated$"),
        (ZeroDivisionError("oops"), r"source 'source' \(BadSource\) failed: ZeroDivisionError\('oops'\)"),
    ],
)
def test_a_source_that_fails_fails_the_job(error: Exception, words: str) -> None:
    """What was read is finished, the job fails with an InputError, and nothing is committed."""
    process = Process("P")
    process.source, process.out = BadSource(), Write()
    process.source.error = error
    process.end = EndPath(process.out)
    with pytest.raises(InputError, match=words):
        process.run()
    assert process.out.events == list(range(20))
    assert process.out.life == ["begin", "end", "discard"]


def test_a_failing_job_closes_the_reader() -> None:
    """When a module fails, the generator of the source is closed in its thread, and the thread ends."""
    closed: list[str] = []

    class Endless(Source):
        def catalog(self) -> Catalog:
            return Catalog({"x": "int64"})

        def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
            at = 0
            try:
                while True:
                    yield Chunk(EventIDs.numbered(at, 10), {"x": Flat(np.arange(at, at + 10))})
                    at += 10
            finally:
                closed.append(threading.current_thread().name)

    process = Process("P")
    process.source, process.bad = Endless(), FailingProducer()
    process.path = Path(process.bad)
    with pytest.raises(ModuleError):
        process.run()
    assert len(closed) == 1
    assert closed[0].startswith("evproc-reader")


def test_a_thread_that_is_still_at_work_is_waited_for() -> None:
    """When another module fails, a threaded output has left its method before it is ended and discarded."""
    inside = threading.Event()
    log: list[str] = []

    class Slow(OutputModule):
        consumes = ("x",)
        threaded = True

        def write(self, event: Event) -> None:
            log.append("enter")
            inside.set()
            for _ in range(3_000_000):
                pass
            log.append("leave")

        def end_job(self) -> None:
            log.append("end")

        def discard(self) -> None:
            log.append("discard")

    def fail(event: Event) -> Any:
        if event["x"] == 1:
            assert inside.wait(10)
            raise ValueError("oops")
        return 0

    process = Process("P", block=1, streams=2)
    process.source, process.out, process.bad = numbers(2), Slow(), Call(fail)
    process.path, process.end = Path(process.bad), EndPath(process.out)
    with pytest.raises(ModuleError, match=r"event 1 .*oops"):
        process.run()
    assert log == ["enter", "leave", "end", "discard"]


class Life(Analyzer):
    """Writes down its life, and fails where a test says."""

    consumes = ("x",)

    def __init__(self, log: list[str], fails: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.log, self.fails, self.error = log, fails, error or ValueError("oops")

    def note(self, what: str) -> None:
        self.log.append(f"{self.label}.{what}")
        if self.fails == what:
            raise self.error

    def begin_job(self, job: Job) -> None:
        self.note("begin")

    def analyze(self, event: Event) -> None:
        self.note("event")

    def end_job(self) -> None:
        self.note("end")

    def commit(self) -> None:
        self.note("commit")

    def discard(self) -> None:
        self.note("discard")


def lives(fails: str = "", error: Exception | None = None) -> tuple[Process, list[str]]:
    """Three modules, of which the second fails somewhere."""
    log: list[str] = []
    process = Process("P")
    process.source = numbers(1)
    process.a, process.b, process.c = Life(log), Life(log, fails, error), Life(log)
    process.end = EndPath(process.a, process.b, process.c)
    return process, log


def test_the_life_of_modules() -> None:
    """begin, events, end, commit: each for all modules before the next."""
    process, log = lives()
    process.run()
    assert log == [f"{label}.{what}" for what in ("begin", "event", "end", "commit") for label in "abc"]


@pytest.mark.parametrize(
    ("fails", "log"),
    [
        ("begin", ["a.begin", "b.begin", "a.end", "b.end", "a.discard", "b.discard"]),
        ("event", ["a.event", "b.event", "a.end", "b.end", "c.end", "a.discard", "b.discard", "c.discard"]),
        ("end", ["c.event", "a.end", "b.end", "c.end", "a.discard", "b.discard", "c.discard"]),
        ("commit", ["a.commit", "b.commit", "b.discard", "c.discard"]),
    ],
)
def test_the_life_of_modules_when_one_fails(fails: str, log: list[str]) -> None:
    """Whoever has begun is ended; nothing is committed after a failure; the message names module and method."""
    process, seen = lives(fails)
    with pytest.raises(
        ModuleError, match=rf"module 'b' \(Life\) .*{'event 0' if fails == 'event' else fails}.*oops"
    ) as caught:
        process.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert seen[-len(log) :] == log


@pytest.mark.parametrize("fails", ["begin", "end", "commit"])
def test_an_error_of_evproc_keeps_its_class_in_every_phase(fails: str) -> None:
    """An OutputError of begin_job, end_job or commit stays one, with its exit code, and names its module."""
    process, _ = lives(fails, OutputError("disk full"))
    with pytest.raises(OutputError, match=r"module 'b' \(Life\).*disk full") as caught:
        process.run()
    assert caught.value.exit_code == 4


class Meter(Service):
    """Writes down its life, and fails where a test says."""

    def __init__(self, log: list[str], fails: str = "") -> None:
        super().__init__()
        self.log, self.fails = log, fails

    def note(self, what: str) -> None:
        self.log.append(f"{self.label}.{what}")
        if self.fails == what:
            raise ValueError("oops")

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        self.note("check")
        return [Fault("is not there")] if self.fails == "fault" else []

    async def begin_job(self, job: Job) -> None:
        self.note("begin")

    async def end_job(self) -> None:
        self.note("end")

    def report(self) -> dict[str, Any]:
        return {"log": len(self.log)}


def metered(fails: str = "") -> tuple[Process, list[str]]:
    """A process with two services, of which the first fails somewhere."""
    log: list[str] = []
    process = Process("P")
    process.source, process.look = numbers(3), Look()
    process.one, process.two = Meter(log, fails), Meter(log)
    process.end = EndPath(process.look)
    return process, log


def test_the_life_of_services() -> None:
    """check, begin, end: once each, and the report after the end."""
    process, log = metered()
    report = process.run()
    assert log == ["one.check", "two.check", "one.begin", "two.begin", "one.end", "two.end"]
    assert report.services == {"one": {"log": 6}, "two": {"log": 6}}


@pytest.mark.parametrize("fails", ["check", "fault", "begin", "end"])
def test_all_services_are_ended_when_one_fails(fails: str) -> None:
    """end_job of each service is called, whichever fails, and the error names the service."""
    process, log = metered(fails)
    with pytest.raises(Exception, match=r"one.*(oops|is not there)"):
        process.run()
    assert log[-2:] == ["one.end", "two.end"]


def test_an_error_of_the_job_is_not_hidden_by_one_of_the_end() -> None:
    """When an event fails and then a service does not end well, the first error is the one raised."""
    process, log = metered("end")
    process.bad = FailingProducer()
    process.source = numbers(20)
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=r"module 'bad'"):
        process.run()
    assert log[-2:] == ["one.end", "two.end"]


def test_check_finds_all_faults_and_runs_nothing() -> None:
    """Parameters, inputs, paths, options, modules and services: all come together, and the services are ended."""

    class Careful(Add):
        def check(self) -> list[Fault]:
            return [Fault("does not like it here", key="of")]

    class Clumsy(Add):
        def check(self) -> list[Fault]:
            raise ZeroDivisionError("oops")

    process, log = metered("fault")
    process.set_options(streams=0)
    process.careful, process.clumsy, process.wrong = Careful(), Clumsy(), Add(plus="much")
    process.reads = Add(of=["nothing"])
    process.path = Path(process.careful, "carefull")
    faults, warnings = check(process)
    texts = [str(fault) for fault in faults]
    for part in (
        "wrong.plus: input should be a valid integer",
        "reads: reads 'nothing', which nothing makes",
        "path: names module 'carefull'; did you mean 'careful'?",
        "options.streams",
        "careful.of: does not like it here  [test_job.py:",
        "clumsy: check() of Clumsy failed: ZeroDivisionError: oops  [test_job.py:",
        "one: is not there  [test_job.py:",
    ):
        assert any(text.startswith(part) for text in texts), (part, texts)
    assert log == ["one.check", "two.check", "one.end", "two.end"]
    assert process.look.rows == []
    assert warnings == []
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    assert {str(fault) for fault in caught.value.faults} == set(texts)


def test_check_of_a_sound_process_gives_warnings() -> None:
    """A sound process has no faults; its warnings are those of the schedule and the services."""
    process, _ = metered()
    process.idle = Add()
    process.one.warnings.append("is slow today")
    faults, warnings = check(process)
    assert faults == []
    assert warnings == ["module 'idle' (Add) does not run: nothing reads its product", "is slow today"]


def test_a_job_runs_inside_a_running_loop() -> None:
    """In a notebook a loop is running already: run and check work there too, and errors come through."""
    process = Process("P")
    process.source, process.later, process.look = numbers(10), Later(plus=1), Look(of=["later"])
    process.end = EndPath(process.look)

    async def cell() -> None:
        assert check(process) == ([], [])
        assert process.run().events == 10
        process.later.set(plus="much")
        with pytest.raises(ConfigurationError, match=r"later.plus"):
            process.run()
        assert len(check(process)[0]) == 1

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


def test_a_service_is_found_by_its_kind() -> None:
    """job.service gives modules the service that they need, and says what to add if there is none."""
    found: list[Service] = []

    class Needs(Analyzer):
        consumes = ("x",)

        def begin_job(self, job: Job) -> None:
            found.append(job.service(Meter))
            found.append(job.service(Meter, "two"))

        def analyze(self, event: Event) -> None:
            pass

    process, _ = metered()
    process.needs = Needs()
    process.end = EndPath(process.needs)
    process.run()
    assert found == [process.one, process.two]
    del process.one
    del process.two
    with pytest.raises(ConfigurationError, match=r"the process has no Meter; add one: process.x = Meter"):
        process.run()
