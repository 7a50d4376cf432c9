"""Outputs that stand for those of a request that failed for good."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .tensors import Array, ModelMetadata


def filled(value: float, rows: int, metadata: ModelMetadata, outputs: Sequence[str]) -> dict[str, Array]:
    """Outputs in which every element is `value`: name -> (rows, ...). A variable extent is 1."""
    return {
        spec.name: np.full((rows, *(abs(extent) for extent in spec.shape)), value, spec.dtype)
        for spec in metadata.outputs
        if not outputs or spec.name in outputs
    }


def unfillable(value: float, metadata: ModelMetadata, outputs: Sequence[str]) -> str:
    """Why outputs cannot be filled with a value; empty if they can."""
    if metadata.max_batch_size < 1:
        return "the model has no batch dimension, so there are no rows to give default values to"
    for spec in metadata.outputs:
        if outputs and spec.name not in outputs:
            continue
        if -1 in spec.shape:
            return f"output '{spec.name}' has a variable extent, so nobody knows how many default values it needs"
        if spec.dtype.kind not in "fiub":
            return f"output '{spec.name}' is {spec.dtype}, which has no default value {value}"
        if spec.dtype.kind != "f" and not (math.isfinite(value) and spec.dtype.type(value) == value):
            return f"output '{spec.name}' is {spec.dtype}, which cannot be {value}"
    return ""
