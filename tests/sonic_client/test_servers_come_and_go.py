"""Servers that come, go, lack a model or fail for good, in whole jobs; where it matters on real Tritons."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from evproc.framework import EndPath, Event, Process
from evproc.sonic_client import (
    Client,
    EmbeddedServer,
    FakeModel,
    FakeServer,
    Fallback,
    InferenceProducer,
    InferenceService,
    TensorSpec,
    open_transport,
)
from evproc.sonic_client.fake_faults import Unavailable
from tests.framework.core_toys import Look, numbers
from tests.sonic_client.test_many_servers import SMALL
from tests.sonic_client.test_service import DOUBLE, RIGHT, faults_of, job

F4 = np.dtype("f4")
SIXTEEN = FakeModel(
    "identity", [TensorSpec("x", F4, (16,))], [TensorSpec("y", F4, (16,))], lambda inputs: {"y": inputs["x"]}, 64
)


class Same(InferenceProducer):
    """The number of the event, from the first of sixteen numbers of one row that come back as they went."""

    model_inputs = {"x": "float32[16]"}
    model_outputs = {"y": "float32[16]"}
    produces = "float32"
    consumes = ("x",)
    victim: list[psutil.Process] = []
    """What to kill, without a word, at event 1000."""

    def acquire(self, event: Event) -> Any:
        if event["x"] == 1000:
            for process in self.victim:
                process.kill()
        return {"x": np.full((1, 16), event["x"], "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        return outputs["y"][0, 0]


def same(events: int, *, client: dict[str, Any] | None = None, **service: Any) -> Process:
    process = Process("SAME", block=50)
    process.source = numbers(events)
    process.inference = InferenceService(**service)
    process.same = Same(client=Client(**{"model": "identity", "max_rows": 20, **(client or {})}))
    process.look = Look(of=["same"])
    process.end = EndPath(process.look)
    return process


def test_a_server_that_comes_during_the_job_takes_part() -> None:
    """A server that was not there at the begin is found by the polls, and gets requests; the report says so."""
    with FakeServer([SMALL]) as late:
        late.crash()
        slow = FakeModel("double", SMALL.inputs, SMALL.outputs, SMALL.function, max_batch_size=2, latency=0.02)

        def at_once(request: Any) -> None:
            if request.request_id.split()[0] == "double-10":
                late.restart()

        with FakeServer([slow], faults=at_once) as early:
            process = job(early, late, service={"poll": 0.05, "in_flight": 1})
            report = process.run()
            assert process.look.rows == RIGHT
            assert late.requests
        assert f"server {late.url} has come" in report.services["inference"]["changes"]
        assert any(f"server {late.url} is left out" in warning for warning in report.warnings)


def test_a_server_that_comes_with_another_model_is_not_used() -> None:
    """What comes during the job is held against the modules as at the begin; what does not fit is told, and left out."""
    other = FakeModel("double", [TensorSpec("x", F4, (3,))], SMALL.outputs, SMALL.function, max_batch_size=2)
    with FakeServer([other]) as late:
        late.crash()
        slow = FakeModel("double", SMALL.inputs, SMALL.outputs, SMALL.function, max_batch_size=2, latency=0.02)
        with FakeServer(
            [slow], faults=lambda r: late.restart() if r.request_id.split()[0] == "double-10" else None
        ) as early:
            process = job(early, late, service={"poll": 0.05, "in_flight": 1})
            report = process.run()
            assert process.look.rows == RIGHT
        assert not late.requests
    assert any("is not used: input 'x' of model 'double'" in text for text in report.services["inference"]["changes"])


def test_servers_are_waited_for_before_the_first_event() -> None:
    """With `wait` a job begins when its servers do."""
    with FakeServer([DOUBLE]) as server:
        server.crash()
        process = job(server, service={"wait": 60.0})
        asked: list[int] = []
        connect = process.inference._connect

        async def counted() -> list[str]:
            asked.append(1)
            if len(asked) == 2:
                server.restart()
            found: list[str] = await connect()
            return found

        process.inference._connect = counted
        process.run()
        assert process.look.rows == RIGHT
        assert len(asked) >= 2


def test_servers_of_the_environment_and_of_a_file_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow that names no server gets those of its site; a file may name more."""
    with FakeServer([SMALL]) as one, FakeServer([SMALL]) as two:
        monkeypatch.setenv("SONIC_LOCAL_BALANCER_HOST", "127.0.0.1")
        monkeypatch.setenv("SONIC_LOCAL_BALANCER_PORT", one.url.rpartition(":")[2])
        (tmp_path / "servers.txt").write_text(f"near={two.url}\n")
        process = job(service={"servers_file": str(tmp_path / "servers.txt"), "in_flight": 2}, prefer=["near"])
        process.run()
        assert process.look.rows == RIGHT
        assert two.requests
        assert not one.requests, "the preferred server is asked as long as it can be"
        process = job(service={"environment": False})
        assert any("no server has model 'double'" in fault for fault in faults_of(process))
        process = job(prefer=["far"])
        assert any("no server is called 'far'" in fault for fault in faults_of(process))


def test_one_of_two_real_servers_is_killed(triton: EmbeddedServer, triton_wheel: Path, model_repository: Path) -> None:
    """kill -9 of one of two Tritons in the middle of a job: every event has its own answer."""
    with EmbeddedServer(model_repository, load=["identity"]) as second:
        assert second._supervisor is not None
        process = same(4000, servers=[triton.url, second.url], shared_memory=False)
        process.same.victim = psutil.Process(second._supervisor.pid).children(recursive=True)
        assert process.same.victim
        report = process.run()
    assert process.look.rows == [(number, number) for number in range(4000)]
    assert sum(entry["rows"] for entry in report.services["inference"]["models"]) == 4000


def test_a_model_is_loaded_for_a_job_and_unloaded_after_it(triton_wheel: Path, model_repository: Path) -> None:
    """With `load_models` a real Triton loads what the job needs; afterwards it is as it was."""

    async def models(url: str) -> tuple[str, ...]:
        transport = open_transport(url)
        try:
            return await transport.models(20.0)
        finally:
            await transport.close()

    with EmbeddedServer(model_repository, load=["mlp"]) as server:
        assert any("no server has model 'identity'" in fault for fault in faults_of(same(10, servers=[server.url])))
        process = same(100, servers=[server.url], load_models=True)
        process.run()
        assert process.look.rows == [(number, number) for number in range(100)]
        assert asyncio.run(models(server.url)) == ("mlp",)


def test_the_fallback_stands_in_when_the_server_fails(triton_wheel: Path, model_repository: Path) -> None:
    """A server that fails for good is replaced by the job's own, started when it is needed; results are the same."""
    with FakeServer(
        [SIXTEEN], faults=lambda r: Unavailable() if int(r.request_id.split()[0].split("-")[1]) > 5 else None
    ) as server:
        process = same(1000, servers=[server.url], fallback=Fallback(models=str(model_repository)))
        report = process.run()
    assert process.look.rows == [(number, number) for number in range(1000)]
    rows = {entry["server"]: entry["rows"] for entry in report.services["inference"]["models"]}
    assert rows[server.url] >= 20
    assert sum(rows.values()) == 1000
