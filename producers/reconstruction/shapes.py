"""What a reconstruction computes on the CPU between its networks: shapes of showers, and what lies behind an electron.

The definitions are those that ATLAS and CMS use to tell electrons from jets, in the cells of the toy calorimeters of
`producers/deepcalo` and `producers/facile`. As these toys know nothing of each other, what lies behind an electron is
nothing of its own; the cost is that of a real reconstruction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evproc.producers.deepcalo.detector import COLUMNS, ROWS, STRIPS, Array, Floats

TOWER = 0.087
"""Size of an HCAL tower in eta, and in phi (5 degrees), up to |ieta| = 20."""


def shower_shapes(images: Floats) -> dict[str, Floats]:
    """Shapes of electron showers.

    images:  (electrons, 56, 11, 4) float32, GeV
    returns: presampler, strips, back: share of the energy in that layer; core: energy in 3 x 7 middle cells over that in
             7 x 7; width: spread of the strips' energy in eta, in strips; (electrons,) float32 each
    """
    layers = images.sum(axis=(1, 2), dtype=np.float64)
    total = np.maximum(layers.sum(axis=1), 1e-3)
    middle = images[..., 2]
    wide = middle[:, :, 2:9].sum(axis=(1, 2), dtype=np.float64)
    core = middle[:, 2 * STRIPS : 5 * STRIPS, 2:9].sum(axis=(1, 2), dtype=np.float64)
    strips = np.maximum(images[:, :, COLUMNS // 2 - 1 : COLUMNS // 2 + 2, 1].sum(axis=2, dtype=np.float64), 0.0)
    weight = np.maximum(strips.sum(axis=1), 1e-3)
    place = np.arange(ROWS)
    mean = strips @ place / weight
    spread = np.sqrt(np.maximum(strips @ place**2 / weight - mean**2, 0.0))
    shapes: dict[str, Any] = {
        "presampler": layers[:, 0] / total,
        "strips": layers[:, 1] / total,
        "back": layers[:, 3] / total,
        "core": core / np.where(np.abs(wide) > 1e-3, wide, 1e-3),
        "width": spread,
    }
    return {name: values.astype(np.float32) for name, values in shapes.items()}


def hadronic_energy(eta: Array, phi: Array, ieta: Array, iphi: Array, energy: Floats, cone: float) -> Floats:
    """energy: (electrons,) float32, GeV: of all HCAL channels in a cone around each electron.

    eta, phi:           (electrons,), phi in rad
    ieta, iphi, energy: (channels,), -29 to 29 without 0, 1 to 72, GeV
    cone:               largest distance in eta and phi
    """
    channel_eta = TOWER * (np.abs(ieta) - 0.5) * np.sign(ieta)
    channel_phi = (2.0 * np.pi / 72.0) * (np.asarray(iphi) - 0.5)
    away_eta = np.asarray(eta)[:, None] - channel_eta[None, :]
    away_phi = np.remainder(np.asarray(phi)[:, None] - channel_phi[None, :] + np.pi, 2.0 * np.pi) - np.pi
    inside = away_eta**2 + away_phi**2 < cone**2
    behind: Floats = (inside @ energy.astype(np.float64)).astype(np.float32)
    return behind
