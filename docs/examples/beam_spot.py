"""A conditions producer of one's own, and a module that reads what it makes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evproc.framework import (
    ConditionsProducer,
    ConditionTag,
    EndPath,
    Event,
    Interval,
    Parameter,
    Process,
    Producer,
)
from evproc.framework import Path as ModulePath
from evproc.modules import NtupleOutput, NtupleSource


@dataclass(frozen=True)
class BeamSpot:
    """Where the beams meet, cm."""

    x: float
    y: float


class BeamSpots(ConditionsProducer):
    """The beam spot of each luminosity block, from a text file: run, luminosity block, x and y in a line, cm."""

    class Config(ConditionsProducer.Config):
        """The file."""

        file: str = Parameter(description="text file with run, luminosity block, x and y in each line")

    def auxiliary_files(self) -> list[str]:
        """Outputs say the checksum of the file."""
        return [self.config.file]

    def intervals(self) -> Iterable[Interval]:
        """From the luminosity block of each line on, until that of the next."""
        for line in Path(self.config.file).read_text().splitlines():
            run, lumi, x, y = line.split()
            yield Interval.lumis((int(run), int(lumi)), payload=(float(x), float(y)))

    def load(self, interval: Interval) -> BeamSpot:
        """The beam spot of an interval; this one has little to do."""
        return BeamSpot(*interval.payload)


class BeamX(Producer):
    """Position of the beam spot of an event, cm."""

    produces = "float64"

    class Config(Producer.Config):
        """Which beam spot."""

        beam_spot: ConditionTag = Parameter("beam_spot", description="condition with the beam spot")

    def produce(self, event: Event) -> float:
        """The position at the time of one event."""
        spot: BeamSpot = event.conditions[self.config.beam_spot]
        return spot.x


process = Process("BEAM")
process.source = NtupleSource(files=["nano.root"])
process.beam_spot = BeamSpots(file="docs/examples/beam_spot.txt")
process.beam_x = BeamX()
process.out = NtupleOutput(file="beam.root", keep=["beam_x"])
process.all = ModulePath(process.beam_x)
process.end = EndPath(process.out)
