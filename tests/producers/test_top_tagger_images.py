"""Pictures of jets, by constituents made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evproc.producers.top_tagger.images import jet_images


def picture(*constituents: tuple[float, float, float], axis: tuple[float, float] = (0.0, 0.0), **how: Any) -> Any:
    """The only colour of the picture of one jet of 100 GeV; constituents are (pt, eta, phi)."""
    pt, eta, phi = np.array(constituents, np.float32).reshape(-1, 3).T
    jet_pt, jet_eta, jet_phi = (np.array([value], np.float32) for value in (100.0, *axis))
    images = jet_images(jet_pt, jet_eta, jet_phi, pt, eta, phi, np.zeros(len(pt), np.int32), **how)
    assert images.dtype == np.float32
    assert (images[..., 0] == images[..., 1]).all()
    assert (images[..., 0] == images[..., 2]).all()
    return images[0, :, :, 0]


def test_rows_are_eta_and_columns_phi() -> None:
    """A pixel is 2/224 wide, the axis is a corner of pixel 112, and values are fractions of the jet's pT."""
    image = picture((25.0, 0.001, 0.001), (10.0, 0.5, -0.25))
    assert image.shape == (224, 224)
    assert image[112, 112] == np.float32(0.25)
    assert image[168, 84] == np.float32(0.10)
    assert np.count_nonzero(image) == 2


def test_particles_of_one_pixel_add_up() -> None:
    """In any order, to the same bits."""
    particles = [(7.0, 0.0011, 0.002), (0.3, 0.0012, 0.003), (11.1, 0.0013, 0.004), (20.0, 0.9, 0.9)]
    image = picture(*particles)
    assert image[112, 112] == pytest.approx(0.184)
    assert image.tobytes() == picture(*particles[::-1]).tobytes()


def test_azimuth_goes_round() -> None:
    """A jet near pi has constituents near -pi beside its axis."""
    image = picture((10.0, 0.0, -np.pi + 0.05), (20.0, 0.0, np.pi - 0.1), axis=(0.0, np.pi - 0.02))
    assert np.flatnonzero(image[112]).tolist() == [int((1 - 0.08) * 112), int((1 + 0.07) * 112)]


def test_what_is_outside_is_left_out() -> None:
    """The window ends at -1 (inside) and at +1 (outside); nothing is folded back, and NaN is nowhere."""
    image = picture((1.0, -1.0, -1.0), (2.0, 1.0, 0.0), (4.0, 0.0, 1.001), (8.0, -1.001, 0.0), (9.0, np.nan, 0.0))
    assert image[0, 0] == np.float32(0.01)
    assert np.count_nonzero(image) == 1


def test_jets_keep_their_own_particles() -> None:
    """Many jets at once are the jets one by one, bit by bit, whatever the order of the particles; a jet may have none."""
    rng = np.random.default_rng(3)
    jets, rows = 7, 300
    jet_pt, jet_eta, jet_phi = rng.uniform(50, 900, jets), rng.normal(0, 1, jets), rng.uniform(-np.pi, np.pi, jets)
    jet = rng.choice([0, 1, 2, 4, 5, 6], rows)
    pt = rng.exponential(9, rows)
    eta, phi = (axis[jet] + rng.normal(0, 0.4, rows) for axis in (jet_eta, jet_phi))
    images = jet_images(jet_pt, jet_eta, jet_phi, pt, eta, phi, jet)
    assert images.shape == (jets, 224, 224, 3)
    assert not images[3].any()
    for one in range(jets):
        own, only = jet == one, slice(one, one + 1)
        index = np.zeros(own.sum(), np.int64)
        alone = jet_images(jet_pt[only], jet_eta[only], jet_phi[only], pt[own], eta[own], phi[own], index)
        assert alone.tobytes() == images[one].tobytes()


def test_coarse_pictures_are_sums_of_fine_ones() -> None:
    """32 x 32 pixels are the sums of 7 x 7 of 224 x 224: what the small network pools."""
    rng = np.random.default_rng(4)
    particles = np.stack([rng.exponential(3, 200), rng.normal(0, 0.4, 200), rng.normal(0, 0.4, 200)], axis=1)
    fine, coarse = picture(*map(tuple, particles)), picture(*map(tuple, particles), side=32)
    assert fine.reshape(32, 7, 32, 7).sum(axis=(1, 3)) == pytest.approx(coarse, abs=1e-6)


def test_no_jets_no_pictures() -> None:
    """An event without jets gives an empty array of the right shape."""
    none = np.empty(0, np.float32)
    assert jet_images(none, none, none, none, none, none, np.empty(0, np.int64)).shape == (0, 224, 224, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"jet_pt": np.zeros(1)}, "a jet has a pT of 0.0 GeV"),
        ({"jet": np.array([0, 1])}, "jets 0 to 1, but there are 1"),
        ({"jet": np.array([-1, 0])}, "jets -1 to 0"),
        ({"eta": np.zeros(3)}, "2 pt, 3 eta"),
        ({"jet_phi": np.zeros(2)}, "1 pt, 1 eta, 2 phi"),
    ],
)
def test_what_is_no_jet_is_an_error(change: dict[str, Any], says: str) -> None:
    """Lengths that differ, indices that point nowhere, and jets without momentum are named."""
    good = {name: np.ones(1) for name in ("jet_pt", "jet_eta", "jet_phi")} | {
        name: np.ones(2) for name in ("pt", "eta", "phi")
    }
    with pytest.raises(ValueError, match=says):
        jet_images(**{**good, "jet": np.array([0, 0]), **change})
