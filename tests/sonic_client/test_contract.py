"""The contract with a model: what a producer declares, what acquire returns, what a server answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evproc.framework import EndPath, Event, Process
from evproc.framework.errors import ModelContractError
from evproc.sonic_client.contract import Answers, check_answer, compare, empty_outputs, gather, parse_spec
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.producer import Client, InferenceProducer
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import ModelMetadata, TensorSpec
from tests.framework.core_toys import Look, numbers

F4, I8 = np.dtype("f4"), np.dtype("i8")
X, ID, Y = TensorSpec("x", F4, (2,)), TensorSpec("id", I8, ()), TensorSpec("y", F4, (3,))


def model(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (Y,), batch: int = 8) -> ModelMetadata:
    """A model with these tensors."""
    return ModelMetadata("net", ("1",), "onnxruntime", batch, inputs or (X, ID), outputs)


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        ("float32[36]", "f4", (36,)),
        ("int64", "i8", ()),
        ("FP16[2, 3]", "f2", (2, 3)),
        (" float64 [ ?, 3 ] ", "f8", (-1, 3)),
        ("bool[-1]", "?", (-1,)),
        ("bytes[1]", "O", (1,)),
        ("TYPE_UINT8[]", "u1", ()),
    ],
)
def test_a_type_is_read(text: str, dtype: str, shape: tuple[int, ...]) -> None:
    """NumPy's and the server's words, and extents, `?` for a variable one."""
    assert parse_spec("x", text) == TensorSpec("x", np.dtype(dtype), shape)


@pytest.mark.parametrize("text", ["float33[2]", "float32[a]", "float32(2)", "", "[3]", "float32[2.5]", "float32[-3]"])
def test_a_wrong_type_is_refused_with_the_tensor(text: str) -> None:
    """A text that is no type is a ValueError that names the tensor."""
    with pytest.raises(ValueError, match=r"tensor 'x'"):
        parse_spec("x", text)


GOOD = {"x": "float32[2]", "id": "int64"}


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (GOOD, {"y": "float32[3]"}, []),
        (GOOD, {"y": "float32[?]"}, []),
        ({}, {}, []),
        (GOOD, {"z": "float32[3]"}, ["model 'net' on srv has no output 'z'; it has y"]),
        ({**GOOD, "X": "float32[2]"}, {}, ["model 'net' on srv has no input 'X'; did you mean 'x'?"]),
        ({"x": "float32[2]"}, {}, ["model 'net' on srv needs input 'id', which the producer does not make"]),
        ({**GOOD, "x": "float64[2]"}, {}, ["input 'x' of model 'net' on srv is x: (2) FP32, not x: (2) FP64"]),
        ({**GOOD, "x": "float32[3]"}, {}, ["input 'x' of model 'net' on srv is x: (2) FP32, not x: (3) FP32"]),
        ({**GOOD, "x": "float32"}, {}, ["input 'x' of model 'net' on srv is x: (2) FP32, not x: () FP32"]),
        ({**GOOD, "x": "real"}, {"y": "float32[4]"}, ["tensor 'x'", "output 'y' of model 'net' on srv is y: (3) FP32"]),
    ],
)
def test_declared_tensors_are_held_against_the_model(inputs: Any, outputs: Any, words: list[str]) -> None:
    """Name, type and shape of every declared tensor are compared; all that is wrong is told."""
    wrong = compare(model(), inputs, outputs, "srv")
    assert len(wrong) == len(words)
    assert all(text.startswith(start) for text, start in zip(wrong, words, strict=True)), wrong


@pytest.mark.parametrize(
    ("text", "words"), [("float33[2]", "did you mean 'float32'"), ("complex64", "no inference server")]
)
def test_a_word_that_is_no_type_has_a_hint(text: str, words: str) -> None:
    """A type that is misspelt is answered with the nearest one; one that no server has, with those that there are."""
    with pytest.raises(ValueError, match=words):
        parse_spec("x", text)


def test_a_model_without_batches_is_held_to_its_complete_shapes() -> None:
    """Without batch dimension all extents are declared."""
    assert compare(model(batch=0), GOOD, {"y": "float32[3]"}, "srv") == []
    assert compare(model(batch=0), {**GOOD, "x": "float32[9, 2]"}, {}, "srv") == [
        "input 'x' of model 'net' on srv is x: (2) FP32, not x: (9, 2) FP32"
    ]


def test_a_model_that_does_not_answer_one_by_one_is_refused() -> None:
    """Streams and sequences are told before the first event."""
    streaming = replace(model(), unsupported="is decoupled: it answers in streams of any length")
    assert compare(streaming, {}, {}, "srv") == ["model 'net' on srv is decoupled: it answers in streams of any length"]


def test_what_a_configuration_leaves_out_is_not_missed() -> None:
    """A config.pbtxt may leave the tensors to the model's file."""
    assert compare(ModelMetadata("net", ("1",), "onnxruntime", 8, (), ()), GOOD, {"y": "float32[3]"}, "srv") == []


def test_an_optional_input_need_not_be_made() -> None:
    """Only inputs that must be there are missed."""
    assert compare(model(X, TensorSpec("mask", F4, (2,), optional=True)), {"x": "float32[2]"}, {}, "srv") == []


def tensors(rows: int, first: int = 0) -> dict[str, Any]:
    """Sound inputs of one event."""
    return {"x": np.full((rows, 2), first, "f4"), "id": np.arange(first, first + rows)}


def test_gather_puts_rows_together_and_answers_take_them_apart() -> None:
    """Bounds say whose rows are whose; answers give each event views of its own rows."""
    joined, bounds = gather([tensors(2), tensors(0), tensors(3, 10)], model())
    assert bounds == [0, 2, 2, 5]
    assert joined["id"].tolist() == [0, 1, 10, 11, 12]
    parts = Answers({"id": joined["id"], "x": joined["x"]}, bounds)
    assert [part["id"].tolist() for part in parts] == [[0, 1], [], [10, 11, 12]]
    assert parts.named is None
    alone = Answers({"id": joined["id"]}, bounds)
    assert np.shares_memory(alone[0]["id"], joined["id"])
    assert alone.named is not None
    name, values = alone.named
    assert (name, [value.tolist() for value in values(1, 3)]) == ("id", [[], [10, 11, 12]])


def test_rows_that_do_not_lie_in_order_are_gathered() -> None:
    """Columns stacked and turned round are the usual way to make rows."""
    events = [np.arange(2.0 * jets, dtype=F4).reshape(2, jets) for jets in (3, 5, 0, 1)]
    tensors, bounds = gather([{"x": event.T} for event in events], model(X))
    assert tensors["x"].tolist() == [row for event in events for row in event.T.tolist()]
    assert list(bounds) == [0, 3, 8, 8, 9]


def test_one_event_is_gathered_without_a_copy() -> None:
    """The tensors of a single event go out as they are."""
    work = tensors(3)
    assert gather([work], model())[0]["x"] is work["x"]


BAD: list[tuple[Any, str]] = [
    (None, "it should be a dict of tensors (x, id), not NoneType"),
    ([1], "it should be a dict of tensors (x, id), not list"),
    ({"x": np.zeros((1, 2), "f4")}, "input 'id' is missing"),
    ({**tensors(1), "xx": np.zeros(1)}, "the model has no input 'xx'; did you mean 'x'?"),
    ({**tensors(1), "x": [[1.0, 2.0]]}, "input 'x' should be an array with a row per object, not list"),
    ({**tensors(1), "x": np.float32(1)}, "input 'x' should be an array with a row per object, not float32"),
    ({**tensors(1), "x": np.zeros((1, 2))}, "input 'x' should be float32, not float64"),
    ({**tensors(1), "x": np.zeros((1, 2), "f2")}, "input 'x' should be float32, not float16"),
    ({**tensors(0), "x": np.zeros((0, 2))}, "input 'x' should be float32, not float64"),
    ({**tensors(1), "x": np.zeros((1, 3), "f4")}, "input 'x' should have rows of shape (2,), not (3,)"),
    ({**tensors(1), "x": np.zeros(2, "f4")}, "input 'x' should have rows of shape (2,), not ()"),
    ({**tensors(2), "x": np.zeros((3, 2), "f4")}, "input 'id' has 2 rows, where the one before has 3"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_fault_in_the_tensors_names_the_event(bad: Any, words: str, place: int) -> None:
    """Whatever is wrong with one event's tensors, alone or among others, is told with the event's place."""
    work = [tensors(1), tensors(2), tensors(1)]
    work[place] = bad
    with pytest.raises(ModelContractError) as caught:
        gather(work, model())
    assert caught.value.place == place  # type: ignore[attr-defined]
    assert str(caught.value) == f"what `acquire` returned does not fit model 'net': {words}"
    with pytest.raises(ModelContractError):
        gather([bad], model())


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"y": np.zeros((2, 3), "f4")}, "output 'y' came with 2 rows for 4 rows sent"),
        ({"y": np.zeros((5, 3), "f4")}, "output 'y' came with 5 rows for 4 rows sent"),
        ({"y": np.zeros((), "f4")}, "output 'y' came with 0 rows for 4 rows sent"),
        ({"y": np.zeros((4, 3))}, "output 'y' came as float64, where the model's metadata says float32"),
        ({"y": np.zeros((4, 2), "f4")}, "output 'y' came with rows of shape (2,), not (3,)"),
        ({"y": np.zeros(4, "f4")}, "output 'y' came with rows of shape (), not (3,)"),
    ],
)
def test_an_answer_is_held_against_the_model(outputs: Any, words: str) -> None:
    """Rows, type and shape of an answer are checked; the message names server and model."""
    with pytest.raises(ModelContractError) as caught:
        check_answer(outputs, 4, model(), "grpc://a:1")
    assert str(caught.value) == f"grpc://a:1, model 'net': {words}"


def test_a_right_answer_passes() -> None:
    """An answer with the rows that were sent is sound, whatever the variable extents."""
    check_answer({"y": np.zeros((4, 3), "f4")}, 4, model(), "s")
    check_answer({"y": np.zeros((4, 9), "f4")}, 4, model(outputs=(TensorSpec("y", F4, (-1,)),)), "s")


def test_an_answer_without_batches_is_held_to_its_complete_shape() -> None:
    """A model without batch dimension answers with just the shapes that it states."""
    single = model(outputs=(TensorSpec("y", F4, (-1, 3)),), batch=0)
    check_answer({"y": np.zeros((7, 3), "f4")}, 1, single, "s")
    with pytest.raises(ModelContractError, match=r"'y' came with shape \(7, 2\), not \(-1, 3\)"):
        check_answer({"y": np.zeros((7, 2), "f4")}, 1, single, "s")


def test_outputs_of_no_rows() -> None:
    """An event without rows gets empty outputs of the right types and shapes: those it asked for, or all."""
    more = model(outputs=(Y, TensorSpec("n", I8, (-1, 2))))
    assert {name: (array.shape, array.dtype) for name, array in empty_outputs((), more).items()} == {
        "y": ((0, 3), F4),
        "n": ((0, 0, 2), I8),
    }
    assert list(empty_outputs(("n",), more)) == ["n"]


class Wrong(InferenceProducer):
    """Tensors that do not fit, at event 13."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[2]"}
    consumes = ("x",)

    def acquire(self, event: Event) -> Any:
        return {"x": np.zeros((1, 2), "f8" if event["x"] == 13 else "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        return 0


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("block", [1, 7, 100])
def test_the_event_whose_tensors_do_not_fit_is_named(coalesce: bool, block: int) -> None:
    """The message of the job names module, model and event, with coalescing and without."""
    fake = FakeModel("net", [X], [TensorSpec("y", F4, (2,))], lambda inputs: {"y": inputs["x"]})
    with FakeServer([fake]) as server:
        process = Process("P", block=block)
        process.source, process.look = numbers(40), Look(of=["wrong"])
        process.inference = InferenceService(servers=[server.url])
        process.wrong = Wrong(client=Client(model="net", coalesce=coalesce))
        process.end = EndPath(process.look)
        words = (
            r"module 'wrong' \(Wrong\) .*event 13 .*does not fit model 'net': input 'x' should be float32, not float64"
        )
        with pytest.raises(ModelContractError, match=words):
            process.run()
