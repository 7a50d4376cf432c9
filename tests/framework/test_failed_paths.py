"""Failures on paths: where an event's way ends, what paths come to, and what outputs that select by that see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evproc.framework import EndPath, ExceptionPolicy, ExternalProducer, Path, Process
from tests.framework.core_toys import Add, Divisible, Look, Write, numbers
from tests.framework.failing_toys import FILTERS, PRODUCERS, Fails, FailsEvent

BLOCKS = (1, 7, 1000)
EVENTS = 40
BAD = [3, 4, 16, 17]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", PRODUCERS)
def test_try_to_continue_on_paths(kind: type[Fails], block: int) -> None:
    """What depends on the failed module, or comes behind it on its path, does not run; a marked module does, and all else.

    The paths that hold it are exceptions, and outputs may select these.
    """
    process = Process("PATHS", block=block)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], call_anyway=["marked"])
    process.source = numbers(EVENTS, chunk=17)
    process.bad = kind(on=BAD)
    process.dependent = Add(of=["bad"])
    process.behind = Add()
    process.marked = Add()
    process.independent = Add()
    process.looks = Look(of=["behind"])
    process.sees_marked = Look(of=["marked"])
    process.with_it = Path(process.bad, process.behind, process.marked)
    process.through_it = Path(process.dependent)
    process.without_it = Path(process.independent)
    process.all_events = Write()
    process.good = Write(of=["dependent"], select=["with_it"])
    process.exceptions = Write(select=["exception@with_it"])
    process.others = Write(of=["independent"], select=["without_it"])
    process.end = EndPath(
        process.looks, process.sees_marked, process.all_events, process.good, process.exceptions, process.others
    )
    report = process.run()
    good = [event for event in range(EVENTS) if event not in BAD]
    assert {path.label: (path.passed, path.exceptions) for path in report.paths} == {
        "with_it": (len(good), len(BAD)),
        "through_it": (len(good), len(BAD)),
        "without_it": (EVENTS, 0),
    }
    assert process.good.events == good
    early = issubclass(kind, ExternalProducer)  # what does not read the answers may run before they are there
    # in threads, blocks overtake each other
    in_order: Callable[[list[int]], list[int]] = sorted if kind.threaded else list
    assert process.looks.events == in_order(process.behind.seen) == ([*range(EVENTS)] if early else good)
    assert process.exceptions.events == BAD
    assert process.all_events.events == process.others.events == process.sees_marked.events == [*range(EVENTS)]
    assert in_order(process.marked.seen) == in_order(process.independent.seen) == [*range(EVENTS)]
    assert report.failed_events == len(BAD)


@pytest.mark.parametrize("block", BLOCKS)
def test_who_reads_what_stands_behind_a_failure_does_not_run(block: int) -> None:
    """A module that an event did not come to, because of a failure, has no product to read; its readers are left out."""
    process = Process("PATHS", block=block)
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"])
    process.source = numbers(EVENTS, chunk=17)
    process.bad = FailsEvent(on=BAD)
    process.passes = Divisible(by=1)
    process.made = Add()
    process.also = Add()
    process.look = Look(of=["made"])
    process.look_also = Look(of=["also"])
    process.path = Path(process.bad, process.passes, process.made, process.also)
    process.other = Path(process.also)
    process.end = EndPath(process.look, process.look_also)
    report = process.run()
    assert process.look.events == [event for event in range(EVENTS) if event not in BAD]
    assert process.look_also.events == sorted(process.also.seen) == [*range(EVENTS)]
    assert report.module("made").not_run == report.module("look").not_run == len(BAD)
    assert report.module("also").not_run == 0


@st.composite
def jobs(draw: st.DrawFn) -> tuple[list[tuple[type[Fails], list[str], list[int]]], list[list[str]]]:
    """Modules of all kinds, and paths that hold some of them."""
    modules: list[tuple[type[Fails], list[str], list[int]]] = []
    for _ in range(draw(st.integers(2, 6))):
        makers = ["x", *(f"m{other}" for other, (kind, _, _) in enumerate(modules) if kind in PRODUCERS)]
        inputs = draw(st.lists(st.sampled_from(makers), min_size=1, max_size=2, unique=True))
        on = draw(st.lists(st.integers(0, EVENTS - 1), max_size=6, unique=True))
        modules.append((draw(st.sampled_from([*PRODUCERS, *FILTERS])), inputs, sorted(on)))
    labels = [f"m{number}" for number in range(len(modules))]
    paths = draw(st.lists(st.lists(st.sampled_from(labels), unique=True, min_size=1), min_size=1, max_size=3))
    return modules, [sorted(path) for path in paths]


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs())
def test_what_failures_do_does_not_depend_on_blocks(
    job: tuple[list[tuple[type[Fails], list[str], list[int]]], list[list[str]]],
) -> None:
    """Over random paths and failures: what modules see, what paths come to, and what has failed is the same whatever the
    size of blocks, the number of streams and the budget of work in flight."""
    modules, paths = job
    results: list[Any] = []
    choices: tuple[dict[str, Any], ...] = (
        {"block": 1, "streams": 1},
        {"block": 7, "streams": 16},
        {"block": 1000, "streams": 1},
        {"block": 1000, "in_flight": 1e-6},
    )
    for options in choices:
        process = Process("RANDOM", **options)
        process.policy = ExceptionPolicy(try_to_continue=["Exception"])
        process.source = numbers(EVENTS, chunk=17)
        made = []
        for number, (kind, inputs, on) in enumerate(modules):
            label = f"m{number}"
            setattr(process, label, kind(of=inputs, on=on))
            if kind in PRODUCERS:
                look = Look(of=[label])
                setattr(process, f"look_{label}", look)
                made.append(look)
        for number, path in enumerate(paths):
            setattr(process, f"path{number}", Path(*path))
        chosen = [Write(select=[entry]) for entry in ("path0", "!path0", "exception@path0")]
        for number, out in enumerate(chosen):
            setattr(process, f"out{number}", out)
        process.end = EndPath(*made, *chosen)
        report = process.run()
        results.append(
            (
                [look.rows for look in made],
                [out.events for out in chosen],
                [(event.event, event.module, event.error) for event in report.failed],
                [(path.label, path.passed, path.failed, path.exceptions) for path in report.paths],
                [(module.label, module.failed, module.not_run, module.passed) for module in report.modules],
            )
        )
        assert sorted(event for out in chosen for event in out.events) == [*range(EVENTS)]
        failed = {event for event, _, _ in results[-1][2]}
        for look in made:
            missing = set(range(EVENTS)) - set(look.events)
            rejected = set().union(*(set(out.events) for out in chosen[1:]))
            assert missing <= failed | rejected
    assert all(result == results[0] for result in results)
