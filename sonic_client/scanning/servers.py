"""The server that all clients of a scan share: the workflow's own, an embedded Triton, or a fake one of known capacity.

Latency is added to a fake server's answers by itself. On the way to any other a relay holds what is sent for half of it
each way (`delay.py`), and shared memory, which knows no way, is off.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evproc.framework.errors import ConfigurationError, Fault
from evproc.sonic_client.contract import parse_spec
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.fake_process import FakeProcess
from evproc.sonic_client.producer import InferenceWork
from evproc.sonic_client.roster import read_roster
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.transport import ServerURL

from .delay import Delay

if TYPE_CHECKING:
    from evproc.framework import Process

_MAX_BATCH = 1 << 20


class Kind(StrEnum):
    """Which server."""

    auto = "auto"
    workflow = "workflow"
    triton = "triton"
    fake = "fake"


@dataclass(frozen=True, slots=True)
class Tensors:
    """A model as producers see it."""

    model: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How long a fake server computes, s."""

    request: float = 0.0
    row: float = 0.0
    instances: int = 1


@dataclass(slots=True)
class Shared:
    """What of a workflow has to do with servers."""

    services: dict[str, InferenceService] = field(default_factory=dict)
    work: dict[str, InferenceWork] = field(default_factory=dict)

    @classmethod
    def of(cls, process: Process) -> Shared:
        """Raises ConfigurationError if the workflow asks no server for anything."""
        services = {label: each for label, each in process.services.items() if isinstance(each, InferenceService)}
        work = {label: each for label, each in process.modules.items() if isinstance(each, InferenceWork)}
        if not services or not work:
            missing = "InferenceService" if not services else "module that does inference"
            raise ConfigurationError([Fault(f"the workflow has no {missing}: there is nothing to scan")])
        wrong = [fault for part in (*services.values(), *work.values()) for fault in part.faults()]
        if wrong:
            raise ConfigurationError(wrong)
        return cls(services, work)

    def kind(self, asked: Kind) -> Kind:
        """The kind of server for `auto`: the workflow's, if it names some; else a Triton with the models of its fallback."""
        if asked is not Kind.auto:
            return asked
        return Kind.workflow if any(self.addresses(service) for service in self.services.values()) else Kind.triton

    @staticmethod
    def addresses(service: InferenceService) -> list[str]:
        """The servers that a service knows of. Raises ConfigurationError."""
        given = service.config
        roster = read_roster(given.servers, given.servers_file, os.environ if given.environment else {})
        if roster.faults:
            raise ConfigurationError([Fault(text, service.label, key, service.where) for key, text in roster.faults])
        return list(roster.entries)

    def repositories(self) -> list[str]:
        """The model repositories of the fallbacks."""
        found = [each.config.fallback.models for each in self.services.values() if each.config.fallback is not None]
        return list(dict.fromkeys(found))

    def tensors(self) -> list[Tensors]:
        """The models that modules ask for, by what they declare. Raises ConfigurationError."""
        models: dict[str, tuple[dict[str, TensorSpec], dict[str, TensorSpec]]] = {}
        faults = []
        for module in self.work.values():
            inputs, outputs = models.setdefault(module.config.client.model, ({}, {}))
            if not module.model_inputs or not module.model_outputs:
                wrong = "names no tensors (model_inputs, model_outputs): a fake server cannot have its model"
                faults.append(Fault(wrong, module.label, where=module.where))
            inputs.update({name: parse_spec(name, text) for name, text in module.model_inputs.items()})
            outputs.update({name: parse_spec(name, text) for name, text in module.model_outputs.items()})
        if faults:
            raise ConfigurationError(faults)
        return [Tensors(name, tuple(ins.values()), tuple(outs.values())) for name, (ins, outs) in models.items()]

    def settings(self, urls: dict[str, list[str]], *, shared_memory: bool) -> list[str]:
        """Settings of the command line that make the services use these servers, and no others."""
        made = []
        for label, addresses in urls.items():
            made += [f"{label}.servers=[{', '.join(addresses)}]", f"{label}.fallback=null"]
            made += [f"{label}.environment=false", f"{label}.servers_file=''"]
            made += [] if shared_memory else [f"{label}.shared_memory=false"]
        return made


def answer(outputs: Sequence[TensorSpec], inputs: dict[str, Any]) -> dict[str, Any]:
    """Zeros, a row for each row."""
    import numpy as np

    rows = len(next(iter(inputs.values())))
    return {spec.name: np.zeros((rows, *(max(1, extent) for extent in spec.shape)), spec.dtype) for spec in outputs}


def make_fake(models: Sequence[Tensors], capacity: Capacity, latency: float) -> FakeServer:
    """The fake server, in its own process, which Ctrl-C in a terminal does not reach."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def busy(rows: int) -> float:
        return capacity.request + capacity.row * rows

    made = [
        FakeModel(
            each.model,
            each.inputs,
            each.outputs,
            functools.partial(answer, each.outputs),
            max_batch_size=_MAX_BATCH,
            latency=latency,
            compute_time=busy,
        )
        for each in models
    ]
    return FakeServer(made, instances=capacity.instances)


class Servers:
    """Gives settings for each latency; `with` ends what was started."""

    def __init__(
        self, shared: Shared, kind: Kind, capacity: Capacity, models: Sequence[Path], latencies: Sequence[float]
    ) -> None:
        self.kind = shared.kind(kind)
        self._shared = shared
        self._capacity = capacity
        self._models = [str(path) for path in models] or shared.repositories()
        self._delayed = any(latencies)
        self._stack = ExitStack()
        self._fake: tuple[float, FakeProcess] | None = None
        self._triton: EmbeddedServer | None = None
        self._relays: dict[tuple[str, float], str] = {}
        if self.kind is Kind.triton and not self._models:
            wrong = "names neither servers nor a fallback with models: give --models, or --server fake"
            raise ConfigurationError([Fault(wrong, label, "servers") for label in shared.services])
        if self.kind is Kind.workflow:
            for label, service in shared.services.items():
                if not shared.addresses(service):
                    raise ConfigurationError([Fault("names no servers", label, "servers", service.where)])

    def __enter__(self) -> Servers:
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settings(self, latency: float) -> list[str]:
        """Settings for clients, with so much latency added, s. Starts what is not there."""
        if self.kind is Kind.fake:
            urls = {label: [self._fake_url(latency)] for label in self._shared.services}
            return self._shared.settings(urls, shared_memory=True)
        if self.kind is Kind.triton:
            if self._triton is None:
                wanted = sorted({each.config.client.model for each in self._shared.work.values()})
                self._triton = self._stack.enter_context(EmbeddedServer(self._models, load=wanted))
            given = {label: [self._triton.url] for label in self._shared.services}
        else:
            given = {label: self._shared.addresses(service) for label, service in self._shared.services.items()}
            if not self._delayed:
                return []
        relayed = {label: [self._relayed(url, latency) for url in urls] for label, urls in given.items()}
        return self._shared.settings(relayed, shared_memory=not self._delayed)

    def _fake_url(self, latency: float) -> str:
        if self._fake is None:
            make = functools.partial(make_fake, self._shared.tensors(), self._capacity, latency)
            self._fake = latency, self._stack.enter_context(FakeProcess(make))
        elif self._fake[0] != latency:
            server = self._fake[1]
            server.restart(functools.partial(make_fake, self._shared.tensors(), self._capacity, latency))
            self._fake = latency, server
        return self._fake[1].url

    def _relayed(self, url: str, latency: float) -> str:
        if not latency:
            return url
        if (url, latency) not in self._relays:
            parsed = ServerURL.parse(url)
            if parsed.path or parsed.scheme not in ("grpc", "grpclib", "http"):
                wrong = f"latency can be added on the way to grpc, grpclib and http servers, not to {url}"
                raise ConfigurationError([Fault(wrong, where="--latency")])
            relay = self._stack.enter_context(Delay(parsed.host, parsed.port, latency))
            self._relays[url, latency] = f"{parsed.scheme}://127.0.0.1:{relay.port}"
        return self._relays[url, latency]
