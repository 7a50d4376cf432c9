"""TensorFlow Serving and Brainwave, against a server that speaks the published protocol."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from evproc.framework.errors import DeadlineExceeded, ModelContractError, RequestRejected, ServerUnavailable
from evproc.sonic_client import tfs_messages
from evproc.sonic_client.connection import Connection
from evproc.sonic_client.protos import tfs
from evproc.sonic_client.tensors import TensorSpec
from tests.sonic_client.certificates import Authority
from tests.sonic_client.grpclib_servers import TensorFlowServing, against, tensor

F4 = np.dtype("f4")
PROTOS = Path(__file__).parents[2] / "sonic_client" / "protos"
ROWS = np.random.default_rng(5).normal(size=(3, 4)).astype("f4")


def ask(version: str = "", outputs: tuple[str, ...] = ("y",), model: str = "double") -> Any:
    """One request."""
    return lambda transport: transport.infer(model, version, {"x": ROWS}, outputs, timeout=20.0)


@pytest.mark.parametrize("name", ["tfs", "trtis"])
def test_messages_are_those_of_the_proto_files(name: str) -> None:
    """Every field of a .proto file is in the generated message, by name and number, and the other way round."""
    module = importlib.import_module(f"evproc.sonic_client.protos.{name}_pb2")
    text = re.sub(r"//.*", "", (PROTOS / f"{name}.proto").read_text())
    stated = sorted(re.findall(r"^\s*(?:repeated )?\w[\w.<>, ]* (\w+) = (\d+);", text, re.MULTILINE))
    stated += re.findall(r"^\s*([A-Z]\w+) = (\d+);", text, re.MULTILINE)
    found: list[tuple[str, str]] = []

    def collect(message: Any) -> None:
        if not message.GetOptions().map_entry:
            found.extend((field.name, str(field.number)) for field in message.fields)
        for nested in message.nested_types:
            collect(nested)
        for enum in message.enum_types:
            found.extend((value.name, str(value.number)) for value in enum.values)

    for message in module.DESCRIPTOR.message_types_by_name.values():
        collect(message)
    for enum in module.DESCRIPTOR.enum_types_by_name.values():
        found.extend((value.name, str(value.number)) for value in enum.values)
    assert sorted(found) == sorted(stated)


def test_predict() -> None:
    """Outputs are those of the model; the request is what protobuf reads as Predict's, with model and version."""
    service = TensorFlowServing()
    outputs = against(service, "tfs", ask("3"), "/double")
    assert list(outputs) == ["y"]
    assert outputs["y"].tobytes() == (2 * ROWS).tobytes()
    (request,) = service.seen
    assert (request.model_spec.name, request.model_spec.version.value) == ("double", 3)
    assert list(request.output_filter) == ["y"]
    assert request.inputs["x"] == tensor(ROWS)
    assert sorted(against(TensorFlowServing(), "tfs", ask(outputs=()), "/double")) == ["y", "z"]


def test_what_the_server_says_of_its_models() -> None:
    """Of the models that the address names those that are ready; names, types and shapes of the signature."""

    async def work(transport: Any) -> Any:
        return await transport.ready(20.0), await transport.models(20.0), await transport.metadata("double", "", 20.0)

    ready, models, metadata = against(TensorFlowServing(), "tfs", work, "/nope,double")
    assert (ready, models) == (True, ("double",))
    assert (metadata.versions, metadata.max_batch_size) == (("3",), tfs_messages.UNBOUNDED)
    assert metadata.inputs == (TensorSpec("x", F4, (4,)),)
    assert metadata.outputs == (TensorSpec("y", F4, (4,)), TensorSpec("z", F4, ()))
    assert against(TensorFlowServing(), "tfs", lambda transport: transport.ready(20.0), "/nope") is False


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        (ask(model="nope"), RequestRejected, "Servable not found"),
        (ask("4"), RequestRejected, "Servable not found"),
        (ask(outputs=("w",)), ModelContractError, r"'w' was asked for and did not come"),
        (lambda transport: transport.statistics("double", 20.0), RequestRejected, "states no statistics"),
        (
            lambda transport: transport.infer("double", "", {"x": ROWS.astype("c8")}, (), timeout=20.0),
            ModelContractError,
            "input 'x'",
        ),
    ],
)
def test_errors_are_ours(work: Any, kind: type[Exception], words: str) -> None:
    """What the server refuses, and what cannot be, is an error of the one table."""
    with pytest.raises(kind, match=words):
        against(TensorFlowServing(), "tfs", work, "/double")


def test_deadline_and_unavailable() -> None:
    """A service that is late or busy gives the errors that are tried again."""
    service = TensorFlowServing()

    def busy(_: Any) -> Any:
        raise GRPCError(Status.UNAVAILABLE, "no FPGA free")

    service.predict = busy
    with pytest.raises(ServerUnavailable, match="no FPGA free"):
        against(service, "brainwave", ask(), "/double")
    service.predict = lambda _: asyncio.get_running_loop().create_future()
    with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
        against(service, "tfs", lambda t: t.infer("double", "", {"x": ROWS}, (), timeout=0.1), "/double")


def test_brainwave(tmp_path: Path) -> None:
    """A service that knows Predict alone: no model in the request, the key of our description, the one output."""
    service = TensorFlowServing(only_predict=True)

    def predict(request: Any) -> Any:
        assert not request.HasField("model_spec")
        assert not request.output_filter
        answer = tfs.PredictResponse()
        answer.outputs["output_alias"].CopyFrom(request.inputs["Placeholder:0"])
        return answer

    service.predict = predict
    (tmp_path / "resnet50").mkdir()
    (tmp_path / "resnet50" / "config.pbtxt").write_text(
        'max_batch_size: 1\ninput [{ name: "Placeholder:0" data_type: TYPE_FP32 dims: [ 4 ] }]\n'
        'output [{ name: "classes" data_type: TYPE_FP32 dims: [ 4 ] }]\n'
    )

    async def work(transport: Any) -> Any:
        assert await transport.ready(20.0)
        assert await transport.models(20.0) == ("resnet50",)
        metadata = await transport.metadata("resnet50", "", 20.0)
        inputs = {metadata.inputs[0].name: ROWS[:1]}
        return metadata, await transport.infer("resnet50", "", inputs, ["classes"], timeout=20.0)

    metadata, outputs = against(service, "brainwave", work, "/resnet50", Connection(descriptions=str(tmp_path)))
    assert metadata.max_batch_size == 1
    assert outputs["classes"].tobytes() == ROWS[:1].tobytes()
    with pytest.raises(ModelContractError, match=r"connection\.descriptions \(not set\)"):
        against(service, "brainwave", lambda transport: transport.metadata("resnet50", "", 20.0), "/resnet50")
    absent = against(service, "brainwave", _ask_elsewhere, "/resnet50")
    assert absent is False


async def _ask_elsewhere(transport: Any) -> bool:
    from evproc.sonic_client.embedded import free_port
    from evproc.sonic_client.transport import open_transport

    other = open_transport(f"brainwave://127.0.0.1:{free_port()}/resnet50")
    try:
        return await other.ready(5.0)
    finally:
        await other.close()


def test_encrypted_with_a_token(tmp_path: Path) -> None:
    """As Brainwave's service has it: TLS and a token, over the same connection."""
    authority = Authority(tmp_path)
    (tmp_path / "token").write_text("abc")
    connection = Connection(roots=authority.roots, token_file=str(tmp_path / "token"))
    tls = authority.server_context("localhost", "h2")
    outputs = against(TensorFlowServing(), "tfss", ask(), "/double", connection, ssl=tls)
    assert outputs["y"].tobytes() == (2 * ROWS).tobytes()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dtype": tfs.DT_FLOAT, "float_val": [1.5, 2.5]}, np.array([1.5, 2.5], "f4")),
        ({"dtype": tfs.DT_FLOAT, "float_val": [1.5]}, np.array([1.5, 1.5], "f4")),
        ({"dtype": tfs.DT_HALF, "half_val": [0x3C00, 0xC000]}, np.array([1.0, -2.0], "f2")),
        ({"dtype": tfs.DT_INT64, "int64_val": [-1, 2]}, np.array([-1, 2], "i8")),
        ({"dtype": tfs.DT_UINT8, "int_val": [1, 255]}, np.array([1, 255], "u1")),
        ({"dtype": tfs.DT_BOOL, "bool_val": [True, False]}, np.array([True, False])),
        ({"dtype": tfs.DT_STRING, "string_val": [b"a", b""]}, np.array([b"a", b""], object)),
    ],
)
def test_values_in_typed_fields(fields: dict[str, Any], expected: np.ndarray) -> None:
    """An answer may carry numbers in place of bytes; the last one stands for all that are missing."""
    answer = tfs.PredictResponse()
    proto = tfs.TensorProto(**fields)
    proto.tensor_shape.dim.add(size=2)
    answer.outputs["y"].CopyFrom(proto)
    y = tfs_messages.predict_answer(answer.SerializeToString())["y"]
    assert (y.dtype, y.tolist()) == (expected.dtype, expected.tolist())


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O"])
def test_every_type_passes_unchanged(dtype: str) -> None:
    """What is written as a request is read back as it was, by protobuf's own classes and by ours."""
    array = np.array([[0, 1], [1, 1]]).astype(dtype) if dtype != "O" else np.array([[b"", b"a"]], object)
    request = tfs.PredictRequest.FromString(tfs_messages.predict_request(None, {"x": array}, ()))
    answer = tfs.PredictResponse()
    answer.outputs["x"].CopyFrom(request.inputs["x"])
    back = tfs_messages.predict_answer(answer.SerializeToString())["x"]
    assert (back.dtype, back.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dtype": tfs.DT_FLOAT, "tensor_content": b"1234567"}, "7 bytes, where shape"),
        ({"dtype": tfs.DT_FLOAT, "float_val": [1, 2, 3]}, "3 values, where shape"),
        ({"dtype": tfs.DT_FLOAT}, "0 values, where shape"),
        ({"dtype": 99}, "its type, number 99"),
    ],
)
def test_answers_that_cannot_be(fields: dict[str, Any], words: str) -> None:
    """A tensor that is not what it says it is, is refused, with its name."""
    proto = tfs.TensorProto(**fields)
    proto.tensor_shape.dim.add(size=2)
    answer = tfs.PredictResponse()
    answer.outputs["y"].CopyFrom(proto)
    with pytest.raises(ValueError, match=f"output 'y': {words}"):
        tfs_messages.predict_answer(answer.SerializeToString())


def test_against_tensorflow_serving_api() -> None:
    """The classes of the package tensorflow-serving-api, where it is installed, read what we write and write what we read.

    In a process of its own, since it brings TensorFlow with it.
    """
    if importlib.util.find_spec("tensorflow_serving") is None:
        pytest.skip("TENSORFLOW-SERVING-API IS NOT INSTALLED: our messages are held against our own .proto alone")
    code = """
import numpy as np
from tensorflow_serving.apis import predict_pb2
from evproc.sonic_client import tfs_messages as ours
x = np.arange(6, dtype="f4").reshape(2, 3)
request = predict_pb2.PredictRequest.FromString(ours.predict_request(ours.model_spec("m", "3"), {"x": x}, ["y"]))
assert (request.model_spec.name, request.model_spec.version.value, list(request.output_filter)) == ("m", 3, ["y"])
answer = predict_pb2.PredictResponse()
answer.outputs["y"].CopyFrom(request.inputs["x"])
y = ours.predict_answer(answer.SerializeToString())["y"]
assert y.dtype == x.dtype and y.tolist() == x.tolist()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
