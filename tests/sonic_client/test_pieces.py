"""Events whose inputs are made piece by piece: the same answers, in bounded memory, and errors with their event."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest

from evproc.framework import Analyzer, EndPath, Event, ExceptionPolicy, Job, Path, Process
from evproc.framework.errors import EvprocError, ModelContractError
from evproc.framework.testing import EventSource, run_module
from evproc.sonic_client import Client, InferenceProducer, InferenceService, Pieces
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.pieces import as_pieces
from evproc.sonic_client.tensors import TensorSpec

COUNTS = [5, 0, 40, 1, 1000, 3, 0, 255]


class PiecewiseProducer(InferenceProducer):
    """Numbers of the rows of an event, by a server that doubles them."""

    model_inputs = {"x": "float32[4]"}
    model_outputs = {"y": "float32[1]"}
    consumes = ("rows",)
    produces = "var * float32"
    broken = -1

    class Config(InferenceProducer.Config):
        """The model."""

        client: Client = Client(model="double")

    def acquire(self, event: Event) -> Any:
        """Rows whose values are the event's number of rows and their own number."""
        rows = int(event["rows"])

        def make(start: int, stop: int) -> Any:
            if rows == self.broken:
                raise ValueError("no ink")
            values = np.zeros((stop - start, 4), np.float32)
            values[:, 0], values[:, 1] = rows, np.arange(start, stop)
            return {"x": values}

        return Pieces(rows, make, nbytes=100)

    def produce(self, event: Event, outputs: Any) -> Any:
        """The answers."""
        return outputs["y"][:, 0]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose model adds the event's part and the row's part of each row."""
    spec, answer = TensorSpec("x", np.dtype("f4"), (4,)), TensorSpec("y", np.dtype("f4"), (1,))
    model = FakeModel("double", [spec], [answer], lambda x: {"y": 2000 * x["x"][:, :1] + x["x"][:, 1:2]}, 4096)
    with FakeServer([model], keep_inputs=True) as server:
        yield server


def run(server: FakeServer, module: PiecewiseProducer, counts: list[int] = COUNTS, **options: Any) -> list[Any]:
    """The answers of some events with so many rows."""
    return run_module(
        module, [{"rows": count} for count in counts], services=[InferenceService(servers=[server.url])], **options
    )


@pytest.mark.parametrize(("max_rows", "block"), [(1, 1000), (7, 7), (256, 1), (256, 1000), (4096, 7)])
def test_answers_are_those_of_the_rows(server: FakeServer, max_rows: int, block: int) -> None:
    """However rows are cut and blocks are chosen each event gets the answers of its own rows, in order."""
    counts = COUNTS if max_rows > 1 else [5, 0, 40, 1]
    made = run(server, PiecewiseProducer(client=Client(model="double", max_rows=max_rows)), counts, block=block)
    assert [answers.tolist() for answers in made] == [[2000.0 * n + row for row in range(n)] for n in counts]
    assert max(request.rows for request in server.requests) <= max_rows


def test_requests_are_full(server: FakeServer) -> None:
    """One large event goes out in requests of the client's limit, and a rest."""
    run(server, PiecewiseProducer(client=Client(model="double", max_rows=256)), [1000])
    assert sorted(request.rows for request in server.requests) == [232, 256, 256, 256]
    server.requests.clear()
    run(server, PiecewiseProducer(client=Client(model="double", max_request=0.0016)), [250])
    assert sorted(request.rows for request in server.requests) == [50, 100, 100]


def test_no_more_is_made_than_may_be_under_way(server: FakeServer) -> None:
    """With a budget smaller than two requests, two are under way at most; the queue has never held more."""
    module = PiecewiseProducer(client=Client(model="double", max_rows=100))
    service = InferenceService(servers=[server.url])
    made = run_module(module, [{"rows": 1000}] * 3, services=[service], in_flight=0.001)
    assert [len(answers) for answers in made] == [1000] * 3
    (queue,) = service._queues.values()
    assert queue.peak_bytes <= 2 * 100 * 16 * 2


def test_large_pieces_are_made_in_slices(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is larger than what may be made in one go is put together of slices, and has the same rows."""
    monkeypatch.setattr("evproc.sonic_client.pieces.SLICE_BYTES", 160)
    made = run(server, PiecewiseProducer(client=Client(model="double", max_rows=256)), [300])
    assert made[0].tolist() == [2000.0 * 300 + row for row in range(300)]
    assert sorted(request.rows for request in server.requests) == [44, 256]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: {"x": x["x"][:, :3]}, "should have rows of shape"),
        (lambda x: {"x": x["x"][:-1]}, "rows 0 to 40 were asked for, and 39 came"),
        (lambda x: {"x": x["x"].astype("f8")}, "float64"),
        (lambda x: {"z": x["x"]}, "has no input 'z'"),
    ],
)
def test_wrong_pieces_are_told_with_their_event(server: FakeServer, wrong: Any, words: str) -> None:
    """Rows of another shape, number, type or name are an error that names the event."""

    class Wrong(PiecewiseProducer):
        """Pieces that are wrong in the third event."""

        def acquire(self, event: Event) -> Any:
            """Rows, some of them wrong."""
            sound = super().acquire(event)
            if sound.rows != 40:
                return sound
            return Pieces(sound.rows, lambda start, stop: wrong(sound.make(start, stop)))

    with pytest.raises(EvprocError, match=words) as caught:
        run(server, Wrong())
    assert "luminosity block 1, event 2" in str(caught.value)


def test_what_make_raises_is_told_with_its_event(server: FakeServer) -> None:
    """An exception in the function of an event fails the job with the event's name and the cause."""
    module = PiecewiseProducer()
    module.broken = 1
    with pytest.raises(EvprocError, match="no ink") as caught:
        run(server, module)
    assert "luminosity block 1, event 3" in str(caught.value)


@pytest.mark.parametrize("block", [1, 1000])
def test_events_behind_a_failed_one_go_on(server: FakeServer, block: int, tmp_path: FilePath) -> None:
    """With a policy that goes on behind failed events the others have their answers, and the failed one is named."""
    process = Process("TOLERANT", block=block)
    process.source = EventSource([{"rows": count} for count in COUNTS])
    process.inference = InferenceService(servers=[server.url])
    process.policy = ExceptionPolicy(try_to_continue=["ModuleError"], failed_events=str(tmp_path / "failed.jsonl"))
    process.answers = PiecewiseProducer(client=Client(model="double", max_rows=100))
    process.answers.broken = 1
    kept = process.kept = _Rows()
    process.path = Path(process.answers)
    process.end = EndPath(kept)
    result = process.run()
    assert [(failed.event, failed.message) for failed in result.failed] == [(3, "no ink")]
    assert kept.rows == [count for count in COUNTS if count != 1]


class _Rows(Analyzer):
    """How many answers events had."""

    consumes = ("answers",)

    def begin_job(self, job: Job) -> None:
        """Begin with no events."""
        self.rows: list[int] = []

    def analyze(self, event: Event) -> None:
        """Keep the number."""
        self.rows.append(len(event["answers"]))


@pytest.mark.parametrize("in_pieces", [5, 6, 7])
def test_events_need_not_be_alike(server: FakeServer, in_pieces: int) -> None:
    """One event in pieces beside others in arrays, whichever of them it is, changes nothing."""

    class Mixed(PiecewiseProducer):
        """Pieces of one event only."""

        def acquire(self, event: Event) -> Any:
            """Pieces, or an array."""
            pieces = super().acquire(event)
            return pieces if event["rows"] == in_pieces else pieces.make(0, pieces.rows)

    made = run(server, Mixed(), [5, 6, 7], block=3)
    assert [answers.tolist() for answers in made] == [[2000.0 * n + row for row in range(n)] for n in (5, 6, 7)]


def test_a_model_of_variable_shapes_takes_no_pieces() -> None:
    """It is told before anything is sent; so is an event that gave neither pieces nor arrays."""
    with pytest.raises(ModelContractError, match="`Pieces` are for models with a batch dimension"):
        as_pieces([Pieces(1, lambda start, stop: {})], "m", plain=False)
    with pytest.raises(ModelContractError, match="`Pieces` or arrays were expected, not list"):
        as_pieces([Pieces(1, lambda start, stop: {}), [1]], "m", plain=True)
    with pytest.raises(ModelContractError, match="-1 rows"):
        as_pieces([Pieces(-1, lambda start, stop: {})], "m", plain=True)
