"""The inference client: servers, requests, batching, retries, transports, and the producer built on it.

Names are loaded when first used, so that nothing of gRPC is imported by who does not need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ == "sonic_client":
    raise ImportError("import this package as evproc.sonic_client, not as sonic_client")

if TYPE_CHECKING:
    from .circuit import CircuitBreaker
    from .connection import Connection
    from .embedded import EmbeddedServer
    from .fake import FakeModel, FakeServer
    from .hedging import Hedge
    from .local_service import LocalService
    from .own_servers import OwnServer, OwnServers
    from .pieces import Pieces
    from .producer import Client, InferenceFilter, InferenceProducer
    from .retry import DefaultValue, FallbackServer, OtherServer, RetryAction, SameServer, SkipEvent
    from .service import Fallback, InferenceService
    from .tensors import ModelMetadata, TensorSpec
    from .transport import ServerURL, Transport, open_transport

_WHERE = {
    "CircuitBreaker": "circuit",
    "Client": "producer",
    "Connection": "connection",
    "DefaultValue": "retry",
    "EmbeddedServer": "embedded",
    "FakeModel": "fake",
    "FakeServer": "fake",
    "Fallback": "service",
    "FallbackServer": "retry",
    "Hedge": "hedging",
    "InferenceFilter": "producer",
    "InferenceProducer": "producer",
    "InferenceService": "service",
    "LocalService": "local_service",
    "ModelMetadata": "tensors",
    "OtherServer": "retry",
    "OwnServer": "own_servers",
    "OwnServers": "own_servers",
    "Pieces": "pieces",
    "RetryAction": "retry",
    "SameServer": "retry",
    "ServerURL": "transport",
    "SkipEvent": "retry",
    "TensorSpec": "tensors",
    "Transport": "transport",
    "open_transport": "transport",
}

__all__ = [
    "CircuitBreaker",
    "Client",
    "Connection",
    "DefaultValue",
    "EmbeddedServer",
    "FakeModel",
    "FakeServer",
    "Fallback",
    "FallbackServer",
    "Hedge",
    "InferenceFilter",
    "InferenceProducer",
    "InferenceService",
    "LocalService",
    "ModelMetadata",
    "OtherServer",
    "OwnServer",
    "OwnServers",
    "Pieces",
    "RetryAction",
    "SameServer",
    "ServerURL",
    "SkipEvent",
    "TensorSpec",
    "Transport",
    "open_transport",
]


def __getattr__(name: str) -> Any:
    try:
        home = _WHERE[name]
    except KeyError:
        raise AttributeError(f"module 'evproc.sonic_client' has no attribute '{name}'") from None
    value = getattr(importlib.import_module(f"evproc.sonic_client.{home}"), name)
    globals()[name] = value
    return value
