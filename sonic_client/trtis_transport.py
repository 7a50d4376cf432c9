# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""The TensorRT Inference Server's protocol of version 1 over grpclib: `trtis://fpga.example.org:5001`.

It is older than KServe v2, and lives on in FaaST, an FPGA server that answers two of its calls, Status and Infer (Rankin
et al. 2020, arXiv:2010.08556; fastmachinelearning/FaaST, `server.cc`). Shapes in its messages have no batch dimension, which
stands apart (`batch_size`); the bytes are those of KServe. Errors come inside an answer that gRPC calls a success, with
codes of their own (`_STATUS`).

FaaST leaves most fields empty: no versions, no type of an output. What is not stated is taken from the configuration that
Status gives. Its tensors are 16-bit words, numbers in fixed point with 32 words to a row: `fixed_point` makes and reads
them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from evproc.framework.errors import InferenceError

from .connection import DEFAULT, Connection
from .grpclib_transport import GrpclibTransport
from .protos import trtis as messages
from .tensors import Array, ModelMetadata, ModelStatistics, Tensor, TensorSpec, arrays_of, dtype_of, from_wire, to_wire
from .transport import contract_error, status_error
from .wire_fields import message_fields, varint

_STATUS = {
    messages.NOT_FOUND: "NOT_FOUND",
    messages.INVALID_ARG: "INVALID_ARGUMENT",
    messages.UNAVAILABLE: "UNAVAILABLE",
    messages.UNSUPPORTED: "UNIMPLEMENTED",
    messages.ALREADY_EXISTS: "ALREADY_EXISTS",
    messages.INTERNAL: "INTERNAL",
}
_RAW_INPUT = b"\x22"  # field 4, bytes, of a request
_META_DATA = b"\x1a"  # field 3, of a request
_ID = b"\x28"  # field 5, a number, of its meta data
_RAW_OUTPUT = 3
_NOT_READY = {messages.SERVER_INITIALIZING, messages.SERVER_EXITING, messages.SERVER_FAILED_TO_INITIALIZE}


class TrtisTransport(GrpclibTransport):
    """TRTIS of version 1."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._known: dict[str, asyncio.Task[ModelMetadata]] = {}
        self._numbers = itertools.count(1)

    def _path(self, method: str) -> str:
        return f"/nvidia.inferenceserver.GRPCService/{method}"

    async def _server(self, model: str, timeout: float) -> Any:
        """The ServerStatus, of one model or (if none is named) of all."""
        request = messages.StatusRequest(model_name=model)
        data = await self._call("Status", request.SerializeToString(), timeout, model)
        try:
            answer = messages.StatusResponse.FromString(data)
        except Exception as error:  # protobuf's DecodeError, of whichever implementation
            raise contract_error(f"the answer to Status cannot be read: {error}", server=self.url) from error
        self._check(answer, model)
        return answer.server_status

    def _check(self, answer: Any, model: str) -> None:
        """Raise the error that an answer is."""
        if answer.HasField("request_status") and answer.request_status.code != messages.SUCCESS:
            status = _STATUS.get(answer.request_status.code, "UNKNOWN")
            raise status_error(status, answer.request_status.msg, server=self.url, model=model)

    async def ready(self, timeout: float) -> bool:
        """Whether the server is there and takes requests. Never raises for one that is not."""
        try:
            return (await self._server("", timeout)).ready_state not in _NOT_READY
        except InferenceError:
            return False

    async def models(self, timeout: float) -> tuple[str, ...]:
        """The models that are ready on the server, by name, sorted."""
        status = await self._server("", timeout)
        return tuple(sorted(name for name, model in status.model_status.items() if _is_ready(model)))

    async def metadata(self, model: str, version: str, timeout: float) -> ModelMetadata:
        """What the server says of a model; an empty version is the latest."""
        status = await self._server(model, timeout)
        if model not in status.model_status:
            raise status_error("NOT_FOUND", f"the server has no model '{model}'", server=self.url, model=model)
        found = status.model_status[model]
        config = found.config
        name = messages.DataType.Name

        def specs(tensors: Any) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(one.name, dtype_of(name(one.data_type)), tuple(one.dims)) for one in tensors)

        try:
            return ModelMetadata(
                name=model,
                versions=tuple(str(number) for number in sorted(found.version_status)) or ("1",),
                platform=config.platform or "trtis",
                max_batch_size=config.max_batch_size,
                inputs=specs(config.input),
                outputs=specs(config.output),
            )
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def statistics(self, model: str, timeout: float) -> ModelStatistics:
        """What the server counted for a model; zeros from one that does not count."""
        rows = executions = requests = failures = queue = compute = 0
        found = (await self._server(model, timeout)).model_status[model]
        for version in found.version_status.values():
            executions += version.model_execution_count
            for size, stats in version.infer_stats.items():
                rows += size * stats.success.count
                requests += stats.success.count
                failures += stats.failed.count
                queue += stats.queue.total_time_ns
                compute += stats.compute.total_time_ns
        return ModelStatistics(model, rows, executions, requests, failures, queue * 1e-9, compute * 1e-9)

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        timeout: float,
        request_id: str = "",
        priority: int = 0,
    ) -> dict[str, Array]:
        """Send one request, and return the outputs asked for (all, if `outputs` is empty), by name."""
        known = await self._of(model, timeout)
        wanted = tuple(outputs) or tuple(spec.name for spec in known.outputs)
        number = next(self._numbers)
        try:
            request = infer_request(known, version, arrays_of(inputs), wanted, number, priority)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error
        data = await self._call("Infer", request, timeout, model)
        raw = [content for field, _, content in self._fields(data, model) if field == _RAW_OUTPUT]
        head = b"".join([whole for field, whole, _ in self._fields(data, model) if field != _RAW_OUTPUT])
        try:
            answer = messages.InferResponse.FromString(head)
        except Exception as error:  # protobuf's DecodeError, of whichever implementation
            raise contract_error(f"the answer cannot be read: {error}", server=self.url, model=model) from error
        self._check(answer, model)
        try:
            return read_outputs(known, answer.meta_data, raw, wanted, number)
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    def _fields(self, data: bytes, model: str) -> list[tuple[int, memoryview, memoryview]]:
        try:
            return list(message_fields(memoryview(data)))
        except ValueError as error:
            raise contract_error(str(error), server=self.url, model=model) from error

    async def _of(self, model: str, timeout: float) -> ModelMetadata:
        """What is known of a model, asked for once; requests that come together wait for one answer."""
        task = self._known.get(model)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._known[model] = asyncio.create_task(self.metadata(model, "", timeout))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Close the connection. Calls under way end with ServerUnavailable."""
        asked, self._known = list(self._known.values()), {}
        await super().close()
        await asyncio.gather(*asked, return_exceptions=True)


def _is_ready(model: Any) -> bool:
    """Whether a version of a model is; one whose versions are not stated is."""
    versions = model.version_status.values()
    return not versions or any(version.ready_state == messages.MODEL_READY for version in versions)


def infer_request(
    known: ModelMetadata,
    version: str,
    inputs: Mapping[str, Array],
    outputs: tuple[str, ...],
    number: int,
    priority: int,
) -> bytes:
    """The bytes of an InferRequest with this number. Raises ValueError for inputs that cannot be sent."""
    batched = known.max_batch_size > 0
    raw = {name: to_wire(array) for name, array in inputs.items()}
    rows = next(iter(inputs.values())).shape[0] if batched and inputs else 1
    described = tuple((name, array.shape[batched:], len(raw[name])) for name, array in inputs.items())
    head = _request_header(known.name, int(version) if version else -1, rows, described, outputs, priority)
    identity = _ID + varint(number)
    parts: list[bytes | memoryview] = [
        head,
        _META_DATA,
        varint(len(identity)),
        identity,
    ]  # joins the meta data of the head
    for data in raw.values():
        parts += (_RAW_INPUT, varint(len(data)), data)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _request_header(
    model: str,
    version: int,
    rows: int,
    inputs: tuple[tuple[str, tuple[int, ...], int], ...],
    outputs: tuple[str, ...],
    priority: int,
) -> bytes:
    request = messages.InferRequest(model_name=model, model_version=version)
    request.meta_data.batch_size = rows
    request.meta_data.priority = priority
    for name, dims, nbytes in inputs:
        request.meta_data.input.add(name=name, dims=dims, batch_byte_size=nbytes)
    for name in outputs:
        request.meta_data.output.add(name=name)
    head: bytes = request.SerializeToString()
    return head


def read_outputs(
    known: ModelMetadata, meta: Any, raw: Sequence[memoryview], wanted: Sequence[str], number: int
) -> dict[str, Array]:
    """The wanted outputs of an answer. Raises ValueError for an answer that cannot be, or to another request."""
    if meta.id and meta.id != number:
        raise ValueError(f"the answer to request {meta.id} came in place of that to request {number}")
    if len(raw) != len(meta.output):
        raise ValueError(f"{len(meta.output)} outputs are described, and the bytes of {len(raw)} came")
    batched = known.max_batch_size > 0
    found: dict[str, Array] = {}
    for output, content in zip(meta.output, raw, strict=True):
        if output.name not in wanted:
            continue
        try:
            stated = messages.DataType.Name(output.data_type) if output.data_type else ""
            dtype = dtype_of(stated) if stated else known.output(output.name).dtype
            dims = tuple(output.raw.dims)
            found[output.name] = from_wire(content, dtype, (meta.batch_size, *dims) if batched else dims)
        except KeyError:
            raise ValueError(f"output '{output.name}': neither the answer nor the model states its type") from None
        except ValueError as error:
            raise ValueError(f"output '{output.name}': {error}") from None
    if missing := [name for name in wanted if name not in found]:
        came = ", ".join(output.name for output in meta.output) or "none"
        raise ValueError(f"output '{missing[0]}' was asked for and did not come (came: {came})")
    return found
