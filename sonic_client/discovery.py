"""The servers of a job: found, asked for their models, held against the modules, started if need be."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evproc.framework import ConfigurationError, Fault, InferenceError, Service

from .adaptive import AdaptiveLimit
from .changes import DISCOVERY, SERVICE, Changes
from .fleet import Server, Turns
from .model_check import Demand, check_model, check_repository, fetch_metadata
from .model_loading import LoadCount, can_load
from .repository import read_metadata
from .roster import Entry, Roster, read_roster
from .service_config import Fallback, ServiceConfig
from .transport import Transport, open_transport

if TYPE_CHECKING:
    from .embedded import EmbeddedServer
    from .producer import Client, InferenceWork
    from .tensors import ModelMetadata


LOADING = 60.0
"""How long a server may take to load a model, seconds."""


class ServerTable(Service):
    """What a service knows of servers and their models."""

    class Config(ServiceConfig):
        """Servers and limits."""

    config: Config

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._roster = Roster()
        self._servers: dict[str, Server] = {}
        #: model -> the servers that have it
        self._offers: dict[str, list[Server]] = {}
        self._metadata: dict[tuple[str, str], ModelMetadata] = {}
        self._modules: dict[str, InferenceWork] = {}
        self._turns = Turns()
        self._embedded: EmbeddedServer | None = None
        #: the address of the server of our own; empty if there is none
        self._own_url = ""
        self._starting = asyncio.Lock()
        #: models for which the fallback can stand in
        self._standby: set[str] = set()
        self._loads = LoadCount()
        #: what happened to servers during the job
        self._changes = Changes()

    def _read_roster(self) -> None:
        """Bring the list of servers up to date."""
        config = self.config
        environment = os.environ if config.environment else {}
        self._roster = read_roster(config.servers, config.servers_file, environment)
        for entry in list(self._roster.entries.values()):
            try:
                self._transport(entry.url)
            except (
                ValueError
            ) as error:  # a file of the connection that cannot be read, or what this transport cannot do
                self._roster.faults.append(("connection", str(error)))
                del self._roster.entries[entry.url]

    def _transport(self, url: str) -> Transport:
        """A transport that is not connected yet. Raises ValueError."""
        return open_transport(url, shared_memory=self.config.shared_memory, connection=self.config.connection)

    async def _connect(self) -> list[str]:
        """Open the servers that are not open yet, all at the same time; returns why some are not."""
        missing = [entry for entry in self._roster.entries.values() if entry.url not in self._servers]
        found = await asyncio.gather(*(self._open(entry) for entry in missing))
        unreachable = []
        for entry, outcome in zip(missing, found, strict=True):
            if isinstance(outcome, InferenceError):
                unreachable.append(f"server {entry.url} is left out: {outcome}")
                DISCOVERY.info("%s", unreachable[-1])
            else:
                self._add_server(entry.url, *outcome).name = entry.name
        return unreachable

    async def _open(self, entry: Entry) -> tuple[Transport, tuple[str, ...]] | InferenceError:
        """A connection to a server, and its models; or why there is none."""
        transport = self._transport(entry.url)
        try:
            return transport, await transport.models(self.config.connect_timeout)
        except InferenceError as error:
            await transport.close()
            return error
        except BaseException:
            await transport.close()
            raise

    def _add_server(self, url: str, transport: Transport, models: tuple[str, ...]) -> Server:
        config = self.config
        limit = AdaptiveLimit(largest=config.largest_in_flight) if config.in_flight == "auto" else config.in_flight
        server = self._servers[url] = Server(url, transport, limit, config.circuit, changes=self._changes)
        DISCOVERY.info("server %s has models %s", url, ", ".join(models) or "none")
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

    def _look_at_standby(self, module: InferenceWork) -> None:
        """Whether the fallback could stand in for the servers of a model, and what it can take."""
        client: Client = module.config.client
        known = self._metadata.get((client.model, client.version))
        if self.config.fallback is None or known is None:
            return
        folder = Path(self.config.fallback.models)
        try:
            metadata = read_metadata(folder, client.model)
        except ValueError:
            return  # it has the model not, and need not have it
        wrong = check_repository(_demand(module), folder)
        if wrong:
            self.warnings.extend(f"the fallback cannot stand in for the servers: {text}" for text in wrong)
            return
        self._standby.add(client.model)
        if metadata.max_batch_size < known.max_batch_size:
            self._metadata[client.model, client.version] = replace(known, max_batch_size=metadata.max_batch_size)

    async def _fallback_for(self, module: InferenceWork) -> Server:
        """The server of our own, with the model of a module; started if it does not run. Raises InferenceError."""
        model = module.config.client.model
        async with self._starting:
            server = next((one for one in self._offers[model] if one.fallback), None)
            if server is None:
                fallback = self.config.fallback
                assert fallback is not None
                try:
                    await self._start_fallback(fallback, [module])
                except (InferenceError, ConfigurationError) as error:
                    self._offers[model][:] = [one for one in self._offers[model] if not one.fallback]
                    self.warnings.append(f"the fallback server cannot stand in for model '{model}': {error}")
                    raise InferenceError(str(error)) from error
                server = next(one for one in self._offers[model] if one.fallback)
            return server

    async def _start_fallback(self, fallback: Fallback, modules: list[InferenceWork]) -> None:
        from .embedded import EmbeddedServer

        if self._embedded is not None and self._own_url in self._servers:
            await self._load_into_own(modules)
            return
        names = sorted({module.config.client.model for module in modules})
        log = Path(fallback.log) if fallback.log else None
        self._embedded = EmbeddedServer(fallback.models, load=names, log=log, threads=fallback.threads)
        await self._embedded.start(fallback.start_timeout)
        url = self._own_url = self._embedded.url
        transport = open_transport(url, shared_memory=self.config.shared_memory)
        server = self._add_server(url, transport, await transport.models(self.config.connect_timeout))
        embedded = self._embedded
        server.fallback = True
        SERVICE.info("started a server of the job's own, %s, with models %s", url, ", ".join(names))
        server.explain = lambda: "" if embedded.running else embedded.why_ended()
        faults = [fault for module in modules for fault in await self._check_module(module, server)]
        if faults:
            raise ConfigurationError(faults)

    async def _load_into_own(self, modules: list[InferenceWork]) -> None:
        """Have the server of our own, which runs, load models too."""
        server = self._servers[self._own_url]
        for module in modules:
            model = module.config.client.model
            if can_load(server.transport):
                await server.transport.load(model, LOADING)
            faults = await self._check_module(module, server)
            if faults:
                raise ConfigurationError(faults)
            self._offers.setdefault(model, []).append(server)

    async def _find(self) -> None:
        """During the job: connect servers that have come, and bring up to date which models each has."""
        self._read_roster()
        before = set(self._servers)
        await self._connect()
        for url in [url for url in self._servers if url not in before]:
            server = self._servers[url]
            self._changes.append(f"server {url} has come")
            for model in self._models_of(server):
                self._offers[model].remove(server)  # until its model was held against the modules
                await self._offer(server, model)
        wanted = {module.config.client.model for module in self._modules.values()}
        for url in before & set(self._servers):
            server = self._servers[url]
            try:
                models = await server.transport.models(self.config.connect_timeout)
            except InferenceError:
                continue
            for model in wanted:
                offers = self._offers.get(model, [])
                if model in models and server not in offers:
                    await self._offer(server, model)
                elif model not in models and server in offers and len(offers) > 1:
                    offers.remove(server)
                    self._changes.append(f"server {url} has model '{model}' no more")

    async def _offer(self, server: Server, model: str) -> None:
        """Let a server take part for a model, if the model is what the modules and the queues expect."""
        modules = [module for module in self._modules.values() if module.config.client.model == model]
        if not modules:
            return
        known = dict(self._metadata)
        faults = [fault.message for module in modules for fault in await self._check_module(module, server)]
        for key, metadata in known.items():
            if self._metadata[key].max_batch_size < metadata.max_batch_size:
                faults.append(f"it takes {self._metadata[key].max_batch_size} rows, not {metadata.max_batch_size}")
        self._metadata.update(known)
        if faults:
            text = f"model '{model}' on {server.url} is not used: {'; '.join(faults)}"
            if text not in self._changes:
                self._changes.append(text)
            return
        self._offers.setdefault(model, []).append(server)
        self._changes.append(f"server {server.url} has model '{model}' now")

    async def _load(self, module: InferenceWork) -> None:
        """Ask the servers to load a model that none of them has loaded."""
        model = module.config.client.model
        for server in self._servers.values():
            if can_load(server.transport):
                try:
                    if self._loads.take(server.url, model):
                        await server.transport.load(model, LOADING)
                except InferenceError:
                    self._loads.give(server.url, model)
                    continue
                self._offers.setdefault(model, []).append(server)

    async def _unload(self) -> None:
        """Ask the servers to unload what was loaded for this job."""
        for url, model in self._loads.all():
            server = self._servers.get(url)
            while self._loads.count(url, model):
                if self._loads.give(url, model) and server is not None and can_load(server.transport):
                    try:
                        await server.transport.unload(model, self.config.connect_timeout)
                    except InferenceError as error:
                        self.warnings.append(f"model '{model}' stays loaded on {url}: {error}")


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


def _demand(module: InferenceWork) -> Demand:
    return Demand(module.config.client, module.model_inputs, module.model_outputs)
