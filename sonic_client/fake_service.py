"""The fake server's service, on grpclib: sockets, calls and waiting. What it is and does is said in `fake`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from .bytes_codec import BytesCodec, spare_frame_texts
from .fake import FakeModel, FakeServer, Received
from .fake_faults import Crash, Delay, Fault, HalfOpen, Refuse, Truncated, WrongAnswer
from .fake_messages import (
    InferRequest,
    check_request,
    configure,
    describe,
    input_bytes,
    read_request,
    rows_of,
    write_answer,
)
from .kserve import SERVICE
from .messages import service as messages

Method = Callable[[bytes], Awaitable[bytes]]


class _Listener(Server):
    """A grpclib server that knows its connections, so that they can be dropped."""

    def __init__(self, service: FakeService) -> None:
        super().__init__([service], codec=BytesCodec())
        self.protocols: list[H2Protocol] = []
        self.fake = service.fake

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        self.protocols.append(protocol)
        self.fake.connected()
        return protocol

    @property
    def port(self) -> int:
        assert isinstance(self._server, asyncio.Server)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def drop(self) -> None:
        """Stop listening and cut all connections, at once."""
        self.close()
        for protocol in self.protocols:
            if not protocol.connection.is_closing():
                protocol.connection._transport.abort()


class FakeService:
    """The calls of KServe v2, for one fake server."""

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self.listener: _Listener | None = None
        self.busy_until = 0.0  # in the loop's time: when the work that the server has is done
        self.counts = {
            name: [0, 0, 0, 0.0, 0.0] for name in fake.models
        }  # rows, requests, failures, queue s, compute s
        spare_frame_texts()

    async def listen(self, port: int) -> int:
        """Listen on a port of 127.0.0.1 (0: a free one), and return it."""
        await self.stop()
        self.listener = _Listener(self)
        await self.listener.start("127.0.0.1", port)
        return self.listener.port

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        if self.listener is not None:
            listener, self.listener = self.listener, None
            listener.drop()
            await listener.wait_closed()

    def __mapping__(self) -> dict[str, Handler]:
        """The calls, as grpclib takes them."""
        methods: dict[str, Method] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
            "ModelInfer": self.model_infer,
        }
        return {
            SERVICE + name: Handler(_answering(method), Cardinality.UNARY_UNARY, bytes, bytes)
            for name, method in methods.items()
        }

    async def server_live(self, data: bytes) -> bytes:
        """It is alive."""
        return bytes(messages.ServerLiveResponse(live=True).SerializeToString())

    async def server_ready(self, data: bytes) -> bytes:
        """Whether it is ready: not for the first times, if so scripted."""
        return bytes(messages.ServerReadyResponse(ready=self.fake.asked_ready()).SerializeToString())

    async def model_ready(self, data: bytes) -> bytes:
        """Whether it has a model."""
        name = messages.ModelReadyRequest.FromString(data).name
        return bytes(messages.ModelReadyResponse(ready=name in self.fake.models).SerializeToString())

    async def model_metadata(self, data: bytes) -> bytes:
        """The tensors of a model."""
        return bytes(describe(self._model(messages.ModelMetadataRequest.FromString(data).name)).SerializeToString())

    async def model_config(self, data: bytes) -> bytes:
        """The configuration of a model."""
        return bytes(configure(self._model(messages.ModelConfigRequest.FromString(data).name)).SerializeToString())

    async def repository_index(self, data: bytes) -> bytes:
        """The models."""
        answer = messages.RepositoryIndexResponse()
        for name in self.fake.models:
            answer.models.add(name=name, version="1", state="READY")
        return bytes(answer.SerializeToString())

    async def model_statistics(self, data: bytes) -> bytes:
        """The counts of a model."""
        name = self._model(messages.ModelStatisticsRequest.FromString(data).name).name
        rows, requests, failures, queue, compute = self.counts[name]
        answer = messages.ModelStatisticsResponse()
        model = answer.model_stats.add(name=name, version="1", inference_count=rows, execution_count=requests)
        model.inference_stats.success.count = requests
        model.inference_stats.fail.count = failures
        model.inference_stats.queue.ns = int(queue * 1e9)
        model.inference_stats.compute_infer.ns = int(compute * 1e9)
        return bytes(answer.SerializeToString())

    async def model_infer(self, data: bytes) -> bytes:
        """Compute, with the fault that the script has for this request."""
        try:
            request = read_request(data)
        except ValueError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        model = self._model(request.model)
        received = Received(
            model=request.model,
            version=request.version,
            request_id=request.request_id,
            rows=rows_of(model, request),
            bytes=input_bytes(request),
            inputs=request.inputs if self.fake.keep_inputs else {},
        )
        self.fake.arrived(received)
        outcome = "cancelled"
        try:
            answer = await self._infer(model, request, received)
            outcome = "answered"
        except GRPCError:
            outcome = "refused"
            self.counts[model.name][2] += 1
            raise
        finally:
            self.fake.left(received, outcome)
        return answer

    async def _infer(self, model: FakeModel, request: InferRequest, received: Received) -> bytes:
        fault = received.fault
        await self._suffer(fault)
        if words := check_request(model, request):
            raise GRPCError(Status.INVALID_ARGUMENT, words)
        loop = asyncio.get_running_loop()
        arrival = loop.time()
        begin = max(arrival, self.busy_until)
        self.busy_until = begin + model.busy(received.rows)
        try:
            outputs = dict(model.function(request.inputs))
        except Exception as error:
            raise GRPCError(
                Status.INTERNAL, f"Failed to process the request(s) for model '{model.name}', message: {error!r}"
            ) from error
        done = self.busy_until + model.latency + (fault.seconds if isinstance(fault, Delay) else 0.0)
        await _sleep_until(done)
        counts = self.counts[model.name]
        for place, value in enumerate((received.rows, 1, 0, begin - arrival, model.busy(received.rows))):
            counts[place] += value
        if isinstance(fault, WrongAnswer):
            outputs = fault.spoil(outputs)
        elif request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return write_answer(request, outputs, truncated=isinstance(fault, Truncated))

    async def _suffer(self, fault: Fault | None) -> None:
        if isinstance(fault, Refuse):
            raise GRPCError(Status[fault.status], fault.words)
        if isinstance(fault, HalfOpen):
            await asyncio.get_running_loop().create_future()
        if isinstance(fault, Crash):
            if self.listener is not None:
                self.listener.drop()
            await asyncio.get_running_loop().create_future()  # until the dropped connection cancels it

    def _model(self, name: str) -> FakeModel:
        model = self.fake.models.get(name)
        if model is None:
            raise GRPCError(Status.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return model


def _answering(method: Method) -> Callable[[Stream[bytes, bytes]], Awaitable[None]]:
    async def answer(stream: Stream[bytes, bytes]) -> None:
        data: Any = await stream.recv_message()
        await stream.send_message(await method(data if data is not None else b""))

    return answer


async def _sleep_until(moment: float) -> None:
    loop = asyncio.get_running_loop()
    if (remaining := moment - loop.time()) > 0:
        await asyncio.sleep(remaining)
