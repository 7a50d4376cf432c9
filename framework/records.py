"""Collections as awkward records, with names that `vector` knows.

`columns["Muon"]` is a list of records per event. Where its fields are those of a momentum, the records have the name under
which `vector` keeps what momenta can do: `Momentum4D` (three coordinates and mass or energy), `Momentum3D`, `Momentum2D`. A
name costs nothing and needs no library. What it stands for comes by `columns.vectors("Muon")`, which imports `vector`, or by
`vector.register_awkward()` in the author's own file: then `a + b`, `.mass`, `.deltaR(b)` work. Files hold no such names:
they are taken off when events are written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .columns import Array, Column, Flat, Jagged

_PLANE = (frozenset(("pt", "phi")), frozenset(("px", "py")))
_ALONG = frozenset(("eta", "theta", "pz"))
_TIME = frozenset(("mass", "energy", "E", "M", "m", "e"))


def momentum_name(fields: Collection[str]) -> str | None:
    """The name of records with these fields, if they are momenta.

    >>> momentum_name(["pt", "eta", "phi", "mass", "charge"]), momentum_name(["pt", "phi"]), momentum_name(["pt"])
    ('Momentum4D', 'Momentum2D', None)
    """
    there = frozenset(fields)
    if not any(plane <= there for plane in _PLANE):
        return None
    if not there & _ALONG:
        return "Momentum2D"
    return "Momentum4D" if there & _TIME else "Momentum3D"


def records(columns: Mapping[str, Column]) -> Any:
    """The fields of a collection as an awkward array of records: events * var * {...}, or events * {...}."""
    import awkward as ak

    name = momentum_name(columns.keys())
    parameters = {"__record__": name} if name else None
    if columns and all(isinstance(column, Flat) for column in columns.values()):
        contents = [ak.to_layout(column.array()) for column in columns.values()]
        return ak.Array(ak.contents.RecordArray(contents, list(columns), parameters=parameters))
    offsets = _common_offsets(columns)
    if offsets is None:
        arrays = {field: column.array() for field, column in columns.items()}
        return ak.zip(arrays, depth_limit=2, with_name=name)
    contents = [ak.to_layout(column.compact().content) for column in columns.values() if isinstance(column, Jagged)]
    inner = ak.contents.RecordArray(contents, list(columns), parameters=parameters)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), inner))


def _common_offsets(columns: Mapping[str, Column]) -> Array | None:
    """The offsets, from 0 on, that all columns have; None if they do not."""
    first: Array | None = None
    for column in columns.values():
        if not isinstance(column, Jagged):
            return None
        if first is None:
            first = column.offsets
        elif column.offsets is not first and not np.array_equal(column.offsets - column.offsets[0], first - first[0]):
            return None
    return None if first is None else first - first[0]


def with_vectors(array: Any) -> Any:
    """An array of momenta that can do what `vector` says. Raises TypeError if it holds none."""
    import awkward as ak

    try:
        from vector.backends.awkward import behavior
    except ImportError as error:
        raise ModuleNotFoundError(f"momenta need vector ({error}); install evproc[vector]") from error
    array = ak.Array(array)
    if momentum_name(array.fields) is None and not str(ak.parameters(_records_of(array)).get("__record__", "")):
        fields = f"its fields are {', '.join(array.fields)}" if array.fields else "it has no fields"
        raise TypeError(f"no momentum: {fields}; one has pt and phi, or px and py, and more")
    return ak.Array(array.layout, behavior={**behavior, **(array.behavior or {})})


def _records_of(array: Any) -> Any:
    """The records within lists."""
    layout = array.layout
    while not layout.is_record and hasattr(layout, "content"):
        layout = layout.content
    return layout


def unnamed(array: Any) -> Any:
    """An awkward array whose records have no names, at any depth."""
    import awkward as ak

    def plain(layout: Any, **_: Any) -> Any:
        if not layout.is_record:
            return None
        contents = [ak.to_layout(unnamed(ak.Array(content))) for content in layout.contents]
        fields = None if layout.is_tuple else layout.fields
        return ak.contents.RecordArray(contents, fields, length=layout.length)

    return ak.transform(plain, array, behavior={}) if "__record__" in str(array.layout.form) else array
