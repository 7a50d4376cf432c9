"""Small modules for the workflows beside this file: numbers in, sums out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evproc.framework.columns import Flat
from evproc.framework.config import Block, InputTag, Parameter
from evproc.framework.errors import OutputError
from evproc.framework.event import Columns, Event, EventIDs
from evproc.framework.module import Catalog, Chunk, Filter, OutputModule, Producer, Source
from evproc.framework.service import Service


class Numbers(Source):
    """Events that hold a number `x` and the collection `Hit` of two more."""

    class Config(Source.Config):
        events: int = Parameter(1000, description="how many events", ge=0)
        chunk: int = Parameter(100, description="events in a chunk", placement=True, ge=1)

    def catalog(self) -> Catalog:
        return Catalog(
            {"x": "float32", "Hit_e": "float32", "Hit_t": "float32"},
            {"Hit": ("e", "t")},
            events=self.config.events,
            where="numbers",
        )

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        for start in range(0, self.config.events, self.config.chunk):
            number = np.arange(start, min(start + self.config.chunk, self.config.events))
            ones = np.ones_like(number)
            columns = {key: Flat(number.astype(np.float32)) for key in keys}
            yield Chunk(EventIDs(ones, ones, number), dict(columns), where="numbers")


class Scale(Block):
    """Factor and offset."""

    factor: float = Parameter(2.0, description="multiplies", gt=0)
    offset: float = Parameter(0.0, description="is added", unit="GeV")


class Scaled(Producer):
    """A number, scaled."""

    class Config(Producer.Config):
        of: InputTag = "x"
        scale: Scale = Scale()

    produces = "float32"

    def produce_columns(self, columns: Columns) -> Any:
        return columns[self.config.of] * np.float32(self.config.scale.factor) + np.float32(self.config.scale.offset)


class Above(Filter):
    """Events whose number is above a threshold."""

    class Config(Filter.Config):
        of: InputTag = "x"
        threshold: float = Parameter(0.0, description="events must be above it", unit="GeV")

    def filter(self, event: Event) -> bool:
        return bool(event[self.config.of] > self.config.threshold)


class TextOutput(OutputModule):
    """One line of text per event."""

    class Config(OutputModule.Config):
        of: InputTag = "x"
        file: str = Parameter(description="file to write")

    def begin_job(self, job: Any) -> None:
        self._lines: list[str] = []

    def write(self, event: Event) -> None:
        self._lines.append(f"{event.id.event} {event[self.config.of]}\n")

    def commit(self) -> None:
        try:
            Path(self.config.file).write_text("".join(self._lines))
        except OSError as error:
            raise OutputError(f"cannot write '{self.config.file}': {error}") from error


class Clock(Service):
    """A service that reports what an inference service reports."""

    class Config(Service.Config):
        server: str = Parameter("local", description="where", placement=True)

    def status(self) -> dict[str, str]:
        return {"in flight": "3", "latency": "2.5 ms"}

    def report(self) -> dict[str, Any]:
        return {
            "models": [
                {
                    "model": "facile",
                    "server": "grpc://gpu1:8001",
                    "rows": 120_000,
                    "requests": 240,
                    "rows_per_request": 500.0,
                    "latency_median_s": 0.0042,
                    "latency_p99_s": 0.0131,
                    "retries": 2,
                }
            ]
        }
