"""FACILE in fixed point: the design, the library that hls4ml makes of it, and how far it is from the float network."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evproc.framework.errors import ConfigurationError, ServerUnavailable
from evproc.framework.testing import run_module
from evproc.producers.facile import fpga_library
from evproc.producers.facile.features import FEATURES, channel_features
from evproc.producers.facile.fpga_design import (
    INPUTS,
    REPEATED,
    calibration_features,
    emulate,
    make_design,
    read_design,
    shipped_design,
)
from evproc.producers.facile.fpga_library import FpgaLibrary, compiled, hls_graph
from evproc.producers.facile.fpga_performance import difference_table
from evproc.producers.facile.fpga_producer import FpgaFacileProducer
from evproc.producers.facile.fpga_words import feature_words, padded_rows, word_energies
from evproc.producers.facile.sample import make_channels
from evproc.producers.onnx_graph import read_parameters
from evproc.sonic_client import FakeModel, FakeServer, InferenceService, LocalService, TensorSpec
from evproc.sonic_client.fixed_point import unpack_rows
from tests.producers.conftest import MODELS, Model

HELD_OUT = 2_000_000
U2 = np.dtype("u2")


@pytest.fixture(scope="session")
def library() -> FpgaLibrary:
    """The compiled design."""
    return FpgaLibrary(compiled())


def some_words(channels: int) -> npt.NDArray[np.uint16]:
    """The words of channels of the toy, and as many of random bits."""
    toy = feature_words(channel_features(make_channels(channels, HELD_OUT)))
    return np.concatenate([toy, np.random.default_rng(1).integers(0, 1 << 16, toy.shape).astype(np.uint16)])


def test_the_design_is_that_of_the_network() -> None:
    """The shipped design is what the script makes of the shipped network, and survives being written and read."""
    design = make_design(read_parameters(MODELS / "facile" / "1" / "model.onnx"), calibration_features())
    assert design.to_json() == shipped_design().to_json() == read_design(design.to_json()).to_json()
    assert [layer.weights.shape for layer in design.layers] == [(32, 36), (36, 11), (11, 3), (3, 1)]
    scales = np.log2(
        design.factor.astype(float)
        * np.sqrt(
            read_parameters(MODELS / "facile/1/model.onnx")["batchnorm1.variance"].astype(float)[
                [FEATURES.index(name) for name in INPUTS]
            ]
            + 1e-10
        )
    )
    assert scales == pytest.approx(np.round(scales), abs=1e-6), "what is left of the factors are powers of two"
    with pytest.raises(ValueError, match="other inputs"):
        read_design(design.to_json().replace("gain", "loss"))


def test_what_is_not_sent_is_sent_already() -> None:
    """The pedestals of slices 4 to 7 are those of 0 to 3, so 32 of the 36 inputs are enough."""
    channels = make_channels(300, HELD_OUT)
    for name in REPEATED:
        assert np.array_equal(channels[name], channels[name[:-1] + str(int(name[-1]) - 4)])


def test_words_of_features() -> None:
    """A word is (feature - offset) * factor in steps of 2**-10, clipped at -32 and 32; what is no number is an error."""
    features = np.zeros((3, 36), np.float32)
    design = shipped_design()
    kept = [FEATURES.index(name) for name in INPUTS]
    features[:, kept] = design.offset
    features[1, kept] += np.float32(1.5) / design.factor
    features[2, 4:8] = [1e9, -1e9, 1e9, -1e9]
    words = feature_words(features).view(np.int16)
    assert not words[0].any()
    assert words[1] == pytest.approx(np.full(32, 1536), abs=1)
    assert words[2, 4:8].tolist() == [32767, -32768, 32767, -32768]
    features[0, 3] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        feature_words(features)
    assert word_energies(np.array([[1024], [65535]], np.uint16)).tolist() == [16.0, -16.0 / 1024]
    assert padded_rows(words.view(np.uint16), 4).shape == (4, 32)
    assert padded_rows(words.view(np.uint16), 0).shape == (3, 32)
    assert padded_rows(words[:0].view(np.uint16), 4).shape == (0, 32)


def test_the_library_is_hls4mls_own_answer(library: FpgaLibrary, tmp_path: Path) -> None:
    """Words in and out give bit for bit what hls4ml's `predict` gives for the numbers that the words stand for."""
    words = some_words(400)
    graph: Any = hls_graph(shipped_design(), tmp_path)
    graph._top_function_lib = ctypes.CDLL(str(library.path))
    predicted = graph.predict(np.ascontiguousarray(unpack_rows(words)))
    assert predicted.dtype == np.float32
    assert unpack_rows(library(words)).tobytes() == predicted.tobytes()


def test_the_library_is_the_design_in_whole_numbers(library: FpgaLibrary) -> None:
    """An emulation by NumPy, which shares nothing with hls4ml, gives the same bits, for random words too."""
    words = some_words(1500)
    assert library(words)[:, 0].tobytes() == emulate(shipped_design(), words).tobytes()
    assert library(words[:0]).shape == (0, 1)
    wrong: Any
    for wrong in (words[:, :31], words.astype(np.int32), words[0]):
        with pytest.raises(ValueError, match="rows of 32 uint16"):
            library(wrong)


def test_how_far_it_is_from_the_float_network(shipped_model: Callable[[str], Model]) -> None:
    """The bound of docs/fpga.md: half of the channels within 10 MeV, 99 % within 0.12, all within 0.25 GeV + 0.1 %."""
    features = channel_features(make_channels(16_000, HELD_OUT))
    floats = shipped_model("facile")(features)[:, 0]
    words = feature_words(features)
    fixed = word_energies(emulate(shipped_design(), words).view(np.uint16))
    difference = np.abs(fixed - floats)
    assert np.quantile(difference, 0.5) < 0.010
    assert np.quantile(difference, 0.99) < 0.12
    assert (difference < 0.25 + 0.001 * floats).all()
    clipped = (np.abs(words.view(np.int16).astype(int)) >= 32767).any(axis=1)
    assert clipped.mean() < 5e-4


def test_it_is_compiled_once(library: FpgaLibrary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A design that was compiled is found again; what keeps one from being compiled is said, and nothing is left."""
    monkeypatch.setattr(fpga_library, "_compile", None)
    assert compiled() == library.path
    monkeypatch.undo()
    monkeypatch.setenv("EVPROC_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(fpga_library, "FLAGS", ("-fno-such-flag",))
    with pytest.raises(ServerUnavailable, match=r"cannot be compiled: .*-fno-such-flag"):
        compiled()
    assert [path.suffix for path in (tmp_path / "fpga").iterdir()] == [".lock"]
    monkeypatch.setattr(fpga_library, "COMPILER", "no-such-compiler")
    with pytest.raises(ServerUnavailable, match="compiled with no-such-compiler"):
        compiled()


def test_the_module_gives_the_energies_of_its_channels() -> None:
    """Each event gets its own energies, clamped, padded or not; a server that has other words is not needed to see it."""
    design = shipped_design()

    def answer(inputs: Any) -> Any:
        return {"output/BiasAdd": emulate(design, inputs["input"]).view(np.uint16)[:, np.newaxis]}

    model = FakeModel(
        "facile_fpga", [TensorSpec("input", U2, (32,))], [TensorSpec("output/BiasAdd", U2, (1,))], answer, 16_000
    )
    given = [{"HBHEChannel": make_channels(count, seed)} for seed, count in enumerate((7, 0, 3))]
    with FakeServer([model], keep_inputs=True) as server:
        made, padded = (
            run_module(FpgaFacileProducer(pad=pad), given, services=[InferenceService(servers=[server.url])])
            for pad in (0, 16)
        )
        assert sum(request.rows for request in server.requests) == 7 + 3 + 16 + 16
    for energies, others, event in zip(made, padded, given, strict=True):
        expected = emulate(design, feature_words(channel_features(event["HBHEChannel"]))).view(np.uint16)
        assert energies.dtype == np.float32
        assert energies.tobytes() == others.tobytes() == word_energies(expected).clip(np.float32(0.01)).tobytes()


def test_a_card_that_is_not_there() -> None:
    """A service of the job's own that does not come up is a fault of the configuration, with what it said."""
    gone = LocalService(models=["facile_fpga"], command=["python", "-c", "raise SystemExit('no card in slot 3')"])
    with pytest.raises(ConfigurationError, match=r"local\.0: .* ended with code 1\n  no card in slot 3"):
        run_module(
            FpgaFacileProducer(),
            [{"HBHEChannel": make_channels(1, 1)}],
            services=[InferenceService(environment=False, local=[gone])],
        )


def test_the_table() -> None:
    """Each bin that has any has its channels and differences in MeV."""
    true = np.array([0.15, 0.3, 300.0, 0.0], np.float32)
    floats = np.array([0.15, 0.3, 300.0, 0.02], np.float32)
    table = difference_table(true, floats, floats + np.float32(0.25), edges=(0.1, 1.0, 10.0, 400.0)).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["0.1-1", "10-400", "all above 0.1", "all"]
    assert [line.split("|")[2].strip() for line in table[2:]] == ["2", "1", "3", "4"]
    assert table[2].split("|")[3].strip() == "250.0"
