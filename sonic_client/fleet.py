"""The servers of a job, what is under way to each, and whose turn it is when one has a free place.

Fairness. Queues of several models, or of modules that ask in different ways, share the places of a server. Whoever finds
none free lines up. A place that becomes free goes to the first in the line that can use it, for one request; it then goes to
the end of the line. So a model with thousands of requests waiting delays one with a single request by one round, not by
thousands. While nobody waits, none of this costs anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .adaptive import FixedLimit, Limit
from .changes import Changes
from .circuit import Circuit, CircuitBreaker
from .transport import Transport

BUSY_PAUSE = 0.05
"""How long a server that refused because it has too much to do is left alone, seconds; doubles with each time in a row."""
LONGEST_BUSY_PAUSE = 1.0


@dataclass(slots=True, eq=False)
class Server:
    """A server, and what is under way to it. Times are those of the event loop, in seconds."""

    url: str
    transport: Transport
    limit: Limit | int
    """How many requests may be under way; a number is a fixed limit."""
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    name: str = ""
    """What the configuration calls it; its address if empty."""
    fallback: bool = False
    """Whether it is the job's own, which is asked only if no other has the model or the retry chain says so."""
    outstanding: int = 0
    peak: int = 0
    explain: Callable[[], str] = str
    """Why the server is no more, if that is known; empty if not."""
    ready: bool = True
    """What the last health poll found."""
    busy_until: float = 0.0
    refusals: int = 0
    """In a row, because it has too much to do."""
    latency: dict[str, float] = field(default_factory=dict)
    """Model -> moving average of the time of a request, seconds."""
    circuits: dict[str, Circuit] = field(default_factory=dict)
    """Model -> its circuit."""
    changes: Changes | None = None
    """Who is told of circuits that open and close."""
    _limit: Limit = field(init=False)

    def __post_init__(self) -> None:
        self._limit = FixedLimit(self.limit) if isinstance(self.limit, int) else self.limit
        self.name = self.name or self.url

    @property
    def places(self) -> Limit:
        """The limit, which also learns from what is answered."""
        return self._limit

    @property
    def full(self) -> bool:
        """Whether no more requests may be under way now."""
        return self.outstanding >= self._limit.value

    def circuit(self, model: str) -> Circuit:
        """The circuit of a model."""
        circuit = self.circuits.get(model)
        if circuit is None:
            circuit = self.circuits[model] = Circuit(self.breaker)
        return circuit

    def allowed(self, model: str, now: float) -> bool:
        """Whether there is nothing against asking it, beside the number of requests under way."""
        if not self.ready or now < self.busy_until:
            return False
        circuit = self.circuits.get(model)
        return circuit is None or circuit.allows(now)

    def again_at(self, model: str, now: float) -> float:
        """When it may be asked again, as far as that is known; now or earlier if it may be asked."""
        circuit = self.circuits.get(model)
        pause = circuit.again_at if circuit is not None and not circuit.allows(now) else 0.0
        return max(self.busy_until, pause, now)

    def take(self, model: str, now: float) -> None:
        """A request is about to be sent."""
        self.outstanding += 1
        self.peak = max(self.peak, self.outstanding)
        self.circuit(model).began(now)

    def answered(self, model: str, began: float, now: float, rows: int) -> bool:
        """A request was answered well. Returns whether that closed the circuit."""
        seconds = now - began
        before = self.latency.get(model)
        self.latency[model] = seconds if before is None else before + 0.2 * (seconds - before)
        self.refusals = 0
        self._limit.answered(began, now, rows, self.outstanding)
        return self._switched(model, self.circuit(model).succeeded(), opened=False)

    def rejected(self, model: str) -> bool:
        """A request was refused as wrong: the server is alive. Returns whether that closed the circuit."""
        return self._switched(model, self.circuit(model).succeeded(), opened=False)

    def failed(self, model: str, now: float) -> bool:
        """A request failed. Returns whether that opened the circuit."""
        return self._switched(model, self.circuit(model).failed(now), opened=True)

    def _switched(self, model: str, changed: bool, *, opened: bool) -> bool:
        if changed and self.changes is not None:
            self.changes.circuit(self.url, model, opened=opened)
        return changed

    def refused(self, model: str, now: float) -> None:
        """A request was refused because the server has too much to do: send less, and nothing for a moment."""
        self._limit.refused(now, self.outstanding)
        self._switched(model, self.circuit(model).succeeded(), opened=False)
        if now >= self.busy_until:  # one pause for all that were refused at once
            self.busy_until = now + min(LONGEST_BUSY_PAUSE, BUSY_PAUSE * 2.0 ** min(self.refusals, 10))
            self.refusals += 1

    def gave_up(self, model: str) -> None:
        """A request was cancelled."""
        self.circuit(model).gave_up()

    def give_back(self) -> None:
        """A request has ended, in whatever way."""
        self.outstanding -= 1
        if self.outstanding < 0:
            raise AssertionError("more requests ended than were sent")


class Waiting(Protocol):
    """What lines up for places: the queue of a model."""

    def send_one(self) -> bool | None:
        """Send one request if a server has a place for it. None: there is nothing to send."""
        ...


@dataclass(slots=True, eq=False)
class Turns:
    """Who waits for a place, in order."""

    line: dict[Waiting, None] = field(default_factory=dict)

    def join(self, queue: Waiting) -> None:
        """Wait for a place; who waits already keeps its turn."""
        self.line.setdefault(queue, None)

    def leave(self, queue: Waiting) -> None:
        """Wait no more."""
        self.line.pop(queue, None)

    def others(self, queue: Waiting) -> bool:
        """Whether anybody else waits."""
        return len(self.line) > (queue in self.line)

    def serve(self) -> None:
        """A place has become free: give out what there is, one request to each in turn."""
        sent = True
        while sent:
            sent = False
            for queue in list(self.line):
                outcome = queue.send_one()
                if outcome is None:
                    self.line.pop(queue, None)
                elif outcome:
                    self.line.pop(queue, None)
                    self.line[queue] = None
                    sent = True
