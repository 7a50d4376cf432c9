"""Jets that are corrected by correctionlib, with one file for each period of the year; per event."""

import numpy as np

from evproc.framework import ConditionTag, EndPath, Event, InputTag, Parameter, Path, Process, Producer
from evproc.modules import CorrectionFile, CorrectionSets, NtupleOutput, NtupleSource


class CorrectedJets(Producer):
    """Corrected transverse momentum of each jet: (jets,) float64, GeV."""

    consumes = ("Jet_pt", "Jet_eta")
    produces = "var * float64"

    class Config(Producer.Config):
        """Which correction."""

        corrections: ConditionTag = Parameter("jec", description="conditions with the correction `scale`")
        rho: InputTag = "fixedGridRhoFastjetAll"

    def produce(self, event: Event) -> np.ndarray:
        """The jets of one event."""
        pt, eta = event["Jet_pt"].astype(float), event["Jet_eta"].astype(float)
        scale = event.conditions[self.config.corrections]["scale"]
        corrected: np.ndarray = pt * scale.evaluate(eta, pt, float(event[self.config.rho]), "nominal")
        return corrected


process = Process("CORRECT")
process.source = NtupleSource(files=["nano.root"])
process.jec = CorrectionSets(
    files=[
        CorrectionFile(file="jec_early.json", runs=(1, 315000)),
        CorrectionFile(file="jec_late.json.gz", runs=(315001, None)),
    ]
)
process.corrected = CorrectedJets()
process.out = NtupleOutput(file="corrected.root", keep=["Jet_pt", "corrected"])
process.all = Path(process.corrected)
process.end = EndPath(process.out)
