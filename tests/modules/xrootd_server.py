"""A server that speaks as much of the XRootD protocol as reading a file needs: on loopback, in threads, read-only.

It fails when it is told to. What it answers was tried with the client of the XRootD project, which the tests read it by.
The numbers are those of the XRootD protocol specification, version 3.1: requests of 24 bytes (stream, code, 16 bytes, length)
and answers of 8 (stream, status, length), all big-endian.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CLOSE, DIRLIST, PROTOCOL, LOGIN, OPEN, PING, READ, STAT, QUERY = 3003, 3004, 3006, 3007, 3010, 3011, 3013, 3017, 3001
SET, END, READV, LOCATE = 3018, 3023, 3025, 3027
OK, ERROR = 0, 4003
NOT_FOUND, UNSUPPORTED = 3011, 3013
VERSION, DATA_SERVER = 0x310, 1
READABLE, IS_FOLDER = 16, 2
BREAKS = -1


class XRootDServer(socketserver.ThreadingTCPServer):
    """Serves a folder; `url` is where, `reads` the ranges that were read: (name, offset, length); `opened` the files."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Session)
        self.folder = folder
        self.port = int(self.server_address[1])
        self.url = f"root://127.0.0.1:{self.port}/"
        self.reads: list[tuple[str, int, int]] = []
        self.opened: list[str] = []
        #: codes of errors to answer with, one for each request for a part that is not the head; 0 serves it, BREAKS
        #: breaks the connection off
        self.script: list[int] = []
        #: the code for all parts but the head, once the script is at its end
        self.always = 0
        #: called with each request for a part, before it is answered
        self.on_read: Callable[[str, int, int], None] = lambda name, offset, length: None
        #: cleared: says nothing from then on, but stays connected
        self.speaks = threading.Event()
        self.speaks.set()
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection."""
        self._connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away."""

    def stop(self) -> None:
        """Be gone: no connection lasts, none is made."""
        self.shutdown()
        self.server_close()
        self.speaks.set()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class ScriptedError(Exception):
    """An error that the test wants; its code is the argument."""


class _Session(socketserver.BaseRequestHandler):
    server: XRootDServer

    def handle(self) -> None:
        self.files: dict[bytes, Path] = {}
        self._receive(20)
        self._answer(b"\0\0", OK, struct.pack(">ii", VERSION, DATA_SERVER))
        while True:
            stream, code, body, length = struct.unpack(">2sH16si", self._receive(24))
            data = self._receive(length)
            try:
                self._answer(stream, OK, self._reply(code, body, data))
            except ScriptedError as error:
                self._answer(stream, ERROR, struct.pack(">i", error.args[0]) + b"so it was told\0")
            except FileNotFoundError as error:
                self._answer(stream, ERROR, struct.pack(">i", NOT_FOUND) + f"no such file {error}\0".encode())
            except NotImplementedError:
                self._answer(stream, ERROR, struct.pack(">i", UNSUPPORTED) + b"not supported\0")

    def _receive(self, count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            part = self.request.recv(count - len(parts))
            if not part:
                raise ConnectionError("the client has gone")
            parts += part
        return parts

    def _answer(self, stream: bytes, status: int, data: bytes) -> None:
        self.server.speaks.wait()
        self.request.sendall(struct.pack(">2sHi", stream, status, len(data)) + data)

    def _reply(self, code: int, body: bytes, data: bytes) -> bytes:
        replies: dict[int, Callable[[bytes, bytes], bytes]] = {
            PROTOCOL: lambda body, data: struct.pack(">ii", VERSION, DATA_SERVER),
            LOGIN: lambda body, data: b"evproc-test-sess",
            OPEN: self._open,
            STAT: self._stat,
            READ: self._read,
            READV: self._read_many,
            DIRLIST: self._list,
            QUERY: lambda body, data: b"1024\n2097136\n",
            LOCATE: lambda body, data: f"Sr127.0.0.1:{self.server.port}\0".encode(),
        }
        if code in (CLOSE, PING, SET, END):
            return b""
        if code not in replies:
            raise NotImplementedError
        return replies[code](body, data)

    def _place(self, data: bytes) -> Path:
        name = data.rstrip(b"\0").decode().partition("?")[0].strip("/")
        place = self.server.folder / name
        if not place.exists():
            raise FileNotFoundError(name)
        return place

    def _open(self, body: bytes, data: bytes) -> bytes:
        handle = struct.pack(">i", len(self.files))
        self.server.opened.append(data.rstrip(b"\0").decode().partition("?")[0].rpartition("/")[2])
        self.files[handle] = self._place(data)
        return handle + bytes(8) + self._status(self.files[handle])

    def _stat(self, body: bytes, data: bytes) -> bytes:
        return self._status(self._place(data) if data.rstrip(b"\0") else self.files[body[12:16]])

    def _status(self, place: Path) -> bytes:
        flags = READABLE | (IS_FOLDER if place.is_dir() else 0)
        return f"{place.stat().st_ino} {place.stat().st_size} {flags} {int(place.stat().st_mtime)}\0".encode()

    def _read(self, body: bytes, data: bytes) -> bytes:
        handle, offset, length = struct.unpack(">4sqi", body)
        return self._part(handle, offset, length)

    def _read_many(self, body: bytes, data: bytes) -> bytes:
        parts = []
        for at in range(0, len(data), 16):
            handle, length, offset = struct.unpack(">4siq", data[at : at + 16])
            part = self._part(handle, offset, length)
            parts.append(struct.pack(">4siq", handle, len(part), offset) + part)
        return b"".join(parts)

    def _part(self, handle: bytes, offset: int, length: int) -> bytes:
        place = self.files[handle]
        self.server.reads.append((place.name, offset, length))
        self.server.on_read(place.name, offset, length)
        code = 0 if (offset, length) == (0, 64) else self._code()
        if code == BREAKS:
            raise ConnectionError
        if code:
            raise ScriptedError(code)
        with place.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def _code(self) -> int:
        return self.server.script.pop(0) if self.server.script else self.server.always

    def _list(self, body: bytes, data: bytes) -> bytes:
        names = sorted(self._place(data).iterdir())
        with_status = body[15] & 2
        if not with_status:
            return "\n".join(item.name for item in names).encode() + b"\0"
        lines = [".\n0 0 0 0"]
        lines += [f"{item.name}\n{self._status(item)[:-1].decode()}" for item in names]
        return "\n".join(lines).encode() + b"\0"


@contextmanager
def serving_xrootd(folder: Path, port: int = 0) -> Iterator[XRootDServer]:
    """A server of a folder, on a free port or that of a server that is gone, stopped in any case."""
    server = XRootDServer(folder, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
