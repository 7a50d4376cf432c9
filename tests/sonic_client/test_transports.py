"""The transports against the real Triton, and addresses."""

from __future__ import annotations

import asyncio

import numpy as np
import onnxruntime
import pytest

from evproc.framework.errors import InternalError, ModelContractError, RequestRejected, ServerUnavailable
from evproc.sonic_client.embedded import EmbeddedServer, free_port
from evproc.sonic_client.tensors import Rows, TensorSpec, dtype_of
from evproc.sonic_client.transport import ServerURL, Transport, open_transport
from tests.conftest import EVERY_TYPE

FP32 = np.dtype("f4")


@pytest.fixture(params=["grpc", "grpclib", "http"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Each transport in turn."""
    return str(request.param)


def at(server: EmbeddedServer, scheme: str) -> str:
    return server.http_url if scheme == "http" else server.url.replace("grpc://", f"{scheme}://")


def rows_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 16)).astype("f4")


@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize("model", ["identity", "mlp", "bare"])
def test_outputs_equal_local_onnxruntime(triton, model_repository, scheme, use, model: str, count: int) -> None:
    """What the server computes is bit for bit what onnxruntime computes here on the same batch."""
    rows = rows_of(count)
    session = onnxruntime.InferenceSession(
        model_repository / model / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    here = np.asarray(session.run(["y"], {"x": rows})[0])
    there = use(at(triton, scheme), lambda t: t.infer(model, "", {"x": rows}, ["y"], timeout=20.0))["y"]
    assert there.dtype == here.dtype
    assert there.shape == here.shape
    assert there.tobytes() == here.tobytes()


def test_results_do_not_depend_on_what_else_is_asked(triton, scheme, use) -> None:
    """Requests that the server may take together are answered as if each were alone."""
    batches = [rows_of(count) for count in (1, 2, 3, 5, 8, 13, 21, 34)]

    async def work(transport):
        alone = [await transport.infer("mlp", "", {"x": rows}, ["y"], timeout=20.0) for rows in batches]
        calls = (transport.infer("mlp", "", {"x": rows}, ["y"], timeout=20.0) for rows in batches * 10)
        return alone, await asyncio.gather(*calls)

    alone, together = use(at(triton, scheme), work)
    for index, outputs in enumerate(together):
        assert outputs["y"].tobytes() == alone[index % len(batches)]["y"].tobytes()


def test_rows_of_several_arrays_are_one_tensor(triton, scheme, use) -> None:
    """Rows that were handed over apart get the answers that they would get as one array."""

    async def work(transport: Transport) -> tuple[np.ndarray, np.ndarray]:
        x = np.random.default_rng(5).normal(size=(3000, 16)).astype("f4")
        one = await transport.infer("mlp", "", {"x": x}, ["y"], timeout=20.0)
        cut = await transport.infer("mlp", "", {"x": Rows([x[:1], x[1:1700], x[1700:]])}, ["y"], timeout=20.0)
        return one["y"], cut["y"]

    one, cut = use(at(triton, scheme), work)
    assert len(one) == 3000
    assert np.array_equal(one, cut)


def test_every_type_passes_unchanged(triton, scheme, use) -> None:
    """Each numeric type of the protocol arrives on the server and comes back, extremes included."""
    inputs = {}
    for word in EVERY_TYPE:
        dtype = dtype_of(word)
        extremes = [0, 1, 1] if dtype.kind == "b" else [(np.iinfo if dtype.kind in "iu" else np.finfo)(dtype).max, 0, 1]
        inputs[f"in_{word}"] = np.array([extremes, extremes[::-1]], dtype)
    outputs = use(at(triton, scheme), lambda t: t.infer("every_type", "1", inputs, [], timeout=20.0))
    for word in EVERY_TYPE:
        assert outputs[f"out_{word}"].dtype == dtype_of(word)
        assert outputs[f"out_{word}"].tobytes() == inputs[f"in_{word}"].tobytes()


def test_only_the_outputs_asked_for_come(triton, scheme, use) -> None:
    """A model of twelve outputs sends the one that was asked for."""
    inputs = {f"in_{word}": np.ones((1, 3), dtype_of(word)) for word in EVERY_TYPE}
    outputs = use(at(triton, scheme), lambda t: t.infer("every_type", "", inputs, ["out_FP64"], timeout=20.0))
    assert list(outputs) == ["out_FP64"]


def test_python_models_work(triton, scheme, use) -> None:
    """A model of Triton's Python backend runs beside the ONNX models."""
    x = np.arange(12.0).reshape(4, 3)
    outputs = use(at(triton, scheme), lambda t: t.infer("python_negate", "", {"x": x}, ["y"], timeout=20.0))
    assert outputs["y"].tolist() == (-x).tolist()


def test_metadata_is_that_of_the_repository(triton, scheme, use) -> None:
    """Names, types, shapes and the batch size are those of config.pbtxt; `bare` has them from its ONNX file."""

    async def work(transport: Transport):
        return [await transport.metadata(model, "", 20.0) for model in ("mlp", "bare", "python_negate")]

    mlp, bare, python = use(at(triton, scheme), work)
    assert (mlp.name, mlp.versions, mlp.platform, mlp.max_batch_size) == ("mlp", ("1",), "onnxruntime", 4096)
    assert (mlp.inputs, mlp.outputs) == ((TensorSpec("x", FP32, (16,)),), (TensorSpec("y", FP32, (4,)),))
    assert (bare.inputs, bare.outputs) == (mlp.inputs, mlp.outputs)
    assert (python.platform, python.inputs) == ("python", (TensorSpec("x", np.dtype("f8"), (-1,)),))


def test_index_and_statistics(triton, model_repository, scheme, use) -> None:
    """The index lists the ready models; the statistics count rows, requests and failures."""

    async def work(transport: Transport):
        before = await transport.statistics("identity", 20.0)
        await transport.infer("identity", "", {"x": rows_of(5)}, ["y"], timeout=20.0)
        return await transport.models(20.0), before, await transport.statistics("identity", 20.0)

    models, before, after = use(at(triton, scheme), work)
    assert models == tuple(sorted(entry.name for entry in model_repository.iterdir()))
    assert (after.rows - before.rows, after.requests - before.requests) == (5, 1)
    assert after.failures == before.failures
    assert after.compute > before.compute


def test_two_million_floats(triton, scheme, use) -> None:
    """Tensors beyond gRPC's usual limit of 4 MB pass in both directions."""
    x = np.random.default_rng(0).random((1, 2_000_000))
    outputs = use(at(triton, scheme), lambda t: t.infer("python_negate", "", {"x": x}, ["y"], timeout=60.0))
    assert np.array_equal(outputs["y"], -x)


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "kind", "words"),
    [
        ("nope", {"x": rows_of(1)}, ["y"], RequestRejected, "unknown model: 'nope'"),
        ("mlp", {"z": rows_of(1)}, ["y"], RequestRejected, "unexpected inference input 'z'"),
        ("mlp", {"x": rows_of(1)}, ["z"], RequestRejected, "unexpected inference output 'z'"),
        ("mlp", {"x": rows_of(1).astype("f8")}, ["y"], RequestRejected, "'FP64', but model 'mlp' expects 'FP32'"),
        ("mlp", {"x": rows_of(1)[:, :9]}, ["y"], RequestRejected, r"Expected \[-1,16\], got \[1,9\]"),
        ("mlp", {"x": rows_of(4097)}, ["y"], RequestRejected, "batch-size must be <= 4096"),
        ("mlp", {"x": rows_of(1).astype("c8")}, ["y"], ModelContractError, "input 'x': no inference server knows"),
    ],
)
def test_what_triton_refuses_is_told_in_its_words(triton, scheme, use, model, inputs, outputs, kind, words) -> None:
    """A request that does not fit gives one error with the server, the model and the server's words; no retry."""
    url = at(triton, scheme)
    with pytest.raises(kind, match=words) as caught:
        use(url, lambda t: t.infer(model, "", inputs, outputs, timeout=20.0))
    assert str(caught.value).startswith(f"{url}, model '{model}': ")


def test_an_absent_server(scheme, use) -> None:
    """Where nobody listens, `ready` is False and everything else is ServerUnavailable, at once."""
    url = f"{scheme}://127.0.0.1:{free_port()}"
    assert use(url, lambda t: t.ready(5.0)) is False
    for ask in (
        lambda t: t.models(5.0),
        lambda t: t.metadata("m", "", 5.0),
        lambda t: t.statistics("m", 5.0),
        lambda t: t.infer("m", "", {"x": rows_of(1)}, ["y"], timeout=5.0),
    ):
        with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1.*UNAVAILABLE"):
            use(url, ask)


def test_a_server_that_speaks_something_else(scheme, use) -> None:
    """A port on which another protocol is spoken is an absent server, not a hang or a stray exception."""

    async def main() -> bool:
        async def speak(reader, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(speak, "127.0.0.1", 0)
        async with server:
            transport = open_transport(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            ready = await transport.ready(5.0)
            await transport.close()
            return ready

    assert asyncio.run(main()) is False


def test_a_transport_stays_in_its_loop(triton, scheme) -> None:
    """Use from a second event loop is refused; after close() it is allowed."""
    transport = open_transport(at(triton, scheme))

    async def first() -> bool:
        return await transport.ready(20.0)

    async def second() -> None:
        with pytest.raises(InternalError, match="second event loop"):
            await transport.ready(20.0)

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(first())
        asyncio.run(second())
        loop.run_until_complete(transport.close())
    finally:
        loop.close()

    async def again() -> bool:
        ready = await transport.ready(20.0)
        await transport.close()
        return ready

    assert asyncio.run(again())


def test_every_transport_satisfies_the_interface(scheme) -> None:
    """What open_transport gives is a Transport that knows its address."""
    transport = open_transport(f"{scheme}://somewhere:8001/")
    assert isinstance(transport, Transport)
    assert transport.url == f"{scheme}://somewhere:8001"


@pytest.mark.parametrize(
    ("text", "url", "local"),
    [
        ("grpc://gpu1.example.org:8001", "grpc://gpu1.example.org:8001", False),
        (" GRPC://localhost:1/ ", "grpc://localhost:1", True),
        ("grpclib://[::1]:8001", "grpclib://[::1]:8001", True),
        ("grpcs://gpu1:8001", "grpcs://gpu1:8001", False),
        ("https://gate.example.org:443/cms/triton/", "https://gate.example.org:443/cms/triton", False),
        ("tfs://gpu1:8500/resnet50", "tfs://gpu1:8500/resnet50", False),
        ("grpc://127.0.0.1:65535", "grpc://127.0.0.1:65535", True),
    ],
)
def test_addresses(text: str, url: str, local: bool) -> None:
    """An address is read, printed in one form, and known to be this machine or not."""
    parsed = ServerURL.parse(text)
    assert str(parsed) == url
    assert parsed.is_local is local
    assert ServerURL.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu1:8001", "'gpu1:8001' is not the address of a server; an address looks like grpc://"),
        ("", "is not the address"),
        ("grpc://gpu1:8001/v2", "is not the address"),
        ("grpc://gpu1", "names no port .*usually|names no port .*8001"),
        ("grpc://:8001", "names no host"),
        ("grpc://gpu1:port", "'port' is not a port"),
        ("grpc://gpu1:70000", "from 1 to 65535"),
        ("tfs://gpu1:8500", "names no model; an address looks like tfs://host:8500/resnet50"),
        ("gprc://gpu1:8001", "did you mean 'grpc'"),
    ],
)
def test_wrong_addresses(text: str, words: str) -> None:
    """A wrong address is a ValueError that says what is wrong and shows a right one."""
    with pytest.raises(ValueError, match=words):
        open_transport(text)
