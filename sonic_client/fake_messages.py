"""The server's side of the KServe v2 messages, for the fake server: requests to arrays, arrays and models to
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from .messages import service as messages
from .tensors import Array, datatype_of, dtype_of, from_wire, to_wire
from .wire_fields import message_fields, varint

if TYPE_CHECKING:
    from .fake_model import FakeModel

_RAW_INPUT = 7
_RAW_OUTPUT = b"\x32"  # field 6, bytes, of an answer


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request as it came."""

    model: str
    version: str
    request_id: str
    inputs: dict[str, Array]
    outputs: tuple[str, ...]
    """The outputs asked for; empty: all."""


def read_request(data: bytes) -> InferRequest:
    """From the bytes of a ModelInferRequest. Raises ValueError for one that makes no sense."""
    header: list[memoryview] = []
    raw: list[memoryview] = []
    for field, whole, content in message_fields(memoryview(data)):
        if field == _RAW_INPUT:
            raw.append(content)
        else:
            header.append(whole)
    request = messages.ModelInferRequest.FromString(b"".join(header))
    if len(raw) != len(request.inputs):
        raise ValueError(f"{len(request.inputs)} inputs are described, and the bytes of {len(raw)} came")
    inputs = {
        tensor.name: from_wire(content, dtype_of(tensor.datatype), tuple(tensor.shape))
        for tensor, content in zip(request.inputs, raw, strict=True)
    }
    wanted = tuple(output.name for output in request.outputs)
    return InferRequest(request.model_name, request.model_version, request.id, inputs, wanted)


def write_answer(
    request: InferRequest, outputs: Mapping[str, Array], version: str, *, truncated: bool = False
) -> bytes:
    """The bytes of a ModelInferResponse."""
    answer = messages.ModelInferResponse(model_name=request.model, model_version=version, id=request.request_id)
    parts: list[bytes | memoryview] = []
    for name, array in outputs.items():
        answer.outputs.add(name=name, datatype=datatype_of(array.dtype), shape=array.shape)
        content = to_wire(array)
        content = content[:-1] if truncated else content
        parts += (_RAW_OUTPUT, varint(len(content)), content)
    return b"".join([answer.SerializeToString(), *parts])


def check_request(model: FakeModel, request: InferRequest) -> str:
    """What is wrong with a request, in words like Triton's; empty if nothing is."""
    batched = model.max_batch_size > 0
    known = {spec.name: spec for spec in model.inputs}
    for name in request.inputs:
        if name not in known:
            return f"unexpected inference input '{name}' for model '{model.name}'"
    rows: set[int] = set()
    for name, spec in known.items():
        if (array := request.inputs.get(name)) is None:
            if spec.optional:
                continue
            return f"expected {len(known)} inputs but got {len(request.inputs)} for model '{model.name}': no '{name}'"
        if array.dtype != spec.dtype:
            ours, theirs = datatype_of(spec.dtype), datatype_of(array.dtype)
            return f"inference input '{name}' data-type is '{theirs}', but model '{model.name}' expects '{ours}'"
        extents = array.shape[batched:]
        if len(array.shape) != len(spec.shape) + batched or any(
            there not in (-1, here) for here, there in zip(extents, spec.shape, strict=True)
        ):
            shape = [-1] * batched + list(spec.shape)
            return f"unexpected shape for input '{name}' for model '{model.name}'. Expected {shape}, got {array.shape}"
        rows.update(array.shape[:batched])
    if len(rows) > 1:
        return f"inputs of model '{model.name}' have different numbers of rows: {sorted(rows)}"
    if batched and max(rows, default=0) > model.max_batch_size:
        return f"inference request batch-size must be <= {model.max_batch_size} for '{model.name}'"
    outputs = {spec.name for spec in model.outputs}
    for name in request.outputs:
        if name not in outputs:
            return f"unexpected inference output '{name}' for model '{model.name}'"
    return ""


def rows_of(model: FakeModel, request: InferRequest) -> int:
    """The number of rows of a request; 1 for a model without batch dimension."""
    if model.max_batch_size == 0:
        return 1
    return max((array.shape[0] for array in request.inputs.values()), default=0)


def describe(model: FakeModel) -> Any:
    """The ModelMetadataResponse of a model."""
    batch = [-1] * (model.max_batch_size > 0)
    answer = messages.ModelMetadataResponse(name=model.name, versions=[model.version], platform="fake")
    for specs, tensors in ((model.inputs, answer.inputs), (model.outputs, answer.outputs)):
        for spec in specs:
            tensors.add(name=spec.name, datatype=datatype_of(spec.dtype), shape=[*batch, *spec.shape])
    return answer


def configure(model: FakeModel) -> Any:
    """The ModelConfigResponse of a model."""
    answer = messages.ModelConfigResponse()
    config = answer.config
    config.name, config.backend, config.max_batch_size = model.name, "fake", model.max_batch_size
    for spec in model.inputs:
        config.input.add(name=spec.name, dims=spec.shape, optional=spec.optional)
    for spec in model.outputs:
        config.output.add(name=spec.name, dims=spec.shape)
    return answer


def input_bytes(request: InferRequest) -> int:
    """The size of a request's tensors, in bytes (of BYTES tensors: of their references)."""
    return sum(prod(array.shape) * array.itemsize for array in request.inputs.values())
