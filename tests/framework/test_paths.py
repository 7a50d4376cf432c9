"""Paths and what stands on them: inverted and ignored filters, sequences, tasks, final paths. Each test has a drawing:

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
    ignored,
    inverted,
)
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Divisible,
    DivisibleColumns,
    Later,
    LaterFilter,
    Look,
    Write,
    faults_of,
    numbers,
    schedule_of,
    steps_of,
)

EVENTS = 30
BLOCKS = pytest.mark.parametrize("block", [1, 7, 1000])
FILTERS = pytest.mark.parametrize("kind", [Divisible, DivisibleColumns, LaterFilter])


def process_of(**options: Any) -> Process:
    """A process with events that hold their number as x."""
    process = Process("P", **options)
    process.source = numbers(EVENTS, chunk=11)
    return process


def those(rule: Any) -> list[int]:
    """The numbers of the events that a rule accepts."""
    return [number for number in range(EVENTS) if rule(number)]


@BLOCKS
@FILTERS
def test_an_inverted_filter_lets_the_others_pass(kind: type, block: int) -> None:
    """path: [~2?] -> a -> [3?] -> b     a runs for odd numbers, b for those divisible by 3."""
    process = process_of(block=block)
    process.two, process.three, process.a, process.b = kind(by=2), kind(by=3), Add(), Add()
    process.path = Path(~process.two, process.a, process.three, process.b)
    report = process.run()
    assert process.a.seen == those(lambda n: n % 2)
    assert process.b.seen == those(lambda n: n % 2 and n % 3 == 0)
    assert (report.module("two").passed, report.paths[0].passed, report.paths[0].failed) == (15, 5, 25)


@BLOCKS
@FILTERS
def test_an_ignored_filter_runs_and_decides_nothing(kind: type, block: int) -> None:
    """path: [(2?)] -> a     the filter is asked, and all events go on."""
    process = process_of(block=block)
    process.two, process.a = kind(by=2), Add()
    process.path = Path(ignored(process.two), process.a)
    report = process.run()
    assert process.a.seen == list(range(EVENTS))
    assert (report.module("two").calls, report.module("two").passed, report.paths[0].passed) == (30, 15, 30)


@BLOCKS
@FILTERS
def test_a_filter_is_asked_once_whatever_paths_make_of_its_answer(kind: type, block: int) -> None:
    """yes: [2?] -> a     no: [~2?] -> b     both: [(2?)] -> c     behind: [3?] -> [~2?] -> d"""
    process = process_of(block=block)
    process.two, process.three = kind(by=2), Divisible(by=3)
    process.a, process.b, process.c, process.d = Add(), AddColumns(), Add(), Add()
    process.behind = Path(process.three, inverted(process.two), process.d)
    process.yes, process.no = Path(process.two, process.a), Path(~process.two, process.b)
    process.both = Path(ignored(process.two), process.c)
    report = process.run()
    assert report.module("two").calls == EVENTS
    assert process.a.seen == those(lambda n: n % 2 == 0)
    assert process.b.seen == those(lambda n: n % 2)
    assert process.c.seen == list(range(EVENTS))
    assert process.d.seen == those(lambda n: n % 3 == 0 and n % 2)


def test_a_filter_and_its_inverse_let_nothing_pass() -> None:
    """path: [2?] -> [~2?] -> a     no event comes to a."""
    process = process_of(block=7)
    process.two, process.a = Divisible(), Add()
    process.path = Path(process.two, ~process.two, process.a)
    report = process.run()
    assert (process.a.seen, report.paths[0].passed) == ([], 0)
    assert [(module.shown, module.events, module.rejected) for module in report.paths[0].modules] == [
        ("two", 30, 15),
        ("~two", 15, 15),
        ("a", 0, 0),
    ]


def test_the_report_says_which_filter_rejected_how_many() -> None:
    """path: [2?] -> a -> [(5?)] -> [~3?]     events that come to each, and that end there."""
    process = process_of(block=7)
    process.two, process.three, process.five, process.a = Divisible(by=2), Divisible(by=3), Divisible(by=5), Add()
    process.path = Path(process.two, process.a, ignored(process.five), ~process.three)
    (path,) = process.run().paths
    assert (path.events, path.passed, path.failed, path.exceptions) == (30, 10, 20, 0)
    assert [(one.shown, one.filter, one.events, one.rejected) for one in path.modules] == [
        ("two", True, 30, 15),
        ("a", False, 15, 0),
        ("ignored(five)", True, 15, 0),
        ("~three", True, 15, 5),
    ]


def test_only_filters_are_marked() -> None:
    """path: [~a] -> [(look)]     what decides nothing can be neither inverted nor ignored, and nothing is marked twice."""
    process = process_of()
    process.a, process.look, process.two = Add(), Look(), Divisible()
    process.s = Sequence(process.two)
    process.path = Path(~process.a, ignored(process.look), ~~process.two, ignored("~two"), ~process.s)
    assert [fault.partition("  [")[0] for fault in faults_of(process)] == [
        "path: marks a member twice: ~two is inverted already",
        "path: marks a member twice: ~two is inverted already",
        "path: inverts the sequence 's'; only a filter decides something: mark the filters in it",
        "path: inverts 'a', a producer; only a filter decides something",
        "path: ignores the decision of 'look', an analyzer; only a filter decides something",
    ]


def test_members_are_parts_or_text() -> None:
    """`~f` and `ignored(f)` in text are what the operators make; unknown names are found when the process is compiled."""
    process = process_of()
    process.two, process.a = Divisible(), Add()
    process.path = Path("~two", "ignored(two)", "a")
    assert process.path.labels() == ["two", "two", "a"]
    assert repr(process.path) == "Path(~two, ignored(two), a)"
    assert repr(Path(~process.two, ignored(process.two), process.a)) == repr(process.path)
    process.path = Path("~tow")
    assert faults_of(process)[0].startswith("path: names module 'tow'; did you mean 'two'?")


@pytest.mark.parametrize("part", [3.0, None, Divisible])
def test_what_is_no_module_is_a_fault_of_the_path(part: Any) -> None:
    """Path(3.0)     is reported with all other faults, and raises nothing before."""
    process = process_of()
    process.path = Path(part)
    (fault,) = faults_of(process)
    assert "which is no module but of type" in fault


def test_a_path_holds_no_path() -> None:
    """path: other     paths do not nest; sequences do."""
    process = process_of()
    process.other = Path()
    process.path, process.again = Path(process.other), Path("other")
    for fault in faults_of(process):
        assert "holds the path 'other'; what several paths share is a Sequence" in fault
    assert len(faults_of(process)) == 2


def test_sequences_are_opened_where_they_stand() -> None:
    """s: [2?] -> a     t: s -> [~3?]     path: t -> b     other: a -> s     nested, by object and by label, with marks."""
    process = process_of(block=7)
    process.two, process.three, process.a, process.b = Divisible(by=2), Divisible(by=3), Add(), Add()
    process.s = Sequence(process.two, process.a)
    process.t = Sequence("s", ~process.three)
    process.path = Path(process.t, process.b)
    process.other = Path(Sequence(process.a), process.s)
    report = process.run()
    assert process.b.seen == those(lambda n: n % 2 == 0 and n % 3)
    assert sorted(process.a.seen) == list(range(EVENTS))
    assert [path.passed for path in report.paths] == [10, 15]
    assert [one.shown for one in report.paths[0].modules] == ["two", "a", "~three", "b"]


def test_a_sequence_does_not_hold_itself() -> None:
    """s: t     t: s     is a fault that shows the circle."""
    process = process_of()
    process.s, process.t = Sequence("t"), Sequence("s")
    process.path = Path(process.s)
    assert "path: holds itself: s > t > s" in faults_of(process)[0]


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
