"""The life of modules and services: begin, end, commit or discard, whoever fails; and the check before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from evproc.framework import (
    Analyzer,
    ConfigurationError,
    EndPath,
    Event,
    Fault,
    Job,
    Module,
    ModuleError,
    OutputError,
    Path,
    Process,
    Service,
)
from evproc.framework.job import check
from tests.framework.core_toys import (
    Add,
    Call,
    Look,
    numbers,
)


class Life(Analyzer):
    """Writes down its life, and fails where a test says."""

    consumes = ("x",)

    def __init__(self, log: list[str], fails: str = "", error: Exception | None = None) -> None:
        super().__init__()
        self.log, self.fails, self.error = log, fails, error or ValueError("oops")

    def note(self, what: str) -> None:
        self.log.append(f"{self.label}.{what}")
        if self.fails == what:
            raise self.error

    def begin_job(self, job: Job) -> None:
        self.note("begin")

    def analyze(self, event: Event) -> None:
        self.note("event")

    def end_job(self) -> None:
        self.note("end")

    def commit(self) -> None:
        self.note("commit")

    def discard(self) -> None:
        self.note("discard")


def lives(fails: str = "", error: Exception | None = None) -> tuple[Process, list[str]]:
    """Three modules, of which the second fails somewhere."""
    log: list[str] = []
    process = Process("P")
    process.source = numbers(1)
    process.a, process.b, process.c = Life(log), Life(log, fails, error), Life(log)
    process.end = EndPath(process.a, process.b, process.c)
    return process, log


def test_the_life_of_modules() -> None:
    """begin, events, end, commit: each for all modules before the next."""
    process, log = lives()
    process.run()
    assert log == [f"{label}.{what}" for what in ("begin", "event", "end", "commit") for label in "abc"]


@pytest.mark.parametrize(
    ("fails", "log"),
    [
        ("begin", ["a.begin", "b.begin", "a.end", "b.end", "a.discard", "b.discard"]),
        ("event", ["a.event", "b.event", "a.end", "b.end", "c.end", "a.discard", "b.discard", "c.discard"]),
        ("end", ["c.event", "a.end", "b.end", "c.end", "a.discard", "b.discard", "c.discard"]),
        ("commit", ["a.commit", "b.commit", "b.discard", "c.discard"]),
    ],
)
def test_the_life_of_modules_when_one_fails(fails: str, log: list[str]) -> None:
    """Whoever has begun is ended; nothing is committed after a failure; the message names module and method."""
    process, seen = lives(fails)
    with pytest.raises(
        ModuleError, match=rf"module 'b' \(Life\) .*{'event 0' if fails == 'event' else fails}.*oops"
    ) as caught:
        process.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert seen[-len(log) :] == log


@pytest.mark.parametrize("fails", ["begin", "end", "commit"])
def test_an_error_of_evproc_keeps_its_class_in_every_phase(fails: str) -> None:
    """An OutputError of begin_job, end_job or commit stays one, with its exit code, and names its module."""
    process, _ = lives(fails, OutputError("disk full"))
    with pytest.raises(OutputError, match=r"module 'b' \(Life\).*disk full") as caught:
        process.run()
    assert caught.value.exit_code == 4


class Meter(Service):
    """Writes down its life, and fails where a test says."""

    def __init__(self, log: list[str], fails: str = "") -> None:
        super().__init__()
        self.log, self.fails = log, fails

    def note(self, what: str) -> None:
        self.log.append(f"{self.label}.{what}")
        if self.fails == what:
            raise ValueError("oops")

    async def check(self, modules: Mapping[str, Module]) -> list[Fault]:
        self.note("check")
        return [Fault("is not there")] if self.fails == "fault" else []

    async def begin_job(self, job: Job) -> None:
        self.note("begin")

    async def end_job(self) -> None:
        self.note("end")

    def report(self) -> dict[str, Any]:
        return {"log": len(self.log)}


def metered(fails: str = "") -> tuple[Process, list[str]]:
    """A process with two services, of which the first fails somewhere."""
    log: list[str] = []
    process = Process("P")
    process.source, process.look = numbers(3), Look()
    process.one, process.two = Meter(log, fails), Meter(log)
    process.end = EndPath(process.look)
    return process, log


def test_the_life_of_services() -> None:
    """check, begin, end: once each, and the report after the end."""
    process, log = metered()
    report = process.run()
    assert log == ["one.check", "two.check", "one.begin", "two.begin", "one.end", "two.end"]
    assert report.services == {"one": {"log": 6}, "two": {"log": 6}}


@pytest.mark.parametrize("fails", ["check", "fault", "begin", "end"])
def test_all_services_are_ended_when_one_fails(fails: str) -> None:
    """end_job of each service is called, whichever fails, and the error names the service."""
    process, log = metered(fails)
    with pytest.raises(Exception, match=r"one.*(oops|is not there)"):
        process.run()
    assert log[-2:] == ["one.end", "two.end"]


def test_an_error_of_the_job_is_not_hidden_by_one_of_the_end() -> None:
    """When an event fails and then a service does not end well, the first error is the one raised."""
    process, log = metered("end")
    process.bad = Call(lambda event: 1 // (13 - event["x"]))
    process.source = numbers(20)
    process.path = Path(process.bad)
    with pytest.raises(ModuleError, match=r"module 'bad'"):
        process.run()
    assert log[-2:] == ["one.end", "two.end"]


def test_check_finds_all_faults_and_runs_nothing() -> None:
    """Parameters, inputs, paths, options, modules and services: all come together, and the services are ended."""

    class Careful(Add):
        def check(self) -> list[Fault]:
            return [Fault("does not like it here", key="of")]

    class Clumsy(Add):
        def check(self) -> list[Fault]:
            raise ZeroDivisionError("oops")

    process, log = metered("fault")
    process.set_options(streams=0)
    process.careful, process.clumsy, process.wrong = Careful(), Clumsy(), Add(plus="much")
    process.reads = Add(of=["nothing"])
    process.path = Path(process.careful, "carefull")
    faults, warnings = check(process)
    texts = [str(fault) for fault in faults]
    for part in (
        "wrong.plus: input should be a valid integer",
        "reads: reads 'nothing', which nothing makes",
        "path: names module 'carefull'; did you mean 'careful'?",
        "options.streams",
        "careful.of: does not like it here  [test_life.py:",
        "clumsy: check() of Clumsy failed: ZeroDivisionError: oops  [test_life.py:",
        "one: is not there  [test_life.py:",
    ):
        assert any(text.startswith(part) for text in texts), (part, texts)
    assert log == ["one.check", "two.check", "one.end", "two.end"]
    assert process.look.rows == []
    assert warnings == []
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    assert {str(fault) for fault in caught.value.faults} == set(texts)


def test_check_of_a_sound_process_gives_warnings() -> None:
    """A sound process has no faults; its warnings are those of the schedule and the services."""
    process, _ = metered()
    process.idle = Add()
    process.one.warnings.append("is slow today")
    faults, warnings = check(process)
    assert faults == []
    assert warnings == ["module 'idle' (Add) does not run: nothing reads its product", "is slow today"]


def test_a_service_is_found_by_its_kind() -> None:
    """job.service gives modules the service that they need, and says what to add if there is none."""
    found: list[Service] = []

    class Needs(Analyzer):
        consumes = ("x",)

        def begin_job(self, job: Job) -> None:
            found.append(job.service(Meter))
            found.append(job.service(Meter, "two"))

        def analyze(self, event: Event) -> None:
            pass

    process, _ = metered()
    process.needs = Needs()
    process.end = EndPath(process.needs)
    process.run()
    assert found == [process.one, process.two]
    process = process.clone()
    del process.one
    del process.two
    with pytest.raises(ConfigurationError, match=r"the process has no Meter; add one: process.x = Meter"):
        process.run()
