"""Corrected jets by a network on an inference server, and a skim of the events with much energy in jets."""

from collections.abc import Mapping

import numpy as np

from evproc.framework import EndPath, Event, Input, InputTag, Path, Process
from evproc.modules import Histogram, HistogramAnalyzer, NtupleOutput, NtupleSource, ScalarSumFilter
from evproc.producers.jets.features import jet_features
from evproc.sonic_client import Client, Fallback, InferenceProducer, InferenceService

FIELDS = ("pt", "eta", "mass", "area", "chHEF", "neHEF", "chEmEF", "neEmEF", "muEF", "nConstituents")


class JetCorrector(InferenceProducer):
    """Transverse momentum of each jet, corrected by a network: (jets,) float32, GeV."""

    model_inputs = {"input": "float32[11]"}
    model_outputs = {"factor": "float32[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Jets, and the energy density of the event."""

        jets: InputTag = Input("Jet", fields=FIELDS, description="collection of jets")
        rho: InputTag = Input("fixedGridRhoFastjetAll", description="energy density of the event")

    def acquire(self, event: Event) -> Mapping[str, np.ndarray]:
        """What the network is given: one row per jet, (jets, 11) float32."""
        return {"input": jet_features(event[self.config.jets], event[self.config.rho])}

    def produce(self, event: Event, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """What it makes of these rows, put to use."""
        corrected: np.ndarray = event[self.config.jets].pt * outputs["factor"][:, 0]
        return corrected


process = Process("JETS")
process.source = NtupleSource(files=["nano.root"])
process.inference = InferenceService(fallback=Fallback(models="models"))
process.corrected = JetCorrector(client=Client(model="jet_energy"))
process.busy = ScalarSumFilter(of="corrected", above=200.0)
process.plot = HistogramAnalyzer(
    histograms=[Histogram(of="corrected", bins=50, start=0.0, stop=250.0, label="Jet pT", unit="GeV")], plot="jets.png"
)
process.out = NtupleOutput(file="jets.root", keep=["Jet_pt", "Jet_eta", "corrected"], select=["skim"])
process.skim = Path(process.corrected, process.busy)
process.end = EndPath(process.plot, process.out)
