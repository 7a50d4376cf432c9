"""Memory is bounded by bytes: work in flight, chunks read ahead, products after their last reader."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from evproc.framework import Catalog, Chunk, EndPath, Event, ExternalProducer, Path, Process, Producer, Source
from evproc.framework import external as external_steps
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from tests.framework.core_toys import Add, AddColumns, Call, Later, Look, Write, numbers

KILOBYTE = 0.001  # of the unit of the budgets, MB


class Sized(ExternalProducer):
    """Work of a known size per event; counts what is in flight, and answers only when the job waits for it."""

    consumes = ("x",)
    held = True

    def __init__(self, size: int, produce_s: float = 0.0) -> None:
        super().__init__()
        self.size = size
        self.produce_s = produce_s
        self.in_flight = self.peak = 0
        self.acquired: list[int] = []
        self.produced: list[int] = []
        self.pieces: list[int] = []

    def bytes_of(self, number: int) -> int:
        return self.size

    def acquire(self, event: Event) -> Any:
        self.acquired.append(event.id.event)
        return int(event["x"])

    def launch(self, work: list[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        nbytes = sum(map(self.bytes_of, work))
        self.in_flight += nbytes
        self.peak = max(self.peak, self.in_flight)
        self.pieces.append(len(work))
        return asyncio.ensure_future(self.external(work)), nbytes

    async def external(self, work: list[Any]) -> Sequence[Any]:
        for _ in range(len(work) % 3 + 1):
            await asyncio.sleep(0)
        return work

    def produce(self, event: Event, result: Any) -> Any:
        assert result == event["x"]
        self.in_flight -= self.bytes_of(result)
        self.produced.append(result)
        end = time.perf_counter() + self.produce_s
        while time.perf_counter() < end:
            pass
        return result


def job(module: Any, events: int, **options: Any) -> Process:
    """A process of one module with work, and a look at its product."""
    process = Process("P", **options)
    process.source, process.work, process.look = numbers(events, chunk=200), module, Look(of=["work"])
    process.end = EndPath(process.look)
    return process


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("streams", [1, 16])
@pytest.mark.parametrize("in_flight", [1, 10, 100])
def test_bytes_in_flight_stay_within_the_budget(block: int, streams: int, in_flight: int) -> None:
    """At most the budget and one piece (a quarter of it, or one event) are in flight, for any blocks and streams."""
    module = Sized(1000)
    process = job(module, 400, block=block, streams=streams, in_flight=in_flight * KILOBYTE)
    process.run()
    assert module.peak <= in_flight * 1000 + max(1000, in_flight * 1000 // 4)
    assert process.look.rows == [(number, number) for number in range(400)]
    assert module.in_flight == 0


def test_acquire_pauses_in_the_middle_of_a_block_and_goes_on() -> None:
    """A block whose work is larger than the budget is acquired in parts, with answers produced in between."""
    module = Sized(1000)
    process = job(module, 100, block=100, streams=1, in_flight=10 * KILOBYTE)
    process.run()
    assert sorted(module.acquired) == list(range(100))
    assert module.peak <= 12_500


def test_an_event_bigger_than_the_budget_goes_alone() -> None:
    """Nothing is too big: one event at a time is in flight."""
    module = Sized(50_000)
    process = job(module, 20, block=5, in_flight=1 * KILOBYTE)
    process.run()
    assert (module.peak, set(module.pieces)) == (50_000, {1})
    assert len(process.look.rows) == 20


def test_a_piece_that_is_half_produced_gives_its_memory_back() -> None:
    """A piece that holds the whole budget, and takes longer to produce than a slice of time, does not stop the job."""

    class Growing(Sized):
        """The first events are small, so that later pieces are large; all later events are large."""

        def bytes_of(self, number: int) -> int:
            return 1 if number < 73 else 1000

    module = Growing(0, produce_s=0.0005)
    process = Process("P", block=1000, streams=1, in_flight=8 * KILOBYTE)
    process.source, process.work, process.look = numbers(1000), module, Look(of=["work"])
    process.end = EndPath(process.look)
    process.run()
    assert max(module.pieces) > 8
    assert len(process.look.rows) == 1000


def test_two_works_share_the_budget() -> None:
    """With two modules in the same blocks the sum is bounded, and neither can starve the other."""
    one, two = Sized(1000), Sized(3000)
    process = Process("P", block=50, in_flight=12 * KILOBYTE)
    process.source, process.one, process.two = numbers(200), one, two
    process.look = Look(of=["one", "two"])
    process.end = EndPath(process.look)
    process.run()
    assert max(one.peak, two.peak) <= 12_000 + 3000
    assert process.look.rows == [(number, number, number) for number in range(200)]


def test_work_without_a_size_is_bounded_by_events() -> None:
    """Where each event has an awaitable of its own, MAX_EVENTS bounds how many are under way."""
    under_way = [0, 0]

    class Many(Later):
        MAX_EVENTS = 20

        async def work(self, value: int, number: int) -> int:
            under_way[0] += 1
            under_way[1] = max(under_way)
            result = await super().work(value, number)
            under_way[0] -= 1
            return result

    process = job(Many(), 500, block=100)
    process.run()
    assert under_way[1] <= 25
    assert len(process.look.rows) == 500


class Counted(Source):
    """Chunks of a size; counts how many are alive."""

    def __init__(self, chunks: int, nbytes: int) -> None:
        super().__init__()
        self.count, self.size = chunks, nbytes
        self.alive: list[weakref.ref[Any]] = []
        self.most = 0
        self.closed = False

    def catalog(self) -> Catalog:
        return Catalog({"x": "float64"}, events=None)

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        try:
            for number in range(self.count):
                values = np.full(10, number, np.float64)
                self.alive.append(weakref.ref(values))
                self.most = max(self.most, sum(one() is not None for one in self.alive))
                yield Chunk(EventIDs.numbered(10 * number, 10), {"x": Flat(values)}, nbytes=self.size)
                del values
        finally:
            self.closed = True


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_chunks_stay_within_the_memory_budget(block: int) -> None:
    """No more chunks are read than the budget holds, however long their blocks wait for answers."""
    source = Counted(30, 1_000_000)
    process = Process("P", memory=4.0, block=block)
    process.source, process.work, process.look = source, Later(turns=9), Look(of=["work"])
    process.end = EndPath(process.look)
    process.run()
    assert len(process.look.rows) == 300
    assert source.most <= 5  # the budget's four, and the one in the hands of the generator
    assert source.closed


def test_a_chunk_bigger_than_the_budget_goes_alone() -> None:
    """A budget smaller than a chunk means one chunk at a time."""
    source = Counted(5, 10_000_000)
    process = Process("P", memory=1.0)
    process.source, process.look = source, Look()
    process.end = EndPath(process.look)
    process.run()
    assert len(process.look.rows) == 50
    assert source.most <= 2


class Blob:
    """A product whose death can be seen."""


@pytest.mark.parametrize("reader", ["event", "columns", "work"])
def test_a_product_is_freed_after_its_last_reader(reader: str) -> None:
    """make -> read <- make -> look: when look runs, nothing refers to the product any more."""
    alive: list[weakref.ref[Any]] = []

    def make(event: Event) -> Any:
        array = np.arange(3.0)
        alive.append(weakref.ref(array))
        return array

    class Read(Producer):
        consumes = ("make",)

        def produce(self, event: Event) -> Any:
            return float(event["make"][0])

    class ReadColumns(Producer):
        consumes = ("make",)

        def produce_columns(self, columns: Any) -> Any:
            return columns.jagged("make")[1][::3].copy()

    class ReadWork(ExternalProducer):
        consumes = ("make",)

        def acquire(self, event: Event) -> Any:
            return float(event["make"][0])

        async def external(self, work: list[Any]) -> Sequence[Any]:
            return work

        def produce(self, event: Event, result: Any) -> Any:
            return result + float(event["make"][0])

    living: list[int] = []

    class After(Look):
        def analyze(self, event: Event) -> None:
            living.append(sum(one() is not None for one in alive))

    process = Process("P", streams=1)
    process.source, process.make = numbers(20), Call(make)
    process.read = {"event": Read, "columns": ReadColumns, "work": ReadWork}[reader]()
    process.after = After(of=["read"])
    process.path, process.end = Path(process.read), EndPath(process.after)
    process.run()
    assert len(living) == 20
    assert set(living) == {0}


def test_nothing_of_a_block_outlives_it() -> None:
    """When a block has ended its products are free, also those of collections and of all kinds of modules."""
    alive: list[weakref.ref[Any]] = []
    most = [0]

    def make(event: Event) -> Any:
        blob = Blob()
        alive.append(weakref.ref(blob))
        most[0] = max(most[0], sum(one() is not None for one in alive))
        return blob

    process = Process("P", streams=1, block=10)
    process.source, process.make = numbers(200, chunk=50), Call(make)
    process.add, process.columns = Add(), AddColumns(of=["add"])
    process.out = Write(of=["columns"])

    class Use(Look):
        consumes = ("make",)

    process.use = Use(of=["add"])
    process.end = EndPath(process.use, process.out)
    process.run()
    assert most[0] <= 20
    assert sum(one() is not None for one in alive) == 0


def test_pieces_are_about_as_large_as_wanted() -> None:
    """Work goes out in pieces of a quarter of the budget or PIECE_BYTES, whichever is less."""
    module = Sized(10_000)
    process = job(module, 2000, block=2000, in_flight=100.0)
    process.run()
    assert max(module.pieces) <= external_steps.PIECE_BYTES // 10_000
    assert len(module.pieces) < 100
