"""The same corrected jets without a module of one's own."""

from evproc.framework import EndPath, Path, Process
from evproc.modules import CorrectionProducer, CorrectionSets, NtupleOutput, NtupleSource

process = Process("CORRECT")
process.source = NtupleSource(files=["nano.root"])
process.jec = CorrectionSets(files="jec_early.json")
process.corrected = CorrectionProducer(
    corrections="jec",
    correction="scale",
    inputs={"eta": "Jet_eta", "pt": "Jet_pt", "rho": "fixedGridRhoFastjetAll"},
    constants={"systematic": "nominal"},
    scales="Jet_pt",
)
process.out = NtupleOutput(file="corrected_columns.root", keep=["Jet_pt", "corrected"])
process.all = Path(process.corrected)
process.end = EndPath(process.out)
