"""How large answers will be: what must be known before a place in shared memory can be offered for them.

The protocol wants the size of each output's place in the request, and refuses an output that does not fit. The policy: learn.
The first answer for a model comes by the socket; if each of its outputs has as many rows as the request's first input had,
later requests offer places for that many bytes per row. Where an output turns out larger, the request is sent again by
the socket, and no place is offered for that model any more. Outputs of strings have no size, and are never offered one;
small outputs are not worth one.

An answer does not say where its outputs are: Triton's has an empty field in the place of the bytes. Memory that is used again
holds an older answer, which must never be taken for this one. So a mark is put at the end of each place before a request
leaves, and an answer that leaves a mark standing is not believed: the request is sent again by the socket.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from .tensors import Array, Tensor

ROOM_REFUSED = "shared memory size"
"""In Triton's words for an output that does not fit into its place."""

LEAST_OUTPUT = 4096
"""Bytes from which on an output is offered a place; also much longer than a mark."""
_MARK = secrets.token_bytes(16)

Key = tuple[str, str, tuple[str, ...]]
"""Model, version, outputs asked for."""


class OutputSizes:
    """Bytes per row of the outputs of each model."""

    def __init__(self) -> None:
        self._per_row: dict[Key, dict[str, int] | None] = {}

    def of(self, key: Key, rows: int) -> dict[str, int] | None:
        """The bytes of each output of `rows` rows, 0 if it gets no place; None if they are not known, or cannot be."""
        per_row = self._per_row.get(key)
        if per_row is None:
            return None
        return {name: rows * nbytes if rows * nbytes >= LEAST_OUTPUT else 0 for name, nbytes in per_row.items()}

    def learn(self, key: Key, rows: int, answer: Mapping[str, Array]) -> None:
        """Look at the first answer of a model."""
        if key not in self._per_row and rows:
            even = all(array.ndim and len(array) == rows and array.dtype.kind != "O" for array in answer.values())
            self._per_row[key] = {name: array.nbytes // rows for name, array in answer.items()} if even else None

    def forget(self, key: Key) -> None:
        """An output did not fit: offer nothing any more."""
        self._per_row[key] = None


def rows_of(inputs: Mapping[str, Tensor]) -> int:
    """The first extent of the first input; 0 if it has none."""
    first = next(iter(inputs.values()), None)
    return first.shape[0] if first is not None and first.shape else 0


def key_of(model: str, version: str, outputs: Sequence[str]) -> Key:
    """What sizes are kept by."""
    return model, version, tuple(outputs)


def mark(places: Mapping[str, memoryview]) -> None:
    """Put a mark at the end of each place."""
    for place in places.values():
        place[-len(_MARK) :] = _MARK


def untouched(places: Mapping[str, memoryview]) -> bool:
    """Whether a mark stands where an output should be."""
    return any(place[-len(_MARK) :] == _MARK for place in places.values())
