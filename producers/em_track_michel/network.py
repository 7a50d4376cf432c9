"""The EmTrackMichelId network of ProtoDUNE-SP: what a hit belongs to, from a picture of the wires around it.

One convolution, two dense layers, two heads: 11,900,420 parameters, nearly all in the first dense layer. It is the variant
of the public Keras training scripts with one 5x5 convolution; tensors are named as in the LArSoft wiki's server example.

Pictures come in with their channel last, as Keras has them. Inside, the channel goes first, which is what ONNX's `Conv`
takes; with a single channel that moves nothing. The rows of the first dense matrix are therefore in the order (channel,
wire, drift), where Keras has (wire, drift, channel): the same network, with rows in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import Graph

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Parameters = Mapping[str, Floats]
"""Name of a tensor, as `dense1.weight`, and its values."""

MODEL = "em_track_michel"
INPUT = "main_input"
"""Name of the input tensor, (batch, 48, 48, 1) float32: wire, drift, channel; see patches.py."""
CLASSES = "em_trk_none_netout/Softmax"
"""Name of an output tensor, (batch, 3) float32: track, em, none; they add up to one."""
MICHEL = "michel_netout/Sigmoid"
"""Name of an output tensor, (batch, 1) float32: how much it looks like a Michel electron, 0 to 1."""
PATCH = 48
"""Pixels of a side of the picture."""
FILTERS, KERNEL = 48, 5
FEATURES = FILTERS * (PATCH - KERNEL + 1) ** 2
"""Numbers between the convolution and the first dense layer: 92,928."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights and biases."""

    name: str
    weight: tuple[int, ...]
    """Shape of its weights, as ONNX takes them: (filters, channels, wires, drift), or (inputs, outputs)."""
    outputs: int
    """Its biases."""

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return int(np.prod(self.weight)) + self.outputs

    @property
    def inputs(self) -> int:
        """Weights that add up to one output."""
        return int(np.prod(self.weight)) // self.outputs


LAYERS: tuple[Layer, ...] = (
    Layer("conv", (FILTERS, 1, KERNEL, KERNEL), FILTERS),
    Layer("dense1", (FEATURES, 128), 128),
    Layer("dense2", (128, 32), 32),
    Layer("classes", (32, 3), 3),
    Layer("michel", (32, 1), 1),
)
"""1,248 + 11,894,912 + 4,128 + 99 + 33 = 11,900,420 parameters. Dropout (0.2, three times) has none, and only trains."""


def initial_parameters(seed: int) -> dict[str, Floats]:
    """Weights as Keras begins with them: uniform after Glorot, biases zero. The same seed gives the same numbers."""
    rng = np.random.default_rng(seed)
    parameters: dict[str, Floats] = {}
    for layer in LAYERS:
        fan_out = layer.outputs * (KERNEL**2 if layer.name == "conv" else 1)
        limit = np.float32(np.sqrt(6.0 / (layer.inputs + fan_out)))
        values = rng.random(layer.weight, dtype=np.float32)
        parameters[f"{layer.name}.weight"] = (2.0 * values - 1.0) * limit
        parameters[f"{layer.name}.bias"] = np.zeros(layer.outputs, np.float32)
    return parameters


def onnx_model(parameters: Parameters, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The network with these parameters as ONNX model; `metadata` is written into the file's own notes.

    raises: ValueError if a parameter is missing, or has another shape than its layer
    """
    for layer in LAYERS:
        for name, shape in ((f"{layer.name}.weight", layer.weight), (f"{layer.name}.bias", (layer.outputs,))):
            if name not in parameters or parameters[name].shape != shape:
                raise ValueError(f"parameter {name} must have shape {shape}")
    graph = Graph(MODEL, metadata)

    def with_parameters(operator: str, value: str, layer: str) -> str:
        names = (graph.parameter(name, parameters[name]) for name in (f"{layer}.weight", f"{layer}.bias"))
        return graph.node(operator, value, *names, label=layer)

    image = graph.input(INPUT, ("batch", PATCH, PATCH, 1))
    hidden = graph.node("Transpose", image, label="channel_first", perm=[0, 3, 1, 2])
    hidden = graph.node("Relu", with_parameters("Conv", hidden, "conv"))
    hidden = graph.node("Flatten", hidden, axis=1)
    hidden = graph.node("Relu", with_parameters("Gemm", hidden, "dense1"))
    hidden = graph.node("Relu", with_parameters("Gemm", hidden, "dense2"))
    classes = graph.node("Softmax", with_parameters("Gemm", hidden, "classes"), result=CLASSES, axis=1)
    michel = graph.node("Sigmoid", with_parameters("Gemm", hidden, "michel"), result=MICHEL)
    graph.output(CLASSES, classes, ("batch", 3))
    graph.output(MICHEL, michel, ("batch", 1))
    return graph.model()
