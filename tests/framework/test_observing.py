"""What observers are told, and that nobody else notices them."""

from __future__ import annotations

import importlib.util
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evproc.framework import EndPath, Event, ExceptionPolicy, ModuleError, Observer, Process, Service
from evproc.framework import Path as ModulePath
from evproc.framework.observing import Observers
from evproc.framework.report import Report
from tests.framework.core_toys import Add, AddColumns, Call, Divisible, Later, LaterColumns, Look, numbers
from tests.framework.failing_toys import PRODUCERS, Fails

EVENTS = 1500


class Notes(Observer):
    """Writes down all that it is told."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.told: dict[str, list[Any]] = defaultdict(list)


def _note(name: str) -> Any:
    return lambda self, info: self.told[name].append(info)


for _name in Observer.HOOKS:
    setattr(Notes, _name, _note(_name))


class Threaded(Add):
    """A sum, in a thread."""

    threaded = True


def job(block: int, *services: Service) -> Process:
    """Modules of all kinds."""
    process = Process("OBSERVED", block=block)
    process.source = numbers(EVENTS, chunk=600)
    process.a = Add(plus=1)
    process.even = Divisible()
    process.later = Later(of=["a"])
    process.columns = AddColumns(of=["a"])
    process.later_columns = LaterColumns(of=["columns"])
    process.threaded = Threaded()
    process.look = Look(of=["later", "later_columns", "threaded"])
    process.path = ModulePath(
        process.a, process.even, process.later, process.later_columns, process.threaded, process.look
    )
    for number, service in enumerate(services):
        setattr(process, f"service_{number}", service)
    return process


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_observers_are_told_of_everything_once(block: int) -> None:
    """Blocks, steps, work, threads and chunks begin and end once each, and their events add up to those of the report."""
    notes = Notes()
    report = job(block, notes).run()
    told = notes.told
    assert not report.warnings
    begun, ended = told["on_block_begin"], told["on_block_end"]
    assert [info.number for info in begun] == [info.number for info in ended] == list(range(report.blocks))
    assert sum(info.events for info in ended) == EVENTS
    assert all(info.begin < info.end for info in ended)
    assert ended[0].first == (1, 1, 0)
    assert ended[-1].last == (1, 1, EVENTS - 1)
    check_steps(told, report)
    assert sorted(info.number for info in told["on_work_begin"]) == sorted(info.number for info in told["on_work_end"])
    assert sum(info.events for info in told["on_work_end"]) == 2 * EVENTS // 2
    assert not any(info.error for info in told["on_work_end"])
    assert [info.number for info in told["on_chunk"]] == [1, 2, 3]
    assert [info.events for info in told["on_chunk"]] == [600, 600, 300]
    assert {info.module for info in told["on_thread"]} == {"threaded"}
    assert told["on_load"][-1].blocks == told["on_load"][-1].in_flight == told["on_load"][-1].input == 0
    assert max(info.in_flight for info in told["on_load"]) > 0


def check_steps(told: dict[str, list[Any]], report: Report) -> None:
    """Each stretch that begins ends, before the next begins; the stretches that end a step add up to the calls."""
    begun, ended = told["on_step_begin"], told["on_step_end"]
    assert [info.begin for info in begun] == [info.begin for info in ended]
    assert all(before.end <= after.begin for before, after in pairwise(ended))
    done = Counter[tuple[str, str]]()
    for info in ended:
        if info.outcome == "ended":
            done[info.module, info.phase] += info.events
    for module in ("a", "even", "columns", "threaded"):
        assert done[module, "run"] == report.module(module).calls
    for module in ("later", "later_columns"):
        assert done[module, "acquire"] == done[module, "collect"] == report.module(module).calls
    assert done["look", "tail"] == report.module("look").calls
    first = [(info.block, info.module, info.phase) for info in begun if not info.resumed]
    assert len(first) == len(set(first))
    assert Counter(first) == Counter((info.block, info.module, info.phase) for info in ended if info.outcome == "ended")


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_observing_changes_no_results(block: int) -> None:
    """A job gives the same with and without an observer."""
    rows = []
    for services in ((), (Notes(),)):
        process = job(block, *services)
        process.run()
        rows.append(process.look.rows)
    assert rows[0] == rows[1]


def test_a_failing_module_is_told_of() -> None:
    """The step of a module that raises ends as `failed`, and what was in flight ends as cancelled."""

    def fail(event: Event) -> int:
        raise ValueError("no")

    process, notes = Process("FAILS", block=10), Notes()
    process.source = numbers(100)
    process.later = Later(turns=50)
    process.fails = Call(fail)
    process.look = Look(of=["later", "fails"])
    process.end = EndPath(process.look)
    process.notes = notes
    with pytest.raises(ModuleError):
        process.run()
    assert notes.told["on_step_end"][-1].outcome == "failed"
    assert notes.told["on_step_end"][-1].module == "fails"
    assert {info.error for info in notes.told["on_work_end"]} <= {"", "cancelled"}
    assert len(notes.told["on_work_end"]) == len(notes.told["on_work_begin"]) > 0


def test_an_observer_that_raises_is_switched_off() -> None:
    """The job goes on, other observers are told as before, and the report warns."""

    class Broken(Observer):
        calls = 0

        def on_step_end(self, step: Any) -> None:
            self.calls += 1
            raise KeyError("lost")

    broken, notes = Broken(), Notes()
    report = job(100, broken, notes).run()
    assert broken.calls == 1
    assert report.warnings == ["service 'service_0' (Broken) was switched off: on_step_end raised KeyError: 'lost'"]
    check_steps(notes.told, report)


def test_nobody_listens_to_what_nobody_defines() -> None:
    """Only the methods that an observer defines are called; with none of them, the engine is the plain one."""

    class Idle(Observer):
        pass

    class Waits(Observer):
        def on_wait(self, wait: Any) -> None:
            pass

    assert not Observers([Idle(), Service()])
    watched = Observers([Waits()])
    assert watched
    assert watched.wait is not None
    assert watched.step_begin is None


def test_a_misspelt_hook_is_refused() -> None:
    """A method that would never be called is an error of its class, with the nearest name."""
    with pytest.raises(TypeError, match=r"Typo.on_step_ended would never be called.*on_step_end"):
        type("Typo", (Observer,), {"on_step_ended": lambda self, step: None})


def test_the_example_of_the_pages_works() -> None:
    """The observer of the documentation counts the modules that hold the CPU for long."""
    path = Path(__file__).parents[2] / "docs" / "examples" / "slow_steps.py"
    spec = importlib.util.spec_from_file_location("slow_steps", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    report = job(500, example.SlowSteps(limit=1e-9)).run()
    assert report.services["service_0"]["slow_steps"]["look"] >= 3
    assert job(500, example.SlowSteps(limit=1e9)).run().services["service_0"] == {"slow_steps": {}}


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("kind", PRODUCERS)
def test_jobs_that_go_on_behind_failed_events_are_observed(kind: type[Fails], block: int, tmp_path: Path) -> None:
    """With all that there is to be told of, timed calls included, the same events fail, and the others are the same."""
    outcomes = []
    for observed in (False, True):
        process = Process("FAILS", block=block)
        process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events=str(tmp_path / "failed.jsonl"))
        process.source = numbers(40, chunk=17)
        process.bad = kind(on=[0, 3, 4, 16, 17, 39])
        process.look = Look(of=["bad"])
        process.end = EndPath(process.look)
        notes = Notes()
        notes.sample_share = 1.0
        if observed:
            process.notes = notes
        report = process.run()
        assert not report.warnings
        outcomes.append((process.look.rows, report.failed_events, report.module("bad").failed))
    assert outcomes[0] == outcomes[1]
    assert outcomes[1][1] == 6
    assert len(notes.told["on_step_begin"]) == len(notes.told["on_step_end"]) > 0
    assert all(len(info.events) == len(info.seconds) for info in notes.told["on_calls"])
