"""DeepCalo as a module: the energy of every electron, by inference on a server; and the sums to compare it with."""

from __future__ import annotations

from collections.abc import Mapping

from evproc.framework import Event, Input, InputTag, Parameter, Producer
from evproc.sonic_client import Client, InferenceProducer

from .cell_sum import calibrated_sum, cell_images, cell_sum
from .detector import Floats
from .sample import CELLS_BRANCH


class DeepCaloProducer(InferenceProducer):
    """Energy of each electron, by the DeepCalo network: (electrons,) float32, GeV."""

    model_inputs = {"images": "float32[56, 11, 4]"}
    model_outputs = {"energy": "float32[1]"}
    produces = "var * float32"

    class Config(InferenceProducer.Config):
        """Images in, energies out."""

        client: Client = Parameter(Client(model="deepcalo"), description="the model, and how it is asked")
        cells: InputTag = Input(CELLS_BRANCH, description="cells of all electrons, 56 x 11 x 4 each, GeV")
        min_energy: float = Parameter(0.1, description="lower clamp of the energy", unit="GeV", gt=0)

    config: Config

    def acquire(self, event: Event) -> Mapping[str, Floats]:
        """The images: (electrons, 56, 11, 4) float32, GeV."""
        return {"images": cell_images(event[self.config.cells])}

    def produce(self, event: Event, outputs: Mapping[str, Floats]) -> Floats:
        """The energies, clamped from below: (electrons,) float32, GeV."""
        energies: Floats = outputs["energy"][:, 0].clip(self.config.min_energy)
        return energies


class CellSumProducer(Producer):
    """Energy of each electron by two sums of cells, `plain` and `calibrated`: (electrons,) float32, GeV."""

    produces = {"plain": "var * float32", "calibrated": "var * float32"}

    class Config(Producer.Config):
        """Images in, energies out."""

        cells: InputTag = Input(CELLS_BRANCH, description="cells of all electrons, 56 x 11 x 4 each, GeV")

    config: Config

    def produce(self, event: Event) -> Mapping[str, Floats]:
        """The energies: (electrons,) float32, GeV."""
        images = cell_images(event[self.config.cells])
        return {"plain": cell_sum(images), "calibrated": calibrated_sum(images)}
