"""The toy tracker: cylinders and disks of silicon in a solenoid, and where a helix meets them.

The size is that of the TrackML detector (r up to 1025 mm, |z| up to 2955 mm, 2 T): four pixel cylinders, four of
short strips, two of long strips, and disks on both sides of each. The arrangement and the orders of magnitude are
those of Amrouche et al., arXiv:1904.06778; positions are rounded, cylinders and disks have no modules, gaps or tilt.

A charged particle from the beam line is a circle of radius R = pT / (0.3 B) in the plane across the beam, and moves
along it by R sinh(eta) for each radian that it turns (Particle Data Group, "Kinematics" and "Particle detectors").
With the turning angle a: r = 2 R sin(a/2), phi = phi0 - q a/2, z = z0 + R sinh(eta) a. Only the first half turn counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.float64]

FIELD = 2.0
"""Magnetic field along z, T."""
RADIUS_PER_PT = 1000.0 / (0.299792458 * FIELD)
"""Radius of curvature over transverse momentum, mm/GeV: 1668."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A cylinder (`barrel`) at radius `at`, |z| in `low` to `high`; or a disk at z = `at`, r in `low` to `high`; mm."""

    barrel: bool
    at: float
    low: float
    high: float
    across: float
    """Resolution along r phi, mm."""
    along: float
    """Resolution along z (cylinder) or r (disk), mm."""


def _layers() -> tuple[Layer, ...]:
    pixel, short, long = (0.02, 0.05), (0.05, 0.4), (0.1, 3.0)
    layers = [Layer(True, r, 0.0, 500.0, *pixel) for r in (32.0, 72.0, 116.0, 172.0)]
    layers += [Layer(True, r, 0.0, 1080.0, *short) for r in (260.0, 360.0, 500.0, 660.0)]
    layers += [Layer(True, r, 0.0, 1080.0, *long) for r in (820.0, 1020.0)]
    for side in (-1.0, 1.0):
        layers += [Layer(False, side * z, 30.0, 176.0, *pixel) for z in (600, 700, 820, 960, 1120, 1320, 1500)]
        layers += [Layer(False, side * z, 240.0, 700.0, *short) for z in (1220, 1500, 1800, 2150, 2550, 2950)]
        layers += [Layer(False, side * z, 755.0, 1020.0, *long) for z in (1220, 1500, 1800, 2150, 2550, 2950)]
    return tuple(layers)


LAYERS: tuple[Layer, ...] = _layers()
"""The 48 layers: 10 cylinders, 38 disks."""


def crossings(radius: Floats, sinh_eta: Floats, z0: Floats) -> tuple[Floats, Floats]:
    """Where particles from the beam line meet the layers.

    radius:   (particles,) float64, mm, of curvature, positive
    sinh_eta: (particles,) float64, pz over pT
    z0:       (particles,) float64, mm, where they come from
    returns:  turning angle (particles, 48) float64, rad, NaN where the layer is not met; and r there, mm
    """
    angle = np.full((len(radius), len(LAYERS)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        for column, layer in enumerate(LAYERS):
            if layer.barrel:
                turned = 2.0 * np.arcsin(layer.at / (2.0 * radius))  # NaN for particles that turn back before
                inside = np.abs(z0 + radius * sinh_eta * turned) <= layer.high
            else:
                turned = (layer.at - z0) / (radius * sinh_eta)
                distance = 2.0 * radius * np.sin(turned / 2.0)
                inside = (turned > 0.0) & (turned < np.pi) & (distance >= layer.low) & (distance <= layer.high)
            angle[:, column] = np.where(inside, turned, np.nan)
    return angle, 2.0 * radius[:, None] * np.sin(angle / 2.0)
