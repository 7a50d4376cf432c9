"""Small modules that the tests of the core share: each does one thing, and writes down what was asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    OutputModule,
    Parameter,
    Process,
    Producer,
)
from evproc.framework.flow import resolve
from evproc.framework.schedule import Schedule, compile_schedule
from evproc.framework.testing import EventSource


def numbers(events: int, **parameters: Any) -> EventSource:
    """Events that hold their number as `x`, and as many copies of it as `y` as its last digit says."""
    offsets = [np.full(number % 10, number, np.int64) for number in range(events)]
    return EventSource({"x": np.arange(events), "y": offsets}, **parameters)


class Add(Producer):
    """The sum of its inputs; keeps the numbers of the events that it ran for."""

    produces = "int64"

    class Config(Producer.Config):
        of: list[InputTag] = ["x"]
        plus: int = Parameter(0, description="is added")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[int] = []

    def produce(self, event: Event) -> int:
        self.seen.append(event.id.event)
        return int(sum(event[tag] for tag in self.config.of)) + int(self.config.plus)


class AddColumns(Producer):
    """The same by columns."""

    produces = "int64"

    class Config(Producer.Config):
        of: list[InputTag] = ["x"]
        plus: int = Parameter(0, description="is added")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[int] = []

    def produce_columns(self, columns: Columns) -> Any:
        self.seen.extend(columns.ids.event.tolist())
        return sum(columns[tag] for tag in self.config.of) + np.int64(self.config.plus)


class Divisible(Filter):
    """Events whose number is divisible."""

    class Config(Filter.Config):
        of: InputTag = "x"
        by: int = Parameter(2, description="divisor", ge=1)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.seen: list[int] = []

    def filter(self, event: Event) -> bool:
        self.seen.append(event.id.event)
        return bool(event[self.config.of] % self.config.by == 0)


class DivisibleColumns(Filter):
    """The same by columns."""

    class Config(Filter.Config):
        of: InputTag = "x"
        by: int = Parameter(2, description="divisor", ge=1)

    def filter_columns(self, columns: Columns) -> Any:
        return columns[self.config.of] % self.config.by == 0


class Look(Analyzer):
    """Keeps the event number and the inputs of each event, in the order in which it sees them."""

    class Config(Analyzer.Config):
        of: list[InputTag] = ["x"]

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.rows: list[tuple[Any, ...]] = []

    @property
    def events(self) -> list[int]:
        return [row[0] for row in self.rows]

    def analyze(self, event: Event) -> None:
        self.rows.append((event.id.event, *(event[tag] for tag in self.config.of)))


class Write(OutputModule):
    """An output module that writes down its life and its events."""

    class Config(OutputModule.Config):
        of: list[InputTag] = ["x"]

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.life: list[str] = []
        self.rows: list[tuple[Any, ...]] = []

    @property
    def events(self) -> list[int]:
        return [row[0] for row in self.rows]

    def begin_job(self, job: Any) -> None:
        self.life.append("begin")

    def write(self, event: Event) -> None:
        self.rows.append((event.id.event, *(event[tag] for tag in self.config.of)))

    def end_job(self) -> None:
        self.life.append("end")

    def commit(self) -> None:
        self.life.append("commit")

    def discard(self) -> None:
        self.life.append("discard")


class Later(ExternalProducer):
    """The sum of its inputs, by way of the event loop: each answer takes some turns of it, drawn from the event's number."""

    produces = "int64"

    class Config(ExternalProducer.Config):
        of: list[InputTag] = ["x"]
        plus: int = Parameter(0, description="is added")
        turns: int = Parameter(3, description="turns of the loop that an answer takes at most", ge=0)

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.acquired: list[int] = []
        self.seen: list[int] = []

    def acquire(self, event: Event) -> Any:
        self.acquired.append(event.id.event)
        return self.work(int(sum(event[tag] for tag in self.config.of)), event.id.event)

    async def work(self, value: int, number: int) -> int:
        for _ in range(number * 7919 % (self.config.turns + 1)):
            await asyncio.sleep(0)
        return value + int(self.config.plus)

    def produce(self, event: Event, result: int) -> int:
        self.seen.append(event.id.event)
        return result


class LaterFilter(ExternalFilter):
    """Events whose number is divisible, by way of the event loop."""

    class Config(ExternalFilter.Config):
        of: InputTag = "x"
        by: int = Parameter(2, description="divisor", ge=1)

    def acquire(self, event: Event) -> Any:
        return self.work(int(event[self.config.of]))

    async def work(self, value: int) -> bool:
        await asyncio.sleep(0)
        return value % int(self.config.by) == 0

    def filter(self, event: Event, result: bool) -> bool:
        return result


class LaterColumns(ExternalProducer):
    """The sum of its inputs, by columns and by way of the event loop."""

    produces = "int64"

    class Config(ExternalProducer.Config):
        of: list[InputTag] = ["x"]
        plus: int = Parameter(0, description="is added")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.acquired: list[int] = []

    def acquire_columns(self, columns: Columns) -> Any:
        self.acquired.extend(columns.ids.event.tolist())
        return self.work(sum(columns[tag] for tag in self.config.of))

    async def work(self, values: Any) -> Any:
        await asyncio.sleep(0)
        return values + np.int64(self.config.plus)

    def produce_columns(self, columns: Columns, result: Any) -> Any:
        assert len(result) == len(columns)
        return result


class Call(Producer):
    """Calls a function of the event, for what a test wants to happen in a module."""

    produces: ClassVar[str] = ""

    class Config(Producer.Config):
        of: list[InputTag] = ["x"]

    def __init__(self, function: Callable[[Event], Any] | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.function = function

    def produce(self, event: Event) -> Any:
        assert self.function is not None
        return self.function(event)


def schedule_of(process: Process) -> Schedule:
    """The compiled schedule of a process without faults."""
    flow = resolve(process)
    schedule = compile_schedule(process, flow)
    assert not flow.faults, flow.faults
    assert not schedule.faults, schedule.faults
    return schedule


def steps_of(process: Process) -> list[str]:
    """The steps of the schedule, as `label.phase`."""
    return [f"{step.node.label}.{step.node.phase.name.lower()}" for step in schedule_of(process).steps]


def faults_of(process: Process) -> list[str]:
    """All faults of a process, as text."""
    flow = resolve(process)
    return [str(fault) for fault in [*flow.faults, *compile_schedule(process, flow).faults]]
