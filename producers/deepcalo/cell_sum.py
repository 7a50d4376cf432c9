"""Images of cells, and the plain methods that DeepCalo is measured against: sums of cells.

The plain sum takes all cells of the image. The calibrated sum is what a good reconstruction does without a network: a
window of 3 x 7 middle cells (there the noise of fewer cells comes in), a weight for each layer, so that the presampler
stands for what was lost before it, and a scale that goes with the energy. Its eight numbers are fitted, with the sample that
the network is trained on, by `fit_calibration`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .detector import CELLS, COLUMNS, LAYERS, ROWS, STRIPS, Array, Floats

WINDOW_ROWS = slice(2 * STRIPS, 5 * STRIPS)
WINDOW_COLUMNS = slice(2, 9)
"""The window of the calibrated sum: 3 x 7 middle cells."""


def cell_images(cells: npt.NDArray[Any]) -> Floats:
    """The images of one event, or of many.

    cells:   the pixels one after the other, (electrons * 2464,), or images already, (electrons, 56, 11, 4), GeV
    returns: (electrons, 56, 11, 4) float32, C-contiguous; the same memory if it can be
    raises ValueError: it is not a whole number of images
    """
    values = np.asarray(cells)
    if values.size % CELLS or (values.ndim > 1 and values.shape[1:] != (ROWS, COLUMNS, LAYERS)):
        raise ValueError(
            f"cells of shape {values.shape} are not images of {ROWS} x {COLUMNS} x {LAYERS} = {CELLS} cells"
        )
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1, ROWS, COLUMNS, LAYERS)


def cell_sum(images: Floats) -> Floats:
    """energy: (electrons,) float32, GeV: the sum of all cells, images: (electrons, 56, 11, 4)."""
    energy: Floats = images.sum(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)
    return energy


def layer_sums(images: Floats) -> Array:
    """sums: (electrons, 4) float64, GeV: each layer's cells in the window."""
    window = images[:, WINDOW_ROWS, WINDOW_COLUMNS]
    sums: Array = window.sum(axis=(1, 2), dtype=np.float64)
    return sums


def calibrated_sum(images: Floats, calibration: tuple[float, ...] | None = None) -> Floats:
    """energy: (electrons,) float32, GeV: the weighted sum of the window's layers, with its scale.

    images:      (electrons, 56, 11, 4) float32, GeV
    calibration: what `fit_calibration` returns; None: `CALIBRATION`
    """
    numbers = np.array(CALIBRATION if calibration is None else calibration)
    linear = numbers[0] + layer_sums(images) @ numbers[1:5]
    energy: Floats = (linear * (_powers(linear) @ numbers[5:])).astype(np.float32)
    return energy


def fit_calibration(images: Floats, energy: Floats, width: Array) -> tuple[float, ...]:
    """A constant (GeV), four weights, and a parabola in log energy; by least squares.

    images: (electrons, 56, 11, 4), energy: (electrons,), width: (electrons,) the resolution to be expected, GeV
    """
    sums = layer_sums(images)
    rows = np.column_stack([np.ones(len(sums)), sums])
    first = np.linalg.lstsq(rows / width[:, None], energy / width, rcond=None)[0]
    linear = rows @ first
    scaled = _powers(linear) * linear[:, None]
    second = np.linalg.lstsq(scaled / width[:, None], energy / width, rcond=None)[0]
    return tuple(float(value) for value in (*first, *second))


def _powers(linear: Array) -> Array:
    """1, x, x^2 of the log of the energy, which is 0 at 50 GeV: (electrons, 3)."""
    log = np.log(np.maximum(linear, 0.5) / 50.0)
    return np.column_stack([np.ones(len(log)), log, log**2])


CALIBRATION: tuple[float, ...] = (0.01815, 2.99825, 1.20433, 1.05020, 1.51312, 0.99564, -0.00002, 0.00215)
"""What `fit_calibration` gives for the training sample of seed 1."""
