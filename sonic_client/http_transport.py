# ruff: noqa: ASYNC109 - a deadline is part of each call.
"""KServe v2 over HTTP (REST, with tensors as bytes): `http://host:8000`, encrypted `https://host`.

For servers behind proxies that pass nothing but HTTP/1.1, and for servers other than Triton that speak KServe's REST alone.
Where gRPC is to be had it is the better way: a connection of HTTP/1.1 carries one request at a time, and a body is copied
once more. A path in the address (`https://gate.example.org:443/cms/triton`) stands before the paths of the protocol.

The library is aiohttp. A call that is cancelled, or is late, has its connection closed, which is how HTTP/1.1 tells a server.
No proxy of the environment is used, no redirection followed, no cookie kept: a client of inference wants none of them.
Compressing takes longer than most requests do, so bodies are compressed in a thread.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from evproc.framework.errors import InferenceError, InternalError

from . import kserve_rest
from .address import ServerURL
from .connection import DEFAULT, Connection, Headers, ssl_context
from .tensors import Array, ModelMetadata, ModelStatistics, Tensor, arrays_of
from .transport import contract_error, deadline_error, http_status, status_error

_BINARY = "application/octet-stream"
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""zlib's words for the two formats."""
_LEVEL = 1  # tensors of floats compress little, at any price


class _Body(Payload):
    """A body in parts, sent without being joined."""

    _autoclose = True

    def __init__(self, parts: Sequence[bytes | memoryview]) -> None:
        super().__init__(parts, content_type=_BINARY)
        self._size = sum(map(len, parts))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As a text."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the parts."""
        for part in self._value:
            await writer.write(part)


class HttpTransport:
    """KServe v2 over HTTP."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        self.address = ServerURL.parse(url)
        self.connection = connection
        self._headers = Headers.of(connection)
        self._tls = ssl_context(connection) if self.address.secure else None
        scheme = "https" if self.address.secure else "http"
        prefix = f"/{self.address.path}" if self.address.path else ""
        self._base = f"{scheme}://{self.address.address}{prefix}"
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
        return str(self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def ready(self, timeout: float) -> bool:
        """Whether the server is there and takes requests. Never raises for one that is not."""
        try:
            await self._call("GET", "/v2/health/ready", None, timeout)
        except InferenceError:
            return False
        return True

    async def models(self, timeout: float) -> tuple[str, ...]:
        """The models that are ready on the server, by name, sorted."""
        index = await self._ask("POST", "/v2/repository/index", timeout, body=b'{"ready":true}')
        try:
            return tuple(sorted({entry["name"] for entry in index if entry.get("state", "READY") == "READY"}))
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unreadable("the index", "", error) from error

    async def metadata(self, model: str, version: str, timeout: float) -> ModelMetadata:
        """What the server says of a model; an empty version is the latest."""
        path = kserve_rest.model_path(model, version)
        metadata = await self._ask("GET", path, timeout, model)
        config = await self._ask("GET", f"{path}/config", timeout, model)
        try:
            return kserve_rest.model_metadata(metadata, config)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._unreadable("what it says of the model", model, error) from error

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """What the server counted for a model."""
        answer = await self._ask("GET", f"{kserve_rest.model_path(model, '')}/stats", timeout, model)
        try:
            return kserve_rest.model_statistics(model, answer)
        except (KeyError, TypeError) as error:
            raise self._unreadable("the statistics", model, error) from error

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
            parts = kserve_rest.infer_request(arrays_of(inputs), outputs, request_id, priority)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error
        headers = {kserve_rest.JSON_LENGTH: str(len(parts[0]))}
        path = f"{kserve_rest.model_path(model, version)}/infer"
        data, json_length = await self._call("POST", path, parts, timeout, model, headers)
        try:
            return kserve_rest.infer_answer(data, json_length, outputs)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def _ask(self, method: str, path: str, timeout: float, model: str = "", body: bytes | None = None) -> Any:
        data, _ = await self._call(method, path, None if body is None else [body], timeout, model)
        try:
            return json.loads(data)
        except ValueError as error:
            raise self._unreadable(path, model, error) from error

    def _unreadable(self, what: str, model: str, error: Exception) -> InferenceError:
        return contract_error(f"the answer cannot be read ({what}): {error!r}", server=self.url, model=model)

    async def _call(
        self,
        method: str,
        path: str,
        parts: Sequence[bytes | memoryview] | None,
        timeout: float,
        model: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[bytes, str | None]:
        """Send a body; the body of the answer, and how many bytes of it are JSON. Raises InferenceError only."""
        session = self._open()
        sent = {**headers} if headers else {}
        if self._headers is not None:
            sent.update(self._headers.now())
        limit = aiohttp.ClientTimeout(total=None if timeout == inf else timeout)
        try:
            if parts is not None and self.connection.compression != "none":
                sent["Content-Encoding"] = self.connection.compression
                parts = [await asyncio.to_thread(_compressed, parts, _WINDOW_BITS[self.connection.compression])]
            async with session.request(
                method,
                self._base + path,
                data=None if parts is None else _Body(parts),
                headers=sent,
                timeout=limit,
                ssl=self._tls if self._tls is not None else True,
                server_hostname=self.connection.server_name or None if self._tls is not None else None,
                allow_redirects=False,
            ) as answer:
                data = await answer.read()
                if answer.status != 200:
                    raise status_error(http_status(answer.status), _words(data, answer), server=self.url, model=model)
                return data, answer.headers.get(kserve_rest.JSON_LENGTH)
        except TimeoutError as error:
            raise deadline_error(timeout, server=self.url, model=model) from error
        except (aiohttp.ClientError, OSError) as error:
            raise status_error("UNAVAILABLE", str(error) or repr(error), server=self.url, model=model) from error

    def _open(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise InternalError(f"{self!r} is used from a second event loop; close it in the first one before")
        if self._session is None:
            self._loop = loop
            accept = "identity" if self.connection.compression == "none" else self.connection.compression
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": accept},
                read_bufsize=1 << 20,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections. Calls under way end with ServerUnavailable."""
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()


def _compressed(parts: Sequence[bytes | memoryview], window_bits: int) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, window_bits)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def _words(data: bytes, answer: aiohttp.ClientResponse) -> str:
    """What the server said of a failure: KServe's `error`, or the body's beginning, or HTTP's reason."""
    try:
        return f"{json.loads(data)['error']} (HTTP {answer.status})"
    except (ValueError, KeyError, TypeError):
        text = data[:200].decode(errors="replace").strip()
        return f"{text or answer.reason or 'no reason given'} (HTTP {answer.status})"
