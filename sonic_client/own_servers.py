"""Several servers of a job's own, each with models of its own: a small site on one machine.

    process.inference = OwnServers(
        own={
            "channels": OwnServer(models="models", load=["facile"]),
            "images": OwnServer(models="models", load=["deepcalo", "top_tagger"]),
        }
    )

Problem: one server of the job's own (`Fallback`) shows how inference is used, but not what a job does with two. Policy: where
the job is given servers of its user's (parameter, file or environment), nothing is started, and this is an
`InferenceService`; else all servers are started before the models are checked, at the same time, and are known by
their names, for `Client(prefer=[...])` and the report. They end with the job, also after an error, also when the job is
killed. Cost: 2 s before the first event, also for `evproc check`, which asks them for their models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from evproc.framework import Block, Fault, Module, Parameter
from evproc.framework.errors import InferenceError

from .embedded import EmbeddedServer
from .producer import Client, InferenceWork
from .service import InferenceService
from .service_report import OwnModels


class OwnServer(Block):
    """A Triton server that the job starts for itself."""

    models: str = Parameter(description="folder of the model repository")
    load: list[str] = Parameter(description="the models that it has")
    threads: int = Parameter(1, description="threads that one model computes on", placement=True, ge=1)
    start_timeout: float = Parameter(
        60.0, description="time for the server to be ready", unit="s", placement=True, gt=0
    )


class OwnServers(InferenceService):
    """Servers that are named; or where none is, several that the job starts for itself."""

    class Config(InferenceService.Config):
        """Servers, limits, and the servers to start."""

        own: dict[str, OwnServer] = Parameter(
            default_factory=dict, description="servers to start if none is named, by their names", placement=True
        )

    config: Config
    _started: Mapping[str, EmbeddedServer] = {}
    _own: Mapping[str, OwnModels] = {}

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Start the servers that a module of this job needs; then as any inference service."""
        self._started = {}
        faults = await self._start(modules)
        self._own = {
            server.url: OwnModels(name, Path(self.config.own[name].models))
            for name, server in self._started.items()
            if server.running
        }
        return faults or await super().check(modules)

    def _own_models(self) -> dict[str, OwnModels]:
        """All servers that were started, and the fallback."""
        return {**super()._own_models(), **self._own}

    async def _start(self, modules: Mapping[str, Module]) -> list[Fault]:
        """Start the servers, unless others are named; returns why some cannot be."""
        super()._read_roster()
        if self._roster.entries or self._roster.faults:
            return []
        clients: list[Client] = [each.config.client for each in modules.values() if isinstance(each, InferenceWork)]
        wanted = {client.model for client in clients}
        self._started = {
            name: EmbeddedServer(own.models, [model for model in own.load if model in wanted], threads=own.threads)
            for name, own in self.config.own.items()
            if wanted & set(own.load)
        }
        starts = [server.start(self.config.own[name].start_timeout) for name, server in self._started.items()]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        faults = []
        for name, outcome in zip(self._started, outcomes, strict=True):
            if isinstance(outcome, InferenceError):
                faults.append(Fault(str(outcome), self.label, f"own.{name}", self.where))
            elif isinstance(outcome, BaseException):
                raise outcome
        return faults

    def _read_roster(self) -> None:
        """The servers that are named, and those that were started."""
        super()._read_roster()
        for name, server in self._started.items():
            if server.running:
                self._roster.add(f"{name}={server.url}", "own")

    async def end_job(self) -> None:
        """As any inference service; then the servers are stopped."""
        try:
            await super().end_job()
        finally:
            await asyncio.gather(*(server.stop() for server in self._started.values()))
            self._started = {}
