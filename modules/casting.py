"""Bringing the columns of several blocks to one type, without a silent loss.

A product of a Python module has the type that its values happen to have: a module that returns 0 for most events and 0.5 for
some gives integers in one block and floats in the next. The policy: within a buffer, numbers are promoted as NumPy does, if
every value survives; against a type that is fixed already (declared by the module, or set by the first buffer), they are cast
if every value survives. One rounding is allowed: floats to a float type that the module itself declared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from evproc.framework.column_making import column_from_array, concatenate
from evproc.framework.columns import Array, Column, Flat, Jagged, Nested
from evproc.framework.declared_types import number_type

from .column_types import awkward_type, column_type


class Lossy(TypeError):
    """Values do not fit a type."""


def cast_numbers(values: Array, dtype: np.dtype[Any], *, rounding: bool = False) -> Array:
    """The values in another dtype. Raises Lossy if one of them would change; with `rounding`, floats may be rounded.

    >>> cast_numbers(np.array([1, 2]), np.dtype("float32")).tolist()
    [1.0, 2.0]
    """
    if values.dtype == dtype:
        return values
    source, target = values.dtype.kind, dtype.kind
    if np.can_cast(values.dtype, dtype, "safe") and not (source in "iu" and target == "f"):  # 2**53 + 1 is no float64
        return values.astype(dtype)
    if source == "f" and target == "f":
        with np.errstate(over="ignore"):
            cast = values.astype(dtype)
        if not rounding:
            raise Lossy(f"{values.dtype.name} would be rounded to {dtype.name}")
        if (np.isinf(cast) & ~np.isinf(values)).any():
            raise Lossy(f"a value is too large for {dtype.name}")
        return cast
    if source in "iu" and target in "iuf":
        cast = values.astype(dtype)
        if _survives(values, cast):
            return cast
        raise Lossy(f"a value of {values.dtype.name} does not fit {dtype.name}")
    raise Lossy(f"{values.dtype.name} is no {dtype.name}")


def _survives(before: Array, after: Array) -> bool:
    """Whether integers are the same numbers in their new dtype."""
    if after.dtype.kind == "f":
        exact = 2 ** (np.finfo(after.dtype).nmant + 1)
        return not before.size or (int(before.max()) <= exact and int(before.min()) >= -exact)
    limits = np.iinfo(after.dtype)
    return not before.size or (int(before.max()) <= limits.max and int(before.min()) >= limits.min)


def fit(column: Column, kind: str, *, rounding: bool = False) -> Column:
    """The column as the type `kind`. Raises Lossy if it does not fit."""
    own = column_type(column)
    if own == kind:
        return column
    dtype = number_type(kind)
    if dtype is not None and number_type(own) is not None and _shape(own) == _shape(kind):
        if isinstance(column, Flat):
            return Flat(cast_numbers(column.values, dtype, rounding=rounding))
        if isinstance(column, Jagged):
            column = column.compact()
            return Jagged(column.offsets, cast_numbers(column.content, dtype, rounding=rounding))
    if kind.startswith("?") and number_type(kind[1:]) is not None and _maybe_number(own):
        return _with_gaps(column, np.dtype(kind[1:]), rounding)
    return _enforce(column, own, kind, rounding)


def _maybe_number(kind: str) -> bool:
    """Whether a type is one number per event, which may be missing."""
    return kind == "?unknown" or (" " not in kind and number_type(kind.removeprefix("?")) is not None)


def _with_gaps(column: Column, dtype: np.dtype[Any], rounding: bool) -> Column:
    """A column of numbers that may be missing, as another dtype. Raises Lossy."""
    import awkward as ak

    array = ak.Array(column.array())
    missing = ak.to_numpy(ak.is_none(array))
    index = np.where(missing, -1, np.cumsum(~missing) - 1)
    there = ak.to_numpy(ak.drop_none(array)) if not missing.all() else np.empty(0, dtype)
    cast: Any = cast_numbers(np.asarray(there), dtype, rounding=rounding)
    content = ak.contents.NumpyArray(cast)
    return Nested(ak.Array(ak.contents.IndexedOptionArray(ak.index.Index64(index), content)))


def _enforce(column: Column, own: str, kind: str, rounding: bool) -> Column:
    """The column with its lists made what `kind` says, where numbers stay as they are or survive a cast."""
    import awkward as ak

    array = ak.Array(column.array())
    dtype = number_type(kind)
    try:
        if dtype is not None and number_type(own) is not None:
            cast_numbers(ak.to_numpy(ak.ravel(array)), dtype, rounding=rounding)
        elif _words(own) - {"unknown"} - _words(kind):
            raise Lossy(f"{own} is no {kind}")
        fitted = column_from_array(ak.enforce_type(array, awkward_type(kind)))
    except Lossy:
        raise
    except (TypeError, ValueError) as error:
        raise Lossy(f"{own} is no {kind}") from error
    if column_type(fitted) != kind:
        raise Lossy(f"{own} is no {kind}")
    return fitted


def _words(kind: str) -> set[str]:
    """The kinds of values, and the names of fields, in a type."""
    return {word for word in re.findall(r"\w+", kind) if not word.isdigit() and word not in ("var", "option")}


def _shape(kind: str) -> str:
    return kind.rpartition(" * ")[0]


def _signature(column: Column) -> object:
    """What columns of one type have in common; cheaper than `column_type`."""
    if isinstance(column, Flat):
        return (0, column.values.dtype, column.values.shape[1:])
    if isinstance(column, Jagged):
        return (1, column.content.dtype, column.content.shape[1:])
    return column_type(column)


def join(pieces: Sequence[Column]) -> Column:
    """The columns of consecutive events as one, numbers promoted where they differ. Raises Lossy."""
    if len(pieces) == 1:
        return pieces[0]
    if len({_signature(piece) for piece in pieces}) > 1:
        kinds = list(dict.fromkeys(column_type(piece) for piece in pieces))
        dtypes = [number_type(kind) for kind in kinds]
        known = [dtype for dtype in dtypes if dtype is not None]
        shapes = {_shape(kind) for kind in kinds}
        if len(known) == len(kinds) and len(shapes) == 1:
            shape = shapes.pop()
            common = np.result_type(*known).name
            pieces = [fit(piece, f"{shape} * {common}" if shape else common) for piece in pieces]
        elif all(_maybe_number(kind) for kind in kinds):
            numbers = [dtype for kind in kinds if (dtype := number_type(kind.removeprefix("?"))) is not None]
            common = np.result_type(*numbers).name if numbers else "float64"
            pieces = [fit(piece, f"?{common}") for piece in pieces]
        elif not all("unknown" in kind or kind.startswith("var") for kind in kinds):
            raise Lossy(f"values of the types {' and '.join(kinds)} make no column")
    return concatenate(pieces)
