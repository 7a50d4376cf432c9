"""The DeepCalo network: its table, layer by layer, and the ONNX file that is written of it."""

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

from evproc.producers.deepcalo.cell_sum import cell_sum
from evproc.producers.deepcalo.network import (
    EPSILON,
    SLOPE,
    TABLE,
    Parameters,
    initial_parameters,
    onnx_model,
    parameter_count,
)
from evproc.producers.deepcalo.performance import performance_table
from evproc.producers.deepcalo.showers import make_electrons
from evproc.producers.onnx_graph import write_onnx
from evproc.producers.response import performance

from .conftest import MODELS, Model

PUBLISHED = {
    "upsampling": (0, 0),
    "input": (0, 16),
    "conv1": (1616, 64),
    "conv2": (4640, 128),
    "conv3": (9248, 128),
    "conv4": (18496, 256),
    "conv5": (36928, 256),
    "conv6": (73856, 512),
    "conv7": (147584, 512),
    "conv8": (295168, 1024),
    "conv9": (590080, 1024),
    "dense1": (589824, 1024),
    "dense2": (65536, 1024),
    "dense3": (257, 0),
}
"""Weights with biases, and normalisation with moving statistics."""

HELD_OUT_SEED = 31
"""Below a million: never trained on."""
messages: Any = model_config_pb2


@pytest.fixture(scope="module")
def untrained() -> Parameters:
    """Seeded parameters, with statistics that are not trivial."""
    return initial_parameters(3)


def session(model: onnx.ModelProto, folder: Path) -> Any:
    """The model in onnxruntime, one thread."""
    import onnxruntime

    write_onnx(model, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])


def test_the_table_is_the_published_network(untrained: Parameters) -> None:
    """Layer by layer the parameters of the publication: 1,839,201, of them 1,836,217 trained."""
    assert {layer.name: layer.parameters for layer in TABLE} == PUBLISHED
    assert parameter_count(untrained) == sum(map(sum, PUBLISHED.values())) == 1_839_201
    assert parameter_count(untrained, trainable=True) == 1_836_217
    for layer in TABLE:
        mine = {name: values for name, values in untrained.items() if name.startswith(f"{layer.name}.")}
        normalised = {name: values for name, values in mine.items() if name.split(".")[1] not in ("weight", "bias")}
        assert (parameter_count(mine) - parameter_count(normalised), parameter_count(normalised)) == layer.parameters


def test_the_file_is_exactly_the_table(untrained: Parameters) -> None:
    """The ONNX file has these layers in this order, with the published shapes, 1,839,201 parameters and nothing else."""
    model = onnx_model(untrained, {"weights": "untrained"})
    rectified = ["BatchNormalization", "LeakyRelu"]
    pair = ["Conv", *rectified, "Conv", *rectified]
    blocks = ["Conv", *rectified, *["MaxPool", *pair] * 4, "Transpose", "Flatten", *["Gemm", *rectified] * 2]
    operators = [node.op_type for node in model.graph.node]
    assert operators == ["Transpose", "Constant", "Resize", "BatchNormalization", *blocks, "Gemm", "Relu"]
    assert sum(numpy_helper.to_array(values).size for values in model.graph.initializer) == 1_839_201
    attributes = {node.op_type: {each.name: each for each in node.attribute} for node in model.graph.node}
    assert attributes["LeakyRelu"]["alpha"].f == np.float32(SLOPE) == np.float32(0.3)
    assert attributes["BatchNormalization"]["epsilon"].f == np.float32(EPSILON) == np.float32(1e-3)
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:] for value in inferred}
    assert shapes["upsampling"] == [4, 56, 55]
    assert shapes["conv1"] == [16, 56, 55]
    assert shapes["conv3"] == [32, 28, 27]
    assert shapes["conv5"] == [64, 14, 13]
    assert shapes["conv7"] == [128, 7, 6]
    assert shapes["conv9"] == [256, 3, 3]
    assert shapes["flat"] == [2304]


def test_the_first_layers_are_computed_as_written(untrained: Parameters, tmp_path: Path) -> None:
    """Up to the first convolution: each column five times, normalised, convolved, as NumPy alone does it."""
    parameters = {**untrained, "input.mean": np.arange(4, dtype="f4"), "input.scale": np.full(4, 2, "f4")}
    model = onnx_model(parameters)
    model.graph.output.append(onnx.helper.make_tensor_value_info("conv1", onnx.TensorProto.FLOAT, None))
    image = np.random.default_rng(1).exponential(1.0, (1, 56, 11, 4)).astype(np.float32)
    found = session(model, tmp_path).run(["conv1"], {"images": image})[0][0]
    wide = np.repeat(image[0], 5, axis=1).transpose(2, 0, 1).astype(np.float64)
    wide = (wide - np.arange(4)[:, None, None]) * 2.0 / np.sqrt(1.0 + EPSILON)
    padded = np.pad(wide, ((0, 0), (2, 2), (2, 2)))
    for channel, row, column in ((0, 0, 0), (7, 20, 31), (15, 55, 54)):
        window = padded[:, row : row + 5, column : column + 5]
        expected = (window * parameters["conv1.weight"][channel]).sum() + parameters["conv1.bias"][channel]
        assert found[channel, row, column] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_committed_model_is_the_network(untrained: Parameters) -> None:
    """The file has the nodes and the parameters of the table, finite numbers, and says that it is trained."""
    committed, mine = onnx.load(MODELS / "deepcalo" / "1" / "model.onnx"), onnx_model(untrained)
    assert list(committed.graph.node) == list(mine.graph.node)
    shapes = [{each.name: tuple(each.dims) for each in model.graph.initializer} for model in (committed, mine)]
    assert shapes[0] == shapes[1]
    assert all(np.isfinite(numpy_helper.to_array(values)).all() for values in committed.graph.initializer)
    assert {each.key: each.value for each in committed.metadata_props}["weights"] == "trained"
    config = text_format.Parse((MODELS / "deepcalo" / "config.pbtxt").read_text(), messages.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("deepcalo", "onnxruntime", 1024)
    assert [(each.name, list(each.dims)) for each in config.input] == [("images", [56, 11, 4])]
    assert [(each.name, list(each.dims)) for each in config.output] == [("energy", [1])]


def test_it_beats_the_cell_sum_on_held_out_showers(shipped_model: Callable[[str], Model]) -> None:
    """Of low, middle and high energies it is nearer than the plain sum by more than the errors; and right on average."""
    model = shipped_model("deepcalo")
    for number, energy in enumerate((12.0, 60.0, 300.0)):
        made = make_electrons(200, HELD_OUT_SEED, number, energy=energy)
        true, images = made["genEnergy"], made["cells"]
        ours, plain = performance(true, model(images)[:, 0]), performance(true, cell_sum(images))
        error = np.hypot(ours.resolution_error, plain.resolution_error)
        assert ours.resolution < plain.resolution - error, energy
        assert ours.relative_rms < plain.relative_rms, energy
        assert ours.response == pytest.approx(1.0, abs=0.04), energy
        assert abs(ours.response - 1.0) < abs(plain.response - 1.0), energy


def test_the_table_of_figures_has_every_method() -> None:
    """A row for each bin; response and resolution with its error for each method."""
    true = np.geomspace(5.1, 499.0, 600)
    table = performance_table(true, {"Cell sum": 0.9 * true, "DeepCalo": true}).splitlines()
    assert len(table) == 10
    assert table[2].startswith("| 5-10 | ")
    assert table[2].endswith("| 0.900 | 1.000 | 0.00 +- 0.00 % | 0.00 +- 0.00 % |")
    assert table[-1] == "rms relative error: 0.1000 (Cell sum), 0.0000 (DeepCalo)"


def test_initial_parameters_come_from_the_seed(untrained: Parameters) -> None:
    """The same seed gives the same bytes, another one others."""
    again, other = initial_parameters(3), initial_parameters(4)
    assert all(untrained[name].tobytes() == again[name].tobytes() for name in untrained)
    assert untrained["conv1.weight"].tobytes() != other["conv1.weight"].tobytes()


def test_the_torch_module_is_the_same_network(tmp_path: Path) -> None:
    """With the same parameters, torch and the ONNX file give the same energies; and they come back as they went in."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")
    from evproc.producers.deepcalo.training import predictions, torch_network, trained_parameters

    rng = np.random.default_rng(2)
    parameters = {
        name: values + (0.1 * rng.random(values.shape)).astype(np.float32)
        for name, values in initial_parameters(5).items()
        if not name.endswith("weight")
    }
    parameters = {**initial_parameters(5), **parameters}
    images = rng.exponential(1.0, (3, 56, 11, 4)).astype(np.float32)
    network = torch_network(parameters)
    found = session(onnx_model(parameters), tmp_path).run(["energy"], {"images": images})[0][:, 0]
    assert found == pytest.approx(predictions(network, images), rel=1e-4)
    back = trained_parameters(network)
    assert back.keys() == parameters.keys()
    assert all(back[name].tobytes() == parameters[name].tobytes() for name in parameters)


def test_training_is_reproducible(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same seed gives the same bytes, another seed others; figures are printed; a trained file says that it is."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")
    from evproc.producers.deepcalo import training

    def made(name: str, seed: int) -> bytes:
        sizes = ["--images", "32", "--held-out", "25", "--seed", str(seed)]
        training.main(["--output", str(tmp_path / name), *sizes])
        return (tmp_path / name).read_bytes()

    first = made("first.onnx", 3)
    assert first == made("second.onnx", 3)
    assert first != made("third.onnx", 4)
    assert "resolution DeepCalo" in capsys.readouterr().out
    notes = {each.key: each.value for each in onnx.load(tmp_path / "first.onnx").metadata_props}
    assert (notes["weights"], notes["images"], notes["seed"]) == ("trained", "32", "3")
