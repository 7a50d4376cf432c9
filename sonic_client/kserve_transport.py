# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""What the gRPC transports share: each call of the KServe v2 protocol, on top of one way to move bytes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from evproc.framework.errors import InferenceError, InternalError

from . import kserve
from .connection import DEFAULT, Connection, Headers
from .messages import service as messages
from .tensors import Array, ModelMetadata, ModelStatistics, Tensor
from .transport import ServerURL, contract_error


class KServeTransport(ABC):
    """A KServe v2 server behind `url`. A subclass moves the bytes of one call there, and of its answer back."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        self.address = ServerURL.parse(url)
        self.connection = connection
        self._headers = Headers.of(connection)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
        return str(self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @abstractmethod
    async def _call(self, method: str, request: bytes, timeout: float, model: str = "") -> bytes:
        """Send the bytes of a request, return those of the answer. Raises InferenceError only."""

    @abstractmethod
    async def close(self) -> None:
        """Give the connection back."""

    async def ready(self, timeout: float) -> bool:
        """Whether the server is there and takes requests. Never raises for one that is not."""
        try:
            answer = await self._ask("ServerReady", messages.ServerReadyRequest(), timeout)
        except InferenceError:
            return False
        return bool(answer.ready)

    async def models(self, timeout: float) -> tuple[str, ...]:
        """The models that are ready on the server, by name, sorted."""
        answer = await self._ask("RepositoryIndex", messages.RepositoryIndexRequest(ready=True), timeout)
        return tuple(sorted({model.name for model in answer.models if model.state == "READY"}))

    async def metadata(self, model: str, version: str, timeout: float) -> ModelMetadata:
        """What the server says of a model; an empty version is the latest."""
        request = messages.ModelMetadataRequest(name=model, version=version)
        metadata = await self._ask("ModelMetadata", request, timeout, model)
        request = messages.ModelConfigRequest(name=model, version=version)
        config = await self._ask("ModelConfig", request, timeout, model)
        try:
            return kserve.model_metadata(metadata, config.config)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """What the server counted for a model."""
        request = messages.ModelStatisticsRequest(name=model)
        answer = await self._ask("ModelStatistics", request, timeout, model)
        return kserve.model_statistics(model, answer)

    async def load(self, model: str, timeout: float) -> None:
        """Have a model of the server's repository loaded."""
        await self._ask("RepositoryModelLoad", messages.RepositoryModelLoadRequest(model_name=model), timeout, model)

    async def unload(self, model: str, timeout: float) -> None:
        """Have a model unloaded."""
        request = messages.RepositoryModelUnloadRequest(model_name=model)
        await self._ask("RepositoryModelUnload", request, timeout, model)

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
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name."""
        try:
            request = kserve.infer_request(model, version, inputs, outputs, request_id, priority)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error
        data = await self._call("ModelInfer", request, timeout, model)
        try:
            return kserve.infer_answer(data, outputs)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def _ask(self, method: str, request: Any, timeout: float, model: str = "") -> Any:
        data = await self._call(method, request.SerializeToString(), timeout, model)
        kind = getattr(messages, f"{method}Response")
        try:
            return kind.FromString(data)
        except Exception as error:  # protobuf's DecodeError, of whichever implementation
            words = f"the answer to {method} cannot be read: {error}"
            raise contract_error(words, server=self.url, model=model) from error

    def _own_loop(self) -> None:
        """Hold the transport to the loop that uses it first: channels of both libraries are bound to one."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise InternalError(f"{self!r} is used from a second event loop; close it in the first one before")
