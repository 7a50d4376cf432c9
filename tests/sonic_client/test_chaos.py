"""Whole jobs on servers that are killed, stopped, or misbehave: the scenarios of `python -m benchmarks.chaos`, small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chaos_job import MODEL, make, run
from benchmarks.chaos_scenarios import FAKE, NAMED, REAL, Scenario, another_version, growth, unavailable
from evproc.framework.errors import RequestRejected
from evproc.sonic_client.testing import FakeProcess, FakeServer

EVENTS = 240


@pytest.mark.parametrize("scenario", FAKE.values(), ids=FAKE)
def test_survived_on_fake_servers(scenario: Scenario, tmp_path: Path) -> None:
    """Every event comes out once, in order, with the value that it has without faults."""
    outcome = scenario(EVENTS, tmp_path)
    assert outcome.error is None
    assert (outcome.lost, outcome.twice, outcome.wrong, outcome.failed) == ([], [], [], [])
    assert outcome.clean


@pytest.mark.parametrize("scenario", REAL.values(), ids=REAL)
def test_survived_on_real_tritons(triton_wheel: Path, scenario: Scenario, tmp_path: Path) -> None:
    """The same with real servers that are killed or stopped under load."""
    outcome = scenario(EVENTS, tmp_path)
    assert outcome.error is None
    assert (outcome.lost, outcome.twice, outcome.wrong, outcome.failed) == ([], [], [], [])
    assert outcome.clean


@pytest.mark.parametrize("scenario", NAMED.values(), ids=NAMED)
def test_what_cannot_be_survived_is_named(scenario: Scenario, tmp_path: Path) -> None:
    """Events whose answers are broken are named as failed; all others come out as without the fault."""
    outcome = scenario(EVENTS, tmp_path)
    assert outcome.clean
    assert len(outcome.failed) + len(outcome.rows) == EVENTS


def test_unavailable_for_a_time(tmp_path: Path) -> None:
    """The only server refuses everything for a second: the job waits, and nothing is lost."""
    assert unavailable(1.0, EVENTS, tmp_path).clean


def test_another_version_is_not_taken_for_the_one_asked_for(triton_wheel: Path, tmp_path: Path) -> None:
    """A server that comes back with another version ends a job that asked for the first; no event gets the other's value."""
    outcome = another_version(EVENTS, tmp_path)
    assert isinstance(outcome.error, RequestRejected)
    assert "version 1" in str(outcome.error)
    assert outcome.wrong == []
    assert 0 < len(outcome.rows) < EVENTS


def test_memory_and_descriptors_of_many_requests(tmp_path: Path) -> None:
    """Neither grows over a few thousand requests, of an event each."""
    outcome = growth(3000, EVENTS, tmp_path)
    assert outcome.clean


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_do_not_matter(tmp_path: Path, block: int) -> None:
    """A server that is killed and started again costs nothing, whatever the size of blocks."""
    with FakeProcess(make) as server:

        def kill() -> None:
            server.kill()
            server.restart()

        assert run([server.url], 150, {40: kill}, block=block).clean


def test_the_outcome_sees_what_is_wrong() -> None:
    """A job whose server computes wrongly, or that loses or doubles events, is not called clean."""
    with FakeServer([replace(MODEL, function=lambda inputs: {"y": 3 * inputs["x"]})]) as server:
        outcome = run([server.url], 20)
    assert not outcome.clean
    assert len(outcome.wrong) == 15
    outcome.rows = [(number, 2.0 * number if number % 4 else -1.0) for number in range(20)]
    assert outcome.clean
    outcome.rows = [*outcome.rows[:5], outcome.rows[4], *outcome.rows[6:]]
    assert (outcome.lost, outcome.twice, outcome.clean) == ([5], [4], False)
