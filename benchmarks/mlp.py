"""A small network, as a model repository: 16 inputs, layers of 64 and 32, one output."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = (16, 64, 32, 1)
NAME = "mlp"


def weights(seed: int = 1) -> list[tuple[Any, Any]]:
    """(matrix, bias) of each layer: (in, out) and (out,), float32."""
    random = np.random.default_rng(seed)
    return [
        (
            (random.normal(size=(a, b)) / np.sqrt(a)).astype(np.float32),
            random.normal(size=b).astype(np.float32) * np.float32(0.1),
        )
        for a, b in pairwise(LAYERS)
    ]


def write_repository(folder: Path, max_batch_size: int) -> Path:
    """Write NAME/config.pbtxt and NAME/1/model.onnx."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, initializers, value = [], [], "x"
    for place, (matrix, bias) in enumerate(weights()):
        initializers += [numpy_helper.from_array(matrix, f"w{place}"), numpy_helper.from_array(bias, f"b{place}")]
        last = place == len(LAYERS) - 2
        linear = "y" if last else f"linear{place}"
        nodes.append(helper.make_node("Gemm", [value, f"w{place}", f"b{place}"], [linear]))
        value = linear
        if not last:
            value = f"layer{place}"
            nodes.append(helper.make_node("Relu", [linear], [value]))
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", LAYERS[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", LAYERS[-1]])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    home = folder / NAME
    (home / "1").mkdir(parents=True)
    onnx.save(model, home / "1" / "model.onnx")
    (home / "config.pbtxt").write_text(
        f'name: "{NAME}"\nbackend: "onnxruntime"\nmax_batch_size: {max_batch_size}\n'
        f'input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {LAYERS[0]} ] }} ]\n'
        f'output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {LAYERS[-1]} ] }} ]\n'
    )
    return folder
