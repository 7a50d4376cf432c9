"""The toy calorimeter of DeepCalo: what its layers, its cells and the material before it are.

It stands in for the barrel of ATLAS's electromagnetic calorimeter, lead and liquid argon: a presampler, fine strips, a
deep middle layer and a back layer. It is a toy: the segmentation and the orders of magnitude are those of the detector
(ATLAS-TDR-2), every other number is chosen, and written here.

An image has 56 rows in eta, of one strip each (0.025/8), and 11 columns in phi, of one middle cell each (0.0245), so that its
window is 7 x 11 middle cells. The public code does not say which of the two axes of 56 x 11 is eta; 56 = 7 x 8 strips
does. In three of the four layers a cell is eight rows high: its energy is divided evenly over its rows, so that the sum
of the pixels is the sum of the cells.

Not in the toy: the coarser cells of strips and presampler in phi and of the back layer in eta, cross-talk, pile-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.float32]

ROWS, COLUMNS, LAYERS = 56, 11, 4
"""Shape of an image: strips in eta, middle cells in phi, layers."""
CELLS = ROWS * COLUMNS * LAYERS
"""Numbers in an image: 2,464."""
STRIPS = 8
"""Strips in one middle cell."""
ROW_MM, COLUMN_MM = 37.5 / STRIPS, 37.5
"""Size of a pixel, mm, 1.5 m from the beam."""
MOLIERE_MM = 45.0
"""The Moliere radius of lead and liquid argon, averaged over both, mm."""
CRITICAL_GEV = 0.010
"""The critical energy, likewise, GeV."""
EFFECTIVE_Z = 70.0
"""The atomic number that enters the shower shapes; most of the mass is lead."""
MAX_ETA = 1.4
"""Electrons are in the barrel."""
SAMPLING = 0.10
"""Fluctuation of the energy seen in a cell, times the root of that energy in GeV."""
UNIFORMITY = 0.005
"""Fluctuation of the response from place to place that nothing in an image tells."""
COUNTS_PER_GEV = 1024
"""The digitiser's steps."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the calorimeter."""

    name: str
    depth: float
    """Thickness along the path, radiation lengths."""
    noise: float
    """Fluctuation of a cell without energy, GeV."""
    rows: int
    """Cells in the 56 rows of an image."""


LAYER_TABLE = (
    Layer("presampler", 0.5, 0.040, ROWS // STRIPS),
    Layer("strips", 4.3, 0.020, ROWS),
    Layer("middle", 16.0, 0.045, ROWS // STRIPS),
    Layer("back", 2.5, 0.035, ROWS // STRIPS),
)
"""The four channels of an image, from the inside out."""


def upstream_material(eta: Array) -> Array:
    """thickness: (electrons,) float64, radiation lengths before the calorimeter, on average: 1.8 at 0, 4.9 at |eta| = 1.4.

    The path through tracker, solenoid and cryostat grows with cosh(eta); beyond |eta| = 0.8 there is a radiation length more.
    """
    inside = np.abs(np.asarray(eta, dtype=np.float64))
    thickness: Array = 1.8 * np.cosh(inside) + 1.0 / (1.0 + np.exp(-(inside - 0.8) / 0.05))
    return thickness


def local_response(eta_offset: Array, phi_offset: Array) -> Array:
    """response: (electrons,) float64, 1 on average over a cell.

    eta_offset, phi_offset: (electrons,) from the middle of the central cell, in cells, -0.5 to 0.5. Near the border in
    eta 1.2 % are lost; in phi there is the ripple of the folded absorbers, 0.5 %.
    """
    response: Array = 1.0 - 0.006 * (12.0 * eta_offset**2 - 1.0) + 0.005 * np.cos(4.0 * np.pi * phi_offset)
    return response
