"""A workflow whose modules are partly its own, partly those of the file beside it."""

from __future__ import annotations

from toys import Above, Clock, Numbers, Scale, Scaled, TextOutput

from evproc.framework import EndPath, Event, InputTag, Path, Process, Producer


class Doubled(Producer):
    """Twice a number."""

    class Config(Producer.Config):
        of: InputTag = "x"

    produces = "float32"

    def produce(self, event: Event) -> float:
        return event[self.config.of] * 2


process = Process("NUMBERS", threads=2)
process.source = Numbers(events=400)
process.clock = Clock()
process.doubled = Doubled()
process.scaled = Scaled(of="doubled", scale=Scale(factor=0.5))
process.high = Above(of="scaled", threshold=99.5)
process.out = TextOutput(file="numbers.txt", of="scaled", select=["select"])
process.select = Path(process.doubled, process.scaled, process.high)
process.end = EndPath(process.out)
