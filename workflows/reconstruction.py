"""Several networks in one job: HCAL channels, electrons and jets of the same events, on two servers, with CPU work between.

    evproc run workflows/reconstruction.py
    evproc run workflows/reconstruction.py --no-jets
    evproc run workflows/reconstruction.py --trace trace.json
    python -m evproc.modules.timeline trace.json timeline.png
    evproc run workflows/reconstruction.py -o inference.servers=[gpu=grpc://gpu1:8001,near=grpc://gpu2:8001]

Makes toy samples of the same events if there are none, one for each detector, and reads them as friends; starts two Triton
servers if none is named, one for channels and one for images.
"""

from pathlib import Path as FilePath

from evproc.framework import Catalog, EndPath, Parameter, Path, Process
from evproc.modules import Friend, NtupleOutput, NtupleSource
from evproc.producers.deepcalo import DeepCaloProducer
from evproc.producers.deepcalo import make_sample as make_electrons
from evproc.producers.facile import FacileProducer
from evproc.producers.facile import make_sample as make_channels
from evproc.producers.reconstruction import ElectronSelector, HadronicLeakage, ShowerShapes
from evproc.producers.top_tagger import TopTaggerProducer
from evproc.producers.top_tagger import make_sample as make_jets
from evproc.sonic_client import Client, OwnServer, OwnServers

REPOSITORY = str(FilePath(__file__).resolve().parent.parent / "models")
OUTPUT = FilePath("output")


class ToySource(NtupleSource):
    """Reads toy samples of the same events, which it makes if there are none of that size and seed."""

    class Config(NtupleSource.Config):
        """The sizes of the samples."""

        files: str | list[str] = Parameter("", description="a file with everything; empty: samples by size and seed")
        events: int = Parameter(300, description="events of the samples", ge=0)
        channels: int = Parameter(4000, description="HCAL channels of an event", ge=0, le=16000)
        electrons: int = Parameter(4, description="electrons of an event", ge=0)
        jets: bool = Parameter(True, description="whether the events have jets, which Pythia makes")
        seed: int = Parameter(1, description="seed of the samples")

    config: Config

    def catalog(self) -> Catalog:
        """Make the samples that are not there; then what they offer."""
        size = self.config
        if not size.files:
            hcal = OUTPUT / f"hcal-{size.events}x{size.channels}-seed{size.seed}.root"
            ecal = OUTPUT / f"electrons-{size.events}x{size.electrons}-seed{size.seed}.root"
            jets = OUTPUT / f"jets-{size.events}-seed{size.seed}.root"
            if not hcal.exists():
                make_channels(hcal, size.events, size.channels, size.seed)
            if not ecal.exists():
                make_electrons(ecal, size.events, size.electrons, size.seed)
            if size.jets and not jets.exists():
                make_jets(jets, size.events, size.seed)
            self.set(files=str(hcal), friends=[Friend(files=str(file)) for file in (ecal, jets)[: 1 + size.jets]])
        return super().catalog()


def process(jets: bool = True) -> Process:
    """Channels, electrons, and with `jets` jets too, all in one stream of events."""
    job = Process("RECONSTRUCTION", block=10)  # an event takes some 20 ms of a server: small blocks, many under way
    job.source = ToySource(jets=jets)
    job.inference = OwnServers(
        own={
            "channels": OwnServer(models=REPOSITORY, load=["facile"]),
            "images": OwnServer(models=REPOSITORY, load=["deepcalo", "top_tagger"]),
        }
    )

    job.electron_energy = DeepCaloProducer(client=Client(model="deepcalo", timeout=120.0, max_rows=50))
    job.channel_energy = FacileProducer(client=Client(model="facile", timeout=120.0))
    job.shapes = ShowerShapes()
    job.leakage = HadronicLeakage(electron_energy="electron_energy", channel_energy="channel_energy")
    job.selected = ElectronSelector(energy="electron_energy", leakage="leakage", core="shapes:core", above=100.0)
    job.electrons = Path(job.electron_energy, job.channel_energy, job.shapes, job.leakage, job.selected)
    kept = ["Electron_eta", "Electron_phi", "electron_energy", "leakage", "shapes:*", "channel_energy"]
    if jets:
        job.top_score = TopTaggerProducer(client=Client(model="top_tagger", timeout=120.0))
        job.tops = Path(job.top_score)
        kept += ["FatJet_pt", "FatJet_eta", "FatJet_phi", "top_score"]

    job.out = NtupleOutput(file=str(OUTPUT / "reconstruction.root"), keep=kept, select=["electrons"])
    job.end = EndPath(job.out)
    return job
