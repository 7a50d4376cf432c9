"""Types of columns, as one line of text: `float32`, `3 * float32`, `var * float32`, `string`, `var * var * int64`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np

from evproc.framework.column_making import column_from_array
from evproc.framework.columns import Column, Flat, Jagged, Nested
from evproc.framework.declared_types import number_type


def as_column(array: Any) -> Column:
    """The column of an array of any kind: NumPy or awkward array, list, or a column already."""
    if isinstance(array, Flat | Jagged | Nested):
        return array
    if isinstance(array, np.ndarray) and array.dtype.kind not in "OUS":
        return Flat(array)
    import awkward as ak

    return column_from_array(array if isinstance(array, ak.Array) else ak.Array(array))


def column_type(column: Column) -> str:
    """The type of the entries of a column."""
    if isinstance(column, Nested):
        import awkward as ak

        return one_line(ak.type(column.data).content)
    values = column.values if isinstance(column, Flat) else column.content
    inner = "".join(f"{length} * " for length in values.shape[1:])
    return f"{'var * ' if isinstance(column, Jagged) else ''}{inner}{values.dtype.name}"


def one_line(kind: Any) -> str:
    """An awkward type in one line."""
    return " ".join(str(kind).split())


@lru_cache(maxsize=4096)
def awkward_type(kind: str) -> Any:
    """The awkward type that a text names. Raises ValueError if it names none.

    awkward's own parser takes 20 ms for each text; so the common types are put together here.
    """
    import awkward as ak

    dtype = number_type(kind)
    if dtype is not None:
        built: Any = ak.types.NumpyType(dtype.name)
        for length in reversed(kind.split(" * ")[:-1]):
            built = ak.types.ListType(built) if length == "var" else ak.types.RegularType(built, int(length))
        return built
    try:
        return ak.types.from_datashape(kind, highlevel=False)
    except Exception as error:
        raise ValueError(f"'{kind}' is not a type") from error


@lru_cache(maxsize=4096)
def normal_type(kind: str) -> str:
    """A declared type as awkward writes it; empty if it is unsaid, or no type.

    >>> normal_type("var*float")
    'var * float64'
    """
    kind = re.sub(r"\s*\*\s*", " * ", kind.strip())
    if not kind or kind == "string":
        return kind
    dtype = number_type(kind)
    if dtype is not None:
        return " * ".join([*kind.split(" * ")[:-1], dtype.name])
    try:
        return one_line(awkward_type(kind))
    except ValueError:
        return ""
