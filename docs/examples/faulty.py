"""A workflow with six faults, each of another kind."""

from evproc.framework import EndPath, Path, Process
from evproc.modules import CountFilter, NtupleOutput, NtupleSource, RangeFilter

process = Process("FAULTY")
process.source = NtupleSource(files=["nano.root"])
process.jets = CountFilter(of="Jets", at_least=2)
process.density = RangeFilter(of="fixedGridRhoFastjetAll", abve=10.0)
process.muons = CountFilter(of="Muon", at_least="two")
process.hard = RangeFilter(of="mass", above=60.0, below=40.0)
process.out = NtupleOutput(file="out.root", select=["selected"])
process.select = Path(process.jets, process.density, process.muons, process.hard)
process.end = EndPath(process.out)
