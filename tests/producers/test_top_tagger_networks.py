"""The two networks of the top tagger: their tables, their files, and what the files compute."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from evproc.producers.top_tagger import resnet50, small_cnn
from evproc.producers.top_tagger.setup import make_resnet50, weights_of
from evproc.sonic_client.brainwave_service import BrainwaveService, onnx_function
from evproc.sonic_client.serving import served
from evproc.sonic_client.transport import open_transport

from .conftest import MODELS
from .test_facile_model import messages, server_configuration


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-50 as the set-up step makes it."""
    return make_resnet50(tmp_path_factory.mktemp("models"))


def run(path: Path | bytes, images: Any) -> Any:
    """scores: (batch, 2) float32, by onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"image": images})[0]


def some_images(count: int) -> Any:
    """(count, 224, 224, 3) float32: a few bright pixels each."""
    rng = np.random.default_rng(2)
    images = np.zeros((count, 224, 224, 3), np.float32)
    for image in images:
        image[rng.integers(60, 160, 40), rng.integers(60, 160, 40)] = rng.dirichlet(np.ones(40))[:, None]
    return images


def test_resnet50_is_the_published_network() -> None:
    """Layer by layer: 53 convolutions with 23,454,912 weights, 26,560 normalised outputs, 23,512,130 parameters."""
    sums = [sum(layer.weights for layer in block) for block in resnet50.blocks()]
    assert resnet50.STEM.weights == 9_408
    assert sums[:3] == [73_728, 69_632, 69_632]
    assert sums[3:7] == [376_832, *[278_528] * 3]
    assert sums[7:13] == [1_507_328, *[1_114_112] * 5]
    assert sums[13:] == [6_029_312, *[4_456_448] * 2]
    layers = resnet50.convolutions()
    assert len(layers) == 53
    assert sum(layer.weights for layer in layers) == 23_454_912
    assert sum(layer.outputs for layer in layers) == 26_560
    assert resnet50.parameter_count() == 23_454_912 + 2 * 26_560 + 4_098 == 23_512_130


def test_the_file_of_resnet50_is_exactly_the_table(resnet_file: Path) -> None:
    """The ONNX file has these layers, these parameters, the moving statistics, nothing else; and it says: untrained."""
    graph = onnx.load(resnet_file).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert (kinds["Conv"], kinds["BatchNormalization"], kinds["Gemm"]) == (53, 53, 1)
    assert (kinds["Add"], kinds["Relu"], kinds["MaxPool"], kinds["GlobalAveragePool"]) == (16, 49, 1, 1)
    sizes = {each.name: int(np.prod(each.dims)) for each in graph.initializer}
    moving = sum(size for name, size in sizes.items() if name.endswith((".mean", ".variance")))
    assert moving == 53_120
    assert sum(sizes.values()) - moving == 23_512_130
    assert weights_of(resnet_file) == "untrained"
    deep = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == "stage4.block3.conv2.weight")
    assert deep.std() == pytest.approx(np.sqrt(2 / (512 * 9)), rel=0.01)


def test_resnet50_runs(resnet_file: Path) -> None:
    """Two pictures give two pairs of probabilities, and each is the same alone, to rounding."""
    images = some_images(2)
    scores = run(resnet_file, images)
    assert scores.shape == (2, 2)
    assert scores.sum(axis=1) == pytest.approx(1.0)
    assert run(resnet_file, images[1:]) == pytest.approx(scores[1:], rel=1e-4, abs=1e-6)
    assert abs(scores[0, 0] - scores[1, 0]) > 1e-4


def test_a_file_that_is_there_is_kept(resnet_file: Path) -> None:
    """The set-up step leaves a network that is there, trained perhaps, as it is."""
    repository, before = resnet_file.parents[2], resnet_file.stat()
    make_resnet50(repository, seed=2)
    assert resnet_file.stat() == before


def test_the_small_network_layer_by_layer() -> None:
    """77,058 parameters, as the table says; the same seed gives the same ones."""
    parameters = small_cnn.small_cnn_parameters(seed=5)
    sizes = [sum(array.size for name, array in parameters.items() if name.startswith(f"{layer}.")) for layer in LAYERS]
    assert sizes == [416, 4_640, 18_496, 36_928, 16_448, 130]
    assert small_cnn.parameter_count() == sum(sizes) == 77_058
    again = small_cnn.small_cnn_parameters(seed=5)
    assert all(array.tobytes() == again[name].tobytes() for name, array in parameters.items())


LAYERS = ("conv1", "conv2", "conv3", "conv4", "hidden", "classes")


def test_the_small_network_sees_only_sums_of_pixels() -> None:
    """What it computes depends on the sums over 7 x 7 pixels: light moved inside of one changes nothing, beyond it does."""
    model = small_cnn.small_cnn_model(small_cnn.small_cnn_parameters()).SerializeToString()
    images = some_images(1).repeat(3, axis=0)
    images[0, 112, 112] += 0.5
    images[1, 118, 118] += 0.5
    images[2, 111, 112] += 0.5
    scores = run(model, images)
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)
    assert scores[2] != pytest.approx(scores[0], rel=1e-5)


def test_the_shipped_network_is_the_table() -> None:
    """The small network's file has the parameters of the table and two constants, and says that it was trained."""
    path = MODELS / "top_tagger" / "1" / "model.onnx"
    graph = onnx.load(path).graph
    sizes = {each.name: int(np.prod(each.dims)) for each in graph.initializer}
    assert sizes.pop("contrast") == sizes.pop("one") == 1
    assert sum(sizes.values()) == 77_058
    assert sizes == {name: array.size for name, array in small_cnn.small_cnn_parameters().items()}
    assert weights_of(path) == "trained"
    assert path.stat().st_size < 1e6


@pytest.mark.parametrize("name", ["resnet50_top_tagger", "top_tagger"])
def test_the_server_configuration_agrees_with_the_interface(name: str) -> None:
    """Triton's configuration names the tensors, types and shapes of the files; 32 pictures fit into one message."""
    config = server_configuration(name)
    ((image,), (scores,)) = config.input, config.output
    assert (config.name, config.backend) == (name, "onnxruntime")
    assert (image.name, list(image.dims), image.data_type) == ("image", [224, 224, 3], messages.TYPE_FP32)
    assert (scores.name, list(scores.dims), scores.data_type) == ("scores", [2], messages.TYPE_FP32)
    assert config.max_batch_size * 224 * 224 * 3 * 4 < 64e6


def test_resnet50_behind_brainwave(resnet_file: Path) -> None:
    """As a Brainwave service: the key of CMS's client, and the scores that onnxruntime gives here, bit for bit."""
    function, image = onnx_function(resnet_file), some_images(1)

    async def ask() -> Any:
        async with served(BrainwaveService(function), "brainwave", path="/resnet50") as address:
            transport = open_transport(address)
            try:
                return await transport.infer("resnet50", "", {"Placeholder:0": image}, ["scores"], timeout=60.0)
            finally:
                await transport.close()

    assert asyncio.run(ask())["scores"].tobytes() == run(resnet_file, image).tobytes()
