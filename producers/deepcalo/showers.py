"""Toy electron showers as images of cells.

What happens to an electron of energy E, in this order:

    tracker    in the first 40 % of the material it radiates: -ln(what it keeps) is Gamma distributed (Bethe and Heitler).
               The field bends it away from what it radiated, along phi, by up to 0.33 rad GeV / pT.
    depth      the energy is laid down along the depth t by a gamma distribution. Its two parameters fluctuate from shower to
               shower, together, as G. Grindhammer and S. Peters found (arXiv:hep-ex/0001020, homogeneous media).
               What is laid down before the calorimeter, and behind it, is not seen: this takes energy away.
    width      each layer's energy is spread by their radial profile, the sum of a core and a tail, each of the form
               2 r R^2 / (r^2 + R^2)^2, with radii that grow with depth. Electron and radiated photons each have their own.
    cells      the integral over each cell is exact (`corner`). Cells fluctuate by 10 % / sqrt(E), have noise, and are
               digitised; the response varies over a cell, and by 0.5 % without any sign of it.

The sum of all cells is therefore too low, by a share that fluctuates with the shower's depth, and it adds the noise of 847
cells. The share of the presampler and the strips tells how much was lost before, that of the back layer how much
behind; the pattern of the strips tells where in its cell the electron went.

Not in the toy: conversions of the photons, hadrons, the angle of the electron to the cells, eta in the cells' sizes.
"""

from __future__ import annotations

import numpy as np

from .detector import (
    COLUMN_MM,
    COLUMNS,
    COUNTS_PER_GEV,
    CRITICAL_GEV,
    EFFECTIVE_Z,
    LAYER_TABLE,
    MAX_ETA,
    MOLIERE_MM,
    ROW_MM,
    ROWS,
    SAMPLING,
    STRIPS,
    UNIFORMITY,
    Array,
    local_response,
    upstream_material,
)

LOWEST, HIGHEST = 5.0, 500.0
"""Energies of the sample, GeV; as many per octave at both ends."""

Electrons = dict[str, Array]
"""One event's electrons: images and what is known of them."""


def make_electrons(electrons: int, seed: int, event: int = 0, energy: float | None = None) -> Electrons:
    """One event: images and truth of so many electrons. Depends on (seed, event, electrons) alone.

    energy:  true energy of all of them, GeV; None: flat in log E from 5 to 500 GeV
    returns: cells: (electrons, 56, 11, 4) float32, GeV; genEnergy (GeV), eta, phi (rad), pt (GeV), upstream (radiation
             lengths of material before the calorimeter): (electrons,) float32 each
    """
    rng = np.random.default_rng([seed, event])
    spectrum = np.exp(rng.uniform(np.log(LOWEST), np.log(HIGHEST), electrons))
    true = spectrum if energy is None else np.full(electrons, float(energy))
    eta = rng.uniform(-MAX_ETA, MAX_ETA, electrons)
    phi = rng.uniform(-np.pi, np.pi, electrons)
    upstream = upstream_material(eta) + rng.uniform(-0.3, 0.3, electrons)
    pt = true / np.cosh(eta)
    offsets = rng.uniform(-0.5, 0.5, (2, electrons))
    response = local_response(*offsets) * (1.0 + UNIFORMITY * rng.standard_normal(electrons))

    kept = np.exp(-rng.gamma(0.4 * upstream / np.log(2.0)))
    bend = 0.33 / pt * rng.random(electrons) ** 2 * rng.choice((-1.0, 1.0), electrons)
    apart = np.arctan(bend) * 1500.0  # mm, between electron and radiated photons

    alpha, beta = _longitudinal(rng, true)
    images = np.zeros((electrons, ROWS, COLUMNS, len(LAYER_TABLE)), dtype=np.float32)
    begin = upstream
    before = _laid_down(alpha, beta, begin)
    eta_mm, phi_mm = offsets[0] * ROW_MM * STRIPS, offsets[1] * COLUMN_MM
    for index, layer in enumerate(LAYER_TABLE):
        end = begin + layer.depth
        after = _laid_down(alpha, beta, end)
        tau = 0.5 * (begin + end) * beta / (alpha - 1.0)
        widths = _radii(rng, true, tau)
        seen = true * response * (after - before)
        shape = kept[:, None, None] * _profile(layer.rows, eta_mm, phi_mm - (1.0 - kept) * apart, *widths)
        shape += (1.0 - kept)[:, None, None] * _profile(layer.rows, eta_mm, phi_mm + kept * apart, *widths)
        cells = seen[:, None, None] * shape
        cells += SAMPLING * np.sqrt(cells) * rng.standard_normal(cells.shape)
        cells += layer.noise * rng.standard_normal(cells.shape)
        cells = np.round(cells * COUNTS_PER_GEV) / COUNTS_PER_GEV
        rows = ROWS // layer.rows
        images[..., index] = np.repeat(cells / rows, rows, axis=1)
        begin, before = end, after
    truth = {"genEnergy": true, "eta": eta, "phi": phi, "pt": pt, "upstream": upstream}
    return {"cells": images, **{name: values.astype(np.float32) for name, values in truth.items()}}


def _longitudinal(rng: np.random.Generator, energy: Array) -> tuple[Array, Array]:
    """alpha, beta: (electrons,) float64: shape, and rate per radiation length, of each shower's gamma distribution."""
    log_y = np.log(energy / CRITICAL_GEV)
    depth = np.log(log_y - 0.812)
    shape = np.log(0.81 + (0.458 + 2.26 / EFFECTIVE_Z) * log_y)
    together = 0.705 - 0.023 * log_y
    first, second = rng.standard_normal((2, len(energy)))
    depth += first / (-1.4 + 1.26 * log_y)
    shape += (together * first + np.sqrt(1.0 - together**2) * second) / (-0.58 + 0.86 * log_y)
    alpha = np.maximum(np.exp(shape), 1.2)
    return alpha, (alpha - 1.0) / np.exp(depth)


def _laid_down(alpha: Array, beta: Array, depth: Array) -> Array:
    """share: (electrons,) float64, of the shower's energy before this depth."""
    from scipy import special

    share: Array = special.gammainc(alpha, beta * depth)
    return share


def _radii(rng: np.random.Generator, energy: Array, tau: Array) -> tuple[Array, Array, Array]:
    """core and tail radius, mm, and the core's share, (electrons,) float64 each, at a depth of tau times the maximum's."""
    log_e = np.log(energy)
    deep = np.minimum(tau, 4.0)
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * EFFECTIVE_Z) * deep
    past = deep - 0.645
    tail = (0.659 - 0.00309 * EFFECTIVE_Z) * (np.exp(-2.59 * past) + np.exp((0.3585 + 0.0421 * log_e) * past))
    where = (0.401 + 0.00187 * EFFECTIVE_Z - deep) / (1.313 - 0.0686 * log_e)
    share = np.clip((2.632 - 0.00094 * EFFECTIVE_Z) * np.exp(where - np.exp(where)), 0.0, 1.0)
    spread = np.exp(0.1 * rng.standard_normal(len(energy))) * MOLIERE_MM
    return np.clip(core, 0.02, 1.0) * spread, np.clip(tail, 0.1, 3.0) * spread, share


def _profile(rows: int, eta_mm: Array, phi_mm: Array, core: Array, tail: Array, share: Array) -> Array:
    """shares: (electrons, rows, 11) float64, of a layer's energy in each cell; what is outside the window is lost."""
    eta = (np.arange(rows + 1) / rows - 0.5) * ROWS * ROW_MM
    phi = (np.arange(COLUMNS + 1) - 0.5 * COLUMNS) * COLUMN_MM
    x = (eta[None, :] - eta_mm[:, None])[:, :, None]
    y = (phi[None, :] - phi_mm[:, None])[:, None, :]
    total = share[:, None, None] * corner(x, y, core[:, None, None])
    total += (1.0 - share)[:, None, None] * corner(x, y, tail[:, None, None])
    shares: Array = np.diff(np.diff(total, axis=1), axis=2)
    return np.maximum(shares, 0.0)


def corner(x: Array, y: Array, radius: Array) -> Array:
    """The integral of R^2 / (pi (x^2 + y^2 + R^2)^2) over [0, x] x [0, y]; a quarter for both infinite.

    A cell holds the difference of the values at its four corners. x, y, radius: any shapes that broadcast, mm.
    """
    along, across = np.sqrt(x * x + radius * radius), np.sqrt(y * y + radius * radius)
    value: Array = (x / along * np.arctan(y / along) + y / across * np.arctan(x / across)) / (2.0 * np.pi)
    return value
