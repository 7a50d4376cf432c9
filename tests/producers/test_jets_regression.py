"""The jet energy regression: matching, inputs, the committed model, and its training on a real NanoAOD."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import uproot
from onnx import numpy_helper

from evproc.framework.errors import InputError
from evproc.producers.dense_network import parameter_count
from evproc.producers.jets.features import FEATURES, corrected_pt, jet_features
from evproc.producers.jets.matching import delta_phi, delta_r, match_jets
from evproc.producers.jets.network import LAYERS
from evproc.producers.jets.performance import plot_performance
from evproc.producers.response import performance

from .conftest import MODELS, Model


def some_jets(jets: int) -> SimpleNamespace:
    """Jets with different values in every branch, in the types of a NanoAOD."""
    names = ("pt", "eta", "mass", "area", "chHEF", "neHEF", "chEmEF", "neEmEF", "muEF")
    columns = {name: 10.0 * (1 + index) + np.arange(jets, dtype=np.float32) for index, name in enumerate(names)}
    columns["eta"] = -columns["eta"]
    return SimpleNamespace(**columns, nConstituents=np.arange(jets, dtype=np.uint8) + 200)


def test_azimuths_wrap() -> None:
    """Jets on both sides of phi = pi are neighbours."""
    assert delta_phi(3.1, -3.1) == pytest.approx(6.2 - 2 * np.pi)
    assert delta_r(0.0, 3.1, 0.0, -3.1) == pytest.approx(2 * np.pi - 6.2)
    assert delta_r(0.3, 1.0, 0.0, 1.4) == pytest.approx(0.5)


def test_jets_match_the_nearest_generator_jet() -> None:
    """Within 0.2, across phi = pi too, and -1 where nothing is near."""
    found = match_jets([0.0, 1.0, -2.0], [3.13, 0.0, 1.0], [1.1, 0.0, 4.0], [0.0, -3.13, 1.0])
    assert found.tolist() == [1, 0, -1]
    assert found.dtype == np.int64


def test_a_generator_jet_is_given_once() -> None:
    """Of two reconstructed jets at one generator jet the nearer gets it, and the other nothing."""
    assert match_jets([0.15, 0.05], [0.0, 0.0], [0.0], [0.0]).tolist() == [-1, 0]


def test_the_distance_limit_is_exclusive() -> None:
    """A pair at exactly the limit does not match, one a little nearer does."""
    assert match_jets([0.25], [0.0], [0.0], [0.0], max_delta_r=0.25).tolist() == [-1]
    assert match_jets([0.25], [0.0], [0.0], [0.0], max_delta_r=0.251).tolist() == [0]


@pytest.mark.parametrize(("jets", "generated"), [(0, 3), (3, 0), (0, 0)])
def test_events_without_jets_match_nothing(jets: int, generated: int) -> None:
    """No jets on either side is an ordinary event."""
    found = match_jets(np.zeros(jets), np.zeros(jets), np.zeros(generated), np.zeros(generated))
    assert found.tolist() == [-1] * jets


@pytest.mark.parametrize("jets", [0, 1, 4])
def test_the_inputs_are_in_the_stated_order(jets: int) -> None:
    """Eleven columns, computed from the branches as their names say, for any number of jets."""
    event = some_jets(jets)
    features = jet_features(event, 7.5)
    assert features.shape == (jets, 11)
    assert features.dtype == np.float32
    assert features[:, 0] == pytest.approx(np.log(event.pt))
    assert features[:, 1] == pytest.approx(-event.eta)
    assert features[:, 2] == pytest.approx(event.mass / event.pt)
    for index, name in enumerate(FEATURES[3:10], start=3):
        assert np.array_equal(features[:, index], getattr(event, name)), name
    assert (features[:, 10] == 7.5).all()
    assert np.array_equal(jet_features(event, np.full(jets, 7.5)), features)


def test_corrections_are_clamped() -> None:
    """The factor multiplies pT, and never by less than 0.5 nor more than 2."""
    corrected = corrected_pt(np.array([10, 20, 30, 40]), np.array([1.1, 0.1, 2.5, 1.0]))
    assert corrected == pytest.approx([11.0, 10.0, 60.0, 40.0])
    assert corrected.dtype == np.float32


def test_the_committed_model_is_exactly_the_table() -> None:
    """149 parameters in normalisation, dense layer, rectifier, dense layer."""
    model = onnx.load(MODELS / "jet_energy" / "1" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["BatchNormalization", "Gemm", "Relu", "Gemm"]
    assert sum(numpy_helper.to_array(values).size for values in model.graph.initializer) == 149
    assert parameter_count(LAYERS) == 149


def test_the_shipped_corrections_are_moderate(shipped_model: Callable[[str], Model]) -> None:
    """An ordinary jet of 40 GeV is corrected by less than a third; no jets give no corrections."""
    model = shipped_model("jet_energy")
    jet = np.array([[np.log(40.0), 0.8, 0.15, 0.5, 0.5, 0.2, 0.0, 0.25, 0.0, 15, 8.0]], dtype=np.float32)
    assert 0.75 < model(jet)[0, 0] < 1.33
    assert model(jet[:0]).shape == (0, 1)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    """A PNG, for many jets and for none."""
    random = np.random.default_rng(1)
    for jets in (500, 0):
        true = random.uniform(10, 100, jets)
        path = plot_performance(true, 1.1 * true, random.normal(1, 0.1, jets) * true, tmp_path / f"{jets}.png")
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_real_file_has_the_stated_jets(nanoaod: Path) -> None:
    """352 matched jets in 167 events; each pair is also a pair by the file's own index of generator jets."""
    from evproc.producers.jets.training import read_matched_jets

    jets = read_matched_jets(nanoaod)
    assert len(jets.pt) == len(jets.gen_pt) == len(jets.event) == len(jets.features) == 352
    assert len(np.unique(jets.event)) == 167
    assert np.isfinite(jets.features).all()
    file: Any = uproot.open(nanoaod)
    with file:
        events = file["Events"].arrays(["Jet_pt", "Jet_genJetIdx", "GenJet_pt"])
    for pt, gen_pt, event in zip(jets.pt, jets.gen_pt, jets.event, strict=True):
        index = events["Jet_genJetIdx"][event][events["Jet_pt"][event] == pt]
        assert gen_pt in events["GenJet_pt"][event][index[index >= 0]].to_list()


def test_the_shipped_model_sets_the_scale_right(nanoaod: Path, shipped_model: Callable[[str], Model]) -> None:
    """On the file it was trained on the response becomes one, and the error smaller than that of the jets as they are."""
    from evproc.producers.jets.training import read_matched_jets

    jets = read_matched_jets(nanoaod)
    before = performance(jets.gen_pt, jets.pt)
    after = performance(jets.gen_pt, corrected_pt(jets.pt, shipped_model("jet_energy")(jets.features)[:, 0]))
    assert before.response > 1.1
    assert after.response == pytest.approx(1.0, abs=0.03)
    assert after.relative_rms < 0.75 * before.relative_rms
    assert after.rms < before.rms


def test_cross_validation_shows_the_stated_gain(nanoaod: Path) -> None:
    """Held-out jets have a smaller error than the jets as they are, and than with one factor for all."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")
    from evproc.producers.jets.training import comparison, cross_validated, read_matched_jets

    jets = read_matched_jets(nanoaod)
    factors, plain = cross_validated(jets, seed=1)
    network = performance(jets.gen_pt, corrected_pt(jets.pt, factors))
    constant = performance(jets.gen_pt, corrected_pt(jets.pt, plain))
    assert network.response == pytest.approx(1.0, abs=0.03)
    assert network.rms < constant.rms < performance(jets.gen_pt, jets.pt).rms
    assert comparison(jets, factors, plain).count("\n") == 4


def test_training_is_reproducible(nanoaod: Path, tmp_path: Path) -> None:
    """The same seed gives the same bytes."""
    pytest.importorskip("torch", reason="torch is not installed: training (the extra `train`) is not tested")
    from evproc.producers.jets import training

    for name in ("first.onnx", "second.onnx"):
        training.main([str(nanoaod), "--output", str(tmp_path / name), "--seed", "5", "--folds", "2"])
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()


def test_files_without_generator_jets_are_refused(tmp_path: Path) -> None:
    """A missing file, and one without the branches, are input errors that name file and branches."""
    from evproc.producers.jets.training import read_matched_jets

    with pytest.raises(InputError, match=r"none\.root"):
        read_matched_jets(tmp_path / "none.root")
    with uproot.recreate(tmp_path / "data.root") as file:
        file["Events"] = {"Jet_pt": np.ones(3)}
    with pytest.raises(InputError, match=r"data\.root: tree Events has no GenJet_eta"):
        read_matched_jets(tmp_path / "data.root")
