"""The fake server's service, on grpclib: sockets, calls and waiting. What it is and does is said in `fake`."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from heapq import heapreplace
from socket import socket
from typing import TypeAlias

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from .bytes_codec import spare_frame_texts
from .fake import FakeModel, FakeServer, Received
from .fake_connection import FakeConnection, Listener, hold
from .fake_faults import Crash, Delay, Fault, GoAway, HalfOpen, Never, Refuse, Truncated, Twice, WrongAnswer
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
Call: TypeAlias = Stream[bytes, bytes]


class FakeService:
    """The calls of KServe v2, for one fake server."""

    def __init__(self, fake: FakeServer) -> None:
        self.fake = fake
        self.listener: Listener | None = None
        self.crashed: list[Listener] = []
        self.held: socket | None = None
        self.busy_until = [0.0] * fake.instances  # a heap, in the loop's time: when the work of each instance is done
        self.counts: dict[str, list[float]] = {}  # model -> rows, requests, failures, queue s, compute s
        spare_frame_texts()

    def hold(self, port: int) -> int:
        """Refuse connections at a port of 127.0.0.1 (0: a free one) that stays ours; return it."""
        self.release()
        self.held = hold(port)
        number: int = self.held.getsockname()[1]
        return number

    def release(self) -> None:
        """Let the port go that was held."""
        if self.held is not None:
            self.held.close()
            self.held = None

    async def listen(self, port: int) -> int:
        """Listen on a port of 127.0.0.1 (0: a free one), and return it."""
        await self.stop(keep=True)
        if self.held is None:
            port = self.hold(port)
        self.listener = Listener(self, self.fake.connected)
        held, self.held = self.held, None
        await self.listener.start(sock=held, ssl=self.fake.ssl)
        return port

    async def stop(self, *, keep: bool = False) -> None:
        """Stop listening and drop all connections."""
        if not keep:
            self.release()
        if self.listener is not None:
            self.listener.drop()
            self.crashed.append(self.listener)
            self.listener = None
        while self.crashed:
            await self.crashed.pop().wait_closed()

    def crash(self) -> None:
        """Drop all connections, and refuse new ones, now."""
        if self.listener is not None:
            self.listener.drop()
            self.crashed.append(self.listener)
            self.listener = None
            self.hold(self.fake.port)

    async def go_away(self) -> None:
        """Give up all connections."""
        for connection in self.listener.connections if self.listener is not None else []:
            connection.go_away()

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
            "RepositoryModelLoad": self.repository_load,
            "RepositoryModelUnload": self.repository_unload,
        }
        calls = {name: self._answering(method) for name, method in methods.items()}
        calls["ModelInfer"] = self.model_infer
        return {SERVICE + name: Handler(call, Cardinality.UNARY_UNARY, bytes, bytes) for name, call in calls.items()}

    def _answering(self, method: Method) -> Callable[[Call], Awaitable[None]]:
        async def answer(call: Call) -> None:
            data = await _message(call)
            fault = self.fake.condition_now()
            await self._suffer(fault, call)
            if isinstance(fault, Delay):
                await asyncio.sleep(fault.seconds)
            await call.send_message(await method(data))

        return answer

    async def server_live(self, data: bytes) -> bytes:
        """It is alive."""
        return bytes(messages.ServerLiveResponse(live=True).SerializeToString())

    async def server_ready(self, data: bytes) -> bytes:
        """Whether it is ready: not for the first times, if so scripted."""
        return bytes(messages.ServerReadyResponse(ready=self.fake.asked_ready()).SerializeToString())

    async def model_ready(self, data: bytes) -> bytes:
        """Whether it has a model."""
        name = messages.ModelReadyRequest.FromString(data).name
        return bytes(messages.ModelReadyResponse(ready=name in self.fake.loaded).SerializeToString())

    async def model_metadata(self, data: bytes) -> bytes:
        """The tensors of a model."""
        return bytes(describe(self._model(messages.ModelMetadataRequest.FromString(data).name)).SerializeToString())

    async def model_config(self, data: bytes) -> bytes:
        """The configuration of a model."""
        return bytes(configure(self._model(messages.ModelConfigRequest.FromString(data).name)).SerializeToString())

    async def repository_index(self, data: bytes) -> bytes:
        """The models."""
        answer = messages.RepositoryIndexResponse()
        for name, model in self.fake.models.items():
            state = "READY" if name in self.fake.loaded else "UNAVAILABLE"
            answer.models.add(name=name, version=model.version, state=state)
        return bytes(answer.SerializeToString())

    async def repository_load(self, data: bytes) -> bytes:
        """Make a model ready."""
        name = messages.RepositoryModelLoadRequest.FromString(data).model_name
        self.fake.repository_calls.append(("load", name))
        if name not in self.fake.models:
            raise GRPCError(Status.INVALID_ARGUMENT, f"failed to load '{name}', failed to poll from model repository")
        self.fake.loaded.add(name)
        return b""

    async def repository_unload(self, data: bytes) -> bytes:
        """Make a model not ready."""
        name = messages.RepositoryModelUnloadRequest.FromString(data).model_name
        self.fake.repository_calls.append(("unload", name))
        self.fake.loaded.discard(name)
        return b""

    async def model_statistics(self, data: bytes) -> bytes:
        """The counts of a model."""
        found = self._model(messages.ModelStatisticsRequest.FromString(data).name)
        rows, requests, failures, queue, compute = self._counts(found)
        answer = messages.ModelStatisticsResponse()
        model = answer.model_stats.add(
            name=found.name, version=found.version, inference_count=int(rows), execution_count=int(requests)
        )
        model.inference_stats.success.count = int(requests)
        model.inference_stats.fail.count = int(failures)
        model.inference_stats.queue.ns = int(queue * 1e9)
        model.inference_stats.compute_infer.ns = int(compute * 1e9)
        return bytes(answer.SerializeToString())

    async def model_infer(self, call: Call) -> None:
        """Compute, with the fault that the script has for this request."""
        data = await _message(call)
        try:
            request = read_request(data)
        except ValueError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        model = self._model(request.model, request.version)
        received = Received(
            model=request.model,
            version=request.version,
            request_id=request.request_id,
            rows=rows_of(model, request),
            bytes=input_bytes(request),
            inputs=request.inputs if self.fake.keep_inputs else {},
            headers={name: value for name, value in (call.metadata or {}).items() if isinstance(value, str)},
            deadline=call.deadline.time_remaining() if call.deadline is not None else None,
        )
        self.fake.arrived(received)
        outcome = "cancelled"
        try:
            await self._suffer(received.fault, call)
            answer = await self._infer(model, request, received)
            await call.send_message(answer)
            if isinstance(received.fault, Twice):
                await call._stream.send_data(struct.pack(">?I", False, len(answer)) + answer)
            outcome = "answered"
        except GRPCError:
            outcome = "refused"
            self._counts(model)[2] += 1
            raise
        finally:
            self.fake.left(received, outcome)

    async def _infer(self, model: FakeModel, request: InferRequest, received: Received) -> bytes:
        fault = received.fault
        if words := check_request(model, request):
            raise GRPCError(Status.INVALID_ARGUMENT, words)
        loop = asyncio.get_running_loop()
        arrival = loop.time()
        begin = max(arrival, self.busy_until[0])
        computed = begin + model.busy(received.rows)
        heapreplace(self.busy_until, computed)
        try:
            outputs = dict(model.function(request.inputs))
        except Exception as error:
            raise GRPCError(
                Status.INTERNAL, f"Failed to process the request(s) for model '{model.name}', message: {error!r}"
            ) from error
        done = computed + model.delay(self.fake.lots) + (fault.seconds if isinstance(fault, Delay) else 0.0)
        await _sleep_until(done)
        counts = self._counts(model)
        for place, value in enumerate((received.rows, 1, 0, begin - arrival, model.busy(received.rows))):
            counts[place] += value
        if isinstance(fault, WrongAnswer):
            outputs = fault.spoil(outputs)
        elif request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return write_answer(request, outputs, model.version, truncated=isinstance(fault, Truncated))

    async def _suffer(self, fault: Fault | None, call: Call) -> None:
        """What happens instead of an answer, if that is the fault."""
        if isinstance(fault, Refuse):
            raise GRPCError(Status[fault.status], fault.words)
        if isinstance(fault, GoAway | HalfOpen):
            connection = self._connection(call)
            if isinstance(fault, HalfOpen):
                connection.silence()
            else:
                number = call._stream.id
                assert number is not None
                connection.go_away(number - 2, drop=fault.drop)  # a client's requests have odd numbers
        if isinstance(fault, Crash):
            self.crash()
        if isinstance(fault, Never | GoAway | HalfOpen | Crash):
            await (
                asyncio.get_running_loop().create_future()
            )  # until the client, or the end of the connection, cancels it

    def _connection(self, call: Call) -> FakeConnection:
        assert self.listener is not None
        return next(found for found in self.listener.connections if found.connection is call._stream.connection)

    def _counts(self, model: FakeModel) -> list[float]:
        return self.counts.setdefault(model.name, [0, 0, 0, 0.0, 0.0])

    def _model(self, name: str, version: str = "") -> FakeModel:
        model = self.fake.models.get(name)
        if model is None:
            raise GRPCError(Status.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        if version not in ("", model.version):
            raise GRPCError(Status.NOT_FOUND, f"Request for unknown model: '{name}' version {version} is not found")
        if name not in self.fake.loaded:
            raise GRPCError(Status.UNAVAILABLE, f"Request for unknown model: '{name}' has no available versions")
        return model


async def _message(call: Call) -> bytes:
    data: bytes | None = await call.recv_message()
    return data if data is not None else b""


async def _sleep_until(moment: float) -> None:
    loop = asyncio.get_running_loop()
    if (remaining := moment - loop.time()) > 0:
        await asyncio.sleep(remaining)
