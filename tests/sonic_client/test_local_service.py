"""Services that a job starts for itself: found by what they print, ended with the job."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import psutil
import pytest

from evproc.framework.errors import DeadlineExceeded, ServerUnavailable
from evproc.sonic_client.local_service import RunningService

SAYS = "import sys, time; print('warming up'); print('listening on trtis://127.0.0.1:9', flush=True); time.sleep(60)"


def test_it_is_found_and_ended() -> None:
    """The address is the one that it says; when it is stopped, no process of it is left."""

    async def work() -> tuple[str, list[psutil.Process]]:
        running = RunningService(["python", "-c", SAYS])
        await running.start()
        assert running.running
        assert running.why_ended() == ""
        assert running._process is not None
        supervisor = psutil.Process(running._process.pid)
        processes = [supervisor, *supervisor.children(recursive=True)]
        await running.stop()
        await running.stop()
        return running.url, processes

    url, processes = asyncio.run(work())
    assert url == "trtis://127.0.0.1:9"
    assert len(processes) == 2
    assert not [one for one in processes if one.is_running()]


@pytest.mark.parametrize(
    ("command", "timeout", "kind", "words"),
    [
        (
            ["python", "-c", "print('no card'); raise SystemExit(3)"],
            20.0,
            ServerUnavailable,
            "ended with code 3\n  no card",
        ),
        (["python", "-c", "import time; time.sleep(60)"], 0.3, DeadlineExceeded, "did not say where it listens"),
        (["./no-such-command"], 20.0, ServerUnavailable, "there is no command `./no-such-command`"),
    ],
)
def test_one_that_does_not_come_up(
    command: list[str],
    timeout: float,
    kind: type[Exception],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that ends, or never says where it listens, is an error with what it printed last; no file of it is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(kind, match=words):
        asyncio.run(RunningService(command, timeout).start())
    assert not list(tmp_path.iterdir())


def test_one_that_ends_later_says_why() -> None:
    """A service that dies under the job explains itself by its last words."""

    async def work() -> str:
        words = "print('listening on trtis://127.0.0.1:9', flush=True); print('card lost'); raise SystemExit(4)"
        running = RunningService(["python", "-c", words])
        await running.start()
        try:
            while running.running:  # noqa: ASYNC110  # a process tells nobody
                await asyncio.sleep(0.01)
            return running.why_ended()
        finally:
            await running.stop()

    assert asyncio.run(work()).endswith("ended with code 4\n  listening on trtis://127.0.0.1:9\n  card lost")
