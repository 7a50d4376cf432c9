"""The embedded Triton: where it comes from, how it starts, and that it is never left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from evproc.framework.errors import DeadlineExceeded, InternalError, ServerUnavailable
from evproc.sonic_client import embedded
from evproc.sonic_client import triton_wheel as triton_wheel_module
from evproc.sonic_client.embedded import EmbeddedServer
from evproc.sonic_client.embedded_layout import is_complete
from evproc.sonic_client.server_command import app
from evproc.sonic_client.transport import open_transport
from tests.conftest import SIXTEEN_IN, identity_model, write_model

IDENTITY = (
    'backend: "onnxruntime"\nmax_batch_size: 64\ninstance_group [{ count: 1 kind: KIND_CPU }]\n'
    + SIXTEEN_IN
    + 'output [{ name: "y" data_type: TYPE_FP32 dims: [ 16 ] }]\n'
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one small model."""
    folder = tmp_path_factory.mktemp("small")
    write_model(folder / "identity", IDENTITY, identity_model())
    return folder


def family(pid: int) -> list[psutil.Process]:
    """The supervisor of the job `pid`, the server and its stubs."""
    return psutil.Process(pid).children(recursive=True)


def family_of(server: EmbeddedServer) -> list[psutil.Process]:
    """The supervisor of a server of this process, the server and its stubs."""
    assert server._supervisor is not None
    supervisor = psutil.Process(server._supervisor.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def assert_gone(processes: list[psutil.Process], shared: str) -> None:
    """All processes have ended, and neither folder nor shared memory is left."""
    assert len(processes) >= 3, "the supervisor, the server and a stub"
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    assert not alive
    assert not list(Path("/dev/shm").glob(f"{shared}*"))


async def infer_once(url: str) -> bool:
    transport = open_transport(url)
    try:
        rows = np.ones((2, 16), "f4")
        outputs = await transport.infer("identity", "", {"x": rows}, ["y"], timeout=20.0)
        return bool((outputs["y"] == rows).all())
    finally:
        await transport.close()


# Starting and stopping.


def test_start_and_stop_in_a_loop(triton_wheel, small) -> None:
    """start() returns when the model answers; stop() when every process, the folder and the log are gone."""

    async def main() -> None:
        server = EmbeddedServer(small)
        await server.start()
        try:
            assert server.running
            assert await infer_once(server.url)
            with pytest.raises(InternalError, match="started already"):
                await server.start()
            assert server.running
            processes, log = family_of(server), server.log_path
            folder, shared = Path(processes[0].cmdline()[6]), processes[0].cmdline()[7]
            assert folder.is_dir()  # noqa: ASYNC240
            assert list(Path("/dev/shm").glob(f"{shared}*"))  # noqa: ASYNC240
        finally:
            await server.stop()
            await server.stop()
        assert_gone(processes, shared)
        assert not server.running
        assert log is not None
        assert not log.exists()
        assert not folder.exists()  # noqa: ASYNC240
        with pytest.raises(InternalError, match="no address"):
            server.url  # noqa: B018

    asyncio.run(main())


def test_it_listens_on_loopback_only(triton) -> None:
    """The server has one port, and that on 127.0.0.1."""
    port = int(triton.url.rsplit(":", 1)[1])
    connections = [found for process in family_of(triton) for found in process.net_connections("tcp")]
    listening = [found.laddr for found in connections if found.status == psutil.CONN_LISTEN]
    assert port in {address.port for address in listening}
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_port_that_is_taken_is_tried_again_with_another(triton_wheel, small, monkeypatch) -> None:
    """If another process takes the port first, the server is started on another one."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        real = embedded.free_port
        ports = iter([other.getsockname()[1]])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports, None) or real())
        with EmbeddedServer(small) as server:
            assert not server.url.endswith(f":{other.getsockname()[1]}")
            assert asyncio.run(infer_once(server.url))


def test_only_the_models_named_are_loaded(triton_wheel, model_repository, tmp_path) -> None:
    """`load` restricts the models, and a log that was asked for stays."""
    log = tmp_path / "triton.log"

    async def models(url: str) -> tuple[str, ...]:
        transport = open_transport(url)
        try:
            return await transport.models(20.0)
        finally:
            await transport.close()

    with EmbeddedServer([model_repository], load=["mlp"], log=log) as server:
        assert asyncio.run(models(server.url)) == ("mlp",)
        assert server.log_path == log
    assert "Started GRPCInferenceService" in log.read_text()


ENSEMBLE = """
platform: "ensemble"
max_batch_size: 64
input [{ name: "x" data_type: TYPE_FP32 dims: [ 16 ] }]
output [{ name: "z" data_type: TYPE_FP32 dims: [ 16 ] }]
ensemble_scheduling { step [
  { model_name: "identity" model_version: -1 input_map { key: "x" value: "x" } output_map { key: "y" value: "between" } },
  { model_name: "threads" model_version: -1 input_map { key: "x" value: "between" } output_map { key: "y" value: "z" } }
] }
"""
THREADS = """
import os
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, "x"))
            y = np.full_like(x, float(os.environ["OMP_NUM_THREADS"]))
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack("y", y)]))
        return answers
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_an_ensemble_brings_its_models_and_libraries_few_threads(triton_wheel, tmp_path, monkeypatch, threads) -> None:
    """An ensemble of an ONNX and a Python model needs only its own name in `load`; `threads` is for Python models too."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write_model(tmp_path / "identity", IDENTITY, identity_model())
    write_model(tmp_path / "threads", IDENTITY.replace("onnxruntime", "python"), THREADS)
    write_model(tmp_path / "whole", ENSEMBLE, "")

    async def ask(url: str) -> list[float]:
        transport = open_transport(url)
        try:
            assert await transport.models(20.0) == ("identity", "threads", "whole")
            outputs = await transport.infer("whole", "", {"x": np.zeros((2, 16), "f4")}, ["z"], timeout=20.0)
            return np.unique(outputs["z"]).tolist()
        finally:
            await transport.close()

    with EmbeddedServer(tmp_path, load=["whole"], threads=threads) as server:
        assert asyncio.run(ask(server.url)) == [threads]


# Faults of a start.


def failing(server: EmbeddedServer, timeout: float = 60.0) -> str:
    """The message with which a start fails; nothing may be left running."""
    before = {process.pid for process in family(os.getpid())}
    with pytest.raises(ServerUnavailable) as caught:
        asyncio.run(server.start(timeout))
    assert {process.pid for process in family(os.getpid())} <= before
    assert not server.running
    return str(caught.value)


def test_a_broken_model_is_quoted_from_the_log(triton_wheel, tmp_path, small) -> None:
    """A model file that is no ONNX stops the start; the error names the model, gives the reason and the log, which stays."""
    write_model(tmp_path / "broken", IDENTITY, identity_model())
    (tmp_path / "broken" / "1" / "model.onnx").write_bytes(b"this is no network")
    server = EmbeddedServer([small, tmp_path])
    message = failing(server)
    assert "cannot load its models" in message
    assert "model 'broken': " in message
    assert "InvalidProtobuf" in message
    assert "identity" not in message
    assert server.log_path is not None
    assert str(server.log_path) in message
    server.log_path.unlink()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("this is no configuration", "model 'wrong': failed to read .*config.pbtxt.*no field named \"this\""),
        (IDENTITY.replace("onnxruntime", "onnxrumtime"), "onnxrumtime"),
        (
            IDENTITY.replace("TYPE_FP32", "TYPE_STRING"),
            "tensor 'x' is TYPE_STRING, which evproc's embedded server cannot carry",
        ),
    ],
)
def test_a_wrong_configuration_is_quoted(triton_wheel, tmp_path, config: str, words: str) -> None:
    """A configuration that the server cannot use is named, with the server's reason."""
    write_model(tmp_path / "wrong", config, identity_model())
    message = failing(EmbeddedServer(tmp_path, log=tmp_path / "log"))

    assert re.search(words, message, re.DOTALL), message


def test_what_is_not_there(triton_wheel, small, tmp_path) -> None:
    """A repository or a model that is not there is found before anything is started."""
    assert failing(EmbeddedServer(tmp_path / "nowhere")).endswith("nowhere is not there")
    assert "no model in the repository" in failing(EmbeddedServer(tmp_path))
    assert "model 'identiti' is not in the repository" in failing(EmbeddedServer(small, load=["identiti"]))
    assert "did you mean 'identity'?" in failing(EmbeddedServer(small, load=["identiti"]))


def test_a_start_that_takes_too_long(triton_wheel, small) -> None:
    """After the timeout the start is given up, and nothing is left."""
    server = EmbeddedServer(small)
    with pytest.raises(DeadlineExceeded, match="not ready within 0 s"):
        asyncio.run(server.start(0.0))
    assert not server.running
    assert server.log_path is not None
    server.log_path.unlink()


def test_a_cancelled_start_leaves_nothing(triton_wheel, small) -> None:
    """Cancelling the task that starts the server stops what was started."""

    async def main() -> EmbeddedServer:
        server = EmbeddedServer(small)
        task = asyncio.create_task(server.start())
        while server._supervisor is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return server

    before = {process.pid for process in family(os.getpid())}
    server = asyncio.run(main())
    assert {process.pid for process in family(os.getpid())} <= before
    assert server.log_path is not None
    server.log_path.unlink()


def test_a_server_that_dies_says_why(triton_wheel, small) -> None:
    """If the server is killed while it runs, `running` turns False, and `why_ended` quotes its log."""
    server = EmbeddedServer(small)
    with server:
        (process,) = [process for process in family_of(server) if process.name() == "tritonserver"]
        process.kill()
        with pytest.raises(ServerUnavailable, match=r"ended with code 137; its log .* ends with:"):
            server.wait()
        assert not server.running
    assert server.log_path is not None
    server.log_path.unlink()


# A job that ends.

JOB = """
import asyncio, os, sys
from evproc.sonic_client.embedded import EmbeddedServer
from tests.sonic_client.test_embedded import infer_once
with EmbeddedServer(sys.argv[1], log=sys.argv[2]) as server:
    try:
        print(server.url, flush=True)
        {what}
    except KeyboardInterrupt:
        print(asyncio.run(infer_once(server.url)), flush=True)
"""


def start_job(small: Path, what: str) -> subprocess.Popen:
    """A job of its own process group, as a shell would start it, with the server up."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    log = small.with_suffix(".log")
    command = [sys.executable, "-c", JOB.format(what=what), str(small), str(log)]
    job = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, process_group=0
    )
    assert job.stdout is not None
    assert job.stdout.readline().startswith("grpc://127.0.0.1:")
    return job


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_is_killed_leaves_nothing(triton_wheel, small, number: int) -> None:
    """After kill -9, or a SIGTERM that it does not handle, all processes of the job's server are gone."""
    with start_job(small, "sys.stdin.read()") as job:
        processes = family(job.pid)
        os.kill(job.pid, number)
        assert job.wait() == -number
        assert_gone(processes, f"evproc_{job.pid}_")


def test_a_forked_child_does_not_keep_the_server(triton_wheel, small) -> None:
    """The server ends with the job even if a child that the job forked lives on, with all its open files."""
    with start_job(small, "os.fork() and print('forked', flush=True); sys.stdin.read()") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "forked\n"
        everyone = family(job.pid)
        (child,) = [
            process for process in everyone if process.name().startswith("python") and process.cmdline()[1] == "-c"
        ]
        try:
            job.kill()
            assert job.wait() == -signal.SIGKILL
            assert_gone([process for process in everyone if process != child], f"evproc_{job.pid}_")
            assert child.is_running()
        finally:
            child.kill()


def test_ctrl_c_reaches_the_job_and_not_the_server(triton_wheel, small) -> None:
    """A SIGINT to the job's process group, as a terminal sends it, leaves the server up until the job is done with it."""
    with start_job(small, "sys.stdin.read()") as job:
        processes = family(job.pid)
        os.killpg(job.pid, signal.SIGINT)
        assert job.stdout is not None
        assert job.stdout.readline() == "True\n"
        assert job.wait() == 0
        assert_gone(processes, f"evproc_{job.pid}_")


# Where the server comes from.


def test_the_data_folder(tmp_path) -> None:
    """EVPROC_DATA_DIR comes first, then XDG_DATA_HOME, then the home folder."""
    assert triton_wheel_module.data_folder({"EVPROC_DATA_DIR": str(tmp_path), "XDG_DATA_HOME": "/x"}) == tmp_path
    assert triton_wheel_module.data_folder({"XDG_DATA_HOME": "/x"}) == Path("/x/evproc")
    assert triton_wheel_module.data_folder({}) == Path.home() / ".local/share/evproc"


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and pip without any index but a folder of wheels."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("EVPROC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return wheels


def make_wheel(folder: Path, *, lacking: str = "") -> None:
    """A wheel with the names of the real one and nothing in its files."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    server = "pytriton/tritonserver"
    names = [
        f"{server}/bin/tritonserver",
        f"{server}/backends/python/libtriton_python.so",
        f"{server}/backends/python/triton_python_backend_utils.py",
        f"{server}/python_backend_stubs/{python}/triton_python_backend_stub",
        "nvidia_pytriton.libs/libtriton.so",
    ]
    information = "nvidia_pytriton-0.7.0.dist-info"
    with zipfile.ZipFile(folder / "nvidia_pytriton-0.7.0-py3-none-any.whl", "w") as wheel:
        for name in names:
            if not lacking or lacking not in name:
                wheel.writestr(name, "")
        wheel.writestr(
            f"{information}/METADATA",
            "Metadata-Version: 2.1\nName: nvidia-pytriton\nVersion: 0.7.0\nRequires-Dist: numpy<2\n",
        )
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")


def test_a_missing_wheel_names_the_command(offline, small) -> None:
    """Without the wheel, a start says which command brings it."""
    message = failing(EmbeddedServer(small))
    assert "run: evproc server install" in message
    assert str(offline.parent / "data") in message


def test_pip_that_fails_is_quoted(offline) -> None:
    """If pip cannot fetch the wheel, the error has pip's reason, and no folder is left."""
    with pytest.raises(
        ServerUnavailable, match=r"(?s)pip could not fetch nvidia-pytriton==0\.7\.0 .*offline.*No matching"
    ):
        triton_wheel_module.install()
    assert list((offline.parent / "data" / "triton").iterdir()) == []


def test_two_installations_at_once(offline) -> None:
    """Four installations at once, and one more, give one complete folder and no rest."""
    make_wheel(offline)
    with ThreadPoolExecutor(4) as pool:
        folders = {future.result() for future in [pool.submit(triton_wheel_module.install) for _ in range(4)]}
    assert folders == {triton_wheel_module.install()}
    (folder,) = folders
    assert list(folder.parent.iterdir()) == [folder]
    assert triton_wheel_module.locate().binary.exists()


def test_an_incomplete_wheel_is_not_installed(offline) -> None:
    """A wheel without a file that is needed is refused by that file's name."""
    make_wheel(offline, lacking="stub")
    with pytest.raises(ServerUnavailable, match="lacks pytriton/tritonserver/python_backend_stubs"):
        triton_wheel_module.install()
    assert not triton_wheel_module.is_installed()


@pytest.mark.parametrize(
    ("system", "machine", "python", "words"),
    [
        ("Darwin", "arm64", "3.12", "Linux on x86_64 only, not on Darwin on arm64"),
        ("Linux", "aarch64", "3.12", "not on Linux on aarch64"),
        ("Linux", "x86_64", "3.14", r"no Python backend for Python 3\.14; it has one for 3\.8, .*3\.13"),
    ],
)
def test_other_machines_are_told_so(system: str, machine: str, python: str, words: str) -> None:
    """Where the wheel has nothing that runs, the error says what it has."""
    with pytest.raises(ServerUnavailable, match=words):
        triton_wheel_module._check_platform(system, machine, python)


def test_a_static_python_is_told_what_to_install(monkeypatch, tmp_path) -> None:
    """Without a shared libpython, the error names it and the packages that bring it."""
    monkeypatch.setattr(triton_wheel_module.sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(triton_wheel_module.sys, "base_prefix", str(tmp_path))
    with pytest.raises(ServerUnavailable, match=r"libpython3\.\d+\.so\.1\.0.*Debian and Ubuntu install libpython3"):
        triton_wheel_module.shared_python()


def test_onnxruntime_is_asked_for_by_name(monkeypatch, small, triton_wheel) -> None:
    """Without onnxruntime, a repository with ONNX models says which extra to install."""
    monkeypatch.setattr(triton_wheel_module, "find_spec", lambda name: None)
    assert "pip install 'evproc[server]'" in failing(EmbeddedServer(small))


@pytest.mark.parametrize("missing", ["", "backend", "max_batch_size", "input", "output"])
def test_complete_configurations_are_recognised(tmp_path, missing: str) -> None:
    """The server is spared asking the models only if no configuration leaves anything out."""
    lines = [line for line in IDENTITY.splitlines() if not missing or not line.startswith(missing)]
    write_model(tmp_path / "identity", "\n".join(lines), identity_model())
    assert is_complete(tmp_path) is (missing == "")


# The command.


def test_the_command_tells_what_is_missing(offline) -> None:
    """`evproc server status` and `start` end with code 6 and the way out, `install` brings the wheel."""
    runner = CliRunner()
    result = runner.invoke(app, ["status"])
    assert (result.exit_code, "evproc server install" in result.output) == (6, True)
    make_wheel(offline)
    for words in ("Installed in", "is installed already"):
        result = runner.invoke(app, ["install"])
        assert result.exit_code == 0
        assert words in result.output


def test_the_command_runs_a_server_until_ctrl_c(triton_wheel, small) -> None:
    """`evproc server start --foreground` serves until Ctrl-C, which ends it with everything that it started."""
    command = [
        sys.executable,
        "-c",
        "from evproc.sonic_client.server_command import app; app()",
        "start",
        "--foreground",
        "--models",
        str(small),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as job:
        assert job.stdout is not None
        url = job.stdout.readline().split()[2]
        assert asyncio.run(infer_once(url))
        processes = family(job.pid)
        os.killpg(job.pid, signal.SIGINT)
        assert job.stdout.read() == "stopping\n"
        assert job.wait() == 0
        assert_gone(processes, f"evproc_{job.pid}_")
