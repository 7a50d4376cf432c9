"""The same as `workflows/dimuon.py`, with the mass by machine code: a method for one event, compiled; needs evproc[compiled].

evproc run workflows/dimuon_compiled.py -o source.files=NANOAOD.root
"""

from pathlib import Path as FilePath

from evproc.framework import EndPath, Path, Process
from evproc.modules import CountFilter, Histogram, HistogramAnalyzer, NtupleOutput, NtupleSource, RangeFilter
from evproc.producers.dimuon import DimuonCompiled

OUTPUT = FilePath("output")

process = Process("DIMUON")
process.source = NtupleSource(files=["muons.root"])

process.two_muons = CountFilter(of="Muon", at_least=2)
process.mass = DimuonCompiled(muons="Muon")
process.paired = RangeFilter(of="mass", above=0.0)
process.histogram = HistogramAnalyzer(
    histograms=[Histogram(of="mass", bins=60, start=0.0, stop=120.0, label="Dimuon mass", unit="GeV")],
    plot=str(OUTPUT / "dimuon_compiled.png"),
)
process.out = NtupleOutput(file=str(OUTPUT / "dimuon_compiled.root"), keep=["Muon_*", "mass"], select=["dimuon"])

process.dimuon = Path(process.two_muons, process.mass, process.paired, process.histogram)
process.end = EndPath(process.out)
