"""A small convolutional network with the interface of ResNet-50: 77,058 parameters, trained in minutes on one core.

    picture    the three equal colours become one; 7 x 7 pixels are summed: 32 x 32 pixels of 0.0625 x 0.0625, about
               the size of a tower of CMS's calorimeters
    scale      log(1 + 1000 x): a pixel with 0.1 % of the jet's pT counts a tenth of one with all of it, not a thousandth
    body       convolutions of 5 x 5 and three of 3 x 3, to 16, 32, 64 and 64 outputs, a rectifier behind each, and the
               largest of 2 x 2 pixels
    head       64 x 2 x 2 numbers to 64, rectifier, to 2, softmax

The design is that of jet-image taggers such as arXiv:1803.00107, with fewer and narrower layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evproc.producers.onnx_graph import Graph

from .images import SIDE
from .network import CLASSES, IMAGE, INPUT, OUTPUT, Convolution, Parameters, convolve, he_weights

if TYPE_CHECKING:
    import onnx

POOL = 7
"""Pixels of a side that become one."""
POOLED_SIDE = SIDE // POOL
CONTRAST = 1000.0
"""x becomes log(1 + 1000 x)."""
CONVOLUTIONS = (
    Convolution("conv1", 1, 16, 5),
    Convolution("conv2", 16, 32, 3),
    Convolution("conv3", 32, 64, 3),
    Convolution("conv4", 64, 64, 3),
)
FLAT = 64 * (POOLED_SIDE // 2 ** len(CONVOLUTIONS)) ** 2
HIDDEN = 64
DENSE = (("hidden", FLAT, HIDDEN), ("classes", HIDDEN, len(CLASSES)))


def parameter_count() -> int:
    """All parameters: 416 + 4,640 + 18,496 + 36,928 in the convolutions, 16,448 + 130 in the dense layers."""
    body = sum(layer.weights + layer.outputs for layer in CONVOLUTIONS)
    return body + sum(inputs * outputs + outputs for _, inputs, outputs in DENSE)


def small_cnn_parameters(seed: int = 1) -> Parameters:
    """Weights before any training, by name: `LAYER.weight` and `LAYER.bias`; the same for the same seed."""
    rng = np.random.default_rng(seed)
    parameters: Parameters = {}
    for name, shape in (
        *((layer.name, layer.shape) for layer in CONVOLUTIONS),
        *((name, (outputs, inputs)) for name, inputs, outputs in DENSE),
    ):
        parameters[f"{name}.weight"] = he_weights(rng, shape)
        parameters[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    return parameters


def small_cnn_model(parameters: Parameters, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The network as ONNX: `image` (batch, 224, 224, 3) float32 to `scores` (batch, 2) float32.

    parameters: as `small_cnn_parameters` names them
    metadata:   what to write into the file's own notes
    """
    graph = Graph("top_tagger", metadata)
    image = graph.input(INPUT, ("batch", *IMAGE))
    value = graph.node("Transpose", image, perm=[0, 3, 1, 2])
    value = graph.node("AveragePool", value, kernel_shape=[POOL, POOL], strides=[POOL, POOL])
    value = graph.node("ReduceMean", value, axes=[1], keepdims=1)
    contrast = graph.parameter("contrast", np.array([CONTRAST * POOL**2], np.float32))
    value = graph.node("Mul", value, contrast)
    value = graph.node("Log", graph.node("Add", value, graph.parameter("one", np.ones(1, np.float32))))
    for layer in CONVOLUTIONS:
        value = graph.node("Relu", convolve(graph, value, layer, *_named(graph, layer.name, parameters)))
        value = graph.node("MaxPool", value, kernel_shape=[2, 2], strides=[2, 2])
    value = graph.node("Flatten", value)
    value = graph.node(
        "Relu", graph.node("Gemm", value, *_named(graph, "hidden", parameters), label="hidden", transB=1)
    )
    value = graph.node("Gemm", value, *_named(graph, "classes", parameters), label="classes", transB=1)
    graph.output(OUTPUT, graph.node("Softmax", value, result=OUTPUT, axis=1), ("batch", len(CLASSES)))
    return graph.model()


def _named(graph: Graph, layer: str, parameters: Parameters) -> tuple[str, str]:
    """Weight and bias of a layer."""
    weight, bias = (graph.parameter(f"{layer}.{kind}", parameters[f"{layer}.{kind}"]) for kind in ("weight", "bias"))
    return weight, bias
