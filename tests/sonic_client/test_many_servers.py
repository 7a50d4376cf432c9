"""Several servers for one model, and what is done when they fail, in whole jobs on fake servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework import ExceptionPolicy
from evproc.framework.errors import DeadlineExceeded, EventSkipped, RequestRejected, ServerUnavailable
from evproc.sonic_client import DefaultValue, FakeModel, FakeServer, OtherServer, SameServer, SkipEvent
from evproc.sonic_client.fake_faults import Crash, Never, Refuse, Reject, Unavailable
from tests.sonic_client.test_service import RIGHT, X, Y, double, faults_of, job

SMALL = FakeModel("double", [X], [Y], double, max_batch_size=2, latency=0.001)
DEFAULT = [(number, 7 if number % 10 else -1) for number in range(40)]


def test_a_server_that_dies_is_left_for_another() -> None:
    """A crash in the middle costs no event when another server has the model."""
    with FakeServer([SMALL], faults=[None, None, Crash()]) as one, FakeServer([SMALL]) as two:
        process = job(one, two)
        report = process.run()
        assert process.look.rows == RIGHT
        assert sum(request.outcome == "answered" for request in two.requests) > 50
    assert sum(entry["rows"] for entry in report.services["inference"]["models"]) == 180


def test_a_server_whose_circuit_is_open_is_not_asked() -> None:
    """A server that refuses everything gets few requests: its circuit opens after five failures."""
    with FakeServer([SMALL], faults=lambda _: Unavailable()) as one, FakeServer([SMALL]) as two:
        process = job(one, two, service={"in_flight": 1, "circuit": {"pause": 60.0}})
        process.run()
        assert process.look.rows == RIGHT
        assert len(one.requests) <= 8


def test_a_saturated_server_is_asked_again_later() -> None:
    """A server that has too much to do is not dead: requests are sent again beyond the number of tries."""
    script: list[Any] = [Refuse("RESOURCE_EXHAUSTED", "too busy")] * 6
    with FakeServer([SMALL], faults=script) as server:
        process = job(server, tries=1)
        process.run()
        assert process.look.rows == RIGHT


def test_patience_with_a_saturated_server_ends() -> None:
    """Without patience a saturated server's refusal is a failure like any other."""
    full = Refuse("UNAVAILABLE", "Exceeds maximum queue size")
    with FakeServer([SMALL], faults=lambda _: full) as server:
        process = job(server, tries=1, patience=0.0)
        with pytest.raises(ServerUnavailable, match="maximum queue size"):
            process.run()


@pytest.mark.parametrize("name", ["round_robin", "fastest", "least_outstanding"])
def test_every_balancing_gives_the_same_results(name: str) -> None:
    """How servers are chosen says nothing of results; all share the work."""
    with FakeServer([SMALL]) as one, FakeServer([SMALL]) as two:
        process = job(one, two, service={"balancing": name, "in_flight": 2})
        process.run()
        assert process.look.rows == RIGHT
        assert one.requests
        assert two.requests


def test_a_preferred_server_gets_all_requests_while_it_can() -> None:
    """`prefer` names the servers that are asked; others are there for when they fail."""
    with FakeServer([SMALL]) as one, FakeServer([SMALL], faults=[*[None] * 20, Crash()]) as two:
        process = job(one, two, prefer=[two.url])
        process.run()
        assert process.look.rows == RIGHT
        assert len(two.requests) >= 20
        assert one.requests[0].request_id != "double-1"


def test_a_default_value_stands_for_what_failed() -> None:
    """With `DefaultValue` at the end of the chain the job goes on, and the report counts the rows."""
    with FakeServer([SMALL], faults=lambda _: Unavailable()) as server:
        process = job(server, retry=[SameServer(tries=1, back_off=0.0), DefaultValue(value=7.0)])
        report = process.run()
        assert process.look.rows == DEFAULT
    assert report.services["inference"]["outcomes"]["double"]["defaulted_rows"] == 180


def test_a_default_value_is_not_for_wrong_requests() -> None:
    """A request that is refused as wrong is a fault of the workflow, unless the action says otherwise."""
    with FakeServer([SMALL], faults=lambda _: Reject()) as server:
        with pytest.raises(RequestRejected):
            job(server, retry=[DefaultValue(value=7.0)]).run()
        process = job(server, retry=[DefaultValue(value=7.0, rejected=True)])
        process.run()
        assert process.look.rows == DEFAULT


def test_a_default_value_that_cannot_be_is_a_fault() -> None:
    """An integer output cannot be NaN, and an output of variable extent has no default: found before the first event."""
    whole = FakeModel("double", [X], [type(Y)("y", np.dtype("i4"), (2,))], double)
    with FakeServer([whole]) as server:
        process = job(server, retry=[DefaultValue(value=float("nan"))])
        assert any("output 'y' is int32, which cannot be nan" in fault for fault in faults_of(process))


def test_events_are_skipped_by_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SkipEvent` gives the events to the exception policy; what shares no request with a failed one is there."""
    monkeypatch.chdir(tmp_path)
    with FakeServer([SMALL], faults=[None, Unavailable()]) as server:
        process = job(server, retry=[SkipEvent()])
        process.policy = ExceptionPolicy(try_to_continue=["EventSkipped"])
        report = process.run()
    seen = dict(process.look.rows)
    assert 0 < report.failed_events < 6
    assert {event.error for event in report.failed} == {"EventSkipped"}
    assert [(number, value) for number, value in RIGHT if number in seen] == process.look.rows
    assert len(seen) + report.failed_events == 40


def test_skipping_without_a_policy_is_a_fault() -> None:
    """`SkipEvent` in a process that has no policy for it would end the job: found before the first event."""
    with FakeServer([SMALL]) as server:
        found = faults_of(job(server, retry=[SkipEvent()]))
    assert any("ExceptionPolicy(try_to_continue=['EventSkipped'])" in fault for fault in found)


def test_the_deadline_holds_across_all_attempts() -> None:
    """However many tries are left, a request ends at its deadline."""
    with FakeServer([SMALL], faults=lambda _: Never()) as server:
        with pytest.raises(DeadlineExceeded):
            job(server, timeout=0.1, deadline=0.25, tries=100).run()
        assert len({request.request_id for request in server.requests}) * 5 >= len(server.requests)


def test_the_budget_of_retries_ends_a_hopeless_job() -> None:
    """When the job's retries are used up the next failure is final, and says so."""
    with FakeServer([SMALL], faults=lambda _: Unavailable()) as server:
        process = job(server, service={"retries": 3, "retry_share": 0.0}, tries=100)
        with pytest.raises(ServerUnavailable, match="budget of retries is used up"):
            process.run()


def test_an_outage_does_not_use_up_the_budget() -> None:
    """While the only server is away, nothing but a probe is sent now and then; when it is back, all goes on."""
    begin: list[float] = []

    def away(_: Any) -> Unavailable | None:
        begin.append(server.time)
        return Unavailable() if server.time < begin[0] + 1.0 else None

    with FakeServer([SMALL], faults=away) as server:
        process = job(server, service={"retries": 100, "retry_share": 0.0, "circuit": {"pause": 0.2}}, tries=60)
        process.run()
        assert process.look.rows == RIGHT
        assert 5 <= sum(request.fault is not None for request in server.requests) < 100


def test_late_requests_are_hedged() -> None:
    """With `hedge`, a request that gets no answer is answered by another server, long before its timeout."""
    with FakeServer([SMALL], faults=lambda _: Never()) as one, FakeServer([SMALL]) as two:
        process = job(one, two, timeout=60.0, hedge={"after": 0.02, "share": 1.0})
        report = process.run()
        assert process.look.rows == RIGHT
        one.wait_until(lambda fake: "open" not in fake.outcomes)
        assert set(one.outcomes) <= {"cancelled"}
    assert report.services["inference"]["outcomes"]["double"]["hedges_won"] >= 1


def test_a_chain_survives_a_dump() -> None:
    """A retry chain is configuration: it can be written as plain data and read again."""
    with FakeServer([SMALL]) as server:
        chain = [{"kind": "same_server", "tries": 1}, OtherServer(), {"kind": "default_value", "value": 7}]
        process = job(server, retry=chain)
        assert faults_of(process) == []
        kinds = [type(action).__name__ for action in process.double.config.client.retry]
    assert kinds == ["SameServer", "OtherServer", "DefaultValue"]
    assert EventSkipped.exit_code == 6
