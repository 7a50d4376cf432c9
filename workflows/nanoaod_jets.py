"""Real NanoAOD in, corrected jets out: a jet energy regression on an inference server.

    evproc run workflows/nanoaod_jets.py -o source.files=NANOAOD.root

Starts a Triton server if none is named by `inference.servers`.
"""

from pathlib import Path as FilePath

from evproc.framework import EndPath, Path, Process
from evproc.modules import Histogram, HistogramAnalyzer, NtupleOutput, NtupleSource
from evproc.producers.jets import JetEnergyProducer
from evproc.sonic_client import Client, Fallback, InferenceService

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")

process = Process("JETS")
process.source = NtupleSource(files=["nanoaod.root"])
process.inference = InferenceService(fallback=Fallback(models=str(REPOSITORY)))

process.corrected_pt = JetEnergyProducer(jets="Jet", client=Client(model="jet_energy"))
process.histograms = HistogramAnalyzer(
    histograms=[
        Histogram(of="Jet_pt", bins=50, start=0.0, stop=250.0, label="Jet pT, reconstructed", unit="GeV"),
        Histogram(of="corrected_pt", bins=50, start=0.0, stop=250.0, label="Jet pT, corrected", unit="GeV"),
    ],
    plot=str(OUTPUT / "jets.png"),
)
process.out = NtupleOutput(
    file=str(OUTPUT / "jets.root"), keep=["Jet_pt", "Jet_eta", "Jet_phi", "Jet_mass", "corrected_pt"]
)

process.jets = Path(process.corrected_pt)
process.end = EndPath(process.histograms, process.out)
