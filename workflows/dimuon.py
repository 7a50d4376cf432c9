"""Two muons: their invariant mass, a histogram, and a skim. Runs on NanoAOD, on RNTuples and on other ntuples.

    evproc run workflows/dimuon.py -o source.files=NANOAOD.root
    evproc run workflows/dimuon.py -o source.files=HZZ.root -o source.tree=events -o mass.coordinates=cartesian

The mass is computed event by event; `workflows/dimuon_columns.py` does the same by columns, with the same results.
"""

from pathlib import Path as FilePath

from evproc.framework import EndPath, Path, Process
from evproc.modules import CountFilter, Histogram, HistogramAnalyzer, NtupleOutput, NtupleSource, RangeFilter
from evproc.producers.dimuon import DimuonProducer

OUTPUT = FilePath("output")

process = Process("DIMUON")
process.source = NtupleSource(files=["muons.root"])

process.two_muons = CountFilter(of="Muon", at_least=2)
process.mass = DimuonProducer(muons="Muon")
process.paired = RangeFilter(of="mass", above=0.0)
process.histogram = HistogramAnalyzer(
    histograms=[Histogram(of="mass", bins=60, start=0.0, stop=120.0, label="Dimuon mass", unit="GeV")],
    plot=str(OUTPUT / "dimuon.png"),
)
process.out = NtupleOutput(file=str(OUTPUT / "dimuon.root"), keep=["Muon_*", "mass"], select=["dimuon"])

process.dimuon = Path(process.two_muons, process.mass, process.paired, process.histogram)
process.end = EndPath(process.out)
