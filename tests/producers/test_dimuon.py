"""Pairs of muons: the formula against known masses, and the two forms of the module against one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evproc.framework.errors import ConfigurationError
from evproc.framework.testing import run_module
from evproc.producers.dimuon import (
    DimuonColumns,
    DimuonProducer,
    opposite_charge,
    pair_mass_cartesian,
    pair_mass_polar,
)
from evproc.producers.dimuon.mass import four_momentum

BOTH = pytest.mark.parametrize("kind", [DimuonProducer, DimuonColumns])


def test_two_muons_back_to_back() -> None:
    """At rest, the mass of a pair is the sum of the energies; 2 pt for light muons in the transverse plane."""
    assert pair_mass_cartesian((3.0, 0.0, 0.0, 5.0), (-3.0, 0.0, 0.0, 5.0)) == 10.0
    assert pair_mass_polar((45.0, 0.0, 0.0, 0.0), (45.0, 0.0, np.pi, 0.0)) == pytest.approx(90.0, rel=1e-12)


def test_the_light_formula() -> None:
    """For massless muons, m^2 = 2 pt1 pt2 (cosh(eta1 - eta2) - cos(phi1 - phi2))."""
    random = np.random.default_rng(1)
    pt, eta, phi = random.exponential(40.0, (2, 500)), random.normal(0, 1.5, (2, 500)), random.uniform(-3, 3, (2, 500))
    expected = np.sqrt(2 * pt[0] * pt[1] * (np.cosh(eta[0] - eta[1]) - np.cos(phi[0] - phi[1])))
    none = np.zeros(500)
    assert pair_mass_polar((pt[0], eta[0], phi[0], none), (pt[1], eta[1], phi[1], none)) == pytest.approx(
        expected, rel=1e-6, abs=1e-6
    )


def test_a_muon_with_itself() -> None:
    """Two equal particles have twice the mass of one, and rounding below zero counts as zero."""
    muon = (200.0, 2.4, 1.0, 0.10566)
    assert pair_mass_polar(muon, muon) == pytest.approx(2 * 0.10566, rel=1e-3)
    assert pair_mass_cartesian((3.0, 4.0, 0.0, 4.9999), (3.0, 4.0, 0.0, 4.9999)) == 0.0


def test_everything_is_double_precision() -> None:
    """float32 of a file is widened before it is added: single numbers and arrays give the same bits."""
    random = np.random.default_rng(2)
    rows = random.uniform(0.1, 30.0, (8, 100)).astype(np.float32)
    together = pair_mass_polar(tuple(rows[:4]), tuple(rows[4:]))
    assert together.dtype == np.float64
    alone = [float(pair_mass_polar(tuple(row[:4]), tuple(row[4:]))) for row in rows.T]
    assert together.tolist() == alone
    assert four_momentum(*rows[:4])[0].dtype == np.float64


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "float32"])
def test_charges_are_opposite(dtype: str) -> None:
    """One positive, one negative, in any type that holds them; no charge is opposite to none."""
    if dtype == "uint8":  # no negative numbers
        assert not opposite_charge(np.uint8(1), np.uint8(1))
        return
    charge = np.array([1, -1, 0], dtype)
    assert opposite_charge(charge, np.array([-1, -1, -1], dtype)).tolist() == [True, False, False]


def event(*muons: tuple[float, float, float, float, int]) -> dict[str, Any]:
    """An event with muons (pt, eta, phi, mass, charge), types as NanoAOD has them."""
    columns = list(zip(*muons, strict=True)) or [()] * 5
    types = ("f4", "f4", "f4", "f4", "i4")
    names = ("pt", "eta", "phi", "mass", "charge")
    return {"Muon": {name: np.array(c, t) for name, c, t in zip(names, columns, types, strict=True)}}


PLUS, MINUS, THIRD = (40.0, 0.5, 0.1, 0.1057, 1), (30.0, -0.5, 3.0, 0.1057, -1), (20.0, 0.0, 1.0, 0.1057, -1)


@BOTH
def test_the_first_two_muons_count(kind: Any) -> None:
    """The mass is that of the first two; -1 with fewer, or with charges that are not opposite."""
    masses = run_module(
        kind(), [event(PLUS, MINUS), event(PLUS, MINUS, THIRD), event(), event(PLUS), event(MINUS, THIRD, PLUS)]
    )
    first: Any = tuple(np.array(value, "f4") for value in PLUS[:4])
    second: Any = tuple(np.array(value, "f4") for value in MINUS[:4])
    mass = float(pair_mass_polar(first, second))
    assert [float(value) for value in masses] == [mass, mass, -1.0, -1.0, -1.0]
    assert mass > 60.0


@BOTH
def test_other_names(kind: Any) -> None:
    """Another collection, in cartesian coordinates."""
    muons = {"Px": [3.0, -3.0], "Py": [0.0, 0.0], "Pz": [0.0, 0.0], "E": [5.0, 5.0], "Charge": [1, -1]}
    assert run_module(kind(muons="Mu", coordinates="cartesian"), [{"Mu": muons}]) == [10.0]


@pytest.mark.parametrize("block", [1, 7, 1000, "auto"])
def test_both_forms_have_the_same_bits(block: int | str) -> None:
    """On random events the masses are equal bit for bit, however the job is cut into blocks."""
    random = np.random.default_rng(3)
    events = []
    for count in random.integers(0, 5, 400):
        pt, mass = random.exponential(30.0, count), random.choice([0.0, 0.1057, 1.0], count)
        eta, phi, charge = random.normal(0, 2, count), random.uniform(-3, 3, count), random.choice([-1, 1], count)
        events.append(event(*zip(pt, eta, phi, mass, charge, strict=True)))
    one = np.array(run_module(DimuonProducer(), events, block=block))
    other = np.array(run_module(DimuonColumns(), events, block=block))
    assert one.tobytes() == other.tobytes()
    assert 50 < np.count_nonzero(one > 0) < 300


@BOTH
def test_wrong_parameters_are_faults(kind: Any) -> None:
    """Coordinates that there are not, and fields that the muons lack, are told before the first event."""
    with pytest.raises(ConfigurationError, match=r"coordinates: .*'polar' or 'cartesian', not 'spherical'"):
        run_module(kind(coordinates="spherical"), [event(PLUS)])
    with pytest.raises(ConfigurationError, match=r"has no field 'Charge'; did you mean 'charge'\?"):
        run_module(kind(coordinates="cartesian"), [event(PLUS)])
