"""Paths and what stands on them: inverted and ignored filters, sequences. Each test has a drawing:

[f?]   a filter   [~f?]  inverted   [(f?)]  ignored   (p)   a producer that nothing schedules   reads: b <- a
"""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evproc.framework import (
    ConditionalTask,
    ConfigurationError,
    EndPath,
    FinalPath,
    Path,
    Process,
    Sequence,
    Task,
    ignored,
    inverted,
)
from evproc.framework.loading import dump, load, results_hash
from evproc.framework.paths import Mark, parse
from tests.framework.core_toys import (
    Add,
    AddColumns,
    Divisible,
    DivisibleColumns,
    LaterFilter,
    Look,
    Write,
    faults_of,
    numbers,
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


def test_a_process_that_has_run_gets_no_tasks() -> None:
    """path.associate(task)     a process does not change once it has run."""
    process = process_of()
    process.task, process.path = Task(), Path()
    process.path.associate(process.task)
    process.run()
    with pytest.raises(ConfigurationError, match=r"path: cannot be changed: process 'P' has run"):
        process.path.associate(process.task)


def test_a_configuration_holds_paths_as_they_are_written(tmp_path: FilePath) -> None:
    """Marks, sequences, tasks and final paths survive in a dumped configuration; the hash does not see the groups."""
    process = process_of()
    process.two, process.three, process.p, process.a = Divisible(by=2), Divisible(by=3), Add(), Add(of=["p"])
    process.out = Write(select=["!path"])
    process.s = Sequence(~process.two, Sequence(ignored(process.three)))
    process.inner, process.task = Task(process.p), ConditionalTask(process.p)
    process.outer = Task(process.inner)
    process.path = Path(process.s, process.a, process.task)
    process.end, process.last = EndPath(process.outer), FinalPath(process.out)
    data = dump(process)
    lists = {key: data[key] for key in ("paths", "end_paths", "final_paths", "sequences", "tasks", "conditional_tasks")}
    assert lists == {
        "paths": {"path": ["s", "a", "task"]},
        "end_paths": {"end": ["outer"]},
        "final_paths": {"last": ["out"]},
        "sequences": {"s": ["~two", "ignored(three)"]},
        "tasks": {"inner": ["p"], "outer": ["inner"]},
        "conditional_tasks": {"task": ["p"]},
    }
    (tmp_path / "job.json").write_text(json.dumps(data))
    again = load(tmp_path / "job.json")
    assert dump(again) == data
    before = results_hash(process)
    assert results_hash(again) == before
    process.path = Path(~process.two, "ignored(three)", process.a, process.task)
    assert results_hash(process) == before
    process.path = Path(process.two, "ignored(three)", process.a, process.task)
    assert results_hash(process) != before


def test_an_unknown_member_in_a_configuration_is_named_with_the_nearest(tmp_path: FilePath) -> None:
    """Marks do not hide a typing error in a YAML file."""
    (tmp_path / "job.yaml").write_text(
        "process: P\nsequences: {chain: []}\npaths: {path: [~chian, ignored(zzz), chain]}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "job.yaml")
    assert [str(fault) for fault in caught.value.faults] == [
        "path: there is no module 'chian'; did you mean 'chain'?  [job.yaml:3]",
        "path: there is no module 'zzz'  [job.yaml:3]",
    ]


DIVISORS = {"two": 2, "three": 3, "five": 5}
MARKED = [f"{before}{label}{after}" for label in DIVISORS for before, after in (("", ""), ("~", ""), ("ignored(", ")"))]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.sampled_from([*MARKED, "a", "b"]), max_size=5), min_size=1, max_size=3),
    st.sampled_from(["path0", "!path0", "*", "!*"]),
    st.integers(1, 40),
    st.permutations([Divisible, DivisibleColumns, LaterFilter]),
)
def test_masks_are_what_a_walk_along_each_path_says(
    paths: list[list[str]], select: str, block: int, kinds: list[type]
) -> None:
    """Over random paths: who runs for which event, once, and what an output gets, are as if events went one by one."""
    process = process_of(block=block)
    for (label, by), kind in zip(DIVISORS.items(), kinds, strict=True):
        setattr(process, label, kind(by=by))
    process.a, process.b, process.out = Add(), AddColumns(), Write(select=[select])
    for number, members in enumerate(paths):
        setattr(process, f"path{number}", Path(*members))
    process.end = EndPath(process.out)
    report = process.run()
    ran: dict[str, set[int]] = {label: set() for label in ("a", "b", *DIVISORS)}
    passed: list[set[int]] = [set() for _ in paths]
    for number, members in enumerate(paths):
        for event in range(EVENTS):
            for text in members:
                member = parse(text)
                ran[member.label].add(event)
                yes = member.label not in DIVISORS or event % DIVISORS[member.label] == 0
                if member.mark is not Mark.IGNORED and yes is (member.mark is Mark.INVERTED):
                    break
            else:
                passed[number].add(event)
    for label in ran:
        if any(parse(text).label == label for members in paths for text in members):
            assert report.module(label).calls == len(ran[label])
    assert (sorted(process.a.seen), sorted(process.b.seen)) == (sorted(ran["a"]), sorted(ran["b"]))
    assert [path.passed for path in report.paths] == [len(events) for events in passed]
    some = passed[0] if "0" in select else set().union(*passed)
    assert process.out.events == [n for n in range(EVENTS) if (n in some) is not select.startswith("!")]
