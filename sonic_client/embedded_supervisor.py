"""Watches over one server for one job: when the job ends, in whatever way, the server ends.

Run as a program: `python -I embedded_supervisor.py JOB GRACE FOLDER SHARED -- COMMAND...`. Its standard
input is a pipe of which the job holds the other end. It starts the command, and ends it when the pipe
closes or the process JOB is gone: by then the job has stopped, was interrupted, or was killed with a signal
that it could not handle. (Both are watched: a forked child of the job may keep the pipe open for longer
than the job lives.) If the job writes something into the pipe instead, the server is to live beyond it: from
then on neither is watched, and SIGTERM ends the server.

It ends the whole session of the command, so the helper processes of the server too: SIGTERM, and SIGKILL
after GRACE seconds. Then it removes FOLDER and the shared memory whose names begin with SHARED, and exits
with the command's code. It has a session of its own, so that the Ctrl-C of a terminal reaches the job and
not the server, and the server dies with it should it be killed itself. It uses the standard library only,
and knows nothing of Triton.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_POLL = 0.02  # s, between looks at processes that were told to end


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _watch(job: int, server: subprocess.Popen[bytes], told: int) -> None:
    """Return when the job has ended, or the server; or, if the job let the server go, when a byte comes from `told`."""
    with suppress(OSError), select.epoll() as poll:
        pipe, running = sys.stdin.fileno(), os.pidfd_open(server.pid)
        poll.register(pipe, select.EPOLLIN | select.EPOLLHUP)
        poll.register(running, select.EPOLLIN)
        with suppress(OSError):
            poll.register(os.pidfd_open(job), select.EPOLLIN)
        if os.getppid() != job:
            return
        poll.poll()
        let_go = bool(select.select([pipe], [], [], 0)[0]) and bool(os.read(pipe, 1))
        if not let_go:
            return
    with select.epoll() as poll:
        poll.register(running, select.EPOLLIN)
        poll.register(told, select.EPOLLIN)
        poll.poll()


def _end(server: subprocess.Popen[bytes], grace: float) -> int:
    """End all processes of the server's session; return the code of the server itself."""
    deadline = time.monotonic() + grace
    with suppress(ProcessLookupError):
        server.terminate()
    while server.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    return server.wait()


def main() -> int:
    """Start the command, watch, end it, clean up."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    signal.signal(signal.SIGTERM, lambda *_: None)
    job, grace, folder, shared = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    server = subprocess.Popen(  # noqa: S603  # the job's own words
        sys.argv[6:], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent
    )
    try:
        _watch(job, server, told)
    finally:
        code = _end(server, grace)
        rmtree(folder, ignore_errors=True)
        for region in Path("/dev/shm").glob(f"{shared}*"):  # noqa: S108  # where Linux keeps POSIX shared memory
            region.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
