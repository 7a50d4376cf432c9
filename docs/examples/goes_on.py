"""A workflow that goes on when its module fails at events without jets."""

from evproc.framework import EndPath, Event, ExceptionPolicy, Path, Process, Producer
from evproc.modules import NtupleOutput, NtupleSource


class LeadingPt(Producer):
    """Transverse momentum of the first jet, GeV."""

    consumes = ("Jet_pt",)
    produces = "float64"

    def produce(self, event: Event) -> float:
        """The momentum of one event; nobody thought of events without jets."""
        return float(event["Jet_pt"][0])


process = Process("GOES_ON")
process.source = NtupleSource(files=["nano.root"])
process.policy = ExceptionPolicy(try_to_continue=["IndexError", "InferenceError"])
process.leading = LeadingPt()
process.out = NtupleOutput(file="leading.root", keep=["leading"], select=["all_events"])
process.all_events = Path(process.leading)
process.end = EndPath(process.out)
