"""What the tests of whole workflows share: the command, the shipped models on a real server, and ntuples."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import psutil
import pytest
import uproot
from typer.testing import CliRunner

from evproc.framework.cli.main import app
from evproc.framework.loading import load
from evproc.framework.process import Process
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec
from tests.root_files import open_root

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
MODELS = ROOT / "models"
FAULTY = Path(__file__).parent / "faulty"
REAL_DATA = Path(os.environ.get("EVPROC_TEST_DATA", ROOT.parent / "shared" / "data"))
EVPROC = [sys.executable, "-c", "from evproc.framework.cli.main import main; main()"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Workflows write into the current folder; loading leaves theirs on sys.path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def real_file() -> Callable[[str], str]:
    """The path of a real ntuple; the test is skipped where it is absent."""

    def find(name: str) -> str:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"the real ntuple {name} is not in {REAL_DATA} (EVPROC_TEST_DATA says where to look)")
        return str(path)

    return find


@pytest.fixture(scope="session")
def models_server(triton_wheel: Path) -> Iterator[EmbeddedServer]:
    """The real Triton with the models that most workflows of the tests ask for."""
    with EmbeddedServer(MODELS, load=["facile", "jet_energy", "deepcalo", "top_tagger"]) as server:
        yield server


def configured(workflow: str | Path, settings: dict[str, Any]) -> Process:
    """A workflow, by its name or path, with settings as `-o` makes them."""
    process = load(WORKFLOWS / f"{workflow}.py" if isinstance(workflow, str) else workflow)
    for key, value in settings.items():
        process.override(key, value)
    return process


def branches(file: str | Path, tree: str = "Events") -> dict[str, Any]:
    """All branches of a file, as uproot alone reads them."""
    with open_root(file) as opened:
        return {name: opened[tree][name].array() for name in opened[tree].keys()}  # noqa: SIM118


def bits(array: Any) -> list[Any]:
    """The values of an awkward array: structure, and numbers by their bytes, so that NaN and -0.0 count."""
    form, length, buffers = ak.to_buffers(ak.to_packed(array))
    return [str(form), length, {key: np.asarray(buffer).tobytes() for key, buffer in buffers.items()}]


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two files have the same branches with the same bits."""
    assert one.keys() == other.keys()
    assert [name for name in one if bits(one[name]) != bits(other[name])] == []


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def evproc() -> Callable[..., Done]:
    """The command `evproc`, in this process."""

    def run(*arguments: str | Path) -> Done:
        shown = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return Done(shown.exit_code, shown.stdout, shown.stderr)

    return run


@pytest.fixture
def fails(evproc: Callable[..., Done], folder: Path) -> Callable[..., str]:
    """Run a command that must fail, and return what it said; it must leave no file, no process and no thread."""

    def run(code: int, *arguments: str | Path) -> str:
        files, children = files_below(folder), psutil.Process().children(recursive=True)
        threads = {thread.name for thread in threading.enumerate()}
        done = evproc(*arguments)
        assert done.code == code, done
        assert "Traceback" not in done.err
        assert files_below(folder) == files
        assert [child for child in psutil.Process().children(recursive=True) if child not in children] == []
        assert {thread.name for thread in threading.enumerate() if thread.name.startswith("evproc")} <= threads
        return done.err

    return run


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command `evproc` as a program of its own, with its own folder for logs; it is killed with the test."""
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("logs"))}
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        command = [*EVPROC, *(str(argument) for argument in arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        started.append(subprocess.Popen(command, **streams, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def write_root(path: str | Path, arrays: dict[str, Any], tree: str = "Events", basket: int = 1000) -> str:
    """An ntuple of some arrays."""
    new: Any = uproot.recreate(path)
    with new as file:
        made = file.mktree(tree, {key: str(ak.type(ak.Array(array)).content) for key, array in arrays.items()})
        for begin in range(0, len(next(iter(arrays.values()))), basket):
            made.extend({key: array[begin : begin + basket] for key, array in arrays.items()})
    return str(path)


def jets(events: int, seed: int = 5, most: int = 4) -> dict[str, Any]:
    """Arrays of events with jets, in the manner of NanoAOD."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, most + 1, events)
    rows = int(counts.sum())
    number = np.arange(events)
    return {
        "run": np.ones(events, np.uint32),
        "luminosityBlock": (1 + number // 50).astype(np.uint32),
        "event": (number + 1000).astype(np.uint64),
        "MET_pt": random.exponential(30.0, events).astype(np.float32),
        "Jet_pt": ak.unflatten(random.exponential(40.0, rows).astype(np.float32), counts),
        "Jet_eta": ak.unflatten(random.normal(0.0, 2.0, rows).astype(np.float32), counts),
    }


def muons(events: int, seed: int = 6) -> dict[str, Any]:
    """Arrays of events with muons, in the manner of NanoAOD."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 5, events)
    rows = int(counts.sum())
    fields = {
        "pt": random.exponential(30.0, rows).astype(np.float32),
        "eta": random.normal(0.0, 1.5, rows).astype(np.float32),
        "phi": random.uniform(-np.pi, np.pi, rows).astype(np.float32),
        "mass": np.full(rows, 0.1056, np.float32),
        "charge": random.choice(np.array([-1, 1], np.int32), rows),
    }
    arrays = {key: value for key, value in jets(events).items() if not key.startswith("Jet")}
    return arrays | {f"Muon_{name}": ak.unflatten(values, counts) for name, values in fields.items()}


def score(rows: Any) -> Any:
    """What the model `score` computes, each row for itself: (rows, 2) to (rows, 1) float32."""
    return (rows[:, :1] * np.float32(0.75) + np.sin(rows[:, 1:])).astype(np.float32)


def score_server(**options: Any) -> FakeServer:
    """A fake server with the model `score`."""
    spec = TensorSpec("x", np.dtype("float32"), (2,))
    answer = TensorSpec("y", np.dtype("float32"), (1,))
    model = {key: options.pop(key) for key in ("latency", "max_batch_size") if key in options}
    return FakeServer([FakeModel("score", [spec], [answer], lambda x: {"y": score(x["x"])}, **model)], **options)
