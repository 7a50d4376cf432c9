"""FACILE, the charge sum and their comparison as modules: on a server, beside it, and over a job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath, Process
from evproc.framework.errors import ConfigurationError, OutputError
from evproc.framework.testing import EventSource, run_module
from evproc.producers.facile import ChargeSumProducer, FacilePerformance, FacileProducer
from evproc.producers.facile.charge_sum import charge_sum
from evproc.producers.facile.features import FEATURES, channel_features
from evproc.producers.facile.sample import make_channels
from evproc.sonic_client import Client, InferenceService
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec


def events(*counts: int) -> list[dict[str, Any]]:
    """Events with so many channels."""
    return [{"HBHEChannel": make_channels(count, seed)} for seed, count in enumerate(counts)]


def weighted(rows: Any) -> Any:
    """A number for each row, by itself: charges of two slices times gain, no clamp: (rows, 1) float32."""
    return ((rows[:, 7] + rows[:, 8] - rows[:, 15] - rows[:, 16]) * rows[:, 3])[:, np.newaxis]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server whose model `facile` sees which row is which."""
    spec, answer = TensorSpec("input", np.dtype("f4"), (36,)), TensorSpec("energy", np.dtype("f4"), (1,))
    model = FakeModel("facile", [spec], [answer], lambda x: {"energy": weighted(x["input"])}, 160_000)
    with FakeServer([model], keep_inputs=True) as server:
        yield server


def test_each_event_gets_its_energies(server: FakeServer) -> None:
    """Energies are those of the event's own channels, clamped from below; an event without channels gets none."""
    given = events(7, 0, 3, 100)
    made = run_module(FacileProducer(min_energy=0.25), given, services=[InferenceService(servers=[server.url])])
    assert [len(energies) for energies in made] == [7, 0, 3, 100]
    for energies, event in zip(made, given, strict=True):
        assert energies.dtype == np.float32
        expected = weighted(channel_features(event["HBHEChannel"]))[:, 0].clip(np.float32(0.25))
        assert energies.tobytes() == expected.tobytes()
    assert min(energies.min() for energies in made if len(energies)) == np.float32(0.25)


def test_channels_of_many_events_share_a_request(server: FakeServer) -> None:
    """Rows travel together, up to the rows that are allowed; without coalescing each event has its own request."""
    service = [InferenceService(servers=[server.url])]
    run_module(FacileProducer(), events(*[5] * 40), services=service, block=40, streams=1)
    assert sum(request.rows for request in server.requests) == 200
    assert len(server.requests) < 20, "how many exactly is a matter of time"
    server.requests.clear()
    alone = FacileProducer(client=Client(model="facile", coalesce=False))
    run_module(alone, events(*[5] * 4), services=[InferenceService(servers=[server.url])])
    assert [request.rows for request in server.requests] == [5] * 4


def test_only_what_the_network_takes_is_read(server: FakeServer) -> None:
    """A collection that lacks a feature is a fault with its name; one that has more is none."""
    lacking = [{"HBHEChannel": {name: np.ones(2, "f4") for name in FEATURES if name != "gain"}}]
    with pytest.raises(ConfigurationError, match="collection 'HBHEChannel' has no field 'gain'"):
        run_module(FacileProducer(), lacking, services=[InferenceService(servers=[server.url])])


@pytest.mark.parametrize("energy", [0.0, -1.0])
def test_the_clamp_is_positive(energy: float) -> None:
    """A clamp at or below zero is a fault of the parameter."""
    with pytest.raises(ConfigurationError, match=r"min_energy: input should be greater than 0"):
        run_module(FacileProducer(min_energy=energy), events(1))


def test_it_says_that_it_needs_a_service() -> None:
    """Without an inference service the job does not begin, and says what to add."""
    with pytest.raises(Exception, match="InferenceService"):
        run_module(FacileProducer(), events(1))


def test_charge_sums_need_no_server() -> None:
    """The plain method as a module gives what the function gives."""
    given = events(4, 0, 9)
    made = run_module(ChargeSumProducer(), given)
    for energies, event in zip(made, given, strict=True):
        assert energies.tobytes() == charge_sum(event["HBHEChannel"]).tobytes()


def compared(plot: Path, events: int, **parameters: Any) -> FacilePerformance:
    """The comparison over a job of some events with three channels each."""
    random = np.random.default_rng(1)
    rows = {name: random.exponential(20.0, 3 * events).astype("f4") for name in ("true", "energy", "charge_sum")}
    process = Process("COMPARE", block=7)
    process.source = EventSource({name: ak.unflatten(values, np.full(events, 3)) for name, values in rows.items()})
    process.plot = FacilePerformance(true="true", plot=str(plot), **parameters)
    process.end = EndPath(process.plot)
    process.run()
    module: FacilePerformance = process.plot
    return module


def test_the_comparison_is_a_picture(tmp_path: Path) -> None:
    """It is drawn at the end of the job, in a folder that is made, with nothing beside it; twice is no fault."""
    plot = tmp_path / "new" / "facile.png"
    for _ in range(2):
        compared(plot, 50)
        assert plot.read_bytes().startswith(b"\x89PNG\r\n")
        assert [path.name for path in plot.parent.iterdir()] == ["facile.png"]


def test_no_channels_are_an_empty_picture(tmp_path: Path) -> None:
    """A job of no events does not leave the picture of an older one."""
    plot = tmp_path / "facile.png"
    plot.write_text("of an older job")
    compared(plot, 0)
    assert plot.read_bytes().startswith(b"\x89PNG\r\n")


def test_the_comparison_is_bounded(tmp_path: Path) -> None:
    """No more channels are kept than `max_channels` and one block."""
    module = compared(tmp_path / "facile.png", 100, max_channels=30)
    assert module._channels == 42


@pytest.mark.parametrize("plot", [".", "file/facile.png"])
def test_a_picture_that_cannot_be_drawn_is_a_fault(tmp_path: Path, plot: str) -> None:
    """A folder in place of the picture, and a file in place of its folder, are told before the first event."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"plot.plot: cannot draw"):
        compared(tmp_path / plot, 5)


def test_a_picture_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When drawing fails the job fails with the cause, and an older picture stays."""
    plot = tmp_path / "facile.png"
    plot.write_text("precious")

    def broken(*arguments: Any) -> None:
        Path(arguments[-1]).write_text("half a picture")
        raise OutputError("no ink")

    monkeypatch.setattr("evproc.producers.facile.performance_analyzer.plot_performance", broken)
    with pytest.raises(OutputError, match=r"module 'plot' .*no ink"):
        compared(plot, 5)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("facile.png", "precious")]
