"""The sample of the top tagger: jets by Pythia and fastjet, and the file that holds them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.top_tagger.generation import Record, jet_events, kinematics, labels_of, top_decays
from evproc.producers.top_tagger.performance import roc_curve
from evproc.producers.top_tagger.reading import read_images, read_pixels
from evproc.producers.top_tagger.sample import make_sample
from tests.root_files import open_root

from .conftest import Model

SEED, EVENTS = 7, 10


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample."""
    return make_sample(tmp_path_factory.mktemp("sample") / "jets.root", EVENTS, SEED)


def arrays(path: Path) -> Any:
    """All events of a file."""
    with open_root(path) as file:
        return file["Events"].arrays()


def test_jets_are_what_the_essay_says(sample: Path) -> None:
    """Jets are in the window, each the sum of its constituents; every other event is a top pair; labels fit to that."""
    events = arrays(sample)
    assert events.event.to_list() == list(range(1, EVENTS + 1))
    assert ak.all(ak.num(events.FatJet_pt) >= 1)
    assert ak.all((events.FatJet_pt > 500) & (events.FatJet_pt < 700) & (abs(events.FatJet_eta) < 2.4))
    assert set(ak.flatten(events.FatJet_label[::2])) <= {1, -1}
    assert 1 in ak.flatten(events.FatJet_label[::2])
    assert set(ak.flatten(events.FatJet_label[1::2])) == {0}
    for event in events:
        assert event.FatJetPFCands_pFCandsIdx.to_list() == list(range(event.nPFCands))
        pt, eta, phi, mass = (event[f"PFCands_{name}"].to_numpy() for name in ("pt", "eta", "phi", "mass"))
        energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
        momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy])
        for jet in range(event.nFatJet):
            total = momenta[:, event.FatJetPFCands_jetIdx.to_numpy() == jet].sum(axis=1)
            for name, value in kinematics(total[:, np.newaxis]).items():
                assert event[f"FatJet_{name}"][jet] == pytest.approx(value[0], rel=2e-4, abs=1e-4), name


def test_training_reads_what_was_written(sample: Path) -> None:
    """Jets of certain label, in order, as pictures or as lists of pixels that make the same pictures."""
    coarse, labels = read_images(sample)
    pixels = read_pixels(sample)
    written = ak.to_numpy(ak.flatten(arrays(sample).FatJet_label))
    assert labels.tolist() == pixels.labels.tolist() == written[written >= 0].tolist()
    fine = pixels.images(np.arange(len(labels)))
    assert fine.reshape(-1, 32, 7, 32, 7).sum(axis=(2, 4)) == pytest.approx(coarse, abs=1e-5)
    assert 0.8 < fine.sum(axis=(1, 2)).min() < fine.sum(axis=(1, 2)).max() < 1.5
    assert pixels.images(np.array([2, 0])).tobytes() == fine[[2, 0]].tobytes()


def test_the_shipped_network_knows_tops(sample: Path, shipped_model: Callable[[str], Model]) -> None:
    """On jets that it was never trained on, tops have the higher scores: an area of at least 0.9 even on a few."""
    pixels = read_pixels(sample)
    pictures = np.repeat(pixels.images(np.arange(len(pixels.labels)))[..., np.newaxis], 3, axis=3)
    roc = roc_curve(shipped_model("top_tagger")(pictures)[:, 1], pixels.labels)
    assert roc.area > 0.9, roc.counts


def test_neutrinos_are_not_seen(sample: Path) -> None:
    """Constituents are stable, visible particles."""
    kinds = set(np.abs(ak.to_numpy(ak.flatten(arrays(sample).PFCands_pdgId))))
    assert {22, 211} < kinds
    assert not kinds & {12, 14, 16, 111, 6, 24}


def test_a_longer_sample_begins_with_a_shorter_one(sample: Path) -> None:
    """Events depend on the seed and their number alone."""
    again = jet_events("QCD", 2 * SEED + 2)
    for event in arrays(sample)[1:5:2]:
        made = next(again)
        assert event.PFCands_pt.to_numpy().tobytes() == made.particles["pt"].tobytes()
        assert event.FatJet_mass.to_numpy().tobytes() == made.jets["mass"].tobytes()


def test_a_top_is_in_a_jet_with_all_its_quarks() -> None:
    """Top and three quarks within 0.8 of the axis, azimuths across pi: 1; one quark outside: -1."""
    jets = {"eta": np.array([0.0, 1.5]), "phi": np.array([3.1, 0.0])}
    first = {"eta": [0.0, 0.5, -0.3, 0.1], "phi": [3.1, -3.1, 3.0, -2.9]}
    second = {"eta": [1.5, 1.5, 1.2, 1.5], "phi": [0.0, 0.1, -0.1, 0.81]}
    decays = {name: np.array(first[name] + second[name]) for name in ("eta", "phi")}
    assert labels_of(jets, decays).tolist() == [1, -1]
    assert labels_of(jets, {name: values[4:] for name, values in decays.items()}).tolist() == [-1, -1]


def test_decays_are_found_in_the_record() -> None:
    """Of each collision: top, down quark, and the W's quarks, then those of the antitop; showered copies are passed by."""
    one = [(90, -11, 0), (6, -22, 0), (-6, -22, 0), (6, -62, 1), (24, -22, 3), (5, -23, 3), (24, -52, 4), (2, -23, 6)]
    one += [(-1, -23, 6), (-24, -22, 2), (-5, -23, 2), (3, -23, 9), (-4, -23, 9), (5, -51, 5), (21, -51, 5)]
    id_, status, mother = (np.array(column * 2) for column in zip(*one, strict=True))
    size = len(one)
    mother[size:] += size
    momentum = np.tile(np.arange(2.0 * size), (4, 1))
    record = Record(np.array([0, size, 2 * size]), id_, status, mother, momentum)
    expected = [3, 5, 7, 8, 2, 10, 11, 12]
    assert top_decays(record)[:, 0].tolist() == [expected, [size + place for place in expected]]


def test_what_cannot_be_made(tmp_path: Path) -> None:
    """A file that is there stays; numbers and processes that make no sense are errors; nothing is left behind."""
    (tmp_path / "here.root").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        make_sample(tmp_path / "here.root")
    with pytest.raises(OutputError, match="-1 events"):
        make_sample(tmp_path / "new.root", -1)
    with pytest.raises(OutputError, match="seeds of samples are 0 to"):
        make_sample(tmp_path / "new.root", 1, -5)
    with pytest.raises(ValueError, match="processes are top and QCD"):
        next(jet_events("higgs", 1))
    assert [path.name for path in tmp_path.iterdir()] == ["here.root"]
    assert make_sample(tmp_path / "empty.root", 0).exists()
    assert len(arrays(tmp_path / "empty.root")) == 0


def test_without_pythia(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where Pythia or fastjet is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(OutputError, match=r"pip install 'evproc\[systems\]'"):
        make_sample(tmp_path / "new.root", 1)
    assert list(tmp_path.iterdir()) == []
