"""The 11 inputs of the jet energy regression, from the branches of a NanoAOD, and what its output does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FEATURES: tuple[str, ...] = (
    "log_pt",
    "abs_eta",
    "mass_over_pt",
    "area",
    "chHEF",
    "neHEF",
    "chEmEF",
    "neEmEF",
    "muEF",
    "nConstituents",
    "rho",
)
"""Names of the inputs. The five fractions are of the jet's uncorrected energy; rho is in GeV per unit of area."""

FACTOR_RANGE = (0.5, 2.0)
"""A correction outside of this is clamped: the training sample holds nothing there."""


def jet_features(jets: Any, rho: Any) -> npt.NDArray[np.float32]:
    """The network's input for the jets of one event, or of many events at once.

    jets:    attributes pt (GeV, above 0), eta, mass (GeV), area, chHEF, neHEF, chEmEF, neEmEF, muEF and nConstituents,
             (jets,) each
    rho:     the event's energy density, `fixedGridRhoFastjetAll`; a number, or (jets,)
    returns: (jets, 11) float32
    raises AttributeError if one is missing
    """
    pt = np.asarray(jets.pt, dtype=np.float32)
    features = np.empty((len(pt), len(FEATURES)), dtype=np.float32)
    features[:, 0] = np.log(pt)
    features[:, 1] = np.abs(jets.eta)
    features[:, 2] = jets.mass / pt
    for index, name in enumerate(FEATURES[3:10], start=3):
        features[:, index] = getattr(jets, name)
    features[:, 10] = rho
    return features


def corrected_pt(pt: Any, factor: Any) -> npt.NDArray[np.float32]:
    """The regressed transverse momentum.

    pt:      (jets,), GeV, of the reconstructed jets
    factor:  (jets,), the network's output: its estimate of generator over reconstructed pT; clamped to `FACTOR_RANGE`
    returns: (jets,) float32, GeV
    """
    corrected: npt.NDArray[np.float32] = np.asarray(pt, dtype=np.float32) * np.clip(
        np.asarray(factor, dtype=np.float32), *FACTOR_RANGE
    )
    return corrected
