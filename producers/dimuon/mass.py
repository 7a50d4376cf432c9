"""The invariant mass of two particles. Functions work on numbers and on arrays alike, element by element, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def pair_mass_cartesian(first: tuple[Any, Any, Any, Any], second: tuple[Any, Any, Any, Any]) -> Doubles:
    """The mass of two particles of given (px, py, pz, energy).

    first, second: four numbers or arrays (pairs,), GeV; returns (pairs,) float64, GeV.
    A negative square, which rounding can make of nearly parallel particles, counts as 0.
    """
    px, py, pz, energy = (np.add(one, other, dtype=np.float64) for one, other in zip(first, second, strict=True))
    square = energy * energy - (px * px + py * py + pz * pz)
    mass: Doubles = np.sqrt(np.maximum(square, 0.0))
    return mass


def pair_mass_polar(first: tuple[Any, Any, Any, Any], second: tuple[Any, Any, Any, Any]) -> Doubles:
    """The mass of two particles of given (pt, eta, phi, mass).

    first, second: four numbers or arrays (pairs,), GeV and rad; returns (pairs,) float64, GeV.
    """
    return pair_mass_cartesian(four_momentum(*first), four_momentum(*second))


def four_momentum(pt: Any, eta: Any, phi: Any, mass: Any) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """(px, py, pz, energy) in GeV, float64, from transverse momentum, pseudorapidity, azimuth (rad) and mass (GeV)."""
    pt, eta, phi, mass = (np.asarray(value, dtype=np.float64) for value in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return px, py, pz, np.sqrt(px * px + py * py + pz * pz + mass * mass)


def opposite_charge(first: Any, second: Any) -> Any:
    """Whether two charges are opposite: bool, or (pairs,) bool."""
    return np.asarray(first, dtype=np.int64) * np.asarray(second, dtype=np.int64) < 0
