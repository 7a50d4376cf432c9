"""`Metrics`: figures of a job while it runs, for Prometheus.

    process.metrics = Metrics(port=9400)          # or: evproc run workflow.py --metrics 9400

The problem: a job of hours is one of many things that an operator watches, with the same tool as all others. The policy: an
endpoint that answers `GET /metrics` in Prometheus' text form, on this machine only unless an address is given. It is off
unless it is asked for. It runs in the event loop of the job and not in a thread, so that what it reads cannot change under it;
figures are read from what is counted anyway, when somebody asks, and cost nothing otherwise. The price: an answer may come
some milliseconds late, when a module has the CPU; and one takes about a millisecond of the job's.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evproc.framework import Fault, Job, Module, Observer, Parameter, Service
from evproc.framework.logs import logger
from evproc.framework.observing import BlockInfo
from evproc.framework.resident import resident_bytes
from evproc.framework.service import Metric

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

PATIENCE = 5.0
"""How long a client may take to say what it wants, s."""
_HEAD = "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"


class Metrics(Observer):
    """Answers Prometheus, while the job runs, with what is counted of it."""

    class Config(Observer.Config):
        """Where it listens."""

        port: int = Parameter(0, description="TCP port; 0: one that is free", placement=True, ge=0, le=65535)
        address: str = Parameter("127.0.0.1", description="address to listen on; this machine only", placement=True)

    config: Config

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._services: Mapping[str, Service] = {}
        self._process = ""
        self._events = self._blocks = self._answers = 0
        self._clients: set[asyncio.Task[None]] = set()
        #: where it is; empty before the job
        self.url = ""

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Take the port, so that a job without its endpoint does not begin."""
        self.warnings.clear()
        if find_spec("prometheus_client") is None:
            text = "the endpoint for Prometheus needs the package prometheus-client: pip install 'evproc[metrics]'"
            return [Fault(text, self.label, where=self.where)]
        address, port = self.config.address, self.config.port
        self._let_go()
        try:
            self._socket = socket.create_server((address, port))
        except OSError as error:
            text = f"cannot listen on {address}, port {port}: {os.strerror(error.errno) if error.errno else error}"
            return [Fault(text, self.label, "port" if port else "address", self.where)]
        return []

    async def begin_job(self, job: Job) -> None:
        """Answer from now on."""
        assert self._socket is not None, "check has been called"
        self._services, self._process = job.services, job.process
        self._events = self._blocks = self._answers = 0
        address, port = self._socket.getsockname()[:2]
        self._server = await asyncio.start_server(self._accept, sock=self._socket)
        self._socket = None
        self.url = f"http://{address}:{port}/metrics"
        logger("service").info("metrics of the job are at %s", self.url)

    def on_block_end(self, block: BlockInfo) -> None:
        """Count events."""
        self._events += block.events
        self._blocks += 1

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            words = head.decode("latin-1").split(" ", 2)
            writer.write(self._answer(words[0], words[1].partition("?")[0] if len(words) > 1 else ""))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that does not speak HTTP, or has gone
        finally:
            self._clients.discard(task)
            writer.close()

    def _answer(self, method: str, path: str) -> bytes:
        status, kind, body = "200 OK", "text/plain; charset=utf-8", b""
        if method != "GET":
            status = "405 Method Not Allowed"
        elif path not in ("/metrics", "/"):
            status, body = "404 Not Found", b"The figures are at /metrics.\n"
        else:
            from prometheus_client import CONTENT_TYPE_LATEST

            self._answers += 1
            kind, body = CONTENT_TYPE_LATEST, self._text()
        return _HEAD.format(status=status, kind=kind, length=len(body)).encode() + body

    def _text(self) -> bytes:
        from prometheus_client import CollectorRegistry, generate_latest

        families = _families(self._all())

        class Now:
            def collect(self) -> Iterator[Family]:
                yield from families

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Now())
        return bytes(generate_latest(registry))

    def _all(self) -> Iterator[Metric]:
        labels = {"process": self._process}
        yield Metric("evproc_events_total", "events that were processed", self._events, labels)
        yield Metric("evproc_blocks_total", "blocks that were processed", self._blocks, labels)
        yield Metric("evproc_resident_bytes", "memory of the process", resident_bytes(), labels)
        for label, service in self._services.items():
            for metric in service.metrics():
                yield metric._replace(labels={"service": label, **metric.labels})

    def status(self) -> dict[str, str]:
        """Where it is."""
        return {"metrics": self.url} if self._server is not None else {}

    async def end_job(self) -> None:
        """Let the port go."""
        self._let_go()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for task in list(self._clients):
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
        self._services = {}

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def report(self) -> dict[str, Any]:
        """Where it was, and how often it was asked."""
        return {"url": self.url, "answers": self._answers} if self.url else {}


def _families(metrics: Iterator[Metric]) -> list[Family]:
    """The metrics by name, each with all its labels."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for metric in metrics:
        family = found.get(metric.name)
        if family is None:
            kind = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
            family = found[metric.name] = kind(metric.name, metric.meaning, labels=list(metric.labels))
        family.add_metric([str(value) for value in metric.labels.values()], metric.value)
    return list(found.values())
