"""What observers are told of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evproc.framework import InferenceError, Observer
from evproc.framework.testing import run_module
from evproc.modules import Tracer
from evproc.sonic_client.fake import FakeServer, Refuse, Unavailable
from evproc.sonic_client.producer import Client
from evproc.sonic_client.service import InferenceService
from tests.modules.test_tracer import checked
from tests.sonic_client.test_producer import CALIBRATE, JETS, Calibrated


class Requests(Observer):
    """Keeps what it is told of requests."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.begun: list[Any] = []
        self.ended: list[Any] = []

    def on_request_begin(self, request: Any) -> None:
        self.begun.append(request)

    def on_request_end(self, request: Any) -> None:
        self.ended.append(request)


def run(server: FakeServer, notes: Requests) -> list[Any]:
    services = [InferenceService(servers=[server.url]), notes]
    return run_module(Calibrated(client=Client(model="calibrate")), JETS, services=services)


def test_each_call_of_a_server_is_told_of() -> None:
    """Each request, and each time that it is sent again, begins and ends once, with server, model, rows and bytes."""
    notes = Requests()
    with FakeServer([CALIBRATE], faults=[Unavailable()]) as server:
        run(server, notes)
    assert [info.rows for info in sorted(notes.begun)] == [request.rows for request in server.requests]
    assert sorted(info.number for info in notes.ended) == list(range(1, len(notes.begun) + 1))
    assert {(info.server, info.model) for info in notes.ended} == {(server.url, "calibrate")}
    assert all(info.nbytes == 4 * info.rows and info.end > info.begin for info in notes.ended)
    failed = [info for info in notes.ended if info.error]
    assert [info.attempt for info in failed] == [1]
    assert "UNAVAILABLE" in failed[0].error
    again = [info for info in notes.ended if info.attempt == 2]
    assert [info.rows for info in again] == [info.rows for info in failed]


def test_a_request_that_fails_for_good_is_told_of() -> None:
    """Its end has the error, also when the job ends with it."""
    notes = Requests()
    with FakeServer([CALIBRATE], faults=lambda request: Refuse()) as server, pytest.raises(InferenceError):
        run(server, notes)
    assert len(notes.begun) == len(notes.ended)
    assert "scripted fault" in notes.ended[0].error


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_trace_holds_the_requests(block: int, tmp_path: Path) -> None:
    """Each server is a process of the trace, with a slice for each call of it; waits begin and end in pairs."""
    tracer = Tracer(file=str(tmp_path / "trace.json"))
    with FakeServer([CALIBRATE], faults=[Unavailable()]) as server:
        services = [InferenceService(servers=[server.url]), tracer]
        run_module(Calibrated(client=Client(model="calibrate")), JETS, services=services, block=block)
    events = checked(tmp_path / "trace.json")
    processes = {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}
    requests = [event for event in events if event.get("cat") == "request"]
    assert {event["pid"] for event in requests} == {processes[server.url]}
    assert [event["name"] for event in requests if "error" in event["args"]] == [
        f"calibrate: {server.requests[0].rows} rows (failed)"
    ]
    assert sum(event["args"]["rows"] for event in requests) == sum(request.rows for request in server.requests)
    waits = [event for event in events if event["ph"] == "b"]
    assert sum(event["args"]["events"] for event in waits) == len(JETS)
    assert all(event["dur"] > 0 for event in requests)
