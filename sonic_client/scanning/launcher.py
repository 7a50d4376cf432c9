"""Makes the clients of a scan: a process that has imported everything, and forks.

    python -m evproc.sonic_client.scanning.launcher     # started by `clients.Launcher`, which speaks to it by its pipes

Why: twenty Python programs that each import for a second take half a minute of two cores before anything is measured.
This one imports once, has no threads and no event loop, and each client is a fork of it, which then is an ordinary
`evproc run`. It reads one line of JSON for each point, and answers with one when all clients of it have ended. All
clients wait at their gate until each has said that it is ready; then all are let go.

Ends: when its input is closed, as happens too when the scan is killed, it ends its clients and then itself. Clients end
with it, killed by the kernel (on Linux), should it be killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GRACE = 5.0
"""s, for clients that were told to end."""
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Client:
    """A client that was forked."""

    pid: int
    ready: int
    """Reads a byte when it is ready, and the end of the file when it has ended."""
    go: int
    """Lets it begin."""
    waiting: bool = False
    ended: bool = False
    code: int = 0


@dataclass(slots=True)
class _Hung(Exception):
    """The scan has hung up."""


@dataclass(slots=True)
class Launcher:
    """Serves the scan, on file descriptors `orders` and `answers`."""

    orders: int
    answers: int
    _pending: bytes = b""
    _clients: list[Client] = field(default_factory=list)

    def serve(self) -> None:
        """Answer each order until there are no more."""
        try:
            while (order := self._next_order()) is not None:
                os.write(self.answers, json.dumps(self._obey(order)).encode() + b"\n")
        except _Hung:
            pass
        finally:
            self._end_clients()

    def _next_order(self) -> dict[str, Any] | None:
        while b"\n" not in self._pending:
            more = os.read(self.orders, 65536)
            if not more:
                return None
            self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if "warm" in order:
            warm(order["warm"])
            return {}
        self._clients = []
        deadline = time.monotonic() + order["timeout"]
        for number, client in enumerate(order["clients"]):
            self._clients.append(self._fork(number, client))
        why = self._watch(deadline)
        if why:
            self._end_clients()
        return {"codes": [client.code for client in self._clients], "why": why}

    def _fork(self, number: int, order: dict[str, Any]) -> Client:
        ready_read, ready_write = os.pipe()
        go_read, go_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            os.close(ready_write)
            os.close(go_read)
            return Client(pid, ready_read, go_write)
        code = 70
        try:
            die_with(parent)
            for other in self._clients:
                os.close(other.ready)
                os.close(other.go)
            for descriptor in (ready_read, go_write, self.orders, self.answers):
                os.close(descriptor)
            code = run_client(order, ready_write, go_read)
        finally:
            os._exit(code)

    def _watch(self, deadline: float) -> str:
        """Let the clients go when all are ready, and wait for their ends. Returns what was wrong, if anything was."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.orders, selectors.EVENT_READ)
            for client in self._clients:
                selector.register(client.ready, selectors.EVENT_READ, client)
            while not all(client.ended for client in self._clients):
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    late = sum(not client.ended for client in self._clients)
                    return f"{late} of {len(self._clients)} clients have not ended in time"
                for key, _ in events:
                    if key.data is None:
                        raise _Hung
                    client = key.data
                    if os.read(client.ready, 16):
                        client.waiting = True
                        if all(each.waiting for each in self._clients):
                            for each in self._clients:
                                os.write(each.go, b"g")
                        continue
                    selector.unregister(client.ready)
                    self._reap(client)
                    if client.code:
                        return f"a client has ended with exit code {client.code}"
        return ""

    def _reap(self, client: Client) -> None:
        _, status = os.waitpid(client.pid, 0)
        client.ended, client.code = True, os.waitstatus_to_exitcode(status)
        os.close(client.ready)
        os.close(client.go)

    def _end_clients(self) -> None:
        """Tell those that run to end, as by Ctrl-C, and kill those that do not."""
        open_ = [client for client in self._clients if not client.ended]
        for client in open_:
            os.kill(client.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for client in open_:
            while time.monotonic() < deadline:
                pid, status = os.waitpid(client.pid, os.WNOHANG)
                if pid:
                    break
                time.sleep(0.02)
            else:
                os.kill(client.pid, signal.SIGKILL)
                _, status = os.waitpid(client.pid, 0)
            client.ended, client.code = True, os.waitstatus_to_exitcode(status)
            os.close(client.ready)
            os.close(client.go)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(70)


def warm(arguments: list[str]) -> None:
    """Import what clients will need: the client's libraries, and what the workflow imports. Its faults are told elsewhere."""
    from evproc.framework import job, schedule  # noqa: F401
    from evproc.framework.cli import run  # noqa: F401
    from evproc.sonic_client import grpc_transport, service, shared_memory  # noqa: F401

    from . import gate  # noqa: F401

    with suppress(BaseException):
        _load(arguments)


def _load(arguments: list[str]) -> None:
    from evproc.framework.loading import load

    load(Path(arguments[0]), arguments[1:])


def run_client(order: dict[str, Any], ready: int, go: int) -> int:
    """`evproc run`, with its words in a file. Returns its exit code."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    from evproc.framework.cli.main import app

    from . import gate

    gate.place = gate.Place(ready, go, Path(order["times"]), Path(order["folder"]))
    try:
        app(order["arguments"], prog_name="evproc")
    except SystemExit as end:
        code = end.code
        return code if isinstance(code, int) else int(code is not None)
    except BaseException as error:
        os.write(2, f"error: {type(error).__name__}: {error}\n".encode())
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what a workflow prints is no answer
    Launcher(0, answers).serve()
