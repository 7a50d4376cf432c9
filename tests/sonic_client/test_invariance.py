"""The invariant: results never depend on blocks, streams, budgets, batching, or the order of answers. Bit by bit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from evproc.framework import Analyzer, Columns, EndPath, Event, Filter, InputTag, Path, Process, Producer
from evproc.framework.testing import EventSource
from evproc.sonic_client.fake import Delay, FakeModel, FakeServer, Fault, Received, Unavailable
from evproc.sonic_client.producer import Client, InferenceFilter, InferenceProducer
from evproc.sonic_client.service import InferenceService
from evproc.sonic_client.tensors import TensorSpec

EVENTS = 200
F4 = np.dtype("f4")


def sample() -> dict[str, Any]:
    """Events with 0 to 9 jets, many without any."""
    generator = np.random.default_rng(5)
    counts = generator.poisson(2.0, EVENTS) * (generator.random(EVENTS) < 0.8)
    return {
        "Jet_pt": [generator.exponential(40.0, count).astype("f4") for count in counts],
        "Jet_eta": [generator.normal(size=count).astype("f4") for count in counts],
        "met": generator.exponential(30.0, EVENTS).astype("f4"),
    }


def rowwise(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A function of each row alone, exact to the bit whatever the batch: elementwise operations of NumPy only."""
    x = inputs["x"]
    return {"y": np.stack([x[:, 0] * np.float32(1.7) + x[:, 1], np.sqrt(np.abs(x[:, 1]))], axis=1)}


MODELS = [
    FakeModel("scores", [TensorSpec("x", F4, (2,))], [TensorSpec("y", F4, (2,))], rowwise, max_batch_size=33),
    FakeModel("event", [TensorSpec("x", F4, (2,))], [TensorSpec("y", F4, (2,))], rowwise, max_batch_size=500),
]


class JetScores(InferenceProducer):
    """Two scores for each jet."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[2]"}
    produces = {"score": "var * float32", "other": "var * float32"}
    consumes = ("Jet_pt", "Jet_eta")

    def acquire(self, event: Event) -> Any:
        return {"x": np.stack([event["Jet_pt"], event["Jet_eta"]], axis=1)}

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return {"score": outputs["y"][:, 0], "other": outputs["y"][:, 1] + event["Jet_pt"]}


class EventScore(InferenceFilter):
    """Whether the event's score is high; behind the scores of its jets."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[2]"}
    consumes = ("best", "met")

    def acquire(self, event: Event) -> Any:
        return {"x": np.array([[event["best"], event["met"]]], np.float32)}

    def filter(self, event: Event, outputs: Mapping[str, Any]) -> bool:
        return bool(outputs["y"][0, 0] > 150.0)


class HasJets(Filter):
    """Events with a jet, by columns."""

    consumes = ("Jet_pt",)

    def filter_columns(self, columns: Columns) -> Any:
        return np.diff(columns.jagged("Jet_pt")[0]) > 0


class Best(Producer):
    """The largest score of the event."""

    produces = "float32"
    consumes = ("jets:score",)

    def produce(self, event: Event) -> Any:
        return event["jets:score"].max()


class Ratio(Producer):
    """Score over momentum of each jet, by columns."""

    produces = "var * float32"
    consumes = ("jets:other", "Jet_pt")

    def produce_columns(self, columns: Columns) -> Any:
        return columns["jets:other"] / columns["Jet_pt"]


class Digest(Analyzer):
    """Every bit of its inputs for every event that it sees, in order."""

    class Config(Analyzer.Config):
        of: list[InputTag]

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.hash = hashlib.sha256()
        self.events: list[int] = []

    def analyze(self, event: Event) -> None:
        self.events.append(event.id.event)
        for tag in self.config.of:
            value = np.asarray(event[tag])
            self.hash.update(f"{event.id} {tag} {value.shape} {value.dtype}".encode())
            self.hash.update(value.tobytes())


def outcome(server: FakeServer, *, coalesce: bool, **options: Any) -> tuple[Any, ...]:
    """Run the job, and give all of its results."""
    process = Process("P", **options)
    process.source = EventSource(sample(), chunk=210)
    process.inference = InferenceService(servers=[server.url])
    process.jets = JetScores(client=Client(model="scores", coalesce=coalesce))
    process.some, process.best, process.ratio = HasJets(), Best(), Ratio()
    process.high = EventScore(client=Client(model="event", coalesce=coalesce, max_rows=70))
    process.seen = Digest(of=["jets:score", "jets:other", "ratio"])
    process.kept = Digest(of=["best", "ratio", "met"])
    process.path = Path(process.some, process.high, process.kept)
    process.end = EndPath(process.seen)
    report = process.run()
    assert report.events == EVENTS
    return (
        process.seen.hash.hexdigest(),
        process.kept.hash.hexdigest(),
        process.seen.events,
        process.kept.events,
        [(path.label, path.events, path.passed) for path in report.paths],
        [(module.label, module.calls, module.passed) for module in report.modules],
    )


def late(seed: int) -> Any:
    """Answers late by random times, in another order than the requests; a few must be sent again."""
    chance = random.Random(seed)

    def fault(request: Received) -> Fault | None:
        drawn = chance.random()
        return Unavailable() if drawn < 0.01 else Delay(0.004 * drawn) if drawn < 0.5 else None

    return fault


@pytest.fixture(scope="module")
def reference() -> tuple[Any, ...]:
    """The results with whole chunks, one stream, and answers in order."""
    with FakeServer(MODELS) as server:
        result = outcome(server, coalesce=True, streams=1, block=1_000_000)
    assert result[2] == list(range(EVENTS))
    assert 50 < len(result[3]) < 450
    return result


@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("streams", [1, 16])
@pytest.mark.parametrize("block", [1, 7, 1000, "auto"])
def test_results_are_the_same_bit_by_bit(reference: tuple[Any, ...], block: Any, streams: int, coalesce: bool) -> None:
    """For blocks of 1, 7, 1,000 and auto, 1 and 16 streams, batching on and off: the same bits, in the same order."""
    if not coalesce and streams == 1 and block == 1:
        faults: Any = ()  # one request at a time: delays would only add up
    else:
        faults = late(17)
    with FakeServer(MODELS, faults=faults) as server:
        assert outcome(server, coalesce=coalesce, streams=streams, block=block) == reference


@pytest.mark.parametrize("in_flight", [0.0005, 0.02, 32.0])
@pytest.mark.parametrize("block", [7, "auto"])
def test_results_do_not_depend_on_the_budget(reference: tuple[Any, ...], in_flight: float, block: Any) -> None:
    """With so little work in flight that every block is acquired in parts, the results are the same bits."""
    with FakeServer(MODELS, faults=late(3)) as server:
        assert outcome(server, coalesce=True, block=block, in_flight=in_flight, memory=0.05) == reference


def test_coalescing_saves_requests() -> None:
    """The same rows go out in far fewer requests, full ones mostly, with coalescing on."""
    counts = {}
    for coalesce in (True, False):
        with FakeServer(MODELS) as server:
            outcome(server, coalesce=coalesce, block=100, streams=8)
        sent = [request for request in server.requests if request.model == "scores"]
        assert max(request.rows for request in sent) <= 33
        counts[coalesce] = len(sent), sum(request.rows for request in sent)
    assert counts[True][1] == counts[False][1]
    assert counts[True][0] < counts[False][0] / 5
