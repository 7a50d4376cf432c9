"""A workflow whose modules are ordinary functions: sums of jets, the leading pair, a cut, and a count."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import awkward as ak
import numpy as np
import numpy.typing as npt

from evproc.framework import EndPath, Path, Process, analyzer, filter_by, producer
from evproc.modules import NtupleOutput, NtupleSource


class Jets(Protocol):
    """What is read of jets: (jets,) float32 each; the momentum in GeV."""

    pt: npt.NDArray[np.float32]
    phi: npt.NDArray[np.float32]


class Pair(NamedTuple):
    """The two leading jets: the sum of their momenta, GeV, and the angle between them."""

    pt: float
    angle: float


def pair(jets: Jets, none: float = -1.0) -> Pair:
    """The two leading jets of an event."""
    if len(jets.pt) < 2:
        return Pair(none, none)
    angle = abs(float(jets.phi[0] - jets.phi[1]))
    return Pair(float(jets.pt[0] + jets.pt[1]), min(angle, 2 * np.pi - angle))


def sum_above(pt: ak.Array, threshold: float = 30.0) -> npt.NDArray[np.float32]:
    """Sum of the momenta above a threshold, for each event of a block: (events,) float32, GeV."""
    return np.asarray(ak.sum(pt[pt > threshold], axis=1))


def back_to_back(angle: float, least: float = 2.5) -> bool:
    """Whether two jets are about opposite."""
    return angle > least


def show(sum_pt: float) -> None:
    """Print what is large."""
    if sum_pt > 500:
        print(f"{sum_pt:.0f} GeV")  # noqa: T201 - that is what it is for


process = Process("FUNCTIONS")
process.source = NtupleSource(files=["nano.root"])
process.pair = producer(pair, jets="Jet")
process.sum_pt = producer(sum_above, pt="Jet_pt", threshold=25.0, produces="float32")
process.opposite = filter_by(back_to_back, angle="pair:angle")
process.look = analyzer(show)
process.out = NtupleOutput(file="pairs.root", keep=["pair:*", "sum_pt"], select=["select"])
process.select = Path(process.pair, process.opposite)
process.end = EndPath(process.look, process.out)
