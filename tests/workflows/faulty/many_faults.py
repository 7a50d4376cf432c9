"""One fault of each kind: each is found, and all are told together."""

from __future__ import annotations

from scores import Scores

from evproc.framework import EndPath, Event, InputTag, Path, Process, Producer
from evproc.modules import CountFilter, NtupleOutput, NtupleSource, RangeFilter
from evproc.sonic_client import Client, InferenceService


class Sum(Producer):
    """The sum of two numbers."""

    class Config(Producer.Config):
        one: InputTag = "MET_pt"
        other: InputTag = "MET_pt"

    produces = "float64"

    def produce(self, event: Event) -> float:
        return float(event[self.config.one] + event[self.config.other])


process = Process("FAULTY")
process.source = NtupleSource(files="jets.root")
process.inference = InferenceService()
process.missing = Sum(one="MET_ptt")
process.chicken = Sum(one="egg")
process.egg = Sum(other="chicken")
process.unknown = CountFilter(of="Jet", at_lest=1)
process.typed = CountFilter(of="Jet", at_least="some")
process.ranged = CountFilter(of="Jet", at_least=-3)
process.window = RangeFilter(of="MET_pt", above=60.0, below=50.0)
process.homeless = Scores(client=Client(model="scor"))
process.timeless = Scores(client=Client(model="score", timeout=0.0))
process.out = NtupleOutput(file="jets.root/out.root", select=["patth"])
process.path = Path(process.missing, process.chicken, process.egg, process.window, process.homeless)
process.more = Path(process.unknown, process.typed, process.ranged, process.timeless)
process.end = EndPath(process.out)
