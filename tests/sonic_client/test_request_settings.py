"""What goes with a request: its events, its priority, its deadlines."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from evproc.framework import Event, Path, Process
from evproc.framework.errors import DeadlineExceeded
from evproc.modules import ArraySource
from evproc.sonic_client import Client, InferenceProducer, InferenceService
from evproc.sonic_client.fake import FakeModel, FakeServer, Unavailable
from evproc.sonic_client.fake_faults import Never
from evproc.sonic_client.kserve import infer_request
from evproc.sonic_client.messages import service as messages
from evproc.sonic_client.tensors import TensorSpec

SPEC = TensorSpec("x", np.dtype("f4"), (1,))
MODEL = FakeModel("double", [SPEC], [replace(SPEC, name="y")], lambda inputs: {"y": 2 * inputs["x"]})


class Double(InferenceProducer):
    """Twice a number."""

    consumes = ("x",)
    model_inputs = {"x": "float32[1]"}
    model_outputs = {"y": "float32[1]"}
    produces = "float32"

    def acquire(self, event: Event) -> dict[str, Any]:
        return {"x": np.full((1, 1), event["x"], "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        return outputs["y"][0, 0]


def job(server: FakeServer, events: int = 20, block: int = 5, **client: Any) -> Process:
    """A job of some events."""
    process = Process("P", block=block, streams=1)
    process.source = ArraySource({"x": np.arange(events, dtype="f4")})
    process.inference = InferenceService(servers=[server.url])
    process.double = Double(client=Client(model="double", max_wait=0.0, **client))
    process.path = Path(process.double)
    return process


def test_request_ids_carry_the_events() -> None:
    """Each request names the first and the last event whose rows it has; together they are all events."""
    with FakeServer([MODEL]) as server:
        job(server).run()
        ids = [request.request_id for request in server.requests]
    words = [text.split(" ") for text in ids]
    assert [name for name, _ in words] == [f"double-{number}" for number in range(1, len(ids) + 1)]
    ranges = [[int(event.split(":")[2]) for event in events.split("-")] for _, events in words]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 19
    assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))


def test_priority_is_sent() -> None:
    """The priority of a client is a parameter of the request; without one nothing is said."""
    x = {"x": np.zeros((1, 1), "f4")}
    urgent = messages.ModelInferRequest.FromString(infer_request("m", "", x, ["y"], "7", 2))
    assert urgent.parameters["priority"].uint64_param == 2
    assert not messages.ModelInferRequest.FromString(infer_request("m", "", x, ["y"], "7")).parameters
    with FakeServer([MODEL]) as server:
        assert job(server, priority=3).run().events == 20


@pytest.mark.parametrize("setting", ["deadline", "event_deadline"])
def test_a_deadline_holds_across_all_attempts(setting: str) -> None:
    """Retries end when the deadline is over, however many are allowed; the server is told of the time that is left."""
    faults = [Unavailable(), Unavailable(), Never()]
    limit: dict[str, Any] = {setting: 1.0}
    with FakeServer([MODEL], faults=faults) as server:
        with pytest.raises(DeadlineExceeded):
            job(server, events=5, tries=100, timeout=60.0, **limit).run()
        left = [request.deadline for request in server.requests[:3]]
        assert all(one is not None and one < 1.5 for one in left)
        assert left == sorted(left, key=lambda one: -(one or 0))
