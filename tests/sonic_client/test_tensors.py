"""Tensors and their bytes on the wire; the messages that carry them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from evproc.sonic_client import kserve
from evproc.sonic_client.fake_messages import read_request, write_answer
from evproc.sonic_client.messages import service as messages
from evproc.sonic_client.tensors import Rows, TensorSpec, datatype_of, dtype_of, from_wire, to_wire, wire_size

WORDS = (
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
    "BF16",
)


@pytest.mark.parametrize("word", WORDS)
def test_every_type_has_one_word_and_one_dtype(word: str) -> None:
    """The table of types reads the same in both directions, also with the prefix of a model's configuration."""
    assert datatype_of(dtype_of(word)) == word
    assert dtype_of(f"TYPE_{word}") == dtype_of(word)


def test_bfloat16_is_not_mistaken_for_bits() -> None:
    """BF16 is a type of its own, of which a sum is a sum."""
    array = np.array([1.5, 2.5], dtype_of("BF16"))
    assert array.dtype == ml_dtypes.bfloat16
    assert float(from_wire(bytes(to_wire(array)), array.dtype, (2,)).sum()) == 4.0


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", [("a", "f4")], "longdouble"])
def test_a_type_that_no_server_knows_is_refused(dtype: object) -> None:
    """A NumPy type without a word is an error that lists the known ones."""
    with pytest.raises(ValueError, match=r"no inference server knows .* known are BOOL"):
        datatype_of(np.dtype(dtype))  # type: ignore[call-overload]


def test_an_unknown_word_is_refused() -> None:
    """A word that the protocol may get one day is an error, not a guess."""
    with pytest.raises(ValueError, match="'FP8' are not known"):
        dtype_of("FP8")


numbers = st.one_of(
    hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.boolean_dtypes()
)


@given(hnp.arrays(numbers, hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))
def test_numbers_come_back_bit_for_bit(array: np.ndarray) -> None:
    """What goes onto the wire comes back with the same bits, whatever its byte order, NaNs included."""
    little = array.astype(array.dtype.newbyteorder("<"))
    back = from_wire(bytes(to_wire(array)), dtype_of(datatype_of(array.dtype)), array.shape)
    assert back.tobytes() == little.tobytes()
    assert back.shape == array.shape


@given(hnp.arrays("O", hnp.array_shapes(min_dims=0, min_side=0, max_side=4), elements=st.binary(max_size=300)))
def test_bytes_come_back(array: np.ndarray) -> None:
    """Elements of BYTES tensors keep zeros, emptiness and length."""
    back = from_wire(bytes(to_wire(array)), np.dtype(object), array.shape)
    assert back.tolist() == array.tolist()


@given(hnp.arrays("O", hnp.array_shapes(max_side=4), elements=st.one_of(st.binary(max_size=9), st.text(max_size=9))))
def test_bytes_are_those_of_the_reference_client(array: np.ndarray) -> None:
    """BYTES tensors are written as tritonclient writes them, and read as it reads them; `wire_size` is their length."""
    wire = bytes(to_wire(array))
    assert wire == serialize_byte_tensor(array).item()
    assert wire_size(array) == len(wire)
    assert from_wire(wire, array.dtype, array.shape).ravel().tolist() == deserialize_bytes_tensor(wire).tolist()


def test_text_is_sent_as_utf8() -> None:
    """Text is taken for BYTES, as fixed-width arrays of strings are; other objects are refused."""
    for array in (np.array(["é", "b"]), np.array(["é", "b"], object)):
        assert bytes(to_wire(array)) == b"\x02\x00\x00\x00\xc3\xa9\x01\x00\x00\x00b"
    with pytest.raises(ValueError, match="is int, not bytes or str"):
        to_wire(np.array([1, "a"], object))


def test_strided_arrays_are_sent_in_order() -> None:
    """A transposed or sliced array is sent by its indices, not by its memory."""
    array = np.arange(24, dtype="f4").reshape(4, 6)
    for view in (array.T, array[::2, 1:4], array[:, ::-1]):
        assert from_wire(bytes(to_wire(view)), view.dtype, view.shape).tolist() == view.tolist()


def test_contiguous_arrays_are_not_copied() -> None:
    """The bytes of an ordinary array are its own memory, also when it may not be written to."""
    array = np.arange(6, dtype="<f4")
    array.flags.writeable = False
    assert np.shares_memory(np.frombuffer(to_wire(array), np.uint8), array)


def test_answers_own_aligned_memory() -> None:
    """An array from an answer is aligned and writable, wherever its bytes were in the message."""
    data = memoryview(b"?" + np.arange(5.0).tobytes())[1:]
    array = from_wire(data, np.dtype("f8"), (5,))
    array += 1
    assert array.flags.aligned
    assert array.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("data", "dtype", "shape", "words"),
    [
        (b"1234567", "f4", (2,), r"7 bytes, where shape \(2,\) of float32 takes 8"),
        (b"\x02\0\0\0a", "O", (1,), "ends in the middle"),
        (b"\x01\0\0\0a", "O", (2,), "1 BYTES elements, where shape"),
        (b"1234", "f4", (-1, -1), r"its shape is stated as \(-1, -1\)"),
        (b"\x01\0\0\0a", "O", (-1, -1), r"its shape is stated as \(-1, -1\)"),
    ],
)
def test_bytes_that_do_not_fill_the_shape_are_refused(data: bytes, dtype: str, shape: tuple, words: str) -> None:
    """Too few or too many bytes are an error, never an array of another shape."""
    with pytest.raises(ValueError, match=words):
        from_wire(data, np.dtype(dtype), shape)


def test_a_spec_reads_well() -> None:
    """A tensor prints as an author would write it."""
    assert str(TensorSpec("x", np.dtype("f4"), (-1, 16))) == "x: (any, 16) FP32"


INPUTS = {
    "x": np.arange(300, dtype="f4").reshape(100, 3),
    "empty": np.empty((0, 2), "i8"),
    "b": np.array([b"", b"xy"], object),
}


def test_a_request_is_what_protobuf_would_write() -> None:
    """The request that is put together by hand reads, by protobuf, as the message that it should be."""
    request = messages.ModelInferRequest.FromString(kserve.infer_request("m", "3", INPUTS, ("y", "z"), "id-1"))
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "id-1")
    assert [(t.name, t.datatype, tuple(t.shape)) for t in request.inputs] == [
        ("x", "FP32", (100, 3)),
        ("empty", "INT64", (0, 2)),
        ("b", "BYTES", (2,)),
    ]
    assert [output.name for output in request.outputs] == ["y", "z"]
    assert list(request.raw_input_contents) == [bytes(to_wire(array)) for array in INPUTS.values()]


def test_rows_of_several_arrays_are_written_as_one_tensor() -> None:
    """Byte for byte what their joined array would be, also of texts and of arrays that do not lie in order."""
    cut = {
        "x": [slice(0, 1), slice(1, 40), slice(40, 100)],
        "empty": [slice(0, 0)] * 2,
        "b": [slice(0, 1), slice(1, 2)],
    }
    rows = {name: Rows([np.asfortranarray(array[part]) for part in cut[name]]) for name, array in INPUTS.items()}
    assert {name: tensor.nbytes for name, tensor in rows.items()} == {name: a.nbytes for name, a in INPUTS.items()}
    assert kserve.infer_request("m", "3", rows, ("y",)) == kserve.infer_request("m", "3", INPUTS, ("y",))


def test_an_answer_is_read_as_protobuf_would_read_it() -> None:
    """An answer written by protobuf alone is taken apart by hand without a difference, extra outputs left out."""
    answer = messages.ModelInferResponse(model_name="m", model_version="3", id="id-1")
    answer.parameters["cached"].bool_param = True
    for name, array in INPUTS.items():
        answer.outputs.add(name=name, datatype=datatype_of(array.dtype), shape=array.shape)
        answer.raw_output_contents.append(bytes(to_wire(array)))
    outputs = kserve.infer_answer(answer.SerializeToString())
    assert {name: array.tolist() for name, array in outputs.items()} == {n: a.tolist() for n, a in INPUTS.items()}
    assert list(kserve.infer_answer(answer.SerializeToString(), ["b"])) == ["b"]


def test_the_typed_form_of_an_answer_is_read_too() -> None:
    """Servers may send values as numbers of protobuf instead of raw bytes."""
    answer = messages.ModelInferResponse(model_name="m")
    answer.outputs.add(name="y", datatype="INT16", shape=[3, 1]).contents.int_contents.extend([1, -2, 3])
    answer.outputs.add(name="z", datatype="FP32", shape=[2000]).contents.fp32_contents.extend([0.5] * 2000)
    outputs = kserve.infer_answer(answer.SerializeToString(), ["y", "z"])
    assert outputs["y"].dtype == np.int16
    assert outputs["y"].tolist() == [[1], [-2], [3]]
    assert outputs["z"].tolist() == [0.5] * 2000
    answer.outputs[0].shape[0] = 4
    with pytest.raises(ValueError, match=r"'y': 3 values came for shape \(4, 1\)"):
        kserve.infer_answer(answer.SerializeToString())


def test_an_answer_cut_anywhere_is_an_error_or_short_of_outputs() -> None:
    """No prefix of an answer gives an array that was not sent whole."""
    request = read_request(kserve.infer_request("m", "", {"x": np.arange(6.0)}, ()))
    whole = write_answer(request, {"y": np.arange(6.0)}, "1")
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"answer|output|described"):
            kserve.infer_answer(whole[:length], ["y"])


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(data: bytes) -> None:
    """Bytes that are no answer give ValueError, or no outputs; nothing else."""
    try:
        kserve.infer_answer(data, ["y"])
    except ValueError:
        return
    pytest.fail("garbage was taken for an output")
