"""The clients of a scan, as the scan sees them: orders for the launcher, and what its clients have left in files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from evproc.framework.errors import InputError, InternalError
from evproc.framework.report import Report
from evproc.framework.report_form import read_report

from .gate import NAME
from .launcher import GRACE
from .window import ClientTimes

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that say how many threads libraries compute on: one, unless the user has said more; a client is one core."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the clients of a point have left."""

    reports: list[Report]
    times: list[ClientTimes]


class ClientLauncher:
    """The process that makes the clients; `with` starts and ends it, and no client outlives it."""

    def __init__(self, workflow: Path, arguments: Sequence[str]) -> None:
        self._warm = [str(workflow), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ClientLauncher:
        """Start it, in a session of its own, so that Ctrl-C in a terminal reaches the scan alone."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evproc.sonic_client.scanning.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**dict.fromkeys(THREADS, "1"), **os.environ},
        )
        try:
            self._ask({"warm": self._warm})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(GRACE + 5.0)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            process.stdout.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise InternalError("the process that makes the clients has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, arguments: Sequence[str], clients: int, folder: Path, timeout: float) -> Seen:
        """Run so many clients to their ends. `{client}` in an argument is the number of the client, from 1.

        Raises InputError with what the first client that failed has said.
        """
        folder.mkdir(parents=True, exist_ok=True)
        orders = []
        for number in range(1, clients + 1):
            files = {name: folder / f"client-{number}.{name}" for name in ("log", "times", "json", "files")}
            files["files"].mkdir(exist_ok=True)
            for stale in ("times", "json"):
                files[stale].unlink(missing_ok=True)
            mine = [argument.replace("{client}", str(number)) for argument in arguments]
            words = ["run", *mine[:1], "--quiet", "--report", str(files["json"]), "--customise", NAME, *mine[1:]]
            paths = {"log": str(files["log"]), "times": str(files["times"]), "folder": str(files["files"])}
            orders.append({"arguments": words, **paths})
        answer = self._ask({"clients": orders, "timeout": timeout})
        if answer["why"]:
            logs = [folder / f"client-{number}.log" for number in range(1, clients + 1)]
            raise InputError(_why(answer["why"], answer["codes"], logs))
        return Seen(
            [read_report(folder / f"client-{number}.json") for number in range(1, clients + 1)],
            [_times(folder / f"client-{number}.times") for number in range(1, clients + 1)],
        )


def _why(said: str, codes: Sequence[int], logs: Sequence[Path]) -> str:
    """What was wrong, with the words of the first client that has said something before it was told to end."""
    order = sorted(range(len(codes)), key=lambda number: codes[number] in (0, -signal.SIGTERM, -signal.SIGKILL))
    for number in order:
        with suppress(OSError):
            text = re.sub(r"\x1b\[[0-9;]*m", "", logs[number].read_text(errors="replace")).strip()
            if text:
                return f"{said}: {text}"
    return said


def _times(path: Path) -> ClientTimes:
    try:
        return ClientTimes.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"a client has left no times: {error}") from error


def tidy(folder: Path, *, keep_reports: bool) -> None:
    """Remove what a point has left that nobody needs: the files of clients, their times, empty logs, perhaps the reports."""
    import shutil

    for path in sorted(folder.glob("client-*")):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".times" or (path.suffix == ".json" and not keep_reports) or not path.stat().st_size:
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
