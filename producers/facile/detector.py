"""The toy calorimeter: where its channels are, how they are calibrated, what a pulse looks like.

It stands in for the barrel and the endcap of the CMS hadron calorimeter after the Phase-1 upgrade: silicon
photomultipliers (SiPM) read out by an integrating, digitising chip (QIE11) in slices of 25 ns. It is a toy: the
segmentation and the orders of magnitude are those of the detector, every other number is chosen, and written here.

Two things are kept apart on purpose. `Detector` holds what does not change from event to event: gain, pedestals, timing. It
comes from a seed of its own, so that a network trained on one sample meets the same detector in another. Its
last two columns (`response`, `delay`) are nature's, not the calibrators': no ntuple shows them.

Sources: segmentation and read-out, CMS-TDR-010 (Phase-1 HCAL upgrade); eight slices with the interesting one at index
3, and the range of the gains, the public FACILE training code (see docs/facile.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.float32]

SLICES = 8
"""Time slices per channel."""
SOI = 3
"""The slice of interest: the one in which a pulse of this collision begins."""
SLICE_NS = 25.0
"""Length of a slice, and distance between two bunch crossings, ns."""
FC_PER_PHOTOELECTRON = 44.0
"""Charge of one photo-electron, fC, on average; it fluctuates by a tenth of that."""
ELECTRONICS_NOISE_FC = 8.0
"""Fluctuation of a slice's charge without any photo-electron, fC."""
ADC_STEP_FC = 3.1
"""The finest step of the digitiser, fC."""
ADC_LINEAR_FC = 49.6
"""Below this charge the digitiser has its finest step, fC; above, the step doubles with each doubling of the charge."""
ARRIVAL_NS = 5.0
"""Mean arrival of a pulse after the beginning of its slice, ns."""
DECAY_NS = (9.5, 8.5)
"""Time constant of a pulse in barrel and endcap, ns."""
CONDITIONS_SEED = 2017
"""The seed of the one toy detector."""


def depths_of(abs_ieta: int) -> range:
    """The depth segments of one tower ring: ieta 1-16 barrel, 16-29 endcap (16 holds both)."""
    if abs_ieta <= 15:
        return range(1, 5)
    if abs_ieta == 16:
        return range(1, 5)  # 1-3 barrel, 4 endcap
    if abs_ieta == 17:
        return range(2, 4)
    if abs_ieta == 18:
        return range(1, 6)
    if abs_ieta <= 25:
        return range(1, 7)
    if abs_ieta <= 28:
        return range(1, 8)
    return range(1, 4)


@lru_cache(maxsize=1)
def positions() -> tuple[Array, Array, Array]:
    """ieta, iphi, depth: (15840,) int32 each, all channels. Above |ieta| = 20 towers are 10 degrees wide: odd iphi only."""
    rows = [
        (sign * ring, iphi, depth)
        for ring in range(1, 30)
        for sign in (-1, 1)
        for iphi in range(1, 73, 1 if ring <= 20 else 2)
        for depth in depths_of(ring)
    ]
    table = np.array(rows, dtype=np.int32)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


@dataclass(frozen=True, slots=True)
class Detector:
    """What does not change from event to event. All columns have one entry per channel of the detector."""

    ieta: Array
    """ieta: (n,) int32, -29..29 without 0"""
    iphi: Array
    """iphi: (n,) int32, 1..72"""
    depth: Array
    """depth: (n,) int32, 1..7"""
    gain: Floats
    """gain: (n,) float32, GeV/fC, as calibrated"""
    pedestal: Floats
    """pedestal: (n, 4) float32, fC per slice, the dark current, as seen by each of the chip's four capacitors"""
    response: Floats
    """response: (n,) float32, true gain over calibrated gain"""
    delay: Floats
    """delay: (n,) float32, ns, what is left after time alignment"""

    def __len__(self) -> int:
        return len(self.ieta)

    @property
    def endcap(self) -> npt.NDArray[np.bool_]:
        """endcap: (n,) bool"""
        abs_ieta = np.abs(self.ieta)
        inside: npt.NDArray[np.bool_] = (abs_ieta > 16) | ((abs_ieta == 16) & (self.depth == 4))
        return inside


@lru_cache(maxsize=1)
def toy_detector() -> Detector:
    """The one detector of all samples.

    gain: 3.2e-4 GeV/fC, 2 % more per depth in the barrel, up to 80 % more in the endcap's inner front layers (the
    light lost to radiation), times a spread of 10 %. Calibration is right to 2 %, timing to 1 ns, pedestals differ by
    3 % between capacitors.
    """
    rng = np.random.default_rng(CONDITIONS_SEED)
    ieta, iphi, depth = positions()
    n = len(ieta)
    endcap = np.abs(ieta) > 16
    inner = np.clip((np.abs(ieta) - 16) / 13.0, 0.0, 1.0)
    gain = 3.2e-4 * np.where(endcap, 1.0 + 0.8 * inner**2 / np.sqrt(depth), 1.0 + 0.02 * (depth - 1))
    gain = gain * np.exp(0.10 * rng.standard_normal(n))
    pedestal = np.where(endcap, 45.0, 80.0) * np.exp(0.20 * rng.standard_normal(n))
    capacitors = pedestal[:, None] * (1.0 + 0.03 * rng.standard_normal((n, 4)))
    return Detector(
        ieta=ieta,
        iphi=iphi,
        depth=depth,
        gain=gain.astype(np.float32),
        pedestal=capacitors.astype(np.float32),
        response=(1.0 + 0.02 * rng.standard_normal(n)).clip(0.9, 1.1).astype(np.float32),
        delay=rng.standard_normal(n).clip(-3.0, 3.0).astype(np.float32),
    )


def collected(elapsed: Floats, decay: Floats | float) -> Floats:
    """The fraction of a pulse's charge that has come `elapsed` ns after its arrival.

    The pulse is t exp(-t/decay): light made in the scintillator, then delayed in the wavelength-shifting fibre.
    """
    x = np.maximum(elapsed, 0.0) / decay
    return np.asarray(1.0 - (1.0 + x) * np.exp(-x), dtype=np.float32)


def pulse_fractions(arrival: Floats, decay: Floats | float, slices: int = SLICES + 1) -> Floats:
    """The fraction of a pulse's charge in its own slice and the following ones.

    arrival: (n,) float32, ns after the beginning of its own slice, may be negative
    decay:   (n,) float32 or a number, ns
    returns: (slices, n) float32; entry 0 is the slice before its own, entry 1 its own
    """
    edges = SLICE_NS * np.arange(-1, slices, dtype=np.float32)
    done = [collected(edge - arrival, decay) for edge in edges]
    return np.array([after - before for before, after in pairwise(done)], dtype=np.float32)


@lru_cache(maxsize=1)
def average_pulse() -> Floats:
    """fractions: (8,) float32, of the charge of an average pulse of this collision in each slice of the read-out."""
    detector = toy_detector()
    decay = np.where(detector.endcap, DECAY_NS[1], DECAY_NS[0]).astype(np.float32)
    fractions = pulse_fractions((ARRIVAL_NS + detector.delay).astype(np.float32), decay, SLICES - SOI + 1)
    pulse = np.zeros(SLICES, dtype=np.float32)
    pulse[SOI - 1 :] = fractions.mean(axis=1)
    return pulse


def digitised(charge: Floats) -> tuple[Floats, Floats]:
    """The charge as the digitiser reports it, and its step there.

    charge:  (...) float32, fC
    returns: charge at the middle of its step, and the step, both (...) float32, fC. The step is 3.1 fC up to 49.6 fC
             and doubles with each doubling of the charge, so that it is 6-13 % of any larger charge: the floating-point
             idea of the QIE11.
    """
    _, exponent = np.frexp(np.maximum(charge, 0.0) / np.float32(ADC_LINEAR_FC))
    step = np.ldexp(np.float32(ADC_STEP_FC), np.maximum(exponent, 0))
    middle = (np.floor(charge / step) + np.float32(0.5)) * step
    return middle.astype(np.float32), step.astype(np.float32)
