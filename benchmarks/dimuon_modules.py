"""The dimuon selection of `benchmarks.coffea` as modules of evproc, in three dresses, and as a coffea processor.

Two muons or more, opposite charges of the first two, their mass from float64 numbers, a histogram of 60 bins from 0 to
120 GeV. All sides give the same counts, bin by bin.
"""

from __future__ import annotations

from math import cos, cosh, sqrt
from typing import Any

import numpy as np

from evproc.framework import Columns, Event, Filter, Path, Process, Producer
from evproc.modules import Histogram, HistogramAnalyzer, NtupleSource

PT, ETA, PHI, CHARGE = MUONS = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge")
BINS, START, STOP = 60, 0.0, 120.0


class Pair(Filter):
    """Events whose first two muons have opposite charge."""

    consumes = (CHARGE,)

    def filter(self, event: Event) -> bool:
        """Whether there are two, of opposite charge."""
        charge = event[CHARGE]
        return len(charge) > 1 and charge[0] != charge[1]


class Mass(Producer):
    """Mass of the first two muons."""

    consumes = (PT, ETA, PHI)
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The mass, GeV."""
        pt, eta, phi = event[PT], event[ETA], event[PHI]
        angles = cosh(float(eta[0]) - float(eta[1])) - cos(float(phi[0]) - float(phi[1]))
        return sqrt(2.0 * float(pt[0]) * float(pt[1]) * angles)


class PairColumns(Filter):
    """`Pair`, by columns."""

    consumes = (CHARGE,)

    def filter_columns(self, columns: Columns) -> Any:
        """Which events have two muons of opposite charge: (events,) bool."""
        offsets, charge = columns.jagged(CHARGE)
        passed = np.diff(offsets) > 1
        first = offsets[:-1][passed]
        passed[passed] = charge[first] != charge[first + 1]
        return passed


class MassColumns(Producer):
    """`Mass`, by columns."""

    consumes = (PT, ETA, PHI)
    produces = "float64"

    def produce_columns(self, columns: Columns) -> Any:
        """The masses, GeV: (events,) float64."""
        offsets, pt = columns.jagged(PT)
        first = offsets[:-1]
        second = first + 1
        pt0, pt1 = (pt[at].astype(np.float64) for at in (first, second))
        eta, phi = (columns.jagged(key)[1].astype(np.float64) for key in (ETA, PHI))
        return np.sqrt(2.0 * pt0 * pt1 * (np.cosh(eta[first] - eta[second]) - np.cos(phi[first] - phi[second])))


class PairCompiled(Pair):
    """`Pair`, as machine code."""

    compiled = True


class MassCompiled(Mass):
    """`Mass`, as machine code."""

    compiled = True


DRESSES: dict[str, tuple[type[Filter], type[Producer]]] = {
    "columnar": (PairColumns, MassColumns),
    "per event": (Pair, Mass),
    "compiled": (PairCompiled, MassCompiled),
}


def run_evproc(file: str, chunk: int, dress: str) -> tuple[int, Any]:
    """Run the selection with evproc: the events read, and the histogram."""
    pair, mass = DRESSES[dress]
    process = Process("DIMUON")
    process.source = NtupleSource(files=file, chunk=chunk)
    process.pair, process.mass = pair(), mass()
    process.histogram = HistogramAnalyzer(histograms=[Histogram(of="mass", bins=BINS, start=START, stop=STOP)])
    process.dimuon = Path(process.pair, process.mass, process.histogram)
    report = process.run()
    return report.events, process.histogram.histograms["mass"]
