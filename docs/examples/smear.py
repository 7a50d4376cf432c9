"""Jets with a worse resolution, by random numbers that belong to the event; per event and by columns."""

import awkward as ak
import numpy as np

from evproc.framework import Columns, EndPath, Event, Parameter, Path, Process, Producer
from evproc.modules import NtupleOutput, NtupleSource


class SmearedPt(Producer):
    """Smeared transverse momentum of each jet: (jets,) float64, GeV."""

    consumes = ("Jet_pt",)
    produces = "var * float64"

    class Config(Producer.Config):
        """How much."""

        resolution: float = Parameter(0.1, description="relative width", ge=0)

    def produce(self, event: Event) -> np.ndarray:
        """The jets of one event."""
        pt = event["Jet_pt"]
        factors: np.ndarray = self.random(event).normal(1.0, self.config.resolution, len(pt))
        return pt * factors


class SmearedPtColumns(Producer):
    """The same by columns; under the same label it gives the same numbers."""

    consumes = ("Jet_pt",)
    produces = "var * float64"
    Config = SmearedPt.Config

    def produce_columns(self, columns: Columns) -> ak.Array:
        """The jets of a block of events."""
        offsets, pt = columns.jagged("Jet_pt")
        counts = np.diff(offsets)
        factors = self.random(columns).normal(1.0, self.config.resolution, counts)
        return ak.unflatten(pt * factors, counts)


process = Process("SMEAR", seed=2026)
process.source = NtupleSource(files=["nano.root"])
process.smeared = SmearedPt(resolution=0.15)
process.out = NtupleOutput(file="smeared.root", keep=["Jet_pt", "smeared"])
process.all = Path(process.smeared)
process.end = EndPath(process.out)
