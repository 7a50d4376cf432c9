"""Which generator jet a reconstructed jet is: the nearest in (eta, phi), if both agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MAX_DELTA_R = 0.2
"""Half of the radius of the jets (anti-kT 0.4): beyond, the axes are hardly those of one jet."""


def delta_phi(first: Any, second: Any) -> npt.NDArray[np.float64]:
    """The difference of two azimuths, rad, in [-pi, pi). Arguments broadcast."""
    difference = np.subtract(first, second, dtype=np.float64)
    return np.asarray((difference + np.pi) % (2.0 * np.pi) - np.pi)


def delta_r(eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> npt.NDArray[np.float64]:
    """The distance sqrt(delta eta^2 + delta phi^2) in (eta, phi). Arguments broadcast."""
    return np.asarray(np.hypot(np.subtract(eta1, eta2, dtype=np.float64), delta_phi(phi1, phi2)), dtype=np.float64)


def match_jets(
    eta: Any, phi: Any, gen_eta: Any, gen_phi: Any, max_delta_r: float = MAX_DELTA_R
) -> npt.NDArray[np.int64]:
    """For each reconstructed jet of one event the index of its generator jet, or -1.

    Two jets match if each is the other's nearest and they are less than `max_delta_r` apart: a generator jet is given
    to one reconstructed jet at most.

    eta, phi:         (jets,), phi in rad
    gen_eta, gen_phi: (generator jets,)
    returns:          (jets,) int64
    """
    eta, phi, gen_eta, gen_phi = (np.asarray(values) for values in (eta, phi, gen_eta, gen_phi))
    matched = np.full(len(eta), -1, dtype=np.int64)
    if len(eta) == 0 or len(gen_eta) == 0:
        return matched
    distance = delta_r(eta[:, None], phi[:, None], gen_eta[None, :], gen_phi[None, :])
    nearest_gen = distance.argmin(axis=1)
    nearest_jet = distance.argmin(axis=0)
    jets = np.arange(len(eta))
    mutual = (nearest_jet[nearest_gen] == jets) & (distance[jets, nearest_gen] < max_delta_r)
    matched[mutual] = nearest_gen[mutual]
    return matched
