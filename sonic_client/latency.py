"""What was sent to one server for one model, and how long it took: counts, sums and quantiles, in bounded memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SAMPLES = 4096
"""Latencies kept for quantiles; beyond, a uniform sample of all is kept (Vitter 1985, algorithm R)."""


@dataclass(slots=True)
class LatencyRecord:
    """What was sent to one server for one model. Times in seconds, of requests that were answered."""

    requests: int = 0
    rows: int = 0
    retries: int = 0
    failures: int = 0
    total_s: float = 0.0
    """From the begin of the attempt that was answered."""
    recent_s: float = 0.0
    """Moving average."""
    waited_s: float = 0.0
    """Before that, from when the oldest row was handed over: for more rows, for a place on a server."""
    again_s: float = 0.0
    """Before that, in attempts that failed and the pauses after them."""
    sent_bytes: int = 0
    """Inputs of these requests."""
    received_bytes: int = 0
    """Their outputs."""
    versions: dict[str, int] = field(default_factory=dict)
    """Version of the model that the server named in its answers -> rows."""
    _samples: list[float] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(1))

    def add(self, seconds: float, rows: int) -> None:
        """Note a request that was answered."""
        self.requests += 1
        self.rows += rows
        self.total_s += seconds
        self.recent_s = seconds if self.requests == 1 else 0.9 * self.recent_s + 0.1 * seconds
        if len(self._samples) < SAMPLES:
            self._samples.append(seconds)
        elif (place := self._random.randrange(self.requests)) < SAMPLES:
            self._samples[place] = seconds

    def moved(self, sent: int, received: int, waited: float, again: float) -> None:
        """Note bytes and times before the attempt of a request that was answered."""
        self.sent_bytes += sent
        self.received_bytes += received
        self.waited_s += waited
        self.again_s += again

    def answered_by(self, version: str, rows: int) -> None:
        """Note the version of the model that answered rows; empty if the protocol names none."""
        if version:
            self.versions[version] = self.versions.get(version, 0) + rows

    def quantile(self, fraction: float) -> float:
        """The latency that `fraction` of the requests did not exceed, seconds; 0 if there were none."""
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
