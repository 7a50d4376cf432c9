"""What goes wrong with an event: the error names module, type, path, event and file, and nothing is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Analyzer,
    Catalog,
    Chunk,
    Columns,
    EndPath,
    Event,
    Filter,
    InputError,
    Module,
    ModuleError,
    OutputModule,
    Path,
    Process,
    Producer,
    ProductNotFound,
    Source,
)
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from tests.framework.core_toys import (
    Call,
    Divisible,
    Look,
    Write,
    numbers,
)


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
        (InputError("file 'a.root' is truncated"), r"source 'source' .*: file 'a.root' is truncated$"),
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
