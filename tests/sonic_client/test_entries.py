"""Ragged events: rows sorted by kind over all events, answers given back in the form of what was given."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401 - hypothesis settings of the tests
from evproc.framework.errors import ModelContractError
from evproc.framework.testing import run_module
from evproc.sonic_client import Client, FakeModel, FakeServer, InferenceService
from evproc.sonic_client.entries import has_lists, is_plain, of_one_kind, plan, size_of
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec

F4, I8, TEXT = np.dtype("f4"), np.dtype("i8"), np.dtype(object)
X, Y, N = TensorSpec("x", F4, (-1,)), TensorSpec("y", F4, (-1,)), TensorSpec("n", I8, (1,))


def model(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (Y, N), batch: int = 8) -> ModelMetadata:
    """A model with these tensors."""
    return ModelMetadata("net", ("1",), "python", batch, inputs or (X,), outputs)


def filled(length: int) -> Any:
    """`length` times the number `length`: (length,) float32."""
    return np.full(length, length, np.float32)


def twice(inputs: dict[str, Any], *, batched: bool) -> dict[str, Any]:
    """y = 2 x, n = the extent of a row."""
    x = inputs["x"]
    return {"y": 2 * x, "n": np.full((len(x), 1) if batched else 1, x.shape[-1])}


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 4), max_size=6)), max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_every_row_gets_its_own_answer(events: list[tuple[bool, list[int]]], batched: bool, coalesce: bool) -> None:
    """Whatever the lengths of the rows, listed or as an array: each event gets what its rows alone would have got."""
    metadata = model(batch=8 if batched else 0)
    work: list[Any] = []
    for listed, lengths in events:
        if listed:
            work.append({"x": [filled(length) for length in lengths]})
        elif batched:
            work.append({"x": np.tile(filled(3), (len(lengths), 1))})
        else:
            work.append({"x": filled(len(lengths))})
    made = plan(work, metadata, (), coalesce=coalesce)
    parcels = [(parcel.inputs(), parcel.rows) for parcel in made.parcels]
    if batched:
        assert all(len(inputs["x"]) == rows >= 1 for inputs, rows in parcels)
    else:
        assert all(rows == 1 for _, rows in parcels)
    if batched and coalesce:
        kinds = {array.shape for tensors in work for array in tensors["x"]}
        assert len(parcels) == len(kinds)
    results = made.results([twice(inputs, batched=batched) for inputs, _ in parcels], ())
    for tensors, outputs in zip(work, results, strict=True):
        if isinstance(tensors["x"], list):
            assert [row.tolist() for row in outputs["y"]] == [(2 * row).tolist() for row in tensors["x"]]
            assert outputs["n"].tolist() == [[len(row)] for row in tensors["x"]]
            assert outputs["n"].dtype == I8
        elif batched or tensors["x"].size:
            assert outputs["y"].tolist() == (2 * tensors["x"]).tolist()


def test_the_four_shapes() -> None:
    """Rows of shapes 2, 4, 1 and 3 are four kinds; four rows of one shape are one, and as rectangular as if given so."""
    lengths = (2, 4, 1, 3)
    ragged = plan([{"x": [filled(length) for length in lengths]}], model(), (), coalesce=True)
    assert [parcel.inputs()["x"].tolist() for parcel in ragged.parcels] == [
        [[2, 2]],
        [[4, 4, 4, 4]],
        [[1]],
        [[3, 3, 3]],
    ]
    even = plan([{"x": [filled(2)] * 4}], model(), (), coalesce=True)
    assert [parcel.inputs()["x"].shape for parcel in even.parcels] == [(4, 2)]
    outputs = even.results([twice(even.parcels[0].inputs(), batched=True)], ())
    assert isinstance(outputs[0]["y"], list)
    assert outputs[0]["n"].shape == (4, 1)


def test_kinds_are_joined_over_events() -> None:
    """Ten events with rows of two shapes are two submissions, not twenty; without coalescing, each event's rows are apart."""
    work: list[Any] = [{"x": [filled(2), filled(5), filled(2)]} for _ in range(10)]
    assert [parcel.rows for parcel in plan(work, model(), (), coalesce=True).parcels] == [20, 10]
    assert [parcel.rows for parcel in plan(work, model(), (), coalesce=False).parcels] == [2, 1] * 10


def test_a_model_without_batches_gets_the_tensors_of_an_event() -> None:
    """An array is the tensor itself, in a request of its own."""
    graph = model(TensorSpec("nodes", F4, (-1, 3)), TensorSpec("edges", I8, (2, -1)), outputs=(Y,), batch=0)
    work: list[Any] = [{"nodes": np.zeros((n, 3), "f4"), "edges": np.zeros((2, 2 * n), "i8")} for n in (4, 0, 5)]
    made = plan(work, graph, (), coalesce=True)
    assert [parcel.inputs()["edges"].shape for parcel in made.parcels] == [(2, 8), (2, 10)]
    assert [
        len(outputs["y"]) for outputs in made.results([{"y": np.zeros(8, "f4")}, {"y": np.zeros(10, "f4")}], ())
    ] == [
        8,
        0,
        10,
    ]


def test_nothing_is_asked_of_a_model_without_batches_if_it_has_an_answer() -> None:
    """Where an output has a fixed extent, only the model knows what it is for tensors without elements."""
    empty: list[Any] = [{"x": filled(0)}]
    assert plan(empty, model(batch=0), ("y",), coalesce=True).parcels == []
    assert len(plan(empty, model(batch=0), (), coalesce=True).parcels) == 1


def test_several_inputs_may_be_lists_and_arrays() -> None:
    """An input of fixed extent may be an array beside one that is a list."""
    two = model(X, TensorSpec("w", F4, (2,)), TensorSpec("mask", F4, (), optional=True))
    work: list[Any] = [
        {"x": [filled(2), filled(3)], "w": np.eye(2, dtype="f4")},
        {"x": (filled(3),), "w": np.ones((1, 2), "f4"), "mask": [np.float32(7)]},
    ]
    made = plan(work, two, (), coalesce=True)
    assert [{name: array.tolist() for name, array in parcel.inputs().items()} for parcel in made.parcels] == [
        {"x": [[2, 2]], "w": [[1, 0]]},
        {"x": [[3, 3, 3]], "w": [[0, 1]]},
        {"x": [[3, 3, 3]], "w": [[1, 1]], "mask": [7]},
    ]


def test_text_may_be_given_as_text() -> None:
    """Arrays of text of fixed width, and rows of bare text, become BYTES tensors."""
    names = model(TensorSpec("name", TEXT, ()), outputs=(TensorSpec("name", TEXT, ()),))
    work: list[Any] = [{"name": np.array(["é", "b"])}, {"name": np.array([b"cc"])}, {"name": ["d", b"\0e"]}]
    made = plan(work, names, (), coalesce=True)
    (parcel,) = made.parcels
    inputs = parcel.inputs()
    assert inputs["name"].dtype == TEXT
    assert inputs["name"].tolist() == ["é", "b", b"cc", "d", b"\0e"]
    outputs = made.results([inputs], ())
    assert [event["name"].tolist() for event in outputs] == [["é", "b"], [b"cc"], ["d", b"\0e"]]
    assert all(event["name"].dtype == TEXT for event in outputs)
    assert size_of(work[0]) == 4 + 2 + 4 + 1


BAD: list[tuple[Any, str]] = [
    ({"x": [filled(2)], "z": [filled(2)]}, "the model has no input 'z'; it has x, w"),
    ({"x": [filled(2)]}, "input 'w' is missing"),
    ({"x": [filled(2)], "w": 3}, "input 'w' should be a list of arrays, or an array, not int"),
    ({"x": [filled(2)], "w": [filled(2), filled(2)]}, "input 'w' has 2 rows, where the one before has 1"),
    ({"x": [filled(2), [1.0]], "w": [filled(2)] * 2}, "row 1 of input 'x' should be an array, not list"),
    ({"x": [filled(2), np.zeros(1)], "w": [filled(2)] * 2}, "row 1 of input 'x' should be float32, not float64"),
    ({"x": [np.zeros((1, 2), "f4")], "w": [filled(2)]}, "row 0 of input 'x' should have shape (any,), not (1, 2)"),
    ({"x": [filled(2)], "w": [filled(3)]}, "row 0 of input 'w' should have shape (2,), not (3,)"),
    (None, "it should be a dict of tensors (x, w), not NoneType"),
]


@pytest.mark.parametrize("batch", [0, 8])
@pytest.mark.parametrize(("bad", "words"), BAD)
def test_a_fault_in_a_list_names_event_row_and_input(bad: Any, words: str, batch: int) -> None:
    """Whatever is wrong with a list is told with the place of its event, before anything is sent."""
    good = {"x": [filled(3)], "w": [filled(2)]}
    with pytest.raises(ModelContractError) as caught:
        plan([good, bad, good], model(X, TensorSpec("w", F4, (2,)), batch=batch), (), coalesce=True)
    assert caught.value.place == 1  # type: ignore[attr-defined]
    assert str(caught.value) == f"what `acquire` returned does not fit model 'net': {words}"


def test_elements_that_are_no_text_are_refused() -> None:
    """Of a BYTES tensor each element is bytes or text."""
    names = model(TensorSpec("name", TEXT, ()))
    for bad, words in (
        (np.array([b"a", 3], object), "should be bytes or text, and has an element of type int"),
        (np.array([1.5]), "should be bytes or text, not float64"),
    ):
        with pytest.raises(ModelContractError, match=words):
            plan([{"name": bad}], names, (), coalesce=True)
        assert size_of({"name": bad}) in (0, 8)


def test_which_work_is_planned() -> None:
    """Rows of one fixed shape take the short way; so do those of one kind for a model of variable extent."""
    fixed = model(TensorSpec("x", F4, (3,)), outputs=(N,))
    assert is_plain(fixed)
    for metadata in (
        model(outputs=(N,)),
        model(TensorSpec("x", F4, (3,))),
        model(TensorSpec("x", F4, (3,)), batch=0),
        model(TensorSpec("x", TEXT, ())),
    ):
        assert not is_plain(metadata)
    arrays: list[Any] = [{"x": np.zeros((2, 3), "f4")}, {"x": np.zeros((0, 3), "f4")}]
    assert of_one_kind(arrays, model(outputs=(N,)))
    assert of_one_kind(arrays[:1], model())
    assert not of_one_kind(arrays, model())  # the second has no rows, and `y` a variable extent
    assert not of_one_kind(arrays, model(batch=0))
    assert not of_one_kind([arrays[0], {"x": np.zeros((2, 4), "f4")}], model())
    assert not of_one_kind([arrays[0], {"x": [filled(1)]}], model())
    assert not of_one_kind([arrays[0], None], model())
    assert has_lists([*arrays, {"x": [filled(1)]}])
    assert not has_lists([*arrays, None])


def network(inputs: dict[str, Any]) -> dict[str, Any]:
    """A score, and a weight for each constituent: (rows, constituents) in, all of one length."""
    total = inputs["pt"].sum(axis=1, keepdims=True)
    return {"score": total, "weights": inputs["pt"] / total}


def test_the_example_of_the_page_runs() -> None:
    """Jets of two and of three constituents, of three events: each is sent once, beside jets of its length only."""
    tagger: Any = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "examples" / "ragged.py"))["JetTagger"]
    outputs = [TensorSpec("score", F4, (1,)), TensorSpec("weights", F4, (-1,))]
    fake = FakeModel("tagger", [TensorSpec("pt", F4, (-1,))], outputs, network)
    events = [
        {"Jet_nConstituents": np.array([2, 3, 2]), "Constituent_pt": np.array([9, 1, 4, 4, 2, 6, 2], "f4")},
        {"Jet_nConstituents": np.array([], int), "Constituent_pt": np.array([], "f4")},
        {"Jet_nConstituents": np.array([2]), "Constituent_pt": np.array([1, 1], "f4")},
    ]
    with FakeServer([fake], keep_inputs=True) as server:
        services = [InferenceService(servers=[server.url])]
        products = run_module(tagger(client=Client(model="tagger")), events, services=services)
        sent = sorted(row.tolist() for request in server.requests for row in request.inputs["pt"])
    assert sent == [[1, 1], [4, 4, 2], [6, 2], [9, 1]]
    assert [product["score"].tolist() for product in products] == [[10, 10, 8], [], [2]]
    assert [product["largest"].tolist() for product in products] == [
        [np.float32(0.9), np.float32(0.4), 0.75],
        [],
        [0.5],
    ]
