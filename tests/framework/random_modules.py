"""Modules for random processes: each form that a module can have, doing one sum; and who answers external work.

A `Part` says what a module is; `module_of` makes it, and `Reference` works out what it must do. The value of a module for
an event is `mix(salt, inputs)`, small whole numbers throughout, so that all forms agree to the bit. A `Desk` holds the
futures of all external work, and answers them in an order that the test draws.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

import numpy as np

from evproc.framework import (
    Analyzer,
    Columns,
    Event,
    ExternalFilter,
    ExternalProducer,
    ExternalWork,
    Filter,
    InputTag,
    Module,
    OutputModule,
    Producer,
    ProductNotFound,
    Service,
)
from evproc.framework.columns import Flat, Jagged

ABSENT = 17
"""What a lenient module takes for a product that is not there."""
ERRORS: dict[str, type[Exception]] = {"ValueError": ValueError, "KeyError": KeyError, "IndexError": IndexError}


@dataclass(slots=True)
class Part:
    """What a module is, whatever its label."""

    role: str
    """producer, filter, analyzer or output."""
    form: str
    reads: tuple[str, ...] = ("x",)
    salt: int = 0
    jagged: bool = False
    """Of a producer: whether its product is an array."""
    divisor: int = 1
    """Of a filter: events pass whose value it divides."""
    lenient: bool = True
    """Whether it takes `ABSENT` for what is not there; if not, and by columns always, that is an error of its own."""
    fails: dict[int, str] = field(default_factory=dict)
    """Event -> name of the error."""
    where: str = "call"
    """What fails: the call; of external work acquire, work, piece (all that goes out with it) or produce."""
    nbytes: int = 1
    """Bytes of the work of an event."""
    select: tuple[str, ...] = ()


def mix(salt: int, values: Sequence[Any]) -> Any:
    """The value of a module, from those of its inputs: numbers, or arrays with one for each event."""
    total = salt + sum((place + 2) * value for place, value in enumerate(values))
    return (31 * total + salt) % 9973


def spread(value: int) -> Any:
    """The product of a module whose product is an array."""
    return np.arange(value, value + value % 4, dtype=np.int64)


def gathered(product: Any) -> int:
    """The number that stands for a product."""
    return int(np.sum(product)) + 7 * len(product) if np.ndim(product) else int(product)


class Desk(Service):
    """Answers external work, in a drawn order, some of it in each turn of the event loop."""

    def __init__(self, order: str = "random", seed: int = 0, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._order, self._random = order, Random(seed)
        self.pending: list[asyncio.Future[None]] = []
        self._turning = False
        self.asked = 0

    def ask(self) -> asyncio.Future[None]:
        """A future that is done when it is its turn."""
        future = asyncio.get_running_loop().create_future()
        self.pending.append(future)
        self.asked += 1
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        return future

    def _turn(self) -> None:
        self.pending = [future for future in self.pending if not future.done()]
        for _ in range(min(self._random.randrange(3), len(self.pending))):
            place = {"first": 0, "last": -1}.get(self._order, self._random.randrange(len(self.pending)))
            self.pending.pop(place).set_result(None)
        self._turning = bool(self.pending)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)


class Made(Module):
    """A module as its part says."""

    class Config(Module.Config):
        of: list[InputTag] = ["x"]

    def __init__(self, part: Part, desk: Desk) -> None:
        super().__init__(of=list(part.reads))
        self.part, self.desk = part, desk
        self.seen: list[int] = []
        #: bytes of work that is out, as it can be told from the calls of the module's own methods
        self.out = 0

    def read(self, event: Event, tag: str) -> int:
        try:
            return gathered(event[tag])
        except ProductNotFound:
            if not self.part.lenient:
                raise
            return ABSENT

    def value(self, event: Event) -> int:
        return int(mix(self.part.salt, [self.read(event, tag) for tag in self.config.of]))

    def values(self, columns: Columns) -> Any:
        read = []
        for tag in self.config.of:
            column = columns.column(tag)
            if isinstance(column, Jagged):
                compact = column.compact()
                sums = np.concatenate([[0], np.cumsum(compact.content)])[compact.offsets]
                read.append(np.diff(sums) + 7 * np.diff(compact.offsets))
            else:
                assert isinstance(column, Flat)
                read.append(column.values.astype(np.int64))
        return mix(self.part.salt, read)

    def fail(self, stage: str, events: Collection[int]) -> None:
        bad = sorted(self.part.fails.keys() & set(events)) if self.part.where == stage else []
        if bad:
            raise ERRORS[self.part.fails[bad[0]]](f"oops {self.label} {bad[0]}")

    def ends(self, values: Any) -> Any:
        """The answers of a module by columns."""
        if self.part.role == "filter":
            return values % self.part.divisor == 0
        if not self.part.jagged:
            return values
        rows = [spread(value) for value in values.tolist()]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return Jagged(offsets, np.concatenate([np.zeros(0, np.int64), *rows]))

    def end(self, value: int) -> Any:
        """The answer of a module for an event."""
        if self.part.role == "filter":
            return value % self.part.divisor == 0
        return spread(value) if self.part.jagged else value

    def call(self, event: Event) -> Any:
        number = event.id.event
        self.fail("call", [number])
        value = self.value(event)
        self.seen.append(number)
        return self.end(value)

    def call_columns(self, columns: Columns) -> Any:
        numbers = columns.ids.event.tolist()
        self.fail("call", numbers)
        values = self.values(columns)
        self.seen.extend(numbers)
        return self.ends(values)


class MadeExternal(Made, ExternalWork):
    """A module with external work."""

    def start(self, event: Event) -> tuple[int, int]:
        self.fail("acquire", [event.id.event])
        return event.id.event, self.value(event)

    def acquire(self, event: Event) -> Any:
        return self.work(*self.start(event))

    async def work(self, number: int, value: int) -> int:
        await self.desk.ask()
        self.fail("work", [number])
        return value

    def answer(self, work: list[tuple[int, int]]) -> list[Any]:
        """What comes of the work of some events."""
        self.fail("piece", [number for number, _ in work])
        found: list[Any] = []
        for number, value in work:
            try:
                self.fail("work", [number])
            except Exception as error:
                found.append(error)
            else:
                found.append(value)
        return found

    def call_with(self, event: Event, result: int) -> Any:
        self.fail("produce", [event.id.event])
        self.seen.append(event.id.event)
        return self.end(result)


class Together(MadeExternal):
    """The work of many events in one go."""

    def acquire(self, event: Event) -> Any:
        return self.start(event)

    async def external(self, work: list[Any]) -> Sequence[Any]:
        await self.desk.ask()
        return self.answer(work)


class Launch(MadeExternal):
    """The same without a task, and it says how many bytes its work holds."""

    def acquire(self, event: Event) -> Any:
        return self.start(event)

    def launch(self, work: list[Any]) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(asked: asyncio.Future[None]) -> None:
            if future.done():
                return
            try:
                future.set_result(self.answer(work))
            except Exception as error:
                future.set_exception(error)

        self.desk.ask().add_done_callback(answered)
        return future, self.part.nbytes * len(work)


class InThread(MadeExternal):
    """Work in a thread of the pool."""

    def acquire(self, event: Event) -> Any:
        return self.in_thread(self._work, *self.start(event))

    def _work(self, number: int, value: int) -> int:
        self.fail("work", [number])
        return value


class ByColumns(MadeExternal):
    """The work of a block."""

    def acquire_columns(self, columns: Columns) -> Any:
        numbers = columns.ids.event.tolist()
        self.fail("acquire", numbers)
        return self.work_columns(numbers, self.values(columns))

    async def work_columns(self, numbers: list[int], values: Any) -> Any:
        await self.desk.ask()
        self.fail("work", numbers)
        return values

    def call_with_columns(self, columns: Columns, result: Any) -> Any:
        numbers = columns.ids.event.tolist()
        self.fail("produce", numbers)
        assert len(numbers) == len(result)
        self.seen.extend(numbers)
        return self.ends(result)


class PEvent(Made, Producer):
    def produce(self, event: Event) -> Any:
        return self.call(event)


class PColumns(Made, Producer):
    def produce_columns(self, columns: Columns) -> Any:
        return self.call_columns(columns)


class PThread(PEvent):
    threaded: ClassVar[bool | int] = True


class POneThread(PEvent):
    threaded: ClassVar[bool | int] = 1
    resources = ("generator",)


class PThreadColumns(PColumns):
    threaded: ClassVar[bool | int] = True


class PWork(MadeExternal, ExternalProducer):
    def produce(self, event: Event, result: int) -> Any:
        return self.call_with(event, result)


class PTogether(Together, ExternalProducer):
    def produce(self, event: Event, result: int) -> Any:
        return self.call_with(event, result)


class PLaunch(Launch, ExternalProducer):
    def produce(self, event: Event, result: int) -> Any:
        return self.call_with(event, result)


class PInThread(InThread, ExternalProducer):
    def produce(self, event: Event, result: int) -> Any:
        return self.call_with(event, result)


class PByColumns(ByColumns, ExternalProducer):
    def produce_columns(self, columns: Columns, result: Any) -> Any:
        return self.call_with_columns(columns, result)


class FEvent(Made, Filter):
    def filter(self, event: Event) -> bool:
        return bool(self.call(event))


class FColumns(Made, Filter):
    def filter_columns(self, columns: Columns) -> Any:
        return self.call_columns(columns)


class FThread(FEvent):
    threaded: ClassVar[bool | int] = True


class FThreadColumns(FColumns):
    threaded: ClassVar[bool | int] = 2
    resources = ("generator",)


class FWork(MadeExternal, ExternalFilter):
    def filter(self, event: Event, result: int) -> bool:
        return bool(self.call_with(event, result))


class FLaunch(Launch, ExternalFilter):
    def filter(self, event: Event, result: int) -> bool:
        return bool(self.call_with(event, result))


class FByColumns(ByColumns, ExternalFilter):
    def filter_columns(self, columns: Columns, result: Any) -> Any:
        return self.call_with_columns(columns, result)


class Watch(Made, Analyzer):
    """Keeps its value for each event."""

    def __init__(self, part: Part, desk: Desk) -> None:
        super().__init__(part, desk)
        self.rows: list[tuple[Any, ...]] = []

    def analyze(self, event: Event) -> None:
        self.rows.append((event.id.event, self.call(event)))


class Keep(Made, OutputModule):
    """Keeps what it is given to write; None for a product that an event does not have."""

    class Config(OutputModule.Config):
        of: list[InputTag] = ["x"]

    def __init__(self, part: Part, desk: Desk) -> None:
        super().__init__(part, desk)
        self.set(select=list(part.select))
        self.rows: list[tuple[Any, ...]] = []
        self.life: list[str] = []

    def write(self, event: Event) -> None:
        row: list[int | None] = []
        for tag in self.config.of:
            try:
                row.append(gathered(event[tag]))
            except ProductNotFound:
                row.append(None)
        self.rows.append((event.id.event, *row))

    def end_job(self) -> None:
        self.life.append("end")

    def commit(self) -> None:
        self.life.append("commit")

    def discard(self) -> None:
        self.life.append("discard")


class KeepColumns(Keep):
    """Keeps the input of whole blocks."""

    def write_columns(self, columns: Columns) -> None:
        self.rows += zip(columns.ids.event.tolist(), *(columns[tag].tolist() for tag in self.config.of), strict=True)


FORMS: dict[str, dict[str, type[Made]]] = {
    "producer": {
        "event": PEvent,
        "columns": PColumns,
        "thread": PThread,
        "one thread": POneThread,
        "thread, columns": PThreadColumns,
        "work": PWork,
        "together": PTogether,
        "launch": PLaunch,
        "in thread": PInThread,
        "by columns": PByColumns,
    },
    "filter": {
        "event": FEvent,
        "columns": FColumns,
        "thread": FThread,
        "thread, columns": FThreadColumns,
        "work": FWork,
        "launch": FLaunch,
        "by columns": FByColumns,
    },
    "analyzer": {"event": Watch},
    "output": {"event": Keep, "columns": KeepColumns},
}
COLUMNAR = ("columns", "thread, columns", "by columns")
STAGES = {
    "work": ("acquire", "work", "produce"),
    "together": ("acquire", "work", "piece", "produce"),
    "launch": ("acquire", "work", "piece", "produce"),
    "in thread": ("acquire", "work", "produce"),
    "by columns": ("acquire", "work", "produce"),
}
"""Form -> where its work may fail; elsewhere only the call."""


def module_of(part: Part, desk: Desk) -> Made:
    """The module that a part stands for."""
    return FORMS[part.role][part.form](part, desk)
