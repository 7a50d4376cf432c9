"""FACILE on an FPGA as a module: the same product as `FacileProducer`, in fixed point on the way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from evproc.framework import Event, Input, InputTag, Parameter
from evproc.sonic_client import Client, InferenceProducer

from .features import FEATURES, channel_features
from .fpga_words import feature_words, padded_rows, word_energies

Floats = npt.NDArray[np.float32]
OUTPUT = "output/BiasAdd"
"""The name of the answer, as FaaST has it."""


class FpgaFacileProducer(InferenceProducer):
    """Energy of each HCAL channel, by FACILE in `ap_fixed<16,6>`: (channels,) float32, GeV."""

    model_inputs = {"input": "uint16[32]"}
    model_outputs = {OUTPUT: "uint16[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Channels in, energies out."""

        client: Client = Parameter(
            Client(model="facile_fpga", max_rows=16_000), description="the model, and how it is asked"
        )
        channels: InputTag = Input("HBHEChannel", fields=FEATURES, description="collection of HCAL channels")
        min_energy: float = Parameter(0.01, description="lower clamp of the energy", unit="GeV", gt=0)
        pad: int = Parameter(
            0,
            description="rows of zeros fill an event up to a multiple of this, as CMS's client does with 16,000; 0: none",
            placement=True,
            ge=0,
        )

    config: Config

    def acquire(self, event: Event) -> Mapping[str, npt.NDArray[np.uint16]]:
        """The words of each channel: (channels, 32) uint16, and those of zeros behind them."""
        words = feature_words(channel_features(event[self.config.channels]))
        return {"input": padded_rows(words, self.config.pad)}

    def produce(self, event: Event, outputs: Mapping[str, npt.NDArray[np.uint16]]) -> Floats:
        """The energies, clamped from below: (channels,) float32, GeV."""
        channels = len(event[self.config.channels].gain)
        energies: Floats = word_energies(outputs[OUTPUT][:channels]).clip(self.config.min_energy)
        return energies
