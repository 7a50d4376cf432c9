"""Tests of the order in which things happen: a job step by step, and a clock that jumps."""

import asyncio
from collections.abc import Sequence

from evproc.framework import Event, ExternalProducer, Path, Process
from evproc.framework.testing import EventSource, Stepwise, run_module, virtual_clock


class Asks(ExternalProducer):
    """Twice the missing momentum, GeV, asked of something that has no time at first, and is asked again an hour later."""

    consumes = ("MET_pt",)

    def acquire(self, event: Event) -> float:
        """What to ask for one event."""
        return float(event["MET_pt"])

    async def external(self, work: Sequence[float]) -> Sequence[float]:
        """The answers for some events."""
        await asyncio.sleep(3600.0)
        return [2.0 * item for item in work]

    def produce(self, event: Event, result: float) -> float:
        """The answer for one event."""
        return result


def test_answers_in_another_order() -> None:
    """The second block is answered first; the first has to be waited for."""
    process = Process("ORDER", block=2)
    process.source = EventSource({"MET_pt": [10.0, 20.0, 30.0, 40.0]})
    process.asks = Asks()
    process.path = Path(process.asks)
    with virtual_clock(), Stepwise(process) as job:
        assert job.run_to("asks").phase == "acquire"
        job.run_until_idle()
        assert sum(work.events for work in job.held) == 4
        job.answer(*[work for work in job.held if work.block == 1])
        assert [step.block for step in job.run_until_idle() if step.outcome == "ended"] == [1]
        assert job.finish().events == 4


def test_hours_take_no_time() -> None:
    """What sleeps, or is tried again later, is tested in no time."""
    with virtual_clock() as clock:
        assert run_module(Asks(), {"MET_pt": [10.0, 20.0]}) == [20.0, 40.0]
    assert clock.now >= 3600.0
