"""Two paths over the same events, their results as branches, and outputs that select by them."""

from evproc.framework import FinalPath, Path, Process, Sequence, ignored
from evproc.modules import CountFilter, NtupleOutput, NtupleSource, RangeFilter, ScalarSumFilter

process = Process("TRIGGER")
process.source = NtupleSource(files=["nano.root"])

process.two_jets = CountFilter(of="Jet", at_least=2)
process.four_jets = CountFilter(of="Jet", at_least=4)
process.busy = ScalarSumFilter(of="Jet_pt", above=200.0)
process.quiet = RangeFilter(of="fixedGridRhoFastjetAll", below=20.0)

process.dijets = Sequence(process.two_jets, ~process.four_jets)  # two or three jets
process.low = Path(process.dijets, process.quiet)
process.high = Path(process.dijets, process.busy, ignored(process.quiet))

process.all = NtupleOutput(file="all.root", keep=["Jet_pt", "TriggerResults_*"])
process.either = NtupleOutput(file="either.root", keep=["Jet_pt"], select=["low", "high"])
process.neither = NtupleOutput(file="neither.root", keep=["Jet_pt"], select=["!*"])
process.last = FinalPath(process.all, process.either, process.neither)
