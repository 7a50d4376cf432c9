"""Servers that live beyond the command that started them: which there are, by name, and how they end.

    server = start("default", ["models"])      # returns when it answers
    ...                                        # other jobs: servers=[server.url]
    stop("default")

Each has a file, `servers/HOST/NAME.json` in evproc's data folder (a home folder may be shared by machines), and
a log beside it. The file says which process watches over the server: its pid, and when it was started, for
pids are used again. What the file says is believed only as long as that process lives. The file is written
before the server is let go, and the server ends with the command if that is killed before: so there is no
server without a file. One lock for the folder, held by this process while it starts or stops a server, keeps
two commands from starting two servers under one name.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from evproc.framework.errors import ServerUnavailable, did_you_mean

from .embedded import EmbeddedServer
from .triton_wheel import data_folder

_PATIENCE = 20.0  # s, for a server to end: it takes one for each model


@dataclass(frozen=True, slots=True)
class KnownServer:
    """A server that was started by name."""

    name: str
    url: str
    http_url: str
    """Empty if it does not speak HTTP."""
    pid: int
    """The process that watches over it."""
    born: int
    """When that process was started, in clock ticks since the machine's start."""
    since: float
    """When it answered first, seconds since 1970."""
    repositories: tuple[str, ...]
    models: tuple[str, ...]
    """Those that were asked for; empty: all."""
    threads: int
    log: str

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return _born(self.pid) == self.born


def folder() -> Path:
    """Where the files of this machine's servers are."""
    return data_folder() / "servers" / socket.gethostname()


def known() -> list[KnownServer]:
    """All servers with a file, by name, whether they run or have ended."""
    return [found for path in sorted(folder().glob("*.json")) if (found := _read(path)) is not None]


def find(name: str) -> KnownServer:
    """The server of this name. Raises ServerUnavailable that names those there are."""
    for server in known():
        if server.name == name:
            return server
    names = [server.name for server in known()]
    there = f"; there is {', '.join(names)}" if names else "; start it: evproc server start --models FOLDER"
    raise ServerUnavailable(f"no server is called '{name}' on this machine{did_you_mean(name, names)}{there}")


def start(
    name: str,
    models: Sequence[str | os.PathLike[str]],
    load: Sequence[str] | None = None,
    *,
    threads: int = 1,
    http: bool = False,
    log: str | os.PathLike[str] | None = None,
    timeout: float = 60.0,
) -> KnownServer:
    """Start a server that outlives this process, and return when it answers.

    Raises ServerUnavailable if one of this name runs already, or for what `EmbeddedServer` raises it for.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ServerUnavailable(f"'{name}' is no name for a server: letters, digits, '_', '-' and '.' only")
    with _locked():
        path = folder() / f"{name}.json"
        if (other := _read(path)) is not None and other.running:
            raise ServerUnavailable(
                f"server '{name}' runs already, at {other.url}; stop it (evproc server stop {name}), or give another name"
            )
        path.unlink(missing_ok=True)
        written = Path(log) if log is not None else path.with_suffix(".log")
        server = EmbeddedServer(models, load=load, log=written, threads=threads, http=http)
        server.start_now(timeout)
        found: list[KnownServer] = []

        def note(pid: int) -> None:
            born = _born(pid)
            assert born is not None, "it runs"
            made = KnownServer(
                name=name,
                url=server.url,
                http_url=server.http_url if http else "",
                pid=pid,
                born=born,
                since=time.time(),
                repositories=tuple(map(str, server.models)),
                models=tuple(load or ()),
                threads=threads,
                log=str(server.log_path),
            )
            found.append(made)
            _write(path, made)

        try:
            server.let_go(note)
        except BaseException:
            path.unlink(missing_ok=True)
            server.__exit__(None, None, None)
            raise
        return found[0]


def stop(name: str) -> bool:
    """Stop a server, and return when its processes are gone; whether it was running. Its log stays.

    Raises ServerUnavailable if there is no server of this name, or if it does not end.
    """
    with _locked():
        server = find(name)
        was_running = _end(server)
        (folder() / f"{name}.json").unlink(missing_ok=True)
        return was_running


def _end(server: KnownServer) -> bool:
    try:
        process = os.pidfd_open(server.pid)
    except ProcessLookupError:
        return False
    try:
        if not server.running:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], _PATIENCE)[0]:
            raise ServerUnavailable(
                f"server '{server.name}' (process {server.pid}) has not ended within {_PATIENCE:g} s"
            )
        return True
    finally:
        os.close(process)


def _born(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine's start; None if there is none, or it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else int(words[19])


def _read(path: Path) -> KnownServer | None:
    """What a file says; None if there is none, or it is no such file."""
    try:
        found = json.loads(path.read_text())
        return KnownServer(**{**found, "repositories": tuple(found["repositories"]), "models": tuple(found["models"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(path: Path, server: KnownServer) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(server), indent=2) + "\n")
    fresh.replace(path)


@contextmanager
def _locked() -> Iterator[None]:
    """Keep others from starting and stopping servers; waits for them."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = (folder() / ".lock").open("w")
    except OSError as error:
        raise ServerUnavailable(f"cannot write into {folder()}: {error.strerror}") from error
    with lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield
