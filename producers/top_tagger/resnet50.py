"""ResNet-50 with two classes: He et al., arXiv:1512.03385, table 1, with a dense layer of 2,048 to 2 at the end.

    stem       7 x 7 convolution, stride 2, 64 outputs; 3 x 3 maximum, stride 2
    stages     3, 4, 6, 3 blocks of three convolutions: 1 x 1 to 64 (128, 256, 512), 3 x 3, 1 x 1 to four times that.
               What goes into a block is added to what comes out; where the shape changes, through a 1 x 1
               convolution. The first block of stages 2 to 4 halves the picture, in its first convolution as published.
    head       mean over the picture, dense layer, softmax

53 convolutions without bias, 23,454,912 weights, each with a normalisation (scale and shift, 53,120 in all), and the head,
4,098: 23,512,130 parameters. The moving statistics of the normalisations, 53,120 more numbers, are in the file beside them.
Arithmetic: 3.9 billion multiplications for a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evproc.producers.onnx_graph import Graph

from .network import CLASSES, IMAGE, INPUT, OUTPUT, Convolution, Parameters, convolve, he_weights

if TYPE_CHECKING:
    import onnx

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width of the inner convolutions, and number of blocks."""
EXPANSION = 4
FEATURES = 2048
EPSILON = 1e-5
STEM = Convolution("stem", 3, 64, 7, 2)


def blocks() -> list[tuple[Convolution, ...]]:
    """The 16 blocks in order: three convolutions each, and a fourth, the shortcut's, where the shape changes."""
    made: list[tuple[Convolution, ...]] = []
    inputs = STEM.outputs
    for stage, (width, count) in enumerate(STAGES, start=1):
        for block in range(1, count + 1):
            name, outputs = f"stage{stage}.block{block}", EXPANSION * width
            stride = 2 if block == 1 and stage > 1 else 1
            layers = [
                Convolution(f"{name}.conv1", inputs, width, 1, stride),
                Convolution(f"{name}.conv2", width, width, 3),
                Convolution(f"{name}.conv3", width, outputs, 1),
            ]
            if block == 1:
                layers.append(Convolution(f"{name}.shortcut", inputs, outputs, 1, stride))
            made.append(tuple(layers))
            inputs = outputs
    return made


def convolutions() -> list[Convolution]:
    """All 53 convolutions; each has a normalisation behind it."""
    return [STEM, *(layer for block in blocks() for layer in block)]


def parameter_count() -> int:
    """Trained parameters: kernels, scale and shift of each normalisation, and the head. 23,512,130."""
    body = sum(layer.weights + 2 * layer.outputs for layer in convolutions())
    return body + FEATURES * len(CLASSES) + len(CLASSES)


def resnet50_parameters(seed: int = 1) -> Parameters:
    """Weights before any training, by name; the same for the same seed.

    `LAYER.weight` (out, in, rows, columns), `LAYER.scale`, `.shift`, `.mean`, `.variance` (out,) of its normalisation;
    `classes.weight` (2, 2048), `classes.bias` (2,)
    """
    rng = np.random.default_rng(seed)
    parameters: Parameters = {}
    for layer in convolutions():
        parameters[f"{layer.name}.weight"] = he_weights(rng, layer.shape)
        for name, value in (("scale", 1.0), ("shift", 0.0), ("mean", 0.0), ("variance", 1.0)):
            parameters[f"{layer.name}.{name}"] = np.full(layer.outputs, value, np.float32)
    parameters["classes.weight"] = he_weights(rng, (len(CLASSES), FEATURES))
    parameters["classes.bias"] = np.zeros(len(CLASSES), np.float32)
    return parameters


def resnet50_model(parameters: Parameters, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The network as ONNX: `image` (batch, 224, 224, 3) float32 to `scores` (batch, 2) float32.

    parameters: as `resnet50_parameters` names them
    metadata:   what to write into the file's own notes: `untrained_notes`, or what the training was
    """
    graph = Graph("resnet50_top_tagger", metadata)
    image = graph.input(INPUT, ("batch", *IMAGE))
    value = graph.node("Transpose", image, perm=[0, 3, 1, 2])
    value = graph.node("Relu", _normalised(graph, value, STEM, parameters))
    value = graph.node("MaxPool", value, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for first, second, third, *shortcut in blocks():
        hidden = graph.node("Relu", _normalised(graph, value, first, parameters))
        hidden = graph.node("Relu", _normalised(graph, hidden, second, parameters))
        hidden = _normalised(graph, hidden, third, parameters)
        straight = _normalised(graph, value, shortcut[0], parameters) if shortcut else value
        value = graph.node("Relu", graph.node("Add", hidden, straight))
    value = graph.node("Flatten", graph.node("GlobalAveragePool", value))
    weight, bias = (graph.parameter(name, parameters[name]) for name in ("classes.weight", "classes.bias"))
    value = graph.node("Gemm", value, weight, bias, label="classes", transB=1)
    graph.output(OUTPUT, graph.node("Softmax", value, result=OUTPUT, axis=1), ("batch", len(CLASSES)))
    return graph.model()


def _normalised(graph: Graph, value: str, layer: Convolution, parameters: Parameters) -> str:
    """A convolution and its normalisation."""
    names = {
        kind: graph.parameter(f"{layer.name}.{kind}", parameters[f"{layer.name}.{kind}"])
        for kind in ("weight", "scale", "shift", "mean", "variance")
    }
    value = convolve(graph, value, layer, names.pop("weight"))
    return graph.node("BatchNormalization", value, *names.values(), label=f"{layer.name}.norm", epsilon=EPSILON)


def untrained_notes(seed: int) -> dict[str, str]:
    """What is written into the file of a network that nobody has trained."""
    return {"weights": "untrained", "seed": str(seed)}
