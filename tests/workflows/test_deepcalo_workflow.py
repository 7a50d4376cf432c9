"""`deepcalo.py`: energies of electrons by a real Triton, equal to the network run here, however the job runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath
from evproc.producers.deepcalo import make_sample
from evproc.producers.deepcalo.cell_sum import calibrated_sum, cell_images, cell_sum
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

DEEPCALO = WORKFLOWS / "deepcalo.py"
SAMPLE = "electrons.root"
HOW: list[dict[str, Any]] = [
    {"options.block": block, "options.streams": streams, "energy.client.coalesce": coalesce}
    for block, streams, coalesce in ((1, 16, True), (7, 1, False), (1000, 16, True))
]
HOW.append({"options.block": 7, "energy.client.max_rows": 5, "source.chunk": 6, "options.in_flight": 0.05})


def images() -> list[Any]:
    """The images of each event of the sample, as uproot alone reads them."""
    with open_root(SAMPLE) as file:
        cells = file["Events"]["ElectronCells"].array()
    return [cell_images(ak.to_numpy(event)) for event in cells]


def local_energies(of: Any) -> Any:
    """The network, run here on some images at once: (electrons,) float32, GeV."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = MODELS / "deepcalo" / "1" / "model.onnx"
    session: Any = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session.run(["energy"], {"images": of})[0][:, 0].clip(np.float32(0.1))


def energies(settings: dict[str, Any], url: str) -> dict[str, Any]:
    """The output of the workflow for the sample, without the picture."""
    process = configured("deepcalo", {"source.files": SAMPLE, **settings, "inference.servers": [url]})
    process.end = EndPath(process.out)
    del process.plot
    process.run()
    return branches("output/deepcalo.root")


def test_the_job(models_server: EmbeddedServer, evproc: Callable[..., Done]) -> None:
    """One command makes a sample, energies, a picture and a report."""
    sizes = ["-o", "source.events=4", "-o", "source.electrons=3", "-o", f"inference.servers=[{models_server.url}]"]
    done = evproc("run", DEEPCALO, *sizes, "--report", "report.json")
    assert done.code == 0, done
    assert Path("output/deepcalo.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert set(files_below(Path("output"))) == {"deepcalo.png", "deepcalo.root", "electrons-4x3-seed1.root"}
    (model,) = json.loads(Path("report.json").read_text())["services"]["inference"]["models"]
    assert (model["model"], model["rows"]) == ("deepcalo", 12)


def test_energies_are_those_of_the_network(models_server: EmbeddedServer) -> None:
    """Where a request is the same batch as here: the same bits as onnxruntime; else within 1e-6; sums beside them."""
    make_sample(SAMPLE, 5, 3, 4, min_electrons=0)
    events = images()
    assert min(map(len, events)) == 0, "an event without electrons sends nothing"
    alone = energies({"options.block": 1, "energy.client.coalesce": False}, models_server.url)
    for number, event in enumerate(events):
        if len(event):
            assert ak.to_numpy(alone["energy"][number]).tobytes() == local_energies(event).tobytes()
        assert ak.to_numpy(alone["cell_sum_plain"][number]).tobytes() == cell_sum(event).tobytes()
        assert ak.to_numpy(alone["cell_sum_calibrated"][number]).tobytes() == calibrated_sum(event).tobytes()
    together = energies({}, models_server.url)
    assert ak.num(together["energy"]).to_list() == [len(event) for event in events]
    expected = local_energies(np.concatenate(events))
    assert ak.to_numpy(ak.flatten(together["energy"])) == pytest.approx(expected, rel=1e-6)


def row_wise(rows: Any) -> Any:
    """A network of its own kind: each image for itself, in an order that no batch can change: (rows, 1) float32."""
    energy = np.zeros(len(rows), np.float32)
    for column in range(rows.shape[2]):
        energy = energy * np.float32(0.9) + rows[:, 28, column, 2] + rows[:, 29, column, 1]
    return np.abs(energy)[:, np.newaxis]


def test_evproc_adds_nothing(folder: Path) -> None:
    """With a model that is exact row by row, energies have the same bits for all blocks, streams, batches and orders."""
    make_sample(SAMPLE, 20, 3, 5, min_electrons=0)
    spec, answer = TensorSpec("images", np.dtype("f4"), (56, 11, 4)), TensorSpec("energy", np.dtype("f4"), (1,))
    model = FakeModel("deepcalo", [spec], [answer], lambda inputs: {"energy": row_wise(inputs["images"])}, 1024)
    with FakeServer([model]) as server:
        expected = energies({}, server.url)
        truth = np.concatenate([row_wise(event)[:, 0] for event in images()]).clip(np.float32(0.1))
        assert ak.to_numpy(ak.flatten(expected["energy"])).tobytes() == truth.tobytes()
        for how in HOW:
            assert_same(energies(how, server.url), expected)
