"""Modules of every form, as small as they can be."""

import hashlib
from collections.abc import Awaitable, Mapping
from typing import Any

import numpy as np

from evproc.framework import Columns, Event, ExternalProducer, Filter, Input, InputTag, Parameter, Producer
from evproc.sonic_client import InferenceProducer


def leading_pair_mass(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """The mass of two massless particles, GeV. pt, eta, phi: (..., 2); returns (...)."""
    angles = np.cosh(eta[..., 0] - eta[..., 1]) - np.cos(phi[..., 0] - phi[..., 1])
    mass: np.ndarray = np.sqrt(2 * pt[..., 0] * pt[..., 1] * angles)
    return mass


class DijetMass(Producer):
    """Mass of the first two jets, GeV; -1 if there are not two."""

    produces = "float64"

    class Config(Producer.Config):
        """Which jets."""

        jets: InputTag = Input("Jet", fields=("pt", "eta", "phi"), description="jets, in falling order of pt")

    def produce(self, event: Event) -> float:
        """The mass of one event."""
        jets = event[self.config.jets]
        if len(jets) < 2:
            return -1.0
        return float(leading_pair_mass(jets.pt[:2], jets.eta[:2], jets.phi[:2]))


class SumPt(Producer):
    """Sum of the transverse momenta of an event, by columns: (events,) float64, GeV."""

    produces = "float64"

    class Config(Producer.Config):
        """What is summed, from which momentum on."""

        of: InputTag = Input("Jet_pt", description="product with a list of numbers per event")
        threshold: float = Parameter(30.0, description="objects below this do not count", unit="GeV", ge=0)

    def produce_columns(self, columns: Columns) -> np.ndarray:
        """The sums of a block of events."""
        offsets, pt = columns.jagged(self.config.of)
        event = np.repeat(np.arange(len(columns)), np.diff(offsets))
        return np.bincount(event, np.where(pt > self.config.threshold, pt, 0.0), minlength=len(columns))


class EvenEvents(Filter):
    """Passes events with an even number."""

    def filter(self, event: Event) -> bool:
        """Whether the event goes on along its path."""
        return event.id.event % 2 == 0


class Digest(ExternalProducer):
    """A digest of the jets, computed in the thread pool of the job."""

    consumes = ("Jet_pt",)
    produces = {"text": "string", "size": "int64"}

    def acquire(self, event: Event) -> Awaitable[str]:
        """The work of one event, which begins now and ends at some time."""
        return self.in_thread(lambda content: hashlib.sha256(content).hexdigest(), event["Jet_pt"].tobytes())

    def produce(self, event: Event, result: str) -> dict[str, Any]:
        """Two products, from what came of it: `LABEL:text` and `LABEL:size`."""
        return {"text": result, "size": len(event["Jet_pt"])}


class Double(InferenceProducer):
    """Twice the transverse momentum of each jet, by the model `double` of a server."""

    model_inputs = {"x": "float32[1]"}
    model_outputs = {"y": "float32[1]"}
    consumes = ("Jet_pt",)
    produces = "var * float32"

    def acquire(self, event: Event) -> Mapping[str, np.ndarray]:
        """The input tensors of one event, one row per jet: (jets, 1)."""
        return {"x": event["Jet_pt"][:, np.newaxis]}

    def produce(self, event: Event, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The product of one event, from the outputs of its rows: (jets, 1)."""
        return outputs["y"][:, 0]
