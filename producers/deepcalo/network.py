"""The DeepCalo network: a small VGG of convolutions, 1,839,201 parameters.

It is the image-only model that the SONIC studies served as "deepcalo_e", layer by layer. An image of 56 x 11 x 4 cells is
up-sampled to 56 x 55 inside the network, so that pixels are about square and five poolings are possible.

Parameters are a plain mapping of arrays, named as in the ONNX file: neither serving nor the untrained network needs torch.
Convolutions are kept as (outputs, inputs, rows, columns), dense weights as (inputs, outputs). What is flattened before the
first dense layer goes row by row, column by column, then the 256 channels, as in Keras.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import Graph

from .detector import COLUMNS, LAYERS, ROWS

if TYPE_CHECKING:
    import onnx

INPUT = "images"
"""Name of the input tensor, (batch, 56, 11, 4) float32, GeV."""
OUTPUT = "energy"
"""Name of the output tensor, (batch, 1) float32, GeV."""
UPSAMPLING = 5
"""How often a column is repeated: 11 become 55."""
EPSILON = 1e-3
"""What is added to the variances, as in Keras."""
SLOPE = 0.3
"""Of the leaky rectifiers, below zero."""

Parameters: TypeAlias = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the table: a layer, with the normalisation and the rectifier behind it where it has them."""

    kind: str
    """upsampling, normalisation, convolution or dense."""
    name: str
    inputs: int
    outputs: int
    kernel: int = 0
    pooled: bool = False
    """Whether a 2 x 2 maximum is taken before it."""
    bias: bool = True
    normalised: bool = True
    """Whether batch normalisation and a leaky rectifier follow; else, for the last layer, a rectifier."""

    @property
    def parameters(self) -> tuple[int, int]:
        """Weights and biases; and those of the normalisation, moving statistics included."""
        if self.kind == "upsampling":
            return 0, 0
        if self.kind == "normalisation":
            return 0, 4 * self.outputs
        weights = self.inputs * self.outputs * (self.kernel**2 if self.kind == "convolution" else 1)
        return weights + self.outputs * self.bias, 4 * self.outputs * self.normalised


def _table() -> Iterator[Layer]:
    yield Layer("upsampling", "upsampling", LAYERS, LAYERS)
    yield Layer("normalisation", "input", LAYERS, LAYERS)
    yield Layer("convolution", "conv1", LAYERS, 16, kernel=5)
    width = 16
    for block in range(2, 6):
        yield Layer("convolution", f"conv{2 * block - 2}", width, 2 * width, kernel=3, pooled=True)
        yield Layer("convolution", f"conv{2 * block - 1}", 2 * width, 2 * width, kernel=3)
        width *= 2
    yield Layer("dense", "dense1", 3 * 3 * width, 256, bias=False)
    yield Layer("dense", "dense2", 256, 256, bias=False)
    yield Layer("dense", "dense3", 256, 1, normalised=False)


TABLE: tuple[Layer, ...] = tuple(_table())
"""Input normalisation; blocks of 1, 2, 2, 2, 2 convolutions with 16 to 256 channels; dense 256, 256, 1."""
STATISTICS = ("mean", "variance")
"""Parameters that are not trained."""


def parameter_count(parameters: Mapping[str, npt.NDArray[Any]], *, trainable: bool = False) -> int:
    """All numbers, or those that are trained."""
    return sum(
        values.size for name, values in parameters.items() if not (trainable and name.rpartition(".")[2] in STATISTICS)
    )


def initial_parameters(seed: int) -> Parameters:
    """An untrained network: He's normal distribution for weights that are rectified, zeros and ones elsewhere."""
    rng = np.random.default_rng(seed)
    parameters: Parameters = {}
    for layer in TABLE:
        if layer.kind in ("convolution", "dense"):
            inputs = layer.inputs * max(layer.kernel, 1) ** 2
            shape: tuple[int, ...] = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
            if layer.kind == "dense":
                shape = (layer.inputs, layer.outputs)
            spread = np.sqrt(2.0 / (1.0 + SLOPE**2) / inputs)
            parameters[f"{layer.name}.weight"] = (spread * rng.standard_normal(shape)).astype(np.float32)
            if layer.bias:
                parameters[f"{layer.name}.bias"] = np.zeros(layer.outputs, np.float32)
        if layer.normalised and layer.kind != "upsampling":
            for name, value in (("scale", 1.0), ("shift", 0.0), ("mean", 0.0), ("variance", 1.0)):
                parameters[f"{layer.name}.{name}"] = np.full(layer.outputs, value, np.float32)
    parameters["dense3.bias"] += np.float32(1.0)  # else half of all untrained networks are silent
    return parameters


def onnx_model(parameters: Parameters, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The network with these parameters: `images` (batch, 56, 11, 4) to `energy` (batch, 1), float32.

    metadata: what to write into the file's own notes
    raises: KeyError if a parameter is missing
    """
    graph = Graph("deepcalo", metadata)

    def parameter(name: str) -> str:
        return graph.parameter(name, parameters[name])

    def normalise(current: str, name: str) -> str:
        inputs = [parameter(f"{name}.{part}") for part in ("scale", "shift", *STATISTICS)]
        return graph.node("BatchNormalization", current, *inputs, label=f"{name}.norm", epsilon=EPSILON)

    images = graph.input(INPUT, ("batch", ROWS, COLUMNS, LAYERS))
    current = graph.node("Transpose", images, label="channels_first", perm=[0, 3, 1, 2])
    flat = False
    for layer in TABLE:
        if layer.kind == "upsampling":
            scales = graph.node("Constant", label="upsampling.scales", value_floats=[1.0, 1.0, 1.0, float(UPSAMPLING)])
            nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            current = graph.node("Resize", current, "", scales, label=layer.name, **nearest)
            continue
        if layer.kind == "normalisation":
            current = normalise(current, layer.name)
            continue
        if layer.pooled:
            pool = f"{layer.name}.pool"
            current = graph.node("MaxPool", current, label=pool, kernel_shape=[2, 2], strides=[2, 2])
        if layer.kind == "dense" and not flat:
            current = graph.node("Transpose", current, label="channels_last", perm=[0, 2, 3, 1])
            current, flat = graph.node("Flatten", current, label="flat"), True
        inputs = [parameter(f"{layer.name}.{part}") for part in ("weight", "bias")[: 1 + layer.bias]]
        if layer.kind == "convolution":
            pads = [layer.kernel // 2] * 4
            current = graph.node("Conv", current, *inputs, label=layer.name, pads=pads)
        else:
            current = graph.node("Gemm", current, *inputs, label=layer.name)
        if layer.normalised:
            current = graph.node("LeakyRelu", normalise(current, layer.name), label=f"{layer.name}.relu", alpha=SLOPE)
    current = graph.node("Relu", current, label=OUTPUT)
    graph.output(OUTPUT, current, ("batch", 1))
    return graph.model()
