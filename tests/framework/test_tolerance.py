"""Going on behind failed events: what depends on a failed module does not run, all else does, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evproc.framework import EndPath, ExceptionPolicy, Path, Process, Report
from tests.framework.core_toys import Add, Look, numbers
from tests.framework.failing_toys import FILTERS, PRODUCERS, Fails, FailsEvent

BLOCKS = (1, 7, 1000)
EVENTS = 40


def failed_of(file: FilePath) -> list[tuple[int, str]]:
    """(event, module) of each line of a file of failed events."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [(line["event"], line["module"]) for line in lines[1:]]


def run_one(module: Fails, folder: FilePath, **options: Any) -> tuple[Report, dict[str, list[int]], FilePath]:
    """A module, one behind it, and one beside it; returns the report and the events that each was seen for."""
    process = Process("FAILS", **options)
    file = folder / "failed.jsonl"
    process.policy = ExceptionPolicy(try_to_continue=["ValueError"], failed_events=str(file))
    process.source = numbers(EVENTS, chunk=17)
    process.bad = module
    process.behind = Add(of=["bad"])
    process.far = Add(of=["behind", "x"])
    process.beside = Add(of=["x"])
    looks = {name: Look(of=[name]) for name in ("bad", "behind", "far", "beside")}
    for name, look in looks.items():
        setattr(process, f"look_{name}", look)
    process.end = EndPath(*looks.values())
    report = process.run()
    assert looks["bad"].rows == [(number, number) for number in looks["bad"].events]
    return report, {name: look.events for name, look in looks.items()}, file


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", PRODUCERS)
def test_what_depends_on_a_failed_producer_does_not_run_and_all_else_does(
    kind: type[Fails], block: int, tmp_path: FilePath
) -> None:
    """Events that fail are given up by the modules behind the failed one, by no others; in whichever way it fails."""
    bad = [0, 3, 4, 16, 17, 39]
    report, seen, file = run_one(kind(on=bad), tmp_path, block=block)
    good = [number for number in range(EVENTS) if number not in bad]
    assert seen == {"bad": good, "behind": good, "far": good, "beside": [*range(EVENTS)]}
    assert failed_of(file) == [(number, "bad") for number in bad]
    assert report.events == EVENTS
    assert report.failed_events == len(bad)
    assert report.module("bad").failed == len(bad)
    assert report.module("bad").calls == EVENTS
    assert report.module("behind").not_run == report.module("far").not_run == len(bad)
    assert [(one.module, one.error, one.action, one.events) for one in report.failures] == [
        ("bad", "ValueError", "try_to_continue", len(bad))
    ]
    assert "oops 0" in report.failures[0].first


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", PRODUCERS)
def test_all_events_may_fail(kind: type[Fails], block: int, tmp_path: FilePath) -> None:
    """A job all of whose events fail ends well, with every event in its file."""
    report, seen, file = run_one(kind(on=[*range(EVENTS)]), tmp_path, block=block)
    assert seen == {"bad": [], "behind": [], "far": [], "beside": [*range(EVENTS)]}
    assert failed_of(file) == [(number, "bad") for number in range(EVENTS)]
    assert report.failed_events == EVENTS


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", FILTERS)
def test_a_failed_filter_lets_nothing_pass(kind: type[Fails], block: int, tmp_path: FilePath) -> None:
    """An event on which a filter fails does not go on along its path; one whose failure is ignored does."""
    bad = [0, 1, 16, 17, 38, 39]
    for action, passed in (
        ("try_to_continue", [number for number in range(0, EVENTS, 2) if number not in bad]),
        ("ignore", sorted({*range(0, EVENTS, 2), *bad})),
    ):
        process = Process("FAILS", block=block)
        file = tmp_path / f"{action}.jsonl"
        process.policy = ExceptionPolicy(**{action: ["ValueError"]}, failed_events=str(file))
        process.source = numbers(EVENTS, chunk=17)
        process.bad = kind(on=bad)
        process.look = Look()
        process.path = Path(process.bad, process.look)
        report = process.run()
        assert process.look.events == passed
        assert report.module("bad").passed == len(passed)
        assert report.module("bad").calls == EVENTS
        assert failed_of(file) == ([(number, "bad") for number in bad] if action == "try_to_continue" else [])
        assert (report.module("bad").failed, report.module("bad").ignored) == (
            (len(bad), 0) if action == "try_to_continue" else (0, len(bad))
        )


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[type[Fails], list[str], list[int]]]:
    """Producers, each with inputs among those before it and events that it fails on."""
    modules = []
    for number in range(draw(st.integers(1, 5))):
        before = ["x", *(f"m{other}" for other in range(number))]
        inputs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        on = draw(st.lists(st.integers(0, EVENTS - 1), max_size=6, unique=True))
        modules.append((draw(st.sampled_from(PRODUCERS)), inputs, sorted(on)))
    return modules


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs())
def test_each_event_is_complete_or_in_the_file(
    tmp_path: FilePath, graph: list[tuple[type[Fails], list[str], list[int]]]
) -> None:
    """Over random graphs and failures: what runs for which event follows from who reads whom, whatever the blocks."""
    bad: dict[str, set[int]] = {"x": set()}
    failed: list[tuple[int, str]] = []
    for number, (_, inputs, on) in enumerate(graph):
        harmed = set().union(*(bad[name] for name in inputs))
        failed += [(event, f"m{number}") for event in on if event not in harmed]
        bad[f"m{number}"] = harmed | set(on)
    for block, streams in ((1, 1), (7, 16), (1000, 1), (1000, 16)):
        file = tmp_path / "failed.jsonl"
        process = Process("GRAPH", block=block, streams=streams)
        process.policy = ExceptionPolicy(try_to_continue=["Exception"], failed_events=str(file))
        process.source = numbers(EVENTS, chunk=17)
        looks = []
        for number, (kind, inputs, on) in enumerate(graph):
            setattr(process, f"m{number}", kind(of=inputs, on=on))
            look = Look(of=[f"m{number}"])
            setattr(process, f"look{number}", look)
            looks.append(look)
        process.end = EndPath(*looks)
        report = process.run()
        for number, look in enumerate(looks):
            assert look.events == [event for event in range(EVENTS) if event not in bad[f"m{number}"]]
        assert sorted(failed_of(file)) == sorted(failed)
        assert [event for event, _ in failed_of(file)] == sorted(event for event, _ in failed)
        assert report.failed_events == len({event for event, _ in failed})


def test_without_a_policy_the_first_failure_ends_the_job() -> None:
    """An error of a module that no rule names ends the job."""
    from evproc.framework import ModuleError

    for policy in (None, ExceptionPolicy(try_to_continue=["KeyError"]), ExceptionPolicy()):
        process = Process("FAILS")
        process.source = numbers(EVENTS)
        process.bad = FailsEvent(on=[5])
        process.look = Look(of=["bad"])
        process.end = EndPath(process.look)
        if policy is not None:
            policy.set(failed_events="")
            process.policy = policy
        with pytest.raises(ModuleError, match=r"module 'bad' .* event 5 .*oops 5"):
            process.run()
