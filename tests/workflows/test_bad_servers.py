"""Servers that are not there, are not what they should be, or fail in the middle: through the command, in whole jobs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from evproc.producers.facile import make_sample
from evproc.sonic_client.fake import (
    Crash,
    Fault,
    Reject,
    Truncated,
    Unavailable,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
)
from evproc.sonic_client.testing import Never
from tests.workflows.conftest import FAULTY, WORKFLOWS, Done, branches, files_below, jets, score_server, write_root

SCORES = FAULTY / "scores.py"
FACILE = WORKFLOWS / "facile.py"
Fails = Callable[..., str]
Evproc = Callable[..., Done]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def sample(folder: Path) -> None:
    """An ntuple with jets."""
    write_root("jets.root", jets(300))


# Before the first event.


def test_tensors_that_do_not_fit(fails: Fails) -> None:
    """A tensor of another name, type or shape than the model's: each is a fault with model, server and both tensors."""
    with score_server() as server:
        said = fails(2, "run", FAULTY / "wrong_tensors.py", "-o", f"inference.servers=[{server.url}]")
        assert server.requests == []
    model = f"model 'score' on {server.url}"
    assert f"named.client.model: {model} has no input 'X1'; did you mean 'x'?" in said
    assert f"named.client.model: {model} needs input 'x', which the producer does not make" in said
    assert f"typed.client.model: input 'x' of {model} is x: (2) FP32, not x: (2) FP64" in said
    assert f"shaped.client.model: output 'y' of {model} is y: (1) FP32, not y: (3) FP32" in said


def test_a_server_that_is_not_there(fails: Fails) -> None:
    """The server's address and why it could not be reached, and the module that is left without a model."""
    with score_server() as server:
        url = server.url
    said = fails(2, "run", SCORES, "-o", f"inference.servers=[{url}]")
    assert "score.client.model: no server has model 'score'" in said
    assert f"inference.servers: server {url} is left out: " in said
    assert "refused" in said


def test_a_server_that_does_not_speak(fails: Fails) -> None:
    """Something that takes connections and says nothing is left out after the time that is set: no hang."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"grpc://127.0.0.1:{silent.getsockname()[1]}"
        said = fails(2, "run", SCORES, "-o", f"inference.servers=[{url}]", "-o", "inference.connect_timeout=0.2")
    assert f"inference.servers: server {url} is left out: " in said
    assert "score.client.model: no server has model 'score'" in said


def test_one_server_of_two_that_is_not_there(evproc: Evproc) -> None:
    """The job runs on the other, with a warning that names the one left out."""
    with score_server() as gone:
        url = gone.url
    with score_server() as server:
        done = evproc("run", SCORES, "-o", f"inference.servers=[{url}, {server.url}]")
    assert done.code == 0, done
    assert re.search(f"warning: .*server {url} is left out", done.out + done.err)


def test_an_address_that_is_none(fails: Fails) -> None:
    """An address without a scheme says what one looks like."""
    said = fails(2, "run", SCORES, "-o", "inference.servers=[gpu1:8001]")
    assert "inference.servers: 'gpu1:8001' is not the address of a server; an address looks like grpc://" in said


def test_a_model_that_the_repository_has_not(fails: Fails) -> None:
    """With a fallback, the repository is asked, and no server is started for it."""
    make_sample("hcal.root", 2, 10, 1)
    said = fails(2, "run", FACILE, "-o", "source.files=hcal.root", "-o", "energy.client.model=facil")
    assert "energy.client.model: the model repository" in said
    assert "has no model 'facil'; did you mean 'facile'" in said


def test_a_broken_model_of_the_fallback(
    fails: Fails, triton_wheel: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that the job's own server cannot load ends the job with the words of its log, and no process is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("logs")))
    make_sample("hcal.root", 2, 10, 1)
    shutil.copytree(FACILE.parent.parent / "models" / "facile", "broken/facile")
    Path("broken/facile/1/model.onnx").write_bytes(b"no network")
    said = fails(6, "run", FACILE, "-o", "source.files=hcal.root", "-o", "inference.fallback.models=broken")
    assert "the embedded Triton cannot load its models" in said
    assert "facile" in said


# In the middle.


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (WrongRows(), "output 'y' came with 21 rows for 20 rows sent"),
        (WrongRows(-1), "output 'y' came with 19 rows for 20 rows sent"),
        (WrongShape(), "output 'y' came with rows of shape (1, 1), not (1,)"),
        (WrongDtype(), "output 'y' came as float64, where the model's metadata says float32"),
        (WrongName(), "output 'y' was asked for and did not come (came: not_y)"),
        (Truncated(), "output 'y': 79 bytes, where shape (20, 1) of float32 takes 80"),
        (Reject(), "scripted fault"),
    ],
)
def test_an_answer_that_is_wrong(fails: Fails, fault: Fault, words: str) -> None:
    """It ends the job at once, naming server, model, module, path, events and file: a wrong number is never written."""
    with score_server(faults=[None, None, None, fault]) as server:
        said = fails(
            *(6, "run", SCORES, "-o", f"inference.servers=[{server.url}]"),
            *("-o", "options.block=50", "-o", "score.client.max_rows=20"),
        )
    for expected in (
        f"{server.url}, model 'score': {words}",
        "module 'score' (Scores) on path 'scored' failed at ",
        "run 1, luminosity block ",
        "jets.root, tree 'Events', entries 0 to 299",
    ):
        assert expected in said


def test_a_server_that_dies_in_the_middle(fails: Fails) -> None:
    """After its tries a request to a server that is gone fails the job, with server, events and the number of attempts."""
    with score_server(faults=[None, None, Crash()]) as server:
        said = fails(
            *(6, "run", SCORES, "-o", f"inference.servers=[{server.url}]"),
            *("-o", "options.block=50", "-o", "score.client.max_rows=20", "-o", "score.client.tries=2"),
        )
    assert f"{server.url}, model 'score': " in said
    assert "(after 2 attempts)" in said
    assert "module 'score' (Scores) on path 'scored' failed at " in said


def test_a_server_that_never_answers(fails: Fails) -> None:
    """A request that is not answered in time fails the job: no hang."""
    with score_server(faults=lambda _: Never()) as server:
        said = fails(
            *(6, "run", SCORES, "-o", f"inference.servers=[{server.url}]"),
            *("-o", "score.client.timeout=0.1", "-o", "score.client.tries=2"),
        )
    assert f"{server.url}, model 'score': " in said
    assert "0.1 s" in said
    assert "(after 2 attempts)" in said


def test_faults_that_pass_change_nothing(evproc: Evproc) -> None:
    """Requests that are refused for a while, or never answered, are sent again: the output is the same, nothing twice."""
    settings = ["-o", "options.block=50", "-o", "score.client.max_rows=20", "-o", "score.client.timeout=2"]
    with score_server() as server:
        assert evproc("run", SCORES, "-o", f"inference.servers=[{server.url}]", *settings).code == 0
        sound = branches("scores.root")
    with score_server(faults=[Unavailable(), None, Never(), None, None, Unavailable(), Unavailable()]) as server:
        done = evproc("run", SCORES, "-o", f"inference.servers=[{server.url}]", *settings)
        assert done.code == 0, done
        outcomes = server.outcomes
        assert outcomes.count("refused") == 3
        answered = [request.rows for request in server.requests if request.outcome == "answered"]
        assert sum(answered) == int(sound["nJet"].to_numpy().sum())
        assert len(outcomes) == 4 + len(answered)
    again = branches("scores.root")
    assert {name: array.to_list() for name, array in again.items()} == {
        name: array.to_list() for name, array in sound.items()
    }


def tritons(pid: int) -> list[psutil.Process]:
    """All processes that a job has started."""
    return psutil.Process(pid).children(recursive=True)


def test_the_real_triton_killed_in_the_middle(start: Start, folder: Path, triton_wheel: Path) -> None:
    """When the job's own server is killed, the job ends with the server's address and the events, and leaves nothing."""
    job, processes = facile_job(start)
    before = files_below(folder)
    (server,) = [process for process in processes if process.name() == "tritonserver"]
    os.kill(server.pid, signal.SIGKILL)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 6, said
    assert re.search(r"grpc://127\.0\.0\.1:\d+, model 'facile'", said)
    assert "module 'energy' (FacileProducer) on path 'reco' failed at " in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    assert {name for name in files_below(folder) if ".part" in name or name.endswith("energies.root")} == set()
    assert files_below(folder).keys() <= before.keys()


def test_a_job_that_is_killed(start: Start, folder: Path, triton_wheel: Path) -> None:
    """After kill -9 of the job its server is gone, and there is no file under the final name."""
    job, processes = facile_job(start)
    job.kill()
    job.communicate(timeout=60)
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    assert not Path("energies.root").exists()
    assert not Path("facile.png").exists()


def facile_job(start: Start) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The FACILE workflow on a Triton of its own, in the middle of its events; and the processes that it has started."""
    make_sample("hcal.root", 800, 5, 1)
    job = start(
        *("run", FACILE, "-o", "source.files=hcal.root", "-o", "source.chunk=20", "-o", "options.memory=1"),
        *("-o", "options.block=1", "-o", "options.streams=1", "-o", "options.progress=0.05"),
        *("-o", "out.file=energies.root", "-o", "plot.plot=facile.png", "-o", "energy.client.tries=2"),
    )
    wait_for_events(job)
    processes = tritons(job.pid)
    assert len(processes) >= 3, "the supervisor, the server and the model"
    return job, processes


def wait_for_events(job: subprocess.Popen[str]) -> None:
    """Return when a job has shown that it has finished some events."""
    assert job.stderr is not None
    lines = []
    for line in job.stderr:
        lines.append(line)
        if re.search(r"\b[1-9][\d,]* of ", line):
            return
    raise AssertionError(f"the job ended before it was in the middle: {lines}")
