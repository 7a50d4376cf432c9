"""The services `Timing` and `Memory`, in jobs."""

from __future__ import annotations

import threading
import time
from mmap import mmap
from typing import Any

import numpy as np
import pytest

from evproc.framework import Event, Path, Process, Producer
from evproc.framework.cli.measured import precise
from evproc.modules import Memory, Timing
from evproc.modules.timing import Spread
from tests.framework.core_toys import Add, AddColumns, Call, Later, Look, numbers


def timing_of(process: Process, **parameters: Any) -> dict[tuple[str, str], dict[str, Any]]:
    process.timing = Timing(**parameters)
    entries = process.run().services["timing"]["timing"]
    return {(entry["module"], entry["phase"]): entry for entry in entries}


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_slowest_events_are_named(block: int) -> None:
    """An event that takes much longer than others is found, by its name, when all are timed."""

    def work(event: Event) -> int:
        end = time.perf_counter() + (0.03 if event.id.event in (123, 45) else 200e-6)
        while time.perf_counter() < end:
            pass
        return 1

    process = Process("SLOW", block=block)
    process.source = numbers(200)
    process.work = Call(work)
    process.look = Look(of=["work"])
    process.path = Path(process.work, process.look)
    found = timing_of(process, share=1.0, slowest=4)["work", "run"]
    assert found["timed"] > 150
    slowest = {tuple(entry["event"]): entry["seconds"] for entry in found["slowest"]}
    assert slowest[1, 1, 45] > 0.029
    assert slowest[1, 1, 123] > 0.029
    assert len(slowest) == 4
    assert 190e-6 < found["median_s"] < 0.03 < found["max_s"]


class Threaded(Add):
    """A sum, in a thread."""

    threaded = True

    def produce(self, event: Event) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return super().produce(event)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_all_per_event_modules_are_timed(block: int) -> None:
    """Producers, external work in all its phases, threads and the tail; results are the same as without."""
    rows = []
    for observed in (False, True):
        process = Process("ALL", block=block)
        process.source = numbers(300)
        process.a = Add(plus=1)
        process.later = Later(of=["a"])
        process.threaded = Threaded()
        process.look = Look(of=["later", "threaded"])
        process.path = Path(process.a, process.later, process.threaded, process.look)
        if observed:
            found = timing_of(process, share=1.0)
        else:
            process.run()
        rows.append(process.look.rows)
    assert rows[0] == rows[1]
    wanted = {("later", "acquire"), ("later", "wait"), ("later", "collect")}
    assert set(found) == {("a", "run"), ("threaded", "run"), ("look", "run")} | wanted
    assert all(found[key]["timed"] > 0 for key in found)
    assert found["later", "wait"]["timed"] == 300


def test_quantiles_are_good_to_two_per_cent() -> None:
    """The bins of the spread are fine enough, and weights count."""
    times = np.exp(np.random.default_rng(1).normal(-10, 1, 20_000))
    spread = Spread()
    for part in np.split(times, 40):
        spread.add(part.tolist())
    for fraction in (0.5, 0.99):
        assert spread.quantile(fraction) == pytest.approx(np.quantile(times, fraction), rel=0.02)
    assert spread.figures()["max_s"] == times.max()
    assert spread.figures()["mean_s"] == pytest.approx(times.mean())
    weighted = Spread()
    weighted.add_many(1e-3, 99)
    weighted.add_many(1.0, 1)
    assert weighted.quantile(0.5) == pytest.approx(1e-3, rel=0.02)
    assert weighted.count == 100


class Large(Producer):
    """80 kB for each event."""

    produces = "var * float64"

    def produce(self, event: Event) -> Any:
        return np.full(10_000, event.id.event, np.float64)


@pytest.mark.parametrize("block", [1, 10])
def test_products_are_seen_to_be_released(block: int) -> None:
    """What products hold is that of the blocks that are open, not of the job; at the end nothing is held."""
    process = Process("MEMORY", block=block, streams=1)
    process.source = numbers(100)
    process.large = Large()
    process.small = AddColumns()
    process.look = Look(of=["large", "small"])
    process.path = Path(process.large, process.small, process.look)
    process.memory = Memory()
    report = process.run()
    figures = report.services["memory"]
    modules = {entry["module"]: entry for entry in figures["memory"]}
    assert {label for label, entry in modules.items() if entry["made"]} == {"large", "small"}
    large, small = modules["large"], modules["small"]
    assert large["events"] == 100
    assert large["per_event"] == pytest.approx(80_000, rel=0.01)
    assert large["held_peak"] == pytest.approx(80_000 * block, rel=0.01)
    assert small["made"] == 8 * 100
    assert figures["products_peak"] == large["held_peak"] + small["held_peak"]
    assert figures["products_held"] == large["held"] == small["held"] == 0
    assert figures["resident_peak"] >= figures["resident_begin"] > 1e6


def test_growth_is_seen_with_the_module_that_grows() -> None:
    """A module that keeps memory for itself is told from one that does not."""
    kept: list[Any] = []

    def keep(event: Event) -> int:
        kept.append(np.frombuffer(mmap(-1, 4_000_000), np.uint8))  # memory that nobody had before
        kept[-1][:] = 1
        return 1

    process = Process("GROWS", block=10)
    process.source = numbers(50)
    process.keeps = Call(keep)
    process.other = Add()
    process.look = Look(of=["keeps", "other"])
    process.path = Path(process.keeps, process.other, process.look)
    process.memory = Memory(share=1.0)
    modules = {entry["module"]: entry for entry in process.run().services["memory"]["memory"]}
    assert modules["keeps"]["growth"] > 0.8 * 50 * 4e6
    assert modules["other"]["growth"] < 20e6


def test_short_times_are_said_precisely() -> None:
    """Nanoseconds and microseconds of single calls keep three digits."""
    assert [precise(seconds) for seconds in (8.3e-8, 4.213e-6, 9.994e-4, 0.0042)] == [
        "83 ns",
        "4.21 us",
        "999 us",
        "4.2 ms",
    ]
