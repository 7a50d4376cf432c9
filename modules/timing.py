"""`Timing`: how long modules take for one event, and which events were the slowest.

    process.timing = Timing(slowest=20)          # or: evproc run workflow.py --timing

The report of a job always has the time that each module took as a whole. This service adds how it is spread over the events:
median, 99 %, the largest, and the slowest events by name. The times are of a sample, as large as a share of the modules' time
buys (`share`): modules that take more than about 30 us are timed for every event, faster ones for some.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from evproc.framework import Job, Observer, Parameter
from evproc.framework.observing import CallsInfo, WorkInfo

DECADES = (-8, 4)
"""Powers of ten of the times that are told apart, s."""
BINS = 100
"""Bins in a decade: quantiles are good to 1.2 %."""
PENDING = 4096
"""Times that wait to be counted."""


class Spread:
    """How times are spread, in bounded memory: counts in bins of equal ratio."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.largest = 0.0
        self._bins = np.zeros((DECADES[1] - DECADES[0]) * BINS, np.int64)
        self._pending: list[float] = []

    def add(self, seconds: Any) -> None:
        """Note some times, s."""
        self._pending.extend(seconds)
        if len(self._pending) > PENDING:
            self._count()

    def add_many(self, seconds: float, count: int) -> None:
        """Note a time that counts several times, s."""
        self._fill(np.array([seconds]), count)

    def _count(self) -> None:
        if self._pending:
            self._fill(np.array(self._pending), 1)
            self._pending.clear()

    def _fill(self, times: Any, weight: int) -> None:
        self.count += weight * len(times)
        self.total += weight * float(times.sum())
        self.largest = max(self.largest, float(times.max()))
        places = (np.log10(np.maximum(times, 10.0 ** DECADES[0])) - DECADES[0]) * BINS
        places = np.clip(places.astype(np.int64), 0, len(self._bins) - 1)
        self._bins += weight * np.bincount(places, minlength=len(self._bins))

    def quantile(self, fraction: float) -> float:
        """The time that `fraction` of all do not exceed, s; 0 if there are none."""
        self._count()
        if not self.count:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._bins), fraction * self.count))
        return float(min(10.0 ** (DECADES[0] + (place + 0.5) / BINS), self.largest))

    def figures(self) -> dict[str, Any]:
        """Count, mean, median, 99 % and the largest, s."""
        self._count()
        return {
            "timed": self.count,
            "mean_s": self.total / self.count if self.count else 0.0,
            "median_s": self.quantile(0.5),
            "p99_s": self.quantile(0.99),
            "max_s": self.largest,
        }


class Timing(Observer):
    """Time per event of each module: median, 99 %, and the slowest events by name."""

    class Config(Observer.Config):
        """How much may be measured."""

        share: float = Parameter(
            0.01,
            description="what measuring may cost, as a share of the time of the modules",
            placement=True,
            gt=0,
            le=1,
        )
        slowest: int = Parameter(5, description="slowest events that are named for each module", placement=True, ge=0)

    config: Config

    async def begin_job(self, job: Job) -> None:
        """Forget the job before."""
        self.sample_share = self.config.share
        self._spreads: dict[tuple[str, str], Spread] = {}
        #: (module, phase) -> (seconds, how many came before, event) of the slowest, as a heap
        self._slowest: dict[tuple[str, str], list[tuple[float, int, Any]]] = {}
        self._seen = 0

    def on_calls(self, calls: CallsInfo) -> None:
        """Some calls were timed."""
        key = (calls.module, "run" if calls.phase == "tail" else calls.phase)
        spread = self._spreads.get(key)
        if spread is None:
            spread = self._spreads[key] = Spread()
            self._slowest[key] = []
        spread.add(calls.seconds)
        heap, wanted = self._slowest[key], self.config.slowest
        if wanted and (len(heap) < wanted or max(calls.seconds, default=0.0) > heap[0][0]):
            for event, seconds in zip(calls.events, calls.seconds, strict=True):
                self._seen += 1
                if len(heap) < wanted:
                    heapq.heappush(heap, (seconds, -self._seen, event.id))
                elif seconds > heap[0][0]:
                    heapq.heapreplace(heap, (seconds, -self._seen, event.id))

    def on_work_end(self, work: WorkInfo) -> None:
        """External work was answered."""
        if not work.error:
            key = (work.module, "wait")
            self._spreads.setdefault(key, Spread()).add_many(work.end - work.begin, work.events)

    def report(self) -> dict[str, Any]:
        """How the times of each module are spread, for `run`, `acquire`, `collect`, and `wait` (for external work)."""
        entries = []
        for (module, phase), spread in self._spreads.items():
            slowest = sorted(self._slowest.get((module, phase), ()), reverse=True)
            entries.append(
                {
                    "module": module,
                    "phase": phase,
                    **spread.figures(),
                    "slowest": [{"event": list(identity), "seconds": seconds} for seconds, _, identity in slowest],
                }
            )
        return {"timing": entries}
