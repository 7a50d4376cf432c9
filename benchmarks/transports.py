"""The transports against bare `grpc.aio`, on a real Triton.

    python -m benchmarks.transports [--quick]

An identity model of Triton's Python backend answers with the very tensor that it was sent, so that the server copies as
little as it can (with a new tensor it copies once more, and the transports differ less): 64 B, 602 kB (an image of
224 x 224 x 3) and 6 MB, with 32, 8 and 4 requests under way. In each round every transport sends the same tensors to the
same server:

    grpc.aio         a channel of `grpc.aio` and the protocol's messages from protobuf, as one would write it by hand; what
                     all others are held against
    grpc             `grpc://`, through the socket
    shared memory    `grpc://` to this machine: inputs by system shared memory, answers too
    grpclib          `grpclib://`
    http             `http://`
    tritonclient     `tritonclient.grpc.aio`, for comparison

Rates are in requests per second, CPU is that of this process, the client's. Client and server share the cores.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Figure, Series, arguments, by_size, in_turn, number, ratios, show
from evproc.sonic_client import EmbeddedServer, open_transport

NAME = "identity"
_CONFIG = """name: "identity"
backend: "python"
max_batch_size: 0
input [{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }]
output [{ name: "x" data_type: TYPE_FP32 dims: [ -1 ] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
_MODEL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x")
            answers.append(pb_utils.InferenceResponse([x]))
        return answers
"""

Infer = Callable[[Any], Awaitable[Any]]
"""x: (n,) float32 -> the same."""


@dataclass(frozen=True)
class Size:
    """One size of tensors."""

    name: str
    floats: int
    concurrency: int
    calls: tuple[int, int, int]
    """Calls of a round: in full, quick, tiny."""


SIZES = (
    Size("64B", 16, 32, (6000, 1000, 40)),
    Size("602kB", 224 * 224 * 3, 8, (160, 60, 8)),
    Size("6MB", 10 * 224 * 224 * 3, 4, (24, 10, 4)),
)


def write_repository(folder: Path) -> Path:
    """The identity model."""
    (folder / NAME / "1").mkdir(parents=True)
    (folder / NAME / "config.pbtxt").write_text(_CONFIG)
    (folder / NAME / "1" / "model.py").write_text(_MODEL)
    return folder


async def bare(address: str, work: Callable[[Infer], Awaitable[None]]) -> None:
    """`grpc.aio` by hand."""
    import grpc
    from tritonclient.grpc import service_pb2 as messages

    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    pb: Any = messages
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: Any = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )

        async def infer(x: Any) -> Any:
            request = pb.ModelInferRequest(model_name=NAME)
            request.inputs.add(name="x", datatype="FP32", shape=x.shape)
            request.outputs.add(name="x")
            request.raw_input_contents.append(x.tobytes())
            answer = await call(request, timeout=60.0)
            (output,) = answer.outputs
            return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(output.shape)

        await work(infer)


async def tritonclient(address: str, work: Callable[[Infer], Awaitable[None]]) -> None:
    """NVIDIA's client."""
    import tritonclient.grpc.aio as triton

    client = triton.InferenceServerClient(address)
    wanted = [triton.InferRequestedOutput("x")]

    async def infer(x: Any) -> Any:
        tensor = triton.InferInput("x", x.shape, "FP32")
        tensor.set_data_from_numpy(x)
        answer: Any = await client.infer(NAME, [tensor], outputs=wanted)
        return answer.as_numpy("x")

    try:
        await work(infer)
    finally:
        await client.close()


async def ours(url: str, shared_memory: bool, work: Callable[[Infer], Awaitable[None]]) -> None:
    """A transport of evproc."""
    transport = open_transport(url, shared_memory=shared_memory)

    async def infer(x: Any) -> Any:
        return (await transport.infer(NAME, "", {"x": x}, ["x"], timeout=60.0))["x"]

    try:
        await work(infer)
    finally:
        await transport.close()


def sides(server: EmbeddedServer) -> dict[str, Callable[[Callable[[Infer], Awaitable[None]]], Awaitable[None]]]:
    """Each side as a function that does some work with its `infer`."""
    address = server.url.removeprefix("grpc://")
    return {
        "grpc.aio": lambda work: bare(address, work),
        "grpc": lambda work: ours(server.url, False, work),
        "shared memory": lambda work: ours(server.url, True, work),
        "grpclib": lambda work: ours(f"grpclib://{address}", False, work),
        "http": lambda work: ours(server.http_url, False, work),
        "tritonclient": lambda work: tritonclient(address, work),
    }


def run(side: Callable[[Callable[[Infer], Awaitable[None]]], Awaitable[None]], size: Size, calls: int) -> None:
    """Send `calls` requests, and see that each answer is what was sent."""
    x = np.random.default_rng(1).normal(size=size.floats).astype(np.float32)

    async def work(infer: Infer) -> None:
        await infer(x)
        left = iter(range(calls))

        async def worker() -> None:
            for _ in left:
                answer = await infer(x)
                if answer.shape != x.shape or answer[-1] != x[-1] or answer[0] != x[0]:
                    raise AssertionError("an answer is not what was sent")

        await asyncio.gather(*(worker() for _ in range(size.concurrency)))

    async def main() -> None:
        await side(work)

    asyncio.run(main())


def measure(server: EmbeddedServer, size: Size, calls: int, rounds: int) -> dict[str, Series]:
    """All sides in turn."""
    return in_turn({name: lambda side=side: run(side, size, calls) for name, side in sides(server).items()}, rounds)


def main(argv: Sequence[str] | None = None) -> None:
    """Start Triton, measure, and print."""
    options = arguments(__doc__, argv)
    rounds = by_size(options, 9, 5, 1)
    found: dict[str, dict[str, Series]] = {}
    rows: list[tuple[str, ...]] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="evproc-transports-"))
        server = stack.enter_context(EmbeddedServer(write_repository(Path(folder)), http=True))
        for size in SIZES:
            calls = by_size(options, *size.calls)
            found[size.name] = measure(server, size, calls, rounds)
            for name, series in found[size.name].items():
                against = ratios(found[size.name]["grpc.aio"].walls, series.walls)
                rate, cpu = calls / series.wall, 1e6 * series.cpu / calls
                rows.append((size.name, name, number(rate), str(against), number(cpu)))
    show(
        f"transports: an identity model on the embedded Triton, {rounds} rounds",
        ("size", "transport", "requests/s", "over grpc.aio  [quartiles]", "CPU us/request"),
        rows,
        figures(found),
    )


def figures(found: dict[str, dict[str, Series]]) -> list[Figure]:
    """What is held against bars; of the grpc path, the worst of the three sizes."""

    def rate(size: str, name: str) -> Any:
        return ratios(found[size]["grpc.aio"].walls, found[size][name].walls)

    def cpu(size: str) -> Any:
        return ratios(found[size]["grpc"].cpus, found[size]["grpc.aio"].cpus)

    slowest = min((rate(size.name, "grpc") for size in SIZES), key=lambda spread: spread.median)
    dearest = max((cpu(size.name) for size in SIZES), key=lambda spread: spread.median)
    meaning = "requests per second over those of bare grpc.aio"
    return [
        Figure("grpc_rate", slowest, 0.95, None, False, f"{meaning}, worst size"),
        Figure("grpc_cpu", dearest, 1.1, None, True, "CPU of the client over that of bare grpc.aio, worst size"),
        Figure("shm_602kB", rate("602kB", "shared memory"), 2, 3, False, meaning),
        Figure("grpclib_64B", rate("64B", "grpclib"), 0.7, None, False, meaning),
        Figure("grpclib_602kB", rate("602kB", "grpclib"), 0.6, None, False, meaning),
    ]


if __name__ == "__main__":
    main()
