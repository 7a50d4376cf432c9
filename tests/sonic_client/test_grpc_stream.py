"""Streams of a decoupled model on the real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import DeadlineExceeded, InferenceError, RequestRejected, ServerUnavailable
from evproc.sonic_client.embedded import EmbeddedServer, free_port
from evproc.sonic_client.grpc_stream import infer_stream
from evproc.sonic_client.grpc_transport import GrpcTransport
from tests.conftest import write_model

CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [{ name: "x" data_type: TYPE_INT32 dims: [ 2 ] }]
output [{ name: "y" data_type: TYPE_INT32 dims: [ -1 ] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    # x: (answers, ms between them); the n-th answer has n numbers
    def execute(self, requests):
        for request in requests:
            x = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "x"))
            sender = request.get_response_sender()
            if x[0] < 0:
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("fewer than none")))
            for number in range(int(x[0])):
                time.sleep(int(x[1]) / 1000)
                y = np.full(number, number, np.int32)
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", y)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


@pytest.fixture(scope="module")
def counter(triton_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A Triton with a model that answers as often as it is told."""
    folder = tmp_path_factory.mktemp("decoupled")
    write_model(folder / "count", CONFIG, MODEL)
    with EmbeddedServer(folder) as server:
        yield server


def stream(transport: GrpcTransport, answers: int, pause: int = 0, timeout: float = 20.0, model: str = "count") -> Any:
    """Ask for some answers."""
    return infer_stream(transport, model, "", {"x": np.array([answers, pause], "i4")}, ["y"], timeout=timeout)


def run(url: str, work: Any) -> Any:
    """Do something with a transport."""

    async def main() -> Any:
        transport = GrpcTransport(url)
        try:
            return await work(transport)
        finally:
            await transport.close()

    return asyncio.run(main())


async def collect(answers: Any) -> list[list[int]]:
    """All values of all answers."""
    return [outputs["y"].tolist() async for outputs in answers]


@pytest.mark.parametrize("answers", [0, 1, 7])
def test_all_answers_come_in_order(counter: EmbeddedServer, answers: int) -> None:
    """None, one or many answers to one request, each with its own shape."""
    found = run(counter.url, lambda transport: collect(stream(transport, answers)))
    assert found == [[number] * number for number in range(answers)]


def test_streams_at_once(counter: EmbeddedServer) -> None:
    """Answers of several streams do not mix."""

    async def work(transport: GrpcTransport) -> Any:
        return await asyncio.gather(*(collect(stream(transport, count)) for count in (3, 1, 5)))

    assert [len(found) for found in run(counter.url, work)] == [3, 1, 5]


def test_errors_of_streams(counter: EmbeddedServer) -> None:
    """A model's error, an unknown model, a deadline, an absent server: the errors of all transports, and no hang."""
    with pytest.raises(InferenceError, match="fewer than none"):
        run(counter.url, lambda transport: collect(stream(transport, -1)))
    with pytest.raises(RequestRejected, match="nope"):
        run(counter.url, lambda transport: collect(stream(transport, 1, model="nope")))
    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        run(counter.url, lambda transport: collect(stream(transport, 5, 100, 0.2)))
    with pytest.raises(ServerUnavailable):
        run(f"grpc://127.0.0.1:{free_port()}", lambda transport: collect(stream(transport, 1)))


def test_a_stream_that_is_left_is_cancelled(counter: EmbeddedServer) -> None:
    """Who leaves the iteration gets its answers so far, and the transport can be used on."""

    async def work(transport: GrpcTransport) -> list[int]:
        async with aclosing(stream(transport, 20, 5)) as answers:
            async for outputs in answers:
                if len(outputs["y"]) == 2:
                    break
        return [len(one) for one in await collect(stream(transport, 3))]

    assert run(counter.url, work) == [0, 1, 2]
