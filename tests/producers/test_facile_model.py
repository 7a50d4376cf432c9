"""The FACILE network: its table, the committed model, and its training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import numpy_helper
from tritonclient.grpc import model_config_pb2

from evproc.producers.dense_network import BatchNorm, Dense, parameter_count
from evproc.producers.facile.charge_sum import charge_sum
from evproc.producers.facile.features import channel_features
from evproc.producers.facile.network import INPUT, LAYERS, OUTPUT
from evproc.producers.facile.performance import ENERGY_EDGES
from evproc.producers.facile.sample import make_channels
from evproc.producers.response import performance, performance_in_bins

from .conftest import MODELS, Model

HELD_OUT_SEED = 31
"""Below a million: never trained on."""


messages: Any = model_config_pb2


def server_configuration(name: str) -> Any:
    """A model's config.pbtxt, read strictly: unknown keys are errors."""
    return text_format.Parse((MODELS / name / "config.pbtxt").read_text(), messages.ModelConfig())


def test_the_table_is_the_published_network() -> None:
    """Layer by layer the parameters of the publication: 2,111, of them 1,779 in dense layers and 332 in normalisations."""
    assert [layer.parameters for layer in LAYERS] == [144, 1332, 144, 407, 44, 36, 4]
    assert parameter_count(LAYERS) == 2111
    assert sum(layer.parameters for layer in LAYERS if isinstance(layer, Dense)) == 1779
    assert sum(layer.parameters for layer in LAYERS if isinstance(layer, BatchNorm)) == 332


def test_the_committed_model_is_exactly_the_table() -> None:
    """The ONNX file has these layers in this order, 2,111 parameters and nothing else."""
    model = onnx.load(MODELS / "facile" / "1" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    hidden = ["BatchNormalization", "Gemm", "Relu"]
    assert [node.op_type for node in model.graph.node] == [*hidden, *hidden, *hidden, "Gemm"]
    assert sum(numpy_helper.to_array(values).size for values in model.graph.initializer) == 2111
    used = [name for node in model.graph.node for name in node.input[1:]]
    assert sorted(used) == sorted(values.name for values in model.graph.initializer)
    assert all(np.isfinite(numpy_helper.to_array(values)).all() for values in model.graph.initializer)
    assert model.opset_import[0].version <= 17
    assert model.ir_version <= 9


@pytest.mark.parametrize("name", ["facile", "jet_energy"])
def test_the_server_configuration_agrees_with_the_model(name: str) -> None:
    """Triton's configuration names the tensors, types and shapes that the ONNX file has."""
    config = server_configuration(name)
    graph = onnx.load(MODELS / name / "1" / "model.onnx").graph
    assert (config.name, config.backend) == (name, "onnxruntime")
    assert config.max_batch_size > 0
    for stated, found in ((config.input, graph.input), (config.output, graph.output)):
        ((tensor,), (value,)) = (stated, found)
        shape = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        assert tensor.name == value.name
        assert tensor.data_type == messages.TYPE_FP32
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert ["batch", *tensor.dims] == shape


def test_the_configuration_takes_ten_full_events() -> None:
    """160,000 rows in one request, the batch size of the published server; tensors as the producer names them."""
    config = server_configuration("facile")
    assert config.max_batch_size == 160_000
    assert (config.input[0].name, config.output[0].name) == (INPUT, OUTPUT)


def test_it_beats_the_charge_sum_on_held_out_channels(shipped_model: Callable[[str], Model]) -> None:
    """Resolution 20 % better over all, 15 % better in error, and nowhere worse than the statistics of the bin allow."""
    model = shipped_model("facile")
    events = [make_channels(16_000, HELD_OUT_SEED, number) for number in range(12)]
    true = np.concatenate([event["genEnergy"] for event in events])
    plain = np.concatenate([charge_sum(event) for event in events])
    facile = np.concatenate([model(channel_features(event))[:, 0] for event in events])
    keep = true > 0.1
    true, plain, facile = true[keep], plain[keep], facile[keep]
    ours, other = performance(true, facile), performance(true, plain)
    assert ours.resolution < 0.80 * other.resolution
    assert ours.rms < 0.85 * other.rms
    assert ours.relative_rms < 0.30 * other.relative_rms
    edges = [*ENERGY_EDGES[:9], 400.0]
    for low, mine, sum_ in zip(
        edges, performance_in_bins(true, facile, edges), performance_in_bins(true, plain, edges), strict=False
    ):
        assert mine.resolution < sum_.resolution + sum_.resolution_error, f"above {low} GeV"
        assert mine.response == pytest.approx(1.0, abs=0.25 if low < 0.2 else 0.06), f"above {low} GeV"


def test_a_row_does_not_depend_on_its_batch(shipped_model: Callable[[str], Model]) -> None:
    """A channel alone and among 16,000 others has the same energy, to the rounding of the library; none gives none."""
    model = shipped_model("facile")
    features = channel_features(make_channels(16_000, HELD_OUT_SEED))
    together = model(features)
    alone = np.concatenate([model(features[row : row + 1]) for row in range(50)])
    assert alone == pytest.approx(together[:50], rel=1e-5, abs=1e-6)
    assert model(features[:0]).shape == (0, 1)


def needs_torch() -> None:
    """Skips, with the reason, where training is not installed."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")


def test_a_small_training_learns() -> None:
    """Ten passes over one event come nearer to the true energies than any constant."""
    needs_torch()
    from evproc.producers.dense_network import predictions
    from evproc.producers.facile.training import train, training_channels

    features, energy, plain = training_channels(1, seed=HELD_OUT_SEED)
    assert len(features) == len(energy) == len(plain)
    assert energy.min() > 0.1
    network = train(features, energy, seed=1, epochs=10)
    error = np.abs(predictions(network, features)[:, 0] - energy).mean()
    assert error < 0.5 * np.abs(np.median(energy) - energy).mean()


def test_training_is_reproducible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same bytes, another seed others; the table of figures is printed; nothing else is left."""
    needs_torch()
    from evproc.producers.facile import training

    def made(name: str, seed: int) -> bytes:
        training.main(["--output", str(tmp_path / name), "--events", "3", "--epochs", "1", "--seed", str(seed)])
        return (tmp_path / name).read_bytes()

    first = made("first.onnx", 3)
    assert first == made("second.onnx", 3)
    assert first != made("third.onnx", 4)
    assert "resolution FACILE" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.onnx", "second.onnx", "third.onnx"]


def test_the_onnx_file_is_the_trained_network(tmp_path: Path) -> None:
    """The exported file answers as the network does, and its normalisation has the statistics of the whole sample."""
    needs_torch()
    import onnxruntime
    import torch  # pyright: ignore[reportMissingImports]

    from evproc.producers.dense_network import fix_statistics, onnx_model, predictions, torch_network
    from evproc.producers.onnx_graph import write_onnx

    torch.manual_seed(1)
    network = torch_network((BatchNorm(3), Dense(3, 2), Dense(2, 1, relu=False)))
    inputs = np.random.default_rng(1).normal(5.0, 2.0, (500, 3)).astype(np.float32)
    fix_statistics(network, torch.from_numpy(inputs))
    model = onnx_model(network, "toy", "x", "y")
    mean = next(each for each in model.graph.initializer if each.name == "batchnorm1.mean")
    assert numpy_helper.to_array(mean) == pytest.approx(inputs.mean(axis=0), rel=1e-4)
    write_onnx(model, tmp_path / "toy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "toy.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["y"], {"x": inputs})[0] == pytest.approx(predictions(network, inputs), rel=1e-4, abs=1e-5)
