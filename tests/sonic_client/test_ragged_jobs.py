"""Jobs with ragged and batchless models beside plain ones: results never depend on how rows travelled, and few requests do."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from evproc.framework import EndPath, Event, ExceptionPolicy, Process, Report
from evproc.framework.errors import ModelContractError
from evproc.framework.testing import EventSource
from evproc.sonic_client.fake import Delay, FakeModel, FakeServer, Fault, Received, Reject, Unavailable
from evproc.sonic_client.producer import Client, InferenceProducer
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import TensorSpec
from tests.framework.core_toys import Look

F4, I8 = np.dtype("f4"), np.dtype("i8")
EVENTS = 120


def ragged(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Elementwise, so exact whatever the batch."""
    x = inputs["x"]
    return {"y": np.sqrt(x) * np.float32(1.7), "n": np.full((len(x), 1), x.shape[1])}


def single(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Of one event."""
    x = inputs["x"]
    return {"y": np.cumsum(x, dtype="f4"), "n": np.array([len(x)])}


OUTPUTS = [TensorSpec("y", F4, (-1,)), TensorSpec("n", I8, (1,))]
MODELS = [
    FakeModel("ragged", [TensorSpec("x", F4, (-1,))], OUTPUTS, ragged, max_batch_size=9),
    FakeModel("single", [TensorSpec("x", F4, (-1,))], OUTPUTS, single, max_batch_size=0),
]


def lengths(number: int) -> list[int]:
    """Of the rows of an event: 0 to 5 rows of 0 to 3 numbers."""
    chance = random.Random(number)
    return [chance.randrange(4) for _ in range(chance.randrange(6))]


class Rows(InferenceProducer):
    """All that came for rows of different lengths."""

    consumes = ("number",)
    produces = "object"

    def acquire(self, event: Event) -> Any:
        number = int(event["number"])
        return {"x": [np.arange(place, place + n, dtype="f4") for place, n in enumerate(lengths(number))]}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        shape = outputs["n"].shape
        return [array.tobytes() for array in outputs["y"]], outputs["n"].tobytes(), shape


class Even(Rows):
    """Rows of an event as an array: all of one length, which is another in another event."""

    def acquire(self, event: Event) -> Any:
        number = int(event["number"])
        return {"x": np.full((number % 3, number % 4), number, "f4")}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return outputs["y"].shape, outputs["y"].tobytes(), outputs["n"].tobytes()


class Whole(Even):
    """One tensor of an event."""

    def acquire(self, event: Event) -> Any:
        return {"x": np.arange(int(event["number"]) % 5, dtype="f4")}


def late(seed: int) -> Any:
    """Answers in another order than the requests; a few must be sent again."""
    chance = random.Random(seed)

    def fault(request: Received) -> Fault | None:
        drawn = chance.random()
        return Unavailable() if drawn < 0.01 else Delay(0.003 * drawn) if drawn < 0.5 else None

    return fault


def outcome(server: FakeServer, *, coalesce: bool = True, **options: Any) -> tuple[str, Report]:
    """Run the job; the digest of all products, in their order."""
    process = Process("P", **options)
    process.source = EventSource([{"number": number} for number in range(EVENTS)], chunk=50)
    process.inference = InferenceService(servers=[server.url])
    process.rows = Rows(client=Client(model="ragged", coalesce=coalesce))
    process.graphs = Rows(client=Client(model="single", coalesce=coalesce))
    process.even = Even(client=Client(model="ragged", coalesce=coalesce))
    process.whole = Whole(client=Client(model="single", coalesce=coalesce))
    process.look = Look(of=["rows", "graphs", "even", "whole"])
    process.end = EndPath(process.look)
    report = process.run()
    assert len(process.look.rows) == EVENTS
    return hashlib.sha256(repr(process.look.rows).encode()).hexdigest(), report


@pytest.fixture(scope="module")
def reference() -> str:
    """The products with whole chunks, one stream, and answers in order."""
    with FakeServer(MODELS) as server:
        return outcome(server, streams=1, block=1000)[0]


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_results_are_the_same_bit_by_bit(reference: str, block: int, coalesce: bool) -> None:
    """For blocks of 1, 7 and 1,000, batching on and off, answers late and out of order: the same bits and shapes."""
    with FakeServer(MODELS, faults=late(block)) as server:
        assert outcome(server, coalesce=coalesce, block=block, streams=8)[0] == reference


def test_rows_of_all_modules_and_events_share_requests() -> None:
    """Rows of one length travel together, whichever module and event they belong to; none is padded, none sent twice."""
    with FakeServer(MODELS) as server:
        _, report = outcome(server, streams=8, block=50)
        sent = {
            name: [request.rows for request in server.requests if request.model == name]
            for name in ("ragged", "single")
        }
    rows = sum(len(lengths(number)) for number in range(EVENTS))
    even = sum(number % 3 for number in range(EVENTS))
    assert sum(sent["ragged"]) == rows + even
    assert max(sent["ragged"]) <= 9
    assert len(sent["ragged"]) < (rows + even) / 2
    assert set(sent["single"]) == {1}
    reported = {entry["model"]: entry for entry in report.services["inference"]["models"]}
    assert reported["ragged"]["rows"] == rows + even
    assert reported["ragged"]["requests"] == len(sent["ragged"])
    assert reported["single"]["rows_per_request"] == 1.0


class Bad(Rows):
    """A row of the wrong type in some events."""

    def acquire(self, event: Event) -> Any:
        made = super().acquire(event)
        if event["number"] in (3, 40):
            made["x"].append(np.zeros(2))
        return made


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("model", ["ragged", "single"])
def test_a_row_that_does_not_fit_is_its_event_s_fault(model: str, block: int, tmp_path: Any, monkeypatch: Any) -> None:
    """The event is named with the row; in a job that goes on, just these events fail."""
    monkeypatch.chdir(tmp_path)
    for policy in (None, ExceptionPolicy(try_to_continue=["InferenceError"])):
        with FakeServer(MODELS) as server:
            process = Process("P", block=block)
            process.source = EventSource([{"number": number} for number in range(60)])
            process.inference = InferenceService(servers=[server.url])
            process.bad = Bad(client=Client(model=model))
            process.look = Look(of=["bad"])
            process.end = EndPath(process.look)
            if policy is None:
                words = rf"event 3 .*row {len(lengths(3))} of input 'x' should be float32, not float64"
                with pytest.raises(ModelContractError, match=words):
                    process.run()
            else:
                process.policy = policy
                assert [event.event for event in process.run().failed] == [3, 40]


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize("model", ["ragged", "single"])
def test_just_the_refused_events_fail(model: str, block: int, tmp_path: Any, monkeypatch: Any) -> None:
    """A request that is refused for the sake of one row fails the events of that row, not those that shared it."""
    monkeypatch.chdir(tmp_path)
    refused = [number for number in range(60) if lengths(number)[3:4] == [3]]
    assert len(refused) > 2

    def refuse(request: Received) -> Fault | None:
        x = np.atleast_2d(request.inputs["x"])
        return Reject() if x.shape[1] == 3 and (x == [3, 4, 5]).all(axis=1).any() else None

    with FakeServer(MODELS, faults=refuse, keep_inputs=True) as server:
        process = Process("P", block=block)
        process.source = EventSource([{"number": number} for number in range(60)])
        process.inference = InferenceService(servers=[server.url])
        process.rows = Rows(client=Client(model=model))
        process.policy = ExceptionPolicy(try_to_continue=["InferenceError"])
        process.look = Look(of=["rows"])
        process.end = EndPath(process.look)
        report = process.run()
    assert [event.event for event in report.failed] == refused
    assert [row[0] for row in process.look.rows] == [number for number in range(60) if number not in refused]
