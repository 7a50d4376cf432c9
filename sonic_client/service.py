"""`InferenceService`: the servers of a job, which models they have, and a server of our own where there is none.

    process.inference = InferenceService(servers=["grpc://gpu1:8001"], fallback=Fallback(models="models"))

Before the first event every server is asked for its models, and every model that a module needs is held against the tensors
that the module declares. A server that cannot be reached is left out, with a warning, as long as others have its models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from evproc.framework import Fault, Job, Module
from evproc.framework.errors import InferenceError, did_you_mean
from evproc.framework.observing import Observers
from evproc.framework.service import Metric

from .balancing import Balancing
from .changes import SERVICE
from .client_checks import client_faults
from .discovery import ServerTable
from .figures import InferenceFigures
from .fleet import Turns
from .fleet_report import outcome_reports, server_reports
from .health import Watch
from .local_service import RunningService
from .model_queue import ModelQueue, Policy, Server
from .producer import Client, InferenceWork
from .retry import RetryBudget
from .server_counts import ServerCounts
from .service_config import Fallback as Fallback
from .service_metrics import service_metrics
from .service_report import EMBEDDED, OwnModels, model_provenance, model_reports


class InferenceService(ServerTable):
    """The servers that answer requests for inference."""

    class Config(ServerTable.Config):
        """Servers and limits."""

    config: Config

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._queues: dict[tuple[str, str, Policy], ModelQueue] = {}
        self._counts = ServerCounts(self.config.connect_timeout)
        self._observers = Observers()
        self._budget = RetryBudget(0.0, 0)
        self._watch: Watch | None = None
        #: the services of our own that are no Triton
        self._local: list[RunningService] = []
        #: the servers of the job, also after its end
        self._known_servers: dict[str, Server] = {}

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Ask every server for its models, and hold the modules against them."""
        self._modules = {label: module for label, module in modules.items() if isinstance(module, InferenceWork)}
        self.warnings.clear()
        self._standby.clear()
        for table in (self._metadata, self._queues, self._counts.counts, self._counts.silent):
            table.clear()  # of a job before this one
        self._changes.clear()
        self._read_roster()
        faults = [Fault(text, self.label, key, self.where) for key, text in self._roster.faults]
        unreachable = await self._gather_servers()
        faults.extend(await self._start_local())
        orphans = []
        for module in self._modules.values():
            client: Client = module.config.client
            offers = self._offers.get(client.model, [])
            for server in offers:
                faults.extend(await self._check_module(module, server))
            if offers:
                self._look_at_standby(module)
            elif self.config.fallback is not None:
                faults.extend(self._check_fallback(module, self.config.fallback))
            else:
                orphans.append(module)
                faults.append(self._no_server(module))
            known = self._metadata.get((client.model, client.version))
            wrong = client_faults(module, known, self._owner(), self._roster.names)
            faults.extend(Fault(text, module.label, key, module.where) for key, text in wrong)
        if orphans or not self._modules:
            faults.extend(Fault(text, self.label, "servers", self.where) for text in unreachable)
        else:
            self.warnings.extend(unreachable)
        self.warnings.extend(self._roster.warnings)
        return faults

    async def _gather_servers(self) -> list[str]:
        """Connect the servers, wait for those that are not there yet, have models loaded; returns who is missing, and why."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.config.wait
        while True:
            unreachable = await self._connect()
            lacking = [module for module in self._modules.values() if not self._offers.get(module.config.client.model)]
            if self.config.load_models:
                for module in lacking:
                    await self._load(module)
                lacking = [module for module in lacking if not self._offers.get(module.config.client.model)]
            left = until - loop.time()
            if not lacking or left <= 0:
                return unreachable
            await asyncio.sleep(min(left, 0.5))

    def _no_server(self, module: InferenceWork) -> Fault:
        model = module.config.client.model
        looked = "; ".join([f"{url} has {_listed(self._models_of(server))}" for url, server in self._servers.items()])
        where = f" ({looked})" if looked else "; none is named: set servers, or a fallback"
        hint = did_you_mean(model, self._offers)
        return Fault(f"no server has model '{model}'{hint}{where}", module.label, "client.model", module.where)

    async def begin_job(self, job: Job) -> None:
        """Start the server of our own, if a model needs it; make the queues."""
        self._observers = job.observers
        self._changes.observers = job.observers
        self._turns = Turns()
        self._budget = RetryBudget(self.config.retry_share, self.config.retries)
        homeless = [module for module in self._modules.values() if module.config.client.model not in self._offers]
        if homeless and self.config.fallback is not None:
            await self._start_fallback(self.config.fallback, homeless)
        await self._look()
        for (_, model), why in self._counts.silent.items():
            self.warnings.append(f"no statistics of model '{model}': {why}")
        self._known_servers = self._servers
        self._watch = Watch(
            self.config.poll,
            self.config.connect_timeout,
            self._servers.values,
            self._find,
            self._turns,
            changes=self._changes,
            aside=self._look,
        )
        self._watch.start()

    async def _look(self) -> None:
        """Ask the servers what they have counted for the models of the job."""
        wanted = {module.config.client.model for module in self._modules.values()}
        pairs = [(server, model) for model in sorted(wanted) for server in self._offers.get(model, [])]
        self._changes.grown(await self._counts.look(pairs))

    async def _start_local(self) -> list[Fault]:
        """Start the services of our own that have a model which a module needs and no server has."""
        faults = []
        for number, service in enumerate(self.config.local):
            wanted = {module.config.client.model for module in self._modules.values()} - set(self._offers)
            if wanted.isdisjoint(service.models):
                continue
            running = RunningService(service.command, service.start_timeout)
            self._local.append(running)
            try:
                await running.start()
                transport = self._transport(running.url)
                server = self._add_server(running.url, transport, await transport.models(self.config.connect_timeout))
            except (InferenceError, ValueError) as error:
                faults.append(Fault(str(error), self.label, f"local.{number}", self.where))
                continue
            server.explain = running.why_ended
            SERVICE.info("started a service of the job's own, %s", running.url)
        return faults

    async def _stop_local(self) -> None:
        """Stop them."""
        running, self._local = self._local, []
        await asyncio.gather(*(one.stop() for one in running))

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
            deadline=inf if client.deadline is None else client.deadline,
            event_deadline=inf if client.event_deadline is None else client.event_deadline,
            priority=client.priority,
            patience=client.patience,
            prefer=tuple(client.prefer),
            retry=None if client.retry is None else tuple(client.retry),
            hedge=client.hedge,
        )
        key = (client.model, client.version, policy)
        if key not in self._queues:
            metadata = self._metadata[client.model, client.version]
            self._queues[key] = ModelQueue(
                metadata,
                client.version,
                self._offers[client.model],
                policy,
                observers=self._observers,
                turns=self._turns,
                balancing=Balancing(self.config.balancing),
                budget=self._budget,
                start_fallback=partial(self._fallback_for, module) if client.model in self._standby else None,
            )
        return self._queues[key]

    def idle(self) -> None:
        """Send what was held back."""
        for queue in self._queues.values():
            queue.flush()

    async def end_job(self) -> None:
        """Close the connections; stop the server of our own."""
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None
        for queue in self._queues.values():
            await queue.close()
        if self._queues:
            await self._look()
        await self._unload()
        for server in self._servers.values():
            await server.transport.close()
        if self._embedded is not None:
            await self._embedded.stop()
            self._embedded = None
        await self._stop_local()
        SERVICE.info("closed; connections: %d", len(self._servers))
        self._known_servers, self._servers = self._servers, {}
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
        figures = InferenceFigures(
            models=model_reports(self._queues, self._counts.counts, self._known_servers),
            servers=server_reports(self._known_servers.values()),
            outcomes=outcome_reports(self._queues),
            changes=list(self._changes),
        )
        return asdict(figures)

    def metrics(self) -> Iterator[Metric]:
        """The same while the job runs, as counters and gauges."""
        return service_metrics(self._queues, self._counts.counts, self._known_servers)

    def provenance(self) -> dict[str, Any]:
        """Per model: name, versions, checksum where its files are at hand, and which servers answered how many rows."""
        return model_provenance(self._queues, self._offers, self._own_models())

    def _own_models(self) -> dict[str, OwnModels]:
        """Address -> the server of the job's own that is or was there."""
        fallback = self.config.fallback
        if fallback is None or not self._own_url:
            return {}
        return {self._own_url: OwnModels(EMBEDDED, Path(fallback.models))}


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)[:10]) or "none"
