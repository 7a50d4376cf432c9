"""How many events each luminosity block has, of a file in the form of NanoAOD."""

from evproc.framework import Analyzer, EndPath, Event, Job, LumiID, Process
from evproc.modules import NtupleSource


class LumiCounts(Analyzer):
    """Counts the events of each luminosity block, and prints them at its end."""

    def begin_job(self, job: Job) -> None:
        """Before the first event."""
        self.events = 0

    def begin_lumi(self, lumi: LumiID) -> None:
        """Before the first event of a luminosity block."""
        self.events = 0

    def analyze(self, event: Event) -> None:
        """One event of it."""
        self.events += 1

    def end_lumi(self, lumi: LumiID) -> None:
        """After the last."""
        print(f"{lumi}: {self.events} events")  # noqa: T201 - this is what it is for


process = Process("COUNTS")
process.source = NtupleSource(files=["nano.root"])
process.counts = LumiCounts()
process.end = EndPath(process.counts)
