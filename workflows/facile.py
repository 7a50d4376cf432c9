"""The main job: energies of HCAL channels, by the FACILE network on an inference server.

    evproc run workflows/facile.py
    evproc run workflows/facile.py -o source.events=200 -o source.channels=16000
    evproc run workflows/facile.py -o inference.servers=[grpc://gpu1.example.org:8001]

Makes a toy sample if there is none, starts a Triton server if none is named, and writes the energies and a picture of how well
they agree with the truth.
"""

from pathlib import Path as FilePath

from evproc.framework import Catalog, EndPath, Parameter, Path, Process
from evproc.modules import NtupleOutput, NtupleSource, ScalarSumFilter
from evproc.producers.facile import ChargeSumProducer, FacilePerformance, FacileProducer, make_sample
from evproc.sonic_client import Client, Fallback, InferenceService

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")


class ToySource(NtupleSource):
    """Reads a toy sample of HCAL channels, which it makes if there is none of that size and seed."""

    class Config(NtupleSource.Config):
        """The size of the sample."""

        files: str | list[str] = Parameter("", description="the sample; empty: named by its size and seed")
        events: int = Parameter(500, description="events of the sample", ge=0)
        channels: int = Parameter(2000, description="HCAL channels of an event", ge=0, le=16000)
        seed: int = Parameter(1, description="seed of the sample")

    config: Config

    def catalog(self) -> Catalog:
        """Make the sample if there is none; then what it offers."""
        if not self.config.files:
            size = self.config
            sample = OUTPUT / f"hcal-{size.events}x{size.channels}-seed{size.seed}.root"
            if not sample.exists():
                make_sample(sample, size.events, size.channels, size.seed)
            self.set(files=str(sample))
        return super().catalog()


process = Process("FACILE")
process.source = ToySource()
process.inference = InferenceService(fallback=Fallback(models=str(REPOSITORY)))

process.energy = FacileProducer(client=Client(model="facile", timeout=30.0))
process.charge_sum = ChargeSumProducer()
process.busy = ScalarSumFilter(of="energy", above=50.0)
process.plot = FacilePerformance(plot=str(OUTPUT / "facile.png"))
process.out = NtupleOutput(file=str(OUTPUT / "facile.root"), keep=["energy", "charge_sum"], select=["reco"])

process.reco = Path(process.energy, process.busy)
process.end = EndPath(process.plot, process.out)
