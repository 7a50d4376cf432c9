"""Tensors of every kind in jobs against the real Triton: what arrives in `produce` is what the model made of the event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copytree
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from evproc.framework import ConfigurationError, EndPath, Event, Process
from evproc.framework.testing import EventSource, run_module
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.producer import Client, InferenceProducer
from evproc.sonic_client.service import Fallback, InferenceService
from evproc.sonic_client.tensors import dtype_of
from tests.framework.core_toys import Look
from tests.sonic_client.triton_tensors_models import WORDS, write_repository

BLOCKS = pytest.mark.parametrize("block", [1, 7, 1000])
NUMBERS = [{"number": number} for number in range(30)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of these tests."""
    folder = tmp_path_factory.mktemp("models")
    write_repository(folder)
    return folder


@pytest.fixture(scope="module")
def server(triton_wheel: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """The real Triton with these models."""
    with EmbeddedServer(repository) as started:
        yield started


def at(server: EmbeddedServer, scheme: str = "grpc") -> InferenceService:
    return InferenceService(servers=[server.url.replace("grpc://", f"{scheme}://")])


class Asks(InferenceProducer):
    """Inputs by `tensors_of(number)`; the product is all that came."""

    consumes = ("number",)
    produces = "object"

    @staticmethod
    def tensors_of(number: int) -> Any:
        raise NotImplementedError

    def acquire(self, event: Event) -> Any:
        return self.tensors_of(int(event["number"]))

    def produce(self, event: Event, outputs: Mapping[str, Any]) -> Any:
        return dict(outputs)


class EveryType(Asks):
    """Extremes and small numbers in each type, of which a third is asked for."""

    model_inputs = {word: f"{word}[3]" for word in WORDS}
    model_outputs = {word: f"{word}[?]" for word in ("BOOL", "FP16", "BF16", "INT64", "UINT8")}

    @staticmethod
    def tensors_of(number: int) -> Any:
        return {word: values_of(word, number) for word in WORDS}


def values_of(word: str, number: int) -> Any:
    """(number % 4, 3) of a type, its largest number among them."""
    dtype = dtype_of(word)
    largest: Any = True
    if dtype.kind != "b":
        largest = np.iinfo(dtype).max if dtype.kind in "iu" else ml_dtypes.finfo(dtype).max
    return np.array([[largest, number % 2, row] for row in range(number % 4)], dtype).reshape(number % 4, 3)


@pytest.mark.parametrize("scheme", ["grpc", "grpclib"])
@BLOCKS
def test_every_type_comes_back_bit_by_bit(server: EmbeddedServer, scheme: str, block: int) -> None:
    """Thirteen inputs, five outputs of them, each of its own type: no bit changes, and nothing comes that was not named."""
    found = run_module(EveryType(client=Client(model="types")), NUMBERS, services=[at(server, scheme)], block=block)
    for number, outputs in enumerate(found):
        assert set(outputs) == set(EveryType.model_outputs)
        for word, array in outputs.items():
            sent = values_of(word, number)
            assert (array.dtype, array.shape) == (sent.dtype, (number % 4, 3 if number % 4 else 0))
            assert array.tobytes() == sent.tobytes()


SHAPES = (2, 4, 1, 3)


def rows_of(number: int) -> list[Any]:
    """As many of the four shapes as the number says, in turn: n times the number n."""
    return [np.full(n, n, np.float32) for n in (SHAPES[(number + place) % 4] for place in range(number % 6))]


class Ragged(Asks):
    """The identity of rows of different lengths."""

    model_inputs = {"x": "float32[?]"}
    model_outputs = {"y": "float32[?]", "length": "int64[1]"}

    @staticmethod
    def tensors_of(number: int) -> Any:
        return {"x": rows_of(number)}


class Grid(Asks):
    """The identity of rows of shapes (2, 2), (4, 4), (1, 1), (3, 3)."""

    model_inputs = {"x": "int32[?, ?]"}

    @staticmethod
    def tensors_of(number: int) -> Any:
        return {"x": [np.full((n, n), n, np.int32) for n in SHAPES]}


@pytest.mark.parametrize("coalesce", [True, False])
@BLOCKS
def test_the_identity_of_ragged_rows(server: EmbeddedServer, block: int, coalesce: bool) -> None:
    """Rows [2, 2], [4, 4, 4, 4], [1], [3, 3, 3] come back as they were, in their order, however they are sent."""
    found = run_module(
        Ragged(client=Client(model="ragged", coalesce=coalesce)), NUMBERS, services=[at(server)], block=block
    )
    for number, outputs in enumerate(found):
        assert [row.tolist() for row in outputs["y"]] == [row.tolist() for row in rows_of(number)]
        assert outputs["length"].tolist() == [[len(row)] for row in rows_of(number)]
        assert outputs["length"].shape == (number % 6, 1)


@BLOCKS
def test_the_identity_of_ragged_squares(server: EmbeddedServer, block: int) -> None:
    """So do rows of two dimensions, both variable."""
    found = run_module(Grid(client=Client(model="grid")), NUMBERS[:8], services=[at(server)], block=block)
    for outputs in found:
        assert [row.tolist() for row in outputs["y"]] == [[[n] * n] * n for n in SHAPES]


def test_ragged_rows_share_requests_and_none_is_padded(server: EmbeddedServer) -> None:
    """A row is sent once and alone of its length in a request; the server counts as many rows as the events have."""
    process = Process("P", block=1000)
    process.source = EventSource(NUMBERS * 10)
    process.inference = at(server)
    process.ragged = Ragged(client=Client(model="ragged"))
    process.look = Look(of=["ragged"])
    process.end = EndPath(process.look)
    before = server_rows(server, "ragged")
    (entry,) = process.run().services["inference"]["models"]
    rows = 10 * sum(number % 6 for number in range(30))
    assert entry["rows"] == rows
    assert server_rows(server, "ragged") - before == rows
    assert entry["rows_per_request"] == rows / entry["requests"]
    assert 2 < entry["rows_per_request"] <= 8


def server_rows(server: EmbeddedServer, model: str) -> int:
    """What the server says that it has computed."""
    import asyncio

    from evproc.sonic_client.transport import open_transport

    async def ask() -> int:
        transport = open_transport(server.url)
        try:
            return (await transport.statistics(model, 10.0)).rows
        finally:
            await transport.close()

    return asyncio.run(ask())


class Graph(Asks):
    """A graph for each event, some without nodes, to a model without batch dimension."""

    model_inputs = {"nodes": "float32[?, 3]", "edges": "int64[2, ?]"}

    @staticmethod
    def tensors_of(number: int) -> Any:
        nodes = np.arange(3 * (number % 5), dtype=np.float32).reshape(-1, 3)
        edges = np.array([[i, j] for i in range(len(nodes)) for j in range(i)], np.int64).reshape(-1, 2).T
        return {"nodes": nodes, "edges": edges}


class Graphs(Graph):
    """Several graphs for each event."""

    @staticmethod
    def tensors_of(number: int) -> Any:
        graphs = [Graph.tensors_of(place) for place in range(number % 4)]
        return {name: [graph[name] for graph in graphs] for name in ("nodes", "edges")}


def right(tensors: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """What the model makes of a graph."""
    nodes, edges = tensors["nodes"], tensors["edges"]
    return (nodes[edges[0], 0] + nodes[edges[1], 1]).tolist(), nodes.sum(axis=0, dtype="f8").tolist()


@pytest.mark.parametrize("scheme", ["grpc", "grpclib"])
@BLOCKS
def test_a_model_without_batches_takes_one_event_at_a_time(server: EmbeddedServer, scheme: str, block: int) -> None:
    """The tensors of an event are the request's, whole; what comes back has the model's shapes."""
    found = run_module(Graph(client=Client(model="graph")), NUMBERS, services=[at(server, scheme)], block=block)
    for number, outputs in enumerate(found):
        assert (outputs["score"].tolist(), outputs["total"].tolist()) == right(Graph.tensors_of(number))


@BLOCKS
def test_a_model_without_batches_takes_the_rows_of_a_list_one_by_one(server: EmbeddedServer, block: int) -> None:
    """An event may have several graphs: a list for each input, one request for each."""
    found = run_module(Graphs(client=Client(model="graph")), NUMBERS[:9], services=[at(server)], block=block)
    for number, outputs in enumerate(found):
        wanted = [right(Graph.tensors_of(place)) for place in range(number % 4)]
        assert [row.tolist() for row in outputs["score"]] == [score for score, _ in wanted]
        assert outputs["total"].shape == (number % 4, 3)
        assert outputs["total"].tolist() == [total for _, total in wanted]


def test_an_onnx_model_without_batches(server: EmbeddedServer) -> None:
    """Also where all extents are fixed."""

    class Matrix(Asks):
        model_inputs = {"x": "float32[2, 3]"}
        model_outputs = {"y": "float32[3, 2]"}

        @staticmethod
        def tensors_of(number: int) -> Any:
            return {"x": np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(number)}

    found = run_module(Matrix(client=Client(model="matrix")), NUMBERS, services=[at(server)])
    assert all((outputs["y"] == Matrix.tensors_of(number)["x"].T).all() for number, outputs in enumerate(found))


class Rows(Asks):
    """0 to 69 rows for an event: for some none, for some more than a request takes."""

    model_inputs = {"x": "float32[2]"}

    @staticmethod
    def tensors_of(number: int) -> Any:
        return {"x": np.random.default_rng(number).normal(size=(number * number % 70, 2)).astype("f4")}


class Wide(Rows):
    """The same number of rows of 16 features."""

    model_inputs = {"x": "float32[16]"}

    @staticmethod
    def tensors_of(number: int) -> Any:
        return {"x": np.random.default_rng(number).normal(size=(number * number % 70, 16)).astype("f4")}


LIMITS: list[dict[str, Any]] = [
    {},
    {"max_rows": 5},
    {"max_request": 0.0001},
    {"max_wait": 0.0},
    {"coalesce": False},
    {"coalesce": False, "max_rows": 1},
]


def test_results_do_not_depend_on_batching_bit_by_bit(server: EmbeddedServer) -> None:
    """A model that computes each row by itself gives each event the same bits, whatever shared its requests."""
    outcomes = set()
    for limits in LIMITS:
        for block in (1, 7, 1000):
            module = Rows(client=Client(model="rowwise", **limits))
            found = run_module(module, NUMBERS, services=[at(server)], block=block)
            outcomes.add(b"".join(outputs["y"].tobytes() for outputs in found))
    assert len(outcomes) == 1


def test_rounding_of_a_network_stays_within_the_documented_tolerance(server: EmbeddedServer) -> None:
    """A network library picks its kernels by the number of rows; then results agree to 1e-6 of their scale."""
    outcomes = []
    for limits in LIMITS:
        for block in (1, 1000):
            module = Wide(client=Client(model="network", **limits))
            found = run_module(module, NUMBERS, services=[at(server)], block=block)
            outcomes.append(np.concatenate([outputs["y"] for outputs in found]))
    scale = np.abs(outcomes[0]).max()
    assert max(np.abs(outcome - outcomes[0]).max() for outcome in outcomes) <= 1e-6 * scale


# Before the first event


def faults_of(service: InferenceService, **modules: InferenceProducer) -> list[str]:
    """All faults of a configuration: `label.key: message`."""
    process = Process("P")
    process.source = EventSource(NUMBERS)
    process.inference = service
    for label, module in modules.items():
        setattr(process, label, module)
    process.end = EndPath(*modules.values())
    with pytest.raises(ConfigurationError) as caught:
        process.run()
    return [f"{fault.label}.{fault.key}: {fault.message}" for fault in caught.value.faults]


def test_all_faults_come_together_before_the_first_event(server: EmbeddedServer) -> None:
    """Wrong names, types and shapes, versions, and models that cannot be asked so: all at once, with what was near."""

    class Wrong(Graph):
        model_inputs = {"node": "float32[?, 3]", "edges": "int32[2, ?]"}
        model_outputs = {"score": "float32[?, 1]", "totals": "float64[3]", "total": "float46[3]"}

    about = f"of model 'graph' on {server.url}"
    found = faults_of(
        at(server),
        wrong=Wrong(client=Client(model="graph")),
        old=Rows(client=Client(model="rowwise", version="7")),
        stream=Rows(client=Client(model="stream")),
    )
    assert found == [
        f"wrong.client.model: model 'graph' on {server.url} has no input 'node'; did you mean 'nodes'?",
        f"wrong.client.model: input 'edges' {about} is edges: (2, any) INT64, not edges: (2, any) INT32",
        f"wrong.client.model: model 'graph' on {server.url} needs input 'nodes', which the producer does not make",
        f"wrong.client.model: output 'score' {about} is score: (any) FP32, not score: (any, 1) FP32",
        f"wrong.client.model: model 'graph' on {server.url} has no output 'totals'; did you mean 'total'?",
        next(text for text in found if "float46" in text and "did you mean 'float64'" in text),
        next(text for text in found if text.startswith("old.client: ") and text.endswith("; it has version 1")),
        f"stream.client.model: model 'stream' on {server.url} is decoupled: it answers in streams of any length",
    ]


def test_a_model_is_held_against_a_folder_and_its_checksums(
    server: EmbeddedServer, repository: Path, tmp_path: Path
) -> None:
    """`client.files`: other weights, and another configuration, than the server's are found before the first event."""
    own = copytree(repository / "network", tmp_path / "network")
    module = Wide(client=Client(model="network", files=str(own)))
    assert len(run_module(module, NUMBERS[:3], services=[at(server)])) == 3

    weights = own / "1" / "model.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")
    config = own / "config.pbtxt"
    config.write_text(config.read_text().replace("dims: [ 4 ]", "dims: [ 5 ]"))
    shape, digest = faults_of(at(server), wide=Wide(client=Client(model="network", files=str(own))))
    about = f"model 'network' on {server.url}"
    assert shape == f"wide.client.model: output 'y' of {about} is y: (4) FP32, and in '{own}' y: (5) FP32"
    assert digest.startswith(
        f"wide.client.model: file '1/model.onnx' of {about} is another than that in '{own}': SHA256 "
    )

    weights.unlink()
    _, missing = faults_of(at(server), wide=Wide(client=Client(model="network", files=str(own))))
    assert missing == f"wide.client.model: {about} has a file '1/model.onnx', and '{own}' has not"


def test_what_cannot_be_compared_is_not_passed(server: EmbeddedServer, repository: Path, tmp_path: Path) -> None:
    """A server that states no checksums, and a folder that is no model, are faults if a comparison was asked for."""
    (found,) = faults_of(at(server), rows=Rows(client=Client(model="rowwise", files=str(repository / "rowwise"))))
    assert "states no checksums of version 1" in found
    assert "evproc server checksum MODEL" in found
    (found,) = faults_of(at(server), rows=Rows(client=Client(model="rowwise", files=str(tmp_path))))
    assert f"has no model '{tmp_path.name}'" in found


def test_the_files_of_the_job_s_own_server_are_read(triton_wheel: Path, repository: Path, tmp_path: Path) -> None:
    """For a server that the job starts itself, no checksums need be stated: the files are compared."""
    own = copytree(repository / "rowwise", tmp_path / "rowwise")

    def service() -> InferenceService:
        return InferenceService(fallback=Fallback(models=str(repository)))

    def module() -> Rows:
        return Rows(client=Client(model="rowwise", files=str(own)))

    found = run_module(module(), NUMBERS[:3], services=[service()])
    assert [len(outputs["y"]) for outputs in found] == [0, 1, 4]
    (own / "1" / "model.py").write_text("another")
    (fault,) = faults_of(service(), rows=module())
    assert "file '1/model.py' of model 'rowwise' on the repository" in fault
