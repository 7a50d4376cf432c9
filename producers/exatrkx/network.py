"""The four networks of Exa.TrkX, layer by layer: names and shapes of their parameters, and their first values.

    embedding    a point in 8 dimensions for each hit; hits of one track are near each other   1,319,432 parameters
    filter       a first score for each edge of the graph, from its two hits alone             1,055,745
    gnn          the score of each edge, by an attention graph network ("ResAGNN")                44,803
    interaction  the same by an interaction network, to take in place of `gnn`                   516,993

Sources: the-exatrkx-project/exatrkx-service on GitHub (configurations and shipped networks of `embedding`, `filter`, `gnn`),
ytchoutw/exatrkx-acts-demonstrator on GitHub for `interaction`. Of the latter the widths, the depth of the node encoder
and the sum are known; the depths here, five layers in each of four networks and eight at the output, are those that add up
to it. One LayerNorm serves the four hidden layers of `filter`; the published embedding has another that is never used
(1,024 parameters), which is left out.

The arithmetic is in `onnx_models` for serving and, the same, in `torch_networks` for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Parameters: TypeAlias = dict[str, npt.NDArray[np.float32]]
Shapes: TypeAlias = dict[str, tuple[int, ...]]

FEATURES = 3
EMBEDDING_DIMENSIONS = 8
ITERATIONS = 8
"""Of the graph networks; all share their weights."""
DIFFERENCE_GAIN = {"filter": 10.0, "gnn": 30.0}
"""How much larger than usual the first weights on differences of two hits' coordinates are. Hits of a track differ by some
0.01 in scaled coordinates, and what tells tracks apart is smaller still; from ordinary first weights a short training does
not get there (the filter, after as many steps: area under the curve 0.82; with this 0.93)."""


@dataclass(frozen=True, slots=True)
class Perceptron:
    """Dense layers one after another. Hidden ones: linear, LayerNorm if `norm`, activation."""

    name: str
    widths: tuple[int, ...]
    """Of the input and of each layer."""
    activation: str
    """`Tanh` or `Relu`."""
    norm: bool = False
    end: bool = False
    """Whether the last layer, too, is normalised and activated."""

    @property
    def layers(self) -> range:
        """The numbers of the layers."""
        return range(len(self.widths) - 1)

    def activated(self, layer: int) -> bool:
        """Whether a layer has an activation (and, with `norm`, a LayerNorm)."""
        return self.end or layer < len(self.widths) - 2

    def shapes(self) -> Shapes:
        """Names and shapes of the parameters: weights are (outputs, inputs)."""
        shapes: Shapes = {}
        for layer in self.layers:
            inputs, outputs = self.widths[layer : layer + 2]
            shapes[f"{self.name}.{layer}.weight"] = (outputs, inputs)
            shapes[f"{self.name}.{layer}.bias"] = (outputs,)
            if self.norm and self.activated(layer):
                shapes[f"{self.name}.{layer}.norm.weight"] = (outputs,)
                shapes[f"{self.name}.{layer}.norm.bias"] = (outputs,)
        return shapes


EMBEDDING = (Perceptron("embedding", (FEATURES, *[512] * 6, EMBEDDING_DIMENSIONS), "Tanh"),)
FILTER = (
    Perceptron("input", (2 * FEATURES, 512), "Tanh"),
    Perceptron("hidden", (512, *[512] * 4), "Tanh", end=True),
    Perceptron("output", (512, 1), "Tanh"),
)
_STATE = 64 + FEATURES
GNN = (
    Perceptron("input", (FEATURES, 64, 64, 64), "Relu", norm=True, end=True),
    Perceptron("edge", (2 * _STATE, _STATE, _STATE, _STATE, 1), "Relu", norm=True),
    Perceptron("node", (2 * _STATE, 64, 64, 64), "Relu", norm=True),
)
INTERACTION = (
    Perceptron("node_encoder", (FEATURES, *[128] * 5), "Relu", norm=True, end=True),
    Perceptron("edge_encoder", (256, *[128] * 5), "Relu", norm=True, end=True),
    Perceptron("edge", (384, *[128] * 5), "Relu", norm=True, end=True),
    Perceptron("node", (256, *[128] * 5), "Relu", norm=True, end=True),
    Perceptron("output", (256, *[128] * 7, 1), "Relu"),
)
NETWORKS: Mapping[str, tuple[Perceptron, ...]] = {
    "embedding": EMBEDDING,
    "filter": FILTER,
    "gnn": GNN,
    "interaction": INTERACTION,
}


def shapes(network: str) -> Shapes:
    """Names and shapes of all parameters of a network, in the order of its layers."""
    found = {name: shape for part in NETWORKS[network] for name, shape in part.shapes().items()}
    if network == "filter":
        found |= {"hidden.norm.weight": (512,), "hidden.norm.bias": (512,)}
    return found


def parameter_count(network: str) -> int:
    """The number of parameters of a network."""
    return sum(int(np.prod(shape)) for shape in shapes(network).values())


def initial_parameters(network: str, seed: int) -> Parameters:
    """First values, float32: weights uniform within the root of 3 (Tanh) or 6 (Relu) over the inputs; scales of norms 1.

    Biases are 0 with Tanh; with Relu uniform within 1, for a LayerNorm behind a layer without bias sees directions only.
    Half of the units that see two hits begin with their difference, in `filter` and `gnn`; half of those of a hit in `gnn`
    with its messages less three times its state (a hit has about that many good neighbours).
    """
    rng = np.random.default_rng([seed, *network.encode()])
    relu = NETWORKS[network][0].activation == "Relu"
    gain = 6.0 if relu else 3.0
    values: Parameters = {}
    for name, shape in shapes(network).items():
        if len(shape) == 2:
            bound = np.sqrt(gain / shape[1])
            values[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
        elif relu and not name.endswith(("norm.weight", "norm.bias")):
            values[name] = rng.uniform(-1.0, 1.0, shape).astype(np.float32)
        else:
            values[name] = np.full(shape, float(name.endswith("norm.weight")), np.float32)
    if network in DIFFERENCE_GAIN:
        pair = values["input.0.weight"][:256] if network == "filter" else values["edge.0.weight"][:34]
        source, destination = np.split(pair, 2, axis=1)
        source[:, -FEATURES:] *= DIFFERENCE_GAIN[network]
        destination[:] = -source
    if network == "gnn":
        messages, state = np.split(values["node.0.weight"][:32], 2, axis=1)
        state[:] = -3.0 * messages
    return values
