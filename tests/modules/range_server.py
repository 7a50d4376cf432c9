"""An HTTP server on loopback that sends parts of files, lists folders, and fails when it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Serves a folder. `url` is where, `requests` what was asked: (name, first byte, last byte)."""

    daemon_threads = True

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.ranges = ranges
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[tuple[str, int, int]] = []
        #: statuses to answer with, one for each request for a part that is not the head; None serves it
        self.script: list[int | None] = []
        #: the status of all parts but the head, once the script is at its end
        self.always: int | None = None
        #: called with each request for a part, before it is answered
        self.on_request: Callable[[str, int, int], None] = lambda name, first, last: None
        self.connections = 0

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        """Clients may go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, head: bool = False) -> None:
        name = self.path.partition("?")[0].strip("/")
        place = self.server.folder / name
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if place.is_dir():
            links = "".join(f'<a href="{item.name}">{item.name}</a>\n' for item in sorted(place.iterdir()))
            self._answer(200, links.encode(), {"Content-Type": "text/html"}, head)
        elif not place.exists():
            self._answer(404, b"no such file", {}, head)
        elif asked is None or not self.server.ranges:
            self._answer(200, place.read_bytes(), {}, head)
        else:
            first, last = int(asked[1]), int(asked[2])
            self.server.requests.append((name, first, last))
            self.server.on_request(name, first, last)
            status = None if (first, last) == (0, 63) else self._status()
            if status is not None:
                self._answer(status, b"sorry", {}, head)
                return
            size = place.stat().st_size
            with place.open("rb") as file:
                file.seek(first)
                part = file.read(last - first + 1)
            self._answer(206, part, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{size}"}, head)

    def _status(self) -> int | None:
        return self.server.script.pop(0) if self.server.script else self.server.always

    def _answer(self, status: int, body: bytes, headers: dict[str, str], head: bool) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if not head:
            self.wfile.write(body)


@contextmanager
def serving(folder: Path, *, ranges: bool = True) -> Iterator[RangeServer]:
    """A server of a folder, on a free port, stopped in any case."""
    server = RangeServer(folder, ranges=ranges)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
