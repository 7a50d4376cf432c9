"""Columns made of what there is: of arrays, of the values of single events, of other columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .columns import Array, Column, Flat, Jagged, Nested, offsets_from_counts

_NUMBERS = "biufcmM"
"""Kinds of dtype that `Flat` and `Jagged` hold."""
_SCALARS = (bool, int, float, complex, np.generic)


def as_column(data: Any) -> Column:
    """The column that is one already, or that of a NumPy or awkward array. Raises TypeError for anything else."""
    return data if isinstance(data, Flat | Jagged | Nested) else column_from_array(data)


def column_from_array(data: Any) -> Column:
    """The column of a NumPy or awkward array whose first axis is the event."""
    if isinstance(data, np.ndarray):
        if data.dtype.hasobject:
            raise TypeError("a NumPy array of Python objects is no column; use numbers or an awkward array")
        if not data.ndim:
            raise TypeError("a single number is no column: it has no entry per event")
        if isinstance(data, np.ma.MaskedArray):
            raise TypeError("a NumPy array with a mask is no column; use an awkward array with missing values")
        return Flat(data)
    import awkward as ak

    if not isinstance(data, ak.Array):
        raise TypeError(f"a column is a NumPy or awkward array, not {type(data).__name__}")
    layout = data.layout
    content = ak.contents
    if isinstance(layout, content.IndexedArray) and layout.parameters == {}:
        layout = layout.project()
    if isinstance(layout, content.NumpyArray):
        return Flat(np.asarray(layout.data))
    if isinstance(layout, content.RegularArray):
        flat = _regular_values(layout)
        return Flat(flat) if flat is not None else Nested(data)
    if isinstance(layout, content.ListArray) and not layout.parameters:
        layout = layout.to_ListOffsetArray64(True)
    if isinstance(layout, content.ListOffsetArray) and not layout.parameters:
        inner = layout.content
        if isinstance(inner, content.IndexedArray) and not inner.parameters:
            inner = inner.project()
        if isinstance(inner, content.EmptyArray):
            inner = inner.to_NumpyArray(np.dtype(np.float64))
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        if isinstance(inner, content.NumpyArray) and not inner.parameters:
            return Jagged(offsets, np.asarray(inner.data))
        if isinstance(inner, content.RegularArray):
            values = _regular_values(inner)
            if values is not None:
                return Jagged(offsets, values)
    return Nested(data)


def _regular_values(layout: Any) -> Array | None:
    """The values of nested fixed-size lists as one NumPy array; None if they hold anything but numbers."""
    import awkward as ak

    inner = layout
    while isinstance(inner, ak.contents.RegularArray):
        if inner.parameters:
            return None
        inner = inner.content
    if not isinstance(inner, ak.contents.NumpyArray) or inner.parameters:
        return None
    return np.asarray(ak.to_numpy(ak.Array(layout), allow_missing=False))


def column_from_events(values: Sequence[Any]) -> Column:
    """The column of what per-event modules put, one value per event.

    Numbers become `Flat`, one-dimensional arrays `Jagged`, everything else goes through awkward.
    Raises TypeError when no column can hold them.
    """
    if not values:
        return Flat(np.empty(0, dtype=np.float64))
    first = values[0]
    if isinstance(first, np.ndarray) and first.ndim:
        if all(isinstance(value, np.ndarray) and value.ndim == first.ndim for value in values):
            try:
                content = _joined(values)
            except ValueError as error:
                raise TypeError(f"arrays of different inner shapes make no column ({error})") from error
            if content.dtype.kind in _NUMBERS:
                return Jagged(offsets_from_counts([len(value) for value in values]), content)
    elif isinstance(first, _SCALARS) and all(isinstance(value, _SCALARS) for value in values):
        flat = np.asarray(values)
        if flat.dtype.kind in _NUMBERS and not (flat.dtype.kind in "fc" and _loses_integers(values)):
            return Flat(flat)
        if flat.dtype.kind not in "SU":
            raise TypeError(f"values of the types {_type_names(values)} make no column without loss")
    elif any(value is None for value in values):
        there = [value for value in values if value is not None]
        if there and all(isinstance(value, _SCALARS) for value in there):
            return _with_gaps(values, column_from_events(there))
    return _column_through_awkward(values)


def _with_gaps(values: Sequence[Any], there: Column) -> Nested:
    """The column of numbers some of which are missing."""
    import awkward as ak

    known = np.array([value is not None for value in values])
    index = np.where(known, np.cumsum(known) - 1, -1)
    content = ak.to_layout(there.array())
    return Nested(ak.Array(ak.contents.IndexedOptionArray(ak.index.Index64(index), content)))


def _joined(arrays: Sequence[Array]) -> Array:
    """The rows of several arrays as one. Arrays without rows have no say in its type, which often is NumPy's default.

    Raises TypeError if a common type would change a number, ValueError if the inner shapes differ.
    """
    if len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    arrays = [array for array in arrays if len(array)] or arrays[:1]
    joined = np.concatenate(arrays)
    if joined.dtype.kind in "fc":
        for array in arrays:
            if array.dtype.kind in "iu" and (int(array.max()) > 2**53 or int(array.min()) < -(2**53)):
                types = ", ".join(sorted({array.dtype.name for array in arrays}))
                raise TypeError(f"arrays of the types {types} make no column without loss")
    return joined


def _loses_integers(values: Iterable[Any]) -> bool:
    """Whether making all values floats would change a large integer among them."""
    return any(isinstance(value, int | np.integer) and abs(int(value)) > 2**53 for value in values)


def _type_names(values: Iterable[Any]) -> str:
    return ", ".join(sorted({type(value).__name__ for value in values}))


def _column_through_awkward(values: Sequence[Any]) -> Column:
    import awkward as ak

    try:
        if all(isinstance(value, ak.Array) and value.ndim for value in values):  # keeps the types of numbers
            return column_from_array(ak.unflatten(ak.concatenate(values), [len(value) for value in values]))
        if all(isinstance(value, ak.Record) for value in values):
            layouts = [value.layout for value in values]
            return column_from_array(ak.concatenate([one.array[one.at : one.at + 1] for one in layouts]))
        return column_from_array(ak.from_iter(values))
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: an integer beyond 64 bits
        raise TypeError(f"values of the types {_type_names(values)} make no column ({error})") from error


def concatenate(columns: Sequence[Column]) -> Column:
    """The columns of consecutive events as one."""
    if len(columns) == 1:
        return columns[0]
    if all(isinstance(column, Flat) for column in columns):
        return Flat(_joined([column.values for column in columns if isinstance(column, Flat)]))
    if all(isinstance(column, Jagged) for column in columns):
        compact = [column.compact() for column in columns if isinstance(column, Jagged)]
        counts = np.concatenate([np.diff(column.offsets) for column in compact])
        return Jagged(offsets_from_counts(counts), _joined([column.content for column in compact]))
    import awkward as ak

    return column_from_array(ak.concatenate([column.array() for column in columns]))
