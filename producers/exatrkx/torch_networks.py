"""The networks in torch, for training: the same arithmetic as `onnx_models`, on the same dictionary of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .network import EMBEDDING, FILTER, GNN, INTERACTION, ITERATIONS, Perceptron

if TYPE_CHECKING:
    import torch  # pyright: ignore[reportMissingImports]

Tensor: TypeAlias = "torch.Tensor"
Values: TypeAlias = Mapping[str, Any]


def _norm(values: Values, name: str, state: Tensor) -> Tensor:
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    return functional.layer_norm(
        state, state.shape[-1:], values[f"{name}.norm.weight"], values[f"{name}.norm.bias"], 1e-5
    )


def _perceptron(values: Values, part: Perceptron, state: Tensor, joined: bool = False) -> Tensor:
    """The layers one after another; `joined`: the state is what the first linear layer gives."""
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    for layer in part.layers:
        name = f"{part.name}.{layer}"
        if layer or not joined:
            state = functional.linear(state, values[f"{name}.weight"], values[f"{name}.bias"])
        if part.activated(layer):
            if part.norm:
                state = _norm(values, name, state)
            state = state.tanh() if part.activation == "Tanh" else state.relu()
            if f"{part.name}.norm.weight" in values:  # the shared one of the filter
                state = _norm(values, part.name, state)
    return state


def embedding(values: Values, features: Tensor) -> Tensor:
    """features (hits, 3) to points (hits, 8)."""
    return _perceptron(values, EMBEDDING[0], features)


def edge_filter(values: Values, features: Tensor, edges: Tensor) -> Tensor:
    """features (hits, 3) and edges (2, edges) to logits (edges,)."""
    import torch  # pyright: ignore[reportMissingImports]

    state = torch.cat([features[edges[0]], features[edges[1]]], dim=1)
    for part in FILTER:
        state = _perceptron(values, part, state)
    return state[:, 0]


def gnn_rounds(values: Values, features: Tensor, edges: Tensor) -> list[Tensor]:
    """features (hits, 3) and edges (2, edges) to logits (edges,), before each round of messages and after the last one.

    The first layer of an edge is linear in its two hits, so it is computed once for each hit, and added up.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    first, edge, node = GNN
    source, destination = edges
    weight, bias = values["edge.0.weight"], values["edge.0.bias"]
    width = weight.shape[1] // 2

    def scores(state: Tensor) -> Tensor:
        near = functional.linear(state, weight[:, :width]).index_select(0, source)
        link = near + functional.linear(state, weight[:, width:], bias).index_select(0, destination)
        return _perceptron(values, edge, link, joined=True)

    state = torch.cat([_perceptron(values, first, features), features], dim=1)
    rounds = [scores(state)]
    for _ in range(ITERATIONS):
        attention = rounds[-1].sigmoid()
        messages = torch.zeros_like(state).index_add(0, destination, attention * state.index_select(0, source))
        messages = messages.index_add(0, source, attention * state.index_select(0, destination))
        update = _perceptron(values, node, torch.cat([messages, state], dim=1))
        state = state + torch.cat([update, features], dim=1)
        rounds.append(scores(state))
    return [logits[:, 0] for logits in rounds]


def gnn(values: Values, features: Tensor, edges: Tensor) -> Tensor:
    """features (hits, 3) and edges (2, edges) to logits (edges,)."""
    return gnn_rounds(values, features, edges)[-1]


def interaction(values: Values, features: Tensor, edges: Tensor) -> Tensor:
    """features (hits, 3) and edges (2, edges) to logits (edges,)."""
    import torch  # pyright: ignore[reportMissingImports]

    node_encoder, edge_encoder, edge, node, output = INTERACTION
    source, destination = edges
    state = _perceptron(values, node_encoder, features)
    link = _perceptron(values, edge_encoder, torch.cat([state[source], state[destination]], dim=1))
    for _ in range(ITERATIONS):
        messages = torch.zeros_like(state).index_add(0, destination, link)
        state = state + _perceptron(values, node, torch.cat([state, messages], dim=1))
        link = link + _perceptron(values, edge, torch.cat([state[source], state[destination], link], dim=1))
    return _perceptron(values, output, torch.cat([state[source], state[destination]], dim=1))[:, 0]


FORWARD: Mapping[str, Callable[..., Tensor]] = {
    "embedding": embedding,
    "filter": edge_filter,
    "gnn": gnn,
    "interaction": interaction,
}
