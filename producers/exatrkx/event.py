"""One event of the toy tracker: particles, the hits that they leave, and noise.

    particles  from the beam line, z0 normal with 55 mm; pT falls as pT^-2.5 from 0.5 GeV (at most 20 GeV), eta flat
               within +-3, phi flat, either charge
    hits       one for each layer that the helix meets, lost in 2 of 100 cases, smeared by the layer's resolution
    scattering each layer deflects by a normal angle of 13.6 MeV / p sqrt(x/X0) in both projections, with x/X0 = 2 %
               (Particle Data Group, "Passage of particles through matter", without the logarithm); what it shifts
               the following hits by is kept, the helix itself is not changed
    noise      5 of 100 hits belong to no particle: uniform in phi and along a layer

Not in the toy: energy loss, nuclear reactions, decays, secondary particles, shared clusters, loopers.
Policy: an event depends on (seed, its number, its size) alone. Particles are added while the hits stay within the size,
so that an event has that many hits or a few less. Hits are in random order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .detector import LAYERS, RADIUS_PER_PT, Array, Floats, crossings

PT_LOW, PT_HIGH, PT_INDEX = 0.5, 20.0, 2.5
ETA_MAX = 3.0
Z_SPREAD = 55.0
"""Spread of the collisions along the beam, mm."""
INEFFICIENCY = 0.02
NOISE = 0.05
"""Fraction of an event's hits that is noise."""
RADIATION_LENGTHS = 0.02
"""Material of a layer, in radiation lengths."""
_SCATTER = 0.0136 * np.sqrt(RADIATION_LENGTHS)  # GeV


@dataclass(frozen=True, slots=True)
class TrackerEvent:
    """Hits, with the row of the particle that left each, and the particles that left any."""

    r: Array
    """r: (hits,) float32, mm, from the beam"""
    phi: Array
    """phi: (hits,) float32, rad, -pi to pi"""
    z: Array
    """z: (hits,) float32, mm, along the beam"""
    particle: Array
    """particle: (hits,) int32, row of the particle, -1 for noise"""
    pt: Array
    """pt: (particles,) float32, GeV"""
    eta: Array
    """eta: (particles,) float32"""

    def __len__(self) -> int:
        return len(self.r)


def make_event(hits: int, seed: int, event: int = 0) -> TrackerEvent:
    """One event of at most `hits` hits, as the head of this file says. Raises ValueError if that is negative."""
    if hits < 0:
        raise ValueError(f"an event cannot have {hits} hits")
    rng = np.random.default_rng([seed, event])
    noise = min(hits, int(rng.poisson(NOISE * hits)))
    count = 20 + hits // 4  # more than ever needed: the mean is 10 hits
    power = 1.0 - PT_INDEX
    low, high = PT_LOW**power, PT_HIGH**power
    pt = (low + rng.random(count) * (high - low)) ** (1.0 / power)
    eta = rng.uniform(-ETA_MAX, ETA_MAX, count)
    phi0 = rng.uniform(-np.pi, np.pi, count)
    charge = rng.choice([-1.0, 1.0], count)
    z0 = rng.normal(0.0, Z_SPREAD, count)
    r, phi, z = _hits(rng, pt, eta, phi0, charge, z0)
    left = np.isfinite(r)
    total = np.cumsum(left.sum(axis=1))
    kept = int(np.searchsorted(total, hits - noise, side="right"))
    of, layer = np.nonzero(left[:kept])
    pieces = [(r[of, layer], phi[of, layer], z[of, layer]), _noise(rng, noise)]
    order = rng.permutation(len(of) + noise)
    where = [np.concatenate(column)[order].astype(np.float32) for column in zip(*pieces, strict=True)]
    particle = np.concatenate([of, np.full(noise, -1)])[order].astype(np.int32)
    return TrackerEvent(
        where[0], where[1], where[2], particle, pt[:kept].astype(np.float32), eta[:kept].astype(np.float32)
    )


def _hits(
    rng: np.random.Generator, pt: Floats, eta: Floats, phi0: Floats, charge: Floats, z0: Floats
) -> tuple[Floats, Floats, Floats]:
    """r, phi, z: (particles, 48) float64 as measured; NaN where there is no hit."""
    radius, sinh_eta = pt * RADIUS_PER_PT, np.sinh(eta)
    angle, r = crossings(radius, sinh_eta, z0)
    angle[rng.random(angle.shape) < INEFFICIENCY] = np.nan
    phi = phi0[:, None] - charge[:, None] * angle / 2.0
    z = z0[:, None] + radius[:, None] * sinh_eta[:, None] * angle
    momentum = pt * np.cosh(eta)
    path = angle * radius[:, None] * np.cosh(eta)[:, None]
    across, along = (_displacement(rng, path, _SCATTER / momentum) for _ in range(2))
    barrel = np.array([layer.barrel for layer in LAYERS])
    across += rng.standard_normal(r.shape) * [layer.across for layer in LAYERS]
    # across the track, in the plane of r and z, becomes a shift along the layer
    along *= np.where(barrel, np.cosh(eta)[:, None], 1.0 / np.tanh(np.abs(eta) + 1e-9)[:, None])
    along += rng.standard_normal(r.shape) * [layer.along for layer in LAYERS]
    r = np.where(np.isfinite(angle), r, np.nan)
    phi = phi + across / r
    z = np.where(barrel, z + along, z)
    r = np.where(barrel, r, r + along)
    return np.abs(r), np.remainder(phi + np.pi, 2.0 * np.pi) - np.pi, z


def _displacement(rng: np.random.Generator, path: Floats, scatter: Floats) -> Floats:
    """How far scattering in the layers before has moved each hit: (particles, 48) float64, mm.

    path:    (particles, 48) float64, mm, length of the track up to the layer, NaN where it is not met
    scatter: (particles,) float64, rad, of one layer
    """
    order = np.argsort(path, axis=1)  # NaN last
    sorted_path = np.nan_to_num(np.take_along_axis(path, order, axis=1))
    angle = rng.standard_normal(path.shape) * scatter[:, None]
    before, moment = np.cumsum(angle, axis=1) - angle, np.cumsum(angle * sorted_path, axis=1) - angle * sorted_path
    shift = np.empty_like(path)
    np.put_along_axis(shift, order, before * sorted_path - moment, axis=1)
    return shift


def _noise(rng: np.random.Generator, hits: int) -> tuple[Floats, Floats, Floats]:
    """r, phi, z: (hits,) float64 each, on layers that are picked with equal chance."""
    where = rng.integers(0, len(LAYERS), hits)
    barrel, at, low, high = (
        np.array([getattr(layer, name) for layer in LAYERS])[where] for name in ("barrel", "at", "low", "high")
    )
    along = np.where(barrel, rng.uniform(-1.0, 1.0, hits) * high, low + rng.random(hits) * (high - low))
    phi = rng.uniform(-np.pi, np.pi, hits)
    return np.where(barrel, at, along), phi, np.where(barrel, along, at)
