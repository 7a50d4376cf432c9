"""Running a job from anywhere, and Ctrl-C while it runs.

The first Ctrl-C (or SIGTERM) ends the job cleanly, the second breaks it off. Signals reach the main thread only. Where
that has an event loop running already, as in a notebook, the job runs in a thread of its own, and the main thread, which
waits for it, hands the interrupts over, and shows how far the job has come.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
loop_factory: ContextVar[Callable[[], asyncio.AbstractEventLoop] | None] = ContextVar("loop_factory", default=None)
"""What makes the event loops of jobs; None: asyncio's own. Tests have another time in theirs."""


class Interrupts:
    """What an interrupt does: nothing but be remembered until the job can be stopped, then `stop` it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None
        self._missed = 0
        #: takes calls for the thread that waits for the job; None if the job runs in it itself
        self.outside: SimpleQueue[Callable[[], None] | None] | None = None

    def relayed(self, function: Callable[[T], None]) -> Callable[[T], None]:
        """A function that, called by the job, runs in the thread that started the job."""
        outside = self.outside
        return function if outside is None else lambda argument: outside.put(partial(function, argument))

    def arm(self, stop: Callable[[], None]) -> None:
        """From now on, call `stop` in the running loop for each interrupt."""
        with self._lock:
            self._loop, self._stop = asyncio.get_running_loop(), stop
            for _ in range(self._missed):
                self._loop.call_soon(stop)

    def disarm(self) -> None:
        """The job is past the point where it could be stopped."""
        with self._lock:
            self._loop = self._stop = None

    def interrupt(self) -> None:
        """Another thread got an interrupt."""
        with self._lock:
            if self._loop and self._stop:
                self._loop.call_soon_threadsafe(self._stop)
            else:
                self._missed += 1


def run_anywhere(work: Callable[[Interrupts], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, in a thread of its own if this one has a running loop."""
    interrupts = Interrupts()
    if not _in_loop():
        return _run(work(interrupts))
    context = copy_context()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()
    calls = interrupts.outside = SimpleQueue()

    def target() -> None:
        try:
            results.append(context.run(_run, work(interrupts)))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()
            calls.put(None)

    thread = threading.Thread(target=target, name="evproc-job")
    thread.start()
    while not done.is_set() or not calls.empty():
        try:
            call = calls.get()  # not join(), which in Python 3.11 takes a thread for dead when it is interrupted
            if call is not None:
                call()
        except KeyboardInterrupt:
            interrupts.interrupt()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=loop_factory.get()) as runner:
        return runner.run(work)


def _in_loop() -> bool:
    """Whether this thread has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def interruptible(interrupts: Interrupts, stop: Callable[[], bool]) -> Iterator[None]:
    """Call `stop` at each interrupt; cancel the task when it says that it was called before."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if stop() and task:
            task.cancel()

    main = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if main else ()
    interrupts.arm(interrupt)
    for number in signals:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        interrupts.disarm()
        for number in signals:
            loop.remove_signal_handler(number)
