"""Jet energy regression as a module: corrected transverse momenta of reconstructed jets, by inference on a server."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evproc.framework import Event, Input, InputTag, Parameter
from evproc.sonic_client import Client, InferenceProducer

from .features import corrected_pt, jet_features

Floats = npt.NDArray[np.float32]

JET_FIELDS = ("pt", "eta", "mass", "area", "chHEF", "neHEF", "chEmEF", "neEmEF", "muEF", "nConstituents")
"""The branches of NanoAOD's jets that the regression reads."""


class JetEnergyProducer(InferenceProducer):
    """Transverse momentum of each jet, corrected by a regression: (jets,) float32, GeV."""

    model_inputs = {"input": "float32[11]"}
    model_outputs = {"factor": "float32[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Jets in, momenta out."""

        client: Client = Parameter(Client(model="jet_energy"), description="the model, and how it is asked")
        jets: InputTag = Input("Jet", fields=JET_FIELDS, description="collection of jets")
        rho: InputTag = Parameter(
            "fixedGridRhoFastjetAll", description="energy density of the event, GeV per unit of area"
        )

    config: Config

    def acquire(self, event: Event) -> Mapping[str, Floats]:
        """The features of each jet: (jets, 11) float32."""
        return {"input": jet_features(event[self.config.jets], event[self.config.rho])}

    def produce(self, event: Event, outputs: Mapping[str, Floats]) -> Floats:
        """The corrected momenta: (jets,) float32, GeV."""
        return corrected_pt(event[self.config.jets].pt, outputs["factor"][:, 0])
