"""Modules of every kind that fail on the events that they are told, in the method that they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np

from evproc.framework import (
    Analyzer,
    Columns,
    Event,
    ExternalFilter,
    ExternalProducer,
    Filter,
    InputTag,
    Module,
    Parameter,
    Producer,
)


class Fails(Module):
    """The sum of its inputs; a ValueError for the events in `on`."""

    produces: ClassVar[str] = "int64"

    class Config(Module.Config):
        of: list[InputTag] = ["x"]
        on: list[int] = Parameter(default_factory=list, description="numbers of the events to fail on")
        error: str = Parameter("ValueError", description="the exception to raise")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[int] = []

    def sum(self, event: Event) -> int:
        self.seen.append(event.id.event)
        self.fail([event.id.event])
        return int(sum(event[tag] for tag in self.config.of))

    def sum_columns(self, columns: Columns) -> Any:
        self.fail(columns.ids.event.tolist())
        self.seen.extend(columns.ids.event.tolist())
        return sum(columns[tag] for tag in self.config.of) + np.int64(0)

    def fail(self, events: Collection[int]) -> None:
        bad = sorted(set(self.config.on).intersection(events))
        if bad:
            raise {"ValueError": ValueError, "KeyError": KeyError, "Special": Special}[self.config.error](
                f"oops {bad[0]}"
            )


class Special(ArithmeticError):
    """An error of the tests' own."""


class FailsEvent(Fails, Producer):
    def produce(self, event: Event) -> int:
        return self.sum(event)


class FailsColumns(Fails, Producer):
    def produce_columns(self, columns: Columns) -> Any:
        return self.sum_columns(columns)


class FailsInThread(FailsEvent):
    threaded = True


class FailsColumnsInThread(FailsColumns):
    threaded = True


class FailsAcquire(Fails, ExternalProducer):
    """Fails in acquire."""

    def acquire(self, event: Event) -> Any:
        return self.work(self.sum(event))

    async def work(self, value: int) -> int:
        await asyncio.sleep(0)
        return value

    def produce(self, event: Event, result: int) -> int:
        return result


class FailsWork(FailsAcquire):
    """Fails in the work of an event."""

    def acquire(self, event: Event) -> Any:
        self.seen.append(event.id.event)
        return self.work_of(event.id.event, int(sum(event[tag] for tag in self.config.of)))

    async def work_of(self, number: int, value: int) -> int:
        await asyncio.sleep(0)
        self.fail([number])
        return value


class FailsProduce(FailsAcquire):
    """Fails in produce."""

    def acquire(self, event: Event) -> Any:
        return self.work(int(sum(event[tag] for tag in self.config.of)))

    def produce(self, event: Event, result: int) -> int:
        self.seen.append(event.id.event)
        self.fail([event.id.event])
        return result


class FailsRequest(FailsAcquire):
    """The request fails of which an event is a part, with all others."""

    def acquire(self, event: Event) -> Any:
        return event.id.event, int(sum(event[tag] for tag in self.config.of))

    async def external(self, work: list[Any]) -> Sequence[Any]:
        await asyncio.sleep(0)
        self.fail([number for number, _ in work])
        self.seen.extend(number for number, _ in work)
        return [value for _, value in work]


class FailsLaunch(FailsRequest):
    """The request is not even sent."""

    def launch(self, work: list[Any]) -> Any:
        self.fail([number for number, _ in work])
        return super().launch(work)


class FailsExternalColumns(Fails, ExternalProducer):
    """Columns whose work fails, with all of its events."""

    place: ClassVar[str] = "work"

    def acquire_columns(self, columns: Columns) -> Any:
        if self.place == "acquire":
            self.fail(columns.ids.event.tolist())
        return self.work(columns.ids.event.tolist(), sum(columns[tag] for tag in self.config.of) + np.int64(0))

    async def work(self, numbers: list[int], values: Any) -> Any:
        await asyncio.sleep(0)
        if self.place == "work":
            self.fail(numbers)
        return values

    def produce_columns(self, columns: Columns, result: Any) -> Any:
        if self.place == "produce":
            self.fail(columns.ids.event.tolist())
        self.seen.extend(columns.ids.event.tolist())
        return result


class FailsAcquireColumns(FailsExternalColumns):
    place = "acquire"


class FailsProduceColumns(FailsExternalColumns):
    place = "produce"


class FailsFilter(Fails, Filter):
    """Lets even events pass."""

    produces: ClassVar[Any] = None

    def filter(self, event: Event) -> bool:
        return self.sum(event) % 2 == 0


class FailsFilterColumns(Fails, Filter):
    """Lets even events pass, by columns."""

    produces: ClassVar[Any] = None

    def filter_columns(self, columns: Columns) -> Any:
        return self.sum_columns(columns) % 2 == 0


class FailsExternalFilter(Fails, ExternalFilter):
    """Lets even events pass, by way of the event loop."""

    produces: ClassVar[Any] = None

    def acquire(self, event: Event) -> Any:
        return self.work(self.sum(event))

    async def work(self, value: int) -> bool:
        await asyncio.sleep(0)
        return value % 2 == 0

    def filter(self, event: Event, result: bool) -> bool:
        return result


class FailsAnalyzer(Fails, Analyzer):
    """Looks at events."""

    produces: ClassVar[Any] = None

    def analyze(self, event: Event) -> None:
        self.sum(event)


PRODUCERS = (
    FailsEvent,
    FailsColumns,
    FailsInThread,
    FailsColumnsInThread,
    FailsAcquire,
    FailsWork,
    FailsProduce,
    FailsRequest,
    FailsLaunch,
    FailsExternalColumns,
    FailsAcquireColumns,
    FailsProduceColumns,
)
FILTERS = (FailsFilter, FailsFilterColumns, FailsExternalFilter)
