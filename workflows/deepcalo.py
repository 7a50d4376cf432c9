"""Energies of electrons from images of calorimeter cells, by the DeepCalo network on an inference server.

    evproc run workflows/deepcalo.py
    evproc run workflows/deepcalo.py -o source.events=2000 -o source.seed=3
    evproc run workflows/deepcalo.py -o inference.servers=[grpc://gpu1.example.org:8001]

Makes a toy sample if there is none, starts a Triton server if none is named, and writes the energies and a picture of how well
they, and the sums of cells, agree with the truth.
"""

from pathlib import Path as FilePath

from evproc.framework import Catalog, EndPath, Parameter, Path, Process
from evproc.modules import NtupleOutput, NtupleSource
from evproc.producers.deepcalo import CellSumProducer, DeepCaloPerformance, DeepCaloProducer, make_sample
from evproc.sonic_client import Client, Fallback, InferenceService

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")


class ToySource(NtupleSource):
    """Reads a toy sample of electrons, which it makes if there is none of that size and seed."""

    class Config(NtupleSource.Config):
        """The size of the sample."""

        files: str | list[str] = Parameter("", description="the sample; empty: named by its size and seed")
        events: int = Parameter(300, description="events of the sample", ge=0)
        electrons: int = Parameter(10, description="electrons of an event", ge=0)
        seed: int = Parameter(1, description="seed of the sample")

    config: Config

    def catalog(self) -> Catalog:
        """Make the sample if there is none; then what it offers."""
        if not self.config.files:
            size = self.config
            sample = OUTPUT / f"electrons-{size.events}x{size.electrons}-seed{size.seed}.root"
            if not sample.exists():
                make_sample(sample, size.events, size.electrons, size.seed)
            self.set(files=str(sample))
        return super().catalog()


process = Process("DEEPCALO")
process.source = ToySource()
process.inference = InferenceService(fallback=Fallback(models=str(REPOSITORY)))

process.energy = DeepCaloProducer(client=Client(model="deepcalo", timeout=60.0))
process.cell_sum = CellSumProducer()
process.plot = DeepCaloPerformance(plot=str(OUTPUT / "deepcalo.png"))
process.out = NtupleOutput(
    file=str(OUTPUT / "deepcalo.root"), keep=["Electron_genEnergy", "energy", "cell_sum:*"], select=["reco"]
)

process.reco = Path(process.energy)
process.end = EndPath(process.plot, process.out)
