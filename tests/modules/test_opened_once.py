"""A file is opened once in a job: it stays open from the look at what it offers until it has been read, and no longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evproc.framework import ConfigurationError, InputError
from evproc.framework.job import check
from evproc.modules import root_reading
from tests.modules.jobs import Collect, job

Write = Callable[..., str]


def held_open(path: str) -> int:
    """How many of this process's handles are of a file."""
    handles = Path("/proc/self/fd")
    return sum(os.path.realpath(handle) == os.path.realpath(path) for handle in handles.iterdir())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are opened, in order."""
    paths: list[str] = []
    plain = root_reading.open_root

    def noted(path: str) -> Any:
        paths.append(path)
        return plain(path)

    monkeypatch.setattr(root_reading, "open_root", noted)
    return paths


def test_the_first_file_is_opened_once(write_events: Write, opened: list[str]) -> None:
    """Others are opened again when it is their turn: there may be thousands of them."""
    files = [write_events(name, events=30) for name in ("a.root", "b.root")]
    process = job(files=files)
    assert process.run().events == 60
    assert opened == [files[0], files[1], files[1]]
    assert [held_open(file) for file in files] == [0, 0]
    assert process.run().events == 60, "the same process runs again"
    assert [held_open(file) for file in files] == [0, 0]


def test_a_look_leaves_nothing_open(write_events: Write) -> None:
    """Neither a catalog by itself nor a check."""
    file = write_events("a.root", events=30)
    process = job(files=file)
    assert process.source.catalog().events == 30
    assert held_open(file) == 0
    assert check(process) == ([], [])
    assert held_open(file) == 0


def test_a_job_that_does_not_begin_leaves_nothing_open(write_events: Write) -> None:
    """A fault in another module ends the job after the source was looked at."""
    file = write_events("a.root", events=30)
    process = job(products=("MET_pd",), files=file)
    with pytest.raises(ConfigurationError, match="MET_pd"):
        process.run()
    assert held_open(file) == 0


def test_a_job_that_fails_as_it_begins_leaves_nothing_open(
    write_events: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chunk was asked for yet."""

    def refuse(*_: object) -> None:
        raise InputError("as told")

    file = write_events("a.root", events=30)
    process = job(files=file)
    monkeypatch.setattr(Collect, "begin_job", refuse)
    with pytest.raises(InputError, match="as told"):
        process.run()
    assert held_open(file) == 0


def test_a_file_that_cannot_be_read_is_not_kept(write_events: Write, opened: list[str], tmp_path: Path) -> None:
    """The first that can be read is the one that stays open."""
    bad, good = tmp_path / "bad.root", write_events("good.root", events=30)
    bad.write_bytes(b"root" + b"\0" * 400)
    process = job(files=[str(bad), good], skip_bad_files=True)
    assert process.run().events == 30
    assert opened.count(good) == 1
    assert (held_open(str(bad)), held_open(good)) == (0, 0)
