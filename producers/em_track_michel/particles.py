"""Toy particles in liquid argon: where they leave how much energy. Tracks, stopping muons with Michel electrons, showers.

    tracks     muons through the whole volume, isotropic; multiple scattering after Highland for 2 GeV/c.
    stopping   muons that end in the volume: the energy loss grows with the residual range R as 8 MeV/cm (R/cm)^-0.42 once
               that is above the minimum, down to the last step (Bragg peak). They scatter with the momentum that their
               range stands for.
    Michel     an electron from where the muon stopped, isotropic, with the spectrum x^2 (3 - 2x), x = E / 52.8 MeV. A
               short, crooked track: 2.1 MeV/cm until its energy is used up. It does not radiate.
    showers    electrons and photons after Heitler: a particle flies a random part of a radiation length (14 cm; photons
               9/7 of it, unseen), then shares its energy between two, at an angle of 20 MeV / E; below 32 MeV an electron
               stops in a straight line, and a photon makes an electron.

Energy loss fluctuates as a Moyal distribution, an approximation of Landau's: most probable 1.7 MeV/cm, mean 2.1. Steps are
2.4 mm long, half the distance of two wires.

Not in the toy: hadrons, delta rays, recombination, electron lifetime, diffusion, space charge, radiating Michel electrons.
Lengths are in cm, energies in MeV. Sources: radiation length, critical energy and stopping power of argon, Highland's
formula and the Michel spectrum: Review of Particle Physics; the power -0.42: ArgoNeuT, arXiv:1306.1712. Other numbers are
chosen, and written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STEP = 0.24
"""cm"""
RADIATION_LENGTH = 14.0
"""cm"""
CRITICAL_ENERGY = 32.0
"""MeV"""
MEAN_LOSS = 2.1
"""MeV/cm, of a particle at the minimum."""
PROBABLE_LOSS, LOSS_WIDTH = 1.7, 0.315
"""MeV/cm; the mean of a Moyal distribution is 1.27 widths above its peak."""
MUON_MASS = 105.66
MICHEL_END = 52.8
"""MeV, the largest energy of a Michel electron."""
TRACK, EM, NONE = 0, 1, 2
"""What a deposit, or a hit, belongs to."""


@dataclass(frozen=True, slots=True)
class Deposits:
    """Energy left in small steps: one entry each."""

    place: Array
    """place: (n, 3) float64, cm: drift, height, along the wires' plane"""
    energy: Array
    """energy: (n,) float64, MeV"""
    kind: Array
    """kind: (n,) int8, TRACK or EM"""
    michel: Array
    """michel: (n,) bool"""
    particle: Array
    """particle: (n,) int32: number of the track, stopping muon, Michel electron or shower in the event"""


def _unit(rng: np.random.Generator, count: int) -> Array:
    """Isotropic directions: (count, 3)."""
    direction = rng.standard_normal((count, 3))
    return np.asarray(direction / np.linalg.norm(direction, axis=1, keepdims=True))


def _across(direction: Array) -> tuple[Array, Array]:
    """Two unit vectors across each direction: (n, 3) each."""
    helper = np.where(np.abs(direction[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(direction, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(direction, first)


def _fluctuating(rng: np.random.Generator, mean: Array) -> Array:
    """Energy losses with Landau-like fluctuation around a mean: (n,) MeV/cm."""
    moyal = -2.0 * np.log(np.abs(rng.standard_normal(len(mean))) + 1e-12)
    return np.asarray(mean * (PROBABLE_LOSS + LOSS_WIDTH * moyal) / MEAN_LOSS)


def _crooked(rng: np.random.Generator, start: Array, direction: Array, momentum: Array) -> Array:
    """Steps of a particle that scatters: (n, 3), the middle of each step.

    momentum: (n,) beta c p at each step, MeV
    """
    first, second = _across(direction[np.newaxis])
    angle = 13.6 / momentum * np.sqrt(STEP / RADIATION_LENGTH)
    bend = np.cumsum(rng.standard_normal((len(momentum), 2)) * angle[:, np.newaxis], axis=0)
    ahead = direction + bend[:, :1] * first + bend[:, 1:] * second
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    return np.asarray(start + STEP * (np.cumsum(ahead, axis=0) - 0.5 * ahead))


def _beta_p(kinetic: Array, mass: float) -> Array:
    """Velocity times momentum of a kinetic energy, MeV."""
    return np.asarray(kinetic * (kinetic + 2.0 * mass) / (kinetic + mass))


def through_going(rng: np.random.Generator, box: Array) -> tuple[Array, Array]:
    """A muon through the volume: places (n, 3), energies (n,)."""
    inside = box * rng.random(3)
    (direction,) = _unit(rng, 1)
    steps = int(2.0 * np.linalg.norm(box) / STEP)
    start = inside - direction * np.linalg.norm(box)
    place = _crooked(rng, start, direction, np.full(steps, 2000.0))
    place = place[((place >= 0) & (place < box)).all(axis=1)]
    return place, STEP * _fluctuating(rng, np.full(len(place), MEAN_LOSS))


def stopping(rng: np.random.Generator, box: Array) -> tuple[Array, Array, Array]:
    """A muon that stops: places (n, 3) from the end backwards, energies (n,), and where it stopped (3,)."""
    end = box * rng.uniform(0.15, 0.85, 3)
    (direction,) = _unit(rng, 1)
    length = rng.uniform(20.0, 120.0)
    residual = STEP * (np.arange(int(length / STEP)) + 0.5)
    loss = np.maximum(MEAN_LOSS, 8.0 * residual**-0.42)
    kinetic = np.cumsum(loss) * STEP
    place = _crooked(rng, end, direction, _beta_p(kinetic, MUON_MASS))
    energy = STEP * _fluctuating(rng, loss)
    inside = ((place >= 0) & (place < box)).all(axis=1)
    return place[inside], energy[inside], end


def michel(rng: np.random.Generator, start: Array) -> tuple[Array, Array]:
    """A Michel electron: places (n, 3), energies (n,)."""
    x = np.linspace(0.0, 1.0, 1001)
    energy = MICHEL_END * float(np.interp(rng.random(), x**3 * (2.0 - x), x))
    steps = max(1, int(energy / (MEAN_LOSS * STEP)))
    left = np.maximum(energy - MEAN_LOSS * STEP * np.arange(steps), 3.0)
    (direction,) = _unit(rng, 1)
    place = _crooked(rng, start, direction, left)
    return place, STEP * _fluctuating(rng, np.full(steps, MEAN_LOSS))


def shower(rng: np.random.Generator, box: Array, energy: float) -> tuple[Array, Array]:
    """An electron's or a photon's shower that begins inside: places (n, 3), energies (n,)."""
    position = (box * rng.uniform(0.1, 0.9, 3))[np.newaxis]
    direction = _unit(rng, 1)
    energies = np.array([energy])
    photon = rng.random(1) < 0.5
    places, losses = [], []
    while len(energies):
        low = energies < CRITICAL_ENERGY
        flight = rng.exponential(np.where(photon, 9.0 / 7.0, 0.7) * RADIATION_LENGTH)
        reach = np.where(low & ~photon, energies / MEAN_LOSS, flight)
        reach = np.where(photon, reach, np.minimum(reach, energies / MEAN_LOSS))
        count = np.where(photon, 0, np.ceil(reach / STEP)).astype(np.int64)
        owner = np.repeat(np.arange(len(count)), count)
        along = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        places.append(position[owner] + direction[owner] * (STEP * (along[:, np.newaxis] + 0.5)))
        losses.append(STEP * _fluctuating(rng, np.full(len(owner), MEAN_LOSS)))
        after = energies - np.where(photon, 0.0, MEAN_LOSS * reach)
        position = position + direction * reach[:, np.newaxis]
        goes_on = (after > 1.0) & (photon | ~low)
        position, direction, after, photon = position[goes_on], direction[goes_on], after[goes_on], photon[goes_on]
        position, direction, energies, photon = _shared(rng, position, direction, after, photon)
    return np.concatenate(places), np.concatenate(losses)


def _shared(
    rng: np.random.Generator, position: Array, direction: Array, energy: Array, photon: Array
) -> tuple[Array, Array, Array, Array]:
    """The two particles that each becomes: an electron radiates a photon, a photon becomes a pair (one electron if soft)."""
    part = rng.uniform(0.1, 0.9, len(energy))
    single = photon & (energy < CRITICAL_ENERGY)
    part = np.where(single, 1.0, part)
    shares = np.concatenate([energy * part, energy * (1.0 - part)])
    of_photon = np.concatenate([np.zeros(len(energy), np.bool_), ~photon])
    twice = np.concatenate([direction, direction])
    first, second = _across(twice) if len(twice) else (twice, twice)
    bend = rng.standard_normal((len(shares), 2)) * (20.0 / np.maximum(shares, 10.0))[:, np.newaxis]
    twice = twice + bend[:, :1] * first + bend[:, 1:] * second
    twice /= np.linalg.norm(twice, axis=1, keepdims=True)
    keep = shares > 1.0
    return np.concatenate([position, position])[keep], twice[keep], shares[keep], of_photon[keep]


def make_deposits(rng: np.random.Generator, box: Array, tracks: int, muons: int, showers: int) -> Deposits:
    """All deposits of an event in a volume.

    box:    (3,) cm: drift, height, length
    tracks: through-going muons; muons: stopping ones, each with its Michel electron; showers: of 150 to 1,500 MeV
    """
    parts: list[tuple[Array, Array, int, bool]] = []
    parts += [(*through_going(rng, box), TRACK, False) for _ in range(tracks)]
    for _ in range(muons):
        place, energy, end = stopping(rng, box)
        parts.append((place, energy, TRACK, False))
        parts.append((*michel(rng, end), EM, True))
    parts += [(*shower(rng, box, 150.0 * 10.0 ** rng.random()), EM, False) for _ in range(showers)]
    counts = [len(energy) for _, energy, _, _ in parts]
    return Deposits(
        place=np.concatenate([np.empty((0, 3)), *(place for place, _, _, _ in parts)]),
        energy=np.concatenate([np.empty(0), *(energy for _, energy, _, _ in parts)]),
        kind=np.repeat(np.array([kind for _, _, kind, _ in parts], np.int8), counts),
        michel=np.repeat(np.array([yes for _, _, _, yes in parts], np.bool_), counts),
        particle=np.repeat(np.arange(len(parts), dtype=np.int32), counts),
    )
