"""The inference client: servers, requests, batching, retries, transports, and the producer built on it.

Names are loaded when first used, so that nothing of gRPC is imported by who does not need it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ == "sonic_client":
    raise ImportError("import this package as evproc.sonic_client, not as sonic_client")

if TYPE_CHECKING:
    from .embedded import EmbeddedServer
    from .fake import FakeModel, FakeServer
    from .producer import Client, InferenceFilter, InferenceProducer
    from .service import Fallback, InferenceService
    from .tensors import ModelMetadata, TensorSpec
    from .transport import ServerURL, Transport, open_transport

_WHERE = {
    "Client": "producer",
    "EmbeddedServer": "embedded",
    "FakeModel": "fake",
    "FakeServer": "fake",
    "Fallback": "service",
    "InferenceFilter": "producer",
    "InferenceProducer": "producer",
    "InferenceService": "service",
    "ModelMetadata": "tensors",
    "ServerURL": "transport",
    "TensorSpec": "tensors",
    "Transport": "transport",
    "open_transport": "transport",
}

__all__ = [
    "Client",
    "EmbeddedServer",
    "FakeModel",
    "FakeServer",
    "Fallback",
    "InferenceFilter",
    "InferenceProducer",
    "InferenceService",
    "ModelMetadata",
    "ServerURL",
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
