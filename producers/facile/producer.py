"""FACILE as a module: the energy of every HCAL channel, by inference on a server."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evproc.framework import Event, Input, InputTag, Parameter, Producer
from evproc.sonic_client import Client, InferenceProducer

from .charge_sum import charge_sum
from .features import FEATURES, channel_features

Floats = npt.NDArray[np.float32]


class FacileProducer(InferenceProducer):
    """Energy of each HCAL channel, by the FACILE network: (channels,) float32, GeV."""

    model_inputs = {"input": "float32[36]"}
    model_outputs = {"energy": "float32[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Channels in, energies out."""

        client: Client = Parameter(Client(model="facile"), description="the model, and how it is asked")
        channels: InputTag = Input("HBHEChannel", fields=FEATURES, description="collection of HCAL channels")
        min_energy: float = Parameter(0.01, description="lower clamp of the energy", unit="GeV", gt=0)

    config: Config

    def acquire(self, event: Event) -> Mapping[str, Floats]:
        """The 36 features of each channel: (channels, 36) float32."""
        return {"input": channel_features(event[self.config.channels])}

    def produce(self, event: Event, outputs: Mapping[str, Floats]) -> Floats:
        """The energies, clamped from below: (channels,) float32, GeV."""
        energies: Floats = outputs["energy"][:, 0].clip(self.config.min_energy)
        return energies


class ChargeSumProducer(Producer):
    """Energy of each HCAL channel, by summing charge: (channels,) float32, GeV. The method to compare FACILE with."""

    produces = "var * float32"

    class Config(Producer.Config):
        """Channels in, energies out."""

        channels: InputTag = Input("HBHEChannel", fields=FEATURES, description="collection of HCAL channels")

    config: Config

    def produce(self, event: Event) -> Floats:
        """The energies: (channels,) float32, GeV."""
        return charge_sum(event[self.config.channels])
