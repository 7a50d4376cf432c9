"""Which calls are timed, and that a sweep of which some are is the same sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evproc.framework import sampling
from evproc.framework.observations import CallsInfo
from evproc.framework.report import ModuleReport
from evproc.framework.sampling import CREDIT, FIXED, LEAST, Sampler, TimedSweep, cost_of_timing
from evproc.framework.sweep import Sweep

FOREVER = float("inf")


def timed(
    events: int, start: int, calls: int, function: Callable[..., Any] = lambda event: -event, **named: Any
) -> tuple[TimedSweep, list[CallsInfo]]:
    told: list[CallsInfo] = []
    sampler = Sampler(ModuleReport("m", "M", "producer"), 0.0, told.append)
    sampler.spent = 1.0  # nothing beyond this stretch can be afforded
    numbers = list(range(events))
    return TimedSweep(sampler, Sweep(function, numbers, **named), "run", numbers, start, calls), told


@pytest.mark.parametrize("total", [1, 7, 1000])
@pytest.mark.parametrize(("start", "calls"), [(0, 1), (0, 7), (3, 2), (1, 500), (990, 10)])
@pytest.mark.parametrize("limit", [0, 1, 3, 128])
def test_a_timed_sweep_is_the_same_sweep(total: int, start: int, calls: int, limit: int) -> None:
    """Each event is called for once, in order, however it is cut; just those of the stretch are timed."""
    sweep, told = timed(total, start, calls)
    before = 0
    while not sweep.advance(0.0 if limit else FOREVER, limit):
        done = len(sweep.results)
        assert before < done <= before + (limit or total)
        before = done
    assert sweep.results == [-number for number in range(total)]
    assert sweep.seconds > 0
    assert [event for info in told for event in info.events] == list(range(total))[start : start + calls]
    assert all(len(info.seconds) == len(info.events) for info in told)


def test_the_second_argument_is_passed_on() -> None:
    """`produce` gets the result of each event."""
    sweep, told = timed(100, 10, 20, lambda event, result: event + result, second=list(range(100)))
    assert sweep.advance(FOREVER)
    assert sweep.results == [2 * number for number in range(100)]
    assert sum(len(info.events) for info in told) == 20


@pytest.mark.parametrize("bad", [0, 5, 14, 50])
def test_an_error_names_its_event(bad: int) -> None:
    """An exception passes through, and the sweep knows its event, before, in and after the stretch."""

    def fail(event: int) -> int:
        if event == bad:
            raise ValueError(event)
        return event

    sweep, _ = timed(100, 5, 10, fail)
    with pytest.raises(ValueError, match=f"^{bad}$"):
        sweep.advance(FOREVER)
    assert sweep.place == bad


def test_timing_costs_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spent stays within the share and the first credit; a slow module is timed for every event."""
    each = 2e-7
    monkeypatch.setattr(sampling, "cost_of_timing", lambda: (each, 0.0))
    monkeypatch.setattr(sampling, "perf_counter", lambda: 0.0)
    tally = ModuleReport("m", "M", "producer")
    told: list[CallsInfo] = []
    sampler = Sampler(tally, 0.01, told.append)
    events = list(range(2000))
    sampled = 0
    for _ in range(500):
        sweep = sampler.timed(Sweep(abs, events), "run", events)
        if isinstance(sweep, TimedSweep):
            sampled += 1
        tally.cpu_s += 2000 * 50e-9
        assert sampler.spent <= 0.01 * tally.cpu_s + CREDIT
    assert sampled > 0
    assert sampler.spent > 0.5 * (0.01 * tally.cpu_s + CREDIT) - FIXED - LEAST * each
    tally.cpu_s = 1e6
    slow = sampler.timed(Sweep(abs, events), "run", events)
    assert isinstance(slow, TimedSweep)
    told.clear()
    slow.advance(FOREVER)
    assert list(told[-1].events) == events


def test_what_is_taken_as_the_cost_is_plausible() -> None:
    """A timed call costs more than nothing, and less than 20 us even on a machine that is busy."""
    each, within = cost_of_timing()
    assert 0 <= within <= 20e-6
    assert 5e-8 <= each <= 20e-6


def test_the_first_sweep_learns_what_a_module_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one sweep, more and more calls of a slow module are timed; of a fast one, the first stretch."""
    now = 0.0

    def clock() -> float:
        return now

    monkeypatch.setattr("evproc.framework.sampling.perf_counter", clock)
    monkeypatch.setattr("evproc.framework.sweep.perf_counter", clock)
    monkeypatch.setattr("evproc.framework.sampling.cost_of_timing", lambda: (2e-7, 1e-7))
    timed_calls = []
    for wait in (50e-9, 300e-6):
        told: list[CallsInfo] = []
        sampler = Sampler(ModuleReport("m", "M", "producer"), 0.1, told.append)
        events = list(range(600))

        def work(event: int, wait: float = wait) -> None:
            nonlocal now
            now += wait

        sweep = sampler.timed(Sweep(work, events), "run", events)
        while not sweep.advance(0.0):
            pass
        assert len(sweep.results) == 600
        timed_calls.append(sum(len(info.events) for info in told))
    assert LEAST <= timed_calls[0] < timed_calls[1]
    assert timed_calls[1] > 450
