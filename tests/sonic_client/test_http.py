"""KServe over HTTP, against servers that misbehave, that know JSON only, that are encrypted or behind a prefix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any, TypeVar

import numpy as np
import pytest
from aiohttp import web

from evproc.framework.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerBusy,
    ServerUnavailable,
)
from evproc.sonic_client.connection import Connection
from evproc.sonic_client.kserve_rest import infer_answer, infer_request
from evproc.sonic_client.transport import Transport, is_retryable, open_transport
from tests.sonic_client.certificates import Authority

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ROWS = np.arange(6, dtype="f4").reshape(2, 3)


def against(
    handler: Handler,
    work: Callable[[Transport], Awaitable[T]],
    *,
    tls: SSLContext | None = None,
    connection: Connection | None = None,
    path: str = "",
) -> T:
    """Do something with a transport to a server of one handler for all paths."""

    async def main() -> T:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
        transport = open_transport(url, connection=connection or Connection())
        try:
            return await work(transport)
        finally:
            await transport.close()
            await runner.cleanup()

    return asyncio.run(main())


def ask(transport: Transport, timeout: float = 20.0) -> Awaitable[dict[str, Any]]:
    """One request."""
    return transport.infer("m", "2", {"x": ROWS}, ["y"], timeout=timeout, request_id="block 7", priority=3)


async def in_json(request: web.Request) -> web.Response:
    """A server that knows no binary tensors in its answers."""
    outputs = [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [1.5, 2.5]}]
    return web.json_response({"model_name": "m", "outputs": outputs})


def test_answers_in_json_alone() -> None:
    """A server of KServe that sends numbers as JSON is understood."""
    y = against(in_json, ask)["y"]
    assert (y.dtype, y.tolist()) == (np.dtype("f4"), [[1.5], [2.5]])


def test_what_is_sent() -> None:
    """Path, version, identity, priority, and the tensors' bytes behind the JSON."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        end = int(request.headers["Inference-Header-Content-Length"])
        seen.extend([request.path, json.loads(body[:end]), body[end:], request.headers])
        return await in_json(request)

    connection = Connection(headers={"x-site": "FNAL"})
    against(handler, ask, path="/cms/triton", connection=connection)
    path, header, raw, headers = seen
    assert path == "/cms/triton/v2/models/m/versions/2/infer"
    assert header["id"] == "block 7"
    assert header["parameters"] == {"priority": 3}
    assert header["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}}
    ]
    assert raw == ROWS.tobytes()
    assert headers["x-site"] == "FNAL"


def test_encrypted_with_both_certificates(tmp_path: Any) -> None:
    """https with an authority of our own, and a certificate of ours; without it there is no answer."""
    authority = Authority(tmp_path)
    us = authority.certify("client")
    tls = authority.server_context("localhost", mutual=True)
    both = Connection(roots=authority.roots, certificate=us.certificate, key=us.key)
    assert against(in_json, ask, tls=tls, connection=both)["y"].shape == (2, 1)
    with pytest.raises(ServerUnavailable):
        against(in_json, ask, tls=tls, connection=Connection(roots=authority.roots))
    with pytest.raises(ServerUnavailable, match=r"(?i)certificate"):
        against(in_json, ask, tls=tls)


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, RequestRejected, False),
        (401, RequestRejected, False),
        (404, RequestRejected, False),
        (413, RequestRejected, False),
        (429, ServerBusy, True),
        (500, InferenceError, True),
        (502, ServerUnavailable, True),
        (503, ServerUnavailable, True),
        (504, DeadlineExceeded, True),
        (302, InferenceError, True),
    ],
)
def test_statuses(status: int, kind: type[InferenceError], again: bool) -> None:
    """Each status of HTTP is one error of ours, with the server's words, by the table of all transports."""

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": "no room"}, status=status)

    with pytest.raises(kind, match=rf"model 'm': no room \(HTTP {status}\)") as caught:
        against(refuse, ask)
    assert type(caught.value) is kind
    assert is_retryable(caught.value) is again


def test_a_late_answer_and_a_cancelled_call_close_their_connections() -> None:
    """A deadline and a cancellation end the call here, and the server sees its client gone."""
    gone: list[str] = []

    async def work(transport: Transport) -> None:
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.1 s"):
            await ask(transport, 0.1)
        arrived.clear()
        call = asyncio.ensure_future(ask(transport))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            while len(gone) < 2:
                ended.clear()
                await ended.wait()

    arrived, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        arrived.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.append("gone")
            ended.set()
        raise AssertionError("it never ends by itself")

    against(handler, work)
    assert len(gone) == 2


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"<html>", None, "not one of KServe v2"),
        (b"{}", None, "not one of KServe v2"),
        (b'{"outputs":[]}', None, "'y' was asked for and did not come"),
        (b'{"outputs":[{"name":"y","datatype":"FP32","shape":[2]}]}', None, "output 'y'"),
        (b'{"outputs":[{"name":"y","datatype":"FP99","shape":[2],"data":[1,2]}]}', None, "FP99"),
        (b'{"outputs":[{"name":"y","datatype":"FP32","shape":[-1],"data":[1,2]}]}', None, "stated as"),
        (b'{"outputs":[{"name":"y","datatype":"FP32","shape":[3],"data":[1,2]}]}', None, "output 'y'"),
        (
            b'{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}1234',
            "92",
            "4 bytes, where shape",
        ),
        (b"{}", "x", "not one of KServe v2"),
    ],
)
def test_answers_that_cannot_be(body: bytes, length: str | None, words: str) -> None:
    """An answer that is not what it says it is, is refused."""
    with pytest.raises(ValueError, match=words):
        infer_answer(body, length, ["y"])

    async def handler(request: web.Request) -> web.Response:
        headers = {} if length is None else {"Inference-Header-Content-Length": length}
        return web.Response(body=body, headers=headers)

    with pytest.raises(ModelContractError, match=words):
        against(handler, ask)


def test_tensors_are_not_copied_into_a_request() -> None:
    """The parts of a body are views of the arrays."""
    header, raw = infer_request({"x": ROWS}, ["y"])
    assert isinstance(header, bytes)
    assert np.shares_memory(np.frombuffer(raw, "u1"), ROWS)
