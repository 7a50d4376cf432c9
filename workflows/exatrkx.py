"""Tracks from the hits of a toy tracker, by Exa.TrkX.

    evproc run workflows/exatrkx.py
    evproc run workflows/exatrkx.py -o source.events=100 -o source.hits=1000
    evproc run workflows/exatrkx.py -o tracks.case=ensemble
    evproc run workflows/exatrkx.py -o tracks.case=local

`tracks.case` is the switch: `single`, one model of the server; `ensemble`, its six steps as models of their own;
`local`, onnxruntime in this process and no server. The tracks are the same. Makes a toy sample if there is none, starts a
Triton server if none is named, and writes the tracks, a table and pictures of how good they are, and an event display.
"""

from pathlib import Path as FilePath

from evproc.framework import Catalog, EndPath, Parameter, Path, Process, SwitchProducer
from evproc.modules import NtupleOutput, NtupleSource
from evproc.producers.exatrkx import LocalTrackFinder, TrackFinder, TrackPerformance, make_sample
from evproc.sonic_client import Client, Fallback, InferenceService

REPOSITORY = FilePath(__file__).resolve().parent.parent / "models"
OUTPUT = FilePath("output")


class ToySource(NtupleSource):
    """Reads a sample of the toy tracker, which it makes if there is none of that size and seed."""

    class Config(NtupleSource.Config):
        """The size of the sample."""

        files: str | list[str] = Parameter("", description="the sample; empty: named by its size and seed")
        events: int = Parameter(50, description="events of the sample", ge=0)
        hits: int = Parameter(500, description="hits of an event, at most", ge=0)
        min_hits: int = Parameter(100, description="hits of an event, at least", ge=0)
        seed: int = Parameter(1, description="seed of the sample")

    config: Config

    def catalog(self) -> Catalog:
        """Make the sample if there is none; then what it offers."""
        if not self.config.files:
            size = self.config
            low = min(size.min_hits, size.hits)
            sample = OUTPUT / f"tracker-{size.events}x{low}-{size.hits}-seed{size.seed}.root"
            if not sample.exists():
                make_sample(sample, size.events, size.hits, size.seed, min_hits=low)
            self.set(files=str(sample))
        return super().catalog()


process = Process("EXATRKX")
process.source = ToySource()
process.inference = InferenceService(fallback=Fallback(models=str(REPOSITORY)))

process.tracks = SwitchProducer(
    single=TrackFinder(client=Client(model="exatrkx", timeout=120.0)),
    ensemble=TrackFinder(client=Client(model="exatrkx_ensemble", timeout=120.0)),
    local=LocalTrackFinder(models=str(REPOSITORY)),
    case="single",
)
process.performance = TrackPerformance(
    plot=str(OUTPUT / "exatrkx.png"),
    table=str(OUTPUT / "exatrkx.md"),
    display=str(OUTPUT / "exatrkx_event.png"),
)
process.out = NtupleOutput(file=str(OUTPUT / "exatrkx.root"), keep=["tracks"])

process.reco = Path(process.tracks)
process.end = EndPath(process.performance, process.out)
