"""How long requests took: counts, sums and quantiles, in bounded memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SAMPLES = 4096
"""Latencies kept for quantiles; beyond, a uniform sample of all is kept (Vitter 1985, algorithm R)."""


@dataclass(slots=True)
class LatencyRecord:
    """What was sent to one server for one model. Times in seconds."""

    requests: int = 0
    rows: int = 0
    retries: int = 0
    failures: int = 0
    total_s: float = 0.0
    recent_s: float = 0.0
    """Moving average."""
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

    def quantile(self, fraction: float) -> float:
        """The latency that `fraction` of the requests did not exceed, seconds; 0 if there were none."""
        if not self._samples:
            return 0.0
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
