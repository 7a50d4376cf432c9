"""Where the addresses of servers come from: the configuration, a file, the environment. Nothing here opens a connection.

    servers=["grpc://gpu1:8001", "near=grpc://gpu2:8001"]      in the workflow; a name may go before the address
    servers_file="servers.txt"                                 one address a line, in the same form; `#` begins a comment
    EVPROC_SERVERS=grpc://gpu1:8001,grpc://gpu2:8001           in the environment
    SONIC_LOCAL_BALANCER_HOST and _PORT                        a site's own balancer, under the names that CMS uses

The file is read again when it has changed, also during the job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .transport import ServerURL

LIST = "EVPROC_SERVERS"
HOST, PORT = "SONIC_LOCAL_BALANCER_HOST", "SONIC_LOCAL_BALANCER_PORT"
BALANCER = "SONIC_LOCAL_BALANCER"


@dataclass(frozen=True, slots=True)
class Entry:
    """A server that the job knows of."""

    name: str
    url: str
    origin: str
    """The parameter or variable that names it."""


@dataclass(slots=True)
class Roster:
    """All servers that a job knows of, by address; and what is wrong with how they are given."""

    entries: dict[str, Entry] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)
    """(parameter, what is wrong)."""
    warnings: list[str] = field(default_factory=list)

    def add(self, text: str, origin: str) -> None:
        """Add an address, with a name before it perhaps."""
        match = re.fullmatch(r"\s*(?:([\w.-]+)=)?(.*?)\s*", text, re.DOTALL)
        assert match is not None
        name, url = match.groups()
        try:
            ServerURL.parse(url)
        except ValueError as error:
            self.faults.append((origin, str(error)))
            return
        other = next((entry for entry in self.entries.values() if name and entry.name == name), None)
        if other is not None and other.url != url:
            self.faults.append((origin, f"two servers are called '{name}': {other.url} and {url}"))
        else:
            self.entries.setdefault(url, Entry(name or url, url, origin))

    @property
    def names(self) -> set[str]:
        """The names and addresses of all."""
        return {text for entry in self.entries.values() for text in (entry.name, entry.url)}


def read_roster(servers: Sequence[str], file: str, environment: Mapping[str, str]) -> Roster:
    """The servers of a job: those of the site first, then those of the workflow, then those of the file."""
    roster = Roster()
    host, port = environment.get(HOST, ""), environment.get(PORT, "")
    if host and port:
        roster.add(f"{BALANCER}=grpc://{host}:{port}", HOST)
    elif host or port:
        there, missing = (HOST, PORT) if host else (PORT, HOST)
        roster.warnings.append(f"{there} is set in the environment and {missing} is not: the site's server is left out")
    for text in environment.get(LIST, "").split(","):
        if text.strip():
            roster.add(text, LIST)
    for text in servers:
        roster.add(text, "servers")
    if file:
        try:
            lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            roster.faults.append(("servers_file", f"'{file}' cannot be read: {error}"))
            lines = []
        for line in lines:
            text = line.partition("#")[0].strip()
            if text:
                roster.add(text, "servers_file")
    return roster
