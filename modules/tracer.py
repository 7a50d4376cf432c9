"""`Tracer`: what a job did and when, as a file that ui.perfetto.dev and chrome://tracing open.

    process.tracer = Tracer(file="trace.json")          # or: evproc run workflow.py --trace trace.json

Tracks of the process: one for each stream, with the block that it holds and, within it, the modules on the CPU; the
reader with its chunks; the engine with the times when it had to wait, and why; threads with the modules that ran in them;
external work, from the end of `acquire` until it is answered; blocks open, bytes in flight and memory as curves. Each server
is a process of its own, with its requests (rows, bytes, time that they waited here before, attempt, the error if there was
one), and, as often as it is asked for its statistics, curves of what a request has taken in its queue and on its processors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from evproc.framework import Fault, Job, Module, Observer, OutputError, Parameter
from evproc.framework.new_files import directory_problem, make_directory
from evproc.framework.observing import (
    BlockInfo,
    ChangeInfo,
    ChunkInfo,
    LoadInfo,
    RequestInfo,
    StatisticsInfo,
    StepInfo,
    ThreadInfo,
    WaitInfo,
    WorkInfo,
)
from evproc.framework.resident import resident_bytes

from .trace_file import TraceFile, quoted

PROCESS = 1
ENGINE, READER, STREAMS, THREADS, SERVERS = 1, 2, 10, 1_000_000, 2
CURVES = 0.001
"""Time between two points of a curve, at least, s."""
MEMORY = 0.01
"""Time between two looks at the memory, at least, s."""


class Slots:
    """Tracks for what overlaps in time: each thing gets the first that is free."""

    def __init__(self) -> None:
        self._taken: list[int | None] = []

    def take(self, number: int) -> tuple[int, bool]:
        """The slot for a thing, and whether it is used for the first time."""
        for slot, holder in enumerate(self._taken):
            if holder is None:
                self._taken[slot] = number
                return slot, False
        self._taken.append(number)
        return len(self._taken) - 1, True

    def free(self, slot: int) -> None:
        """A thing has ended."""
        self._taken[slot] = None


class Tracer(Observer):
    """Writes what the job did and when to a file for ui.perfetto.dev."""

    class Config(Observer.Config):
        """The file."""

        file: str = Parameter("trace.json", description="file to write; one of that name is replaced", placement=True)
        max_size: float = Parameter(
            100.0, description="the file does not grow larger; tracing ends there", unit="MB", placement=True, ge=1
        )

    config: Config

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._trace: TraceFile | None = None
        self._summary: dict[str, Any] = {}

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Whether the file can be written."""
        self.warnings.clear()
        problem = directory_problem(Path(self.config.file))
        return [Fault(problem, self.label, "file", self.where)] if problem else []

    def written_files(self) -> list[str]:
        """The trace."""
        return [self.config.file]

    async def begin_job(self, job: Job) -> None:
        """Open the file. Raises OutputError."""
        path = Path(self.config.file)
        make_directory(path)
        try:
            trace = self._trace = TraceFile(path, int(self.config.max_size * 1e6))
        except OSError as error:
            raise OutputError(f"cannot write the trace '{path}': {error.strerror}") from error
        self._zero = perf_counter()
        self._streams, self._lanes = Slots(), dict[str, Slots]()
        #: number of a block -> its slot and itself
        self._blocks: dict[int, tuple[int, BlockInfo]] = {}
        self._works: dict[int, WorkInfo] = {}
        self._requests: dict[int, tuple[int, RequestInfo]] = {}
        self._servers: dict[str, int] = {}
        self._threads: dict[str, int] = {}
        self._load: LoadInfo | None = None
        self._next_curve = self._next_memory = 0.0
        self._complete = True
        trace.name("process_name", PROCESS, 0, f"evproc {job.process}")
        for tid, name in ((ENGINE, "engine"), (READER, "reader")):
            self._name_track(PROCESS, tid, name)

    def _name_track(self, pid: int, tid: int, name: str) -> None:
        if self._trace:
            self._trace.name("thread_name", pid, tid, name)
            self._trace.name("thread_sort_index", pid, tid, tid)

    def _at(self, time: float) -> float:
        """Microseconds since the begin of the job."""
        return (time - self._zero) * 1e6

    def on_block_begin(self, block: BlockInfo) -> None:
        """Give it a stream."""
        if self._trace:
            slot, new = self._streams.take(block.number)
            self._blocks[block.number] = slot, block
            if new:
                self._name_track(PROCESS, STREAMS + slot, f"stream {slot}")

    def on_block_end(self, block: BlockInfo) -> None:
        """The slice of a block, on its stream."""
        if self._trace:
            slot, _ = self._blocks.pop(block.number)
            self._streams.free(slot)
            self._write_block(slot, block)
            self._look()

    def _write_block(self, slot: int, block: BlockInfo) -> None:
        args = f'"events": {block.events}, "first": {quoted(str(block.first))}, "where": {quoted(block.where)}'
        begin, end = self._at(block.begin), self._at(block.end)
        if self._trace:
            self._trace.complete(f"block {block.number}", "block", PROCESS, STREAMS + slot, begin, end, args)

    def on_step_end(self, step: StepInfo) -> None:
        """The slice of a module, within its block."""
        if self._trace:
            slot, _ = self._blocks[step.block]
            args = f'"block": {step.block}, "events": {step.events}, "outcome": "{step.outcome}"'
            name = step.module if step.phase in ("run", "tail") else f"{step.module} {step.phase}"
            begin, end = self._at(step.begin), self._at(step.end)
            self._trace.complete(name, step.phase, PROCESS, STREAMS + slot, begin, end, args)
            self._look()

    def on_thread(self, call: ThreadInfo) -> None:
        """The slice of a module in a thread."""
        if self._trace:
            if call.thread not in self._threads:
                self._threads[call.thread] = THREADS + len(self._threads)
                self._name_track(PROCESS, self._threads[call.thread], f"thread {call.thread}")
            tid, begin, end = self._threads[call.thread], self._at(call.begin), self._at(call.end)
            self._trace.complete(call.module, "thread", PROCESS, tid, begin, end, f'"block": {call.block}')

    def on_work_begin(self, work: WorkInfo) -> None:
        """External work is on its way."""
        if self._trace:
            self._works[work.number] = work
            args = f'"block": {work.block}, "events": {work.events}, "bytes": {work.nbytes}'
            self._trace.begin(work.module, "external", work.number, PROCESS, self._at(work.begin), args)

    def on_work_end(self, work: WorkInfo) -> None:
        """External work has ended."""
        if self._trace and self._works.pop(work.number, None):
            self._end_work(work)

    def _end_work(self, work: WorkInfo) -> None:
        args = f'"error": {quoted(work.error)}' if work.error else ""
        if self._trace:
            self._trace.end(work.module, "external", work.number, PROCESS, self._at(work.end), args)

    def on_request_begin(self, request: RequestInfo) -> None:
        """Give it a track of its server."""
        if not self._trace:
            return
        server = request.server
        self._pid(server)
        slot, new = self._lanes[server].take(request.number)
        self._requests[request.number] = slot, request
        if new:
            self._name_track(self._servers[server], slot + 1, f"requests {slot}")

    def _pid(self, server: str) -> int:
        """The number of a server, which is a process of the trace."""
        if server not in self._servers:
            self._servers[server] = SERVERS + len(self._servers)
            self._lanes[server] = Slots()
            if self._trace:
                self._trace.name("process_name", self._servers[server], 0, server)
        return self._servers[server]

    def on_statistics(self, statistics: StatisticsInfo) -> None:
        """Points of the curves of a server: what a request has taken there, on the mean, since it was asked before."""
        if self._trace:
            pid, time = self._pid(statistics.server), self._at(statistics.time)
            for name, seconds in (("queue", statistics.queue_s), ("compute", statistics.compute_s)):
                mean = 1000 * seconds / max(1, statistics.requests)
                self._trace.counter(f"{statistics.model}: server {name} of a request", pid, time, "ms", mean)

    def on_change(self, change: ChangeInfo) -> None:
        """A mark: a server has come or gone, a circuit was opened or closed."""
        if self._trace:
            pid = self._pid(change.server) if change.server else PROCESS
            self._trace.instant(change.text, pid, self._at(change.time))

    def on_request_end(self, request: RequestInfo) -> None:
        """The slice of a request, on its server."""
        if self._trace and request.number in self._requests:
            slot, _ = self._requests.pop(request.number)
            self._lanes[request.server].free(slot)
            self._write_request(slot, request)

    def _write_request(self, slot: int, request: RequestInfo) -> None:
        args = f'"rows": {request.rows}, "bytes": {request.nbytes}, "attempt": {request.attempt}'
        args += f', "waited_ms": {1000 * request.waited:.3f}, "received_bytes": {request.received}'
        args += f', "error": {quoted(request.error)}' if request.error else ""
        pid, begin, end = self._servers[request.server], self._at(request.begin), self._at(request.end)
        name = f"{request.model}: {request.rows} rows" + (" (failed)" if request.error else "")
        if self._trace:
            self._trace.complete(name, "request", pid, slot + 1, begin, end, args)

    def on_chunk(self, chunk: ChunkInfo) -> None:
        """The slice of a chunk, on the track of the reader."""
        if self._trace:
            args = f'"events": {chunk.events}, "bytes": {chunk.nbytes}, "where": {quoted(chunk.where)}'
            begin, end = self._at(chunk.begin), self._at(chunk.end)
            self._trace.complete(f"chunk {chunk.number}", "input", PROCESS, READER, begin, end, args)

    def on_wait(self, wait: WaitInfo) -> None:
        """The slice of a wait, on the track of the engine."""
        if self._trace:
            begin, end = self._at(wait.begin), self._at(wait.end)
            self._trace.complete(f"waits for {wait.reason}", "wait", PROCESS, ENGINE, begin, end)

    def on_load(self, load: LoadInfo) -> None:
        """Points of the curves, not too many."""
        self._load = load
        if self._trace and load.time >= self._next_curve:
            self._draw_curves(load)

    def _draw_curves(self, load: LoadInfo) -> None:
        trace, time = self._trace, self._at(load.time)
        if trace is None:
            return
        self._next_curve = load.time + CURVES
        trace.counter("blocks open", PROCESS, time, "blocks", load.blocks)
        trace.counter("external work in flight", PROCESS, time, "MB", load.in_flight / 1e6)
        trace.counter("input held", PROCESS, time, "MB", load.input / 1e6)
        if load.time >= self._next_memory:
            self._next_memory = load.time + MEMORY
            trace.counter("memory of the process", PROCESS, time, "MB", resident_bytes() / 1e6)

    def _look(self) -> None:
        """End the trace if the file is full."""
        if self._trace and self._trace.full:
            self._trace.instant("the trace is full", PROCESS, self._at(perf_counter()))
            self._complete = False
            size = f"{self.config.max_size:g} MB"
            self.warnings.append(f"the trace '{self.config.file}' ends early: it has reached max_size, {size}")
            self._close()

    def _close(self) -> None:
        """End what is open, and close the file."""
        now = perf_counter()
        for work in self._works.values():
            self._end_work(work._replace(end=now, error="the trace ends here"))
        for slot, request in self._requests.values():
            self._write_request(slot, request._replace(end=now, error="the trace ends here"))
        for slot, block in self._blocks.values():
            self._write_block(slot, block._replace(end=now))
        if self._load:
            self._draw_curves(self._load._replace(time=now))
        trace, self._trace = self._trace, None
        if trace:
            trace.close()
            self._summary = {
                "file": self.config.file,
                "trace_events": trace.events,
                "nbytes": trace.nbytes,
                "complete": self._complete,
            }

    async def end_job(self) -> None:
        """Close the file, also after an error."""
        try:
            if self._trace:
                self._close()
        except OSError as error:
            self.warnings.append(f"the trace '{self.config.file}' is not complete: {error.strerror}")

    def report(self) -> dict[str, Any]:
        """The file, and whether it holds the whole job."""
        return self._summary
