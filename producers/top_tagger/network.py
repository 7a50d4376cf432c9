"""What the two networks of the top tagger have in common: the picture that goes in, and the scores that come out.

ResNet-50 (resnet50.py) is the network of the publications, 23,512,130 trained parameters, 94 MB. The small one
(small_cnn.py) takes the same picture and gives the same scores, so that everything else can be tried in a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evproc.producers.onnx_graph import Graph

from .images import COLOURS, SIDE

INPUT = "image"
"""Name of the input tensor, (batch, 224, 224, 3) float32: pictures by `images.jet_images`."""
OUTPUT = "scores"
"""Name of the output tensor, (batch, 2) float32: a probability per class, in the order of `CLASSES`."""
CLASSES = ("QCD", "top")
IMAGE = (SIDE, SIDE, COLOURS)

Parameters = dict[str, npt.NDArray[np.float32]]
"""Weights by name: `LAYER.weight`, `LAYER.bias`, and so on. Convolutions (out, in, rows, columns), dense (out, in)."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution by a square kernel, padded so that a stride of 1 keeps the size."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        return self.inputs * self.outputs * self.kernel**2

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The kernel's shape: (out, in, rows, columns)."""
        return self.outputs, self.inputs, self.kernel, self.kernel


def he_weights(rng: np.random.Generator, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Normal numbers with a variance of 2 over the number of inputs, for rectifiers (He et al., arXiv:1502.01852)."""
    deviation = np.float32(np.sqrt(2.0 / np.prod(shape[1:])))
    return rng.standard_normal(tuple(shape), dtype=np.float32) * deviation


def convolve(graph: Graph, value: str, layer: Convolution, *parameters: str) -> str:
    """Apply a convolution to (batch, inputs, rows, columns). `parameters` are the names of weight and, if any, bias."""
    half = layer.kernel // 2
    return graph.node(
        "Conv",
        value,
        *parameters,
        label=layer.name,
        kernel_shape=[layer.kernel, layer.kernel],
        strides=[layer.stride, layer.stride],
        pads=[half, half, half, half],
    )
