"""Toy wire planes: from deposited energy to deconvolved waveforms, and from these to hits with their truth.

Three planes of parallel wires, 4.8 mm apart: two inclined by 35.7 degrees to either side, one upright (the angles of
ProtoDUNE-SP). Electrons drift 0.8 mm in a tick of 0.5 us. Charge is smeared along the drift by a Gaussian of 4 ticks, which
stands for electronics and the filter of the deconvolution; 300 ADC ticks per MeV, so that a muon across the wires peaks at
about 30 ADC. Noise is Gaussian of 2.5 ADC, smeared alike. Single blips of about 0.4 MeV that belong to no particle (as from
argon-39) and peaks of noise are the hits of the class `none`.

Waveforms are zero outside regions of interest, 24 ticks around what exceeds 8 ADC, and rounded to whole ADC, as
LArSoft's `recob::Wire` has regions only.

A hit is a sample above 12 ADC that is the largest within 5 ticks, and not nearer to an end of the waveform. Its truth is
what left the most energy on its wire within 6 ticks; less than 0.1 MeV is `none`. Its cluster is that particle on that
plane, so clusters are perfect; hits of no particle are in none (-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .particles import EM, NONE, TRACK, make_deposits

Array = npt.NDArray[Any]

PLANES = 3
PITCH = 0.48
"""Distance of two wires, cm."""
DRIFT = 0.08
"""Drift in a tick, cm."""
ANGLE = np.deg2rad(35.7)
"""Of the inclined wires."""
SHAPING = 4.0
"""Width of a pulse, ticks."""
ADC_PER_MEV = 300.0
"""Area of a pulse, ADC ticks per MeV."""
NOISE = 2.5
"""ADC"""
BLIPS = 0.2
"""Mean number of blips of a wire."""
BLIP_ENERGY = 0.4
"""MeV, mean."""
INTEREST, AROUND = 8.0, 24
"""ADC, and ticks: what is kept of a waveform."""
THRESHOLD, APART = 12.0, 5
"""ADC, and ticks: what is a hit."""
TRUTH_TICKS, TRUTH_ENERGY = 6, 0.1
"""Ticks to either side of a hit, and MeV, in which its truth is looked for."""


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event as the detector sees it, with the truth of its hits."""

    adc: Array
    """adc: (planes, wires, ticks) int16"""
    hits: dict[str, Array]
    """plane, wire (int32), time (float32, ticks), peak (float32, ADC), cluster, truth (int32), michel (bool): (hits,)"""


def volume(wires: int, ticks: int) -> Array:
    """The size of what the planes see: drift, height, length, cm. The height is half the length."""
    return np.array([ticks * DRIFT, 0.5 * wires * PITCH, wires * PITCH])


def wire_of(place: Array, wires: int) -> Array:
    """The wire of each plane that is nearest to a place: (planes, n) int64; may lie outside the plane."""
    height, length = place[:, 1] / PITCH, place[:, 2] / PITCH
    sine, cosine = np.sin(ANGLE), np.cos(ANGLE)
    centred = length - 0.5 * wires, height - 0.25 * wires
    across = [centred[0] * cosine + sign * centred[1] * sine for sign in (1.0, -1.0)]
    return np.floor(np.array([*across, centred[0]]) + 0.5 * wires).astype(np.int64)


def _smeared(maps: Array) -> Array:
    """Waveforms with each sample spread over a Gaussian of unit area: (..., ticks), what leaves at the end is lost."""
    ticks = maps.shape[-1]
    length = ticks + int(6 * SHAPING)
    away = np.minimum(np.arange(length), length - np.arange(length))
    kernel = np.exp(-0.5 * (away / SHAPING) ** 2)
    spectrum = np.fft.rfft(maps, length) * np.fft.rfft(kernel / kernel.sum())
    return np.asarray(np.fft.irfft(spectrum, length)[..., :ticks])


def make_event(
    seed: int, event: int = 0, *, wires: int = 240, ticks: int = 1536, tracks: int = 6, muons: int = 3, showers: int = 2
) -> WireEvent:
    """One event; it depends on these arguments alone.

    wires, ticks: of each of the three planes
    tracks, muons, showers: through-going muons, stopping muons with their Michel electrons, electromagnetic showers
    """
    rng = np.random.default_rng([seed, event])
    deposits = make_deposits(rng, volume(wires, ticks), tracks, muons, showers)
    shape = (PLANES, wires, ticks)
    size = PLANES * wires * ticks
    wire = wire_of(deposits.place, wires)
    tick = np.floor(deposits.place[:, 0] / DRIFT).astype(np.int64)
    seen = (wire >= 0) & (wire < wires) & (tick >= 0) & (tick < ticks)
    plane, entry = np.nonzero(seen)
    cell = (plane * wires + wire[plane, entry]) * ticks + tick[entry]
    energy, kind = deposits.energy[entry], deposits.kind[entry]
    charge = np.bincount(cell, energy, size)
    truth = np.array([np.bincount(cell, energy * part, size) for part in (kind == TRACK, deposits.michel[entry])])
    owner = np.full(size, -1, np.int32)
    in_order = np.argsort(energy, kind="stable")
    owner[cell[in_order]] = deposits.particle[entry[in_order]]

    blips = rng.poisson(BLIPS * PLANES * wires)
    noisy = charge.copy()
    np.add.at(noisy, rng.integers(0, size, blips), rng.exponential(BLIP_ENERGY, blips))
    white = rng.standard_normal(size, dtype=np.float32) * (NOISE * np.sqrt(2.0 * np.sqrt(np.pi) * SHAPING))
    adc = _interesting(_smeared((ADC_PER_MEV * noisy + white).reshape(shape)))
    hits = find_hits(adc)
    hits |= _truth(hits, charge.reshape(shape), truth.reshape(2, *shape), owner.reshape(shape))
    return WireEvent(adc, hits)


def _interesting(waveforms: Array) -> Array:
    """Waveforms rounded to ADC, zero outside the regions of interest: (planes, wires, ticks) int16."""
    above = np.cumsum(waveforms > INTEREST, axis=-1, dtype=np.int32)
    ticks = np.arange(waveforms.shape[-1])
    first, last = np.maximum(ticks - AROUND - 1, -1), np.minimum(ticks + AROUND, len(ticks) - 1)
    before = np.where(first < 0, 0, above[..., first])
    return np.where(above[..., last] > before, np.rint(waveforms), 0.0).clip(-32768, 32767).astype(np.int16)


def _around(ticks: Array, reach: int, extent: int) -> Array:
    """The ticks within `reach` of some ticks, those at the ends repeated: (n, 2 reach + 1)."""
    return np.clip(ticks[:, np.newaxis] + np.arange(-reach, reach + 1), 0, extent - 1)


def find_hits(adc: Array) -> dict[str, Array]:
    """The hits of an event's waveforms, by plane, wire and time: plane, wire, time and peak; see `WireEvent.hits`."""
    plane, wire, tick = np.nonzero(adc > THRESHOLD)
    inside = (tick >= APART) & (tick < adc.shape[-1] - APART)
    plane, wire, tick = plane[inside], wire[inside], tick[inside]
    near = adc[plane[:, np.newaxis], wire[:, np.newaxis], _around(tick, APART, adc.shape[-1])]
    largest = near.argmax(axis=1) == APART  # the first of equal ones
    plane, wire, tick = plane[largest], wire[largest], tick[largest]
    return {
        "plane": plane.astype(np.int32),
        "wire": wire.astype(np.int32),
        "time": tick.astype(np.float32),
        "peak": adc[plane, wire, tick].astype(np.float32),
    }


def _truth(hits: dict[str, Array], charge: Array, truth: Array, owner: Array) -> dict[str, Array]:
    """What the hits belong to: cluster, truth and michel; see `WireEvent.hits`."""
    ticks = _around(hits["time"].astype(np.int64), TRUTH_TICKS, charge.shape[-1])
    where = hits["plane"][:, np.newaxis], hits["wire"][:, np.newaxis], ticks
    window = charge[where]
    total = window.sum(axis=1)
    track, michel = truth[0][where].sum(axis=1), truth[1][where].sum(axis=1)
    real = total >= TRUTH_ENERGY
    kind = np.where(real, np.where(track >= 0.5 * total, TRACK, EM), NONE)
    row = np.arange(len(total))
    particle = owner[where][row, window.argmax(axis=1)] if len(row) else np.empty(0, np.int32)
    cluster = np.full(len(total), -1, np.int32)
    cluster[real] = np.unique(particle[real] * PLANES + hits["plane"][real], return_inverse=True)[1]
    return {
        "cluster": cluster,
        "truth": kind.astype(np.int32),
        "michel": real & (michel > 0.5 * total),
    }
