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

HTTP's statuses are taken as the gRPC statuses that say the same (`http_status`: 429 is RESOURCE_EXHAUSTED, 503 is
UNAVAILABLE), and those of TRTIS, which come inside its answers, likewise.

Timeouts are seconds for one call, connecting included; `math.inf` is none. Cancelling the task that awaits
a call cancels the call. A transport belongs to the event loop that uses it first, until it is closed.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerBusy,
    ServerUnavailable,
)

from .address import KINDS
from .address import ServerURL as ServerURL
from .connection import DEFAULT, Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .tensors import Array, ModelMetadata, ModelStatistics, Tensor

# gRPC reads this when it is imported, which is after this module. Its support for forking after use is off, unless the
# user chose otherwise: a forked child cannot use our channels anyway, and it would print a warning at each fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


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
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
        priority: int = 0,
    ) -> dict[str, Array]:
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name.

        `priority` is for models that have levels of it: 1 is the most urgent, 0 the model's own default. Arrays have the
        batch dimension first, if the model has one. Each output has the shape that the server stated, which its bytes
        fill exactly; whether the number of rows is right is for the caller to check.
        """
        ...

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """What the server counted for a model."""
        ...

    async def close(self) -> None:
        """Give the connection back. May be called twice. Calls under way end with ServerUnavailable."""
        ...


def open_transport(url: str, *, shared_memory: bool | str = True, connection: Connection = DEFAULT) -> Transport:
    """The transport for an address; it connects at the first call.

    With `shared_memory`, `grpc` to this machine hands large tensors over through shared memory where the server can:
    that of the system, or of a GPU (`cuda`, `cuda:1`).
    Raises ValueError for a wrong address, and for what `connection` names and is not there or cannot be.
    """
    address = ServerURL.parse(url)
    kind = KINDS[address.kind]
    module, name = kind.module, kind.name
    named: dict[str, int] = {}
    if address.kind == "grpc" and connection.mode != "async":
        module, name = "blocking_transport", f"{connection.mode.capitalize()}Transport"
    elif shared_memory and address.scheme == "grpc" and address.is_local and connection.compression == "none":
        module, name = "shared_memory", "SharedMemoryTransport"
        if isinstance(shared_memory, str) and shared_memory.startswith("cuda"):
            module, name = "cuda_memory", "CudaSharedMemoryTransport"
            named["device"] = int(shared_memory.partition(":")[2] or 0)
    try:
        transport: Transport = getattr(import_module(f"{__package__}.{module}"), name)(url, connection, **named)
    except ImportError as error:
        raise ValueError(f"{url}: this transport needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from error
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
_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
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


def http_status(code: int) -> str:
    """The gRPC status that says what a status of HTTP says."""
    return _OF_HTTP.get(code) or ("INVALID_ARGUMENT" if 400 <= code < 500 else "UNKNOWN")


def deadline_error(seconds: float, *, server: str, model: str = "") -> DeadlineExceeded:
    """The error for an answer that did not come in time."""
    about = f"{server}, model '{model}'" if model else server
    return DeadlineExceeded(f"{about}: no answer within {seconds:g} s")


def contract_error(words: str, *, server: str, model: str = "") -> ModelContractError:
    """The error for an answer that cannot be what the server claims, or inputs that no server could take."""
    about = f"{server}, model '{model}'" if model else server
    return ModelContractError(f"{about}: {words}")
