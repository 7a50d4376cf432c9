"""Services that a job starts for itself, and stops: commands that say where they listen.

    process.inference = InferenceService(
        local=[LocalService(models=["facile_faast"], command=["python", "-m", "evproc.producers.facile.faast_server", ...])]
    )

For what is no Triton: an emulated FPGA behind its own protocol. One is started only if a module needs a model of it that no
server has. The same supervisor as for the embedded server watches over it, so it ends with the job, in whatever way that
ends. Which is ready, and where, it says itself: the line `listening on trtis://127.0.0.1:5001`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree, which

from evproc.framework import Block, Parameter
from evproc.framework.errors import DeadlineExceeded, ServerUnavailable

from .embedded_command import GRACE
from .serving import LISTENING

_POLL = 0.02  # s
_NUMBER = itertools.count()


class LocalService(Block):
    """A service of the job's own, started when a module needs one of its models that no server has."""

    models: list[str] = Parameter(description="names of the models that it has", min_length=1)
    command: list[str] = Parameter(
        description="words of the command that starts it; `python` at the begin is this Python", min_length=1
    )
    start_timeout: float = Parameter(120.0, description="time for it to be ready", unit="s", placement=True, gt=0)


class RunningService:
    """A command that runs for this job. `url` is the address that it has said."""

    def __init__(self, command: Sequence[str], start_timeout: float = 120.0) -> None:
        words = list(command)
        self.command = [sys.executable, *words[1:]] if words[0] == "python" else words
        self.start_timeout = start_timeout
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()
        self._folder = Path()

    async def start(self) -> None:
        """Start it, and return when it has said where it listens.

        Raises ServerUnavailable, with the end of what it printed, if it ends; DeadlineExceeded if it takes too long.
        """
        until = time.monotonic() + self.start_timeout
        self._launch()
        try:
            while not (found := re.search(rf"^{LISTENING}(\S+)$", self._log.read_text(errors="replace"), re.MULTILINE)):
                if not self.running:
                    raise ServerUnavailable(self.why_ended())
                if time.monotonic() > until:
                    raise DeadlineExceeded(
                        f"`{' '.join(self.command)}` did not say where it listens within {self.start_timeout:g} s"
                        f"{self._last_words()}"
                    )
                await asyncio.sleep(_POLL)
        except BaseException:
            await self.stop()
            raise
        self.url = found[1]

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def why_ended(self) -> str:
        """That it has ended by itself, and what it said last; empty while it runs."""
        if self._process is None or self._process.poll() is None:
            return ""
        return f"`{' '.join(self.command)}` ended with code {self._process.poll()}{self._last_words()}"

    async def stop(self) -> None:
        """End it, and return when it has ended. May be called at any time."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()  # tells the supervisor
            while process.poll() is None:  # noqa: ASYNC110  # a process tells nobody
                await asyncio.sleep(_POLL)
        self._tidy()

    def _tidy(self) -> None:
        if self._folder.name:
            rmtree(self._folder, ignore_errors=True)
            self._log.unlink(missing_ok=True)

    def _launch(self) -> None:
        if which(self.command[0]) is None:
            raise ServerUnavailable(f"there is no command `{self.command[0]}`, which is to start a service")
        self._folder = folder = Path(tempfile.mkdtemp(prefix="evproc-service-"))
        handle, path = tempfile.mkstemp(prefix="evproc-service-", suffix=".log")
        self._log = Path(path)
        supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("embedded_supervisor.py"))]
        supervisor += [str(os.getpid()), str(GRACE), str(folder), f"evproc_{os.getpid()}_local{next(_NUMBER)}_", "--"]
        try:
            os.close(handle)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603  # words of the configuration
                    [*supervisor, *self.command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except BaseException as error:
            self._tidy()
            if isinstance(error, OSError):
                raise ServerUnavailable(f"`{' '.join(self.command)}` cannot be started: {error}") from error
            raise

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        return "".join(f"\n  {line}" for line in lines)
