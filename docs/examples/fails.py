"""A workflow whose module fails at an event without jets."""

from evproc.framework import Event, Path, Process, Producer
from evproc.modules import NtupleSource


class LeadingPt(Producer):
    """Transverse momentum of the first jet, GeV."""

    consumes = ("Jet_pt",)

    def produce(self, event: Event) -> float:
        """The momentum of one event; nobody thought of events without jets."""
        return float(event["Jet_pt"][0])


process = Process("FAILS")
process.source = NtupleSource(files=["nano.root"])
process.leading = LeadingPt()
process.all_events = Path(process.leading)
