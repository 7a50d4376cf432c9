"""Timing single calls of modules, at a price that is fixed beforehand.

The clock costs as much as a small module: read before and after each call, it doubles the time of a job. So calls are timed
in stretches of consecutive events, and how many is a matter of money: what timing has cost a module so far stays below a
share of what the module itself has cost (1 % unless an observer wants another). A module that takes milliseconds is timed
for every event, one that takes 50 ns for one event in some hundreds. What a timed call costs is measured once.

The stretch lies anywhere in its sweep but at the first event, which often pays for all (a column is made values when it is
first read), unless there is only one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import median
from time import perf_counter, thread_time
from typing import Any

from .observing import CallsInfo
from .report import ModuleReport
from .sweep import Sweep

FIXED = 15e-6
"""What a stretch costs beside its calls and beside telling of it, s."""
CREDIT = 60e-6
"""What a module may be timed for before it has cost anything, s."""
LEAST = 128
"""Calls in a stretch, if the sweep has so many."""
GOLDEN = 0.6180339887498949


@cache
def cost_of_timing() -> tuple[float, float]:
    """What timing adds to a call, and how much of that is within what is measured, s."""
    times: list[float] = []
    timed, numbers = _timed(_nothing, times), list(range(1000))
    added: list[float] = []
    bare = 0.0
    for _ in range(5):
        times.clear()
        first = perf_counter()
        for number in numbers:
            _nothing(number)
        second = perf_counter()
        for number in numbers:
            timed(number)
        bare = (second - first) / len(numbers)
        added.append((perf_counter() - second) / len(numbers) - bare)
    return max(min(added), 5e-8), max(0.0, median(times) - bare)


def _nothing(*_: Any) -> None:
    """What is called to learn what calling costs."""


def _timed(function: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    """The same function, which notes how long each call takes."""
    clock, note = perf_counter, times.append

    def call(*arguments: Any) -> Any:
        begin = clock()
        try:
            return function(*arguments)
        finally:
            note(clock() - begin)

    return call


class Sampler:
    """Decides which calls of a module are timed, and tells of them. `tally` says what the module has cost so far."""

    def __init__(self, tally: ModuleReport, share: float, tell: Callable[[CallsInfo], None]) -> None:
        self.spent = 0.0
        self._tally = tally
        self._share = share
        self._tell = tell
        self._each, self._within = cost_of_timing()
        self._place = 0.5
        #: no stretch can be afforded before the module has cost so much, s
        self._due = 0.0

    def timed(self, sweep: Sweep, phase: str, events: Sequence[Any]) -> Sweep:
        """The sweep, with calls of it timed if that can be afforded."""
        if self._tally.cpu_s < self._due:
            return sweep
        start, calls = self.plan(len(events))
        return TimedSweep(self, sweep, phase, events, start, calls) if calls else sweep

    def plan(self, left: int, unpaid: float = 0.0, *, first: bool = True) -> tuple[int, int]:
        """Of the calls that are left, where the next stretch begins, and how many are timed: 0 if none can be afforded.

        `unpaid` is the time of the module that its tally does not have yet, s.
        """
        afforded = (self._share * (self._tally.cpu_s + unpaid) + CREDIT - self.spent - FIXED) / self._each
        if not self.spent:
            afforded = max(afforded, LEAST)
        elif not left or (afforded < LEAST and afforded < left):
            return 0, 0
        calls = min(left, int(afforded))
        self._place = (self._place + GOLDEN) % 1.0
        start = 0 if calls >= left else max(int(first), int(self._place * (left - calls + 1)))
        self.spent += FIXED + calls * self._each
        return start, calls

    def came(self, phase: str, events: Sequence[Any], times: Sequence[float]) -> None:
        """A stretch was timed. What telling of it costs is CPU time: another program that comes between costs no timing."""
        begin, within = thread_time(), self._within
        self._tell(CallsInfo(self._tally.label, phase, events, [max(0.0, time - within) for time in times]))
        self.spent += thread_time() - begin
        self._due = (self.spent + FIXED + min(LEAST, len(times)) * self._each - CREDIT) / max(self._share, 1e-9)


class TimedSweep(Sweep):
    """A sweep of which a stretch is timed; in all else the one that it stands for."""

    __slots__ = ("_all", "_inner", "_phase", "_sampler", "_start", "_stop")

    def __init__(
        self, sampler: Sampler, sweep: Sweep, phase: str, events: Sequence[Any], start: int, calls: int
    ) -> None:
        # Not that of Sweep: what this one has not, it takes from the other.
        self._sampler = sampler
        self._inner = sweep
        self._phase = phase
        self._all = events
        self._start = start
        self._stop = start + calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forget(self) -> None:
        """Forget the failures: they have been taken up."""
        self._inner.forget()

    def advance(self, until: float, limit: int = 0) -> bool:
        """As that of a sweep; the calls of the stretch are timed."""
        inner, before = self._inner, len(self._inner.results)
        ended = False
        while not ended:
            done = len(inner.results)
            left = limit - (done - before) if limit else inner.total
            if done < self._start:
                ended = inner.advance(until, min(left, self._start - done))
            elif done < self._stop:
                ended = self._advance_timed(until, min(left, self._stop - done), done)
            else:
                unpaid = inner.seconds if self._phase in ("run", "tail") else 0.0
                start, calls = self._sampler.plan(inner.total - done, unpaid, first=False)
                if not calls:
                    return inner.advance(until, left if limit else 0)
                self._start, self._stop = done + start, done + start + calls
                continue
            if perf_counter() >= until or (limit and len(inner.results) - before >= limit):
                break
        return ended

    def _advance_timed(self, until: float, calls: int, done: int) -> bool:
        times: list[float] = []
        inner = self._inner
        plain = inner._function
        inner._function = _timed(plain, times)
        try:
            ended = inner.advance(until, calls)
        finally:
            inner._function = plain
        self._sampler.came(self._phase, self._all[done : done + len(times)], times)
        return ended
