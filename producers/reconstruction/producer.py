"""The modules between the networks of `workflows/reconstruction.py`: CPU work, event by event."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from evproc.framework import Event, Filter, Input, InputTag, Parameter, Producer
from evproc.producers.deepcalo.cell_sum import cell_images
from evproc.producers.deepcalo.detector import Floats
from evproc.producers.deepcalo.sample import CELLS_BRANCH

from .shapes import hadronic_energy, shower_shapes


class ShowerShapes(Producer):
    """Shapes of electron showers: `presampler`, `strips`, `back`, `core`, `width`: (electrons,) float32 each."""

    produces = dict.fromkeys(("presampler", "strips", "back", "core", "width"), "var * float32")

    class Config(Producer.Config):
        """Images in, shapes out."""

        cells: InputTag = Input(CELLS_BRANCH, description="cells of all electrons, 56 x 11 x 4 each, GeV")

    config: Config

    def produce(self, event: Event) -> Mapping[str, Floats]:
        """The shapes: (electrons,) float32 each."""
        return shower_shapes(cell_images(event[self.config.cells]))


class HadronicLeakage(Producer):
    """HCAL energy behind each electron, as a share of the electron's energy: (electrons,) float32."""

    produces = "var * float32"

    class Config(Producer.Config):
        """Electrons and channels in, shares out."""

        electrons: InputTag = Input("Electron", fields=("eta", "phi"), description="collection of electrons")
        electron_energy: InputTag = Parameter(description="energies of the electrons, GeV")
        channels: InputTag = Input("HBHEChannel", fields=("ieta", "iphi"), description="collection of HCAL channels")
        channel_energy: InputTag = Parameter(description="energies of the channels, GeV")
        cone: float = Parameter(0.15, description="largest distance of a channel in eta and phi", gt=0)

    config: Config

    def produce(self, event: Event) -> Floats:
        """The shares: (electrons,) float32."""
        names = self.config
        electrons, channels = event[names.electrons], event[names.channels]
        behind = hadronic_energy(
            electrons.eta, electrons.phi, channels.ieta, channels.iphi, event[names.channel_energy], names.cone
        )
        share: Floats = behind / event[names.electron_energy]
        return share


class ElectronSelector(Filter):
    """Events with an electron that is energetic enough, narrow, and has little behind it."""

    class Config(Filter.Config):
        """What is asked of an electron."""

        energy: InputTag = Parameter(description="energies of the electrons, GeV")
        leakage: InputTag = Parameter(description="HCAL energy behind them, as a share")
        core: InputTag = Parameter(description="their energy in 3 x 7 cells over that in 7 x 7")
        above: float = Parameter(25.0, description="smallest energy", unit="GeV", ge=0)
        max_leakage: float = Parameter(0.5, description="largest share behind it", ge=0)
        min_core: float = Parameter(0.75, description="smallest share in the core", ge=0)

    config: Config

    def filter(self, event: Event) -> bool:
        """Whether there is one."""
        names = self.config
        good = (
            (event[names.energy] > names.above)
            & (event[names.leakage] < names.max_leakage)
            & (event[names.core] > names.min_core)
        )
        return bool(np.any(good))
