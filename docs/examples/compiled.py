"""A per-event module that is compiled to machine code."""

from math import cos, cosh, sqrt

from evproc.framework import Event, Parameter, Producer


class TransverseMass(Producer):
    """Transverse mass of the hardest muon above a threshold and the missing momentum, GeV; 0 without such a muon."""

    compiled = True
    consumes = ("Muon", "MET_pt", "MET_phi")
    produces = "float64"

    class Config(Producer.Config):
        """Which muons."""

        above: float = Parameter(20.0, description="smallest transverse momentum", unit="GeV", ge=0)

    def produce(self, event: Event) -> float:
        """The mass, GeV."""
        muons = event["Muon"]
        for number in range(len(muons)):
            pt = float(muons.pt[number])
            if pt > self.config.above and cosh(float(muons.eta[number])) < 6.0:
                angle = float(muons.phi[number]) - float(event["MET_phi"])
                return sqrt(2.0 * pt * float(event["MET_pt"]) * (1.0 - cos(angle)))
        return 0.0
