"""A job that gets interrupts while it runs: started by test_interrupts as a process of its own. Prints what became of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from evproc.framework import Catalog, Chunk, EndPath, Event, ExternalProducer, OutputModule, Process, Source
from evproc.framework.columns import Flat
from evproc.framework.event import EventIDs

LIFE: list[str] = []


class Endless(Source):
    """Events without end."""

    def catalog(self) -> Catalog:
        return Catalog({"x": "int64"})

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        try:
            for start in range(0, 1 << 40, 100):
                yield Chunk(EventIDs.numbered(start, 100), {"x": Flat(np.arange(start, start + 100))})
        finally:
            LIFE.append("source closed")


class Interrupted(ExternalProducer):
    """Sends this process a signal at event 300; with `hang`, its work then never ends, and a second signal comes."""

    consumes = ("x",)

    def __init__(self, number: int, *, hang: bool) -> None:
        super().__init__()
        self.number, self.hang = number, hang

    def acquire(self, event: Event) -> Any:
        return self.work(int(event["x"]))

    async def work(self, value: int) -> int:
        await asyncio.sleep(0)
        if value == 300:
            os.kill(os.getpid(), self.number)
            if self.hang:
                for _ in range(100):
                    await asyncio.sleep(0)  # the loop takes the first
                os.kill(os.getpid(), self.number)
                await asyncio.get_running_loop().create_future()
        return value

    def produce(self, event: Event, result: int) -> int:
        return result


class Out(OutputModule):
    """Keeps the events that it writes."""

    consumes = ("work",)

    def __init__(self) -> None:
        super().__init__()
        self.events: list[int] = []

    def write(self, event: Event) -> None:
        self.events.append(int(event["work"]))

    def end_job(self) -> None:
        LIFE.append("end")

    def commit(self) -> None:
        LIFE.append("commit")

    def discard(self) -> None:
        LIFE.append("discard")


def main(number: int, how: str) -> None:
    process = Process("P", block=10, streams=4)
    process.source, process.work, process.out = Endless(), Interrupted(number, hang=how == "twice"), Out()
    process.end = EndPath(process.out)
    interrupted: Any
    try:
        if how == "notebook":

            async def cell() -> Any:
                return process.run()

            loop = asyncio.new_event_loop()
            interrupted = loop.run_until_complete(cell()).interrupted
            loop.close()
        else:
            interrupted = process.run().interrupted
    except KeyboardInterrupt:
        interrupted = "KeyboardInterrupt"
    left = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    events = process.out.events
    print(
        json.dumps(
            {"interrupted": interrupted, "events": len(events), "ordered": events == list(range(len(events)))}
            | {"life": LIFE, "handler restored": left}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
