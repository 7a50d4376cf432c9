"""What several groups of tests share: the real Triton, with a small model repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import tests.strategies  # noqa: F401  # the settings of hypothesis, for all tests
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.triton_wheel import install

EVERY_TYPE = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
ONNX_NAME = {"FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE"}


def write_model(folder: Path, config: str, model: onnx.ModelProto | str) -> None:
    """One model of a repository: its configuration, and version 1 as ONNX or as Python."""
    version = folder / "1"
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(dedent(config))
    if isinstance(model, str):
        (version / "model.py").write_text(dedent(model))
    else:
        (version / "model.onnx").write_bytes(model.SerializeToString())


def onnx_model(nodes: list, inputs: dict, outputs: dict, weights: dict | None = None) -> onnx.ModelProto:
    """An ONNX model; inputs and outputs are name: (ONNX type, shape)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def identity_model() -> onnx.ModelProto:
    """y = x, 16 floats a row."""
    value = (TensorProto.FLOAT, ["rows", 16])
    return onnx_model([helper.make_node("Identity", ["x"], ["y"])], {"x": value}, {"y": value})


def mlp_model() -> onnx.ModelProto:
    """16 -> 32 -> 4, with fixed random weights."""
    random = np.random.default_rng(7)
    weights = {
        "w1": random.normal(size=(16, 32)).astype("f4"),
        "b1": random.normal(size=32).astype("f4"),
        "w2": random.normal(size=(32, 4)).astype("f4"),
        "b2": random.normal(size=4).astype("f4"),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["a"]),
        helper.make_node("Gemm", ["a", "w2", "b2"], ["y"]),
    ]
    float_ = TensorProto.FLOAT
    return onnx_model(nodes, {"x": (float_, ["rows", 16])}, {"y": (float_, ["rows", 4])}, weights)


def every_type_model() -> onnx.ModelProto:
    """Each type that ONNX and KServe share, returned as it came."""
    kinds = {word: getattr(TensorProto, ONNX_NAME.get(word, word)) for word in EVERY_TYPE}
    return onnx_model(
        [helper.make_node("Identity", [f"in_{word}"], [f"out_{word}"]) for word in kinds],
        {f"in_{word}": (kind, ["rows", 3]) for word, kind in kinds.items()},
        {f"out_{word}": (kind, ["rows", 3]) for word, kind in kinds.items()},
    )


SIXTEEN_IN = 'input [{ name: "x" data_type: TYPE_FP32 dims: [ 16 ] }]\n'


@pytest.fixture(scope="session")
def triton_wheel() -> Path:
    """The real Triton in the user's data folder, fetched if it is not there."""
    return install()


@pytest.fixture(scope="session")
def model_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary model repository: identity, mlp, bare (no tensors in its configuration), every_type, and python_negate."""
    folder = tmp_path_factory.mktemp("repository")
    one = "instance_group [{ count: 1 kind: KIND_CPU }]\n"
    onnx_head = f'backend: "onnxruntime"\nmax_batch_size: 4096\n{one}'
    write_model(
        folder / "identity",
        onnx_head + SIXTEEN_IN + 'output [{ name: "y" data_type: TYPE_FP32 dims: [ 16 ] }]\n',
        identity_model(),
    )
    write_model(
        folder / "mlp",
        onnx_head + SIXTEEN_IN + 'output [{ name: "y" data_type: TYPE_FP32 dims: [ 4 ] }]\n',
        mlp_model(),
    )
    write_model(folder / "bare", onnx_head, mlp_model())
    tensors = "".join(
        f'{way}put [{{ name: "{way}_{word}" data_type: TYPE_{word} dims: [ 3 ] }}]\n'
        for way in ("in", "out")
        for word in EVERY_TYPE
    )
    write_model(folder / "every_type", onnx_head + tensors, every_type_model())
    write_model(
        folder / "python_negate",
        f'backend: "python"\nmax_batch_size: 64\n{one}'
        'input [{ name: "x" data_type: TYPE_FP64 dims: [ -1 ] }]\n'
        'output [{ name: "y" data_type: TYPE_FP64 dims: [ -1 ] }]\n',
        """
        import numpy as np
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            def execute(self, requests):
                answers = []
                for request in requests:
                    x = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "x"))
                    answers.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", -x)]))
                return answers
        """,
    )
    return folder


@pytest.fixture(scope="session")
def triton(triton_wheel: Path, model_repository: Path) -> Iterator[EmbeddedServer]:
    """The real Triton, serving `model_repository`."""
    with EmbeddedServer(model_repository, http=True) as server:
        yield server
