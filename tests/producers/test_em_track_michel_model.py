"""The EmTrackMichelId network: its table, its ONNX file, its set-up step and its training."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper
from tritonclient.grpc import model_config_pb2

from evproc.producers.em_track_michel import set_up
from evproc.producers.em_track_michel.network import (
    CLASSES,
    INPUT,
    LAYERS,
    MICHEL,
    MODEL,
    initial_parameters,
    onnx_model,
)

from .conftest import MODELS


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the set-up step makes without torch, in a repository of its own."""
    repository = tmp_path_factory.mktemp("models")
    copytree(MODELS / MODEL, repository / MODEL, ignore=ignore_patterns("1"))
    set_up.main(["--models", str(repository), "--untrained"])
    return set_up.model_file(repository)


def answers(file: Path, rows: Any) -> tuple[Any, Any]:
    """Both outputs for some patches, by onnxruntime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return tuple(session.run([CLASSES, MICHEL], {INPUT: rows}))  # type: ignore[return-value]


def by_numpy(parameters: Any, rows: Any) -> tuple[Any, Any]:
    """The network as the layer table has it, in NumPy alone."""
    windows = sliding_window_view(rows[..., 0], (5, 5), axis=(1, 2))
    hidden = np.einsum("bwdij,fij->bfwd", windows, parameters["conv.weight"][:, 0])
    hidden = np.maximum(hidden + parameters["conv.bias"][:, None, None], 0).reshape(len(rows), -1)
    for name in ("dense1", "dense2"):
        hidden = np.maximum(hidden @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"], 0)
    classes = np.exp(hidden @ parameters["classes.weight"] + parameters["classes.bias"])
    michel = hidden @ parameters["michel.weight"] + parameters["michel.bias"]
    return classes / classes.sum(axis=1, keepdims=True), 1.0 / (1.0 + np.exp(-michel))


def test_the_table_is_the_published_network() -> None:
    """Layer by layer the parameters of the publication, 11,900,420."""
    assert [layer.parameters for layer in LAYERS] == [1248, 11_894_912, 4128, 99, 33]
    assert sum(layer.parameters for layer in LAYERS) == 11_900_420


def test_the_file_has_exactly_the_table(untrained: Path) -> None:
    """Layer by layer these parameters, nothing else; tensors as the server's configuration has them; it says untrained."""
    model = onnx.load(untrained)
    sizes: dict[str, int] = {}
    for values in model.graph.initializer:
        layer = values.name.partition(".")[0]
        sizes[layer] = sizes.get(layer, 0) + numpy_helper.to_array(values).size
    assert sizes == {layer.name: layer.parameters for layer in LAYERS}
    kinds = [
        "Transpose",
        "Conv",
        "Relu",
        "Flatten",
        "Gemm",
        "Relu",
        "Gemm",
        "Relu",
        "Gemm",
        "Softmax",
        "Gemm",
        "Sigmoid",
    ]
    assert [node.op_type for node in model.graph.node] == kinds
    messages: Any = model_config_pb2
    config = text_format.Parse((MODELS / MODEL / "config.pbtxt").read_text(), messages.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (MODEL, "onnxruntime", 65536)
    assert config.parameters["made_by"].string_value == set_up.COMMAND
    stated = {tensor.name: list(tensor.dims) for tensor in (*config.input, *config.output)}
    found = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert stated == found == {INPUT: [48, 48, 1], CLASSES: [3], MICHEL: [1]}
    assert set_up.notes(untrained) == {"weights": "untrained", "seed": "1"}
    assert set_up.notes(untrained.with_name("none.onnx"))["weights"] == "unknown"


def test_it_computes_what_the_table_says(untrained: Path) -> None:
    """The file's answers are those of the layers in NumPy; a patch has the same alone; the three classes add up to one."""
    rows = np.random.default_rng(1).normal(0.5, 2.0, (5, 48, 48, 1)).astype(np.float32)
    classes, michel = answers(untrained, rows)
    expected = by_numpy(initial_parameters(1), rows)
    assert classes == pytest.approx(expected[0], rel=1e-4, abs=1e-5)
    assert michel == pytest.approx(expected[1], rel=1e-4, abs=1e-5)
    assert classes.sum(axis=1) == pytest.approx(1.0)
    assert answers(untrained, rows[2:3])[0] == pytest.approx(classes[2:3], rel=1e-5, abs=1e-6)


def test_parameters_must_fit() -> None:
    """A parameter that is missing or has another shape is named, before a wrong network is written."""
    parameters = {"conv.weight": np.zeros((48, 1, 3, 3), np.float32)}
    with pytest.raises(ValueError, match=r"conv\.weight must have shape \(48, 1, 5, 5\)"):
        onnx_model(parameters, {})


def test_the_set_up_step_wants_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes nothing where there is no configuration of the model; where it cannot write, it says so before training."""
    with pytest.raises(SystemExit):
        set_up.main(["--models", str(tmp_path)])
    assert "has no em_track_michel/config.pbtxt" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    (tmp_path / MODEL).mkdir()
    (tmp_path / MODEL / "config.pbtxt").touch()
    (tmp_path / MODEL / "1").write_text("no folder")
    with pytest.raises(SystemExit):
        set_up.main(["--models", str(tmp_path)])
    assert "cannot write" in capsys.readouterr().err


def test_a_trained_network_is_the_one_that_is_written(tmp_path: Path) -> None:
    """A pass over a few patches changes the weights; the file answers as torch does, with other rows in the dense matrix."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")
    import torch  # pyright: ignore[reportMissingImports]

    from evproc.producers.em_track_michel import training
    from evproc.producers.onnx_graph import write_onnx

    patches = training.training_patches(1, 5, wires=60, ticks=384, tracks=1, muons=1)
    assert 8 < len(patches) == len(patches.michel) == len(patches.image)
    image = torch.from_numpy(patches.image[:4])
    turned = training.mirrored(image, (1, 2))
    assert (turned[:, 24, 24] == image[:, 24, 24]).all()
    assert (turned[:, 1:, 1:] == image[:, 1:, 1:].flip((1, 2))).all()
    torch.manual_seed(3)
    parts = training.torch_parts()
    write_onnx(onnx_model(training.parameters_of(parts), {}), tmp_path / "model.onnx")
    with torch.no_grad():
        classes, michel = training.forward(parts, image, training=False)
    written = answers(tmp_path / "model.onnx", patches.image[:4])
    assert written[0] == pytest.approx(torch.softmax(classes, 1).numpy(), rel=1e-4, abs=1e-6)
    assert written[1] == pytest.approx(torch.sigmoid(michel).numpy(), rel=1e-4, abs=1e-6)
    few = training.Patches(patches.image[:16], patches.truth[:16], patches.michel[:16])
    trained = training.train(few, seed=3, epochs=1, batch=8)
    assert any((trained[name] != values).any() for name, values in training.parameters_of(parts).items())
