"""`top_tagger.py`: jets of Pythia and of a real ntuple, both networks by a real Triton, equal to the networks run here."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.loading import load
from evproc.producers.top_tagger.producer import images_of
from evproc.producers.top_tagger.setup import weights_of
from evproc.sonic_client.embedded import EmbeddedServer
from tests.workflows.conftest import MODELS, WORKFLOWS, branches, open_root

WORKFLOW = WORKFLOWS / "top_tagger.py"
RESNET = "resnet50_top_tagger"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is in a fresh clone."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("top_tagger", RESNET):
        (folder / name).mkdir()
        shutil.copy(MODELS / name / "config.pbtxt", folder / name)
    shutil.copytree(MODELS / "top_tagger" / "1", folder / "top_tagger" / "1")
    return folder


@pytest.fixture(scope="module")
def server(triton_wheel: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """The real Triton with both networks, of which the service of the workflow makes one, as it would before a job."""
    process = load(WORKFLOW, ["--network", "resnet50"])
    process.override("inference.fallback.models", str(repository))
    assert asyncio.run(process.inference.check({"top_score": process.top_score})) == []
    with EmbeddedServer(repository) as server:
        yield server


@pytest.fixture(scope="module")
def job(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the command has run on six events that it made, and what it said."""
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        words = ["run", str(WORKFLOW), "--events", "6", "-o", f"inference.servers=[{server.url}]"]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return folder / "output", done.output


@pytest.fixture(scope="module")
def sample(job: tuple[Path, str]) -> Path:
    """Six events, nine jets."""
    return job[0] / "jets-6-seed1.root"


def images(path: str | Path) -> list[Any]:
    """The pictures of each event, from what uproot alone reads."""
    fields = {
        "FatJet": ("pt", "eta", "phi"),
        "PFCands": ("pt", "eta", "phi"),
        "FatJetPFCands": ("jetIdx", "pFCandsIdx"),
    }
    names = [f"{collection}_{field}" for collection, columns in fields.items() for field in columns]
    with open_root(path) as file:
        events = file["Events"].arrays(names)
    return [
        images_of(
            *(
                SimpleNamespace(**{field: ak.to_numpy(event[f"{collection}_{field}"]) for field in columns})
                for collection, columns in fields.items()
            )
        )
        for event in events
    ]


def local_scores(model: Path, pictures: Any) -> Any:
    """The network, run here on some pictures at once: (jets,) float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(model / "1" / "model.onnx", options, providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"image": pictures})[0][:, 1]


def scores(file: str | Path, url: str, *words: str, **settings: Any) -> Any:
    """The scores that the workflow writes, without pictures."""
    process = load(WORKFLOW, ["--file", str(file), *words])
    for key, value in {"inference.servers": [url], **settings}.items():
        process.override(key.replace("__", "."), value)
    process.override("performance.plot", "")
    process.override("performance.images", "")
    process.run()
    return branches(process.out.config.file)["top_score"]


def test_scores_are_those_of_the_network(server: EmbeddedServer, sample: Path, repository: Path) -> None:
    """Where a request is the same batch as here, the same bits; else within 1e-6, for all blocks and little memory."""
    pictures = images(sample)
    written = scores(sample, server.url, options__block=1, top_score__client__coalesce=False)
    for event, found in zip(pictures, written, strict=True):
        assert ak.to_numpy(found).tobytes() == local_scores(repository / "top_tagger", event).tobytes()
    together = local_scores(repository / "top_tagger", np.concatenate(pictures))
    for block, in_flight in ((7, 1), (1000, 64)):
        written = scores(sample, server.url, options__block=block, options__in_flight=in_flight)
        assert ak.to_numpy(ak.flatten(written)) == pytest.approx(together, rel=1e-6, abs=1e-9)


def test_resnet50_by_one_switch(server: EmbeddedServer, sample: Path, repository: Path) -> None:
    """`--network resnet50` asks the other network; its scores are its own, the same bits for the same batch."""
    words = ("--network", "resnet50")
    written = scores(
        sample, server.url, *words, options__block=1, top_score__client__coalesce=False, source__max_events=2
    )
    for event, found in zip(images(sample)[:2], written, strict=True):
        assert ak.to_numpy(found).tobytes() == local_scores(repository / RESNET, event).tobytes()


def test_real_particle_flow_candidates(
    server: EmbeddedServer, real_file: Callable[[str], str], repository: Path
) -> None:
    """FatJets of a real PFNano: each has the score of the picture of its own candidates."""
    path = real_file("pfnano.root")
    written = scores(path, server.url)
    pictures = images(path)
    assert [len(event) for event in written] == [len(event) for event in pictures]
    assert ak.to_numpy(ak.flatten(written)) == pytest.approx(
        local_scores(repository / "top_tagger", np.concatenate(pictures)), rel=1e-6, abs=1e-9
    )


def test_the_command(job: tuple[Path, str]) -> None:
    """One command makes a sample, scores, the ROC curve and the average pictures, and says the figures."""
    output, said = job
    assert "AUC" in said
    made = sorted(path.name for path in output.iterdir())
    assert made == ["jets-6-seed1.root", "top_tagger.png", "top_tagger.root", "top_tagger_jets.png"]
    assert {path.read_bytes()[:4] for path in output.glob("*.png")} == {b"\x89PNG"}
    assert set(branches(output / "top_tagger.root")) >= {"FatJet_pt", "FatJet_label", "top_score"}


def test_the_set_up_step_is_taken(server: EmbeddedServer, repository: Path) -> None:
    """ResNet-50 was made, untrained, where no server was named and its file was absent."""
    assert weights_of(repository / RESNET / "1" / "model.onnx") == "untrained"
