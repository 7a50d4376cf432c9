"""Paths on which modules fail, in a job that goes on behind it: results, counts, and what outputs select.

[f?]   a filter   [~f?]  inverted   [(f?)]  ignored
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evproc.framework import (
    EndPath,
    ExceptionPolicy,
    Path,
    Process,
    ignored,
    inverted,
)
from evproc.framework.block import Block
from evproc.framework.path_results import PathCounter, states
from evproc.framework.schedule import Node, Phase
from evproc.framework.selection import PathState
from evproc.framework.testing import EventSource, make_store
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Call,
    Divisible,
    DivisibleColumns,
    Look,
    Write,
    numbers,
    schedule_of,
)
from tests.framework.failing_toys import FILTERS, PRODUCERS, Fails, FailsAnalyzer, FailsEvent

EVENTS = 30
BLOCKS = pytest.mark.parametrize("block", [1, 7, 1000])


def process_of(**options: Any) -> Process:
    """even: [2?]     third: [3?]     and a policy that goes on behind a ValueError."""
    process = Process("P", **options)
    process.source = numbers(EVENTS, chunk=11)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events="")
    process.two, process.three = Divisible(by=2), DivisibleColumns(by=3)
    process.even, process.third = Path(process.two), Path(process.three)
    return process


@BLOCKS
@pytest.mark.parametrize("kind", PRODUCERS)
def test_a_failure_ends_the_way_along_its_path_alone(kind: type[Fails], block: int) -> None:
    """broken: [2?] -> bad -> a     sound: [3?] -> b     out(exception@broken)     the states, counts and outputs of both."""
    process = process_of(block=block)
    process.bad = kind(on=[0, 3, 4, 12, 29])
    process.a, process.b = Add(of=["bad"]), Add()
    process.broken, process.sound = Path(process.two, process.bad, process.a), Path(process.three, process.b)
    process.lost, process.kept = Write(select=["exception@broken"]), Write(select=["broken"])
    process.quiet = Write(select=["sound&noexception"])
    process.look = Look(of=["PathStatus_broken", "TriggerResults_broken"])
    process.end = EndPath(process.lost, process.kept, process.quiet, process.look)
    report = process.run()
    lost = [0, 4, 12]  # 3 and 29 never come to bad
    even = [n for n in range(0, EVENTS, 2) if n not in lost]
    assert (process.lost.events, process.kept.events) == (lost, even)
    assert process.quiet.events == [n for n in range(0, EVENTS, 3) if n not in lost]
    assert process.look.rows == [(n, 3 if n in lost else 1 + n % 2, n in even) for n in range(EVENTS)]
    broken = report.paths[2]
    assert (broken.label, broken.passed, broken.failed, broken.exceptions) == ("broken", 12, 15, 3)
    assert [(one.label, one.events, one.rejected, one.exceptions) for one in broken.modules] == [
        ("two", 30, 15, 0),
        ("bad", 15, 0, 3),
        ("a", 12, 0, 0),
    ]
    assert sorted(process.b.seen) == [*range(0, EVENTS, 3)]


@BLOCKS
@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("mark", [lambda part: part, inverted, ignored])
def test_a_failed_filter_is_an_exception_whatever_the_path_makes_of_it(
    mark: Any, kind: type[Fails], block: int
) -> None:
    """path: [f?] or [~f?] or [(f?)] -> a     events on which the filter fails do not go on."""
    process = process_of(block=block)
    bad = [0, 1, 8, 15]
    process.f, process.a = kind(on=bad), Add()
    process.path = Path(mark(process.f), process.a)
    process.out = Write(select=["!path", "exception@path"])
    process.end = EndPath(process.out)
    report = process.run()
    wanted = {ignored: lambda n: True, inverted: lambda n: n % 2}.get(mark, lambda n: n % 2 == 0)
    passed = [n for n in range(EVENTS) if n not in bad and wanted(n)]
    if mark is not ignored:  # a module that waits for no answer of the filter may have run by then
        assert process.a.seen == passed
    assert process.out.events == [n for n in range(EVENTS) if n not in passed]
    assert (report.paths[2].passed, report.paths[2].exceptions) == (len(passed), len(bad))


@BLOCKS
def test_a_failure_on_an_end_path_keeps_nothing_from_being_written(block: int) -> None:
    """end: bad -> look -> out     an end path has no result: what does not read the failed module's product goes on."""
    process = process_of(block=block)
    process.bad, process.look, process.out = FailsEvent(on=[0, 5]), Look(), Write()
    process.end = EndPath(process.bad, process.look, process.out)
    process.run()
    assert process.out.events == process.look.events == list(range(EVENTS))


@BLOCKS
def test_an_analyzer_that_fails_on_a_path_is_an_exception_of_it(block: int) -> None:
    """seen: [2?] -> bad     out(seen), out(exception@seen)     outputs wait for the analyzers of the paths they select."""
    process = process_of(block=block)
    process.bad = FailsAnalyzer(on=[0, 1, 6])
    process.seen = Path(process.two, process.bad)
    process.out, process.lost = Write(select=["seen"]), Write(select=["exception@s*"])
    process.end = EndPath(process.out, process.lost)
    report = process.run()
    assert process.lost.events == [0, 6]
    assert process.out.events == [n for n in range(2, EVENTS, 2) if n != 6]
    assert (report.paths[2].passed, report.paths[2].exceptions) == (13, 2)


@BLOCKS
def test_a_producer_that_only_a_selection_needs_waits_for_the_analyzers_of_the_path(block: int) -> None:
    """seen: [2?] -> bad     out(seen) <- (p)     end: lost(exception@seen) <- (p)     what is selected is known late."""
    process = process_of(block=block)
    process.bad, process.p, process.q = FailsAnalyzer(on=[0, 1, 6]), Add(), Add(of=["p"])
    process.seen = Path(process.two, process.bad)
    process.out, process.lost = Write(select=["seen"], of=["p"]), Write(select=["exception@seen"], of=["q"])
    process.end = EndPath(process.out, process.lost)
    process.run()
    assert process.lost.events == sorted(process.q.seen) == [0, 6]
    assert process.out.events == [n for n in range(2, EVENTS, 2) if n != 6]
    assert sorted(process.p.seen) == list(range(0, EVENTS, 2))


@BLOCKS
@pytest.mark.parametrize("kind", PRODUCERS)
def test_a_producer_that_only_a_selection_needs_waits_for_all_of_the_path(kind: type[Fails], block: int) -> None:
    """path: bad     out(path) <- (p)     lost(exception@path) <- (q)     which events are selected bad decides, by failing."""
    process = process_of(block=block)
    process.bad, process.p, process.q = kind(on=[1, 6]), Add(), Add()
    process.path = Path(process.bad)
    process.out, process.lost = Write(select=["path"], of=["p"]), Write(select=["exception@path"], of=["q"])
    process.end = EndPath(process.out, process.lost)
    process.run()
    assert process.lost.events == sorted(process.q.seen) == [1, 6]
    assert process.out.events == sorted(process.p.seen) == [n for n in range(EVENTS) if n not in (1, 6)]


@BLOCKS
def test_what_a_filter_has_rejected_is_not_left_out_for_a_failure_elsewhere(block: int) -> None:
    """path: [2?] -> bad -> a     other: bad     bad fails on 1, which path rejects: a does not count as failed there."""
    process = process_of(block=block)
    process.bad, process.a, process.look = FailsEvent(on=[1, 4]), Add(), Look(of=["PathStatus_path"])
    process.path, process.other = Path(process.two, process.bad, process.a), Path(process.bad)
    process.sees = Look(of=["TriggerResults_path"])
    process.end = EndPath(process.look, process.sees)
    report = process.run()
    assert sorted(process.a.seen) == [n for n in range(0, EVENTS, 2) if n != 4]
    assert report.module("a").not_run == 1
    assert process.look.rows[:5] == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 3)]


@BLOCKS
def test_what_stands_behind_a_failed_filter_of_an_end_path_has_not_run(block: int) -> None:
    """path: [bad?] -> a     end: [bad?] -> a -> look <- a     nothing comes behind bad, by whichever way."""
    process = process_of(block=block)
    process.bad, process.a, process.look = FILTERS[0](on=[0, 8]), Add(), Look(of=["a"])
    process.path, process.end = Path(process.bad, process.a), EndPath(process.bad, process.a, process.look)
    process.all = Look(of=["a"])
    process.every = EndPath(process.two, process.all)
    report = process.run()
    assert (
        sorted(process.a.seen)
        == process.look.events
        == process.all.events
        == [n for n in range(2, EVENTS, 2) if n != 8]
    )
    assert (report.module("a").not_run, report.module("look").not_run, report.module("all").not_run) == (2, 2, 2)


@BLOCKS
def test_a_module_that_runs_anyway_may_miss_several_things(block: int) -> None:
    """anyway <- bad     by columns: what bad has failed on, in either way, is an error of it that is passed over."""
    process = process_of(block=block)
    process.policy = ExceptionPolicy(
        try_to_continue=["ValueError", "ProductNotFound"], ignore=["KeyError"], call_anyway=["anyway"], failed_events=""
    )

    def fail(event: Any) -> int:
        if event.id.event in (0, 3):
            raise KeyError("ignored") if event.id.event else ValueError("not ignored")
        return 1

    process.bad, process.anyway = Call(fail), AddColumns(of=["bad"])
    process.path = Path(process.bad, process.anyway)
    report = process.run()
    assert sorted(process.anyway.seen) == [n for n in range(EVENTS) if n not in (0, 3)]
    assert (report.module("bad").failed, report.module("bad").ignored, report.module("anyway").ignored) == (1, 1, 2)


# What failures do: a path is simulated event by event, and held against the masks of a block.

LABELS = "abcdef"
SIZE = 6


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Process, dict[str, list[bool]], dict[str, set[int]]]:
    """A process with some paths of filters and producers, the filters' answers, and who failed for which events."""
    process = Process("P")
    process.source = EventSource({"x": np.arange(SIZE)})
    filters = draw(st.sets(st.sampled_from(LABELS)))
    for label in LABELS:
        setattr(process, label, Divisible() if label in filters else Call(lambda event: 0))
    answers = {label: draw(st.lists(st.booleans(), min_size=SIZE, max_size=SIZE)) for label in sorted(filters)}
    failed = draw(st.dictionaries(st.sampled_from(LABELS), st.sets(st.integers(0, SIZE - 1), min_size=1)))
    for number in range(draw(st.integers(1, 3))):
        members = []
        for label in draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=5)):
            module = getattr(process, label)
            marks = [module, ~module, ignored(module)] if label in filters else [module]
            members.append(draw(st.sampled_from(marks)))
        setattr(process, f"path{number}", Path(*members))
    return process, answers, failed


def walk(path: Path, event: int, answers: dict[str, list[bool]], failed: dict[str, set[int]]) -> tuple[PathState, str]:
    """What a path comes to for one event, and at which module it ends."""
    for text in path.texts():
        label = text.removeprefix("~").removeprefix("ignored(").removesuffix(")")
        if event in failed.get(label, ()):
            return PathState.EXCEPTION, label
        if label in answers and "ignored" not in text and answers[label][event] == text.startswith("~"):
            return PathState.FAIL, label
    return PathState.PASS, ""


@given(blocks())
def test_where_modules_have_failed_paths_come_to_what_a_walk_along_them_does(
    drawn: tuple[Process, dict[str, list[bool]], dict[str, set[int]]],
) -> None:
    """Masks and failures of a block give the states that a walk along each path gives, event by event; so do the counts."""
    process, answers, failed = drawn
    schedule = schedule_of(process)
    block = Block(0, make_store({"x": np.arange(SIZE)}), None)
    block.failed = failed
    block.passed = {label: bytearray(values) for label, values in answers.items()}
    counter = PathCounter(schedule)
    counter.add(block, SIZE)
    for report in counter.reports():
        path = process.paths[report.label]
        walked = [walk(path, event, answers, failed) for event in range(SIZE)]
        found = states(block, schedule.placed[report.label], schedule.masks)
        assert found.tolist() == [state for state, _ in walked]
        ends = [int(state) for state, _ in walked]
        assert (report.passed, report.failed, report.exceptions) == (ends.count(1), ends.count(2), ends.count(3))
        for module in report.modules:
            assert module.rejected == walked.count((PathState.FAIL, module.label))
            assert module.exceptions == walked.count((PathState.EXCEPTION, module.label))


@given(blocks())
def test_events_do_not_go_on_behind_a_module_that_failed(
    drawn: tuple[Process, dict[str, list[bool]], dict[str, set[int]]],
) -> None:
    """An event comes to a module if it does so by any path, members that run later not looked at."""
    process, answers, failed = drawn
    schedule = schedule_of(process)
    block = Block(0, make_store({"x": np.arange(SIZE)}), None)
    block.failed = failed
    block.passed = {label: bytearray(values) for label, values in answers.items()}
    place = {step.node: number for number, step in enumerate(schedule.steps)}
    for step in schedule.steps:
        label, mask = step.node.label, step.node.mask
        index = block.going_on(label, mask, schedule)
        inside = block.events_of(mask, schedule.masks)
        every = list(range(SIZE) if inside is None else inside)
        wanted = set()
        for path in schedule.placed.values():
            for number, member in enumerate(path.members):
                if (member.label, member.mask) == (label, mask):
                    nodes = {one.label: Node(one.label, one.mask, Phase.RUN) for one in path.members[:number]}
                    before = [one for one, node in nodes.items() if place[node] < place[step.node]]
                    wanted |= {event for event in every if not any(event in failed.get(one, ()) for one in before)}
        assert set(range(SIZE) if index is None else index) == wanted
