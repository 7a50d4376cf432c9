"""The toy sample of HCAL channels: its detector, its pulses, its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from evproc.framework.errors import OutputError
from evproc.producers.facile import sample
from evproc.producers.facile.detector import SOI, average_pulse, digitised, pulse_fractions, toy_detector
from evproc.producers.facile.features import FEATURES
from evproc.producers.facile.sample import FLAT, main, make_channels, make_sample


def columns_of(path: Path) -> Any:
    """All events of a sample, as awkward array."""
    file: Any = uproot.open(path)
    with file:
        return file["Events"].arrays()


def test_the_detector_has_the_segmentation_of_the_calorimeter() -> None:
    """Every channel is in |ieta| 1-29, iphi 1-72 and depth 1-7, none twice, and the inner towers have odd iphi only."""
    detector = toy_detector()
    table = np.stack([detector.ieta, detector.iphi, detector.depth], axis=1)
    assert len(np.unique(table, axis=0)) == len(detector) == 15_840
    assert np.array_equal(np.unique(np.abs(detector.ieta)), np.arange(1, 30))
    assert np.array_equal(np.unique(detector.iphi), np.arange(1, 73))
    assert np.array_equal(np.unique(detector.depth), np.arange(1, 8))
    assert (detector.iphi[np.abs(detector.ieta) > 20] % 2 == 1).all()
    assert ((detector.gain > 7.6e-5) & (detector.gain < 0.0126)).all()


def test_a_pulse_loses_no_charge() -> None:
    """The fractions of a pulse add up to one when all slices are counted, for early, usual and late arrivals."""
    arrival = np.array([-12.0, 0.0, 5.0, 20.0], dtype=np.float32)
    fractions = pulse_fractions(arrival, 9.0, slices=20)
    assert fractions.sum(axis=0) == pytest.approx(np.ones(4), abs=1e-5)
    assert (fractions[0] > 0).tolist() == [True, False, False, False]


def test_the_average_pulse_begins_in_the_slice_of_interest() -> None:
    """Nothing before slice 3 but the earliest arrivals, the most in slice 3, then less and less."""
    pulse = average_pulse()
    assert pulse[:SOI].sum() < 1e-3
    assert (np.diff(pulse[SOI:]) < 0).all()


def test_the_digitiser_rounds_to_its_step() -> None:
    """A charge and its digitised value differ by half a step at most; the step doubles with the charge."""
    charge = np.array([0.0, 1.0, 49.0, 50.0, 99.0, 1000.0, 1e6], dtype=np.float32)
    value, step = digitised(charge)
    assert (np.abs(value - charge) <= step / 2 * 1.00001).all()
    assert step[[0, 2, 3, 4]] == pytest.approx([3.1, 3.1, 6.2, 6.2])
    assert (step[5:] / charge[5:] < 0.126).all()


def test_the_same_seed_gives_the_same_event_however_many_are_made() -> None:
    """An event depends on seed, number and channel count alone, and other seeds and numbers give others."""
    first = make_channels(200, seed=3, event=5)
    assert all(np.array_equal(first[name], again) for name, again in make_channels(200, seed=3, event=5).items())
    assert not np.array_equal(first["charge3"], make_channels(200, seed=4, event=5)["charge3"])
    assert not np.array_equal(first["charge3"], make_channels(200, seed=3, event=6)["charge3"])


def test_an_event_has_no_channel_twice_until_all_are_used() -> None:
    """Up to 15,840 channels are different ones; 16,000 can be had too."""
    event = make_channels(16_000, seed=1)
    key = event["ieta"] * 10_000 + event["iphi"] * 10 + event["depth"]
    assert len(key) == 16_000
    assert len(np.unique(key[:15_840])) == 15_840


def test_the_columns_have_the_stated_types() -> None:
    """Indices are int32, everything else float32, in the order of the network's inputs and then the truth."""
    event = make_channels(10, seed=1)
    assert tuple(event) == (*FEATURES, "genEnergy")
    assert {name for name, column in event.items() if column.dtype == np.int32} == {"ieta", "iphi", "depth"}
    assert {str(column.dtype) for column in event.values()} == {"int32", "float32"}


def test_a_channel_without_energy_shows_its_pedestal() -> None:
    """In slices that no pulse reaches the mean charge is the pedestal, to its statistical uncertainty."""
    events = [make_channels(4000, seed=11, event=number) for number in range(5)]
    signal = np.concatenate([(event["charge0"] - event["pedestal0"])[event["noisePhoto0"] < 60] for event in events])
    assert abs(np.median(signal)) < 15.0


def test_the_flat_spectrum_fills_high_energies() -> None:
    """Made for training: many times more channels above 100 GeV than in the falling spectrum."""
    falling, flat = make_channels(10_000, seed=1), make_channels(10_000, seed=1, spectrum=FLAT)
    assert np.sum(flat["genEnergy"] > 100) > 20 * max(1, np.sum(falling["genEnergy"] > 100))


def test_the_file_holds_what_was_made(tmp_path: Path) -> None:
    """Identity, counter and jagged branches read back as they were made, event by event."""
    path = make_sample(tmp_path / "hcal.root", events=3, channels=50, seed=9)
    file: Any = uproot.open(path)
    with file:
        types = {name: branch.typename for name, branch in file["Events"].items()}
    assert types["run"] == types["luminosityBlock"] == "uint32_t"
    assert types["event"] == "uint64_t"
    assert types["HBHEChannel_ieta"] == "int32_t[]"
    assert types["HBHEChannel_noisePhoto7"] == "float[]"
    events = columns_of(path)
    assert events["event"].to_list() == [1, 2, 3]
    assert events["nHBHEChannel"].to_list() == [50, 50, 50]
    for number in range(3):
        for name, column in make_channels(50, seed=9, event=number).items():
            assert np.array_equal(events[f"HBHEChannel_{name}"][number].to_numpy(), column), name


def test_channel_counts_vary_on_request(tmp_path: Path) -> None:
    """Between the two numbers, ends included: events without any channel too."""
    path = make_sample(tmp_path / "hcal.root", events=60, channels=3, seed=2, min_channels=0)
    assert set(columns_of(path)["nHBHEChannel"].to_list()) == {0, 1, 2, 3}


@pytest.mark.parametrize(("events", "channels"), [(0, 10), (4, 0)])
def test_an_empty_sample_is_a_sample(tmp_path: Path, events: int, channels: int) -> None:
    """No events, or events without channels, make a file that reads back as such."""
    found = columns_of(make_sample(tmp_path / "hcal.root", events=events, channels=channels))
    assert found["nHBHEChannel"].to_list() == [channels] * events


def test_the_pieces_written_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is the same whether it is written event by event or in one go."""
    whole = columns_of(make_sample(tmp_path / "whole.root", events=5, channels=20, seed=4))
    monkeypatch.setattr(sample, "EXTEND_BYTES", 1)
    pieces = columns_of(make_sample(tmp_path / "pieces.root", events=5, channels=20, seed=4))
    assert whole.to_list() == pieces.to_list()


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    """Without `overwrite` an existing file is refused by name and stays as it is; with it, it is replaced."""
    path = tmp_path / "hcal.root"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"hcal\.root exists already"):
        make_sample(path, events=1, channels=1)
    assert path.read_text() == "precious"
    make_sample(path, events=1, channels=1, overwrite=True)
    assert len(columns_of(path)) == 1


def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails in the middle, neither the file nor its temporary part remains."""

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample, "_as_branches", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        make_sample(tmp_path / "hcal.root", events=1, channels=1)
    assert list(tmp_path.iterdir()) == []


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    """Negative counts, and fewest channels above the most, are errors that say so."""
    with pytest.raises(OutputError, match="must not be negative"):
        make_sample(tmp_path / "hcal.root", events=-1)
    with pytest.raises(OutputError, match="fewest channels"):
        make_sample(tmp_path / "hcal.root", channels=3, min_channels=4)


def test_the_command_makes_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m evproc.producers.facile.sample` writes the file and says what it wrote."""
    path = tmp_path / "hcal.root"
    main([str(path), "--events", "2", "--channels", "5", "--seed", "3"])
    assert len(columns_of(path)) == 2
    assert "2 events" in capsys.readouterr().out
