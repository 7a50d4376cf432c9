"""Modes of clients that only block: same answers and same errors; cancellation reaches the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import DeadlineExceeded, RequestRejected, ServerUnavailable
from evproc.sonic_client.connection import Connection
from evproc.sonic_client.embedded import free_port
from evproc.sonic_client.fake import Delay, FakeModel, FakeServer, Unavailable
from evproc.sonic_client.fake_faults import Never
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.transport import open_transport
from tests.sonic_client.certificates import Authority

SPEC = TensorSpec("x", np.dtype("f4"), (16,))
MODEL = FakeModel("double", [SPEC], [replace(SPEC, name="y")], lambda inputs: {"y": 2 * inputs["x"]})
ROWS = np.random.default_rng(3).normal(size=(5, 16)).astype("f4")


@pytest.fixture(params=["thread", "sync"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each mode in turn."""
    return str(request.param)


def use(url: str, mode: str, work: Callable[[Any], Awaitable[Any]], **settings: Any) -> Any:
    """Do something with a transport of a mode."""

    async def main() -> Any:
        connection = Connection.model_validate({"mode": mode, **settings})
        transport = open_transport(url, connection=connection)
        try:
            return await work(transport)
        finally:
            await transport.close()

    return asyncio.run(main())


def ask(transport: Any, timeout: float = 20.0, model: str = "double") -> Awaitable[Any]:
    """One request."""
    return transport.infer(model, "", {"x": ROWS}, ["y"], timeout=timeout)


def test_answers_are_the_same(mode: str) -> None:
    """Twenty requests at once are answered rightly; threads have several under way, `sync` one."""

    async def many(transport: Any) -> Any:
        assert await transport.ready(20.0)
        assert await transport.models(20.0) == ("double",)
        return await asyncio.gather(*(ask(transport) for _ in range(20)))

    with FakeServer([replace(MODEL, latency=0.01)]) as server:
        for answer in use(server.url, mode, many):
            assert answer["y"].tobytes() == (2 * ROWS).tobytes()
        assert (server.peak == 1) is (mode == "sync")


def test_errors_are_those_of_the_table(mode: str) -> None:
    """A deadline, a busy server, a wrong model and an absent server are the errors that all transports give."""
    with FakeServer([MODEL], faults=[Unavailable(), Delay(5.0)]) as server:
        with pytest.raises(ServerUnavailable, match="UNAVAILABLE"):
            use(server.url, mode, ask)
        with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.1 s"):
            use(server.url, mode, lambda transport: ask(transport, 0.1))
        with pytest.raises(RequestRejected, match="'nope'"):
            use(server.url, mode, lambda transport: ask(transport, model="nope"))
    with pytest.raises(ServerUnavailable):
        use(f"grpc://127.0.0.1:{free_port()}", mode, ask)


def test_headers_and_certificates(mode: str, tmp_path: Any) -> None:
    """Everything of a connection holds in each mode."""
    authority = Authority(tmp_path)
    with FakeServer([MODEL], ssl=authority.server_context("localhost", "h2")) as server:
        url = server.address("grpcs")
        answer = use(url, mode, ask, roots=authority.roots, headers={"x-site": "FNAL"})
        assert answer["y"].tobytes() == (2 * ROWS).tobytes()
        assert server.requests[0].headers["x-site"] == "FNAL"


def test_cancelling_reaches_the_server() -> None:
    """A call that is given up in a thread is cancelled at the server, and its thread comes back."""

    async def work(transport: Any) -> None:
        call = asyncio.ensure_future(ask(transport))
        await asyncio.to_thread(server.wait_until, lambda server: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(server.wait_until, lambda server: server.outcomes == ["cancelled"])
        assert (await ask(transport))["y"].shape == (5, 16)

    with FakeServer([MODEL], faults=[Never()]) as server:
        use(server.url, "thread", work)


def test_closing_ends_calls_under_way() -> None:
    """Calls under way end with ServerUnavailable when the transport is closed."""

    async def main(url: str) -> None:
        transport = open_transport(url, connection=Connection(mode="thread"))
        call = asyncio.ensure_future(ask(transport))
        await asyncio.to_thread(server.wait_until, lambda server: len(server.requests) == 1)
        await transport.close()
        with pytest.raises(ServerUnavailable):
            await call

    with FakeServer([MODEL], faults=[Never()]) as server:
        asyncio.run(main(server.url))
