"""`facile.py`, the main job: energies by a real Triton, equal to the network run here, however the job runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath
from evproc.producers.facile import make_sample
from evproc.producers.facile.charge_sum import charge_sum
from evproc.producers.facile.features import FEATURES, channel_features
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec
from tests.workflows.conftest import (
    MODELS,
    WORKFLOWS,
    Done,
    assert_same,
    branches,
    configured,
    files_below,
    open_root,
)

FACILE = WORKFLOWS / "facile.py"
SMALL = {"source.events": 20, "source.channels": 50}
ON_COMMAND_LINE = ["-o", "source.events=20", "-o", "source.channels=50"]
HOW: list[dict[str, Any]] = [
    {"options.block": block, "options.streams": streams, "energy.client.coalesce": coalesce}
    for block in (1, 7, 1000, "auto")
    for streams in (1, 16)
    for coalesce in (True, False)
]
HOW.append({"options.block": 7, "energy.client.max_rows": 33, "source.chunk": 6, "options.in_flight": 0.01})


def local_energies(features: Any) -> Any:
    """The network, run here on some rows at once: (channels, 36) to (channels,) float32, GeV."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(
        MODELS / "facile" / "1" / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    return session.run(["energy"], {"input": features})[0][:, 0].clip(np.float32(0.01))


def sample_channels(path: str = "output/hcal-20x50-seed1.root") -> list[dict[str, Any]]:
    """The channels of each event of a sample, as uproot alone reads them."""
    with open_root(path) as file:
        arrays = file["Events"].arrays([f"HBHEChannel_{name}" for name in FEATURES])
    return [{name: ak.to_numpy(event[f"HBHEChannel_{name}"]) for name in FEATURES} for event in arrays]


def energies(settings: dict[str, Any], url: str) -> dict[str, Any]:
    """The output of the workflow, all events kept and no picture drawn."""
    process = configured("facile", {**SMALL, **settings, "inference.servers": [url], "busy.above": -1.0})
    process.end = EndPath(process.out)
    del process.plot
    process.run()
    return branches("output/facile.root")


def test_the_main_job(models_server: EmbeddedServer, evproc: Callable[..., Done]) -> None:
    """One command makes a sample, energies, a picture and a report; a second run takes the same sample; a YAML of it too."""
    server = ["-o", f"inference.servers=[{models_server.url}]"]
    done = evproc("run", FACILE, *ON_COMMAND_LINE, *server, "--report", "report.json")
    assert done.code == 0, done
    assert Path("output/facile.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert set(files_below(Path("output"))) == {"facile.png", "facile.root", "hcal-20x50-seed1.root"}
    report = json.loads(Path("report.json").read_text())
    assert report["version"] == 1
    assert report["events"] == 20
    (model,) = report["services"]["inference"]["models"]
    assert (model["model"], model["rows"], model["server"]) == ("facile", 1000, models_server.url)
    first = branches("output/facile.root")
    (busy,) = (module for module in report["modules"] if module["label"] == "busy")
    assert busy["passed"] == len(first["event"]) == report["outputs"][0]["events"]
    assert (np.sum([ak.sum(event) for event in first["energy"]]) > 50.0 * len(first["event"])) or not len(
        first["event"]
    )
    sample = Path("output/hcal-20x50-seed1.root").stat()
    assert evproc("config", FACILE, *ON_COMMAND_LINE, *server, "--output", "facile.yaml").code == 0
    again = evproc("run", "facile.yaml", "-o", "out.file=again.root")
    assert again.code == 0, again
    now = Path("output/hcal-20x50-seed1.root").stat()
    assert (now.st_ino, now.st_mtime_ns) == (sample.st_ino, sample.st_mtime_ns), "the sample is made once"
    assert_same(branches("again.root"), first)


def test_a_stranger_needs_no_server(evproc: Callable[..., Done], triton_wheel: Path) -> None:
    """With no server named, or one that is not there, the job starts a Triton of its own; a warning names the other."""
    gone = "grpc://127.0.0.1:9"
    done = evproc("run", FACILE, *ON_COMMAND_LINE, "-o", f"inference.servers=[{gone}]")
    assert done.code == 0, done
    assert f"server {gone} is left out" in done.out + done.err
    assert len(branches("output/facile.root")["event"]) > 0


def test_energies_are_those_of_the_network(models_server: EmbeddedServer) -> None:
    """Event by event, where a request is the same batch as here: the same bits as onnxruntime; charge sums beside them."""
    written = energies({"options.block": 1, "energy.client.coalesce": False}, models_server.url)
    channels = sample_channels()
    for number, event in enumerate(channels):
        assert ak.to_numpy(written["energy"][number]).tobytes() == local_energies(channel_features(event)).tobytes()
        assert ak.to_numpy(written["charge_sum"][number]).tobytes() == charge_sum(event).tobytes()
    assert written["event"].to_list() == list(range(1, 21))


def test_energies_do_not_depend_on_how_the_job_runs(models_server: EmbeddedServer) -> None:
    """For all blocks, streams and batches: within 1e-6 of one another, and all but the energies have the same bits."""
    expected = energies({}, models_server.url)
    together = local_energies(np.concatenate([channel_features(event) for event in sample_channels()]))
    assert ak.to_numpy(ak.flatten(expected["energy"])) == pytest.approx(together, rel=1e-6)
    for how in HOW:
        written = energies(how, models_server.url)
        assert ak.num(written["energy"]).to_list() == ak.num(expected["energy"]).to_list()
        assert ak.to_numpy(ak.flatten(written["energy"])) == pytest.approx(together, rel=1e-6), how
        assert_same(
            {key: array for key, array in written.items() if key != "energy"},
            {key: array for key, array in expected.items() if key != "energy"},
        )


def row_wise(rows: Any) -> Any:
    """A network of its own kind: each row for itself, in an order that no batch can change: (rows, 1) float32."""
    energy = np.zeros(len(rows), np.float32)
    for column in range(36):
        energy = energy * np.float32(0.9) + rows[:, column]
    return np.abs(energy)[:, np.newaxis]


def test_evproc_adds_nothing(folder: Path) -> None:
    """With a model that is exact row by row, energies have the same bits for all blocks, streams, batches and orders."""
    spec, answer = TensorSpec("input", np.dtype("f4"), (36,)), TensorSpec("energy", np.dtype("f4"), (1,))
    model = FakeModel("facile", [spec], [answer], lambda inputs: {"energy": row_wise(inputs["input"])}, 160_000)
    with FakeServer([model]) as server:
        expected = energies({}, server.url)
        truth = np.concatenate([row_wise(channel_features(event))[:, 0] for event in sample_channels()])
        assert ak.to_numpy(ak.flatten(expected["energy"])).tobytes() == truth.clip(np.float32(0.01)).tobytes()
        for how in HOW:
            assert_same(energies(how, server.url), expected)


def test_events_without_channels(models_server: EmbeddedServer, folder: Path) -> None:
    """Events with no channels send nothing and get empty energies; all others are as before."""
    make_sample("varying.root", 12, 3, 4, min_channels=0)
    written = energies({"source.files": "varying.root", "options.block": 3}, models_server.url)
    channels = sample_channels("varying.root")
    counts = [len(event["gain"]) for event in channels]
    assert 0 in counts
    assert ak.num(written["energy"]).to_list() == counts
    together = local_energies(np.concatenate([channel_features(event) for event in channels]))
    assert ak.to_numpy(ak.flatten(written["energy"])) == pytest.approx(together, rel=1e-6)


def test_a_sample_of_no_events(models_server: EmbeddedServer) -> None:
    """No events, or events of no channels only, are jobs like any other."""
    assert len(energies({"source.events": 0}, models_server.url)["event"]) == 0
    assert ak.num(energies({"source.channels": 0}, models_server.url)["energy"]).to_list() == [0] * 20
