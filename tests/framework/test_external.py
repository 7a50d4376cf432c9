"""External work: handed out in acquire, produced when it has ended, with exactly its event's result; and every way to fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evproc.framework import (
    Columns,
    EndPath,
    Event,
    ExternalFilter,
    ExternalProducer,
    InferenceError,
    ModuleError,
    Path,
    Process,
    ProductNotFound,
)
from evproc.framework.errors import DeadlineExceeded
from tests.framework.core_toys import (
    Add,
    Divisible,
    Later,
    LaterColumns,
    LaterFilter,
    Look,
    numbers,
)


class Work(ExternalProducer):
    """Its work, its `external` and its produce are functions of the test."""

    def __init__(
        self,
        acquire: Callable[[Work, Event], Any] | None = None,
        external: Callable[[list[Any]], Any] | None = None,
        produce: Callable[[Event, Any], Any] = lambda _, result: result,
        **parameters: Any,
    ) -> None:
        super().__init__(**parameters)
        self._acquire, self._external, self._produce = acquire, external, produce
        self.produced: list[int] = []
        self.pieces: list[int] = []

    consumes = ("x",)

    def acquire(self, event: Event) -> Any:
        return event["x"] if self._acquire is None else self._acquire(self, event)

    async def external(self, work: list[Any]) -> Sequence[Any]:
        self.pieces.append(len(work))
        if self._external is None:
            return await super().external(work)
        await asyncio.sleep(0)
        result: Sequence[Any] = self._external(work)
        return result

    def produce(self, event: Event, result: Any) -> Any:
        self.produced.append(event.id.event)
        return self._produce(event, result)


def job(module: Any, events: int = 30, **options: Any) -> Process:
    """A process that runs a module as `work` on the path `path`, and looks at its product."""
    process = Process("P", **options)
    process.source, process.work, process.look = numbers(events), module, Look(of=["work"])
    process.path, process.end = Path(process.work), EndPath(process.look)
    return process


def rows(process: Process) -> list[tuple[Any, ...]]:
    """What the analyzer saw."""
    process.run()
    return list(process.look.rows)


async def doubled(value: int) -> int:
    await asyncio.sleep(0)
    return 2 * value


DOUBLE = [(number, 2 * number) for number in range(30)]


def test_work_may_be_a_coroutine() -> None:
    """acquire may return a coroutine; produce gets what it returned, for its own event."""
    assert rows(job(Work(lambda _, event: doubled(event["x"])))) == DOUBLE


def test_work_may_be_a_call_in_a_thread() -> None:
    """self.in_thread calls a function in the pool of the job."""
    names: set[str] = set()

    def double(value: int) -> int:
        names.add(threading.current_thread().name)
        return 2 * value

    assert rows(job(Work(lambda work, event: work.in_thread(double, event["x"])))) == DOUBLE
    assert names
    assert all(name.startswith("evproc_") for name in names)


def test_work_of_many_events_may_be_done_in_one_go() -> None:
    """`external` gets the work of several events, and returns one result for each."""
    module = Work(external=lambda work: [2 * value for value in work])
    assert rows(job(module)) == DOUBLE
    assert sum(module.pieces) == 30
    assert len(module.pieces) < 30


def test_one_event_may_fail_among_many() -> None:
    """An exception in the place of a result is the failure of that event; its produce is not called."""
    module = Work(external=lambda work: [ValueError("seven") if value == 7 else value for value in work])
    with pytest.raises(
        ModuleError, match=r"module 'work' \(Work\) on path 'path' failed at .*event 7 .*ValueError: seven"
    ):
        rows(job(module))
    assert 7 not in module.produced


@pytest.mark.parametrize("method", ["acquire", "work", "external", "produce"])
@pytest.mark.parametrize("block", [1, 7, "auto"])
def test_an_error_names_module_type_path_event_and_file(method: str, block: Any) -> None:
    """Wherever the work of an event fails, the message says all about it, and produce is not called for that event."""

    def fail(event: Event) -> None:
        if event["x"] == 13:
            raise ValueError("oops")

    async def work(value: int) -> int:
        if value == 13 and method == "work":
            raise ValueError("oops")
        return value

    def acquire(_: Work, event: Event) -> Any:
        if method == "acquire":
            fail(event)
        return event["x"] if method in ("acquire", "external") else work(int(event["x"]))

    def produce(event: Event, result: Any) -> Any:
        if method == "produce":
            fail(event)
        return result

    def external(work: list[Any]) -> list[Any]:
        if 13 in work:
            raise ValueError("oops")
        return work

    module = Work(acquire, external if method in ("acquire", "external") else None, produce)
    event = r"(event 13|\d+ events from .*)" if method == "external" else "event 13"
    words = rf"module 'work' \(Work\) on path 'path' failed at .*{event} \(events of the test.*\): ValueError: oops"
    with pytest.raises(ModuleError, match=words) as caught:
        rows(job(module, block=block))
    assert isinstance(caught.value.__cause__, ValueError)
    assert (13 in module.produced) == (method == "produce")
    assert caught.value.exit_code == 5


def test_an_error_of_inference_stays_one() -> None:
    """An error of evproc keeps its class and exit code when it gets its context."""

    def acquire(_: Work, event: Event) -> Any:
        raise DeadlineExceeded("grpc://a:1, model 'm': no answer within 3 s")

    with pytest.raises(InferenceError, match=r"module 'work' .*event 0 .*grpc://a:1, model 'm': no answer") as caught:
        rows(job(Work(acquire)))
    assert type(caught.value) is DeadlineExceeded
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda work: work[:-1], r"returned \d+ results for \d+ events"),
        (lambda work: [*work, 1], r"returned \d+ results for \d+ events"),
        (lambda work: [], r"returned 0 results for \d+ event"),
        (lambda work: None, r"returned NoneType, not one result for each of \d+ event"),
        (lambda work: 3, r"returned int, not one result for each of \d+ event"),
    ],
)
def test_a_wrong_number_of_results_is_an_error(returned: Any, words: str) -> None:
    """`external` returns one result for each event, or the job ends with a message that says so."""
    module = Work(external=returned)
    with pytest.raises(ModuleError, match=rf"module 'work' \(Work\) on path 'path' failed at .*{words}"):
        rows(job(module))
    assert module.produced == []


def test_work_that_is_no_awaitable_is_named() -> None:
    """An acquire that returns no awaitable, for a module without `external` of its own, is an error of its event."""
    with pytest.raises(ModuleError, match=r"module 'work' .*event 3 .*`acquire` returned int64, which is no awaitable"):
        rows(job(Work(lambda _, event: event["x"] if event["x"] == 3 else doubled(event["x"]))))


def test_work_that_cancels_itself_is_an_error_and_no_interrupt() -> None:
    """A CancelledError out of `external` is the module's failure; it must not look like Ctrl-C."""

    def external(work: list[Any]) -> list[Any]:
        raise asyncio.CancelledError

    with pytest.raises(ModuleError, match=r"module 'work' .*cancelled"):
        rows(job(Work(external=external)))


def test_products_are_read_in_acquire_and_in_produce() -> None:
    """busy1 = 1 and busy2 = 2 are read in acquire, busy3 = 2 in produce: 5 (scenario 11 of CMSSW)."""

    class Sum(ExternalProducer):
        consumes = ("busy1", "busy2", "busy3")

        def acquire(self, event: Event) -> Any:
            return doubled(0) if event["busy1"] + event["busy2"] == 3 else None

        def produce(self, event: Event, result: Any) -> Any:
            return result + event["busy1"] + event["busy2"] + event["busy3"]

    process = job(Sum(), events=1)
    for number, plus in (("1", 1), ("2", 2), ("3", 2)):
        setattr(process, f"busy{number}", Add(plus=plus))
    assert rows(process) == [(0, 5)]


@pytest.mark.parametrize("block", [1, 7, "auto"])
def test_a_filter_with_work_decides_in_the_end(block: Any) -> None:
    """An external filter's answer is that of its method `filter`, for each event its own."""
    process = Process("P", block=block)
    process.source, process.three, process.look = numbers(30), LaterFilter(by=3), Look()
    process.path = Path(process.three, process.look)
    report = process.run()
    assert process.look.events == list(range(0, 30, 3))
    assert report.module("three").passed == 10


def test_a_filter_with_work_must_say_true_or_false() -> None:
    """A filter that returns something else fails at that event."""

    class Odd(ExternalFilter):
        consumes = ("x",)

        def acquire(self, event: Event) -> Any:
            return doubled(event["x"])

        def filter(self, event: Event, result: Any) -> Any:
            return result if event["x"] == 3 else True

    process = job(Odd())
    process.look = Look()
    with pytest.raises(ModuleError, match=r"module 'work' \(Odd\) .*event 3 .*a filter returns True or False, not .*6"):
        process.run()


@pytest.mark.parametrize("block", [1, 7, "auto"])
@pytest.mark.parametrize("by", [1, 3, 100])
def test_columns_go_out_as_a_whole(block: Any, by: int) -> None:
    """A columnar module with work gets the events that reach it at once, in acquire and in produce."""
    process = Process("P", block=block)
    process.source, process.some = numbers(30), Divisible(by=by)
    process.work, process.look = LaterColumns(plus=1), Look(of=["work"])
    process.path = Path(process.some, process.work, process.look)
    process.run()
    wanted = list(range(0, 30, by))
    assert process.work.acquired == wanted
    assert process.look.rows == [(number, number + 1) for number in wanted]


@pytest.mark.parametrize("maker", [Later, LaterColumns])
@pytest.mark.parametrize("block", [1, 7, "auto"])
def test_unscheduled_work_runs_once_where_any_reader_needs_it(maker: Any, block: Any) -> None:
    """one: [2?] -> b <- (work)   two: [5?] -> c <- (work)     both parts of the work are under way at once."""
    process = Process("P", block=block)
    process.source, process.two, process.five = numbers(30), Divisible(by=2), Divisible(by=5)
    process.work = maker(plus=1)
    process.b, process.c = Look(of=["work"]), Look(of=["work"])
    process.one, process.other = Path(process.two, process.b), Path(process.five, process.c)
    process.run()
    assert sorted(process.work.acquired) == sorted({*range(0, 30, 2), *range(0, 30, 5)})
    assert process.b.rows == [(number, number + 1) for number in range(0, 30, 2)]
    assert process.c.rows == [(number, number + 1) for number in range(0, 30, 5)]


class Columnar(ExternalProducer):
    """Columnar work that fails where a test says."""

    consumes = ("x",)
    where = ""

    def acquire_columns(self, columns: Columns) -> Any:
        if self.where == "acquire":
            raise ValueError("oops")
        return self.work(columns["x"])

    async def work(self, values: Any) -> Any:
        if self.where == "work":
            raise ValueError("oops")
        return values

    def produce_columns(self, columns: Columns, result: Any) -> Any:
        if self.where == "produce":
            raise ValueError("oops")
        return result[1:] if self.where == "length" else result


@pytest.mark.parametrize("where", ["acquire", "work", "produce"])
def test_an_error_in_columnar_work_names_the_events_of_the_block(where: str) -> None:
    """For a whole block the message names the first and the last event."""
    module = Columnar()
    module.where = where
    words = (
        r"module 'work' \(Columnar\) on path 'path' failed at 7 events from .*event 0 to .*event 6 .*ValueError: oops"
    )
    with pytest.raises(ModuleError, match=words):
        rows(job(module, block=7, streams=1))


def test_columnar_work_of_the_wrong_length_is_an_error() -> None:
    """A product has one entry per event."""
    module = Columnar()
    module.where = "length"
    with pytest.raises(ModuleError, match=r"product 'work' has 6 entries for 7 events"):
        rows(job(module, block=7))


def test_work_behind_work_waits_for_it() -> None:
    """later2 <- later1: what is acquired second reads what was produced first."""
    process = Process("P", block=4)
    process.source, process.one = numbers(30), Later(plus=1)
    process.two, process.look = Later(of=["one"], plus=1), Look(of=["two"])
    process.end = EndPath(process.look)
    process.run()
    assert process.look.rows == [(number, number + 2) for number in range(30)]


def test_answers_in_any_order_go_to_their_events() -> None:
    """Results do not depend on the order of answers: here the last piece of work is answered first."""
    waiting: list[asyncio.Future[int]] = []

    async def answer(value: int) -> int:
        future = asyncio.get_running_loop().create_future()
        waiting.append(future)
        if len(waiting) == 30:
            for place, other in enumerate(reversed(waiting)):
                asyncio.get_running_loop().call_later(0, lambda f=other, p=place: f.set_result(p))
        await future
        return 2 * value

    assert rows(job(Work(lambda _, event: answer(int(event["x"]))), block=5, streams=6)) == DOUBLE


def test_a_failure_leaves_no_work_behind() -> None:
    """When one event fails, all other work is cancelled and has ended before the job does."""
    ends: list[str] = []

    async def forever(value: int) -> int:
        if value == 20:
            raise ValueError("oops")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return value

    with pytest.raises(ModuleError, match=r"event 20 "):
        rows(job(Work(lambda _, event: forever(int(event["x"]))), block=1))
    assert len(ends) >= 20


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_work_that_was_acquired_before_an_error_is_closed(block: int) -> None:
    """Coroutines of events before the one whose acquire failed are not sent out any more, and none is left unawaited."""
    made: list[Any] = []

    def acquire(_: Work, event: Event) -> Any:
        if event["x"] == 20:
            raise ValueError("oops")
        made.append(doubled(int(event["x"])))
        return made[-1]

    with pytest.raises(ModuleError, match=r"event 20 "):
        rows(job(Work(acquire), block=block, streams=1))
    assert len(made) >= 20
    assert all(work.cr_frame is None for work in made)


def test_a_product_that_only_some_events_have_fails_in_acquire() -> None:
    """Reading what was not made for an event is an error of acquire, with its event."""
    process = job(Work(lambda _, event: doubled(event["some"])))
    process.work.consumes = ("x", "some")
    process.two, process.some = Divisible(by=2), Add()
    process.first = Path(process.two, process.some)
    with pytest.raises(ProductNotFound, match=r"module 'work' .*event 1 .*product 'some' was not made for this event"):
        process.run()


def test_results_may_be_a_numpy_array() -> None:
    """Any sequence of results will do."""
    assert rows(job(Work(external=lambda work: 2 * np.array(work)))) == DOUBLE
