"""How servers are spoken to, beside their addresses: certificates, tokens, headers, compression, traces.

    process.inference = InferenceService(
        servers=["grpcs://gpu1.example.org:8001"],
        connection=Connection(roots="ca.pem", certificate="me.pem", key="me.key", token_file="token"),
    )

The problem: the same few settings, said in three libraries in three ways. The policy: `Connection` is what a workflow
says, `Credentials` is what was read of its files, and `Headers` is what goes with each call; a transport turns them into
its library's terms and decides nothing. An address says whether it is encrypted (`grpcs`, `https`); the files say by what.

Secrets are named, never written down: a token is read from a file or from an environment variable, so that no
configuration, dump or provenance holds one. A file is looked at again once a minute, since tokens expire while jobs run.

The cost: nothing where nothing is set (`Headers.of` gives None); a look at a clock per call with a token; 1 us per call
with a trace.
"""

from __future__ import annotations

import os
import re
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

from evproc.framework import Block, Parameter

REFRESH = 60.0
"""s after which a token's file is read again."""
TRACE = "traceparent"
"""The header of W3C Trace Context, https://www.w3.org/TR/trace-context/; in capitals, the variable of the environment."""
_TRACE_FORM = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_HEADER_FORM = re.compile(r"[0-9a-z_.-]+")

Pairs = tuple[tuple[str, str], ...]
"""Headers: name and value."""


class Connection(Block):
    """How the servers are spoken to. PEM files concern addresses that are encrypted, as `grpcs://...` and `https://...`."""

    roots: str = Parameter(
        "", description="PEM file of the certificates to trust; empty: those of this machine", placement=True
    )
    certificate: str = Parameter("", description="PEM file of our own certificate, for mutual TLS", placement=True)
    key: str = Parameter("", description="PEM file of the key to our certificate", placement=True)
    server_name: str = Parameter(
        "", description="name that a server's certificate must have; empty: its host's", placement=True
    )
    headers: dict[str, str] = Parameter(
        default_factory=dict, description="sent with each call: name in small letters, and value", placement=True
    )
    token_file: str = Parameter("", description="file with a token, sent as 'authorization: Bearer'", placement=True)
    token_variable: str = Parameter("", description="environment variable with a token, instead", placement=True)
    compression: Literal["none", "deflate", "gzip"] = Parameter(
        "none", description="of requests, and of answers where the server agrees", placement=True
    )
    trace: bool = Parameter(
        False,
        description="whether each call carries a W3C trace context; it continues TRACEPARENT of the environment",
        placement=True,
    )
    descriptions: str = Parameter(
        "", description="model repository whose config.pbtxt describe models that their servers do not describe"
    )
    mode: Literal["async", "thread", "sync"] = Parameter(
        "async",
        description="thread and sync use a client that blocks, in threads or in place, for gRPC only",
        placement=True,
    )


DEFAULT = Connection()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The contents of the PEM files; None where none is named."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    @classmethod
    def read(cls, connection: Connection) -> Credentials:
        """Read the files. Raises ValueError for one that cannot be read or holds no PEM, or a key without certificate."""
        if bool(connection.certificate) != bool(connection.key):
            have, lack = ("certificate", "key") if connection.certificate else ("key", "certificate")
            raise ValueError(f"mutual TLS needs a certificate and its key; '{have}' is given and '{lack}' is not")
        return cls(*(_pem(what, getattr(connection, what)) for what in ("roots", "certificate", "key")))


def _pem(what: str, name: str) -> bytes | None:
    if not name:
        return None
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise ValueError(f"{what}: the file '{name}' cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in data:
        raise ValueError(f"{what}: the file '{name}' holds no PEM (a line '-----BEGIN ...-----')")
    return data


def ssl_context(connection: Connection, *protocols: str) -> ssl.SSLContext:
    """For libraries on Python's own ssl. Raises ValueError for files that do not do, as a key of another certificate."""
    Credentials.read(connection)
    try:
        context = ssl.create_default_context(cafile=connection.roots or None)
        if connection.certificate:
            context.load_cert_chain(connection.certificate, connection.key)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"the certificates cannot be used: {error}") from None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Headers:
    """The headers of each call."""

    def __init__(self, connection: Connection) -> None:
        """Raises ValueError for a header that cannot be, or a token that is not there."""
        for name, value in connection.headers.items():
            if not _HEADER_FORM.fullmatch(name):
                raise ValueError(f"'{name}' is no name of a header: small letters, digits, '-', '_' and '.'")
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the value of header '{name}' has characters that a header cannot have")
        if connection.token_file and connection.token_variable:
            raise ValueError("a token comes from 'token_file' or from 'token_variable', not from both")
        self._file = connection.token_file
        self._fixed: Pairs = tuple(connection.headers.items())
        self._read_at = 0.0
        self._trace = _Trace(os.environ.get(TRACE.upper(), "")) if connection.trace else None
        self._pairs = self._fixed
        if connection.token_variable:
            token = os.environ.get(connection.token_variable, "").strip()
            if not token:
                raise ValueError(f"the environment variable '{connection.token_variable}' for the token is not set")
            self._pairs = (*self._fixed, _bearer(token))
        elif self._file:
            self._read_token()

    @classmethod
    def of(cls, connection: Connection) -> Headers | None:
        """The headers that a connection wants; None if it wants none. Raises ValueError."""
        wanted = connection.headers or connection.token_file or connection.token_variable or connection.trace
        return cls(connection) if wanted else None

    def now(self) -> Pairs:
        """The headers of a call that is made now."""
        if self._file and monotonic() - self._read_at > REFRESH:
            self._read_token()
        return self._pairs if self._trace is None else (*self._pairs, (TRACE, self._trace.next()))

    def _read_token(self) -> None:
        """Read the token's file; while a job runs, a file that is being replaced leaves the old token."""
        first, self._read_at = not self._read_at, monotonic()
        try:
            token = Path(self._file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            if first:
                raise ValueError(f"the token's file '{self._file}' cannot be read: {error}") from None
            return
        if token:
            self._pairs = (*self._fixed, _bearer(token))
        elif first:
            raise ValueError(f"the token's file '{self._file}' is empty")


def _bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


class _Trace:
    """One trace for the job, one span for each call."""

    def __init__(self, parent: str) -> None:
        match = _TRACE_FORM.fullmatch(parent.strip())
        self._begin = f"00-{match[1] if match else secrets.token_hex(16)}-"
        self._end = f"-{match[3] if match else '01'}"

    def next(self) -> str:
        return self._begin + secrets.token_hex(8) + self._end
