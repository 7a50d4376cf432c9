"""Messages of TensorFlow Serving's Predict, from arrays and to arrays.

As in `kserve`, all that is small is written and read by protobuf, and the bytes of tensors (`tensor_content`, field 4 of a
`TensorProto`) are put between by hand, so that they are copied once. An answer may carry values in typed fields instead
(`float_val` ...), which is how Python servers build them; then the last value stands for all that are missing, as
TensorFlow has it (`tensor.proto`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .protos import tfs as messages
from .tensors import Array, ModelMetadata, TensorSpec, from_wire, to_wire
from .wire_fields import message_fields, varint

UNBOUNDED = 1 << 30
"""The batch size of a model whose server states no limit."""
DEFAULT_SIGNATURE = "serving_default"

_DTYPES = {
    "DT_FLOAT": "<f4",
    "DT_DOUBLE": "<f8",
    "DT_HALF": "<f2",
    "DT_INT8": "i1",
    "DT_INT16": "<i2",
    "DT_INT32": "<i4",
    "DT_INT64": "<i8",
    "DT_UINT8": "u1",
    "DT_UINT16": "<u2",
    "DT_UINT32": "<u4",
    "DT_UINT64": "<u8",
    "DT_BOOL": "?",
    "DT_STRING": "O",
}
_NUMPY_OF = {messages.DataType.Value(name): np.dtype(code) for name, code in _DTYPES.items()}
_NUMBER_OF = {dtype: number for number, dtype in _NUMPY_OF.items()}
_TYPED = {
    **dict.fromkeys(("DT_INT8", "DT_INT16", "DT_INT32", "DT_UINT8", "DT_UINT16"), "int_val"),
    "DT_FLOAT": "float_val",
    "DT_DOUBLE": "double_val",
    "DT_HALF": "half_val",
    "DT_INT64": "int64_val",
    "DT_UINT32": "uint32_val",
    "DT_UINT64": "uint64_val",
    "DT_BOOL": "bool_val",
    "DT_STRING": "string_val",
}

Piece = bytes | memoryview


def _field(number: int, content: Sequence[Piece]) -> list[Piece]:
    """A field of bytes, in pieces."""
    return [bytes([number << 3 | 2]), varint(sum(map(len, content))), *content]


def model_spec(model: str, version: str) -> Any:
    """The ModelSpec of a model; a version that is no number is a label."""
    spec = messages.ModelSpec(name=model)
    if version.isdecimal():
        spec.version.value = int(version)
    elif version:
        spec.version_label = version
    return spec


def predict_request(spec: Any, inputs: Mapping[str, Array], outputs: Sequence[str]) -> bytes:
    """The bytes of a PredictRequest; no `spec` for a server of one model. Raises ValueError for an array it cannot carry."""
    head = messages.PredictRequest(model_spec=spec, output_filter=outputs)
    parts: list[Piece] = [head.SerializeToString()]
    for name, array in inputs.items():
        try:
            tensor = _tensor(array)
        except ValueError as error:
            raise ValueError(f"input '{name}': {error}") from None
        parts += _field(2, [*_field(1, [name.encode()]), *_field(2, tensor)])
    return b"".join(parts)


def _tensor(array: Array) -> list[Piece]:
    """The pieces of a TensorProto."""
    if array.dtype.kind in "OSU":
        strings = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
        if wrong := next((value for value in strings if not isinstance(value, bytes)), None):
            raise ValueError(f"an element of a tensor of strings is {type(wrong).__name__}, not bytes or str")
        head = messages.TensorProto(dtype=messages.DataType.Value("DT_STRING"), string_val=strings)
        return [head.SerializeToString(), *_shape(array.shape)]
    number = _NUMBER_OF.get(array.dtype.newbyteorder("<"))
    if number is None:
        raise ValueError(f"TensorFlow Serving has no tensors of type {array.dtype} here")
    return [_head(number, array.shape), *_field(4, [to_wire(array)])]


@lru_cache(maxsize=1024)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    head: bytes = messages.TensorProto(dtype=number).SerializeToString() + b"".join(_shape(shape))
    return head


def _shape(shape: tuple[int, ...]) -> list[Piece]:
    proto = messages.TensorShapeProto()
    for extent in shape:
        proto.dim.add(size=extent)
    return _field(2, [proto.SerializeToString()])


def predict_answer(data: bytes) -> dict[str, Array]:
    """All outputs of the bytes of a PredictResponse, by name. Raises ValueError for what cannot be."""
    return _tensors(data, 1, "output")


def predict_inputs(data: bytes) -> dict[str, Array]:
    """All inputs of the bytes of a PredictRequest, by name. Raises ValueError for what cannot be."""
    return _tensors(data, 2, "input")


def predict_response(outputs: Mapping[str, Array]) -> bytes:
    """The bytes of a PredictResponse. Raises ValueError for an array it cannot carry."""
    parts: list[Piece] = []
    for name, array in outputs.items():
        parts += _field(1, [*_field(1, [name.encode()]), *_field(2, _tensor(array))])
    return b"".join(parts)


def _tensors(data: bytes, wanted: int, kind: str) -> dict[str, Array]:
    """The entries of a map of tensors, which is the field `wanted`."""
    answer = {}
    for field, _, entry in message_fields(memoryview(data)):
        if field == wanted:
            parts = {number: content for number, _, content in message_fields(entry)}
            name = bytes(parts.get(1, b"")).decode(errors="replace")
            try:
                answer[name] = _array(parts.get(2, memoryview(b"")))
            except ValueError as error:
                raise ValueError(f"{kind} '{name}': {error}") from None
    return answer


def _array(data: memoryview) -> Array:
    head: list[memoryview] = []
    content: memoryview | None = None
    for field, whole, inner in message_fields(data):
        if field == 4:
            content = inner
        else:
            head.append(whole)
    try:
        tensor = messages.TensorProto.FromString(b"".join(head))
    except Exception as error:  # protobuf's DecodeError, of whichever implementation
        raise ValueError(f"it is not a TensorProto: {error}") from error
    dtype = _NUMPY_OF.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"its type, number {tensor.dtype} of TensorFlow, is not known")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(extent < 0 for extent in shape):
        raise ValueError(f"its shape is stated as {shape}")
    if content is not None and dtype.kind != "O":
        return from_wire(content, dtype, shape)
    values = getattr(tensor, _TYPED[messages.DataType.Name(tensor.dtype)])
    total = prod(shape)
    if len(values) > total or (total and not values):
        raise ValueError(f"{len(values)} values, where shape {shape} takes {total}")
    if dtype.name == "float16":
        flat: Array = np.array(values, np.uint16).view(np.float16)
    else:
        flat = np.empty(len(values), dtype)
        flat[:] = list(values)
    if len(flat) < total:
        flat = np.concatenate([flat, np.full(total - len(flat), flat[-1], dtype)])
    return flat.reshape(shape)


def described(model: str, answer: Any) -> ModelMetadata:
    """From a GetModelMetadataResponse. Raises ValueError for one without a signature that can be called.

    If the first extent of every tensor is free, it is the batch dimension; TensorFlow Serving states no limit to it.
    """
    signatures = messages.SignatureDefMap()
    entry = answer.metadata.get("signature_def")
    if entry is not None:
        signatures.ParseFromString(entry.value)
    found = {name: one for name, one in signatures.signature_def.items() if one.inputs and one.outputs}
    signature = found.get(DEFAULT_SIGNATURE) or (next(iter(found.values())) if len(found) == 1 else None)
    if signature is None:
        names = ", ".join(sorted(found)) or "none"
        raise ValueError(f"the model has no signature '{DEFAULT_SIGNATURE}' (it has: {names})")
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    batched = all(len(info.tensor_shape.dim) and info.tensor_shape.dim[0].size == -1 for info in tensors)

    def specs(group: Any) -> tuple[TensorSpec, ...]:
        return tuple(_spec(name, group[name], batched) for name in sorted(group))

    version = str(answer.model_spec.version.value)
    return ModelMetadata(
        model, (version,), "tensorflow", UNBOUNDED if batched else 0, specs(signature.inputs), specs(signature.outputs)
    )


def _spec(name: str, info: Any, batched: bool) -> TensorSpec:
    dtype = _NUMPY_OF.get(info.dtype)
    if dtype is None:
        raise ValueError(f"tensor '{name}': its type, number {info.dtype} of TensorFlow, is not known")
    return TensorSpec(name, dtype, tuple(dim.size for dim in info.tensor_shape.dim)[batched:])
