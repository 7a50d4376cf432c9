"""Cut filters decide as a loop over events would."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import Columns, Filter
from evproc.modules import CountFilter, RangeFilter, ScalarSumFilter

Make = Callable[..., Columns]
NUMBERS = [60.0, 60.1, math.nan, 119.9, 120.0, math.inf, -math.inf, -1.0]


@pytest.mark.parametrize(("above", "below"), [(60.0, 120.0), (60.0, None), (None, 120.0)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_range_passes_what_lies_inside(make_columns: Make, above: Any, below: Any, dtype: str) -> None:
    """The limits themselves, and what is not a number, do not pass."""
    values = np.array(NUMBERS, dtype=dtype)
    passed = RangeFilter(of="mass", above=above, below=below).filter_columns(make_columns({"mass": values}))
    wanted = [bool((above is None or v > above) and (below is None or v < below) and not math.isnan(v)) for v in values]
    assert passed.dtype == np.bool_
    assert passed.tolist() == wanted


@pytest.mark.parametrize(("least", "most"), [(2, None), (None, 1), (1, 2), (2, 2), (0, 0)])
def test_counts_include_the_limits(make_columns: Make, least: Any, most: Any) -> None:
    """`at_least` and `at_most` pass at the limit, for a product, for a collection, for lists of lists and slices."""
    lists = ak.Array([[1.0], [], [1.0, 2.0], [3.0, 4.0, 5.0]])
    wanted = [(least is None or n >= least) and (most is None or n <= most) for n in (1, 0, 2, 3)]
    columns = make_columns({"Jet_pt": lists, "Jet_eta": lists}, collections={"Jet": ("pt", "eta")})
    for of in ("Jet_pt", "Jet"):
        assert CountFilter(of=of, at_least=least, at_most=most).filter_columns(columns).tolist() == wanted
    nested = make_columns({"x": ak.Array([[[1]], [], [[], [1]], [[], [], []]])})
    assert CountFilter(of="x", at_least=least, at_most=most).filter_columns(nested).tolist() == wanted


def test_sums_do_not_depend_on_the_block(make_columns: Make) -> None:
    """A sum in double precision, row after row, is the same for blocks of one event and for all."""
    random = np.random.default_rng(7)
    counts = random.integers(0, 40, 300)
    content = (random.normal(0, 1000, counts.sum())).astype(np.float32)
    lists = ak.unflatten(content, counts)
    sums = []
    for values in lists:
        total = 0.0
        for value in values:
            total += float(value)
        sums.append(total)
    threshold = sums[17]
    cut = ScalarSumFilter(of="pt", above=threshold)
    wanted = [value > threshold for value in sums]
    assert cut.filter_columns(make_columns({"pt": lists})).tolist() == wanted
    single = [cut.filter_columns(make_columns({"pt": lists[n : n + 1]})).tolist()[0] for n in range(300)]
    assert single == wanted


def test_sums_of_nothing_of_arrays_and_of_nan(make_columns: Make) -> None:
    """An empty list sums to 0, a fixed-size array is a list, NaN never passes."""
    lists = ak.Array([[], [1.0, math.nan], [2.0, 3.0]])
    columns = make_columns({"x": lists, "y": np.array([[1, 2], [3, 4], [0, 0]])})
    assert ScalarSumFilter(of="x", above=-1.0).filter_columns(columns).tolist() == [True, False, True]
    assert ScalarSumFilter(of="x", below=1.0).filter_columns(columns).tolist() == [True, False, False]
    assert ScalarSumFilter(of="y", above=2.5, below=7.0).filter_columns(columns).tolist() == [True, False, False]


def test_wrong_shapes_are_named(make_columns: Make) -> None:
    """A filter that is given a list for a number, or the reverse, says which product and what to use."""
    columns = make_columns({"n": np.arange(3), "x": ak.Array([[1.0], [], [2.0]]), "s": ak.Array(["a", "b", "c"])})
    with pytest.raises(TypeError, match="'x' is not one number per event; use CountFilter"):
        RangeFilter(of="x", above=1.0).filter_columns(columns)
    with pytest.raises(TypeError, match="'n' is not a list per event; use RangeFilter"):
        CountFilter(of="n", at_least=1).filter_columns(columns)
    with pytest.raises(TypeError, match="'s' is not a list of numbers"):
        ScalarSumFilter(of="s", above=1.0).filter_columns(columns)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (RangeFilter(of="x"), "give above, below or both"),
        (RangeFilter(of="x", above=2.0, below=1.0), "nothing passes: above is 2.0, below 1.0"),
        (ScalarSumFilter(of="x", above=1.0, below=1.0), "nothing passes"),
        (CountFilter(of="x"), "give at_least, at_most or both"),
        (CountFilter(of="x", at_least=3, at_most=2), "nothing passes"),
    ],
)
def test_limits_that_make_no_sense_are_faults(cut: Filter, message: str) -> None:
    """A cut that passes everything or nothing is a fault before the first event."""
    (fault,) = cut.check()
    assert message in fault.message
    assert CountFilter(of="x", at_least=2, at_most=2).check() == []
    assert RangeFilter(of="x", above=math.nan).faults()
