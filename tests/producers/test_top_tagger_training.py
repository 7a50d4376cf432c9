"""Training of the top tagger's networks: what torch computes is what the ONNX files compute, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.producers.top_tagger.reading import Pixels
from evproc.producers.top_tagger.resnet50 import resnet50_model, resnet50_parameters
from evproc.producers.top_tagger.small_cnn import CONTRAST, small_cnn_model, small_cnn_parameters

from .test_top_tagger_networks import run, some_images


@pytest.fixture(autouse=True)
def needs_torch() -> None:
    """Skips, with the reason, where training is not installed."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")


def changed(parameters: Any) -> Any:
    """Weights with which no shift is 0 and no scale 1, as after training."""
    rng = np.random.default_rng(6)
    return {
        name: (array * rng.uniform(0.8, 1.2, array.shape) + 0.01).astype("f4") for name, array in parameters.items()
    }


def test_the_small_network_is_its_file() -> None:
    """The same weights give the same scores from 32 x 32 pixels in torch and from 224 x 224 in the file, and come back."""
    from evproc.producers.top_tagger.training import parameters_of, scores_of, torch_network

    parameters = changed(small_cnn_parameters())
    images = some_images(3)
    network = torch_network(parameters)
    back = parameters_of(network)
    assert all(back[name].tobytes() == array.tobytes() for name, array in parameters.items())
    coarse = images[..., 0].reshape(3, 32, 7, 32, 7).sum(axis=(2, 4))
    expected = run(small_cnn_model(parameters).SerializeToString(), images)[:, 1]
    assert scores_of(network, coarse) == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert CONTRAST == 1000.0


def test_resnet50_is_its_file() -> None:
    """The same weights give the same scores in torch, with its moving statistics, and come back."""
    from evproc.producers.top_tagger.resnet50_training import parameters_of, scores_of, torch_resnet50

    parameters = changed(resnet50_parameters())
    images = some_images(1)
    network = torch_resnet50(parameters)
    back = parameters_of(network)
    assert back.keys() == parameters.keys()
    assert all(back[name].tobytes() == array.tobytes() for name, array in parameters.items())
    where = np.flatnonzero(images[0, ..., 0])
    sample = Pixels(
        np.array([0, len(where)]), where.astype("i4"), images[0, ..., 0].ravel()[where], np.ones(1, np.int32)
    )
    assert sample.images(np.array([0])).tobytes() == images[..., 0].tobytes()
    expected = run(resnet50_model(parameters).SerializeToString(), images)[:, 1]
    assert scores_of(network, sample, "cpu") == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_small_training_learns(capsys: pytest.CaptureFixture[str]) -> None:
    """Spots and rings are told from one another after a few passes."""
    from evproc.producers.top_tagger.performance import roc_curve
    from evproc.producers.top_tagger.training import scores_of, train

    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 256).astype(np.int32)
    angle = rng.uniform(0, 2 * np.pi, (256, 20))
    radius = (5 * labels[:, None] + rng.normal(0, 1, (256, 20))).clip(-12, 12)
    images = np.zeros((256, 32, 32), np.float32)
    rows, columns = ((16 + radius * wave(angle)).astype(int) for wave in (np.cos, np.sin))
    np.add.at(images, (np.arange(256)[:, None], rows, columns), np.float32(0.05))
    network = train(images, labels, seed=4, epochs=4)
    assert roc_curve(scores_of(network, images), labels).area > 0.95
    assert "epoch 4 of 4" in capsys.readouterr().out


def test_resnet50_can_be_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A step of each leg changes all weights and the moving statistics; a file of it can be gone on from."""
    import torch  # pyright: ignore[reportMissingImports]

    from evproc.producers.onnx_graph import read_parameters, write_onnx
    from evproc.producers.top_tagger import resnet50_training

    torch.set_num_threads(1)
    sample = Pixels(np.array([0, 2, 3]), np.array([5, 9, 25_000], "i4"), np.ones(3, "f4"), np.array([0, 1], "i4"))
    before = resnet50_training.first_parameters(1)
    legs = [resnet50_training.Leg(112, 1, 1e-3), resnet50_training.Leg(224, 1, 1e-3)]
    network = resnet50_training.train(sample, before, seed=1, legs=legs, teacher=np.array([0.2, 0.9], "f4"))
    after = resnet50_training.parameters_of(network)
    assert all(
        (before[name] != array).any() for name, array in after.items() if name.endswith((".mean", "classes.weight"))
    )
    assert "112 x 112, 1/1" in (printed := capsys.readouterr().out)
    assert "224 x 224, 1/1" in printed
    write_onnx(resnet50_model(after), tmp_path / "model.onnx")
    back = read_parameters(tmp_path / "model.onnx", after)
    assert all(back[name].tobytes() == array.tobytes() for name, array in after.items())


def test_every_block_begins_as_nothing() -> None:
    """What training begins from adds nothing in a block, and is the untrained network elsewhere."""
    from evproc.producers.top_tagger.resnet50_training import first_parameters

    untrained, first = resnet50_parameters(3), first_parameters(3)
    changed_ones = sorted(name for name in first if (first[name] != untrained[name]).any())
    assert len(changed_ones) == 16
    assert all(name.endswith("conv3.scale") and not first[name].any() for name in changed_ones)


def test_a_teacher_is_asked_for_each_jet(tmp_path: Path) -> None:
    """The teacher's scores are those of its file, jet by jet."""
    from evproc.producers.onnx_graph import write_onnx
    from evproc.producers.top_tagger.resnet50_training import teacher_scores

    sample = Pixels(
        np.array([0, 2, 3]), np.array([5, 9, 25_000], "i4"), np.array([0.2, 0.4, 0.9], "f4"), np.array([0, 1], "i4")
    )
    model = small_cnn_model(changed(small_cnn_parameters()))
    write_onnx(model, tmp_path / "model.onnx")
    images = np.repeat(sample.images(np.arange(2))[..., np.newaxis], 3, axis=3)
    expected = run(model.SerializeToString(), images)[:, 1]
    assert teacher_scores(tmp_path / "model.onnx", sample) == pytest.approx(expected, rel=1e-6)
