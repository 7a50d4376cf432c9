"""A workflow with options: a fragment, a producer in two versions, an alias."""

import numpy as np

from evproc.framework import Alias, EndPath, Process, SwitchProducer, producer
from evproc.modules import NtupleOutput, NtupleSource


def scalar_sum(pt: np.ndarray) -> float:
    """Sum of the transverse momenta, GeV."""
    return float(pt.sum())


def vector_sum(pt: np.ndarray, phi: np.ndarray) -> float:
    """Transverse momentum of the sum, GeV."""
    return float(np.hypot((pt * np.cos(phi)).sum(), (pt * np.sin(phi)).sum()))


def process(file: str = "nano.root", jets: int = 2) -> Process:
    """Sums over the jets of events with so many jets."""
    study = Process("STUDY")
    study.source = NtupleSource(files=[file])
    study.load("selection.py")
    study.two_jets.set(at_least=jets)
    study.total = SwitchProducer(
        scalar=producer(scalar_sum, pt="Jet_pt"),
        vector=producer(vector_sum, pt="Jet_pt", phi="Jet_phi"),
        case="scalar",
    )
    study.hadronic = Alias("total")
    study.out = NtupleOutput(file="study.root", keep=["hadronic"], select=["dijets"])
    study.end = EndPath(study.out)
    return study
