"""The circuit breaker of one model on one server. Pure: nothing here awaits, and the time is passed in.

The problem: a server that is dead, or whose model is broken, answers each request with an error or not at all. Asking it
again and again costs the time of the request, once for each, while another server would answer. The policy:

    closed      all is well. So many failures in a row open it.
    open        nothing is sent, for a pause that doubles with each time in a row, up to a longest one.
    half-open   the pause is over: one request is sent to try. Its success closes the circuit, its failure opens it again.

What does not count as a failure: a request that the server refuses as wrong (it is alive and says so), and one that it
refuses because it has too much to do (the limit of requests in flight sees to that).

The cost: after a server came back, up to one pause goes by before it is used again; a health poll that finds it ready
ends the pause early. Where *no* server of a model is allowed, the queue still sends one request at a time: a breaker must
never be the reason that nothing is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from evproc.framework import Block, Parameter


class CircuitState(Enum):
    """Whether requests are sent."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitBreaker(Block):
    """When a server that fails is left alone, and for how long."""

    failures: int = Parameter(5, description="failures in a row that open the circuit", placement=True, ge=1)
    pause: float = Parameter(
        1.0, description="time before the server is tried again; doubles", unit="s", placement=True, gt=0
    )
    longest: float = Parameter(30.0, description="the longest pause", unit="s", placement=True, gt=0)


@dataclass(slots=True, eq=False)
class Circuit:
    """The circuit of one model on one server. Times are of a clock that only moves forward, in seconds."""

    settings: CircuitBreaker
    failures: int = 0
    """In a row."""
    opened: int = 0
    """How often it was opened in all."""
    state: CircuitState = CircuitState.CLOSED
    again_at: float = 0.0
    """When the pause is over, while it is open."""
    _pauses: int = 0
    _probing: bool = False

    def allows(self, now: float) -> bool:
        """Whether a request may be sent now."""
        if self.state is CircuitState.CLOSED:
            return True
        return now >= self.again_at and not self._probing

    def began(self, now: float) -> None:
        """A request is sent."""
        if self.state is not CircuitState.CLOSED and self.allows(now):
            self.state = CircuitState.HALF_OPEN
            self._probing = True

    def succeeded(self) -> bool:
        """A request was answered, or refused by a server that is alive. Returns whether that closed the circuit."""
        changed = self.state is not CircuitState.CLOSED
        if changed or self.failures:
            self.state = CircuitState.CLOSED
            self.failures = self._pauses = 0
            self._probing = False
        return changed

    def failed(self, now: float) -> bool:
        """A request failed. Returns whether that opened the circuit."""
        self.failures += 1
        if self.state is CircuitState.OPEN:
            return False  # sent before it opened, or for want of any other server
        if self.state is CircuitState.CLOSED and self.failures < self.settings.failures:
            return False
        self._open(now)
        return True

    def gave_up(self) -> None:
        """A request ended without an outcome (it was cancelled): another may be the one that tries."""
        if self._probing:
            self._probing = False
            self.state = CircuitState.OPEN

    def try_now(self) -> None:
        """There is reason to think that the server is back: do not wait for the end of the pause."""
        self.again_at = 0.0

    def _open(self, now: float) -> None:
        pause = min(self.settings.longest, self.settings.pause * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 60)
        self.state = CircuitState.OPEN
        self.again_at = now + pause
        self.opened += 1
        self._probing = False
