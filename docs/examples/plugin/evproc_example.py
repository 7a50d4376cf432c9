"""A plug-in of evproc: one module in a package of its own."""

from evproc.framework import Event, Input, InputTag, Producer


class LeadingJet(Producer):
    """Largest transverse momentum of an event's jets, GeV; 0 without jets."""

    produces = "float64"

    class Config(Producer.Config):
        """Which jets."""

        pt: InputTag = Input("Jet_pt", description="transverse momenta of the jets")

    def produce(self, event: Event) -> float:
        """The largest, or 0."""
        return float(max(event[self.config.pt], default=0.0))
