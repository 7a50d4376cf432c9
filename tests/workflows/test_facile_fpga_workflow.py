"""`facile_fpga.py`: float network on Triton and behind Brainwave's protocol, FPGA design on Triton and behind FaaST's."""

from __future__ import annotations

import asyncio
import runpy
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath
from evproc.framework.loading import load
from evproc.producers.facile.features import channel_features
from evproc.producers.facile.fpga_design import emulate, shipped_design
from evproc.producers.facile.fpga_library import FpgaLibrary, compiled, make_version
from evproc.producers.facile.fpga_words import feature_words, word_energies
from evproc.sonic_client.brainwave_service import BrainwaveService, onnx_function
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.faast_service import FaastService, WordModel
from evproc.sonic_client.repository import read_metadata
from evproc.sonic_client.serving import served
from tests.workflows.conftest import MODELS, WORKFLOWS, assert_same, branches, configured
from tests.workflows.test_facile_workflow import local_energies, sample_channels

SMALL = {"source.events": 12, "source.channels": 40, "busy.above": -1.0}
SAMPLE = "output/hcal-12x40-seed1.root"
RESNET = "resnet50_top_tagger"
CASES = ("triton", "fpga", "faast", "brainwave")


@contextmanager
def in_a_thread(make: Callable[[], Any], scheme: str, path: str = "") -> Iterator[str]:
    """The address of a service that answers in a thread of its own."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def main() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with served(make(), scheme, path=path) as address:
            ready.set_result((address, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    address, end = ready.result(20.0)
    try:
        yield address
    finally:
        end()
        thread.join(20.0)


@pytest.fixture(scope="module")
def servers(triton_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """All kinds of service, each with its model."""
    models = tmp_path_factory.mktemp("fpga")
    (models / "facile").symlink_to(MODELS / "facile")
    (models / "facile_fpga").mkdir()
    config = (MODELS / "facile_fpga" / "config.pbtxt").read_text()
    (models / "facile_fpga" / "config.pbtxt").write_text(config)
    make_version(models / "facile_fpga" / "1")
    card = {"facile_faast": WordModel(FpgaLibrary(compiled()))}
    network = onnx_function(MODELS / "facile" / "1" / "model.onnx")
    with (
        EmbeddedServer(models) as triton,
        in_a_thread(lambda: FaastService(card), "trtis") as faast,
        in_a_thread(lambda: BrainwaveService(network, "input"), "brainwave", "/facile_brainwave") as brainwave,
    ):
        yield [triton.url, faast, brainwave]


def energies(case: str, servers: list[str], settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """The output of the workflow, with this case."""
    process = configured(
        "facile_fpga",
        {
            **SMALL,
            "energy.case": case,
            "energy.fpga.models": "",
            "inference.servers": servers,
            **(settings or {}),
        },
    )
    process.end = EndPath(process.out)
    del process.plot
    process.run()
    return branches("output/facile_fpga.root")


def test_one_switch_and_the_same_products(servers: list[str]) -> None:
    """Each case writes the same branches; both FPGA services have the bits of the design, both float ones the network's."""
    written = {case: energies(case, servers) for case in CASES}
    features = np.concatenate([channel_features(event) for event in sample_channels(SAMPLE)])
    words = feature_words(features)
    fixed = word_energies(emulate(shipped_design(), words).view(np.uint16)).clip(np.float32(0.01))
    for case in ("fpga", "faast"):
        assert ak.to_numpy(ak.flatten(written[case]["energy"])).tobytes() == fixed.tobytes(), case
    for case in ("triton", "brainwave"):
        assert ak.to_numpy(ak.flatten(written[case]["energy"])) == pytest.approx(local_energies(features), rel=1e-6), (
            case
        )
    assert np.abs(fixed - local_energies(features)).max() < 0.5
    for case in CASES:
        assert str(written[case]["energy"].type) == str(written["triton"]["energy"].type)
        others = {name: array for name, array in written[case].items() if name != "energy"}
        assert_same(others, {name: written["triton"][name] for name in others})


def test_energies_do_not_depend_on_how_the_job_runs(servers: list[str]) -> None:
    """Words are whole numbers: the same bits for all blocks, streams, batches, and events that are padded."""
    expected = energies("faast", servers)
    for how in (
        {"options.block": 1, "options.streams": 16, "energy.faast.client.coalesce": False},
        {"options.block": 7, "energy.faast.client.max_rows": 33},
        {"options.block": 1000, "energy.faast.pad": 64},
    ):
        assert_same(energies("faast", servers, how), expected)


def test_a_stranger_needs_no_server(folder: Path) -> None:
    """With no server named, the job starts FaaST's service for itself, and ends it; the report says who answered."""
    process = configured("facile_fpga", {**SMALL, "energy.case": "faast"})
    process.end = EndPath(process.out)
    del process.plot
    report = process.run()
    (model,) = report.services["inference"]["models"]
    assert (model["model"], model["rows"]) == ("facile_faast", 480)
    host, _, port = model["server"].removeprefix("trtis://").partition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0, "it has ended with the job"
    assert len(branches("output/facile_fpga.root")["event"]) == 12


@pytest.mark.parametrize(("described", "model"), [("facile_brainwave", "facile"), ("resnet50_brainwave", RESNET)])
def test_descriptions_are_those_of_the_models(described: str, model: str) -> None:
    """What stands for a description that the protocol lacks has the tensors of the network behind it."""
    said, there = read_metadata(WORKFLOWS / "descriptions", described), read_metadata(MODELS, model)
    assert (said.inputs, said.outputs) == (there.inputs, there.outputs)


def test_the_top_tagger_on_brainwave(folder: Path) -> None:
    """The customise function gives the workflow a service with ResNet-50 alone, and a module that asks it."""
    changes = runpy.run_path(str(WORKFLOWS / "changes" / "brainwave.py"))
    network = folder / RESNET / "1" / "model.onnx"
    network.parent.mkdir(parents=True)
    network.touch()
    changes["brainwave"].__globals__["REPOSITORY"] = folder
    process = load(WORKFLOWS / "top_tagger.py", ["--network", "resnet50", "--file", "none.root"])
    process.customise(changes["brainwave"])
    (service,) = process.inference.config.local
    assert service.models == [process.top_score.config.client.model] == ["resnet50_brainwave"]
    assert str(network) in service.command
    assert (
        read_metadata(Path(process.inference.config.connection.descriptions), "resnet50_brainwave").max_batch_size == 1
    )
