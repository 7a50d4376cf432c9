"""Events whose inputs are not one rectangle: ragged rows, models without a batch dimension, optional inputs.

The problem: a request carries rows of one shape. `acquire` of one event may return rows of several shapes, those of the
next event other ones, and a model without a batch dimension takes one set of tensors a request.

The policy: *rectangular where it can be, a request of its own where it must.* An event gives an input as

    array   (rows, ...): all rows of the event have one shape. For a model without a batch dimension, the tensor itself.
    list    one array for each row, each with a shape of its own.

Rows are sorted by kind (names and shapes), over all events that are handed over together, and each kind is one submission;
the batcher then joins those of other blocks and modules. So eleven thousand rows of ten lengths are ten lines of requests,
not eleven thousand requests; nothing is padded. A model without a batch dimension gets one request for each row of a list,
or one for the event.

What comes back has the form of what was given. An event of arrays gets arrays. An event of lists gets an array (rows, ...)
for each output of fixed shape, and a list with an array for each row for each output of variable extent.

An event without rows sends nothing and gets outputs without rows. For a model without a batch dimension an event of arrays
without any element (a graph without nodes) sends nothing only if all its outputs have a variable extent, which is 0 then;
otherwise the model is asked, for there is no telling what it makes of nothing.

The cost: 15 to 30 us for a row that is given in a list, which is checked, sorted and taken apart by itself; a few us for
an event of arrays. So give an array where all rows of an event have one shape. Events of arrays whose rows all have one
shape do not come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .contract import empty_outputs
from .tensor_faults import contract_fault, expected_inputs, fault_of, fault_of_lists
from .tensors import Array, ModelMetadata, TensorSpec, wire_size

Tensors = Mapping[str, Array]


class Segment(NamedTuple):
    """Rows `start` to `stop` of a submission."""

    submission: int
    start: int
    stop: int


@dataclass(slots=True)
class Parcel:
    """What becomes one submission: arrays to be joined, for each input."""

    arrays: dict[str, list[Array]]
    rows: int = 0

    def inputs(self) -> dict[str, Array]:
        """Name -> (rows, ...)."""
        return {name: pieces[0] if len(pieces) == 1 else np.concatenate(pieces) for name, pieces in self.arrays.items()}


@dataclass(slots=True)
class Plan:
    """How the inputs of several events are handed over, and which of the answers are whose."""

    metadata: ModelMetadata
    parcels: list[Parcel] = field(default_factory=list)
    segments: list[list[Segment]] = field(default_factory=list)
    """For each event, in the order of its rows."""
    listed: list[bool] = field(default_factory=list)
    """For each event: whether it gave lists."""

    def results(self, answers: Sequence[Tensors], names: Sequence[str]) -> list[dict[str, Any]]:
        """The outputs of each event, from those of each parcel: name -> (rows, ...), or a list of an array for each row.

        names: the outputs that were asked for; all if none is named.
        """
        specs = [spec for spec in self.metadata.outputs if not names or spec.name in names]
        nothing = empty_outputs(names, self.metadata)
        found: list[dict[str, Any]] = []
        for segments, listed in zip(self.segments, self.listed, strict=True):
            if listed:
                found.append({spec.name: self._rows(spec, segments, answers) for spec in specs})
            elif not segments:
                found.append({name: array.copy() for name, array in nothing.items()})
            else:
                ((number, start, stop),) = segments
                answer = answers[number]
                whole = self.metadata.max_batch_size < 1
                found.append(
                    {spec.name: answer[spec.name] if whole else answer[spec.name][start:stop] for spec in specs}
                )
        return found

    def _rows(self, spec: TensorSpec, segments: Sequence[Segment], answers: Sequence[Tensors]) -> Any:
        """One output of an event of lists."""
        pieces = [
            answers[number][spec.name][start:stop] if self.metadata.max_batch_size else answers[number][spec.name][None]
            for number, start, stop in segments
        ]
        if -1 in spec.shape:
            return [row for piece in pieces for row in piece]
        if not pieces:
            return np.empty((0, *spec.shape), spec.dtype)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def is_plain(metadata: ModelMetadata) -> bool:
    """Whether all sound rows for a model have one shape and a size that the shape says, and so have its answers."""
    return metadata.max_batch_size > 0 and not (
        any(spec.optional or -1 in spec.shape or spec.dtype.hasobject for spec in metadata.inputs)
        or any(-1 in spec.shape for spec in metadata.outputs)
    )


def of_one_kind(work: Sequence[Any], metadata: ModelMetadata) -> bool:
    """Whether these events are arrays with rows of one kind, for a model that takes such rows together.

    Events without rows are no such events if an output has a variable extent: theirs is 0, whoever is there beside them.
    """
    if metadata.max_batch_size < 1 or any(spec.dtype.hasobject for spec in metadata.inputs):
        return False
    fixed = not any(-1 in spec.shape for spec in metadata.outputs)
    try:
        first = {name: array.shape[1:] for name, array in work[0].items()}
        return all(
            {name: array.shape[1:] for name, array in tensors.items()} == first
            and (fixed or all(map(len, tensors.values())))
            for tensors in work
        )
    except (AttributeError, TypeError):
        return False


def size_of(tensors: Any) -> int:
    """The bytes of the tensors of one event, arrays or lists; 0 for what is neither."""
    if not isinstance(tensors, dict):
        return 0
    arrays = [value if isinstance(value, list | tuple) else [value] for value in tensors.values()]
    try:
        return sum(wire_size(array) for value in arrays for array in value if isinstance(array, np.ndarray))
    except TypeError:
        return 0  # an element that cannot be sent; it is told when the work is handed over


def _as_sent(array: Array, spec: TensorSpec) -> Array:
    """Text and bytes of fixed width as the objects that they are for a BYTES tensor."""
    return array.astype(object) if spec.dtype.hasobject and array.dtype.kind != "O" else array


def has_lists(work: Sequence[Any]) -> bool:
    """Whether any event gives an input as a list."""
    return any(isinstance(tensors, dict) and _is_listed(tensors) for tensors in work)


def _is_listed(tensors: Mapping[str, Any]) -> bool:
    return any(isinstance(value, list | tuple) for value in tensors.values())


def plan(work: Sequence[Any], metadata: ModelMetadata, names: Sequence[str], *, coalesce: bool) -> Plan:
    """How to hand over the inputs of several events.

    work: for each event, name -> (rows, ...), or a list of an array for each row. names: the outputs that are asked for.
    With `coalesce` off, rows of two events never share a parcel. Raises ModelContractError, with the number of the event
    as its `place`.
    """
    made = Plan(metadata)
    parcels: dict[tuple[Any, ...], int] = {}
    for place, tensors in enumerate(work):
        listed = isinstance(tensors, dict) and _is_listed(tensors)
        specs = expected_inputs(metadata, tensors)
        batched = metadata.max_batch_size > 0
        problem = fault_of_lists(tensors, specs) if listed else fault_of(tensors, specs, batched=batched)
        if problem:
            raise contract_fault(problem, metadata.name, place)
        pieces = _listed_pieces(tensors, specs, metadata) if listed else _pieces(tensors, specs, metadata, names)
        segments: list[Segment] = []
        for arrays, rows in pieces:
            if metadata.max_batch_size < 1:
                number = len(made.parcels)
                made.parcels.append(Parcel({name: [array] for name, array in arrays.items()}, 1))
                segments.append(Segment(number, 0, 1))
                continue
            kind: tuple[Any, ...] = tuple((name, array.shape[1:]) for name, array in arrays.items())
            kind = kind if coalesce else (place, kind)
            number = parcels.setdefault(kind, len(made.parcels))
            if number == len(made.parcels):
                made.parcels.append(Parcel({name: [] for name in arrays}))
            parcel = made.parcels[number]
            for name, array in arrays.items():
                parcel.arrays[name].append(array)
            start, parcel.rows = parcel.rows, parcel.rows + rows
            if segments and segments[-1].submission == number and segments[-1].stop == start:
                start = segments.pop().start
            segments.append(Segment(number, start, parcel.rows))
        made.segments.append(segments)
        made.listed.append(listed)
    return made


def _pieces(
    tensors: Tensors, specs: Sequence[TensorSpec], metadata: ModelMetadata, names: Sequence[str]
) -> list[tuple[dict[str, Array], int]]:
    """The inputs of an event of arrays: (name -> (rows, ...), rows), or none if there is nothing to ask."""
    arrays = {spec.name: _as_sent(tensors[spec.name], spec) for spec in specs}
    if metadata.max_batch_size:
        rows = len(next(iter(arrays.values())))
        return [(arrays, rows)] if rows else []
    wanted = [spec for spec in metadata.outputs if not names or spec.name in names]
    if all(array.size == 0 for array in arrays.values()) and all(-1 in spec.shape for spec in wanted):
        return []
    return [(arrays, 1)]


def _listed_pieces(
    tensors: Mapping[str, Any], specs: Sequence[TensorSpec], metadata: ModelMetadata
) -> list[tuple[dict[str, Array], int]]:
    """The inputs of an event of lists, row by row."""
    rows = len(tensors[specs[0].name])
    batched = metadata.max_batch_size > 0
    found = []
    for row in range(rows):
        arrays = {}
        for spec in specs:
            array = _as_sent(np.asarray(tensors[spec.name][row], spec.dtype), spec)
            arrays[spec.name] = array[None] if batched else array
        found.append((arrays, 1))
    return found
