"""What hypothesis draws for several test files: columns of all forms with the plain values that they stand for."""

from __future__ import annotations

import os
from typing import Any

import awkward as ak
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from evproc.framework.columns import Column, Flat, Jagged, Nested

THOROUGH = "thorough"
PROFILE = os.environ.get("EVPROC_HYPOTHESIS", "evproc")
"""evproc: the same few examples in each run; thorough: fifty times as many, new ones in each run."""
settings.register_profile("evproc", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(THOROUGH, deadline=None, derandomize=False, max_examples=5000, print_blob=True)
settings.load_profile(PROFILE)


def examples(number: int) -> settings:
    """As many examples for a test, times fifty in the thorough profile."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    count = 50 * number if PROFILE == THOROUGH else number
    phases = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
    return settings(max_examples=count, suppress_health_check=slow, phases=phases)


DTYPES = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def arrays(dtype: str, shape: tuple[int, ...], seed: int) -> Any:
    """Random values of a type: every finite value of a row is its own, so that a row in the wrong place shows."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        return random.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@st.composite
def flats(draw: st.DrawFn, events: int | None = None) -> Flat:
    """Flat columns, of numbers or of fixed-size arrays."""
    size = draw(st.integers(0, 12)) if events is None else events
    inner = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    return Flat(arrays(draw(st.sampled_from(DTYPES)), (size, *inner), draw(st.integers(0, 99))))


@st.composite
def jaggeds(draw: st.DrawFn, events: int | None = None) -> Jagged:
    """Jagged columns whose offsets need not begin at 0, and whose content may hold rows of nobody."""
    size = draw(st.integers(0, 12)) if events is None else events
    counts = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    before, behind = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    inner = draw(st.sampled_from([(), (3,), (2, 2)]))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64) + before
    shape = (int(offsets[-1]) + behind, *inner)
    return Jagged(offsets, arrays(draw(st.sampled_from(DTYPES)), shape, draw(st.integers(0, 99))))


@st.composite
def nesteds(draw: st.DrawFn, events: int | None = None) -> Nested:
    """Nested columns: strings, missing values, lists of lists, records."""
    size = draw(st.integers(0, 12)) if events is None else events
    element = draw(
        st.sampled_from(
            [
                st.text(max_size=3),
                st.one_of(st.none(), st.floats(-10, 10)),
                st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=2), min_size=1, max_size=2),
                st.fixed_dictionaries({"pt": st.floats(0, 100), "q": st.integers(-1, 1)}),
            ]
        )
    )
    return Nested(ak.Array([draw(element) for _ in range(size)]))


def columns(events: int | None = None) -> st.SearchStrategy[Column]:
    """Columns of all three forms."""
    return st.one_of(flats(events), jaggeds(events), nesteds(events))


def plain(column: Column) -> list[Any]:
    """The values of a column as plain Python, worked out apart from the column's own methods."""
    if isinstance(column, Flat):
        return column.values.tolist()
    if isinstance(column, Jagged):
        return [column.content[a:b].tolist() for a, b in zip(column.offsets[:-1], column.offsets[1:], strict=True)]
    return column.data.to_list()
