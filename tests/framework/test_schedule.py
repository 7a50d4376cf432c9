"""The schedule: which module runs when, and for which events. Each test has a drawing of its process:

[filter?]   a filter     (p)   an unscheduled producer     path: a -> b     reads: b <- a
"""

from __future__ import annotations

from typing import Any

import pytest

from evproc.framework import EndPath, Path, Process, Task
from evproc.framework.schedule import Phase
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


def process_of(events: int = 30, **options: Any) -> Process:
    """A process with events that hold their number as x."""
    process = Process("P", **options)
    process.source = numbers(events, chunk=11)
    return process


def multiples(of: int, events: int = 30) -> list[int]:
    """The numbers of the events that are divisible."""
    return list(range(0, events, of))


def test_filters_narrow_the_events_of_their_path() -> None:
    """path: [2?] -> a -> [3?] -> b     a runs for multiples of 2, b for multiples of 6."""
    process = process_of()
    process.two, process.three = Divisible(by=2), DivisibleColumns(by=3)
    process.a, process.b = Add(), AddColumns()
    process.path = Path(process.two, process.a, process.three, process.b)
    report = process.run()
    assert process.a.seen == multiples(2)
    assert process.b.seen == multiples(6)
    assert [report.module(label).calls for label in ("two", "a", "three", "b")] == [30, 15, 15, 5]
    assert [report.module(label).passed for label in ("two", "three")] == [15, 5]
    assert [(path.label, path.events, path.passed) for path in report.paths] == [("path", 30, 5)]


def test_a_module_on_two_paths_runs_once_for_each_event() -> None:
    """one: [2?] -> a     two: [3?] -> a     a runs once for multiples of 2 or 3."""
    process = process_of()
    process.two, process.three, process.a = Divisible(by=2), Divisible(by=3), Add()
    process.one = Path(process.two, process.a)
    process.other = Path(process.three, process.a)
    process.run()
    assert sorted(process.a.seen) == sorted({*multiples(2), *multiples(3)})


def test_a_filter_on_two_paths_is_asked_once() -> None:
    """one: [2?] -> a     two: [2?] -> b     the filter is one decision for both."""
    process = process_of()
    process.two, process.a, process.b = Divisible(by=2), Add(), Add()
    process.one = Path(process.two, process.a)
    process.other = Path(process.two, process.b)
    process.run()
    assert process.two.seen == list(range(30))
    assert process.a.seen == process.b.seen == multiples(2)


def test_a_filter_behind_another_and_alone_is_asked_once_for_each_event() -> None:
    """one: [2?] -> [3?] -> a     two: [3?] -> b     [3?] is asked for all events, once each."""
    process = process_of(block=7)
    process.two, process.three, process.a, process.b = Divisible(by=2), Divisible(by=3), Add(), Add()
    process.one = Path(process.two, process.three, process.a)
    process.other = Path(process.three, process.b)
    report = process.run()
    assert sorted(process.three.seen) == list(range(30))
    assert (process.a.seen, process.b.seen) == (multiples(6), multiples(3))
    assert [(path.label, path.passed) for path in report.paths] == [("one", 5), ("other", 10)]


@pytest.mark.parametrize("maker", [Add, AddColumns])
def test_an_unscheduled_producer_runs_only_where_it_is_needed_and_once(maker: type) -> None:
    """one: [2?] -> b <- (p)     two: [5?] -> c <- (p)     p runs once for multiples of 2 or 5, not for others."""
    process = process_of(block=7)
    process.two, process.five = Divisible(by=2), Divisible(by=5)
    process.p, process.b, process.c = maker(plus=1), Add(of=["p"]), AddColumns(of=["p"])
    process.one = Path(process.two, process.b)
    process.other = Path(process.five, process.c)
    process.run()
    assert sorted(process.p.seen) == sorted({*multiples(2), *multiples(5)})
    assert (process.b.seen, process.c.seen) == (multiples(2), multiples(5))


@pytest.mark.parametrize("maker", [Add, AddColumns])
def test_a_producer_that_the_first_reader_needs_for_no_event_runs_for_the_second(maker: type) -> None:
    """one: [none?] -> b <- (p)     two: c <- (p)     p has steps for both; the first is for no event."""
    process = process_of()
    process.none, process.p = Divisible(of="one", by=2), maker(plus=1)
    process.one = AddColumns(of=["x", "x"], plus=1)
    process.b, process.c = Add(of=["p"]), Add(of=["p"])
    process.first = Path(process.none, process.b)
    process.second = Path(process.c)
    process.look = Look(of=["c"])
    process.end = EndPath(process.look)
    process.run()
    assert process.b.seen == []
    assert process.look.rows == [(number, number + 1) for number in range(30)]


def test_a_chain_of_unscheduled_producers_follows_its_reader() -> None:
    """path: [3?] -> d <- (c) <- (b) <- (a)     the whole chain runs for multiples of 3."""
    process = process_of()
    process.three = Divisible(by=3)
    process.a, process.b, process.c = Add(plus=1), AddColumns(of=["a"]), Add(of=["b"])
    process.d = Add(of=["c"])
    process.path = Path(process.three, process.d)
    process.run()
    assert process.a.seen == process.b.seen == process.c.seen == process.d.seen == multiples(3)


def test_what_a_task_holds_runs_only_if_it_is_read() -> None:
    """path: b <- (p)     task: p, q     q does not run, and a warning says so."""
    process = process_of()
    process.p, process.q, process.b = Add(), Add(), Add(of=["p"])
    process.path = Path(process.b)
    process.task = Task(process.p, process.q)
    report = process.run()
    assert (len(process.p.seen), process.q.seen) == (30, [])
    assert report.warnings == ["module 'q' (Add) does not run: nothing reads its product"]


def test_modules_that_do_not_run_are_named_in_warnings() -> None:
    """A module on no path that makes nothing, and one that only a module reads which does not run, are warned of."""
    process = process_of()
    process.p, process.q, process.look, process.even = Add(), Add(of=["p"]), Look(), Divisible()
    process.path = Path()
    assert schedule_of(process).warnings == [
        "module 'p' (Add) does not run: nothing reads its product",
        "module 'q' (Add) does not run: nothing reads its product",
        "module 'look' (Look) does not run: it is on no path",
        "module 'even' (Divisible) does not run: it is on no path",
    ]


def test_a_filter_that_reads_what_is_made_behind_it_is_a_contradiction() -> None:
    """path: [f?] -> a     f <- a     no order satisfies this."""
    process = process_of()
    process.a, process.f = Add(), Divisible(of="a")
    process.path = Path(process.f, process.a)
    (fault,) = faults_of(process)
    assert "no order satisfies paths and data flow for" in fault
    assert fault.endswith("for f, a: a filter reads what is made behind it")


def test_a_filter_may_read_what_a_path_names_after_it_where_no_filter_stands_between() -> None:
    """path: a -> [f?] -> b     f <- (p) <- a     the data flow orders what the path leaves open."""
    process = process_of()
    process.a, process.p, process.b = Add(), Add(of=["a"]), Add()
    process.f = Divisible(of="p")
    process.path = Path(process.f, process.b)
    process.first = Path(process.a)
    process.run()
    assert process.b.seen == multiples(2)


def test_a_product_of_another_path_is_there_only_for_its_events() -> None:
    """one: [2?] -> a     two: b <- a     a is scheduled, so it does not run for b's sake: b fails at event 1."""
    process = process_of()
    process.two, process.a, process.b = Divisible(by=2), Add(), Add(of=["a"])
    process.one = Path(process.two, process.a)
    process.other = Path(process.b)
    with pytest.raises(Exception, match=r"module 'b' .*event 1 .*product 'a' was not made for this event"):
        process.run()
    assert process.a.seen[:3] == [0, 2, 4]


@pytest.mark.parametrize(
    ("select", "events"),
    [
        ([], list(range(30))),
        (["even"], multiples(2)),
        (["even", "third"], sorted({*multiples(2), *multiples(3)})),
        (["even", "all"], list(range(30))),
        (["none"], []),
        (["sixth", "none"], multiples(6)),
    ],
)
def test_an_output_module_writes_the_union_of_the_paths_it_selects(select: list[str], events: list[int]) -> None:
    """even: [2?]   third: [3?]   sixth: [2?] -> [3?]   all: a   none: [2?] -> [f?]     end: out(select)"""
    process = process_of(block=4)
    process.two, process.three, process.a = Divisible(by=2), DivisibleColumns(by=3), Add()
    process.odd = Add(of=["x"], plus=1)
    process.f = Divisible(of="odd")
    process.even, process.third = Path(process.two), Path(process.three)
    process.sixth, process.all = Path(process.two, process.three), Path(process.a)
    process.none = Path(process.two, process.f)
    process.out = Write(select=select, of=["x"])
    process.end = EndPath(process.out)
    process.run()
    assert process.out.events == events


def test_an_unknown_path_in_select_is_named_with_the_nearest() -> None:
    """out(select=[sgnal])     a path that is not there is a fault of the parameter `select`."""
    process = process_of()
    process.two, process.out = Divisible(), Write(select=["sgnal", "zzz"])
    process.signal = Path(process.two)
    process.end = EndPath(process.out)
    first, second = faults_of(process)
    assert first.startswith("out.select: no path 'sgnal'; did you mean 'signal'?")
    assert second.startswith("out.select: no path 'zzz'; there are signal")


def test_filters_on_an_end_path_narrow_it() -> None:
    """end: [2?] -> look     an end path has its own mask, and no result."""
    process = process_of()
    process.two, process.look = Divisible(), Look()
    process.end = EndPath(process.two, process.look)
    report = process.run()
    assert process.look.events == multiples(2)
    assert report.paths == []


def test_end_paths_come_after_all_paths_and_see_all_events() -> None:
    """path: [2?] -> a     end: look, out     analyzers and outputs are last, and not narrowed by paths."""
    process = process_of()
    process.two, process.a, process.look, process.out = Divisible(), Add(), Look(), Write()
    process.end = EndPath(process.look, process.out)
    process.path = Path(process.two, process.a)
    assert steps_of(process) == ["two.run", "a.run", "look.tail", "out.tail"]
    process.run()
    assert process.look.events == process.out.events == list(range(30))


def test_an_analyzer_on_a_path_sees_the_events_that_reach_it() -> None:
    """path: [2?] -> look -> [3?]     an analyzer is in the tail, with the mask of its place."""
    process = process_of()
    process.two, process.look, process.three = Divisible(), Look(), Divisible(by=3)
    process.path = Path(process.two, process.look, process.three)
    process.run()
    assert process.look.events == multiples(2)


def test_work_is_acquired_early_and_collected_late() -> None:
    """path: a -> b -> later -> c <- later     what later needs runs first, and all else runs while it is under way."""
    process = process_of()
    process.a, process.b, process.later = Add(), Add(), Later(of=["b"])
    process.c = Add(of=["later"])
    process.path = Path(process.a, process.b, process.later, process.c)
    steps = steps_of(process)
    assert steps.index("b.run") < steps.index("later.acquire") < steps.index("later.collect") < steps.index("c.run")
    assert steps.index("a.run") < steps.index("later.collect")


def test_work_that_needs_nothing_is_acquired_first() -> None:
    """path: a -> b -> later     the work is handed out before a and b compute."""
    process = process_of()
    process.a, process.b, process.later = Add(), Add(), Later()
    process.path = Path(process.a, process.b, process.later)
    assert steps_of(process) == ["later.acquire", "a.run", "b.run", "later.collect"]


def test_work_waits_for_the_filters_of_its_path() -> None:
    """path: [2?] -> later     nothing is acquired for events that the filter rejects."""
    process = process_of()
    process.two, process.later = Divisible(), Later()
    process.path = Path(process.two, process.later)
    process.run()
    assert process.later.acquired == sorted(process.later.seen) == multiples(2)


def test_two_works_are_under_way_at_once() -> None:
    """path: one -> two     both are acquired before either is collected."""
    process = process_of()
    process.one, process.two = Later(), Later()
    process.path = Path(process.one, process.two)
    assert steps_of(process) == ["one.acquire", "two.acquire", "one.collect", "two.collect"]


def test_a_filter_with_work_narrows_its_path() -> None:
    """path: [later 2?] -> a     what stands behind waits for the answer."""
    process = process_of(block=4)
    process.two, process.a = LaterFilter(by=2), Add()
    process.path = Path(process.two, process.a)
    report = process.run()
    assert process.a.seen == multiples(2)
    assert (report.module("two").calls, report.module("two").passed, report.paths[0].passed) == (30, 15, 15)


def test_products_are_released_after_their_last_reader() -> None:
    """path: a -> b <- a -> c <- b     end: look <- a     each product has one place where it is released."""
    process = process_of()
    process.a, process.b, process.c, process.look = Add(), Add(of=["a"]), Add(of=["b"]), Look(of=["a"])
    process.path, process.end = Path(process.a, process.b, process.c), EndPath(process.look)
    released = {step.node.label: sorted(step.release) for step in schedule_of(process).steps}
    assert released == {"a": ["x"], "b": [], "c": ["b", "c"], "look": ["a"]}


def test_a_product_is_kept_for_work_that_reads_it_in_produce() -> None:
    """path: a -> later <- a     what acquire reads is there in produce as well."""
    process = process_of()
    process.a, process.later = Add(), Later(of=["a"])
    process.path = Path(process.a, process.later)
    released = {(step.node.label, step.node.phase): step.release for step in schedule_of(process).steps if step.release}
    assert released == {("a", Phase.RUN): ["x"], ("later", Phase.COLLECT): ["a", "later"]}


def test_a_path_without_modules_passes_all_events() -> None:
    """path: (nothing)     all events pass."""
    process = process_of()
    process.path = Path()
    report = process.run()
    assert [(path.events, path.passed) for path in report.paths] == [(30, 30)]
    assert report.blocks > 0


def test_a_task_with_an_unknown_module_is_a_fault() -> None:
    """task: 'enrgy'     names are held against the modules, nearest shown."""
    process = process_of()
    process.energy, process.task = Add(), Task("enrgy")
    (fault,) = faults_of(process)
    assert fault.startswith("task: names module 'enrgy'; did you mean 'energy'?")


def test_a_long_chain_compiles() -> None:
    """a0 <- a1 <- ... <- a1999     the number of modules is not bounded by Python's stack."""
    process = process_of(3)
    process.a0 = Add()
    for number in range(1, 2000):
        setattr(process, f"a{number}", Add(of=[f"a{number - 1}"]))
    process.path = Path("a1999")
    assert len(schedule_of(process).steps) == 2000
