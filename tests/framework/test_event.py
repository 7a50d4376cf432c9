"""What a module sees of an event and of a block: declared products, collections, identities; and nothing else."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework.column_making import column_from_array
from evproc.framework.columns import Flat
from evproc.framework.errors import ProductNotFound
from evproc.framework.event import Columns, EventID, EventIDs
from evproc.framework.some_events import Partial
from evproc.framework.store import Store, View
from evproc.framework.testing import make_columns, make_events, make_store

JETS: list[dict[str, Any]] = [
    {"met": 10.0, "Jet": {"pt": [40.0, 30.0], "eta": [0.5, -1.0]}},
    {"met": 20.0, "Jet": {"pt": [], "eta": []}},
    {"met": 30.0, "Jet": {"pt": [20.0], "eta": [2.0]}},
]


def test_an_event_gives_products_and_identity() -> None:
    """event["x"] is the event's own value, event.id names it."""
    events = make_events(JETS, ids=[(1, 2, 3), (1, 2, 4), (1, 3, 1)])
    assert [event["met"] for event in events] == [10.0, 20.0, 30.0]
    assert [event["Jet_pt"].tolist() for event in events] == [[40.0, 30.0], [], [20.0]]
    assert events[2].id == EventID(1, 3, 1)
    assert str(events[2].id) == "run 1, luminosity block 3, event 1"
    assert "event 1" in repr(events[2])


def test_an_event_number_beyond_32_bits_is_kept() -> None:
    """Event numbers are 64 bits wide."""
    (event,) = make_events([{"x": 1}], ids=[(2**32 - 1, 1, 2**64 - 1)])
    assert event.id == EventID(2**32 - 1, 1, 2**64 - 1)


def test_a_collection_gives_its_fields_as_attributes_and_items() -> None:
    """event["Jet"].pt, event["Jet"]["pt"] and event["Jet_pt"] are the same; len is the number of objects."""
    first, second, _ = make_events(JETS)
    assert first["Jet"].pt.tolist() == first["Jet"]["pt"].tolist() == first["Jet_pt"].tolist()
    assert [len(first["Jet"]), len(second["Jet"])] == [2, 0]
    assert repr(first["Jet"]) == "<Jet: pt, eta>"


@pytest.mark.parametrize(("field", "words"), [("pT", "did you mean 'pt'"), ("mass", "it has pt, eta")])
def test_a_field_that_a_collection_lacks_is_named_with_the_nearest(field: str, words: str) -> None:
    """A wrong field is an AttributeError that names the collection and what it has."""
    (event, *_) = make_events(JETS)
    with pytest.raises(AttributeError, match=rf"collection 'Jet' has no field '{field}' here.*{words}"):
        getattr(event["Jet"], field)


def test_a_collection_is_not_a_list_of_objects() -> None:
    """Going through a collection, or taking its first object, is refused in words that say what to write."""
    (event, *_) = make_events(JETS)
    with pytest.raises(TypeError, match=r"its fields are arrays.*\.pt"):
        next(iter(event["Jet"]))
    with pytest.raises(TypeError, match=r"its fields are arrays.*\.pt"):
        _ = event["Jet"][0]


def test_reading_what_is_not_declared_is_an_error_that_names_the_module() -> None:
    """Only declared products can be read, by event and by column; the nearest declared one is shown."""
    store = make_store(JETS)
    store.view = View(store, {"met": None}, "ht")
    with pytest.raises(
        ProductNotFound, match=r"module 'ht' reads 'mett', which it does not declare.*did you mean 'met'"
    ):
        _ = store.events[0]["mett"]
    with pytest.raises(ProductNotFound, match=r"module 'ht' reads 'Jet_pt', which it does not declare"):
        _ = Columns(store.view, None)["Jet_pt"]


def test_a_field_that_is_not_declared_cannot_be_read() -> None:
    """Of a collection only the declared fields are there, in both ways to read."""
    store = make_store(JETS)
    store.view = View(store, {"Jet": ("pt",), "Jet_pt": None}, "ht")
    with pytest.raises(AttributeError, match=r"has no field 'eta' here"):
        _ = store.events[0]["Jet"].eta
    assert Columns(store.view, None)["Jet"].fields == ["pt"]


def test_columns_are_arrays_over_the_events() -> None:
    """columns["x"] is NumPy for numbers, awkward for lists, records for collections; jagged() the bare parts."""
    columns = make_columns(JETS)
    assert isinstance(columns["met"], np.ndarray)
    assert columns["Jet_pt"].tolist() == [[40.0, 30.0], [], [20.0]]
    assert columns["Jet"].tolist()[0] == [{"pt": 40.0, "eta": 0.5}, {"pt": 30.0, "eta": -1.0}]
    offsets, content = columns.jagged("Jet_eta")
    assert (offsets.tolist(), content.tolist()) == ([0, 2, 2, 3], [0.5, -1.0, 2.0])
    assert list(columns.keys()) == ["met", "Jet_pt", "Jet_eta"]
    with pytest.raises(TypeError, match=r"product 'met' is not jagged but flat"):
        columns.jagged("met")


def test_a_collection_of_numbers_is_one_record_per_event() -> None:
    """A collection whose fields are single numbers (MET) reads by columns as well as by event."""
    events = {"MET_pt": np.array([1.0, 2.0]), "MET_phi": np.array([0.1, 0.2])}
    store = make_store(events)
    store.view = View(store, {"MET": ("pt", "phi"), "MET_pt": None, "MET_phi": None}, "test")
    assert store.events[1]["MET"].pt == 2.0
    assert Columns(store.view, None)["MET"].tolist() == [{"pt": 1.0, "phi": 0.1}, {"pt": 2.0, "phi": 0.2}]


@given(st.sets(st.integers(0, 5)))
def test_columns_of_some_events_hold_just_these(chosen: set[int]) -> None:
    """Behind a filter a columnar module sees the columns and identities of the events that reach it."""
    index = sorted(chosen)
    store = make_store({"x": np.arange(6) * 10, "y": ak.Array([[n] * n for n in range(6)])})
    columns = Columns(store.view, index)
    assert len(columns) == len(columns.ids) == len(index)
    assert columns["x"].tolist() == [10 * number for number in index]
    assert columns["y"].tolist() == [[number] * number for number in index]
    assert columns.jagged("y")[1].tolist() == [number for number in index for _ in range(number)]
    assert columns.ids.event.tolist() == index


def test_a_product_of_some_events_cannot_be_read_for_the_others() -> None:
    """Reading a product that was not made for an event names it and the reason, by event and by column."""
    store = make_store({"x": np.arange(4)})
    store.put_values("sum", [1.0, 3.0], [1, 3])
    store.view = View(store, {"sum": None}, "test")
    assert store.events[3]["sum"] == 3.0
    with pytest.raises(ProductNotFound, match=r"product 'sum' was not made for this event"):
        _ = store.events[0]["sum"]
    with pytest.raises(ProductNotFound, match=r"product 'sum' was not made for this event"):
        _ = Columns(store.view, None)["sum"]
    assert Columns(store.view, [1, 3])["sum"].tolist() == [1.0, 3.0]


@given(st.data())
def test_products_put_in_parts_read_the_same_in_every_form(data: st.DataObject) -> None:
    """Whether put by event or by column, in one part or several, nothing first: each event reads its own value."""
    size = data.draw(st.integers(1, 7))
    owner = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))  # 3: never made
    store = make_store({"x": np.arange(size)})
    store.view = View(store, {"p": None}, "test")
    for part in range(3):
        index: list[int] | None = [number for number in range(size) if owner[number] == part]
        values = [100 * part + number for number in index or ()]
        if not index:
            if "p" not in store.columns and "p" not in store.lists:
                store.put_values("p", [], [])
            continue
        if len(index) == size:
            index = None
        if data.draw(st.booleans(), label="look in between"):
            _ = store.per_event("p") if "p" in store.columns or "p" in store.lists else None
        if columnar_of(owner):
            store.put_column("p", Flat(np.array(values)), index)
        else:
            store.put_values("p", values, index)
    made = [number for number in range(size) if owner[number] < 3]
    for number in range(size):
        if number in made:
            assert store.events[number]["p"] == 100 * owner[number] + number
        else:
            with pytest.raises(ProductNotFound):
                _ = store.events[number]["p"]
    if made:
        assert Columns(store.view, made)["p"].tolist() == [100 * owner[number] + number for number in made]


def columnar_of(owner: list[int]) -> bool:
    """Whether the product is made by columns: the same for all parts, as of one module."""
    return sum(owner) % 2 == 0


def test_partial_shows_what_is_absent() -> None:
    """A Partial has a value for some events, also such as are added later; what is absent cannot be taken."""
    partial = Partial("x", [5], [1])
    assert partial[1] == 5
    with pytest.raises(ProductNotFound):
        _ = partial[0]
    partial.add([7, 8], [2, 0])
    assert [partial[number] for number in range(3)] == [8, 5, 7]
    assert sorted(partial.known()) == [5, 7, 8]


def test_values_that_make_no_column_are_named() -> None:
    """A columnar module that reads an object which no column can hold gets the name of the product."""
    store = make_store({"x": np.arange(2)})
    store.put_values("track", [object(), object()], None)
    store.view = View(store, {"track": None}, "test")
    assert store.events[0]["track"] is not store.events[1]["track"]
    with pytest.raises(TypeError, match=r"product 'track': .*object make no column"):
        _ = Columns(store.view, None)["track"]


def test_a_dropped_product_is_gone() -> None:
    """drop() releases column and per-event values alike."""
    store = make_store({"x": np.arange(2)})
    store.per_event("x")
    store.drop("x")
    with pytest.raises(KeyError):
        store.per_event("x")


def test_identities_are_sliced_and_numbered() -> None:
    """Numbered identities go on from entry to entry; slices keep their own."""
    ids = EventIDs.numbered(10, 5).slice(2, 4)
    assert [ids[0], ids[1]] == [EventID(1, 1, 12), EventID(1, 1, 13)]


def test_a_store_reads_from_columns_with_offsets_of_a_chunk() -> None:
    """A block's columns are slices of the chunk's, whose offsets do not begin at 0."""
    column = column_from_array(ak.Array([[1], [2, 3], [], [4]])).slice(1, 4)
    store = Store(3, EventIDs.numbered(1, 3), 1, "")
    store.columns["y"] = column
    store.view = View(store, {"y": None}, "test")
    assert [event["y"].tolist() for event in store.events] == [[2, 3], [], [4]]
    assert Columns(store.view, None).jagged("y")[0].tolist() == [0, 2, 2, 3]
