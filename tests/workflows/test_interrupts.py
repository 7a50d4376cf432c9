"""Ctrl-C and SIGTERM in the middle of a job: what is written is whole, and is the begin of what would have been."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import psutil
import pytest

from evproc.producers.facile import make_sample
from tests.workflows.conftest import (
    FAULTY,
    WORKFLOWS,
    bits,
    branches,
    files_below,
    jets,
    score,
    score_server,
    write_root,
)

SCORES = FAULTY / "scores.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_done(start: Start, folder: Path, number: signal.Signals) -> None:
    """The job answers what is in flight, writes the events done in their order, says so, and ends with code 130."""
    sample = jets(20_000)
    write_root("jets.root", sample)
    with score_server(latency=0.02) as server:
        job = start(
            *("run", SCORES, "-o", f"inference.servers=[{server.url}]", "-o", "inference.in_flight=2"),
            *("-o", "options.block=20", "-o", "options.streams=8", "-o", "score.client.max_rows=30"),
            *("-o", "source.chunk=1000", "-o", "out.buffer_events=50"),
        )
        server.wait_until(lambda server: len(server.requests) >= 10, timeout=60)
        job.send_signal(number)
        out, err = job.communicate(timeout=60)
        assert set(server.outcomes) == {"answered"}
    assert job.returncode == 130, err
    assert "Interrupted: the outputs hold the events done so far." in out
    written = branches("scores.root")
    events = len(written["event"])
    assert 0 < events < 20_000
    assert f"SCORES: {events:,} events in " in out
    for name in ("run", "luminosityBlock", "event", "Jet_pt", "Jet_eta"):
        assert bits(written[name]) == bits(ak.Array(sample[name])[:events]), name
    rows = np.stack([ak.to_numpy(ak.flatten(written[name])) for name in ("Jet_pt", "Jet_eta")], axis=1)
    assert ak.to_numpy(ak.flatten(written["score"])).tobytes() == score(rows).tobytes()
    assert set(files_below(folder)) == {"jets.root", "scores.root"}


def test_a_second_interrupt_breaks_off(start: Start, folder: Path) -> None:
    """With a server that does not answer, the second Ctrl-C ends the job at once and leaves nothing but what there was."""
    write_root("jets.root", jets(100))
    Path("scores.root").write_text("precious")
    before = files_below(folder)
    with score_server(latency=300.0) as server:
        job = start("run", SCORES, "-o", f"inference.servers=[{server.url}]", "-o", "score.client.timeout=600")
        server.wait_until(lambda server: len(server.requests) >= 1, timeout=60)
        children = psutil.Process(job.pid).children(recursive=True)
        job.send_signal(signal.SIGINT)
        job.send_signal(signal.SIGTERM)  # another number, so that neither is merged into the other
        _, err = job.communicate(timeout=60)
        server.wait_until(lambda server: set(server.outcomes) == {"cancelled"})
    assert job.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert children == []
    assert files_below(folder) == before


def test_an_interrupt_while_the_server_starts(start: Start, folder: Path, triton_wheel: Path) -> None:
    """Ctrl-C before the first event, while the job's own Triton loads its models: code 130, no process and no file left."""
    make_sample("hcal.root", 2, 10, 1)
    before = files_below(folder)
    job = start("run", WORKFLOWS / "facile.py", "-o", "source.files=hcal.root")
    parent = psutil.Process(job.pid)
    processes: list[psutil.Process] = []
    while len(processes) < 2:  # the supervisor, and the server
        assert psutil.wait_procs([parent], timeout=0.05)[0] == [], job.communicate()
        processes = parent.children(recursive=True)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert "Traceback" not in err
    assert psutil.wait_procs(processes, timeout=20)[1] == []
    assert files_below(folder) == before
