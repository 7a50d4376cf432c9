"""`reconstruction.py`: several networks on two servers, with the results of the workflows of one network each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from typer.testing import CliRunner

from evproc.framework import EndPath
from evproc.framework.cli.main import app
from evproc.framework.loading import load
from evproc.framework.process import Process
from evproc.modules.timeline import main as draw_time_line
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.repository import checksum
from evproc.sonic_client.tensors import TensorSpec
from tests.workflows.conftest import WORKFLOWS, Done, assert_same, branches, configured, write_root

RECONSTRUCTION = WORKFLOWS / "reconstruction.py"
SMALL = {"source.events": 12, "source.channels": 40, "source.electrons": 2}
ON_COMMAND_LINE = [text for key, value in SMALL.items() for text in ("-o", f"{key}={value}")]
HOW: list[dict[str, Any]] = [
    {"options.block": 1, "options.streams": 4},
    {"options.block": 1000, "electron_energy.client.coalesce": False},
    {"options.block": 7, "source.chunk": 5, "options.in_flight": 0.5, "channel_energy.client.max_rows": 33},
]


def toy_jets() -> None:
    """The sample's jets, none or one in each event, with five particles; Pythia takes longer than all the rest."""
    Path("output").mkdir(exist_ok=True)
    random = np.random.default_rng(4)
    counts = np.arange(12) % 2
    jet = {"pt": np.full(6, 600.0), "eta": random.normal(0.0, 1.0, 6), "phi": random.uniform(-3.0, 3.0, 6)}
    particle = {"pt": random.exponential(100.0, 30), **{name: np.repeat(jet[name], 5) for name in ("eta", "phi")}}
    link = {"jetIdx": np.zeros(30), "pFCandsIdx": np.tile(np.arange(5.0), 6)}
    arrays: dict[str, Any] = {"run": np.ones(12, np.uint32), "luminosityBlock": np.ones(12, np.uint32)}
    arrays["event"] = np.arange(1, 13).astype(np.uint64)
    for collection, fields, each in (("FatJet", jet, 1), ("PFCands", particle, 5), ("FatJetPFCands", link, 5)):
        for name, values in fields.items():
            kind = np.int32 if collection == "FatJetPFCands" else np.float32
            arrays[f"{collection}_{name}"] = ak.unflatten(values.astype(kind), each * counts)
    write_root("output/jets-12-seed1.root", arrays)


def reconstruction(jets: bool, settings: dict[str, Any], urls: list[str]) -> Process:
    """The workflow for the small sample, all events kept."""
    process = load(RECONSTRUCTION, ["--jets" if jets else "--no-jets"])
    for key, value in {**SMALL, **settings, "inference.servers": urls, "out.select": []}.items():
        process.override(key, value)
    return process


def test_a_stranger_gets_two_servers(evproc: Callable[..., Done], triton_wheel: Path) -> None:
    """One command makes the samples and starts two servers; each model has its own; the time line can be drawn.

    The output names the servers, and the models by their checksums.
    """
    toy_jets()
    done = evproc("run", RECONSTRUCTION, *ON_COMMAND_LINE, "--report", "report.json", "--trace", "trace.json")
    assert done.code == 0, done
    inference = json.loads(Path("report.json").read_text())["services"]["inference"]
    rows = {each["model"]: each["rows"] for each in inference["models"]}
    assert rows == {"facile": 480, "deepcalo": 24, "top_tagger": 6}
    assert len({each["server"] for each in inference["models"]}) == 2
    draw_time_line(["trace.json", "timeline.png"])
    assert Path("timeline.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert len(branches("output/reconstruction.root")["event"]) <= 12
    found = models_of("output/reconstruction.root")
    assert {name: [each["server"] for each in model["servers"]] for name, model in found.items()} == {
        "facile": ["channels"],
        "deepcalo": ["images"],
        "top_tagger": ["images"],
    }
    assert {name: model["checksum"] for name, model in found.items()} == {
        name: checksum(WORKFLOWS.parent / "models", name) for name in found
    }


def models_of(file: str) -> dict[str, dict[str, Any]]:
    """What the provenance of an output says of models, by name."""
    shown = CliRunner().invoke(app, ["provenance", file, "--json"])
    assert shown.exit_code == 0, shown.output
    return {model["model"]: model for model in json.loads(shown.output)["services"]["inference"]["models"]}


def test_results_are_those_of_each_network_alone(models_server: EmbeddedServer) -> None:
    """Energies and scores are those that the workflows of one network each write, within 1e-6; jets may be left out."""
    url = models_server.url
    toy_jets()
    reconstruction(True, {}, [url]).run()
    together = branches("output/reconstruction.root")
    assert together["event"].to_list() == list(range(1, 13))
    for workflow, sample, single, mine in (
        ("facile", "hcal-12x40-seed1.root", "energy", "channel_energy"),
        ("deepcalo", "electrons-12x2-seed1.root", "energy", "electron_energy"),
        ("top_tagger", "jets-12-seed1.root", "top_score", "top_score"),
    ):
        settings = {"source.files": f"output/{sample}", "inference.servers": [url]}
        process = configured(workflow, {**settings, "out.file": "alone.root", "out.select": [], "out.keep": [single]})
        process.end = EndPath(process.out)
        delattr(process, "performance" if workflow == "top_tagger" else "plot")
        process.run()
        alone = branches("alone.root")[single]
        assert ak.num(together[mine]).to_list() == ak.num(alone).to_list()
        assert ak.to_numpy(ak.flatten(together[mine])) == pytest.approx(ak.to_numpy(ak.flatten(alone)), rel=1e-6)
    reconstruction(False, {}, [url]).run()
    without = branches("output/reconstruction.root")
    assert {name for name in together if name not in without} >= {"top_score", "FatJet_pt"}
    assert without["event"].to_list() == together["event"].to_list()


def exact(name: str, shape: tuple[int, ...], output: str, outputs: int) -> FakeModel:
    """A model that is exact row by row: some of a row's numbers in a fixed order."""

    def run(inputs: Any) -> Any:
        flat = next(iter(inputs.values())).reshape(-1, int(np.prod(shape)))
        energy = np.zeros(len(flat), np.float32)
        for column in range(0, flat.shape[1], max(7, flat.shape[1] // 50)):
            energy = energy * np.float32(0.9) + flat[:, column]
        return {output: np.repeat(np.abs(energy)[:, np.newaxis], outputs, axis=1)}

    tensor = {"facile": "input", "deepcalo": "images", "top_tagger": "image"}[name]
    spec, answer = TensorSpec(tensor, np.dtype("f4"), shape), TensorSpec(output, np.dtype("f4"), (outputs,))
    return FakeModel(name, [spec], [answer], run, 1000)


def test_results_do_not_depend_on_how_the_job_runs() -> None:
    """With models that are exact row by row, on two servers: the same bits for all blocks, streams, batches and budgets."""
    toy_jets()
    images = [exact("deepcalo", (56, 11, 4), "energy", 1), exact("top_tagger", (224, 224, 3), "scores", 2)]
    with FakeServer([exact("facile", (36,), "energy", 1)]) as near, FakeServer(images) as far:
        written = []
        for how in ({}, *HOW):
            reconstruction(True, how, [near.url, f"far={far.url}"]).run()
            written.append(branches("output/reconstruction.root"))
    assert written[0]["event"].to_list() == list(range(1, 13))
    assert ak.num(written[0]["top_score"]).to_list() == [0, 1] * 6
    for other in written[1:]:
        assert_same(other, written[0])
