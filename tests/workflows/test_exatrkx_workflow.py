"""`exatrkx.py`: tracks by one model, by an ensemble and in this process, on a real Triton: the same, however the job runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from evproc.framework import EndPath
from evproc.producers.exatrkx import make_sample, throughput
from evproc.producers.exatrkx.event import make_event
from evproc.producers.exatrkx.features import hit_features, hit_order
from evproc.producers.exatrkx.performance import match, together
from evproc.producers.exatrkx.pipeline import Pipeline
from evproc.producers.exatrkx.sample import sample_event
from evproc.sonic_client import TensorSpec
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.testing import FakeModel, FakeServer
from evproc.sonic_client.transport import Transport, open_transport
from tests.workflows.conftest import MODELS, WORKFLOWS, Done, assert_same, branches, configured

EVENTS, HITS, SEED = 8, 60, 3


@pytest.fixture(scope="module")
def server(triton_wheel: Path) -> Iterator[EmbeddedServer]:
    """The real Triton with both forms of Exa.TrkX."""
    with EmbeddedServer(MODELS, load=["exatrkx", "exatrkx_ensemble", "exatrkx_interaction"], http=True) as running:
        yield running


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """The networks in this process."""
    return Pipeline(MODELS)


def found(pipeline: Pipeline, event: Any) -> Any:
    """The tracks of an event, in the order of its hits."""
    order = hit_order(event.r, event.z)
    labels = np.empty(len(event), np.int64)
    labels[order] = pipeline(hit_features(event.r[order], event.phi[order], event.z[order]))
    return labels


def written(url: str, **settings: Any) -> dict[str, Any]:
    """The output of the workflow on a small sample with an event of no hits, without pictures."""
    if not Path("hits.root").exists():
        make_sample("hits.root", EVENTS, HITS, SEED, min_hits=0)
    settings = {key.replace("__", "."): value for key, value in settings.items()}
    process = configured("exatrkx", {"source.files": "hits.root", "inference.servers": [url], **settings})
    process.end = EndPath(process.out)
    del process.performance
    process.run()
    return branches("output/exatrkx.root")


def test_all_forms_give_the_same_tracks(server: EmbeddedServer, pipeline: Pipeline) -> None:
    """One model, the ensemble and this process: the same labels for blocks of 1, 7 and 1000, event by event."""
    expected = written(server.url)
    for number in range(EVENTS):
        event = sample_event(HITS, 0, SEED, number)
        assert np.array_equal(ak.to_numpy(expected["tracks"][number]), found(pipeline, event))
    assert len(np.unique(ak.num(expected["tracks"]))) > 2
    for case, block in (("single", 1), ("ensemble", 7), ("ensemble", 1000), ("local", 1), ("local", 7)):
        assert_same(written(server.url, tracks__case=case, options__block=block), expected)


def test_the_command_writes_tracks_table_and_pictures(server: EmbeddedServer, evproc: Callable[..., Done]) -> None:
    """One command makes a sample, tracks, a table and two pictures."""
    size = ["-o", "source.events=2", "-o", "source.hits=100", "-o", f"inference.servers=[{server.url}]"]
    done = evproc("run", WORKFLOWS / "exatrkx.py", *size)
    assert done.code == 0, done
    for name in ("exatrkx.png", "exatrkx_event.png"):
        assert Path("output", name).read_bytes().startswith(b"\x89PNG\r\n")
    assert "| above 1 |" in Path("output/exatrkx.md").read_text()
    assert len(branches("output/exatrkx.root")["tracks"]) == 2


def test_an_ensembles_requests_wait_for_its_steps(server: EmbeddedServer) -> None:
    """What requests wait between the steps of an ensemble is told as time in the server, and not as time on the wire."""
    clients, events = 6, throughput.events_of(HITS, 12)

    async def counted(transport: Transport) -> tuple[float, float, float]:
        """What six clients waited for answers, and what the server says of it: in queues, computing; s."""
        before = await transport.statistics("exatrkx_ensemble", 10.0)
        rate, _ = await throughput.ask(transport, "exatrkx_ensemble", events, clients)
        after = await transport.statistics("exatrkx_ensemble", 10.0)
        await transport.close()
        return clients * len(events) / rate, after.queue - before.queue, after.compute - before.compute

    for url in (server.url, server.http_url):
        waited, queued, computed = asyncio.run(counted(open_transport(url)))
        assert 0 < computed < queued + computed < waited
        assert queued > 0.01 * computed  # six ask at once, and each step takes one after another; 1e-5 in its own queue


@pytest.mark.parametrize("model", ["exatrkx", "exatrkx_ensemble"])
@pytest.mark.parametrize("hits", [0, 1, 2])
def test_events_of_hardly_any_hits(server: EmbeddedServer, model: str, hits: int) -> None:
    """No hits, or none that are joined, are answered: as many labels as hits, though steps pass on tensors of no edges."""
    features = np.array([[0.032, 0.5, 0.1], [1.0, -0.5, -1.0]], np.float32)[:hits]
    tensor = InferInput("FEATURES", features.shape, "FP32")
    tensor.set_data_from_numpy(features)
    client: Any = InferenceServerClient(server.url.removeprefix("grpc://"))
    with client:
        assert client.infer(model, [tensor]).as_numpy("LABELS").tolist() == list(range(hits))


@pytest.mark.parametrize(("hits", "number"), [(200, 8), (1000, 2)])
def test_the_shipped_networks_find_tracks(pipeline: Pipeline, hits: int, number: int) -> None:
    """On held-out events: at least 0.9 of the particles above 1 GeV, and less than 0.1 of the tracks fake."""
    events = [make_event(hits, 2_000_000, event) for event in range(number)]
    result = together([match(found(pipeline, event), event.particle, event.pt, event.eta) for event in events])
    assert result.efficiency(1.0)[0] >= 0.9
    assert result.fake_rate < 0.1
    assert result.purity > 0.95


def test_the_other_graph_network_may_be_taken(server: EmbeddedServer, pipeline: Pipeline) -> None:
    """The interaction network scores the same graph, on Triton as in this process, and finds tracks of small events."""
    other = Pipeline(MODELS, "exatrkx_interaction")
    events = [make_event(100, 2_000_000, event) for event in range(8)]
    result = together([match(found(other, event), event.particle, event.pt, event.eta) for event in events])
    assert result.efficiency(1.0)[0] >= 0.9
    event = events[0]
    order = hit_order(event.r, event.z)
    features = hit_features(event.r[order], event.phi[order], event.z[order])
    edges = other.edges(features)[1]
    assert np.array_equal(edges, pipeline.edges(features)[1])
    tensors = []
    for name, array, kind in (("FEATURES", features, "FP32"), ("EDGES", edges, "INT64")):
        tensors.append(InferInput(name, array.shape, kind))
        tensors[-1].set_data_from_numpy(array)
    client: Any = InferenceServerClient(server.url.removeprefix("grpc://"))
    with client:
        scores = client.infer("exatrkx_interaction", tensors).as_numpy("SCORES")
    local = other._gnn.run(None, {"FEATURES": features, "EDGES": edges})[0]
    assert scores == pytest.approx(local, rel=1e-6, abs=1e-6)
    assert written(server.url, tracks__case="local", tracks__local__gnn="exatrkx_interaction")["tracks"].ndim == 2


def test_the_order_of_hits_does_not_matter(pipeline: Pipeline) -> None:
    """Hits in another order get the same labels."""
    event = make_event(150, 5)
    labels = found(pipeline, event)
    mixed = np.random.default_rng(1).permutation(len(event))
    again = type(event)(event.r[mixed], event.phi[mixed], event.z[mixed], event.particle[mixed], event.pt, event.eta)
    assert np.array_equal(found(pipeline, again), labels[mixed])


def test_rates_are_measured_on_equal_answers(server: EmbeddedServer, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a rate for both models; a server whose ensemble answers otherwise has none."""
    throughput.main(["--server", server.url, "--hits", "60", "--clients", "2", "--events", "3", "--rounds", "1"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert head == "| hits | clients | `exatrkx` | `exatrkx_ensemble` |"
    assert re.fullmatch(r"\| 60 \| 2 \| \d+\.\d \| \d+\.\d \|", row)
    spec, answer = TensorSpec("FEATURES", np.dtype("f4"), (-1, 3)), TensorSpec("LABELS", np.dtype("i8"), (-1,))

    def numbered(first: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"LABELS": np.arange(first, first + len(inputs["FEATURES"]))}

    models = [
        FakeModel(name, [spec], [answer], partial(numbered, first), 0) for first, name in enumerate(throughput.MODELS)
    ]
    with FakeServer(models) as fake, pytest.raises(ValueError, match="event 0: the ensemble gives other labels"):
        asyncio.run(throughput.best_of(fake.url, throughput.events_of(60, 2), 2, 1))
