"""The contract between a producer and its model: tensors by name, type and shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast, overload

import numpy as np

from evproc.framework.columns import Column, Flat, Jagged
from evproc.framework.errors import ModelContractError, did_you_mean
from evproc.framework.handed_out import HandedOut

from .batching import row_bounds
from .tensor_faults import fault_in, same_shape
from .tensors import Array, ModelMetadata, TensorSpec, datatype_of, dtype_of


def parse_spec(name: str, text: str) -> TensorSpec:
    """The tensor that `float32[36]` or `int64[?, 3]` describes: type and shape of one row; `?` is a variable extent.

    Raises ValueError.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\[((?:\s*(?:\?|-1|\d+)\s*(?:,|(?=\])))*)\s*\])?\s*", text)
    if match is None:
        raise ValueError(f"tensor '{name}': '{text}' is no type; a type looks like float32[36]")
    kind, extents = match.groups()
    try:
        dtype = _dtype_named(kind)
    except ValueError as error:
        raise ValueError(f"tensor '{name}': {error}") from None
    parts = [part.strip() for part in (extents or "").split(",") if part.strip()]
    return TensorSpec(name, dtype, tuple(-1 if part in ("?", "-1") else int(part) for part in parts))


def _dtype_named(kind: str) -> np.dtype[Any]:
    """NumPy's type for NumPy's or the server's word. Raises ValueError, with the nearest words."""
    if kind in ("bytes", "str", "string", "object"):
        return np.dtype(object)
    if kind.lower() in ("bfloat16", "bf16"):
        return dtype_of("BF16")
    try:
        dtype = np.dtype(kind)
    except TypeError:
        try:
            return dtype_of(kind)
        except ValueError as error:
            raise ValueError(f"{error}{did_you_mean(kind, _WORDS)}") from None
    datatype_of(dtype)
    return dtype


_WORDS = (
    *(f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)),
    "bool",
    "bytes",
    "bfloat16",
)
"""Words for types, for hints."""


def compare(metadata: ModelMetadata, inputs: Mapping[str, str], outputs: Mapping[str, str], server: str) -> list[str]:
    """What a producer declares, held against what the server says of the model; returns what does not agree."""
    about = f"model '{metadata.name}' on {server}"
    wrong = [f"{about} {metadata.unsupported}"] if metadata.unsupported else []
    for kind, declared, offered in (("input", inputs, metadata.inputs), ("output", outputs, metadata.outputs)):
        if not offered:
            continue  # a configuration that leaves them to the model's file; the server will say
        known = {spec.name: spec for spec in offered}
        for name, text in declared.items():
            try:
                mine = parse_spec(name, text)
            except ValueError as error:
                wrong.append(str(error))
                continue
            theirs = known.get(name)
            if theirs is None:
                hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
                wrong.append(f"{about} has no {kind} '{name}'{hint}")
            elif mine.dtype != theirs.dtype or not same_shape(mine.shape, theirs.shape):
                wrong.append(f"{kind} '{name}' of {about} is {theirs}, not {mine}")
        if kind == "input" and declared:
            missing = [spec.name for spec in offered if spec.name not in declared and not spec.optional]
            wrong.extend(f"{about} needs input '{name}', which the producer does not make" for name in missing)
    return wrong


def gather(work: Sequence[Any], metadata: ModelMetadata) -> tuple[dict[str, Array], Sequence[int]]:
    """The rows of several events as one set of tensors, and the bounds of each event's rows.

    work: for each event, name -> (rows of the event, ...). Returns name -> (rows, ...), perhaps read-only, and bounds
    (events + 1), a range where all events have as many rows. Raises ModelContractError, with the number of the event as
    its `place`.
    """
    tensors: dict[str, Array] = {}
    bounds: Sequence[int] | None = None
    specs = [spec for spec in metadata.inputs if not spec.optional or (work and spec.name in work[0])]
    try:
        sound = set(map(len, work)) <= {len(specs)}
        for spec in specs:
            name = spec.name
            column = work.column_of(name) if isinstance(work, HandedOut) else None
            if column is not None and (rows := _uncut(column)):
                mine, tensors[name] = rows
                sound = sound and (bounds is None or list(mine) == list(bounds))
                sound = sound and _is(tensors[name], spec)
                bounds = mine
                continue
            arrays = [tensor[name] for tensor in work]
            mine, shapes = _bounds_of(arrays)
            sound = sound and (bounds is None or list(mine) == list(bounds))
            sound = sound and all(same_shape(shape[1:], spec.shape) for shape in shapes)
            bounds = mine
            tensors[name] = joined = _joined(arrays, mine[-1], spec)
            sound = sound and joined.dtype == spec.dtype
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        sound = False
    if not sound or bounds is None:
        raise fault_in(work, specs, metadata.name)
    return tensors, bounds


def _uncut(column: Column) -> tuple[Sequence[int], Array] | None:
    """The bounds and the rows of the events of a column of arrays."""
    if isinstance(column, Jagged):
        compact = column.compact()
        return compact.offsets.tolist(), compact.content
    if isinstance(column, Flat) and column.values.ndim > 1 and column.values.shape[1]:
        events, rows, *row = column.values.shape
        return range(0, events * rows + 1, rows), column.values.reshape(events * rows, *row)
    return None


def _is(rows: Array, spec: TensorSpec) -> bool:
    return rows.dtype == spec.dtype and same_shape(rows.shape[1:], spec.shape)


def _bounds_of(arrays: Sequence[Array]) -> tuple[Sequence[int], Iterable[tuple[int, ...]]]:
    """Where the rows of each array begin and end, and the shapes that there are."""
    shapes = [array.shape for array in arrays]
    first = shapes[0]
    if shapes.count(first) == len(shapes) and first[0]:
        return range(0, first[0] * len(shapes) + 1, first[0]), (first,)
    return row_bounds([shape[0] for shape in shapes]), set(shapes)


def _joined(arrays: Sequence[Array], rows: int, spec: TensorSpec) -> Array:
    """The rows of several arrays as one, uncast: (rows, ...). Raises TypeError if one has another type than it should.

    Joining their bytes costs a third of what `np.concatenate` does, where they are bytes and lie in order.
    """
    if len(arrays) == 1:
        return arrays[0]
    if rows and not spec.dtype.hasobject and {array.dtype for array in arrays} == {spec.dtype}:
        try:
            return np.frombuffer(b"".join(cast("Sequence[memoryview]", arrays)), spec.dtype).reshape(
                rows, *arrays[0].shape[1:]
            )
        except (BufferError, TypeError, ValueError):
            pass  # the rows of one do not lie in order
    return np.concatenate(arrays, dtype=spec.dtype, casting="equiv")


def check_answer(
    outputs: Mapping[str, Array], rows: int, metadata: ModelMetadata, server: str, wanted: Sequence[str] = ()
) -> None:
    """Raise ModelContractError if an answer has not just the rows, types and shapes that it should.

    wanted: the outputs that were asked for; all if none is named.
    """
    batched = metadata.max_batch_size > 0
    for spec in metadata.outputs:
        array = outputs.get(spec.name)
        about = f"{server}, model '{metadata.name}': output '{spec.name}'"
        if array is None:
            if not wanted or spec.name in wanted:
                raise ModelContractError(f"{about} is not in the answer, which has {', '.join(outputs) or 'none'}")
            continue
        if batched and (array.ndim == 0 or len(array) != rows):
            raise ModelContractError(f"{about} came with {len(array) if array.ndim else 0} rows for {rows} rows sent")
        if array.dtype != spec.dtype:
            raise ModelContractError(f"{about} came as {array.dtype}, where the model's metadata says {spec.dtype}")
        if not same_shape(array.shape[batched:], spec.shape):
            words = "rows of shape" if batched else "shape"
            raise ModelContractError(f"{about} came with {words} {array.shape[batched:]}, not {spec.shape}")


def empty_outputs(names: Sequence[str], metadata: ModelMetadata) -> dict[str, Array]:
    """The outputs of no rows: name -> (0, ...); of a model without batch dimension, those of nothing: extents 0."""
    rows = (0,) if metadata.max_batch_size else ()
    return {
        spec.name: np.empty((*rows, *(max(0, extent) for extent in spec.shape)), spec.dtype)
        for spec in metadata.outputs
        if not names or spec.name in names
    }


class Answers(Sequence[dict[str, Array]]):
    """The outputs of each event, as views: for each event name -> (rows of the event, ...).

    They are cut one by one as they are gone through, so that what is cut is used while it is in the cache; a slice is not
    cut at all.
    """

    __slots__ = ("_bounds", "_outputs")
    sound = True
    """None of them is an exception; the engine need not look."""

    def __init__(self, outputs: Mapping[str, Array], bounds: Sequence[int]) -> None:
        self._outputs = outputs
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, place: int) -> dict[str, Array]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[dict[str, Array]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Array] | Sequence[dict[str, Array]]:
        if isinstance(place, int):
            number = range(len(self))[place]
            return next(iter(self[number : number + 1]))
        first, last, step = place.indices(len(self))
        if step != 1:
            return list(self)[place]
        return Answers(self._outputs, self._bounds[first : max(first, last) + 1])

    @property
    def named(self) -> tuple[str, Callable[[int, int], Iterable[Array]]] | None:
        """Where there is one output: its name, and what gives that of the events of a range; a sweep then makes the dicts."""
        if len(self._outputs) != 1:
            return None
        ((name, array),) = self._outputs.items()
        return name, lambda first, last: _views(array, self._bounds[first : last + 1])

    def __iter__(self) -> Iterator[dict[str, Array]]:
        pieces = {name: _views(array, self._bounds) for name, array in self._outputs.items()}
        if len(pieces) == 1:
            ((name, views),) = pieces.items()
            return ({name: view} for view in views)
        return (dict(zip(pieces, views, strict=True)) for views in zip(*pieces.values(), strict=True))


def _views(array: Array, bounds: Sequence[int]) -> Iterable[Array]:
    """A view of the rows of each event. Where all have as many rows, NumPy cuts faster than Python does."""
    if isinstance(bounds, range) and len(bounds) > 1:
        rows: Iterable[Array] = array[bounds[0] : bounds[-1]].reshape(len(bounds) - 1, bounds.step, *array.shape[1:])
        return rows
    return [array[first:last] for first, last in pairwise(bounds)]
