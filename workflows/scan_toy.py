"""A job for `evproc scan` whose modules wait instead of computing: many clients fit on few cores.

    evproc scan workflows/scan_toy.py --server fake --service-time 20ms --clients 1,2,4,8,16 --latency 0,10ms,60ms

Each event sleeps for `work.time`, in which its client does nothing else, as if it computed; then it asks the model for `rows`
rows. So each client stands for one core of a machine that is not there. What such a scan shows is the server, the queue before
it and the network; not how clients share the cores of one machine.
"""

import time
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from evproc.framework import Catalog, Chunk, Event, Job, Parameter, Path, Process, Producer, Source
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs
from evproc.sonic_client import Client, Fallback, InferenceProducer, InferenceService

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
FEATURES = 36


class Numbers(Source):
    """Events with a number; as many as are asked for."""

    class Config(Source.Config):
        """How many."""

        events: int = Parameter(1000, description="events", ge=0)
        chunk: int = Parameter(1000, description="events handed out in one go", placement=True, ge=1)

    config: Config

    def catalog(self) -> Catalog:
        """One number an event."""
        return Catalog({"number": "int64"}, {}, {}, self.config.events, "numbers")

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """number: (events,) int64."""
        for start in range(0, self.config.events, self.config.chunk):
            stop = min(start + self.config.chunk, self.config.events)
            yield Chunk(EventIDs.numbered(start, stop), {key: Flat(np.arange(start, stop)) for key in keys}, "numbers")


class Work(Producer):
    """Takes time, by waiting: the client can do nothing else, and the core can."""

    produces = "int64"
    consumes = ("number",)

    class Config(Producer.Config):
        """How much."""

        time: float = Parameter(0.05, description="for an event", unit="s", ge=0, placement=True)

    config: Config

    def begin_job(self, job: Job) -> None:
        """Nothing is owed yet."""
        self._late = 0.0

    def produce(self, event: Event) -> int:
        """The number of the event. A sleep that lasted too long is taken off the next."""
        begin = time.perf_counter()
        wanted = self.config.time - self._late
        if wanted > 0:
            time.sleep(wanted)
        self._late = min(0.5 * self.config.time, time.perf_counter() - begin - wanted) if wanted > 0 else -wanted
        return int(event["number"])


class Ask(InferenceProducer):
    """Asks the model for some rows."""

    model_inputs = {"input": f"float32[{FEATURES}]"}
    model_outputs = {"energy": "float32[1]"}
    produces = "float64"
    consumes = ("work",)

    class Config(InferenceProducer.Config):
        """How many."""

        rows: int = Parameter(10, description="rows of an event", ge=0)

    config: Config

    def acquire(self, event: Event) -> Any:
        """input: (rows, 36) float32."""
        return {"input": np.full((self.config.rows, FEATURES), event["work"] % 7, np.float32)}

    def produce(self, event: Event, outputs: Any) -> float:
        """The sum of the answers."""
        return float(outputs["energy"].sum())


process = Process("SCAN_TOY", block=1, streams=1)
process.source = Numbers()
process.inference = InferenceService(fallback=Fallback(models=str(REPOSITORY)))
process.work = Work()
process.ask = Ask(client=Client(model="facile"))
process.path = Path(process.work, process.ask)
