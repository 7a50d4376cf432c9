"""Inference that fails for some events: which events these are does not depend on who shared a request with whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import EndPath, Event, ExceptionPolicy, Path, Process, Report
from evproc.framework.errors import InferenceError
from evproc.framework.testing import EventSource
from evproc.sonic_client.fake import FakeModel, FakeServer, Fault, Received, Refuse, Reject, WrongShape
from evproc.sonic_client.producer import Client, InferenceFilter, InferenceProducer
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import TensorSpec
from tests.framework.core_toys import Look

F4 = np.dtype("f4")
EVENTS = 60
BAD = [0, 7, 8, 31, 59]
MODEL = FakeModel(
    "double", [TensorSpec("x", F4, ())], [TensorSpec("y", F4, ())], lambda inputs: {"y": 2 * inputs["x"]}, 16
)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Doubled(InferenceProducer):
    """Twice the number of the event, as often as its last digit says."""

    model_inputs = {"x": "float32"}
    model_outputs = {"y": "float32"}
    produces = "var * float32"
    consumes = ("x", "y")

    def acquire(self, event: Event) -> Any:
        return {"x": np.full(len(event["y"]) + 1, event["x"], np.float32)}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return outputs["y"]


class BadTensor(Doubled):
    """Makes a tensor of the wrong type for some events."""

    def acquire(self, event: Event) -> Any:
        made = super().acquire(event)
        return {"x": made["x"].astype(str)} if event["x"] in BAD else made


class Low(InferenceFilter):
    """Events whose doubled number is below 50."""

    model_inputs = {"x": "float32"}
    model_outputs = {"y": "float32"}
    consumes = ("x",)

    def acquire(self, event: Event) -> Any:
        return {"x": np.full(1, event["x"], np.float32)}

    def filter(self, event: Event, outputs: Mapping[str, Any]) -> bool:
        return bool(outputs["y"][0] < 50)


def misfortune(fault: Fault) -> Callable[[Received], Fault | None]:
    """A fault for each request that holds a row of a bad event."""
    return lambda request: fault if set(request.inputs["x"].tolist()) & set(BAD) else None


def run(module: Any, server: FakeServer, **options: Any) -> tuple[Report, list[tuple[Any, ...]]]:
    process = Process("DOUBLE", **options)
    columns = {"x": np.arange(EVENTS), "y": [np.zeros(number % 10) for number in range(EVENTS)]}
    process.source = EventSource(columns, chunk=23)
    process.inference = InferenceService(servers=[server.url])
    process.policy = ExceptionPolicy(try_to_continue=["InferenceError"])
    process.module = module
    process.look = Look(of=["module"] if isinstance(module, Doubled) else ["x"])
    process.end = EndPath(module, process.look)
    return process.run(), process.look.rows


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("fault", [Reject(), WrongShape()])
def test_just_the_refused_events_fail(fault: Fault, block: int, coalesce: bool) -> None:
    """Where a request is refused for the sake of one event, the others are asked again, and have their products."""
    with FakeServer([MODEL], faults=misfortune(fault), keep_inputs=True) as server:
        report, rows = run(Doubled(client=Client(model="double", coalesce=coalesce)), server, block=block)
    assert [(event, value.tolist()) for event, value in rows] == [
        (event, [2.0 * event] * (event % 10 + 1)) for event in range(EVENTS) if event not in BAD
    ]
    assert [event.event for event in report.failed] == BAD


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_events_with_wrong_tensors_fail_alone(block: int) -> None:
    """A tensor that does not fit the model is its own event's failure."""
    with FakeServer([MODEL]) as server:
        report, rows = run(BadTensor(client=Client(model="double")), server, block=block)
    assert [event for event, _ in rows] == [event for event in range(EVENTS) if event not in BAD]
    assert [(event.event, event.error) for event in report.failed] == [(event, "ModelContractError") for event in BAD]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_filter_by_inference_rejects_what_fails(block: int) -> None:
    """An inference filter whose request is refused lets the event not pass."""
    with FakeServer([MODEL], faults=misfortune(Reject()), keep_inputs=True) as server:
        process = Process("LOW", block=block)
        process.source = EventSource({"x": np.arange(EVENTS)})
        process.inference = InferenceService(servers=[server.url])
        process.policy = ExceptionPolicy(try_to_continue=["RequestRejected"])
        process.low = Low(client=Client(model="double"))
        process.look = Look()
        process.path = Path(process.low, process.look)
        report = process.run()
    assert process.look.events == [event for event in range(25) if event not in BAD]
    assert report.module("low").failed == len(BAD)


def test_a_server_that_fails_everything_fails_every_event_once() -> None:
    """Where it is nobody's fault, nothing is asked again for the events, beyond the client's own tries."""
    fault = Refuse("UNAVAILABLE")
    with FakeServer([MODEL], faults=lambda _: fault) as server:
        report, rows = run(Doubled(client=Client(model="double", tries=1)), server, block=1000)
        asked = sum(request.rows for request in server.requests)
    assert rows == []
    assert report.failed_events == EVENTS
    assert asked <= sum(number % 10 + 1 for number in range(EVENTS))


def test_without_the_policy_the_first_refusal_ends_the_job() -> None:
    """An error of inference that is not to be continued after names its event, also when it shared a request."""
    with FakeServer([MODEL], faults=misfortune(Reject()), keep_inputs=True) as server:
        process = Process("DOUBLE")
        process.source = EventSource({"x": np.arange(EVENTS), "y": [np.zeros(0)] * EVENTS})
        process.inference = InferenceService(servers=[server.url])
        process.module = Doubled(client=Client(model="double"))
        process.look = Look(of=["module"])
        process.end = EndPath(process.look)
        with pytest.raises(InferenceError, match="module 'module'"):
            process.run()
