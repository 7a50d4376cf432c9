"""`InferenceService`: the servers of a job, which models they have, and a server of our own where there is none.

    process.inference = InferenceService(servers=["grpc://gpu1:8001"], fallback=Fallback(models="models"))

Before the first event every server is asked for its models, and every model that a module needs is held against the tensors
that the module declares. A server that cannot be reached is left out, with a warning, as long as others have its models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evproc.framework import Block, ConfigurationError, Fault, InferenceError, Job, Module, Parameter, Service
from evproc.framework.errors import did_you_mean
from evproc.framework.observing import Observers

from .model_check import Demand, check_model, check_repository, fetch_metadata
from .model_queue import ModelQueue, Policy, Server
from .producer import Client, InferenceWork
from .service_report import model_provenance, model_reports
from .transport import Transport, open_transport

if TYPE_CHECKING:
    from .embedded import EmbeddedServer
    from .tensors import ModelMetadata, ModelStatistics


class Fallback(Block):
    """A Triton server of the job's own, started when a model has no other server, and stopped with the job."""

    models: str = Parameter(description="folder of the model repository")
    threads: int = Parameter(1, description="threads that one model computes on", placement=True, ge=1)
    log: str = Parameter("", description="file for the log; empty: kept only if the server fails", placement=True)
    start_timeout: float = Parameter(
        60.0, description="time for the server to be ready", unit="s", placement=True, gt=0
    )


class InferenceService(Service):
    """The servers that answer requests for inference."""

    class Config(Service.Config):
        """Servers and limits."""

        servers: list[str] = Parameter(
            default_factory=list, description="addresses, as grpc://gpu1.example.org:8001", placement=True
        )
        fallback: Fallback | None = Parameter(
            None, description="server to start for models that no server has", placement=True
        )
        in_flight: int = Parameter(16, description="requests under way to one server, at most", placement=True, ge=1)
        shared_memory: bool = Parameter(
            True, description="whether tensors for a server on this machine go through shared memory", placement=True
        )
        connect_timeout: float = Parameter(
            5.0, description="for a server to say what it has", unit="s", placement=True, gt=0
        )

    config: Config

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._servers: dict[str, Server] = {}
        #: model -> the servers that have it
        self._offers: dict[str, list[Server]] = {}
        self._metadata: dict[tuple[str, str], ModelMetadata] = {}
        self._queues: dict[tuple[str, str, Policy], ModelQueue] = {}
        self._at_begin: dict[tuple[str, str], ModelStatistics] = {}
        self._at_end: dict[tuple[str, str], ModelStatistics] = {}
        self._embedded: EmbeddedServer | None = None
        #: the address of the server of our own; empty if there is none
        self._own_url = ""
        self._modules: dict[str, InferenceWork] = {}
        self._observers = Observers()

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Ask every server for its models, and hold the modules against them."""
        self._modules = {label: module for label, module in modules.items() if isinstance(module, InferenceWork)}
        self.warnings.clear()
        for table in (self._metadata, self._queues, self._at_begin, self._at_end):
            table.clear()  # of a job before this one
        faults, unreachable = await self._connect()
        orphans = []
        for label, module in self._modules.items():
            client: Client = module.config.client
            offers = self._offers.get(client.model, [])
            if offers:
                for server in offers:
                    faults.extend(await self._check_module(module, server))
            elif self.config.fallback is not None:
                faults.extend(self._check_fallback(module, self.config.fallback))
            else:
                hint = did_you_mean(client.model, self._offers)
                looked = "; ".join(
                    [f"{server.url} has {_listed(self._models_of(server))}" for server in self._servers.values()]
                )
                where = f" ({looked})" if looked else "; none is named: set servers, or a fallback"
                orphans.append(label)
                faults.append(
                    Fault(f"no server has model '{client.model}'{hint}{where}", label, "client.model", module.where)
                )
        if orphans or not self._modules:
            faults.extend(unreachable)
        else:
            self.warnings.extend(fault.message for fault in unreachable)
        return faults

    async def _connect(self) -> tuple[list[Fault], list[Fault]]:
        """Open the servers; returns faults of addresses, and of servers that do not answer."""
        faults, unreachable = [], []
        for url in dict.fromkeys(self.config.servers):
            try:
                transport = open_transport(url, shared_memory=self.config.shared_memory)
            except ValueError as error:
                faults.append(Fault(str(error), self.label, "servers", self.where))
                continue
            try:
                models = await transport.models(self.config.connect_timeout)
            except InferenceError as error:
                unreachable.append(Fault(f"server {url} is left out: {error}", self.label, "servers", self.where))
                await transport.close()
                continue
            self._add_server(url, transport, models)
        return faults, unreachable

    def _add_server(self, url: str, transport: Transport, models: tuple[str, ...]) -> Server:
        server = self._servers[url] = Server(url, transport, self.config.in_flight)
        for model in models:
            self._offers.setdefault(model, []).append(server)
        return server

    def _models_of(self, server: Server) -> list[str]:
        return [model for model, servers in self._offers.items() if server in servers]

    async def _check_module(self, module: InferenceWork, server: Server) -> list[Fault]:
        """Hold the tensors of a module against its model on a server."""
        client: Client = module.config.client
        try:
            metadata = await fetch_metadata(server.transport, client, self.config.connect_timeout)
        except InferenceError as error:
            return [Fault(str(error), module.label, "client", module.where)]
        known = self._metadata.get((client.model, client.version))
        if known is None or metadata.max_batch_size < known.max_batch_size:
            self._metadata[client.model, client.version] = metadata
        fallback = self.config.fallback
        own = Path(fallback.models) if fallback is not None and server.url == self._own_url else None
        wrong = check_model(_demand(module), metadata, server.url, elsewhere=known, repository=own)
        return [Fault(text, module.label, "client.model", module.where) for text in wrong]

    def _check_fallback(self, module: InferenceWork, fallback: Fallback) -> list[Fault]:
        """Hold the tensors of a module against its model in the repository of the server that will be started."""
        faults = [Fault(text, self.label, "fallback", self.where) for text in _missing_parts()]
        wrong = check_repository(_demand(module), Path(fallback.models))
        return [*faults, *(Fault(text, module.label, "client.model", module.where) for text in wrong)]

    async def begin_job(self, job: Job) -> None:
        """Start the server of our own, if a model needs it; make the queues."""
        self._observers = job.observers
        homeless = [module for module in self._modules.values() if module.config.client.model not in self._offers]
        if homeless and self.config.fallback is not None:
            await self._start_fallback(self.config.fallback, homeless)
        for model, servers in self._offers.items():
            if any(module.config.client.model == model for module in self._modules.values()):
                for server in servers:
                    await self._note_statistics(self._at_begin, server, model)

    async def _note_statistics(self, table: dict[tuple[str, str], ModelStatistics], server: Server, model: str) -> None:
        """Ask a server what it counted; a warning if it cannot say."""
        try:
            table[server.url, model] = await server.transport.statistics(model, self.config.connect_timeout)
        except InferenceError as error:
            self.warnings.append(f"no statistics of model '{model}': {error}")

    async def _start_fallback(self, fallback: Fallback, modules: list[InferenceWork]) -> None:
        from .embedded import EmbeddedServer

        names = sorted({module.config.client.model for module in modules})
        log = Path(fallback.log) if fallback.log else None
        self._embedded = EmbeddedServer(fallback.models, load=names, log=log, threads=fallback.threads)
        await self._embedded.start(fallback.start_timeout)
        url = self._own_url = self._embedded.url
        transport = open_transport(url, shared_memory=self.config.shared_memory)
        server = self._add_server(url, transport, await transport.models(self.config.connect_timeout))
        embedded = self._embedded
        server.explain = lambda: "" if embedded.running else embedded.why_ended()
        faults = [fault for module in modules for fault in await self._check_module(module, server)]
        if faults:
            raise ConfigurationError(faults)

    def queue(self, module: InferenceWork) -> ModelQueue:
        """The queue for the model of a module; modules that ask in the same way share one."""
        client: Client = module.config.client
        policy = Policy(
            outputs=tuple(module.model_outputs),
            timeout=client.timeout,
            tries=client.tries,
            max_rows=client.max_rows,
            max_bytes=max(1, int(client.max_request * 1e6)),
            max_wait=client.max_wait,
            coalesce=client.coalesce,
        )
        key = (client.model, client.version, policy)
        if key not in self._queues:
            metadata = self._metadata[client.model, client.version]
            self._queues[key] = ModelQueue(
                metadata, client.version, self._offers[client.model], policy, observers=self._observers
            )
        return self._queues[key]

    def idle(self) -> None:
        """Send what was held back."""
        for queue in self._queues.values():
            queue.flush()

    async def end_job(self) -> None:
        """Close the connections; stop the server of our own."""
        for queue in self._queues.values():
            await queue.close()
        for url, model in self._at_begin:
            await self._note_statistics(self._at_end, self._servers[url], model)
        for server in self._servers.values():
            await server.transport.close()
        if self._embedded is not None:
            await self._embedded.stop()
            self._embedded = None
        self._servers.clear()
        self._offers.clear()

    def status(self) -> dict[str, str]:
        """Requests in flight and latency, of late."""
        if not self._queues:
            return {}
        records = [record for queue in self._queues.values() for record in queue.records.values() if record.requests]
        latency = max((record.recent_s for record in records), default=0.0)
        in_flight = sum(queue.in_flight for queue in self._queues.values())
        return {"in flight": str(in_flight), "latency": f"{latency * 1000:.1f} ms" if latency else "-"}

    def report(self) -> dict[str, Any]:
        """Per model and server: rows, requests, latency, and what the server says that it took of it."""
        return {"models": model_reports(self._queues, self._at_begin, self._at_end)}

    def provenance(self) -> dict[str, Any]:
        """Per model: name, versions, checksum where its files are at hand, and which servers answered how many rows."""
        fallback = self.config.fallback
        folder = Path(fallback.models) if fallback is not None else None
        return model_provenance(self._queues, self._offers, self._own_url, folder)


def _demand(module: InferenceWork) -> Demand:
    return Demand(module.config.client, module.model_inputs, module.model_outputs)


def _missing_parts() -> list[str]:
    """What a server of our own would need and has not got."""
    from .triton_wheel import locate, require_onnxruntime

    missing = []
    for needed in (locate, require_onnxruntime):
        try:
            needed()
        except InferenceError as error:
            missing.append(str(error))
    return missing


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)[:10]) or "none"
