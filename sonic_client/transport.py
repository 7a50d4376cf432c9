# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""The way to a server: one small interface, and the table of its implementations.

A transport moves one request to one server and brings back one answer. It knows no batching, no retry and
no choice of server: those are pure decisions of the layer above. What it does settle, for all layers above,
is errors: whatever goes wrong on the way leaves a transport as an `InferenceError`, made at one place
(`status_error`) from one table, and names the server, the model and the server's own words. The library's
exception is kept as the cause.

    gRPC status                                        becomes              sent again?
    UNAVAILABLE, CANCELLED, ABORTED                    ServerUnavailable    yes
    RESOURCE_EXHAUSTED, UNAVAILABLE with the words of  ServerBusy           yes, later: the server is not dead
      a full queue (a saturated server)
    RESOURCE_EXHAUSTED (a message too large)           RequestRejected      no
    DEADLINE_EXCEEDED                                  DeadlineExceeded     yes
    INTERNAL, UNKNOWN, DATA_LOSS                       InferenceError       yes (the server's fault)
    all others (INVALID_ARGUMENT, NOT_FOUND ...)       RequestRejected      no
    an answer that cannot be what the server claims    ModelContractError   no

Timeouts are seconds for one call, connecting included; `math.inf` is none. Cancelling the task that awaits
a call cancels the call. A transport belongs to the event loop that uses it first, until it is closed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerBusy,
    ServerUnavailable,
    did_you_mean,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .tensors import Array, ModelMetadata, ModelStatistics

# gRPC reads this when it is imported, which is after this module. Its support for forking after use is off, unless the
# user chose otherwise: a forked child cannot use our channels anyway, and it would print a warning at each fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_TRANSPORTS = {
    "grpc": ("grpc_transport", "GrpcTransport"),
    "grpclib": ("grpclib_transport", "GrpclibTransport"),
}
_URL = r"([A-Za-z][\w+.-]*)://(\[[0-9A-Fa-f:.%]+\]|[^\[\]/:@\s]*)(?::(\w*))?/?"


@dataclass(frozen=True, slots=True)
class ServerURL:
    """The address of a server: `grpc://gpu1.example.org:8001`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ServerURL:
        """Read an address. Raises ValueError that says what a right one looks like."""
        match = re.fullmatch(_URL, text.strip())
        example = "an address looks like grpc://gpu1.example.org:8001"
        if match is None:
            raise ValueError(f"'{text}' is not the address of a server; {example}")
        scheme, host, port = match.groups()
        scheme = scheme.lower()
        if scheme not in _TRANSPORTS:
            hint = did_you_mean(scheme, _TRANSPORTS)
            if scheme.startswith("http"):
                hint = "; Triton speaks gRPC on a port of its own, usually 8001"
            known = ", ".join(_TRANSPORTS)
            raise ValueError(f"'{text}': no transport is called '{scheme}' (known: {known}){hint}")
        if not host:
            raise ValueError(f"'{text}' names no host; {example}")
        if not port:
            raise ValueError(f"'{text}' names no port (Triton's usual gRPC port is 8001); {example}")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"'{text}': '{port}' is not a port, which is a number from 1 to 65535")
        return cls(scheme, host.strip("[]"), int(port))

    @property
    def address(self) -> str:
        """Host and port without the scheme, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the address is this machine's loopback."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


@runtime_checkable
class Transport(Protocol):
    """One connection to one server. All but `ready` and `close` raise InferenceError if they fail."""

    @property
    def url(self) -> str:
        """The address, as given."""
        ...

    async def ready(self, timeout: float) -> bool:
        """Whether the server is there and takes requests. Never raises for one that is not."""
        ...

    async def models(self, timeout: float) -> tuple[str, ...]:
        """The models that are ready on the server, by name, sorted."""
        ...

    async def metadata(self, model: str, version: str, timeout: float) -> ModelMetadata:
        """What the server says of a model; an empty version is the latest."""
        ...

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
    ) -> dict[str, Array]:
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name.

        Arrays have the batch dimension first, if the model has one. Each output has the shape that the server
        stated, which its bytes fill exactly; whether the number of rows is right is for the caller to check.
        """
        ...

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """What the server counted for a model."""
        ...

    async def close(self) -> None:
        """Give the connection back. May be called twice. Calls under way end with ServerUnavailable."""
        ...


def open_transport(url: str, *, shared_memory: bool = True) -> Transport:
    """The transport for an address; it connects at the first call. Raises ValueError for a wrong address.

    With `shared_memory`, `grpc` to this machine hands large tensors over through shared memory where the server can.
    """
    address = ServerURL.parse(url)
    module, name = _TRANSPORTS[address.scheme]
    if shared_memory and address.scheme == "grpc" and address.is_local:
        module, name = "shared_memory", "SharedMemoryTransport"
    transport: Transport = getattr(import_module(f"{__package__}.{module}"), name)(url)
    return transport


_STATUS_CLASS: dict[str, type[InferenceError]] = {
    "UNAVAILABLE": ServerUnavailable,
    "CANCELLED": ServerUnavailable,
    "ABORTED": ServerUnavailable,
    "RESOURCE_EXHAUSTED": ServerBusy,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INTERNAL": InferenceError,
    "UNKNOWN": InferenceError,
    "DATA_LOSS": InferenceError,
}
_NEVER_AGAIN = (RequestRejected, ModelContractError)
_BUSY_WORDS = re.compile(r"maximum queue size|pending.overflow|overloaded|too many requests", re.IGNORECASE)
"""How a Triton whose queue is full, and the proxies before it, say that they have too much to do."""


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may succeed if it is sent again, here or to another server."""
    return isinstance(error, InferenceError) and not isinstance(error, _NEVER_AGAIN)


def status_error(status: str, words: str, *, server: str, model: str = "") -> InferenceError:
    """The error for a gRPC status, given by its name, with the server's words."""
    kind = _STATUS_CLASS.get(status, RequestRejected)
    if status == "RESOURCE_EXHAUSTED" and "larger than max" in words:
        kind = RequestRejected
    elif status == "UNAVAILABLE" and _BUSY_WORDS.search(words):
        kind = ServerBusy
    about = f"{server}, model '{model}'" if model else server
    return kind(f"{about}: {words.strip() or 'no reason given'} [{status}]")


def deadline_error(seconds: float, *, server: str, model: str = "") -> DeadlineExceeded:
    """The error for an answer that did not come in time."""
    about = f"{server}, model '{model}'" if model else server
    return DeadlineExceeded(f"{about}: no answer within {seconds:g} s")


def contract_error(words: str, *, server: str, model: str = "") -> ModelContractError:
    """The error for an answer that cannot be what the server claims, or inputs that no server could take."""
    about = f"{server}, model '{model}'" if model else server
    return ModelContractError(f"{about}: {words}")
