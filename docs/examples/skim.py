"""A first workflow: keep the events with two jets or more, and of these the jets and the event's energy density."""

from evproc.framework import EndPath, Path, Process
from evproc.modules import CountFilter, NtupleOutput, NtupleSource

process = Process("SKIM")
process.source = NtupleSource(files=["nano.root"])
process.two_jets = CountFilter(of="Jet", at_least=2)
process.out = NtupleOutput(file="skim.root", keep=["Jet", "fixedGridRho*"], select=["dijets"])
process.dijets = Path(process.two_jets)
process.end = EndPath(process.out)
