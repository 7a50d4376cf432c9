"""What a reconstruction computes between its networks: shapes of showers, and energy behind electrons."""

from __future__ import annotations

import numpy as np
import pytest

from evproc.producers.deepcalo.showers import make_electrons
from evproc.producers.reconstruction.shapes import hadronic_energy, shower_shapes


def test_shapes_of_a_simple_image() -> None:
    """Energy in two strips and in two middle cells has the shares, the core and the width that one computes by hand."""
    images = np.zeros((2, 56, 11, 4), np.float32)
    images[0, 27, 5, 1] = images[0, 29, 5, 1] = 1.0
    images[0, 28, 5, 2], images[0, 0, 5, 2] = 6.0, 2.0
    images[1, 0, 0, 0] = images[1, 0, 0, 3] = 5.0
    shapes = shower_shapes(images)
    assert shapes["presampler"] == pytest.approx([0.0, 0.5])
    assert shapes["strips"] == pytest.approx([0.2, 0.0])
    assert shapes["back"] == pytest.approx([0.0, 0.5])
    assert shapes["core"] == pytest.approx([0.75, 0.0])
    assert shapes["width"] == pytest.approx([1.0, 0.0])
    assert {values.dtype for values in shapes.values()} == {np.dtype(np.float32)}
    assert all(len(values) == 0 for values in shower_shapes(images[:0]).values())


def test_showers_have_the_shapes_of_showers() -> None:
    """Most of a toy shower is in the core; its strips are narrower than a middle cell."""
    shapes = shower_shapes(make_electrons(100, 3, energy=100.0)["cells"])
    assert np.median(shapes["core"]) > 0.9
    assert np.median(shapes["width"]) < 8.0


def test_energy_behind_an_electron() -> None:
    """Channels within the cone count, over the end of phi too; others do not; none is zero."""
    eta, phi = np.array([0.0435, -1.0]), np.array([3.12, 0.0])
    ieta, iphi = np.array([1, 1, 1, -12]), np.array([36, 37, 50, 1])
    energy = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    assert hadronic_energy(eta, phi, ieta, iphi, energy, 0.15).tolist() == [3.0, 8.0]
    assert hadronic_energy(eta, phi - 2.0 * np.pi, ieta, iphi, energy, 0.15).tolist() == [3.0, 8.0]
    assert hadronic_energy(eta, phi, ieta[:0], iphi[:0], energy[:0], 0.15).tolist() == [0.0, 0.0]
    assert hadronic_energy(eta[:0], phi[:0], ieta, iphi, energy, 0.15).shape == (0,)
