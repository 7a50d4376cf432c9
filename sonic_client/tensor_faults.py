"""What is wrong with the tensors that `acquire` returned: found only once something is, and then told with the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evproc.framework.errors import ModelContractError, did_you_mean

from .tensors import Array, ModelMetadata, TensorSpec


def same_shape(mine: Sequence[int], theirs: Sequence[int]) -> bool:
    """Whether two shapes agree; -1 agrees with every extent."""
    return len(mine) == len(theirs) and all(a == b or -1 in (a, b) for a, b in zip(mine, theirs, strict=True))


def expected_inputs(metadata: ModelMetadata, tensors: Any) -> list[TensorSpec]:
    """The inputs of a model, without the optional ones that an event leaves out."""
    return [
        spec for spec in metadata.inputs if not spec.optional or (isinstance(tensors, dict) and spec.name in tensors)
    ]


def contract_fault(problem: str, model: str, place: int) -> ModelContractError:
    """The error for the tensors of the event at a place of the work."""
    error = ModelContractError(f"what `acquire` returned does not fit model '{model}': {problem}")
    error.place = place  # type: ignore[attr-defined]  # read by the engine, for the event's name
    return error


def fault_in(work: Sequence[Any], specs: Sequence[TensorSpec], model: str) -> ModelContractError:
    """What is wrong with the tensors of some events, each with a row per object, and for which event."""
    for place, tensors in enumerate(work):
        problem = fault_of(tensors, specs, batched=True)
        if problem:
            return contract_fault(problem, model, place)
    return ModelContractError(f"the tensors of these events do not fit together for model '{model}'")


def fault_of(tensors: Any, specs: Sequence[TensorSpec], *, batched: bool) -> str:
    """What is wrong with one event of arrays; empty if nothing is."""
    if problem := _fault_of_names(tensors, specs):
        return problem
    rows: int | None = None
    for spec in specs:
        array = tensors[spec.name]
        if not isinstance(array, np.ndarray) or (batched and array.ndim == 0):
            kind = "an array with a row per object" if batched else "an array"
            return f"input '{spec.name}' should be {kind}, not {type(array).__name__}"
        if problem := _fault_of_array(array, spec, array.shape[batched:], "rows of shape" if batched else "shape"):
            return f"input '{spec.name}' {problem}"
        if batched and rows is not None and len(array) != rows:
            return f"input '{spec.name}' has {len(array)} rows, where the one before has {rows}"
        rows = len(array) if batched else None
    return ""


def fault_of_lists(tensors: Mapping[str, Any], specs: Sequence[TensorSpec]) -> str:
    """What is wrong with one event that gives an input as a list of an array for each row; empty if nothing is."""
    if problem := _fault_of_names(tensors, specs):
        return problem
    count: int | None = None
    for spec in specs:
        rows = tensors[spec.name]
        if not isinstance(rows, list | tuple) and not (isinstance(rows, np.ndarray) and rows.ndim):
            return f"input '{spec.name}' should be a list of arrays, or an array, not {type(rows).__name__}"
        if count is not None and len(rows) != count:
            return f"input '{spec.name}' has {len(rows)} rows, where the one before has {count}"
        count = len(rows)
        for number, row in enumerate(rows):
            if isinstance(row, bytes | str | np.generic) and not spec.shape:
                row = np.asarray(row, spec.dtype if isinstance(row, bytes | str) else None)
            if not isinstance(row, np.ndarray):
                return f"row {number} of input '{spec.name}' should be an array, not {type(row).__name__}"
            if problem := _fault_of_array(row, spec, row.shape, "shape"):
                return f"row {number} of input '{spec.name}' {problem}"
    return ""


def _fault_of_names(tensors: Any, specs: Sequence[TensorSpec]) -> str:
    names = [spec.name for spec in specs]
    if not isinstance(tensors, dict):
        return f"it should be a dict of tensors ({', '.join(names)}), not {type(tensors).__name__}"
    for name in tensors:
        if name not in names:
            return f"the model has no input '{name}'{did_you_mean(name, names) or '; it has ' + ', '.join(names)}"
    for name in names:
        if tensors.get(name) is None:
            return f"input '{name}' is missing"
    return ""


def _fault_of_array(array: Array, spec: TensorSpec, shape: tuple[int, ...], words: str) -> str:
    if spec.dtype.hasobject:
        if array.dtype.kind not in "OSU":
            return f"should be bytes or text, not {array.dtype}"
        for element in array.ravel() if array.dtype.kind == "O" else ():
            if not isinstance(element, bytes | str):
                return f"should be bytes or text, and has an element of type {type(element).__name__}"
    elif array.dtype != spec.dtype:
        return f"should be {spec.dtype}, not {array.dtype}"
    if not same_shape(shape, spec.shape):
        wanted = ", ".join("any" if extent < 0 else str(extent) for extent in spec.shape)
        return f"should have {words} ({wanted}{',' if len(spec.shape) == 1 else ''}), not {shape}"
    return ""
