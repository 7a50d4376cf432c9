"""The FPGA service without FPGA: FaaST's protocol, its packing, and what it refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from evproc.framework.errors import InferenceError, RequestRejected
from evproc.sonic_client.faast_service import KERNEL_ROWS, FaastService, WordModel
from evproc.sonic_client.serving import serve, served
from evproc.sonic_client.tensors import Array, TensorSpec
from evproc.sonic_client.transport import Transport, open_transport

T = TypeVar("T")
U2 = np.dtype("<u2")


def sums(words: Array) -> Array:
    """The sum of a row's words, modulo 2**16; fails for a row that begins with 13."""
    if (words[:, 0] == 13).any():
        raise RuntimeError("thirteen")
    return words.sum(axis=1, keepdims=True, dtype=np.uint16)


def against(service: FaastService, work: Callable[[Transport], Awaitable[T]]) -> T:
    """Do something with a transport to a service."""

    async def main() -> T:
        async with served(service, "trtis") as address:
            transport = open_transport(address)
            try:
                return await work(transport)
            finally:
                await transport.close()

    return asyncio.run(main())


def ask(words: Array, model: str = "facile") -> Any:
    """One request."""
    return lambda transport: transport.infer(model, "", {"input": words}, ["output/BiasAdd"], timeout=20.0)


def rows(number: int, width: int = 32) -> Array:
    """Words of so many rows, none of which begins with 13."""
    words = np.random.default_rng(number).integers(0, 1 << 16, (number, width)).astype(np.uint16)
    words[:, 0] = 7
    return words


@pytest.mark.parametrize(("number", "runs"), [(1, 1), (16_000, 1), (KERNEL_ROWS + 1, 2)])
def test_rows_go_through_the_kernel(number: int, runs: int) -> None:
    """Each row gets its own answer, in order; a request is cut into runs of 16,384 rows, which units take in turn."""
    service = FaastService({"facile": WordModel(sums, max_batch_size=20_000)}, units=2)
    answer = against(service, ask(words := rows(number)))["output/BiasAdd"]
    assert (answer.dtype, answer.shape) == (U2, (number, 1))
    assert answer.tobytes() == sums(words).tobytes()
    assert service.runs == runs


def test_what_it_says_of_its_models() -> None:
    """Status states 32 words in and one out, and the 16,000 rows of a request, for a client that knows nothing."""
    service = FaastService({"facile": WordModel(sums)})

    async def work(transport: Transport) -> Any:
        return await transport.ready(20.0), await transport.models(20.0), await transport.metadata("facile", "", 20.0)

    ready, models, metadata = against(service, work)
    assert (ready, models, metadata.max_batch_size) == (True, ("facile",), 16_000)
    assert metadata.inputs == (TensorSpec("input", U2, (32,)),)
    assert metadata.outputs == (TensorSpec("output/BiasAdd", U2, (1,)),)
    with pytest.raises(RequestRejected, match="no model 'nope' on this card; it has facile"):
        against(service, lambda transport: transport.metadata("nope", "", 20.0))


def test_what_it_refuses() -> None:
    """Rows of another width, too many rows and a kernel that fails are errors of the protocol, and the service lives on."""

    async def work(transport: Transport) -> None:
        with pytest.raises(RequestRejected, match="no whole number of rows of 32 words"):
            await ask(rows(1, 31))(transport)
        with pytest.raises(RequestRejected, match="6 rows came, where a request has at most 5"):
            await ask(rows(6))(transport)
        with pytest.raises(InferenceError, match="thirteen"):
            await ask(np.full((2, 32), 13, np.uint16))(transport)
        assert (await ask(rows(5))(transport))["output/BiasAdd"].shape == (5, 1)

    against(FaastService({"facile": WordModel(sums, max_batch_size=5)}), work)


def test_a_port_that_is_taken() -> None:
    """A service whose port is taken ends with a sentence."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"port {port} of 127\.0\.0\.1 cannot be had: .*in use"):
            serve(lambda: FaastService({}), "trtis", port)
