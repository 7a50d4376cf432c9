"""TLS, headers, tokens, compression and traces, with real handshakes."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evproc.framework import Event, Process
from evproc.framework import Path as Path_
from evproc.framework.errors import ServerUnavailable
from evproc.modules import ArraySource
from evproc.sonic_client import Client, InferenceProducer, InferenceService
from evproc.sonic_client import connection as connection_module
from evproc.sonic_client.connection import Connection, Headers
from evproc.sonic_client.fake import FakeModel, FakeServer
from evproc.sonic_client.tensors import TensorSpec
from evproc.sonic_client.transport import open_transport
from tests.sonic_client.certificates import Authority

SPEC = TensorSpec("x", np.dtype("f4"), (16,))
MODEL = FakeModel("double", [SPEC], [replace(SPEC, name="y")], lambda inputs: {"y": 2 * inputs["x"]})
ROWS = np.random.default_rng(3).normal(size=(5, 16)).astype("f4")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certification authority."""
    return Authority(tmp_path_factory.mktemp("certificates"))


def ask(url: str, connection: Connection, calls: int = 1, rows: np.ndarray = ROWS) -> np.ndarray:
    """Ask for twice some rows, over sockets."""

    async def main() -> np.ndarray:
        transport = open_transport(url, shared_memory=False, connection=connection)
        try:
            for _ in range(calls - 1):
                await transport.infer("double", "", {"x": rows}, ["y"], timeout=20.0)
            return (await transport.infer("double", "", {"x": rows}, ["y"], timeout=20.0))["y"]
        finally:
            await transport.close()

    return asyncio.run(main())


def test_an_encrypted_server(authority: Authority, scheme: str) -> None:
    """With the authority's PEM file, answers come over TLS and are right."""
    with FakeServer([MODEL], ssl=authority.server_context("localhost", "h2")) as server:
        answer = ask(server.address(f"{scheme}s"), Connection(roots=authority.roots))
    assert answer.tobytes() == (2 * ROWS).tobytes()


def test_a_server_of_another_authority_is_refused(authority: Authority, scheme: str, tmp_path: Path) -> None:
    """A server whose certificate is not of the authority given gets no request."""
    other = Authority(tmp_path, "other")
    with FakeServer([MODEL], ssl=other.server_context("localhost", "h2")) as server:
        with pytest.raises(ServerUnavailable, match=r"(?i)certificate|handshake|ssl"):
            ask(server.address(f"{scheme}s"), Connection(roots=authority.roots))
        assert not server.requests


def test_both_sides_show_certificates(authority: Authority, scheme: str) -> None:
    """A server that wants a certificate answers who has one, and nobody else."""
    us = authority.certify("client")
    with FakeServer([MODEL], ssl=authority.server_context("localhost", "h2", mutual=True)) as server:
        url = server.address(f"{scheme}s")
        with_one = Connection(roots=authority.roots, certificate=us.certificate, key=us.key)
        assert ask(url, with_one).tobytes() == (2 * ROWS).tobytes()
        with pytest.raises(ServerUnavailable):
            ask(url, Connection(roots=authority.roots))
        assert len(server.requests) == 1


def test_the_name_that_a_certificate_must_have(authority: Authority, scheme: str) -> None:
    """`server_name` is held against the certificate in place of the address."""
    with FakeServer([MODEL], ssl=authority.server_context("gpu1.example.org", "h2")) as server:
        url = server.address(f"{scheme}s")
        right = Connection(roots=authority.roots, server_name="gpu1.example.org")
        assert ask(url, right).tobytes() == (2 * ROWS).tobytes()
        with pytest.raises(ServerUnavailable):
            ask(url, Connection(roots=authority.roots, server_name="gpu2.example.org"))


def test_a_plain_server_is_not_spoken_to_in_cipher(authority: Authority, scheme: str) -> None:
    """An encrypted address of a server that has no TLS is an absent server, not a plain one."""
    with FakeServer([MODEL]) as server:
        with pytest.raises(ServerUnavailable):
            ask(server.address(f"{scheme}s"), Connection(roots=authority.roots))
        assert not server.requests


def test_headers_and_tokens_go_with_each_call(scheme: str, tmp_path: Path) -> None:
    """Headers as written, and the token of a file as `authorization: Bearer`."""
    (tmp_path / "token").write_text("abc.def\n")
    wanted = Connection(headers={"x-site": "T2_CH_CERN"}, token_file=str(tmp_path / "token"))
    with FakeServer([MODEL]) as server:
        ask(server.address(scheme), wanted, calls=2)
        for request in server.requests:
            assert request.headers["x-site"] == "T2_CH_CERN"
            assert request.headers["authorization"] == "Bearer abc.def"


def test_a_trace_is_continued(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is a span of its own in the trace of the environment."""
    monkeypatch.setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    with FakeServer([MODEL]) as server:
        ask(server.address(scheme), Connection(trace=True), calls=3)
        spans = [request.headers["traceparent"] for request in server.requests]
    for span in spans:
        assert re.fullmatch("00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00", span)
    assert len({*spans, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}) == 4


def test_a_trace_begins_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a trace in the environment, or with one that is none, a sampled trace of the job's own begins."""
    for text in ("", "rubbish"):
        monkeypatch.setenv("TRACEPARENT", text)
        (pair,) = Headers(Connection(trace=True)).now()
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", pair[1])


def test_no_headers_cost_nothing() -> None:
    """A connection that wants none has no object for them."""
    assert Headers.of(Connection()) is None


def test_a_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at again after a minute, not before; one that is gone or empty leaves the old token."""
    file, clock = tmp_path / "token", [1000.0]
    monkeypatch.setattr(connection_module, "monotonic", lambda: clock[0])
    file.write_text("one")
    headers = Headers(Connection(token_file=str(file)))
    seen = []
    for text, step in (("two", 59.0), ("two", 2.0), ("", 61.0), (None, 61.0), ("three", 61.0)):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        clock[0] += step
        seen.append(dict(headers.now())["authorization"].removeprefix("Bearer "))
    assert seen == ["one", "two", "two", "two", "three"]


@pytest.mark.parametrize("compression", ["deflate", "gzip"])
def test_requests_are_compressed(triton, compression: str) -> None:
    """Triton answers compressed requests, over gRPC and over HTTP, with the same bits."""
    zeros = np.zeros((4000, 16), "f4")

    async def main(url: str) -> bytes:
        transport = open_transport(url, connection=Connection.model_validate({"compression": compression}))
        try:
            return (await transport.infer("identity", "", {"x": zeros}, ["y"], timeout=20.0))["y"].tobytes()
        finally:
            await transport.close()

    for url in (triton.url, triton.http_url):
        assert asyncio.run(main(url)) == zeros.tobytes()


def _touch(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda _: {"roots": "nowhere.pem"}, "roots: the file 'nowhere.pem' cannot be read: No such file"),
        (lambda path: {"roots": _touch(path / "a.pem", "hello")}, "holds no PEM"),
        (lambda path: {"certificate": "me.pem"}, "'certificate' is given and 'key' is not"),
        (lambda path: {"key": "me.key"}, "'key' is given and 'certificate' is not"),
        (lambda _: {"token_file": "nowhere"}, "the token's file 'nowhere' cannot be read"),
        (lambda path: {"token_file": _touch(path / "t", " \n")}, "is empty"),
        (lambda _: {"token_variable": "EVPROC_NO_SUCH"}, "'EVPROC_NO_SUCH' for the token is not set"),
        (lambda _: {"token_variable": "A", "token_file": "b"}, "not from both"),
        (lambda _: {"headers": {"X-Site": "a"}}, "'X-Site' is no name of a header: small letters"),
        (lambda _: {"headers": {"x-site": "a\nb"}}, "the value of header 'x-site'"),
    ],
)
@pytest.mark.parametrize("kind", ["grpcs", "grpclibs", "https"])
def test_what_is_wrong_is_said_before_the_first_call(
    kind: str, wrong: Callable[[Path], dict[str, Any]], words: str, tmp_path: Path
) -> None:
    """A file that is not there, a key without certificate, a header that cannot be: a ValueError with the address."""
    assert "EVPROC_NO_SUCH" not in os.environ
    with pytest.raises(ValueError, match=f"{kind}://gpu1:1: .*{re.escape(words)}"):
        open_transport(f"{kind}://gpu1:1", connection=Connection(**wrong(tmp_path)))


def test_grpclib_says_that_it_cannot_compress() -> None:
    """What a transport cannot do is an error, not an option without effect."""
    with pytest.raises(ValueError, match="grpclib knows no compression"):
        open_transport("grpclib://gpu1:1", connection=Connection(compression="gzip"))


def test_a_job_over_tls(authority: Authority, tmp_path: Path) -> None:
    """A workflow says certificates and token once; all its calls carry them, and its results are right."""
    (tmp_path / "token").write_text("abc")
    with FakeServer([MODEL], ssl=authority.server_context("localhost", "h2")) as server:
        process = Process("TLS")
        process.source = ArraySource({"x": [[[float(place)] * 16] * 2 for place in range(10)]})
        process.inference = InferenceService(
            servers=[server.address("grpcs")],
            connection=Connection(roots=authority.roots, token_file=str(tmp_path / "token")),
        )
        process.double = Double(client=Client(model="double"))
        process.path = Path_(process.double)
        report = process.run()
        assert report.events == 10
        assert server.requests
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer abc"}


class Double(InferenceProducer):
    """Twice the rows of an event."""

    consumes = ("x",)
    model_inputs = {"x": "float32[16]"}
    model_outputs = {"y": "float32[16]"}
    produces = "var * float32"

    def acquire(self, event: Event) -> dict[str, Any]:
        return {"x": np.asarray(event["x"], "f4").reshape(-1, 16)}

    def produce(self, event: Event, outputs: Any) -> Any:
        assert outputs["y"].tolist() == (2 * np.asarray(event["x"])).tolist()
        return outputs["y"][:, 0]


def test_a_wrong_connection_is_a_fault_of_the_configuration() -> None:
    """A PEM file that is not there is told before the first event, with the parameter."""
    service = InferenceService(servers=["grpcs://gpu1:1"], connection=Connection(roots="nowhere.pem"))
    faults = asyncio.run(service.check({}))
    assert [(fault.key, "'nowhere.pem' cannot be read" in fault.message) for fault in faults] == [("connection", True)]
