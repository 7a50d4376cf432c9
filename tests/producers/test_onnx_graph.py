"""ONNX files written node by node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evproc.producers.onnx_graph import Graph, read_parameters, write_onnx


def doubled() -> Graph:
    """A graph that multiplies three numbers by two."""
    graph = Graph("doubled", {"seed": "7"})
    values = graph.input("values", ("batch", 3))
    twice = graph.node("Mul", values, graph.parameter("two", np.array([2], dtype=np.float32)))
    graph.output("twice", twice, ("batch", 3))
    return graph


def test_a_graph_computes_what_its_nodes_say(tmp_path: Path) -> None:
    """The file is read by ONNX Runtime, under the names that were given, and the same graph gives the same bytes."""
    import onnxruntime

    write_onnx(doubled().model(), tmp_path / "deep" / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "deep" / "model.onnx", providers=["CPUExecutionProvider"])
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.asarray(session.run(["twice"], {"values": rows})[0]).tolist() == (2 * rows).tolist()
    assert session.get_modelmeta().custom_metadata_map == {"seed": "7"}
    write_onnx(doubled().model(), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "deep" / "model.onnx").read_bytes()
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["again.onnx", "deep", "model.onnx"]


def test_a_parameter_has_one_value() -> None:
    """Two arrays under one name would leave one of them out of the file."""
    graph = doubled()
    with pytest.raises(ValueError, match="two parameters of 'doubled' are named 'two'"):
        graph.parameter("two", np.zeros(3, dtype=np.float32))


def test_a_wrong_graph_is_refused() -> None:
    """Shapes that do not fit are found when the model is made."""
    import onnx

    graph = Graph("wrong")
    values = graph.input("values", ("batch", 3))
    product = graph.node("MatMul", values, graph.parameter("weight", np.zeros((4, 2), dtype=np.float32)))
    graph.output("result", product, ("batch", 2))
    with pytest.raises(onnx.shape_inference.InferenceError):
        graph.model()


def test_parameters_come_back(tmp_path: Path) -> None:
    """All of a file, or those that are named; a file of another network is refused with what it lacks."""
    path = tmp_path / "model.onnx"
    graph = doubled()
    write_onnx(graph.model(), path)
    back = read_parameters(path)
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: array.tobytes() for name, array in graph.parameters.items()
    }
    assert list(read_parameters(path, ["two"])) == ["two"]
    with pytest.raises(
        ValueError, match=r"model.onnx' is of another network: 1 of 2 parameters are not in it, as three"
    ):
        read_parameters(path, ["two", "three"])
