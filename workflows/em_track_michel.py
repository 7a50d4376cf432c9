"""What each hit of a liquid-argon detector belongs to: track, shower, Michel electron; by the EmTrackMichelId network.

    evproc run workflows/em_track_michel.py
    evproc run workflows/em_track_michel.py -o source.events=50 -o hits.client.max_rows=1024
    evproc run workflows/em_track_michel.py -o inference.servers=[grpc://gpu1.example.org:8001]

Makes a toy sample if there is none, and the weights if there are none and no server is named (training takes minutes); starts
a Triton server; writes the scores, confusion matrix and ROC curve as a picture, and the figures.
"""

from pathlib import Path as FilePath

from evproc.framework import Catalog, EndPath, Parameter, Path, Process
from evproc.modules import NtupleOutput, NtupleSource
from evproc.producers.em_track_michel import (
    EmTrackMichelPerformance,
    EmTrackMichelProducer,
    EmTrackMichelService,
    make_sample,
)
from evproc.sonic_client import Fallback

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")


class ToySource(NtupleSource):
    """Reads a toy sample of wire planes, which it makes if there is none of that size and seed."""

    class Config(NtupleSource.Config):
        """The size of the sample."""

        files: str | list[str] = Parameter("", description="the sample; empty: named by its size and seed")
        events: int = Parameter(8, description="events of the sample", ge=0)
        wires: int = Parameter(240, description="wires of each plane", ge=1)
        ticks: int = Parameter(1536, description="ticks of a waveform", ge=1)
        tracks: int = Parameter(6, description="through-going muons of an event", ge=0)
        muons: int = Parameter(3, description="stopping muons of an event, with Michel electrons", ge=0)
        showers: int = Parameter(2, description="electromagnetic showers of an event", ge=0)
        seed: int = Parameter(1, description="seed of the sample")

    config: Config

    def catalog(self) -> Catalog:
        """Make the sample if there is none; then what it offers."""
        if not self.config.files:
            sizes = {name: getattr(self.config, name) for name in ("wires", "ticks", "tracks", "muons", "showers")}
            name = "-".join(["wires", str(self.config.events), *map(str, sizes.values()), f"seed{self.config.seed}"])
            sample = OUTPUT / f"{name}.root"
            if not sample.exists():
                make_sample(sample, self.config.events, self.config.seed, sizes=sizes)
            self.set(files=str(sample))
        return super().catalog()


process = Process("MICHEL")
process.source = ToySource()
process.inference = EmTrackMichelService(fallback=Fallback(models=str(REPOSITORY)))

process.hits = EmTrackMichelProducer()
process.plot = EmTrackMichelPerformance(
    plot=str(OUTPUT / "em_track_michel.png"), model_file=str(REPOSITORY / "em_track_michel" / "1" / "model.onnx")
)
process.out = NtupleOutput(file=str(OUTPUT / "em_track_michel.root"), keep=["hits:*", "Hit"])

process.reco = Path(process.hits)
process.end = EndPath(process.plot, process.out)
