"""Tasks, conditional tasks and final paths: what runs for whose sake (scenario 28). Each test has a drawing:

[f?]   a filter   [~f?]  inverted   [(f?)]  ignored   (p)   a producer that nothing schedules   reads: b <- a
"""

from __future__ import annotations

from typing import Any

import pytest

from evproc.framework import (
    ConditionalTask,
    EndPath,
    FinalPath,
    Path,
    Process,
    Sequence,
    Task,
)
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Divisible,
    Later,
    Look,
    Write,
    faults_of,
    numbers,
    schedule_of,
    steps_of,
)

EVENTS = 30
BLOCKS = pytest.mark.parametrize("block", [1, 7, 1000])


def process_of(**options: Any) -> Process:
    """A process with events that hold their number as x."""
    process = Process("P", **options)
    process.source = numbers(EVENTS, chunk=11)
    return process


def those(rule: Any) -> list[int]:
    """The numbers of the events that a rule accepts."""
    return [number for number in range(EVENTS) if rule(number)]


def test_tasks_hold_tasks_and_are_associated_with_paths() -> None:
    """inner: p     outer: inner, q     path: b <- (p) <- (q), with outer     its producers run where they are needed."""
    process = process_of(block=7)
    process.two, process.q, process.b = Divisible(), Add(), Add(of=["p"])
    process.p = Add(of=["q"])
    process.inner = Task(process.p)
    process.outer = Task(process.inner, process.q)
    process.path = Path(process.two, process.b, process.outer)
    process.run()
    assert process.p.seen == process.q.seen == process.b.seen == those(lambda n: n % 2 == 0)


def test_only_producers_are_in_a_task() -> None:
    """task: [2?], look     what makes no product never runs on demand; a task is no sequence and no other task."""
    process = process_of()
    process.two, process.look = Divisible(), Look()
    process.s, process.c = Sequence(), ConditionalTask()
    process.task = Task(process.two, process.look, process.s, process.c)
    process.path = Path(Task())
    assert [fault.partition("  [")[0] for fault in faults_of(process)] == [
        "path: is associated with a task that is not an attribute of the process",
        "task: holds the sequence 's'; a task holds producers and other tasks",
        "task: holds the conditional task 'c'; a task holds producers and other tasks",
        "task: holds 'two', a filter; only producers run on demand",
        "task: holds 'look', an analyzer; only producers run on demand",
    ]


@BLOCKS
@pytest.mark.parametrize("kind", [Add, AddColumns, Later])
def test_a_conditional_task_is_taken_in_behind_the_filters(kind: type, block: int) -> None:
    """path: [2?] -> b <- p <- q, with p and q conditional     end: out <- p     p runs behind the filter, and not for out."""
    process = process_of(block=block)
    process.two, process.q, process.b = Divisible(), kind(plus=1), Add(of=["p"])
    process.p = kind(of=["q"])
    process.task = ConditionalTask(process.p, process.q)
    process.path = Path(process.two, process.b)
    process.path.associate(process.task)
    process.out = Write(of=["p"], select=["path"])
    process.end = EndPath(process.out)
    report = process.run()
    even = those(lambda n: n % 2 == 0)
    assert sorted(process.p.seen) == sorted(process.q.seen) == sorted(process.b.seen) == process.out.events == even
    assert [one.label for one in report.paths[0].modules] == ["two", "q", "p", "b"]


def test_a_module_of_a_conditional_task_does_not_run_for_others() -> None:
    """path: [2?] -> b <- p, conditional     end: look <- p     p is scheduled on the path: it is absent elsewhere."""
    process = process_of()
    process.two, process.p, process.b, process.look = Divisible(), Add(), Add(of=["p"]), Look(of=["p"])
    process.task = ConditionalTask(process.p)
    process.path = Path(process.two, process.b, process.task)
    process.end = EndPath(process.look)
    with pytest.raises(Exception, match=r"module 'look' .*event 1.*product 'p' was not made for this event"):
        process.run()


def test_what_the_path_does_not_read_of_a_conditional_task_runs_on_demand() -> None:
    """path: [2?] -> b, with p conditional     other: c <- (p)     p runs for all events, for the sake of c."""
    process = process_of(block=7)
    process.two, process.p, process.b, process.c = Divisible(), Add(), Add(), Add(of=["p"])
    process.task = ConditionalTask(process.p)
    process.path = Path(process.two, process.b, process.task)
    process.other = Path(process.c)
    process.run()
    assert process.p.seen == process.c.seen == list(range(EVENTS))


def test_a_conditional_module_stands_before_its_first_reader() -> None:
    """path: b <- p -> [2?] -> c <- p     p runs for all events: its first reader stands before the filter."""
    process = process_of()
    process.two, process.p, process.b, process.c = Divisible(), Add(), Add(of=["p"]), Add(of=["p"])
    process.path = Path(process.b, process.two, process.c, "task")
    process.task = ConditionalTask(process.p)
    report = process.run()
    assert [one.label for one in report.paths[0].modules] == ["p", "b", "two", "c"]
    assert len(process.p.seen) == EVENTS


def test_a_conditional_task_of_no_path_is_warned_of() -> None:
    """task: p     path: b <- (p)     the condition never applies."""
    process = process_of()
    process.p, process.b = Add(), Add(of=["p"])
    process.task, process.path = ConditionalTask(process.p), Path(process.b)
    assert schedule_of(process).warnings == ["conditional task 'task' belongs to no path: its modules run on demand"]


@BLOCKS
def test_a_final_path_comes_last_and_makes_nothing_run(block: int) -> None:
    """path: [2?] -> b <- (p)     end: look     last: out <- p     out writes p where b needed it; it comes behind look."""
    process = process_of(block=block)
    process.two, process.p, process.b, process.look = Divisible(), Add(plus=5), Add(of=["p"]), Look()
    process.out = Write(of=["p"], select=["path"])
    process.last = FinalPath(process.out)
    process.path, process.end = Path(process.two, process.b), EndPath(process.look)
    assert steps_of(process)[-2:] == ["look.tail", "out.tail"]
    process.run()
    assert process.out.rows == [(number, number + 5) for number in those(lambda n: n % 2 == 0)]
    assert process.p.seen == process.out.events


def test_a_final_path_that_wants_what_nothing_else_needs_is_a_fault() -> None:
    """last: out <- (p)     a final path does not make producers run: the product will not be there."""
    process = process_of()
    process.p, process.out = Add(), Write(of=["p"])
    process.last = FinalPath(process.out)
    (fault,) = faults_of(process)
    assert fault.startswith(
        "out: reads 'p', which cannot be read: no producer runs for the sake of a final path, and nothing else needs"
    )
    process.run_p = Path(process.p)
    assert faults_of(process) == []


def test_a_final_path_holds_only_output_modules() -> None:
    """last: p, look, out     end: out     all else is a fault, and so is an output that another path makes write."""
    process = process_of()
    process.p, process.look, process.out, process.s = Add(), Look(), Write(), Sequence()
    process.last, process.end = FinalPath(process.p, process.look, process.out, process.s), EndPath(process.out)
    assert [fault.partition("  [")[0] for fault in faults_of(process)] == [
        "last: holds the sequence 's'",
        "last: holds 'p', a producer; a final path holds only output modules: use a Path or an EndPath",
        "last: holds 'look', an analyzer; a final path holds only output modules: use a Path or an EndPath",
        "last: holds 'out', which is on 'end' too",
    ]
