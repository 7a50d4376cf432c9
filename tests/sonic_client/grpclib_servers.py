"""Servers for tests that speak the protocols of TensorFlow Serving, Brainwave and TRTIS, as published; on grpclib."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from evproc.sonic_client.connection import Connection
from evproc.sonic_client.protos import tfs, trtis
from evproc.sonic_client.transport import Transport, open_transport

T = TypeVar("T")
Call = Callable[[Any], Any]
"""A request's message to an answer's, or an awaitable of it."""


class Service:
    """Calls by their paths; `seen` has the requests."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.calls: dict[str, tuple[Call, Any, Any]] = {}

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: Handler(self._handler(call), Cardinality.UNARY_UNARY, kind, answer)
            for path, (call, kind, answer) in self.calls.items()
        }

    def _handler(self, call: Call) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        async def handle(stream: Stream[Any, Any]) -> None:
            request = await stream.recv_message()
            self.seen.append(request)
            answer = call(request)
            await stream.send_message(await answer if isinstance(answer, Awaitable) else answer)

        return handle


def against(
    service: Service,
    scheme: str,
    work: Callable[[Transport], Awaitable[T]],
    path: str = "",
    connection: Connection | None = None,
    **tls: Any,
) -> T:
    """Do something with a transport to a service."""

    async def main() -> T:
        server = Server([service], codec=ProtoCodec())
        await server.start("127.0.0.1", 0, **tls)
        assert isinstance(server._server, asyncio.Server)
        port = server._server.sockets[0].getsockname()[1]
        transport = open_transport(f"{scheme}://127.0.0.1:{port}{path}", connection=connection or Connection())
        try:
            return await work(transport)
        finally:
            await transport.close()
            server.close()
            await server.wait_closed()

    return asyncio.run(main())


def tensor(array: np.ndarray) -> Any:
    """A TensorProto with its content as bytes, by protobuf alone."""
    kinds = {
        "f4": "DT_FLOAT",
        "f8": "DT_DOUBLE",
        "i8": "DT_INT64",
        "i4": "DT_INT32",
        "u1": "DT_UINT8",
        "u2": "DT_UINT16",
    }
    proto = tfs.TensorProto(dtype=tfs.DataType.Value(kinds[array.dtype.str[1:]]), tensor_content=array.tobytes())
    for extent in array.shape:
        proto.tensor_shape.dim.add(size=extent)
    return proto


class TensorFlowServing(Service):
    """Model `double`: y = 2 x, x: (rows, 4) float32; and z, the sums. With `only_predict`, a Brainwave service."""

    def __init__(self, *, only_predict: bool = False) -> None:
        super().__init__()
        base = "/tensorflow.serving."
        self.predict: Call = self._predict
        self.calls = {
            base + "PredictionService/Predict": (lambda r: self.predict(r), tfs.PredictRequest, tfs.PredictResponse)
        }
        if not only_predict:
            self.calls |= {
                base + "PredictionService/GetModelMetadata": (
                    self._metadata,
                    tfs.GetModelMetadataRequest,
                    tfs.GetModelMetadataResponse,
                ),
                base + "ModelService/GetModelStatus": (
                    self._status,
                    tfs.GetModelStatusRequest,
                    tfs.GetModelStatusResponse,
                ),
            }

    def _known(self, spec: Any) -> None:
        if spec.name != "double" or spec.version.value not in (0, 3):
            raise GRPCError(Status.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")

    def _status(self, request: Any) -> Any:
        self._known(request.model_spec)
        answer = tfs.GetModelStatusResponse()
        answer.model_version_status.add(version=3, state=tfs.ModelVersionStatus.AVAILABLE)
        return answer

    def _metadata(self, request: Any) -> Any:
        self._known(request.model_spec)
        assert list(request.metadata_field) == ["signature_def"]
        signatures = tfs.SignatureDefMap()
        signature = signatures.signature_def["serving_default"]
        for group, name, dims in (("inputs", "x", (-1, 4)), ("outputs", "y", (-1, 4)), ("outputs", "z", (-1,))):
            info = getattr(signature, group)[name]
            info.name, info.dtype = f"{name}:0", tfs.DT_FLOAT
            for extent in dims:
                info.tensor_shape.dim.add(size=extent)
        signatures.signature_def["__saved_model_init_op"].method_name = "init"
        answer = tfs.GetModelMetadataResponse()
        answer.model_spec.version.value = 3
        answer.metadata["signature_def"].Pack(signatures)
        return answer

    def _predict(self, request: Any) -> Any:
        self._known(request.model_spec)
        x = np.frombuffer(request.inputs["x"].tensor_content, "f4")
        x = x.reshape([dim.size for dim in request.inputs["x"].tensor_shape.dim])
        answer = tfs.PredictResponse()
        for name, array in (("y", 2 * x), ("z", x.sum(axis=1))):
            if not request.output_filter or name in request.output_filter:
                answer.outputs[name].CopyFrom(tensor(array))
        return answer


class FaaST(Service):
    """FaaST's FPGA server, as its `server.cc` answers: model `facile`, rows of 32 words of 16 bits, one word out."""

    def __init__(self) -> None:
        super().__init__()
        base = "/nvidia.inferenceserver.GRPCService/"
        self.infer: Call = self._infer
        self.calls = {
            base + "Status": (self._status, trtis.StatusRequest, trtis.StatusResponse),
            base + "Infer": (lambda request: self.infer(request), trtis.InferRequest, trtis.InferResponse),
        }

    def _status(self, request: Any) -> Any:
        answer = trtis.StatusResponse()
        answer.request_status.code = trtis.SUCCESS
        answer.server_status.id = "inference:0"
        config = answer.server_status.model_status["facile"].config
        config.name, config.max_batch_size = "facile", 160000
        config.input.add(name="input", data_type=trtis.TYPE_UINT16, dims=[32])
        config.output.add(name="output/BiasAdd", data_type=trtis.TYPE_UINT16, dims=[1])
        return answer

    def _infer(self, request: Any) -> Any:
        """The sum of a row's words, modulo 2**16; names, identity and shapes as FaaST fills them, and nothing more."""
        rows = np.frombuffer(request.raw_input[0], "<u2").reshape(-1, 32)
        answer = trtis.InferResponse()
        answer.request_status.code = trtis.SUCCESS
        answer.request_status.server_id = "inference:0"
        answer.meta_data.id = request.meta_data.id
        answer.meta_data.model_version = -1
        answer.meta_data.batch_size = len(rows)
        output = answer.meta_data.output.add(name="output/BiasAdd")
        output.raw.dims.append(1)
        output.raw.batch_byte_size = 2 * len(rows)
        answer.raw_output.append(rows.sum(axis=1, dtype="<u2").tobytes())
        return answer
