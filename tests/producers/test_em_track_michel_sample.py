"""The toy wire planes: events, hits with their truth, the sample, and the patches that are made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework.errors import OutputError
from evproc.producers.em_track_michel.particles import EM, NONE, TRACK, make_deposits, stopping
from evproc.producers.em_track_michel.patches import PatchMaker, cluster_scores, fiducial, wire_images
from evproc.producers.em_track_michel.readout import find_hits, make_event, volume, wire_of
from evproc.producers.em_track_michel.sample import main, make_sample
from tests.root_files import open_root

SMALL = {"wires": 80, "ticks": 480, "tracks": 1, "muons": 1, "showers": 1}


def test_an_event_depends_on_its_arguments_alone() -> None:
    """The same seed and number give the same event, others another one."""
    one, again, other = make_event(7, 3, **SMALL), make_event(7, 3, **SMALL), make_event(7, 4, **SMALL)
    assert one.adc.tobytes() == again.adc.tobytes()
    assert {name: values.tobytes() for name, values in one.hits.items()} == {
        name: values.tobytes() for name, values in again.hits.items()
    }
    assert one.adc.tobytes() != other.adc.tobytes()
    assert one.adc.shape == (3, 80, 480)
    assert one.adc.dtype == np.int16


def test_hits_have_their_truth() -> None:
    """Events have hits of tracks, showers, Michel electrons (which are em) and of nothing, on wires above the threshold."""
    events = [make_event(1, number, **SMALL) for number in range(3)]
    hits = {name: np.concatenate([event.hits[name] for event in events]) for name in events[0].hits}
    assert {TRACK, EM, NONE} == set(hits["truth"])
    assert hits["michel"].any()
    assert (hits["truth"][hits["michel"]] != NONE).all()
    assert ((hits["cluster"] < 0) == (hits["truth"] == NONE)).all()
    assert hits["peak"].min() > 12
    first = events[0].hits
    time = first["time"].astype(int)
    assert (events[0].adc[first["plane"], first["wire"], time] == first["peak"]).all()
    assert (first["wire"] < 80).all()


def test_no_particles_leave_noise_only() -> None:
    """Without particles all hits are of the class none."""
    hits = make_event(2, wires=40, ticks=300, tracks=0, muons=0, showers=0).hits
    assert set(hits["truth"]) <= {NONE}
    assert not hits["michel"].any()


def test_a_stopping_muon_has_a_bragg_peak() -> None:
    """It leaves more than twice the energy in its last centimetre than in a centimetre 20 cm before."""
    rng = np.random.default_rng(1)
    box = volume(480, 4000)
    losses = np.mean([stopping(rng, box)[1][:84] for _ in range(40)], axis=0)
    assert losses[:4].mean() > 2.0 * losses[80:84].mean() > 0


def test_deposits_of_an_event_are_counted() -> None:
    """Each track, muon, Michel electron and shower is a particle; energies are positive but for fluctuations."""
    deposits = make_deposits(np.random.default_rng(4), volume(240, 1536), 2, 3, 1)
    assert set(deposits.particle) == set(range(2 + 2 * 3 + 1))
    assert len(set(deposits.particle[deposits.michel])) == 3
    assert 1.5 < deposits.energy[deposits.particle == 0].mean() / 0.24 < 3.0


def test_planes_see_the_same_point_from_three_sides() -> None:
    """A point in the middle is on the middle wire of each plane; one higher up moves apart on the inclined planes."""
    middle = 0.5 * volume(100, 600)
    higher = np.add(middle, [0.0, 4.8, 0.0])
    wires = wire_of(np.array([middle, higher]) + 1e-9, 100)
    assert wires[:, 0].tolist() == [50, 50, 50]
    assert wires[:, 1].tolist() == [55, 44, 50]


def test_hits_are_the_largest_of_their_neighbours() -> None:
    """Of two peaks 5 ticks apart the larger is a hit, of equal ones the first; 12 ADC are none; ends have none."""
    adc = np.zeros((1, 1, 60), np.int16)
    adc[0, 0, [2, 10, 15, 30, 35, 45, 58]] = [50, 20, 30, 40, 40, 12, 50]
    hits = find_hits(adc)
    assert hits["time"].tolist() == [15, 30]
    assert hits["peak"].tolist() == [30, 40]


def test_the_sample_is_what_the_events_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An ntuple has waveforms and hits of each event; it is not overwritten unasked; sizes that cannot be are refused."""
    path = tmp_path / "new" / "wires.root"
    sizes = [f"--{name}={size}" for name, size in SMALL.items()]
    main([str(path), "--events=2", "--seed=7", *sizes])
    assert "2 events" in capsys.readouterr().out
    with open_root(path) as file:
        arrays: Any = {
            name: file["Events"][name].array() for name in ("adc", "wires", "ticks", "Hit_time", "Hit_michel")
        }
    event = make_event(7, 1, **SMALL)
    assert (arrays["wires"].to_list(), arrays["ticks"].to_list()) == ([80] * 2, [480] * 2)
    assert ak.to_numpy(arrays["adc"][1]).tobytes() == event.adc.tobytes()
    assert ak.to_numpy(arrays["Hit_time"][1]).tobytes() == event.hits["time"].tobytes()
    assert arrays["Hit_michel"][1].to_list() == event.hits["michel"].tolist()
    with pytest.raises(OutputError, match="exists already"):
        make_sample(path, 1)
    with pytest.raises(OutputError, match="sizes must be positive"):
        make_sample(tmp_path / "none.root", 1, sizes={"wires": 0})
    assert [entry.name for entry in path.parent.iterdir()] == ["wires.root"]


def test_images_are_averaged_cut_off_and_scaled() -> None:
    """Six ticks are one pixel, their mean between -50 and 150 ADC, times a tenth; the odd ticks at the end are left out."""
    adc = np.zeros((1, 2, 20), np.int16)
    adc[0, 0, :6] = [0, 6, 12, 18, 24, 30]
    adc[0, 1, 6:12] = 400
    adc[0, 1, 12:18] = -80
    images = wire_images(adc)
    assert images.dtype == np.float32
    assert images.tolist() == [[[1.5, 0, 0], [0, 15, -5]]]


def test_a_patch_is_centred_on_its_hit() -> None:
    """The hit's pixel is at [24, 24], wires go down and drift goes right, and what is outside the plane is zero."""
    random = np.random.default_rng(3)
    images = random.normal(size=(2, 60, 70)).astype(np.float32)
    plane, wire = random.integers(0, 2, 30), random.integers(0, 60, 30)
    time = random.integers(0, 420, 30).astype(np.float32)
    wire[:2], time[:2] = [0, 59], [0, 419]
    patches = PatchMaker(images, plane, wire, time).patches()
    assert patches.shape == (30, 48, 48, 1)
    padded = np.zeros((2, 200, 200), np.float32)
    padded[:, 60:120, 60:130] = images
    for number, patch in enumerate(patches):
        row, column = 60 + wire[number] - 24, 60 + int(time[number]) // 6 - 24
        assert (patch[..., 0] == padded[plane[number], row : row + 48, column : column + 48]).all()
        assert patch[24, 24, 0] == images[plane[number], wire[number], int(time[number]) // 6]


def test_pieces_of_patches_are_the_patches() -> None:
    """Made in pieces of 1 and 7 they are the same as at once; no hits give none."""
    event = make_event(1, **SMALL)
    places: Any = [event.hits[name] for name in ("plane", "wire", "time")]
    maker = PatchMaker(wire_images(event.adc), *places)
    whole = maker.patches()
    for rows in (1, 7):
        pieces = [maker.patches(start, start + rows) for start in range(0, len(maker), rows)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert PatchMaker(wire_images(event.adc), *(place[:0] for place in places)).patches().shape == (0, 48, 48, 1)


@pytest.mark.parametrize(
    ("place", "words"), [((3, 0, 0), "plane 3, and there are 3"), ((0, 80, 0), "wire 80"), ((0, 0, 480), "drift 80")]
)
def test_a_hit_beside_the_planes_is_an_error(place: tuple[int, int, int], words: str) -> None:
    """It is told which hit is where, and how much there is."""
    images = np.zeros((3, 80, 80), np.float32)
    columns = [np.array([0, value]) for value in place]
    with pytest.raises(ValueError, match=f"hit 1 is in {words}"):
        PatchMaker(images, columns[0], columns[1], columns[2].astype(np.float32))


def test_fiducial_hits_have_their_whole_patch_on_the_plane() -> None:
    """24 pixels before a hit and 23 behind it must be there."""
    wire, time = np.array([23, 24, 56, 57, 40, 40]), np.array([300, 300, 300, 300, 143, 144], np.float32)
    assert fiducial(wire, time, 80, 480).tolist() == [False, True, True, False, False, True]


def test_cluster_scores_add_up_their_hits() -> None:
    """p = v0 / (v0 + v1) of the added scores; hits of no cluster do not count; a cluster without hits has none."""
    classes = np.array([[0.9, 0.1, 0], [0.5, 0.1, 0.4], [0.2, 0.8, 0], [0.7, 0.2, 0.1]], np.float32)
    scores = cluster_scores(classes, np.array([0, 0, 2, -1]), 3)
    assert scores == pytest.approx([1.4 / 1.6, np.nan, 0.2], nan_ok=True)
    assert cluster_scores(classes[:0], np.empty(0, np.int32), 0).shape == (0,)
