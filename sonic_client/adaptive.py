"""How many requests may be under way to a server: found while the job runs. Pure: the time is passed in.

The problem. Too few requests under way leave the server idle while answers travel; too many only queue there, hold memory here
and make every answer late. The knee between the two depends on server, network, model and load, and moves while a job runs.

What is measured. Latency and throughput of a closed loop say the same (Little: under way = throughput * latency), so it is
throughput that is looked at: does it rise when more may be under way? The limit alternates between two levels, `low` and
`high`; the throughput of each is measured over a window of answers to requests that were sent at that level. The *elasticity*

    e = log(throughput at high / throughput at low) / log(high / low)

is 1 where the server idles, 0 where requests only queue. A window in which the client had too little to send says nothing and
is thrown away. The policy:

    ramp        at the beginning: as long as answers take hardly longer than the fastest has, nothing queues: double
    above 0.3   both levels go up by the step, which grows while it goes on in one direction
    below 0.1   both go down, but not below what the least latency says is needed (throughput * least latency); if that turns
                out to be too far, they go back, and the next try waits twice as long
    slower      when answers suddenly take more than twice as long, what was learned is forgotten, and it begins anew
    refused     the server says that it has too much to do: both go down by a third, at most once in the time of a request

Single windows are noisy, so a decision needs three pairs of them, or one pair that leaves no doubt. The cost: where latencies
vary much, a server is now and then used below its knee, ever more rarely; and the limit stays somewhat above the knee, since
a queue of a few requests costs nothing and an idle server does. What would change it: servers that say how long their queue
is.
"""

from __future__ import annotations

from math import ceil, log
from typing import Protocol

RISES = 0.3
"""Elasticity above which more requests under way are worth it."""
FLAT = 0.1
"""Elasticity below which fewer will do."""
PAIRS = 3
"""Pairs of windows for a decision."""
NO_QUEUE = 1.5
"""Mean latency over the least, up to which nothing queues."""
SLOWER = 2.0
"""Mean latency over that of the window before, at the same level, from which the server is another than it was."""
MARGIN = 1.2
"""How much above the knee, as the least latency has it, the limit stays."""
LONGEST_WAIT = 32
"""Decisions between two tries to do with less, at most."""


class Limit(Protocol):
    """How many requests may be under way to one server. Times are of a clock that only moves forward, in seconds."""

    @property
    def value(self) -> int:
        """The limit now, at least 1."""
        ...

    def answered(self, began: float, now: float, rows: int, outstanding: int) -> None:
        """A request of so many rows was answered; `outstanding` were under way, itself included."""
        ...

    def refused(self, now: float, outstanding: int) -> None:
        """The server refused a request because it has too much to do."""
        ...


class FixedLimit:
    """A limit that stays."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value

    def answered(self, began: float, now: float, rows: int, outstanding: int) -> None:
        """Nothing is learned from it."""

    def refused(self, now: float, outstanding: int) -> None:
        """Nothing is learned from it."""


class AdaptiveLimit:
    """A limit that finds the knee between throughput and queueing."""

    __slots__ = (
        "_answers",
        "_begin",
        "_changed",
        "_direction",
        "_elasticities",
        "_hungry",
        "_knee",
        "_last",
        "_latency",
        "_least",
        "_other",
        "_patience",
        "_ramping",
        "_rows",
        "_step",
        "_usual",
        "_wait",
        "high",
        "largest",
        "low",
        "smallest",
        "value",
    )

    def __init__(self, start: int = 16, *, smallest: int = 2, largest: int = 256) -> None:
        self.smallest, self.largest = smallest, largest
        self.low = self.high = self.value = max(smallest, min(start, largest))
        self._step = 1.0
        self._direction = 0
        self._ramping = True
        self._least = float("inf")
        #: requests under way at which nothing would queue, by the least latency: throughput * latency
        self._knee = 0.0
        #: throughput at the level before, rows/s; 0: not known
        self._other = 0.0
        self._elasticities: list[float] = []
        #: decisions until less is tried again, and how long to wait the next time
        self._wait, self._patience = 0, 1
        self._last = 0.0
        #: mean latency of the window before, per request under way if that was more than now
        self._usual = (0.0, 1)
        self._changed = float("-inf")
        self._restart()

    def answered(self, began: float, now: float, rows: int, outstanding: int) -> None:
        """A request of so many rows was answered; `outstanding` were under way, itself included."""
        seconds = now - began
        if seconds < self._least:
            self._least = seconds
        if began < self._changed:
            return  # it was sent at another level
        self._answers += 1
        if self._answers == 1:
            self._begin = now
            return
        self._rows += rows
        self._latency += seconds
        if outstanding < self.value:
            self._hungry += 1
        if self._answers > (self.value if self._ramping else max(2 * self.value, 10)):
            self._window_ended(now)

    def refused(self, now: float, outstanding: int) -> None:
        """The server refused a request because it has too much to do."""
        if now - self._last < self._least and self._last:
            return  # one cut for all that were refused at once
        self._last = now
        self._ramping = False
        self._step = 0.25
        self._to(max(self.smallest, int(min(self.low, outstanding) * 0.67)))
        self._changed = now

    def _restart(self) -> None:
        self._answers = self._rows = self._hungry = 0
        self._begin = self._latency = 0.0

    def _window_ended(self, now: float) -> None:
        answers, seconds, rows, hungry = self._answers - 1, now - self._begin, self._rows, self._hungry
        mean = self._latency / answers
        self._restart()
        if hungry > answers // 4 or seconds <= 0:
            self._other = 0.0
            return
        self._changed = now
        usual, level = self._usual
        self._usual = mean, self.value
        if not self._ramping and usual and mean > SLOWER * usual * max(1.0, self.value / level):
            self._ramping, self._least = True, float("inf")
            self._wait, self._patience = 0, 1
            self._to(self.high)
            return
        if self._ramping:
            if mean < NO_QUEUE * self._least and self.value < self.largest:
                self._to(min(self.largest, 2 * self.value), step=1.0)
                return
            self._ramping = False
            self._to(self.value, step=0.5)
            return
        self._knee = self.value * self._least / mean
        throughput = rows / seconds
        if self._other and self.high > self.low:
            ratio = throughput / self._other if self.value == self.high else self._other / throughput
            self._elasticities.append(log(ratio) / log(self.high / self.low))
            if self._decide():
                return
        self._swap(throughput)

    @property
    def _floor(self) -> int:
        """What is not gone below: the smallest, and somewhat more than what is under way when nothing queues."""
        return max(self.smallest, ceil(MARGIN * self._knee))

    def _swap(self, throughput: float) -> None:
        """Go on at the other level."""
        self._other = throughput
        self.value = self.low if self.value == self.high else self.high

    def _decide(self) -> bool:
        """Move, if what was measured is enough for that; returns whether it moved."""
        known = self._elasticities
        mean = sum(known) / len(known)
        if mean > 0.5 or (len(known) >= PAIRS and mean > RISES):
            self._move(1)
            return True
        if len(known) >= PAIRS:
            if mean < FLAT and self._wait <= 0 and self.low > self._floor:
                self._move(-1)
                return True
            self._wait -= 1
            known.clear()
        return False

    def _move(self, direction: int) -> None:
        if direction == self._direction:
            self._step = min(1.0, 2 * self._step)
        elif self._direction:
            self._step = max(0.25, self._step / 2)
        if direction > 0 and self._direction < 0:  # less was too little
            self._wait, self._patience = self._patience, min(LONGEST_WAIT, 2 * self._patience)
        elif direction > 0 and self._direction > 0:
            self._wait, self._patience = 1, 1  # the knee has moved: learn anew
        self._direction = direction
        self._to(self.high if direction > 0 else max(self._floor, int(self.low / (1 + min(0.5, self._step)))))

    def _to(self, low: int, step: float | None = None) -> None:
        """Alternate between `low` and one step more from now on."""
        if step is not None:
            self._step = step
        self.low = min(low, self.largest)
        self.high = (
            self.low if self._ramping else min(self.largest, max(self.low + 1, round(self.low * (1 + self._step))))
        )
        self.value = self.high
        self._other = 0.0
        self._elasticities.clear()
        self._restart()
