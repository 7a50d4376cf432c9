"""`evproc server`: servers that live beyond the command, by name; what is left when something is killed; containers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from evproc.framework.errors import ServerUnavailable
from evproc.sonic_client import server_registry
from evproc.sonic_client.embedded_command import models_to_load
from evproc.sonic_client.server_command import app
from evproc.sonic_client.server_container import as_text, container_command
from evproc.sonic_client.server_registry import KnownServer
from tests.conftest import identity_model, write_model
from tests.sonic_client.test_embedded import IDENTITY, infer_once

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one small model."""
    write_model(tmp_path / "models" / "identity", IDENTITY, identity_model())
    return tmp_path / "models"


@pytest.fixture
def home(triton_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own, with the real wheel; its servers are stopped in any case."""
    folder = tmp_path / "data"
    (folder / "triton").mkdir(parents=True)
    (folder / "triton" / triton_wheel.name).symlink_to(triton_wheel)
    monkeypatch.setenv("EVPROC_DATA_DIR", str(folder))
    yield folder
    for server in server_registry.known():
        server_registry.stop(server.name)


def evproc_server(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def family(server: KnownServer) -> list[psutil.Process]:
    """The supervisor, the server and its stubs."""
    supervisor = psutil.Process(server.pid)
    found = [supervisor, *supervisor.children(recursive=True)]
    assert len(found) >= 3
    return found


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    assert not alive


def test_a_server_from_start_to_stop(home: Path, repository: Path) -> None:
    """`start` leaves a server that answers, `status`, `models` and `logs` tell of it, `stop` leaves only its log."""
    done = evproc_server("start", "--models", repository)
    assert done.exit_code == 0, done.output
    server = server_registry.find("default")
    assert f"server 'default' answers at {server.url}" in done.output
    assert asyncio.run(infer_once(server.url))
    processes = family(server)

    done = evproc_server("status")
    assert done.exit_code == 0
    assert f"server 'default': {server.url}, process {server.pid}, for 0:00:" in done.output
    assert "models identity\n" in done.output
    assert "Triton 2.51.0:" in done.output
    for asked in ("default", server.url):
        done = evproc_server("models", asked)
        assert (
            done.output
            == "identity  (onnxruntime, version 1; up to 64 rows)\n  in   x: (16) FP32\n  out  y: (16) FP32\n"
        )
    done = evproc_server("logs", "-n", 2)
    assert done.output.count("\n") == 2
    assert "Started GRPCInferenceService" in done.output

    again = evproc_server("start", "--models", repository)
    assert again.exit_code == 6
    assert "runs already, at grpc://127.0.0.1:" in again.output
    done = evproc_server("stop")
    assert done.output == "server 'default' is stopped\n"
    assert_gone(processes)
    assert server_registry.known() == []
    assert Path(server.log).exists()


def test_several_by_name_and_over_http(home: Path, repository: Path) -> None:
    """Two names are two servers on ports of their own; `stop --all` ends both."""
    import urllib.request

    one = server_registry.start("one", [repository], http=True)
    two = server_registry.start("two", [repository], load=["identity"], threads=2)
    assert one.url != two.url
    assert [server.name for server in server_registry.known()] == ["one", "two"]
    with urllib.request.urlopen(f"{one.http_url}/v2/models/identity/ready", timeout=20) as answer:
        assert answer.status == 200
    processes = [*family(one), *family(two)]
    assert "no server is called 'tow' on this machine; did you mean 'two'?" in evproc_server("stop", "tow").output
    assert evproc_server("stop", "--all").output == "server 'one' is stopped\nserver 'two' is stopped\n"
    assert_gone(processes)


def test_a_server_outlives_the_command_and_its_terminal(home: Path, repository: Path) -> None:
    """The server goes on after the process that started it has ended, and after Ctrl-C in its terminal."""
    command = [sys.executable, "-c", "from evproc.sonic_client.server_command import app; app()", "start"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([*command, "--models", repository], env=environment, process_group=0) as job:
        assert job.wait(60) == 0
    server = server_registry.find("default")
    assert server.running
    assert psutil.Process(server.pid).ppid() != os.getpid()
    assert asyncio.run(infer_once(server.url))
    processes = family(server)
    assert server_registry.stop("default")
    assert_gone(processes)


def test_a_start_that_is_killed_leaves_nothing(home: Path, repository: Path) -> None:
    """After kill -9 of the command before the server answers, no process is left, and the name is free."""
    command = [sys.executable, "-c", "from evproc.sonic_client.server_command import app; app()", "start"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([*command, "--models", repository], env=environment) as job:
        processes: list[psutil.Process] = []
        while not any(process.name() == "tritonserver" for process in processes):
            assert job.poll() is None, "it was ready before the test could look"
            processes = psutil.Process(job.pid).children(recursive=True)
        job.kill()
    assert_gone(processes)
    assert server_registry.known() == []
    assert server_registry.start("default", [repository]).running


@pytest.mark.parametrize("victim", ["supervisor", "tritonserver"])
def test_a_server_that_is_killed(home: Path, repository: Path, victim: str) -> None:
    """After kill -9 of the server, or of the process that watches over it, nothing runs, it says so, and it starts again."""
    server = server_registry.start("default", [repository])
    processes = family(server)
    shared = processes[0].cmdline()[7]
    (target,) = [one for one in processes if one.name() == victim] or processes[:1]
    target.kill()
    assert_gone(processes)
    assert not server.running
    if victim == "tritonserver":
        assert not list(Path("/dev/shm").glob(f"{shared}*"))
    done = evproc_server("status", "default")
    assert done.exit_code == 6
    assert done.output == f"server 'default': has ended by itself; its log: {server.log}\n"
    assert server_registry.start("default", [repository]).pid != server.pid
    assert evproc_server("stop").output == "server 'default' is stopped\n"


def test_a_stopped_server_does_not_answer(home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs is told apart from one that has ended."""
    monkeypatch.setattr("evproc.sonic_client.server_questions._TIMEOUT", 0.3)
    server = server_registry.start("default", [repository])
    (triton,) = [process for process in family(server) if process.name() == "tritonserver"]
    triton.suspend()
    try:
        done = evproc_server("status", "default")
    finally:
        triton.resume()
    assert done.exit_code == 6
    assert "does not answer: " in done.output


def test_a_pid_that_is_used_again_is_left_alone(home: Path, tmp_path: Path) -> None:
    """A file that names a process which was started at another time speaks of a server that has ended; nothing is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        server = KnownServer(
            "default", "grpc://127.0.0.1:1", "", other.pid, 7, 0.0, ("models",), (), 1, str(tmp_path / "log")
        )
        server_registry.folder().mkdir(parents=True)
        server_registry._write(server_registry.folder() / "default.json", server)
        assert server_registry.find("default") == server
        assert not server.running
        assert evproc_server("stop").output == "server 'default' had ended already\n"
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0


def test_files_that_are_none_of_ours(home: Path) -> None:
    """A file that cannot be read as a server is no server."""
    server_registry.folder().mkdir(parents=True)
    for name, text in (("a", "{"), ("b", "[]"), ("c", json.dumps({"name": "c"}))):
        (server_registry.folder() / f"{name}.json").write_text(text)
    assert server_registry.known() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x"])
def test_names_that_are_none(home: Path, repository: Path, name: str) -> None:
    """A name becomes a file; what could be another one is refused."""
    with pytest.raises(ServerUnavailable, match="is no name for a server"):
        server_registry.start(name, [repository])


def test_a_start_that_fails_says_why_and_leaves_no_file(home: Path, tmp_path: Path) -> None:
    """A repository that is not there is the error of the command, and no server of that name is known."""
    done = evproc_server("start", "--models", tmp_path / "nowhere")
    assert done.exit_code == 6
    assert "nowhere is not there" in done.output
    assert server_registry.known() == []


def test_models_of_a_repository(repository: Path) -> None:
    """`models --models FOLDER` needs no server; a folder that is not there is an error."""
    done = evproc_server("models", "--models", repository)
    assert done.output.startswith("identity  (onnxruntime, version 1; up to 64 rows)\n")
    assert evproc_server("models", "--models", repository / "nowhere").exit_code == 6
    assert "is not the address of a server" in evproc_server("models", "://").output


def test_following_a_log(home: Path, repository: Path) -> None:
    """`logs --follow` ends with the server, and shows all that it wrote."""
    server = server_registry.start("default", [repository])
    command = [
        sys.executable,
        "-c",
        "from evproc.sonic_client.server_command import app; app()",
        "logs",
        "-f",
        "-n",
        "1",
    ]
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        first = logs.stdout.readline()
        os.kill(server.pid, signal.SIGTERM)
        rest = logs.stdout.read()
        assert logs.wait(20) == 0
    assert (first + rest).endswith(Path(server.log).read_text().splitlines()[-1] + "\n")
    assert "Signal (15) received" in rest


# Containers.


def test_the_command_of_a_container(repository: Path) -> None:
    """`--print-container` prints one command, starts nothing, and needs no wheel; all options are in it."""
    done = evproc_server(
        "start", "--models", repository, "--print-container", "docker", "--load", "identity", "--port", 9001
    )
    assert done.exit_code == 0
    words = done.output.replace("\\\n", "").split()
    assert words == container_command("docker", [repository], ["identity"], port=9001)
    assert words[:2] == ["docker", "run"]
    assert {"--gpus=all", "--ipc=host", "--publish=127.0.0.1:9001:9001", "--grpc-port=9001"} < set(words)
    assert {f"--volume={repository}:/models/0:ro", "--model-repository=/models/0", "--load-model=identity"} < set(words)


def test_containers_of_each_kind(tmp_path: Path) -> None:
    """podman and apptainer have their own words for GPUs and folders; apptainer listens on loopback itself."""
    podman = container_command("podman", ["a", "b"], gpu=False, name="x")
    assert podman[:4] == ["podman", "run", "--rm", "--name=evproc-x"]
    assert not [word for word in podman if "gpu" in word]
    assert f"--volume={Path('b').absolute()}:/models/1:ro" in podman
    assert "--device=nvidia.com/gpu=all" in container_command("podman", ["a"])
    apptainer = container_command("apptainer", [tmp_path / "with space"], image="/images/triton.sif")
    assert {"--nv", "--grpc-address=127.0.0.1", "/images/triton.sif"} < set(apptainer)
    assert "docker://nvcr.io/nvidia/tritonserver:24.10-py3" in container_command("apptainer", ["a"])
    assert f"'--bind={tmp_path}/with space:/models/0:ro'" in as_text(apptainer)


def test_a_repository_is_asked_for() -> None:
    """`start` without a repository says which option is missing."""
    done = evproc_server("start")
    assert done.exit_code == 2
    assert "--models" in done.output


MADE_BY = 'parameters { key: "made_by" value { string_value: "python -m make.it" } }\n'


def test_a_model_without_a_version_is_left_out(home: Path, repository: Path) -> None:
    """Where all are served it is left out, which is said; asked for by name, the error names the command that makes it."""
    (repository / "large" / "1").mkdir(parents=True)
    (repository / "large" / "1" / ".model.onnx.part").write_text("half a model")
    (repository / "large" / "config.pbtxt").write_text(IDENTITY + MADE_BY)
    why = f"model 'large' in '{repository}' has no version; make it: python -m make.it"
    done = evproc_server("start", "--models", repository)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"left out: {why}\nserver 'default' answers")
    assert "models identity\n" in evproc_server("status").output
    asked = evproc_server("start", "other", "--models", repository, "--load", "large")
    assert asked.exit_code == 6
    assert why in asked.output
    listed = evproc_server("models", "--models", repository).output
    assert "large  (onnxruntime, no version; make it: python -m make.it; up to 64 rows)" in listed
    assert "--load-model=identity" in container_command("docker", [repository])


def test_a_repository_of_models_without_versions(tmp_path: Path) -> None:
    """There is nothing to start, and the error says what makes the models; an ensemble needs no file in its version."""
    folder = tmp_path / "models" / "large"
    folder.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(IDENTITY)
    with pytest.raises(ServerUnavailable, match=r"no model in the repository .*model 'large' in '.*' has no version$"):
        models_to_load([folder.parent], None)
    (folder / "1").mkdir()
    (folder / "config.pbtxt").write_text('platform: "ensemble"')
    assert models_to_load([folder.parent], None) == ["large"]
