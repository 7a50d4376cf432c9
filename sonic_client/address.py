"""The addresses of servers: `grpc://gpu1.example.org:8001`, and which protocol each kind of address means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evproc.framework.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Kind:
    """A protocol, and what carries it."""

    module: str
    """Of this package."""
    name: str
    """The class in it."""
    port: int
    """The usual one, for messages."""
    path: str = ""
    """What a path in the address means; empty: an address of this kind has none."""
    must: bool = False
    """Whether there must be one."""


KINDS = {
    "grpc": Kind("grpc_transport", "GrpcTransport", 8001),
    "grpclib": Kind("grpclib_transport", "GrpclibTransport", 8001),
    "http": Kind("http_transport", "HttpTransport", 8000, "prefix"),
    "tfs": Kind("tfs_transport", "TfsTransport", 8500, "model", must=True),
    "brainwave": Kind("tfs_transport", "BrainwaveTransport", 80, "model", must=True),
    "trtis": Kind("trtis_transport", "TrtisTransport", 8001),
}
"""Scheme -> protocol. With an `s` behind it, the connection is encrypted: `grpcs`, `https`, `tfss` ..."""
_URL = r"([A-Za-z][\w+.-]*)://(\[[0-9A-Fa-f:.%]+\]|[^\[\]/:@\s]*)(?::(\w*))?/?([\w.,/-]*?)/?"


def kind_of(scheme: str) -> str:
    """The protocol of a scheme: `grpc` of `grpcs`. Raises KeyError."""
    for kind in (scheme, scheme.removesuffix("s")):
        if kind in KINDS:
            return kind
    raise KeyError(scheme)


@dataclass(frozen=True, slots=True)
class ServerURL:
    """The address of a server: `grpc://gpu1.example.org:8001`."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """Without slashes round it."""

    @classmethod
    def parse(cls, text: str) -> ServerURL:
        """Read an address. Raises ValueError that says what a right one looks like."""
        match = re.fullmatch(_URL, text.strip())
        example = "an address looks like grpc://gpu1.example.org:8001"
        if match is None:
            raise ValueError(f"'{text}' is not the address of a server; {example}")
        scheme, host, port, path = match.groups()
        scheme = scheme.lower()
        try:
            kind = KINDS[kind_of(scheme)]
        except KeyError:
            hint = did_you_mean(scheme, KINDS)
            known = ", ".join(KINDS)
            raise ValueError(f"'{text}': no transport is called '{scheme}' (known: {known}){hint}") from None
        if path and not kind.path:
            raise ValueError(f"'{text}' is not the address of a server: '/{path}' is too much; {example}")
        if kind.must and not path:
            raise ValueError(
                f"'{text}' names no {kind.path}; an address looks like {scheme}://host:{kind.port}/resnet50"
            )
        if not host:
            raise ValueError(f"'{text}' names no host; {example}")
        if not port:
            usual = f"the usual port of {kind_of(scheme)} is {kind.port}"
            raise ValueError(f"'{text}' names no port ({usual}); {example}")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"'{text}': '{port}' is not a port, which is a number from 1 to 65535")
        return cls(scheme, host.strip("[]"), int(port), path)

    @property
    def kind(self) -> str:
        """The protocol: the scheme without the `s` of an encrypted one."""
        return kind_of(self.scheme)

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme not in KINDS

    @property
    def address(self) -> str:
        """Host and port without the scheme, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the address is this machine's loopback."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}{'/' if self.path else ''}{self.path}"
