"""The jets that a skim has kept, beside the rest of the file that it was made from."""

from evproc.framework import EndPath, Process
from evproc.modules import Friend, NtupleOutput, NtupleSource

process = Process("FRIENDS")
process.source = NtupleSource(
    files="nano.root",
    friends=[Friend(files="skim.root", prefix="skim_", missing="skip")],
)
process.out = NtupleOutput(file="both.root", keep=["fixedGridRho*", "skim_Jet"])
process.end = EndPath(process.out)
