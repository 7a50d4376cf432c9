"""`em_track_michel.py`: scores of hits by a real Triton, from a repository in which the weights are not there at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import awkward as ak
import numpy as np
import pytest

from evproc.framework import EndPath
from evproc.producers.em_track_michel import set_up
from evproc.producers.em_track_michel.network import CLASSES, INPUT, MICHEL, MODEL
from evproc.producers.em_track_michel.patches import PatchMaker, wire_images
from evproc.producers.em_track_michel.readout import make_event
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec
from tests.workflows.conftest import MODELS, WORKFLOWS, Done, assert_same, branches, configured

WORKFLOW = WORKFLOWS / "em_track_michel.py"
SIZES = {"wires": 60, "ticks": 384, "tracks": 1, "muons": 1, "showers": 0}
SMALL = {"source.events": 2, **{f"source.{name}": size for name, size in SIZES.items()}}
ON_COMMAND_LINE = [word for key, value in SMALL.items() for word in ("-o", f"{key}={value}")]
HOW: list[dict[str, Any]] = [
    {"options.block": 1, "hits.client.max_rows": 7},
    {"options.block": 7, "hits.client.coalesce": False},
    {"options.block": 1000, "hits.client.max_rows": 16384, "hits.client.max_request": 152},
    {"options.streams": 1, "options.in_flight": 0.01, "hits.client.max_rows": 100},
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository as in a fresh clone: the configuration, and no version."""
    folder = tmp_path_factory.mktemp("models")
    copytree(MODELS / MODEL, folder / MODEL, ignore=ignore_patterns("1"))
    return folder


@pytest.fixture(scope="module")
def server(triton_wheel: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """The real Triton with the network that the set-up step makes without torch."""
    if not set_up.model_file(repository).exists():
        set_up.main(["--models", str(repository), "--untrained"])
    with EmbeddedServer(repository) as server:
        yield server


def event_patches(number: int) -> Any:
    """The patches of one event of the sample."""
    event = make_event(1, number, **SIZES)
    places: Any = [event.hits[name] for name in ("plane", "wire", "time")]
    return PatchMaker(wire_images(event.adc), *places).patches()


def scores(settings: dict[str, Any], url: str) -> dict[str, Any]:
    """The output of the workflow, no picture drawn."""
    process = configured("em_track_michel", {**SMALL, **settings, "inference.servers": [url]})
    process.end = EndPath(process.out)
    del process.plot
    process.run()
    return branches("output/em_track_michel.root")


def test_from_a_fresh_clone(evproc: Callable[..., Done], repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Without weights and servers one command says that it makes the weights, makes them, and runs; all say untrained."""
    settings = ["-o", f"inference.fallback.models={repository}", "-o", "inference.untrained=true"]
    settings += ["-o", f"plot.model_file={set_up.model_file(repository)}"]
    done = evproc("run", WORKFLOW, *ON_COMMAND_LINE, *settings)
    assert done.code == 0, done
    assert f"making {set_up.model_file(repository)}: seeded initial weights, untrained" in done.out
    assert "untrained: as asked for" in capfd.readouterr().out
    assert "of Michel electrons; weights: untrained" in done.out
    assert Path("output/em_track_michel.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert len(branches("output/em_track_michel.root")["event"]) == 2


def test_scores_are_those_of_the_network(server: EmbeddedServer, repository: Path) -> None:
    """Event by event the same bits as onnxruntime, 64 rows at a time as the configuration has it."""
    import onnxruntime

    written = scores({"options.block": 1, "hits.client.coalesce": False}, server.url)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = set_up.model_file(repository)
    session: Any = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for number in range(2):
        rows = event_patches(number)
        assert len(rows) > 64
        parts = [session.run([CLASSES, MICHEL], {INPUT: rows[begin : begin + 64]}) for begin in range(0, len(rows), 64)]
        classes, michel = (np.concatenate(column) for column in zip(*parts, strict=True))
        for name, expected in zip(("track", "em", "none"), classes.T, strict=True):
            assert ak.to_numpy(written[f"hits_{name}"][number]).tobytes() == expected.tobytes()
        assert ak.to_numpy(written["hits_michel"][number]).tobytes() == michel.tobytes()


def test_scores_do_not_depend_on_how_the_job_runs(server: EmbeddedServer) -> None:
    """For all blocks, requests and budgets: within 1e-6 of one another, and all but the scores have the same bits."""
    expected = scores({}, server.url)
    made = [key for key in expected if key in ("hits_track", "hits_em", "hits_none", "hits_michel", "hits_cluster")]
    assert len(made) == 5
    for how in HOW[1:3]:
        written = scores(how, server.url)
        for key in made:
            assert ak.num(written[key]).to_list() == ak.num(expected[key]).to_list()
            found, wanted = (ak.to_numpy(ak.flatten(arrays[key])) for arrays in (written, expected))
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6), how
        others = [{key: array for key, array in arrays.items() if key not in made} for arrays in (written, expected)]
        assert_same(*others)


def test_evproc_adds_nothing(folder: Path) -> None:
    """With a model that is exact row by row, scores have the same bits for all blocks, requests and budgets."""
    image = TensorSpec(INPUT, np.dtype("f4"), (48, 48, 1))
    answers = [TensorSpec(CLASSES, np.dtype("f4"), (3,)), TensorSpec(MICHEL, np.dtype("f4"), (1,))]

    def row_wise(inputs: Any) -> Any:
        rows = inputs[INPUT][..., 0]
        return {CLASSES: np.abs(rows[:, 24, 23:26]), MICHEL: rows[:, 23:24, 24]}

    with FakeServer([FakeModel(MODEL, [image], answers, row_wise, 65536)]) as server:
        expected = scores({}, server.url)
        rows = event_patches(1)[..., 0]
        assert ak.to_numpy(expected["hits_em"][1]).tobytes() == np.abs(rows[:, 24, 24]).tobytes()
        for how in HOW:
            assert_same(scores(how, server.url), expected)
