"""The inference service on fake servers: discovery, checks before the first event, faults in the middle, reports."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework import ConfigurationError, EndPath, Event, Process
from evproc.framework.errors import (
    DeadlineExceeded,
    EvprocError,
    InferenceError,
    ModelContractError,
    RequestRejected,
    ServerUnavailable,
)
from evproc.framework.job import check
from evproc.sonic_client.fake import (
    Crash,
    FakeModel,
    FakeServer,
    Fault,
    HalfOpen,
    Reject,
    Truncated,
    Unavailable,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
)
from evproc.sonic_client.producer import Client, InferenceProducer
from evproc.sonic_client.service import Fallback, InferenceService
from evproc.sonic_client.tensors import TensorSpec
from tests.framework.core_toys import Look, numbers

F4 = np.dtype("f4")
X, Y = TensorSpec("x", F4, (2,)), TensorSpec("y", F4, (2,))


def double(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": 2 * inputs["x"]}


DOUBLE = FakeModel("double", [X], [Y], double, max_batch_size=16)


class Double(InferenceProducer):
    """The double of the event's number, by way of a server; `x % 10` rows for each event."""

    model_inputs = {"x": "float32[2]"}
    model_outputs = {"y": "float32[2]"}
    produces = "float32"
    consumes = ("x", "y")

    def acquire(self, event: Event) -> Any:
        return {"x": np.full((len(event["y"]), 2), event["x"], "f4")}

    def produce(self, event: Event, outputs: Any) -> Any:
        y = outputs["y"]
        assert y.shape == (len(event["y"]), 2)
        return np.float32(y[0, 1]) if len(y) else np.float32(-1)


def job(*servers: FakeServer | str, events: int = 40, service: dict[str, Any] | None = None, **client: Any) -> Process:
    """A process that doubles the numbers of its events on some servers."""
    process = Process("P", block=5)
    process.source = numbers(events)
    urls = [server if isinstance(server, str) else server.url for server in servers]
    process.inference = InferenceService(servers=urls, connect_timeout=5.0, **(service or {}))
    process.double = Double(client=Client(**{"model": "double", **client}))
    process.look = Look(of=["double"])
    process.end = EndPath(process.look)
    return process


RIGHT = [(number, 2 * number if number % 10 else -1) for number in range(40)]


def nobody() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"grpc://127.0.0.1:{free.getsockname()[1]}"


def faults_of(process: Process) -> list[str]:
    """The faults of a process, as text without their place."""
    faults, _ = check(process)
    return [str(fault).partition("  [")[0] for fault in faults]


def test_a_job_gets_its_answers() -> None:
    """Every event gets the outputs of its own rows; an event of no rows sends nothing and gets empty ones."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        report = process.run()
        assert process.look.rows == RIGHT
        assert sum(request.rows for request in server.requests) == sum(number % 10 for number in range(40))
        (entry,) = report.services["inference"]["models"]
        assert (entry["model"], entry["server"], entry["retries"], entry["failures"]) == ("double", server.url, 0, 0)
        assert entry["requests"] == len(server.requests)
        assert entry["rows"] == 180
        assert entry["rows_per_request"] == 180 / entry["requests"]
        assert 0 < entry["latency_median_s"] <= entry["latency_p99_s"]


def test_a_process_runs_twice() -> None:
    """A second run of the same process opens its connections anew, and counts from nothing."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        first = process.run()
        process.look.rows.clear()
        assert check(process) == ([], [])
        second = process.run()
        assert process.look.rows == RIGHT
    for report in (first, second):
        (entry,) = report.services["inference"]["models"]
        assert entry["rows"] == 180


def test_events_without_rows_send_nothing() -> None:
    """A job in which no event has rows makes no request."""
    with FakeServer([DOUBLE]) as server:
        process = job(server, events=1)
        process.run()
        assert process.look.rows == [(0, -1)]
        assert server.requests == []


@pytest.mark.parametrize("fault", [Unavailable(), Unavailable(words="busy")])
def test_a_request_that_fails_is_sent_again(fault: Fault) -> None:
    """Retries on the same server give the right results, and are counted."""
    with FakeServer([DOUBLE], faults=[fault, fault, None, fault]) as server:
        process = job(server)
        report = process.run()
        assert process.look.rows == RIGHT
        assert report.services["inference"]["models"][0]["retries"] == 3


ALWAYS: list[tuple[Any, type[EvprocError], str]] = [
    (Unavailable(), ServerUnavailable, r"scripted fault \[UNAVAILABLE\] \(after 2 attempts\)"),
    (HalfOpen(), DeadlineExceeded, r"no answer within 0.3 s \(after 2 attempts\)"),
    (Reject(words="not today"), RequestRejected, r"not today \[INVALID_ARGUMENT\]"),
    (WrongRows(), ModelContractError, r"rows"),
    (WrongRows(-1), ModelContractError, r"rows"),
    (WrongShape(), ModelContractError, r"rows of shape|shape"),
    (WrongDtype(), ModelContractError, r"float64|FP64"),
    (WrongName(), ModelContractError, r"output"),
    (Truncated(), ModelContractError, r"bytes"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), ALWAYS)
@pytest.mark.parametrize("scheme", ["grpc", "grpclib"])
def test_a_fault_of_the_server_ends_the_job_with_its_name(
    scheme: str, fault: Fault, kind: type[EvprocError], words: str
) -> None:
    """The error is of the right class, and names module, event or block, server and model; nothing hangs."""
    with FakeServer([DOUBLE], faults=lambda _: fault) as server:
        process = job(server.address(scheme), timeout=0.3, tries=2)
        with pytest.raises(InferenceError, match=r"module 'double' \(Double\) failed at") as caught:
            process.run()
        assert type(caught.value) is kind
        assert server.address(scheme) in str(caught.value)
        assert "model 'double'" in str(caught.value)
        assert caught.value.exit_code == 6
        caught.match(words)


def test_a_server_that_dies_in_the_middle_ends_the_job() -> None:
    """After a crash the request is tried as often as allowed, and the job fails with the server's name."""
    with FakeServer([DOUBLE], faults=[None, None, Crash()]) as server:
        process = job(server, tries=2, timeout=5.0)
        with pytest.raises(ServerUnavailable, match=r"module 'double' .*after 2 attempts") as caught:
            process.run()
        assert server.url in str(caught.value)


def test_a_model_that_no_server_has_is_a_fault_with_the_nearest() -> None:
    """The fault names module, key, model, what is near, and what each server has."""
    with FakeServer([DOUBLE]) as server:
        (fault,) = faults_of(job(server, model="duoble"))
    assert fault == (
        f"double.client.model: no server has model 'duoble'; did you mean 'double'? ({server.url} has double)"
    )


def test_tensors_that_do_not_fit_the_model_are_faults_before_the_first_event() -> None:
    """Name, type and shape are held against the model; all together, and nothing is run."""
    other = FakeModel("double", [TensorSpec("x", np.dtype("f8"), (2,))], [TensorSpec("z", F4, (2,))], double)
    with FakeServer([other]) as server:
        process = job(server)
        found = faults_of(process)
        with pytest.raises(ConfigurationError):
            process.run()
        assert server.requests == []
    assert found == [
        f"double.client.model: input 'x' of model 'double' on {server.url} is x: (2) FP64, not x: (2) FP32",
        f"double.client.model: model 'double' on {server.url} has no output 'y'; it has z",
    ]


def test_a_server_that_is_not_there_is_a_fault() -> None:
    """With no server at all, the fault names the address, and the model that nobody has."""
    url = nobody()
    found = faults_of(job(url))
    assert any(f"server {url} is left out: " in fault for fault in found)
    assert any("no server has model 'double'" in fault for fault in found)


def test_a_server_that_is_not_there_is_a_warning_if_another_has_the_model() -> None:
    """The job runs on the server that is there, and says so."""
    url = nobody()
    with FakeServer([DOUBLE]) as server:
        process = job(url, server)
        report = process.run()
        assert process.look.rows == RIGHT
    assert any(f"server {url} is left out: " in warning for warning in report.warnings)


@pytest.mark.parametrize("address", ["gpu1:8001", "gprc://gpu1:8000", "grpc://gpu1", "grpc://:1"])
def test_a_wrong_address_is_a_fault(address: str) -> None:
    """An address that cannot be one is told with what a right one looks like."""
    with FakeServer([DOUBLE]) as server:
        (fault,) = faults_of(job(server, address))
    assert fault.startswith("inference.servers: ")
    assert address in fault


def test_a_module_without_a_service_is_a_fault() -> None:
    """The process needs an InferenceService; without one the error says what to add."""
    process = job("grpc://127.0.0.1:1")
    del process.inference
    with pytest.raises(ConfigurationError, match=r"the process has no InferenceService; add one"):
        process.run()


def test_a_model_that_the_fallback_lacks_is_a_fault(tmp_path: Path) -> None:
    """The repository of the fallback is looked at before the first event, without starting a server."""
    (tmp_path / "doubles").mkdir()
    (tmp_path / "doubles" / "config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_size: 8\n')
    process = job(service={"fallback": Fallback(models=str(tmp_path))})
    found = faults_of(process)
    assert any("has no model 'double'; did you mean 'doubles'?" in fault for fault in found)
    process = job(service={"fallback": Fallback(models=str(tmp_path / "nowhere"))})
    assert any("nowhere' is not there" in fault or "has no model" in fault for fault in faults_of(process))


def test_the_limit_of_requests_in_flight_holds() -> None:
    """No more requests than allowed are open at the server at once."""
    with FakeServer([FakeModel("double", [X], [Y], double, max_batch_size=2, latency=0.002)]) as server:
        process = job(server, service={"in_flight": 3})
        process.run()
        assert process.look.rows == RIGHT
        assert server.peak <= 3


def test_two_servers_share_the_work() -> None:
    """Both servers that have the model get requests; results are the same."""
    slow = FakeModel("double", [X], [Y], double, max_batch_size=2, latency=0.002)
    with FakeServer([slow]) as one, FakeServer([slow]) as two:
        process = job(one, two, service={"in_flight": 2})
        report = process.run()
        assert process.look.rows == RIGHT
        assert one.requests
        assert two.requests
    assert {entry["server"] for entry in report.services["inference"]["models"]} == {one.url, two.url}


def test_every_server_that_offers_a_model_is_checked() -> None:
    """A second server whose model of the same name differs is a fault, and not a surprise in the middle of the job."""
    other = FakeModel("double", [TensorSpec("x", F4, (3,))], [Y], double)
    with FakeServer([DOUBLE]) as one, FakeServer([other]) as two:
        found = faults_of(job(one, two))
    assert found == [f"double.client.model: input 'x' of model 'double' on {two.url} is x: (3) FP32, not x: (2) FP32"]


def test_modules_that_ask_alike_share_requests() -> None:
    """Two modules with the same model and the same settings put their rows together."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        process.again = Double(client=Client(model="double"))
        process.look.set(of=["double", "again"])
        report = process.run()
        assert process.look.rows == [(number, value, value) for number, value in RIGHT]
        assert len(report.services["inference"]["models"]) == 1


def test_the_connections_are_closed_with_the_job() -> None:
    """After the job, also after a failed one, the server has no open request, and no task is left."""
    with FakeServer([DOUBLE], faults=lambda _: Reject()) as server:
        with pytest.raises(RequestRejected):
            job(server).run()
        server.wait_until(lambda fake: "open" not in fake.outcomes)


def test_a_server_without_statistics_serves_as_well() -> None:
    """Statistics are for the report: a server that cannot give them is no reason to fail."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)

        class Silent(InferenceService):
            def _add_server(self, url: str, transport: Any, models: tuple[str, ...]) -> Any:
                async def statistics(model: str, limit: float) -> Any:
                    raise RequestRejected(f"{url}: not implemented [UNIMPLEMENTED]")

                transport.statistics = statistics
                return super()._add_server(url, transport, models)

        process.inference = Silent(servers=[server.url])
        report = process.run()
        assert process.look.rows == RIGHT
        assert report.services["inference"]["models"][0]["server_share"] is None
        assert any("no statistics of model 'double'" in warning for warning in report.warnings)


def test_status_is_short() -> None:
    """The progress display gets requests in flight and the latency."""
    with FakeServer([DOUBLE]) as server:
        process = job(server)
        assert process.inference.status() == {}
        seen: list[dict[str, str]] = []
        process.run(lambda progress: seen.append(progress.status))
    assert seen
    assert process.inference.status()["in flight"] == "0"
    assert process.inference.status()["latency"].endswith(" ms")
