"""Random processes run by evproc, held against a reference that takes one event at a time through them (`reference.py`)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, reject

from evproc.framework import EvprocError, Process, ProductNotFound, engine
from tests.framework.core_toys import schedule_of
from tests.framework.random_modules import Keep, Made
from tests.framework.random_process import ended_before, plans, process_of
from tests.framework.reference import FAILED, IGNORE, IGNORED, LEFT, MADE, OUT, RETHROW, Plan, Reference, Story
from tests.strategies import examples


@contextmanager
def sliced(seconds: float) -> Iterator[None]:
    """The engine gives way after so many seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SLICE", seconds)
        yield


def run(plan: Plan) -> tuple[Process, Any]:
    """Run a plan; nothing may be left of it."""
    process = process_of(plan)
    with sliced(plan.slice):
        result = process.run()
    check_nothing_is_left(process)
    return process, result


def check_nothing_is_left(process: Process) -> None:
    """No thread, no future without an answer, no event."""
    assert all(future.done() for future in process.desk.pending)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("evproc")]


def rows_of(stories: list[Story], label: str) -> list[Any]:
    """What an output module or analyzer keeps."""
    runs = [(story.number, story.runs[label]) for story in stories]
    if stories and stories[0].plan.parts[label].role == "output":
        return [one.value for _, one in runs if one.kind == MADE]
    return [(number, one.value) for number, one in runs if one.kind == MADE]


def check_module(module: Made, stories: list[Story]) -> None:
    """It ran for the right events, for each once; what sees events in order saw them so, with the right values."""
    label = module.label
    wanted = [story.number for story in stories if story.runs[label].kind == MADE]
    if module.part.role in ("analyzer", "output"):
        assert module.rows == rows_of(stories, label), label  # type: ignore[attr-defined]  # of both roles
    if module.part.role != "output":
        assert sorted(module.seen) == wanted, f"{label}: {sorted(module.seen)}, not {wanted}"


@examples(60)
@given(plans())
def test_a_random_process_does_what_one_event_at_a_time_does(plan: Plan) -> None:
    """Each event once, in order in outputs; what should run runs and nothing else; all values the same to the bit."""
    process, result = run(plan)
    stories = Reference(plan).events()
    for label in plan.parts:
        check_module(process.modules[label], stories)
    assert result.events == plan.events
    for path in result.paths:
        states = [story.state(path.label) for story in stories]
        assert (path.passed, path.failed, path.exceptions) == (states.count(1), states.count(2), states.count(3))
    for module in result.modules:
        if module.label in plan.parts:
            runs = [story.runs[module.label] for story in stories]
            assert module.calls == sum(one.kind != OUT for one in runs)
            if module.kind == "filter":
                assert module.passed == sum(one.value is True for one in runs if one.kind == MADE)


def stories_of(plan: Plan) -> list[Story]:
    """What must become of each event of a plan in which modules fail."""
    schedule = schedule_of(process_of(plan))
    try:
        return Reference(plan, lambda path, i, j: ended_before(schedule, path, i, j)).events()
    except RecursionError:  # two paths end each other: whose failure is first, only a schedule can say
        reject()


def failures_of(stories: list[Story]) -> list[tuple[int, str, str]]:
    """(event, module, error) of what a job says has failed, in the order in which it says so."""
    return [
        (story.number, label, error)
        for story in stories
        for label in story.plan.parts
        for failed, error, action in story.errors
        if failed == label and action != IGNORE
    ]


@examples(120)
@given(plans(failures=True))
def test_a_random_process_goes_on_behind_failures_as_one_event_at_a_time_does(plan: Plan) -> None:
    """What depends on a failed module does not run, what does not goes on; paths, outputs and counts say so."""
    process = process_of(plan)
    stories = stories_of(plan)
    ending = [(story.number, label) for story in stories for label, _, action in story.errors if action == RETHROW]
    with sliced(plan.slice):
        if ending:
            with pytest.raises(EvprocError) as caught:
                process.run()
            check_error(process, caught.value, stories)
            return
        result = process.run()
    check_nothing_is_left(process)
    for label in plan.parts:
        check_module(process.modules[label], stories)
    for path in result.paths:
        states = [story.state(path.label) for story in stories]
        assert (path.passed, path.failed, path.exceptions) == (states.count(1), states.count(2), states.count(3))
    found = [(event.event, event.module, event.error) for event in result.failed]
    assert found == failures_of(stories), f"{found} {failures_of(stories)}"
    for module in result.modules:
        if module.label in plan.parts:
            kinds = [story.runs[module.label].kind for story in stories]
            called = [story.runs[module.label].kind in (MADE, FAILED, IGNORED) for story in stories]
            uncalled = sum(module.label in story.uncalled for story in stories)
            assert module.calls == sum(called) - uncalled, module.label
            assert (module.failed, module.ignored, module.not_run) == (
                kinds.count(FAILED),
                kinds.count(IGNORED),
                kinds.count(LEFT),
            ), module.label


def check_error(process: Process, error: EvprocError, stories: list[Story]) -> None:
    """It names a module and an event that fails there, or some with such a one; outputs are a beginning, and given up."""
    text = str(error)
    found = re.match(
        r"module '(\w+)' \((\w+)\)(?: on path '([\w, ]+)')? failed at "
        r"(?:run 1, luminosity block 1, event (\d+)|\d+ events from .*?event (\d+) to .*?event (\d+)) \(events of",
        text,
    )
    assert found, text
    label, kind, paths, event, first, last = found.groups()
    module = process.modules[label]
    assert kind == type(module).__name__
    homes = [path for path, _ in Reference(stories[0].plan).homes.get(label, [])]
    assert (paths or "").split(", ") == (homes or [""]), text
    numbers = range(int(first or event), int(last or event) + 1)
    ending = [
        (story.number, what)
        for story in stories
        for who, what, action in story.errors
        if (who, action) == (label, RETHROW)
    ]
    at_fault = [(number, what) for number, what in ending if number in numbers]
    wanted = [
        f"{what}: 'oops {label} {number}'" if what == "KeyError" else f"oops {label} {number}"
        for number, what in at_fault
    ]
    absent = isinstance(error, ProductNotFound) and "ProductNotFound" in [what for _, what in at_fault]
    assert absent or any(message in text for message in wanted), text
    assert error.exit_code == 5
    block = stories[0].plan.options["block"]
    ends = numbers[-1] + (block if isinstance(block, int) else len(stories))
    for other in process.modules.values():
        if isinstance(other, Keep):
            assert other.life == ["end", "discard"] or not other.life
            rows = rows_of(stories, other.label)
            assert other.rows == rows[: len(other.rows)]
            assert all(row[0] < ends for row in other.rows)
            assert [row[0] for row in other.rows] == sorted({row[0] for row in other.rows})
    check_nothing_is_left(process)


@examples(30)
@given(plans(failures=True, policy=False))
def test_without_a_policy_the_first_error_ends_the_job(plan: Plan) -> None:
    """The error says module, path, event and file of an event that does fail; outputs hold only what came before, and go."""
    process = process_of(plan)
    stories = stories_of(plan)
    with sliced(plan.slice):
        if not any(story.errors for story in stories):
            process.run()
            return
        with pytest.raises(EvprocError) as caught:
            process.run()
    check_error(process, caught.value, stories)
