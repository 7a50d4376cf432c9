"""Files behind `root://` URLs: the client of XRootD, and a server on loopback with its faults."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from evproc.framework import Columns, InputError
from evproc.modules import remote_source
from evproc.modules.input_files import expand_files
from tests.modules.remote_toys import CHUNK, EVENTS, read, write_files
from tests.modules.xrootd_server import BREAKS, XRootDServer, serving_xrootd

OVERLOADED, NOT_AUTHORIZED, IO_ERROR = 3024, 3010, 3007


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served: the files are in /store."""
    place = tmp_path_factory.mktemp("served")
    (place / "store").mkdir()
    write_files(place / "store")
    return place


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[XRootDServer]:
    """A server; pauses between tries take no time."""
    monkeypatch.setattr(remote_source, "PAUSE", 0.0)
    with serving_xrootd(folder) as server:
        yield server


def fault(url: str, before: Callable[[Columns], None] = lambda columns: None) -> str:
    """The error of a job that reads a URL."""
    with pytest.raises(Exception, match=r"root://127") as caught:
        read(url, before)
    return str(caught.value)


def test_a_url_is_read_like_a_file(server: XRootDServer, folder: Path) -> None:
    """Events, their order and their identities are the same; only the baskets that are needed are asked for."""
    names = ["store/a.root", "store/b.root"]
    assert read([f"{server.url}/{name}" for name in names]) == read([str(folder / name) for name in names])
    assert max(length for _, _, length in server.reads) < (folder / "store" / "a.root").stat().st_size / 3


def test_a_pattern_is_listed_by_the_server(server: XRootDServer, folder: Path) -> None:
    """`*` stands for the files that the server lists at that time; none is an error that names the pattern."""
    found = expand_files([f"{server.url}/store/[ab]*.root:Events", f"{server.url}/store/b*.root"], "Events")
    assert [file.path.rpartition("/")[2] for file in found] == ["a.root", "b.root", "b.root"]
    assert read(f"{server.url}/store/[ab]*.root") == read(str(folder / "store" / "[ab].root"))
    with pytest.raises(InputError, match=r"no file matches 'root://.*/z\*.root', as far as the server lists its files"):
        expand_files([f"{server.url}/store/z*.root"], "Events")


def test_what_is_wrong_with_a_file_is_said(server: XRootDServer) -> None:
    """A file that is absent is asked for once; that, no ROOT file, and one cut off are told before the first event."""
    url = f"{server.url}/store"
    said = fault(f"{url}/none.root")
    assert f"file '{url}/none.root' cannot be opened: there is no such file on the server  [" in said
    assert server.opened == []
    assert "is not a ROOT file: it begins with b'no R'" in fault(f"{url}/text.root")
    assert "is truncated: it should have" in fault(f"{url}/cut.root")


@pytest.mark.parametrize("code", [OVERLOADED, IO_ERROR, BREAKS])
def test_what_may_pass_is_tried_again(server: XRootDServer, folder: Path, code: int) -> None:
    """A server that cannot for a moment costs nothing but the same request again."""
    server.script = [0] * 6 + [code, code, 0, code, 0, 0, code]
    assert read(f"{server.url}/store/a.root") == read(str(folder / "store" / "a.root"))
    assert server.script == []


@pytest.mark.parametrize(("code", "tries"), [(IO_ERROR, 4), (NOT_AUTHORIZED, 1)])
def test_tries_are_few(server: XRootDServer, code: int, tries: int) -> None:
    """What does not pass ends the job with URL, entries and what the server said; what cannot pass is not tried again."""

    def breaks(columns: Columns) -> None:
        server.always = code

    url = f"{server.url}/store/a.root"
    said = fault(url, breaks)
    assert f"{url}, tree 'Events': entries " in said
    assert f"the server says: so it was told (error {code} of XRootD)" in said
    assert ("in 4 tries" in said) == (tries > 1)


def test_a_server_that_goes_is_said(server: XRootDServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes away in the middle of a job ends it, soon, with URL and entries; one that is absent, too."""
    monkeypatch.setattr(remote_source, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(remote_source, "READ_SECONDS", 2.0)
    begin, gone = time.monotonic(), []

    def leaves(columns: Columns) -> None:
        if not gone:
            server.stop()
        gone.append(len(columns))

    url = f"{server.url}/store/a.root"
    said = fault(url, leaves)
    assert f"{url}, tree 'Events': entries " in said
    assert "in 4 tries" in said
    assert 0 < sum(gone) < EVENTS
    said = fault(f"{server.url}/store/b.root")
    assert f"file '{server.url}/store/b.root' cannot be opened: the client of XRootD says: " in said
    assert time.monotonic() - begin < 60.0


def test_a_server_that_comes_back(server: XRootDServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was gone for some tries, and is there again for the last, is read on as if nothing had been."""
    monkeypatch.setattr(remote_source, "CONNECT_SECONDS", 1.0)
    tries: list[BaseException] = []
    gone: list[int] = []
    may_pass = remote_source.may_pass
    with ExitStack() as stack:

        def leaves(columns: Columns) -> None:
            if not gone:
                gone.append(server.port)
                server.stop()

        def noted(error: BaseException) -> bool:
            tries.append(error)
            if len(tries) == 3:
                stack.enter_context(serving_xrootd(folder, server.port))
            return may_pass(error)

        monkeypatch.setattr(remote_source, "may_pass", noted)
        seen = read(f"{server.url}/store/a.root", leaves)
    assert seen == read(str(folder / "store" / "a.root"))
    assert len(tries) == 3


def test_a_silent_server_does_not_hold_the_job(server: XRootDServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stays connected and says nothing more is given up after the time that one try may take."""
    monkeypatch.setattr(remote_source, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(remote_source, "READ_SECONDS", 1.0)
    monkeypatch.setattr(remote_source, "TRIES", 2)
    begin = time.monotonic()

    def falls_silent(columns: Columns) -> None:
        server.speaks.clear()

    said = fault(f"{server.url}/store/a.root", falls_silent)
    assert "no answer in time (1 s to connect, 1 s without data), in 2 tries" in said
    assert time.monotonic() - begin < 60.0


def test_a_server_that_never_answers_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes connections and does not speak XRootD is given up too."""
    monkeypatch.setattr(remote_source, "PAUSE", 0.0)
    monkeypatch.setattr(remote_source, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(remote_source, "READ_SECONDS", 2.0)
    monkeypatch.setattr(remote_source, "TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begin = time.monotonic()
        url = f"root://127.0.0.1:{mute.getsockname()[1]}//store/a.root"
        assert f"file '{url}' cannot be opened: " in fault(url)
        assert time.monotonic() - begin < 60.0


def test_what_is_needed_is_said(server: XRootDServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client of XRootD installed, the fault names the package and how to get it."""
    monkeypatch.setitem(sys.modules, "XRootD", None)
    monkeypatch.delitem(sys.modules, "XRootD.client", raising=False)
    said = fault(f"{server.url}/store/a.root")
    assert "cannot be opened: root:// needs fsspec-xrootd (pip install 'evproc[remote]')" in said


def test_the_next_chunk_comes_while_modules_compute(server: XRootDServer) -> None:
    """While the modules work on a chunk, the request for the next one is on its way: in each chunk they see it begin."""
    begun, held = threading.Semaphore(0), []
    server.on_read = lambda name, offset, length: begun.release() if (offset, length) != (0, 64) else None

    def wait(columns: Columns) -> None:
        if int(columns.ids.event[-1]) + 1 < EVENTS:
            held.append(begun.acquire(timeout=20))

    read(f"{server.url}/store/a.root", wait)
    assert held == [True] * (EVENTS // CHUNK - 1)


def test_a_job_ends_with_its_process(server: XRootDServer, tmp_path: Path) -> None:
    """The threads of the client of XRootD keep no process from ending, nor do they spoil its exit code."""
    workflow = tmp_path / "far.py"
    workflow.write_text(
        "from evproc.framework import EndPath, Process\n"
        "from evproc.modules import NtupleOutput, NtupleSource\n"
        "process = Process('FAR')\n"
        f"process.source = NtupleSource(files=['{server.url}/store/[ab]*.root'], run='', luminosity_block='')\n"
        "process.out = NtupleOutput(file='near.root', keep=['x'])\n"
        "process.end = EndPath(process.out)\n"
    )
    command = [sys.executable, "-c", "from evproc.framework.cli.main import main; main()", "run", str(workflow)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"FAR: {2 * EVENTS:,} events" in done.stdout
    assert (tmp_path / "near.root").exists()
