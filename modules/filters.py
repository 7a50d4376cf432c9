"""Cut filters: a number in a range, a count of objects, a sum over objects.

All decide a block at a time. What they decide of an event depends on that event alone, bit for bit: sums are taken in double
precision, row after row. A value that is not a number never passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evproc.framework import Columns, Fault, Filter, Input, InputTag, Parameter
from evproc.framework.columns import Array, Column, Flat, Jagged
from evproc.framework.config import ANY_FIELD


class RangeFilter(Filter):
    """Passes events in which a number lies in a range: above < number < below."""

    class Config(Filter.Config):
        """Which number, and the range."""

        of: InputTag = Input(description="product with one number per event")
        above: float | None = Parameter(None, description="passes if the number is larger", allow_inf_nan=False)
        below: float | None = Parameter(None, description="passes if the number is smaller", allow_inf_nan=False)

    def check(self) -> list[Fault]:
        """A range that is no range."""
        return _range_faults(self, self.config.above, self.config.below, "above", "below")

    def filter_columns(self, columns: Columns) -> Any:
        """Which events pass: (events,) bool."""
        column = columns.column(self.config.of)
        if not isinstance(column, Flat) or column.values.ndim != 1 or column.values.dtype.kind not in "biuf":
            raise TypeError(
                f"'{self.config.of}' is not one number per event; use CountFilter or ScalarSumFilter for lists"
            )
        return _between(column.values, self.config.above, self.config.below)


class CountFilter(Filter):
    """Passes events with enough objects, and not too many: at_least <= number <= at_most."""

    class Config(Filter.Config):
        """What is counted, and the limits."""

        of: InputTag = Input(fields=ANY_FIELD, description="product with a list per event, or a collection")
        at_least: int | None = Parameter(None, description="passes with this number, or more", ge=0)
        at_most: int | None = Parameter(None, description="passes with this number, or fewer", ge=0)

    def check(self) -> list[Fault]:
        """Limits that nothing can keep."""
        least, most = self.config.at_least, self.config.at_most
        if least is not None and least == most:
            return []
        return _range_faults(self, least, most, "at_least", "at_most")

    def filter_columns(self, columns: Columns) -> Any:
        """Which events pass: (events,) bool."""
        of = self.config.of
        keys = set(columns.keys())
        field = of if of in keys else min(key for key in keys if key.startswith(f"{of}_"))
        counts = _counts(columns.column(field), of)
        passed = np.ones(len(counts), dtype=np.bool_)
        if self.config.at_least is not None:
            passed &= counts >= self.config.at_least
        if self.config.at_most is not None:
            passed &= counts <= self.config.at_most
        return passed


class ScalarSumFilter(Filter):
    """Passes events in which the sum over a list lies in a range: above < sum < below. The sum of an empty list is 0."""

    class Config(Filter.Config):
        """What is summed, and the range."""

        of: InputTag = Input(description="product with a list of numbers per event")
        above: float | None = Parameter(None, description="passes if the sum is larger", allow_inf_nan=False)
        below: float | None = Parameter(None, description="passes if the sum is smaller", allow_inf_nan=False)

    def check(self) -> list[Fault]:
        """A range that is no range."""
        return _range_faults(self, self.config.above, self.config.below, "above", "below")

    def filter_columns(self, columns: Columns) -> Any:
        """Which events pass: (events,) bool."""
        column = columns.column(self.config.of)
        return _between(scalar_sums(column, self.config.of), self.config.above, self.config.below)


def scalar_sums(column: Column, name: str = "product") -> Array:
    """The sum over the list of each event, in double precision: (events,) float64. Raises TypeError for anything but lists."""
    if isinstance(column, Jagged) and column.content.ndim == 1 and column.content.dtype.kind in "biuf":
        column = column.compact()
        counts = np.diff(column.offsets)
        event = np.repeat(np.arange(len(counts)), counts)
        return np.bincount(event, weights=column.content, minlength=len(counts)).astype(np.float64)
    if isinstance(column, Flat) and column.values.ndim == 2:
        events, length = column.values.shape
        offsets = (
            np.arange(0, events * length + 1, length, dtype=np.int64) if length else np.zeros(events + 1, np.int64)
        )
        return scalar_sums(Jagged(offsets, column.values.reshape(-1)), name)
    raise TypeError(f"'{name}' is not a list of numbers per event")


def _counts(column: Column, name: str) -> Array:
    """The lengths of the lists: (events,) int64."""
    if isinstance(column, Jagged):
        return np.diff(column.offsets)
    if isinstance(column, Flat):
        raise TypeError(f"'{name}' is not a list per event; use RangeFilter for a number")
    import awkward as ak

    return np.asarray(ak.num(column.data, axis=1), dtype=np.int64)


def _between(values: Array, above: float | None, below: float | None) -> Array:
    """Where above < value < below; never where the value is not a number: (events,) bool."""
    passed: Array = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), dtype=np.bool_)
    if above is not None:
        passed &= values > above
    if below is not None:
        passed &= values < below
    return passed


def _range_faults(module: Filter, low: float | None, high: float | None, low_key: str, high_key: str) -> list[Fault]:
    """What is wrong with the limits of a filter."""
    if low is None and high is None:
        return [Fault(f"give {low_key}, {high_key} or both: without them every event passes", module.label, low_key)]
    if low is not None and high is not None and low >= high:
        return [Fault(f"nothing passes: {low_key} is {low}, {high_key} {high}", module.label, low_key)]
    return []
