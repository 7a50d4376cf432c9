"""Models for the tests of tensors on the real Triton: every type, ragged rows, no batch dimension, checksums."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper

from evproc.sonic_client.checksum_command import with_digests
from evproc.sonic_client.model_config import file_digests
from tests.conftest import EVERY_TYPE, SIXTEEN_IN, mlp_model, onnx_model, write_model

WORDS = (*EVERY_TYPE, "BF16")
"""All types of the protocol but BYTES, which the server's Python backend carries with NumPy 1 only."""

PASSES = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse(self.wanted(request)) for request in requests]

    def wanted(self, request):
        return [tensor for tensor in request.inputs() if tensor.name() in request.requested_output_names()]
"""
COMPUTES = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            given = {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}
            made = {name: np.array(array, order="C") for name, array in compute(**given).items()}
            wanted = request.requested_output_names()
            answers.append(
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor.from_dlpack(name, array) for name, array in made.items() if name in wanted]
                )
            )
        return answers
"""
RAGGED = """
def compute(x):
    return {"y": x, "length": np.full((len(x), 1), x.shape[1])}
"""
GRID = """
def compute(x):
    return {"y": x}
"""
GRAPH = """
def compute(nodes, edges):
    return {"score": nodes[edges[0], 0] + nodes[edges[1], 1], "total": nodes.sum(axis=0, dtype="f8")}
"""
ROWWISE = """
def compute(x):
    return {"y": np.sqrt(np.abs(x[:, :1])) * np.float32(1.7) + x[:, 1:2]}
"""


def tensors(way: str, **described: str) -> str:
    """Lines of a config.pbtxt: name -> type and extents, as `FP32 -1 3`."""
    lines = []
    for name, text in described.items():
        kind, *extents = text.split()
        lines.append(f'{way} [{{ name: "{name}" data_type: TYPE_{kind} dims: [ {", ".join(extents)} ] }}]\n')
    return "".join(lines)


def python(batch: int) -> str:
    """The head of the configuration of a model in Python."""
    return f'backend: "python"\nmax_batch_size: {batch}\n'


def write_repository(folder: Path) -> None:
    """All models of the tests."""
    every = {word: f"{word} -1" for word in WORDS}
    write_model(folder / "types", python(64) + tensors("input", **every) + tensors("output", **every), PASSES)
    ragged = tensors("input", x="FP32 -1") + tensors("output", y="FP32 -1", length="INT64 1")
    write_model(folder / "ragged", python(8) + ragged, COMPUTES + RAGGED)
    grid = tensors("input", x="INT32 -1 -1") + tensors("output", y="INT32 -1 -1")
    write_model(folder / "grid", python(8) + grid, COMPUTES + GRID)
    graph = tensors("input", nodes="FP32 -1 3", edges="INT64 2 -1") + tensors("output", score="FP32 -1", total="FP64 3")
    write_model(folder / "graph", python(0) + graph, COMPUTES + GRAPH)
    rows = tensors("input", x="FP32 2") + tensors("output", y="FP32 1")
    write_model(folder / "rowwise", python(37) + rows, COMPUTES + ROWWISE)

    value = (TensorProto.FLOAT, [2, 3])
    turned = (TensorProto.FLOAT, [3, 2])
    matrix = onnx_model([helper.make_node("Transpose", ["x"], ["y"])], {"x": value}, {"y": turned})
    head = 'backend: "onnxruntime"\nmax_batch_size: 0\n'
    write_model(folder / "matrix", head + tensors("input", x="FP32 2 3") + tensors("output", y="FP32 3 2"), matrix)

    network = 'backend: "onnxruntime"\nmax_batch_size: 4096\n' + SIXTEEN_IN + tensors("output", y="FP32 4")
    write_model(folder / "network", network, mlp_model())
    config = folder / "network" / "config.pbtxt"
    config.write_text(with_digests(config.read_text(), file_digests(folder / "network")))

    stream = "model_transaction_policy { decoupled: true }\n" + rows
    write_model(folder / "stream", python(8) + stream, COMPUTES + ROWWISE)
