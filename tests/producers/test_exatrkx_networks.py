"""The networks of Exa.TrkX: parameters counted layer by layer, and the arithmetic of the ONNX files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evproc.producers.exatrkx.network import NETWORKS, initial_parameters, parameter_count, shapes
from evproc.producers.exatrkx.onnx_models import onnx_model
from evproc.producers.exatrkx.training import Hits, turned

COUNTS = {
    "embedding": {"embedding": 2_048 + 5 * 262_656 + 4_104},
    "filter": {"input": 3_584, "hidden": 4 * 262_656 + 1_024, "output": 513},
    "gnn": {"input": 8_960, "edge": 18_627, "node": 17_216},
    "interaction": {
        "node_encoder": 67_840,
        "edge_encoder": 100_224,
        "edge": 116_608,
        "node": 100_224,
        "output": 132_097,
    },
}
TOTALS = {"embedding": 1_319_432, "filter": 1_055_745, "gnn": 44_803, "interaction": 516_993}


@pytest.mark.parametrize("network", NETWORKS)
def test_each_part_has_its_number_of_parameters(network: str) -> None:
    """Layer by layer and in all, in the table and in the ONNX file."""
    counts: dict[str, int] = {}
    for name, shape in shapes(network).items():
        counts[name.split(".")[0]] = counts.get(name.split(".")[0], 0) + int(np.prod(shape))
    assert counts == COUNTS[network]
    assert parameter_count(network) == sum(counts.values()) == TOTALS[network]
    values = initial_parameters(network, 1)
    kept = {tensor.name: int(np.prod(tensor.dims)) for tensor in onnx_model(network, values).graph.initializer}
    assert sum(count for name, count in kept.items() if name in values) == TOTALS[network]


@pytest.mark.parametrize(("network", "layer", "units"), [("filter", "input.0", 256), ("gnn", "edge.0", 34)])
def test_training_begins_with_differences(network: str, layer: str, units: int) -> None:
    """Half of the units that see two hits give nothing for two equal ones before training; the others do."""
    weight = initial_parameters(network, 1)[f"{layer}.weight"]
    both = np.abs(weight @ np.ones(weight.shape[1], np.float32))
    assert both[:units].max() < 1e-4 < np.median(both[units:])


def session(network: str, values: Any) -> Any:
    """The network in onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = onnx_model(network, values).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("network", ["gnn", "interaction", "filter"])
def test_scores_depend_on_the_graph_alone(network: str) -> None:
    """Edges in another order get the same scores; no edges get none; hits without edges change nothing."""
    run = session(network, initial_parameters(network, 1)).run
    rng = np.random.default_rng(3)
    features = rng.uniform(-1.0, 1.0, (12, 3)).astype(np.float32)
    edges = np.array([(i, j) for i in range(10) for j in range(i) if (i + j) % 3]).T
    scores = run(None, {"FEATURES": features, "EDGES": edges})[0].reshape(-1)
    assert np.std(scores) > 0
    order = rng.permutation(edges.shape[1])
    again = run(None, {"FEATURES": features, "EDGES": np.ascontiguousarray(edges[:, order])})[0].reshape(-1)
    assert again == pytest.approx(scores[order], rel=1e-3, abs=1e-4)
    fewer = run(None, {"FEATURES": features[:10], "EDGES": edges})[0].reshape(-1)
    assert fewer == pytest.approx(scores, rel=1e-3, abs=1e-4)
    assert run(None, {"FEATURES": features, "EDGES": edges[:, :0]})[0].size == 0


def test_the_attention_network_is_that_of_its_formula() -> None:
    """One layer after another in NumPy, at double precision, gives the scores of the ONNX file."""
    values = initial_parameters("gnn", 2)
    features = np.random.default_rng(4).uniform(-1.0, 1.0, (8, 3)).astype(np.float32)
    edges = np.array([[1, 2, 3, 4, 7, 7], [0, 1, 1, 3, 2, 0]])

    def layers(name: str, state: Any, activated: int) -> Any:
        count = sum(key.startswith(f"{name}.") and key.endswith(".bias") and "norm" not in key for key in values)
        for layer in range(count):
            state = state @ values[f"{name}.{layer}.weight"].T.astype(float) + values[f"{name}.{layer}.bias"]
            if layer < activated:
                state = (state - state.mean(1, keepdims=True)) / np.sqrt(state.var(1, keepdims=True) + 1e-5)
                state = np.maximum(state, 0.0)
        return state

    x = np.hstack([layers("input", features.astype(float), 3), features])
    source, destination = edges
    for _ in range(8):
        weight = 1.0 / (1.0 + np.exp(-layers("edge", np.hstack([x[source], x[destination]]), 3)))
        sums = np.zeros_like(x)
        np.add.at(sums, destination, weight * x[source])
        np.add.at(sums, source, weight * x[destination])
        x = x + np.hstack([layers("node", np.hstack([sums, x]), 2), features])
    expected = layers("edge", np.hstack([x[source], x[destination]]), 3)[:, 0]
    scores = session("gnn", values).run(None, {"FEATURES": features, "EDGES": edges})[0]
    assert scores == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_other_parameters_are_refused() -> None:
    """The message names what is missing or has another shape."""
    values = initial_parameters("gnn", 1)
    values["edge.3.bias"] = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"edge\.3\.bias"):
        onnx_model("gnn", values)


@pytest.mark.parametrize("network", NETWORKS)
def test_training_and_serving_are_the_same_arithmetic(network: str) -> None:
    """The torch form and the ONNX file agree to 1e-5 of their scale."""
    torch = pytest.importorskip("torch", reason="training needs torch: pip install 'evproc[train]'")
    from evproc.producers.exatrkx.torch_networks import FORWARD

    values = initial_parameters(network, 3)
    rng = np.random.default_rng(5)
    inputs: dict[str, Any] = {"FEATURES": rng.uniform(-1.0, 1.0, (20, 3)).astype(np.float32)}
    if network != "embedding":
        inputs["EDGES"] = np.array([(i, j) for i in range(20) for j in range(i)]).T
    served = session(network, values).run(None, inputs)[0]
    with torch.no_grad():
        trained = FORWARD[network](
            {name: torch.from_numpy(value) for name, value in values.items()},
            *(torch.from_numpy(np.ascontiguousarray(value)) for value in inputs.values()),
        ).numpy()
    assert np.abs(served.reshape(trained.shape) - trained).max() < 1e-5 * np.abs(trained).max()


def test_an_event_comes_back_turned_and_mirrored() -> None:
    """Radii and distances of hits stay, whatever the angle; azimuths stay within their range; truth stays."""
    rng = np.random.default_rng(5)
    features = np.stack([rng.uniform(0, 1, 50), rng.uniform(-1, 1, 50), rng.uniform(-3, 3, 50)], axis=1)
    hits = Hits(features.astype(np.float32), np.arange(50, dtype=np.int32))
    signs = set()
    for _ in range(20):
        back = turned(hits, rng)
        r, phi, z = back.features.T
        assert back.features.dtype == np.float32
        assert r.tobytes() == hits.features[:, 0].tobytes()
        assert back.particle is hits.particle
        assert np.abs(phi).max() <= 1.0
        sign = z / hits.features[:, 2]
        assert set(sign) <= {1.0, -1.0}
        assert np.ptp(sign) == 0.0
        moved, before = (np.exp(1j * np.pi * angles.astype(float)) for angles in (phi, hits.features[:, 1]))
        assert np.abs(np.subtract.outer(moved, moved)) == pytest.approx(
            np.abs(np.subtract.outer(before, before)), abs=1e-5
        )
        turns = (moved / before, moved * before)
        signs.add((sign[0], int(np.ptp(np.abs(turns[0] - turns[0][0])) > 1e-5)))
    assert len(signs) == 4
