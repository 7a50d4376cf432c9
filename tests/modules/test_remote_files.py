"""Files behind URLs: an HTTP server on loopback, with its faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evproc.framework import Columns, InputError
from evproc.modules import remote_source
from evproc.modules.input_files import expand_files
from tests.modules.range_server import RangeServer, serving
from tests.modules.remote_toys import CHUNK, EVENTS, read, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are served."""
    place = tmp_path_factory.mktemp("served")
    write_files(place)
    return place


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """A server that knows ranges; pauses between tries take no time."""
    monkeypatch.setattr(remote_source, "PAUSE", 0.0)
    with serving(folder) as server:
        yield server


def test_a_url_is_read_like_a_file(server: RangeServer, folder: Path) -> None:
    """Events, their order and their identities are the same; only the baskets that are needed are asked for."""
    names = ["a.root", "b.root"]
    assert read([f"{server.url}/{name}" for name in names]) == read([str(folder / name) for name in names])
    sizes = [last - first + 1 for name, first, last in server.requests if name == "a.root"]
    assert max(sizes) < (folder / "a.root").stat().st_size / 3


def test_a_url_may_end_in_a_tree_and_have_a_query(server: RangeServer) -> None:
    """`:tree` and `?query` belong to the URL of one file."""
    assert len(read(f"{server.url}/a.root?token=1:Events", tree="none", max_events=10)) == 3


def test_a_pattern_is_listed_by_the_server(server: RangeServer) -> None:
    """`*` in a URL stands for the files that the server lists; none is an error that names the pattern."""
    found = expand_files([f"{server.url}/[ab]*.root:Events", f"{server.url}/b*.root"], "Events")
    assert [file.path.rpartition("/")[2] for file in found] == ["a.root", "b.root", "b.root"]
    with pytest.raises(InputError, match=r"no file matches 'http://.*/z\*.root', as far as the server lists its files"):
        expand_files([f"{server.url}/z*.root"], "Events")
    with pytest.raises(InputError, match=r"'http://.*/no/\*.root' cannot be listed|no file matches"):
        expand_files([f"{server.url}/no/*.root"], "Events")


def fault(url: str, **source: Any) -> str:
    """The error of a job that reads a URL."""
    with pytest.raises(Exception, match=r"http://127") as caught:
        read(url, **source)
    return str(caught.value)


def test_what_is_wrong_with_a_remote_file_is_said(server: RangeServer) -> None:
    """A file that is absent, no ROOT file, or cut off, names URL and fault before the first event."""
    assert f"file '{server.url}/none.root' cannot be opened: there is no such file" in fault(f"{server.url}/none.root")
    assert "is not a ROOT file: it begins with b'no R'" in fault(f"{server.url}/text.root")
    assert "is truncated: it should have" in fault(f"{server.url}/cut.root")
    assert "there is no tree 'Evens'; did you mean 'Events'" in fault(f"{server.url}/a.root", tree="Evens")


def test_a_server_without_ranges_is_said(folder: Path) -> None:
    """A server that sends whole files is told apart at the first request, not at the first basket; copying works."""
    with serving(folder, ranges=False) as server:
        said = fault(f"{server.url}/a.root")
        assert (
            f"file '{server.url}/a.root' cannot be read in parts: the server answers with all of it (status 200)"
            in said
        )
        assert f"simplecache::{server.url}/a.root" in said
        assert read(f"simplecache::{server.url}/a.root") == read(str(folder / "a.root"))


def test_an_absent_server_is_said(server: RangeServer) -> None:
    """No connection is tried a few times, and named."""
    server.shutdown()
    server.server_close()
    said = fault(f"{server.url}/a.root")
    assert f"file '{server.url}/a.root' cannot be opened: Cannot connect to host 127.0.0.1" in said
    assert "in 4 tries" in said


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(server: RangeServer, folder: Path, status: int) -> None:
    """A server that cannot for a moment costs nothing but the same request again."""
    server.script = [None] * 6 + [status, status, None, status, None, None, status]
    assert read(f"{server.url}/a.root") == read(str(folder / "a.root"))
    assert server.script == []


@pytest.mark.parametrize(("status", "tries"), [(503, 4), (403, 1), (404, 1)])
def test_tries_are_few(server: RangeServer, status: int, tries: int) -> None:
    """What does not pass ends the job with URL, entries and status; what cannot pass is not tried again."""

    def breaks(columns: Columns) -> None:
        server.always = status
        requests.append(len(server.requests))

    requests: list[int] = []
    with pytest.raises(InputError) as caught:
        read([f"{server.url}/a.root", f"{server.url}/b.root"], breaks)
    said = str(caught.value)
    assert f"{server.url}/" in said
    assert f"HTTP status {status}" in said or "there is no such file on the server" in said
    assert ("in 4 tries" in said) == (tries > 1)
    same = [request for request in server.requests[requests[0] :] if request == server.requests[-1]]
    assert len(same) <= tries


def test_the_next_chunk_comes_while_modules_compute(server: RangeServer, folder: Path) -> None:
    """While the modules work on a chunk, the request for the next one is on its way: in each chunk they see it begin."""
    begun = threading.Semaphore(0)
    held: list[bool] = []
    catalog_done = threading.Event()

    def note(name: str, first: int, last: int) -> None:
        if catalog_done.is_set() and (first, last) != (0, 63):
            begun.release()

    def wait(columns: Columns) -> None:
        if int(columns.ids.event[-1]) + 1 < EVENTS:
            catalog_done.set()
            held.append(begun.acquire(timeout=20))

    server.on_request = note
    catalog_done.set()
    assert read(f"{server.url}/a.root", wait) == read(str(folder / "a.root"))
    assert held == [True] * (EVENTS // CHUNK - 1)


def test_a_url_that_nothing_can_read() -> None:
    """An unknown protocol, or one whose package is absent, is named."""
    with pytest.raises(InputError, match=r"file 'nope://host/a.root' cannot be opened: .*nope"):
        remote_source.file_system("nope://host/a.root")
