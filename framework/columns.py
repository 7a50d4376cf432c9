"""Columns: the values of one product for many events.

Three forms cover everything that an ntuple holds:

    Flat      one number (or fixed-size array) per event      values: (events, ...)
    Jagged    a varying number of them per event              offsets: (events + 1,), content: (rows, ...)
    Nested    whatever else awkward can express               records, strings, lists of lists, missing values

A loop over events never touches awkward: one indexing of an awkward array costs 12 us, one slice of a NumPy array 0.1
us. So an awkward array is taken apart once, when it is read, and each event gets a slice of the content. `Objects`
holds what per-event modules put when it is none of the above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import awkward as ak

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Flat:
    """One value per event."""

    values: Array
    """values: (events, ...)"""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of the values that this column shows."""
        return self.values.nbytes

    def slice(self, start: int, stop: int) -> Flat:
        """The events from `start` to `stop`, without copying."""
        return Flat(self.values[start:stop])

    def take(self, index: Array) -> Flat:
        """The events named by `index`, in that order."""
        return Flat(self.values[index])

    def per_event(self) -> list[Any]:
        """One value per event: NumPy scalars of the column's own dtype, so that arithmetic is that of the column."""
        return list(self.values)

    def per_event_of(self, index: Sequence[int]) -> list[Any]:
        """The values of the events named by `index`, as `per_event` gives them."""
        return list(self.values[np.asarray(index, dtype=np.int64)])

    def one(self, number: int) -> Any:
        """The value of one event, as `per_event` gives it."""
        return self.values[number]

    def array(self) -> Array:
        """The column as NumPy array: (events, ...)."""
        return self.values


@dataclass(frozen=True, slots=True)
class Jagged:
    """A varying number of values per event."""

    offsets: npt.NDArray[np.int64]
    """offsets: (events + 1,) int64; event i owns content[offsets[i]:offsets[i + 1]]; need not begin at 0"""
    content: Array
    """content: (rows, ...)"""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that this column shows."""
        rows = int(self.offsets[-1] - self.offsets[0])
        per_row = self.content.nbytes // len(self.content) if len(self.content) else 0
        return rows * per_row + self.offsets.nbytes

    def slice(self, start: int, stop: int) -> Jagged:
        """The events from `start` to `stop`, without copying."""
        return Jagged(self.offsets[start : stop + 1], self.content)

    def take(self, index: Array) -> Jagged:
        """The events named by `index`, in that order."""
        starts = self.offsets[:-1][index]
        counts = self.offsets[1:][index] - starts
        offsets = offsets_from_counts(counts)
        rows = np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])
        return Jagged(offsets, self.content[rows])

    def compact(self) -> Jagged:
        """The same rows with offsets that begin at 0 and a content that holds nothing else."""
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        if first == 0 and last == len(self.content):
            return self
        return Jagged(self.offsets - first, self.content[first:last])

    def per_event(self, slices: Sequence[Any] | None = None) -> list[Any]:
        """One slice of the content per event: (rows of the event, ...). `slices`, if known, are those of the offsets."""
        content = self.content
        if slices is None:
            bounds = self.offsets.tolist()
            return [content[a:b] for a, b in pairwise(bounds)]
        return [content[rows] for rows in slices]

    def per_event_of(self, index: Sequence[int]) -> list[Any]:
        """The slices of the events named by `index`, as `per_event` gives them."""
        chosen = np.asarray(index, dtype=np.int64)
        content = self.content
        begins, ends = self.offsets[:-1][chosen].tolist(), self.offsets[1:][chosen].tolist()
        return [content[a:b] for a, b in zip(begins, ends, strict=True)]

    def one(self, number: int) -> Any:
        """The slice of one event, as `per_event` gives it."""
        return self.content[self.offsets[number] : self.offsets[number + 1]]

    def array(self) -> ak.Array:
        """The column as awkward array: events * var * ..."""
        import awkward as ak

        column = self.compact()
        content: Any = np.ascontiguousarray(column.content)
        layout = ak.contents.ListOffsetArray(ak.index.Index64(column.offsets), ak.contents.NumpyArray(content))
        return ak.Array(layout)


@dataclass(frozen=True, slots=True)
class Nested:
    """Anything else that awkward can express; slower per event than the other two."""

    data: ak.Array
    """data: events * type"""

    def __len__(self) -> int:
        return len(self.data)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return int(self.data.nbytes)

    def slice(self, start: int, stop: int) -> Nested:
        """The events from `start` to `stop`, without copying."""
        part: Any = self.data[start:stop]
        return Nested(part)

    def take(self, index: Array) -> Nested:
        """The events named by `index`, in that order."""
        part: Any = self.data[index]
        return Nested(part)

    def per_event(self) -> list[Any]:
        """One value per event: a str, a list, None, or an awkward array or record."""
        import awkward as ak

        kind = ak.type(self.data).content
        if isinstance(kind, ak.types.ListType) and kind.parameter("__array__") not in (
            "string",
            "bytestring",
        ):
            return list(self.data)
        if isinstance(kind, ak.types.RecordType):
            return list(self.data)
        values = list(self.data.to_list())
        if isinstance(kind, ak.types.OptionType) and isinstance(kind.content, ak.types.NumpyType):
            number = np.dtype(kind.content.primitive).type  # of the column's own type, as `Flat` gives them
            return [None if value is None else number(value) for value in values]
        return values

    def array(self) -> ak.Array:
        """The column as awkward array."""
        return self.data


Column: TypeAlias = Flat | Jagged | Nested


def offsets_from_counts(counts: Array | Sequence[int]) -> npt.NDArray[np.int64]:
    """The offsets (n + 1,) of n lists from their lengths (n,).

    >>> offsets_from_counts([2, 0, 1]).tolist()
    [0, 2, 2, 3]
    """
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
