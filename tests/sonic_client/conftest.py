"""Helpers for the tests of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from evproc.sonic_client.transport import Transport, open_transport

T = TypeVar("T")
Use = Callable[[str, Callable[[Transport], Awaitable[T]]], T]


@pytest.fixture(params=["grpc", "grpclib"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Each transport in turn."""
    return str(request.param)


@pytest.fixture
def use() -> Use:
    """Open a transport in a loop, do something with it, close it; fail if a task is left."""

    def run(url: str, work: Callable[[Transport], Awaitable[T]]) -> T:
        async def main() -> T:
            transport = open_transport(url)
            try:
                return await work(transport)
            finally:
                await transport.close()
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"close() left {left}"

        return asyncio.run(main())

    return run
