"""Tensors as a server describes them, and their bytes on the wire.

A server of the KServe v2 protocol (Triton is one) names the type of each tensor by a word (`FP32`, `INT64`,
`BYTES`) and carries its values as raw bytes: little-endian, C order. NumPy says the same with a dtype. One
table joins the two.

- `BYTES` is an object array of `bytes`. `str` is accepted in a request and sent as UTF-8. On the wire each
  element is its length in four bytes, then its bytes (KServe v2, "binary tensor data extension").
- `BF16` is `ml_dtypes.bfloat16`, and needs the package `ml_dtypes`. The other choice, the bare bits in a
  `uint16`, was not taken: nothing would then tell such an array from a `UINT16` one, and a sum over it
  would be a wrong number.
- Big-endian and non-contiguous arrays are copied into the form above; all others are sent without a copy.

An array made from an answer owns its memory, is aligned and may be written to: it never points into the
answer's bytes, whose offset follows the length of a model's name. That copy costs about 0.1 ms for a
megabyte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = npt.NDArray[Any]

_NUMPY_OF: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_KSERVE_OF = {dtype: word for word, dtype in _NUMPY_OF.items()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model, as the server describes it."""

    name: str
    dtype: np.dtype[Any]
    """NumPy's type; `object` for BYTES."""
    shape: tuple[int, ...]
    """Of one row, so without the batch dimension (complete if the model has none); -1 is a variable extent."""
    optional: bool = False
    """Whether a request may leave this input out."""

    def __str__(self) -> str:
        extents = ", ".join("any" if extent < 0 else str(extent) for extent in self.shape)
        return f"{self.name}: ({extents}) {datatype_of(self.dtype)}"


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a server says of one of its models."""

    name: str
    versions: tuple[str, ...]
    """The versions that the server holds, as it names them."""
    platform: str
    """The platform or, where the server says it, the backend: `onnxruntime`, `python`, `ensemble` ..."""
    max_batch_size: int
    """The most rows of a request. 0: the model has no batch dimension, and shapes are complete."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported: str = ""
    """Why its requests cannot be answered one by one, as a half sentence; empty if they can."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """What its configuration says of its files: `ALGORITHM:path` -> hexadecimal digest, as `SHA256:1/model.onnx`."""

    def input(self, name: str) -> TensorSpec:
        """The input of this name. Raises KeyError."""
        return _named(self.inputs, name)

    def output(self, name: str) -> TensorSpec:
        """The output of this name. Raises KeyError."""
        return _named(self.outputs, name)


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What a server counted for a model since it was loaded, over all versions. Times are sums, in seconds."""

    model: str
    rows: int
    """Rows inferred."""
    executions: int
    """Batches computed: less than `requests` where the server joins requests."""
    requests: int
    """Requests answered."""
    failures: int
    """Requests that failed."""
    queue: float
    """Time that requests waited in the server, s."""
    compute: float
    """Time that requests were computed on, moving the tensors included, s."""


def time_in_queues(queue: int, success: int, compute: int) -> int:
    """How long requests waited in the server, of what it counted, in ns.

    An ensemble's own queue is empty: its requests wait in the queues of its steps, and that is what is left of `success`, the
    time that they were in the server.
    """
    return max(queue, success - compute)


def _named(specs: Sequence[TensorSpec], name: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise KeyError(name)


def datatype_of(dtype: np.dtype[Any]) -> str:
    """KServe's word for a NumPy type. Raises ValueError for one that has none (complex, datetime ...)."""
    word = _KSERVE_OF.get(dtype) or _KSERVE_OF.get(dtype.newbyteorder("<"))
    if word is not None:
        return word
    if dtype.kind in "SU":
        return "BYTES"
    if dtype.name == "bfloat16":
        return "BF16"
    raise ValueError(f"no inference server knows tensors of type {dtype}; known are {', '.join(_KNOWN)}")


def dtype_of(datatype: str) -> np.dtype[Any]:
    """NumPy's type for KServe's word. Raises ValueError for an unknown word, or BF16 without `ml_dtypes`."""
    word = datatype.removeprefix("TYPE_").replace("STRING", "BYTES")
    if word in _NUMPY_OF:
        return _NUMPY_OF[word]
    if word == "BF16":
        try:
            from ml_dtypes import bfloat16
        except ImportError:
            raise ValueError("tensors of type BF16 need the package 'ml_dtypes': pip install ml_dtypes") from None
        bf16: np.dtype[Any] = np.dtype(bfloat16)
        return bf16
    raise ValueError(f"tensors of type {datatype!r} are not known; known are {', '.join(_KNOWN)}")


_KNOWN = (*_NUMPY_OF, "BF16")


def wire_size(array: Array) -> int:
    """The bytes that an array takes in a request."""
    if array.dtype.kind not in "OSU":
        return array.nbytes
    return sum(4 + (len(element.encode()) if isinstance(element, str) else len(element)) for element in array.ravel())


def to_wire(array: Array) -> bytes | memoryview:
    """The bytes of an array as a request carries them; a view of the array's own memory where possible."""
    if array.dtype.kind in "OSU":
        return _bytes_to_wire(array)
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and not np.little_endian):
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of several arrays, one behind the other: they travel as one tensor, and need not be one array before."""

    parts: Sequence[Array]
    """Each (rows, ...), of one type and, but for the rows, of one shape; one of them at least."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of all of them."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that they have together."""
        return sum(map(len, self.parts)), *self.parts[0].shape[1:]

    @property
    def nbytes(self) -> int:
        """The bytes of all of them."""
        return sum(part.nbytes for part in self.parts)

    def joined(self) -> Array:
        """One array."""
        return np.concatenate(self.parts)


Tensor = Array | Rows
"""What is sent as one tensor."""


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Each tensor as one array."""
    return {name: tensor.joined() if isinstance(tensor, Rows) else tensor for name, tensor in tensors.items()}


def wire_parts(tensor: Tensor) -> list[bytes | memoryview]:
    """The bytes of a tensor as a request carries them, in pieces to be put one behind the other."""
    return list(map(to_wire, tensor.parts)) if isinstance(tensor, Rows) else [to_wire(tensor)]


def from_wire(data: bytes | memoryview, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    """A new array from the bytes of an answer. Raises ValueError if these do not fill `shape` exactly."""
    if shape and min(shape) < 0:
        raise ValueError(f"its shape is stated as {tuple(shape)}")
    if dtype.kind == "O":
        return _bytes_from_wire(data, tuple(shape))
    wanted = prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise ValueError(f"{len(data)} bytes, where shape {tuple(shape)} of {dtype} takes {wanted}")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _bytes_to_wire(array: Array) -> bytes:
    parts: list[bytes] = []
    for element in array.ravel():
        if isinstance(element, str):
            element = element.encode()
        elif not isinstance(element, bytes):
            raise ValueError(f"an element of a BYTES tensor is {type(element).__name__}, not bytes or str")
        parts += (len(element).to_bytes(4, "little"), element)
    return b"".join(parts)


def _bytes_from_wire(data: bytes | memoryview, shape: tuple[int, ...]) -> Array:
    elements: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        start = position + 4
        position = start + int.from_bytes(data[position:start], "little")
        if position > end:
            raise ValueError("a BYTES tensor ends in the middle of an element")
        elements.append(bytes(data[start:position]))
    if len(elements) != prod(shape):
        raise ValueError(f"{len(elements)} BYTES elements, where shape {shape} takes {prod(shape)}")
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
