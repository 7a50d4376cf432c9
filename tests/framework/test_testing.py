"""The helpers for module authors' tests: what goes in, what comes out, and what is said when it cannot."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import ConfigurationError, Event, Input, InputTag, Producer, ProductNotFound
from evproc.framework.columns import Flat
from evproc.framework.testing import make_columns, make_events, run_module
from tests.framework.core_toys import Add, AddColumns, Divisible, Later, LaterFilter, Look, Write


class SumPt(Producer):
    """The sum of the jets' momenta."""

    produces = "float64"

    class Config(Producer.Config):
        jets: InputTag = Input("Jet", fields=["pt"])

    def produce(self, event: Event) -> Any:
        return event[self.config.jets].pt.sum()


class Two(Producer):
    """Two products."""

    produces = {"a": "int64", "b": "int64"}
    consumes = ("x",)

    def produce(self, event: Event) -> Any:
        return {"a": event["x"], "b": -event["x"]}


def test_a_producer_gives_one_product_for_each_event() -> None:
    """The products come in the order of the events, whatever the blocks."""
    events = [{"Jet": {"pt": [40.0, 30.0], "eta": [0.0, 1.0]}}, {"Jet": {"pt": [], "eta": []}}]
    assert run_module(SumPt(), events) == [70.0, 0.0]
    assert run_module(SumPt(), events, block=1) == [70.0, 0.0]


def test_all_kinds_of_modules_run() -> None:
    """Per event, by columns, with work, filters, analyzers and outputs."""
    events = [{"x": number} for number in range(4)]
    assert run_module(Add(plus=1), events) == [1, 2, 3, 4]
    assert run_module(AddColumns(plus=1), events) == [1, 2, 3, 4]
    assert run_module(Later(plus=1), events) == [1, 2, 3, 4]
    assert run_module(Two(), events) == [{"a": number, "b": -number} for number in range(4)]
    assert run_module(Divisible(), events) == [True, False, True, False]
    assert run_module(LaterFilter(by=3), events) == [True, False, False, True]
    assert run_module(Look(), events) == run_module(Write(), events) == [None] * 4
    assert run_module(Add(), {"x": np.zeros(0, int)}) == []


def test_a_module_can_be_run_again_and_keeps_its_label() -> None:
    """A module that has a label already keeps it."""
    module = Add()
    assert run_module(module, [{"x": 1}]) == run_module(module, [{"x": 1}]) == [1]
    assert module.label == "module"


def test_events_may_be_given_as_arrays() -> None:
    """A dict of arrays, of NumPy, awkward, lists or columns, is a column for each product."""
    arrays = {
        "x": np.arange(2),
        "a": ak.Array([[1], []]),
        "l": [[1.0], [2.0, 3.0]],
        "c": Flat(np.ones(2)),
        "s": ["u", "v"],
    }
    first, second = make_events(arrays, ids=[(1, 1, 7), (1, 1, 8)])
    assert (first["x"], first["a"].tolist(), second["l"].tolist(), second["c"], second["s"]) == (
        0,
        [1],
        [2.0, 3.0],
        1.0,
        "v",
    )
    assert second.id.event == 8
    assert make_columns(arrays)["a"].tolist() == [[1], []]


def test_a_list_is_an_array_as_of_a_file() -> None:
    """Lists of numbers become arrays; what is none stays as it is."""
    (event,) = make_events([{"a": [1, 2], "e": [], "n": None, "names": ["a", "b"]}])
    assert event["a"].dtype == np.int64
    assert len(event["e"]) == 0
    assert event["n"] is None
    assert list(event["names"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (
            [{"Jet_pt": [1.0]}, {"Jet_pT": [1.0]}],
            r"event 1 and the first do not hold the same products: 'Jet_p[tT]'; did you",
        ),
        ({"x": np.ones(2), "y": np.ones(3)}, r"the arrays have different numbers of events: \{'x': 2, 'y': 3\}"),
    ],
)
def test_events_that_do_not_fit_together_are_refused(events: Any, words: str) -> None:
    """A typing error in a test's events is found where it is."""
    with pytest.raises(ValueError, match=words):
        make_events(events)
    with pytest.raises(ValueError, match=r"2 identities for 1 events"):
        make_events([{"x": 1}], ids=[(1, 1, 1), (1, 1, 2)])


def test_faults_are_those_of_a_job() -> None:
    """A missing input and an undeclared read are the errors that a job would give."""
    with pytest.raises(
        ConfigurationError, match=r"reads 'x', which nothing makes and events of the test does not hold"
    ):
        run_module(Add(), [{"y": 1}])

    class Sneaky(Add):
        def produce(self, event: Event) -> int:
            return int(event["y"])

    with pytest.raises(ProductNotFound, match=r"reads 'y', which it does not declare"):
        run_module(Sneaky(), [{"x": 1, "y": 2}])
