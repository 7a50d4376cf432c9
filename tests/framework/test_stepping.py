"""Jobs step by step, and a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from evproc.framework import (
    ConfigurationError,
    EndPath,
    Event,
    ExternalProducer,
    ModuleError,
    Process,
    analyzer,
    filter_by,
    producer,
)
from evproc.framework import Path as ModulePath
from evproc.framework.testing import EventSource, HeldWork, Stepwise, run_module, virtual_clock


class Slow(ExternalProducer):
    """Twice x, some seconds later."""

    consumes = ("x",)
    produces = "float64"

    async def acquire(self, event: Event) -> float:
        await asyncio.sleep(3600)
        return 2.0 * float(event["x"])

    def produce(self, event: Event, result: float) -> float:
        return result


class Twice(ExternalProducer):
    """Twice x, at once."""

    consumes = ("x",)

    def acquire(self, event: Event) -> float:
        return float(event["x"])

    async def external(self, work: list[float]) -> Sequence[float]:
        return [2 * item for item in work]

    def produce(self, event: Event, result: float) -> float:
        return result


def workflow(events: int = 6, block: int = 2, **options: Any) -> tuple[Process, list[float]]:
    """Blocks of two events; external work, and an analyzer that notes what it sees."""
    seen: list[float] = []
    process = Process("STEPS", block=block, **options)
    process.source = EventSource({"x": [float(number) for number in range(events)]}, chunk=4)
    process.half = producer(lambda x: x / 2)
    process.twice = Twice()
    process.look = analyzer(lambda twice, half: seen.append(float(twice)))
    process.path = ModulePath(process.half, process.twice)
    process.end = EndPath(process.look)
    return process, seen


def test_steps_come_one_by_one() -> None:
    """Each step says module, phase, block and events; nothing of the job runs between them."""
    process, seen = workflow()
    with Stepwise(process) as job:
        first = job.step()
        assert first is not None
        assert (first.block, first.events) == (0, 2)
        rest = job.run_until_idle()
        taken = sorted((step.block, step.module, step.phase) for step in [first, *rest] if step.outcome == "ended")
        assert taken == sorted(
            (block, module, phase) for block in range(3) for module, phase in (("half", "run"), ("twice", "acquire"))
        )
        assert [(work.module, work.block, work.events) for work in job.held][:1] == [
            ("twice", 0, work_events(job.held, 0))
        ]
        assert seen == []
        job.answer()
        found = job.run_to("look")
        assert (found.block, found.events) == (0, 2)
        assert seen == [0.0, 2.0]
        result = job.finish()
    assert result.events == 6
    assert seen == [0, 2, 4, 6, 8, 10]


def work_events(held: list[HeldWork], block: int) -> int:
    """Events of the first work of a block."""
    return next(work.events for work in held if work.block == block)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_test_decides_in_which_order_answers_come(order: tuple[int, ...]) -> None:
    """Whatever the order, blocks end in that of the input."""
    process, seen = workflow()
    with Stepwise(process) as job:
        job.run_until_idle()
        collected = []
        for block in order:
            job.answer(*[work for work in job.held if work.block == block])
            collected += [
                step.block for step in job.run_until_idle() if (step.phase, step.outcome) == ("collect", "ended")
            ]
        assert list(dict.fromkeys(collected)) == list(order)
        assert job.held == []
        assert job.finish().events == 6
    assert seen == [0, 2, 4, 6, 8, 10]


def test_a_job_without_external_work_runs_to_its_end() -> None:
    """None says that no step is left."""
    process = Process("PLAIN", block=1)
    process.source = EventSource({"x": [1.0, 2.0]})
    process.large = filter_by(lambda x: x > 1)
    process.path = ModulePath(process.large)
    with Stepwise(process) as job:
        assert [(step.module, step.block) for step in job.run_until_idle()] == [("large", 0), ("large", 1)]
        assert job.step() is None
        assert job.finish().counts["path"] == 1


def test_what_the_job_raises_the_test_gets() -> None:
    """An error of a module, or a fault of the configuration, ends the stepping."""

    def fails(x: float) -> float:
        raise ValueError("no")

    process = Process("FAILS", block=1)
    process.source = EventSource({"x": [1.0, 2.0]})
    process.bad = producer(fails)
    process.path = ModulePath(process.bad)
    with Stepwise(process) as job, pytest.raises(ModuleError, match=r"module 'bad' \(fails\)"):
        job.run_until_idle()
    wrong = Process("WRONG")
    with Stepwise(wrong) as job, pytest.raises(ConfigurationError, match="has no source"):
        job.step()


def test_leaving_breaks_the_job_off() -> None:
    """A test that leaves in the middle leaves no thread behind, also where work would never end."""

    class Never(ExternalProducer):
        consumes = ("x",)

        async def acquire(self, event: Event) -> None:
            await asyncio.Event().wait()

        def produce(self, event: Event, result: None) -> None: ...

    process = Process("NEVER", block=1)
    process.source = EventSource({"x": [1.0, 2.0]})
    process.never = Never()
    process.path = ModulePath(process.never)
    with Stepwise(process) as job:
        job.run_until_idle()
        assert len(job.held) == 2
        with pytest.raises(LookupError, match="no step of 'nothing'  comes"):
            job.run_to("nothing")
    assert "evproc-stepwise" not in [thread.name for thread in threading.enumerate()]


def test_an_answer_comes_once() -> None:
    """Work that was let through cannot be again."""
    process, _ = workflow(events=2)
    with Stepwise(process) as job:
        job.run_until_idle()
        work = job.held[0]
        job.answer(work)
        with pytest.raises(LookupError, match="has been answered"):
            job.answer(work)


def test_steps_in_threads() -> None:
    """A step that runs in a thread gives the CPU back, and comes again when the thread has ended."""
    process, seen = workflow()
    process.half = producer(lambda x: x / 2, threaded=True)
    with Stepwise(process) as job:
        steps = job.run_until_idle()
        assert [step.outcome for step in steps if step.module == "half" and step.block == 0] == ["waits", "ended"]
        job.finish()
    assert seen == [0, 2, 4, 6, 8, 10]


def test_time_jumps() -> None:
    """An hour of waiting takes no time; the clock says how long it would have been."""
    begin = time.monotonic()
    with virtual_clock() as clock:
        assert run_module(Slow(), {"x": [1.0, 2.0, 3.0]}, block=1) == [2.0, 4.0, 6.0]
    assert 3600 <= clock.now < 3700
    assert time.monotonic() - begin < 60


def test_timers_go_off_in_their_order() -> None:
    """What waits for a shorter time comes first, whatever was begun first."""
    order: list[float] = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def all_of_them() -> None:
        await asyncio.gather(*map(wait, (30.0, 10.0, 20.0)))

    with virtual_clock() as clock, asyncio.Runner(loop_factory=clock.loop) as runner:
        runner.run(all_of_them())
    assert order == [10.0, 20.0, 30.0]
    assert clock.now == pytest.approx(30.0)


def test_hours_step_by_step() -> None:
    """Steps and the clock go together: the job's thread has the time of the test."""
    process = Process("HOURS", block=1)
    process.source = EventSource({"x": [1.0, 2.0]})
    process.slow = Slow()
    process.path = ModulePath(process.slow)
    with virtual_clock() as clock, Stepwise(process) as job:
        assert {step.phase for step in job.run_until_idle()} == {"acquire", "collect"}
        job.answer()
        assert job.finish().events == 2
    assert clock.now >= 3600


def test_a_process_is_as_before_afterwards() -> None:
    """Nothing of the test stays in the process: it runs again, and says the same."""
    process, seen = workflow()
    with Stepwise(process) as job:
        job.finish()
    assert not process.services
    assert not [module for module in process.modules.values() if {"chunks", "launch"} & set(vars(module))]
    assert process.run(progress=False).events == 6
    assert seen == 2 * [0, 2, 4, 6, 8, 10]
