"""Chunks cover a range of entries once, and end where the pieces of a file end."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework.columns import Column, Flat, Jagged, Nested
from evproc.modules.casting import Lossy, cast_numbers, fit, join
from evproc.modules.chunking import events_per_chunk, runs
from evproc.modules.collections_of import find_collections
from evproc.modules.column_types import normal_type
from evproc.modules.event_buffer import EventBuffer


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 60), st.integers(0, 100), st.integers(0, 300)
)
def test_chunks_tile_the_entries(clusters: list[int], target: int, start: int, length: int) -> None:
    """Chunks follow one another without gaps, none is larger than the target, and no small cluster is split."""
    boundaries = [0, *np.cumsum(clusters).tolist()]
    start = min(start, boundaries[-1])
    stop = min(start + length, boundaries[-1])
    found = [chunk for run in runs(boundaries, start, stop, target) for chunk in run.chunks()]
    assert [at for at, _ in found] + [stop] == [start] + [end for _, end in found]
    assert all(0 < end - at <= target for at, end in found)
    if max(clusters) <= target:
        assert {end for _, end in found[:-1]} <= set(boundaries)


def test_chunks_are_bounded_in_bytes() -> None:
    """Large events make small chunks; 20,000 events are the most."""
    assert events_per_chunk(100) == 20_000
    assert events_per_chunk(2_300_000) == 13
    assert events_per_chunk(1e9) == 1
    assert events_per_chunk(0) == 20_000


def test_counters_tell_which_lists_belong_together() -> None:
    """Lists of another counter are no fields of the collection; a product is never a collection; counters are no fields."""
    products = {
        "nJet": "uint32",
        "Jet_pt": "var * float32",
        "Jet_eta": "var * float32",
        "Jet_sub_pt": "var * float32",
        "nJet_sub": "uint32",
        "Jet_n": "int32",
        "MET": "float32",
        "MET_phi": "float32",
        "Flag_a": "bool",
    }
    counters = {"Jet_pt": "nJet", "Jet_eta": "nJet", "Jet_sub_pt": "nJet_sub"}
    assert find_collections(products, counters) == {"Jet": ("pt", "eta"), "Jet_sub": ("pt",), "Flag": ("a",)}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 20), st.integers(8, 400))
def test_batches_depend_on_events_alone(counts: list[int], block: int, most: int, nbytes: int) -> None:
    """The buffer is cut after the same events, with the same values, for every size of block."""
    data = Jagged(np.concatenate([[0], np.cumsum(counts)]), np.arange(sum(counts), dtype=np.float32))
    words = Nested(ak.Array([["x" * count] * 2 for count in counts]))
    numbers = Flat(np.arange(len(counts)))

    def batches(size: int) -> list[tuple[Any, ...]]:
        buffer = EventBuffer(most, nbytes)
        found: list[dict[str, Column]] = []
        for start in range(0, len(counts), size):
            stop = min(start + size, len(counts))
            columns: dict[str, Column] = {
                "n": numbers.slice(start, stop),
                "x": data.slice(start, stop),
                "w": words.slice(start, stop),
            }
            found.extend(buffer.add(columns, stop - start))
        if buffer.held:
            found.append(buffer.take())
        return [tuple(batch[key].array().tolist() for key in ("n", "x", "w")) for batch in found]

    whole = batches(len(counts))
    assert batches(block) == whole
    assert batches(1) == whole
    assert max(len(batch[0]) for batch in whole) <= most


@pytest.mark.parametrize(
    ("values", "dtype", "survives"),
    [
        (np.array([2**53]), "float64", True),
        (np.array([2**53 + 1]), "float64", False),
        (np.array([2**63], np.uint64), "int64", False),
        (np.array([-1]), "uint64", False),
        (np.array([True]), "int8", True),
        (np.array([1]), "bool", False),
        (np.array([0.1]), "float32", False),
        (np.array([0.1], np.float32), "float64", True),
        (np.array([1.0]), "int64", False),
    ],
)
def test_a_cast_keeps_every_value_or_fails(values: np.ndarray, dtype: str, survives: bool) -> None:
    """Numbers are cast only where none changes."""
    if survives:
        assert cast_numbers(values, np.dtype(dtype)).tolist() == values.tolist()
    else:
        with pytest.raises(Lossy):
            cast_numbers(values, np.dtype(dtype))


def test_columns_of_several_types_are_joined_without_loss() -> None:
    """Integers and floats join as floats, empty lists of unknown type as lists; text and numbers do not join."""
    joined = join([Flat(np.array([1])), Flat(np.array([0.5]))])
    assert joined.array().tolist() == [1.0, 0.5]
    empty = Nested(ak.Array([[], []]))
    lists = Jagged(np.array([0, 2]), np.array([1, 2]))
    assert join([empty, lists]).array().tolist() == [[], [], [1, 2]]
    assert fit(empty, "var * float32").array().tolist() == [[], []]
    with pytest.raises(Lossy):
        join([Flat(np.array([2**53 + 1])), Flat(np.array([0.5]))])
    with pytest.raises(Lossy):
        join([Flat(np.array([1])), Nested(ak.Array(["a"]))])


def test_declared_types_are_read_leniently() -> None:
    """Blanks and NumPy's short names do not matter; what is no type says nothing."""
    assert normal_type("var*float") == "var * float64"
    assert normal_type("var * {x: int64}") == "var * {x: int64}"
    assert normal_type("anything at all") == ""
    assert normal_type("") == ""
