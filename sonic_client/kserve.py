"""Messages of the KServe v2 protocol (gRPC), from arrays and to arrays.

The problem: a request of 602 kB handed to protobuf is copied three times before it reaches the socket, and
an answer three times after it left it. So the two messages that carry tensors are put together and taken
apart here.

The policy: a message of protobuf is a row of fields, each a tag and a length before its bytes, and two
messages written one after the other read as their union (protobuf, "Encoding"). All that is small (names,
types, shapes) is written and read by protobuf, and kept: requests differ in their number of rows and in
little else. The raw bytes of the tensors are fields of the outermost level, so that they are appended in
one join, and found by walking over a handful of fields.

The cost: one copy of the tensors' bytes in each direction. This knows two field numbers by heart
(`raw_input_contents`, `raw_output_contents`), which can never change without a new protocol; a test holds
both against protobuf's own reading.

Everything else (metadata, configuration, statistics, index) is plain protobuf, from tritonclient's
`service_pb2`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .messages import service as messages
from .model_config import stated_digests, unsupported
from .tensors import (
    Array,
    ModelMetadata,
    ModelStatistics,
    Tensor,
    TensorSpec,
    datatype_of,
    dtype_of,
    from_wire,
    time_in_queues,
    wire_parts,
)
from .wire_fields import message_fields, varint

SERVICE = "/inference.GRPCInferenceService/"

_ID = b"\x1a"  # field 3, bytes, of a request
_RAW_INPUT = b"\x3a"  # field 7, bytes, of a request
_ANSWER_ID = 3
_RAW_OUTPUT = 6
_SMALL = 4096  # bytes of an answer that is read whole
_KEPT_HEADER = 4096  # bytes; longer ones carry tensors in their typed form and are not worth keeping

Described = tuple[str, str, tuple[int, ...]]
"""Name, KServe's word for the type, and shape of one tensor."""


def infer_request(
    model: str,
    version: str,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    request_id: str = "",
    priority: int = 0,
) -> bytes:
    """The bytes of a ModelInferRequest. Raises ValueError for an array that no server can take."""
    described: list[Described] = []
    raw: list[list[bytes | memoryview]] = []
    for name, tensor in inputs.items():
        try:
            described.append((name, datatype_of(tensor.dtype), tensor.shape))
            raw.append(wire_parts(tensor))
        except ValueError as error:
            raise ValueError(f"input '{name}': {error}") from None
    parts: list[bytes | memoryview] = [_request_header(model, version, tuple(described), tuple(outputs), priority)]
    if request_id:
        word = request_id.encode()
        parts += (_ID, varint(len(word)), word)
    for data in raw:
        parts += (_RAW_INPUT, varint(sum(map(len, data))), *data)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _request_header(
    model: str, version: str, inputs: tuple[Described, ...], outputs: tuple[str, ...], priority: int
) -> bytes:
    request = messages.ModelInferRequest(model_name=model, model_version=version)
    if priority:
        request.parameters["priority"].uint64_param = priority
    for name, datatype, shape in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in outputs:
        request.outputs.add(name=name)
    header: bytes = request.SerializeToString()
    return header


Placed = tuple[int, int]
"""At which byte of a region of shared memory a tensor begins, and how many bytes it has."""


def shared_request(
    model: str,
    version: str,
    region: str,
    inputs: tuple[tuple[Described, Placed], ...],
    outputs: tuple[tuple[str, Placed | None], ...],
    request_id: str = "",
    priority: int = 0,
) -> bytes:
    """The bytes of a ModelInferRequest whose tensors lie in a region of shared memory.

    inputs: what each tensor is, and its place. outputs: names, and where the server is to put them; None: it sends them.
    """
    header = _shared_header(model, version, region, inputs, outputs, priority)
    word = request_id.encode()
    return b"".join([header, _ID, varint(len(word)), word]) if word else header


@lru_cache(maxsize=1024)
def _shared_header(
    model: str,
    version: str,
    region: str,
    inputs: tuple[tuple[Described, Placed], ...],
    outputs: tuple[tuple[str, Placed | None], ...],
    priority: int,
) -> bytes:
    request = messages.ModelInferRequest(model_name=model, model_version=version)
    if priority:
        request.parameters["priority"].uint64_param = priority
    for (name, datatype, shape), place in inputs:
        _place(request.inputs.add(name=name, datatype=datatype, shape=shape), region, place)
    for name, wanted in outputs:
        output = request.outputs.add(name=name)
        if wanted is not None:
            _place(output, region, wanted)
    header: bytes = request.SerializeToString()
    return header


def _place(tensor: Any, region: str, place: Placed) -> None:
    offset, nbytes = place
    tensor.parameters["shared_memory_region"].string_param = region
    tensor.parameters["shared_memory_byte_size"].int64_param = nbytes
    if offset:
        tensor.parameters["shared_memory_offset"].int64_param = offset


class Answer(dict[str, Array]):
    """Outputs by name, and the version of the model that the server names in its answer."""

    version = ""


def infer_answer(
    data: bytes, wanted: Sequence[str] = (), shared: Mapping[str, memoryview] | None = None
) -> dict[str, Array]:
    """The wanted outputs (all, if none is named) of the bytes of a ModelInferResponse, by name.

    `shared` are the places that the server was offered in shared memory; outputs that come without bytes are read there.
    Raises ValueError if one is missing, or if its bytes are not what its type and shape say.
    """
    described, version, raw, head = _read_small(data) if len(data) <= _SMALL else _read_large(data)
    if raw and len(raw) != len(described):
        raise ValueError(f"{len(described)} outputs are described, and the bytes of {len(raw)} came")
    if not raw:
        _check_came(described, wanted)
        return _typed_outputs(head, wanted)
    answer = Answer()
    answer.version = version
    for number, (name, datatype, shape) in enumerate(described):
        content = raw[number]
        if shared and not content and name in shared:
            content = _part(name, datatype, shape, shared[name])
        if not wanted or name in wanted:
            try:
                answer[name] = from_wire(content, dtype_of(datatype), shape)
            except ValueError as error:
                raise ValueError(f"output '{name}': {error}") from None
    if len(answer) < len(wanted):
        _check_came(described, wanted)
    return answer


def _check_came(described: Sequence[Described], wanted: Sequence[str]) -> None:
    """Raise ValueError if an output that was asked for is not described."""
    names = [name for name, _, _ in described]
    missing = [name for name in wanted if name not in names]
    if missing:
        came = ", ".join(names) or "none"
        raise ValueError(f"output '{missing[0]}' was asked for and did not come (came: {came})")


_Read = tuple[tuple[Described, ...], str, Sequence[bytes | memoryview], bytes]
"""Of an answer: what its outputs are, the version of the model, the raw bytes of each output, and all but these."""


def _read_small(data: bytes) -> _Read:
    """An answer as protobuf reads it: where it is small, that takes a third of the time."""
    answer = _parsed(data)
    return _outputs_of(answer), answer.model_version, answer.raw_output_contents, data


def _read_large(data: bytes) -> _Read:
    """An answer whose tensors' bytes are not copied; what describes them is kept."""
    header: list[memoryview] = []
    raw: list[memoryview] = []
    for field, whole, content in message_fields(memoryview(data)):
        if field == _RAW_OUTPUT:
            raw.append(content)
        elif field != _ANSWER_ID:
            header.append(whole)
    head = b"".join(header)
    described, version = _described(head) if not raw and len(head) > _KEPT_HEADER else _answer_header(head)
    return described, version, raw, head


def _part(name: str, datatype: str, shape: tuple[int, ...], place: memoryview) -> memoryview:
    """The bytes of an output in its place in shared memory."""
    nbytes = prod(shape) * dtype_of(datatype).itemsize
    if nbytes > len(place):
        raise ValueError(f"output '{name}': it has {nbytes} bytes, and its place in shared memory {len(place)}")
    return place[:nbytes]


def _parsed(data: bytes) -> Any:
    try:
        return messages.ModelInferResponse.FromString(data)
    except Exception as error:
        raise ValueError(f"the answer is not a ModelInferResponse: {error}") from error


def _outputs_of(answer: Any) -> tuple[Described, ...]:
    return tuple([(output.name, output.datatype, tuple(output.shape)) for output in answer.outputs])


def _described(head: bytes) -> tuple[tuple[Described, ...], str]:
    answer = _parsed(head)
    return _outputs_of(answer), answer.model_version


_answer_header = lru_cache(maxsize=1024)(_described)


_TYPED = {
    "BOOL": "bool_contents",
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
}


def _typed_outputs(head: bytes, wanted: Sequence[str]) -> dict[str, Array]:
    """Outputs in the typed form that the protocol allows beside the raw one; Triton does not send it, others do."""
    answer = {}
    for output in messages.ModelInferResponse.FromString(head).outputs:
        if wanted and output.name not in wanted:
            continue
        shape = tuple(output.shape)
        values = getattr(output.contents, _TYPED.get(output.datatype, ""), ())
        if len(values) != prod(shape) or any(extent < 0 for extent in shape):
            raise ValueError(f"output '{output.name}': {len(values)} values came for shape {shape}")
        array = np.empty(len(values), dtype_of(output.datatype))
        array[:] = values
        answer[output.name] = array.reshape(shape)
    return answer


def model_metadata(metadata: Any, config: Any) -> ModelMetadata:
    """From a ModelMetadataResponse and the ModelConfig of the same model. Raises ValueError for an unknown type."""
    batched = config.max_batch_size > 0
    optional = {tensor.name for tensor in config.input if tensor.optional}

    def specs(tensors: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(tensor.name, dtype_of(tensor.datatype), tuple(tensor.shape)[batched:], tensor.name in optional)
            for tensor in tensors
        )

    return ModelMetadata(
        name=metadata.name,
        versions=tuple(metadata.versions),
        platform=config.backend or config.platform or metadata.platform,
        max_batch_size=config.max_batch_size,
        inputs=specs(metadata.inputs),
        outputs=specs(metadata.outputs),
        unsupported=unsupported(config),
        digests=stated_digests(config),
    )


def model_statistics(model: str, answer: Any) -> ModelStatistics:
    """From a ModelStatisticsResponse, summed over the versions of the model. The protocol counts in nanoseconds."""
    rows = executions = requests = failures = queue = compute = 0
    for version in answer.model_stats:
        stats = version.inference_stats
        rows += version.inference_count
        executions += version.execution_count
        requests += stats.success.count
        failures += stats.fail.count
        computing = stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
        queue += time_in_queues(stats.queue.ns, stats.success.ns, computing)
        compute += computing
    return ModelStatistics(model, rows, executions, requests, failures, queue * 1e-9, compute * 1e-9)
