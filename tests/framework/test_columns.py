"""Columns: their three forms, and that no operation loses or mixes up a value."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework.column_making import column_from_array, column_from_events, concatenate
from evproc.framework.columns import Column, Flat, Jagged, Nested, offsets_from_counts
from evproc.framework.store import View
from evproc.framework.testing import make_store
from tests.strategies import columns, jaggeds, plain


def same(column: Column, values: list[Any]) -> None:
    """Assert the values of a column in all three ways to read them."""
    assert len(column) == len(values)
    assert plain(column) == values
    per_event = [value.tolist() if hasattr(value, "tolist") else value for value in column.per_event()]
    assert per_event == values
    assert ak.to_list(column.array()) == values


@given(columns())
def test_all_ways_to_read_a_column_agree(column: Column) -> None:
    """One value per event, the array and the definition of the form give the same values."""
    same(column, plain(column))


@given(columns(), st.data())
def test_a_slice_is_the_slice_of_the_values(column: Column, data: st.DataObject) -> None:
    """column.slice(a, b) holds the values a to b, also when it is sliced again."""
    start = data.draw(st.integers(0, len(column)))
    stop = data.draw(st.integers(start, len(column)))
    sliced = column.slice(start, stop)
    same(sliced, plain(column)[start:stop])
    half = len(sliced) // 2
    same(sliced.slice(half, len(sliced)), plain(column)[start:stop][half:])


@given(columns(events=6), st.lists(st.integers(0, 5), max_size=8))
def test_take_takes_the_events_named_in_that_order(column: Column, index: list[int]) -> None:
    """column.take(index) holds values[i] for each i of the index, in its order, repeats included."""
    wanted = [plain(column)[number] for number in index]
    same(column.slice(0, 6).take(np.array(index, dtype=np.int64)), wanted)


@given(jaggeds(), st.data())
def test_compact_keeps_the_rows_and_drops_all_others(column: Jagged, data: st.DataObject) -> None:
    """compact() has offsets from 0 and a content of just the column's rows."""
    start = data.draw(st.integers(0, len(column)))
    compact = column.slice(start, len(column)).compact()
    assert compact.offsets[0] == 0
    assert compact.offsets[-1] == len(compact.content)
    same(compact, plain(column)[start:])


@given(columns(), st.data())
def test_the_slices_of_a_column_concatenate_to_it(column: Column, data: st.DataObject) -> None:
    """Cutting a column anywhere and concatenating the parts changes neither values nor form nor dtype."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(column)), max_size=4)))
    bounds = [0, *cuts, len(column)]
    joined = concatenate([column.slice(a, b) for a, b in pairwise(bounds)])
    same(joined, plain(column))
    assert type(joined) is type(column)
    if isinstance(column, Flat) and isinstance(joined, Flat):
        assert joined.values.dtype == column.values.dtype
    if isinstance(column, Jagged) and isinstance(joined, Jagged):
        assert joined.content.dtype == column.content.dtype


@given(columns())
def test_an_array_read_back_is_the_same_column(column: Column) -> None:
    """column_from_array(column.array()) has the form, dtype and values of the column."""
    again = column_from_array(column.array())
    same(again, plain(column))
    if len(column):
        assert type(again) is type(column)
    if isinstance(column, Flat) and isinstance(again, Flat):
        assert again.values.dtype == column.values.dtype


@given(st.one_of(columns(events=5)))
def test_per_event_values_put_together_are_the_same_column(column: Column) -> None:
    """A column of what per-event modules put holds what they put, with its dtype."""
    again = column_from_events(column.per_event())
    assert plain(again) == plain(column)
    if isinstance(column, Flat) and isinstance(again, Flat):
        assert again.values.dtype == column.values.dtype
    if isinstance(column, Jagged) and isinstance(again, Jagged):
        assert again.content.dtype == column.content.dtype


@pytest.mark.parametrize(
    ("array", "form"),
    [
        (np.arange(3), Flat),
        (np.ones((3, 2, 2)), Flat),
        (ak.Array([1, 2, 3]), Flat),
        (ak.to_regular(ak.Array([[1, 2], [3, 4]])), Flat),
        (ak.Array([[1, 2], [], [3]]), Jagged),
        (ak.Array([[1, 2], [], [3]])[[2, 0]], Jagged),
        (ak.Array([[1, 2], [], [3]])[1:], Jagged),
        (ak.from_regular(ak.Array(np.ones((3, 2))), axis=1), Jagged),
        (ak.Array([[], []]), Jagged),
        (ak.Array(["a", "bc"]), Nested),
        (ak.Array([1.0, None]), Nested),
        (ak.Array([[1.0, None], []]), Nested),
        (ak.Array([[[1]], []]), Nested),
        (ak.Array([{"pt": 1.0}]), Nested),
        (ak.Array([["a"], []]), Nested),
    ],
)
def test_an_array_gets_the_fastest_form_that_holds_it(array: Any, form: type[Column]) -> None:
    """Numbers are Flat, lists of numbers Jagged, all else Nested; values are those of the array."""
    column = column_from_array(array)
    assert type(column) is form
    same(column, array.tolist())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1, 2], "NumPy or awkward array, not list"),
        (3.0, "NumPy or awkward array, not float"),
        (np.array([1, "a"], object), "Python objects"),
        (np.array(3.0), "no entry per event"),
        (np.ma.masked_array([1, 2], [True, False]), "mask"),
    ],
)
def test_what_is_no_column_is_refused(data: Any, words: str) -> None:
    """A column is an array with an entry per event, of numbers: anything else is a TypeError that says so."""
    with pytest.raises(TypeError, match=words):
        column_from_array(data)


@pytest.mark.parametrize(
    ("values", "form", "dtype"),
    [
        ([True, False], Flat, "bool"),
        ([1, 2], Flat, "int64"),
        ([np.float32(1), np.float32(2)], Flat, "float32"),
        ([1, 2.5], Flat, "float64"),
        ([np.uint64(2**63 + 1), np.uint64(3)], Flat, "uint64"),
        ([np.timedelta64(1, "s"), np.timedelta64(2, "s")], Flat, "m8[s]"),
        ([np.str_("a"), np.str_("b")], Nested, None),
        ([1j, 2.0], Flat, "complex128"),
        ([np.ones(2, "f4"), np.ones(0, "f4")], Jagged, "float32"),
        ([np.ones(2, "f4"), np.array([])], Jagged, "float32"),
        ([np.array([]), np.array([2**60 + 1])], Jagged, "int64"),
        ([np.ones((2, 3)), np.ones((0, 3))], Jagged, "float64"),
        (["a", "b"], Nested, None),
        ([None, 1.0], Nested, None),
        ([1.0, None], Nested, None),
        ([{"a": 1}, {"a": 2}], Nested, None),
        ([[1, 2], [3]], Jagged, "int64"),
        ([[], []], Jagged, None),
        ([np.array(["a"]), np.array([], "U1")], Nested, None),
    ],
)
def test_values_of_events_get_the_form_and_type_that_they_have(
    values: list[Any], form: type[Column], dtype: Any
) -> None:
    """What per-event modules put keeps its values, and its type where all events agree on it."""
    column = column_from_events(values)
    assert type(column) is form
    assert plain(column) == [value.tolist() if hasattr(value, "tolist") else value for value in values]
    if dtype:
        assert (column.values if isinstance(column, Flat) else column.content).dtype == dtype  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "values",
    [
        [2**53 + 1, 0.5],
        [np.int64(2**60 + 1), np.float64(0.5)],
        [np.uint64(2**63 + 1), np.int64(-1)],
        [2**63 + 1, -1],
        [2**64, 1],
        [2**53 + 1, 1j],
        [np.array([2**60 + 1]), np.array([0.5])],
        [np.array([2**63 + 1], "u8"), np.array([-1])],
        [np.ones((1, 2)), np.ones((1, 3))],
        [object(), object()],
        [[2**64], [1]],
    ],
)
def test_values_that_no_column_can_hold_without_loss_are_refused(values: list[Any]) -> None:
    """Rather than change a number, column_from_events raises a TypeError."""
    with pytest.raises(TypeError, match="no column"):
        column_from_events(values)


def test_columns_of_blocks_keep_large_integers() -> None:
    """Concatenating an empty block of another type, as floats of no event, changes no integer."""
    joined = concatenate([column_from_events([np.array([])]), column_from_events([np.array([2**60 + 1])])])
    assert plain(joined) == [[], [2**60 + 1]]


def test_a_slice_copies_nothing() -> None:
    """Slices of Flat and Jagged share the memory of their column."""
    values = np.arange(10)
    assert Flat(values).slice(2, 5).values.base is values
    jagged = Jagged(offsets_from_counts([2, 3, 5]), values).slice(1, 3)
    assert jagged.content is values
    assert jagged.per_event()[0].base is values


def test_nbytes_counts_the_rows_shown() -> None:
    """The bytes of a slice are those of its own events, so that budgets add up."""
    column = Jagged(offsets_from_counts([2, 0, 8]), np.zeros((10, 3), "f4"))
    assert column.slice(0, 2).nbytes == 2 * 12 + 3 * 8
    assert Flat(np.zeros((10, 2))).slice(0, 3).nbytes == 48
    assert Jagged(np.zeros(1, np.int64), np.zeros(0)).nbytes == 8


@given(columns(events=6), st.lists(st.integers(0, 5), max_size=8))
def test_values_of_some_events_are_those_of_all(column: Column, index: list[int]) -> None:
    """Values made for the events that a step reads, in one go or one by one, are those that all events would get."""
    column = column.slice(0, 6)
    if isinstance(column, Nested):
        return
    every = [np.asarray(value) for value in column.per_event()]
    for number, value in zip(index, column.per_event_of(index), strict=True):
        one = column.one(number)
        assert np.asarray(value).tobytes() == every[number].tobytes() == np.asarray(one).tobytes()
        assert np.asarray(value).dtype == every[number].dtype == np.asarray(one).dtype


@pytest.mark.parametrize("passing", [[], [1], [0, 7], list(range(10))])
def test_few_events_of_a_block_read_what_all_would(passing: list[int]) -> None:
    """A view for some events gives their values, and those of any other event that is asked for."""
    store = make_store({"n": np.arange(10), "pt": [np.arange(number, dtype=np.float32) for number in range(10)]})
    view = View(store, {"n": None, "pt": None}, "module", passing)
    for number in [*passing, 9, 3]:
        assert view["n"][number] == number
        assert view["pt"][number].tolist() == list(range(number))
