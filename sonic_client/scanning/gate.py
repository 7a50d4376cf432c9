"""What a client of a scan has beside its workflow: it begins with the others, and notes what it does and when.

`add_gate` is given to `evproc run` as a customise function. The launcher, which makes the clients by forking, has said before
where the gate is; so nothing of this is in the environment or on the command line.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evproc.framework import Job, Observer
from evproc.framework.errors import InternalError
from evproc.framework.observing import BlockInfo, RequestInfo

from .window import ClientTimes

if TYPE_CHECKING:
    from evproc.framework import Process

LABEL = "scan_gate"
PICTURES = (".png", ".pdf", ".svg")
"""A parameter that ends so is a file that is written, whether or not its module says so (`written_files`)."""
NAME = f"{__name__}:add_gate"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the gate of this process is."""

    ready: int
    """File descriptor: a byte is written when the job is ready to begin."""
    go: int
    """File descriptor: a byte is read when all are."""
    times: Path
    """What happened when is written there, as JSON."""
    folder: Path
    """Files that the workflow would write, and all clients the same, go there."""


place: Place | None = None
"""Set in each client before it runs."""


class Gate(Observer):
    """Begins with the others, and notes the times of blocks and requests."""

    def __init__(self) -> None:
        super().__init__()
        self._times = ClientTimes()

    async def begin_job(self, job: Job) -> None:
        """Wait for the others. It is the last service, so that all servers have been asked and found."""
        if place is None:
            raise InternalError("this process is no client of a scan")
        os.write(place.ready, b"r")
        loop, opened = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(place.go, opened.set)
        try:
            await opened.wait()
        finally:
            loop.remove_reader(place.go)
        if not os.read(place.go, 1):
            raise InternalError("the scan has ended")

    def on_block_end(self, block: BlockInfo) -> None:
        """Note a block."""
        self._times.blocks.append((block.begin, block.end, block.events))

    def on_request_end(self, request: RequestInfo) -> None:
        """Note a request."""
        self._times.requests.append((request.begin, request.end, request.rows, bool(request.error)))

    async def end_job(self) -> None:
        """Write them."""
        if place is not None:
            place.times.write_text(json.dumps(self._times.to_dict()))


def add_gate(process: Process) -> None:
    """Add the gate, and let the workflow's files go where no other client writes. A customise function."""
    if place is None:
        raise InternalError("this process is no client of a scan")
    for part in [*process.modules.values(), *process.services.values()]:
        if part.faults():
            continue
        written = set(part.written_files())
        moved = {
            name: str(place.folder / f"{part.label}-{Path(value).name}")
            for name, value in part.config
            if isinstance(value, str) and (value in written or value.endswith(PICTURES))
        }
        if moved:
            part.set(**moved)
    setattr(process, LABEL, Gate())
