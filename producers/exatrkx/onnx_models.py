"""The networks of Exa.TrkX as ONNX graphs, written node by node: the same arithmetic as in `torch_networks`.

Opset 17 and IR version 8: LayerNormalization is of opset 17, ScatterElements that adds (the sum of an edge's messages
at a hit) of opset 16. ONNX Runtime reads it from 1.12 (2022) on; a Triton 24.x container has 1.17 or later.

    embedding     FEATURES (hits, 3)                          -> EMBEDDING (hits, 8)
    filter, gnn,  FEATURES (hits, 3), EDGES (2, edges) int64  -> SCORES (edges, 1) for the filter, (edges,) for the others
    interaction
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evproc.producers.onnx_graph import Graph

from .network import EMBEDDING, FILTER, GNN, INTERACTION, ITERATIONS, Parameters, Perceptron, shapes

if TYPE_CHECKING:
    import onnx

OPSET = 17


def onnx_model(network: str, values: Parameters, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """One of the four networks, with its parameters. Raises ValueError if these are not its own."""
    expected = shapes(network)
    if {name: value.shape for name, value in values.items()} != expected:
        wrong = sorted(name for name in expected.keys() | values.keys() if _shape(values, name) != expected.get(name))
        raise ValueError(f"these are not the parameters of the network {network!r}: {', '.join(wrong)}")
    graph = Graph(f"exatrkx_{network}", metadata, OPSET)
    for name, value in values.items():
        graph.parameter(name, value)
    features = graph.input("FEATURES", ("hits", 3))
    if network == "embedding":
        graph.output("EMBEDDING", _perceptron(graph, EMBEDDING[0], features), ("hits", 8))
        return graph.model()
    edges = graph.input("EDGES", (2, "edges"), np.int64)
    graph.parameter("flat", np.array([-1]))
    for row, end in enumerate(("source", "destination")):
        chosen = graph.node("Gather", edges, graph.parameter(f"row{row}", np.array([row])), axis=0)
        graph.node("Reshape", chosen, "flat", result=end)
    if network == "filter":
        graph.output("SCORES", _filter(graph, features), ("edges", 1))
        return graph.model()
    scores = _gnn(graph, features) if network == "gnn" else _interaction(graph, features)
    graph.output("SCORES", graph.node("Reshape", scores, "flat"), ("edges",))
    return graph.model()


def _shape(values: Parameters, name: str) -> tuple[int, ...] | None:
    return values[name].shape if name in values else None


def _norm(graph: Graph, name: str, state: str) -> str:
    scale, shift = f"{name}.norm.weight", f"{name}.norm.bias"
    return graph.node("LayerNormalization", state, scale, shift, axis=-1, epsilon=1e-5)


def _perceptron(graph: Graph, part: Perceptron, state: str) -> str:
    for layer in part.layers:
        name = f"{part.name}.{layer}"
        state = graph.node("Gemm", state, f"{name}.weight", f"{name}.bias", transB=1)
        if part.activated(layer):
            if part.norm:
                state = _norm(graph, name, state)
            state = graph.node(part.activation, state)
            if f"{part.name}.norm.weight" in graph.parameters:  # the shared one of the filter
                state = _norm(graph, part.name, state)
    return state


def _joined(graph: Graph, *parts: str) -> str:
    return graph.node("Concat", *parts, axis=1)


def _at(graph: Graph, state: str, end: str) -> str:
    """The state of the hit at one end of each edge: (edges, width)."""
    return graph.node("Gather", state, end, axis=0)


def _summed(graph: Graph, state: str, messages: str, end: str) -> str:
    """The sum of the messages of the edges that end at each hit: (hits, width)."""
    zeros = graph.node("Mul", state, "zero")
    where = graph.node("Expand", graph.node("Unsqueeze", end, "flat"), graph.node("Shape", messages))
    return graph.node("ScatterElements", zeros, where, messages, axis=0, reduction="add")


def _filter(graph: Graph, features: str) -> str:
    state = _joined(graph, _at(graph, features, "source"), _at(graph, features, "destination"))
    for part in FILTER:
        state = _perceptron(graph, part, state)
    return state


def _gnn(graph: Graph, features: str) -> str:
    first, edge, node = GNN
    graph.parameter("zero", np.zeros((), np.float32))
    state = _joined(graph, _perceptron(graph, first, features), features)
    for _ in range(ITERATIONS):
        source, destination = _at(graph, state, "source"), _at(graph, state, "destination")
        weight = graph.node("Sigmoid", _perceptron(graph, edge, _joined(graph, source, destination)))
        inwards = _summed(graph, state, graph.node("Mul", weight, source), "destination")
        outwards = _summed(graph, state, graph.node("Mul", weight, destination), "source")
        update = _perceptron(graph, node, _joined(graph, graph.node("Add", inwards, outwards), state))
        state = graph.node("Add", state, _joined(graph, update, features))
    return _perceptron(graph, edge, _joined(graph, _at(graph, state, "source"), _at(graph, state, "destination")))


def _interaction(graph: Graph, features: str) -> str:
    node_encoder, edge_encoder, edge, node, output = INTERACTION
    graph.parameter("zero", np.zeros((), np.float32))

    def ends(state: str) -> tuple[str, str]:
        return _at(graph, state, "source"), _at(graph, state, "destination")

    state = _perceptron(graph, node_encoder, features)
    link = _perceptron(graph, edge_encoder, _joined(graph, *ends(state)))
    for _ in range(ITERATIONS):
        update = _perceptron(graph, node, _joined(graph, state, _summed(graph, state, link, "destination")))
        state = graph.node("Add", state, update)
        link = graph.node("Add", link, _perceptron(graph, edge, _joined(graph, *ends(state), link)))
    return _perceptron(graph, output, _joined(graph, *ends(state)))
