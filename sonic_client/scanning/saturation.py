"""Where throughput stops to rise: min(N/u, C) laid through points (clients, events/s), and what a plan says of the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """min(N / event_s, capacity), as fitted."""

    event_s: float
    """Time of an event below saturation."""
    capacity: float | None
    """events/s; None: not reached."""

    @property
    def clients(self) -> float | None:
        """The number of clients at which the servers are full."""
        return None if self.capacity is None else self.capacity * self.event_s


def fit_saturation(points: Sequence[tuple[int, float]]) -> Saturation | None:
    """The best split of the points into some that rise and some that are level, by the sum of squared relative deviations.

    points: (clients, events/s), in any order. None if there are none. At least one point rises. The servers are full only
    if the last point is at least a tenth below the line of those that rise.
    """
    ordered = sorted((clients, rate) for clients, rate in points if rate > 0)
    if not ordered:
        return None
    last_clients, last_rate = ordered[-1]
    fits = []
    for split in range(1, len(ordered) + 1):
        rising, level = ordered[:split], ordered[split:]
        time = math.exp(_mean([math.log(clients / rate) for clients, rate in rising]))
        if level and last_rate > 0.9 * last_clients / time:
            continue
        capacity = math.exp(_mean([math.log(rate) for _, rate in level])) if level else None
        most = math.inf if capacity is None else capacity
        deviation = sum(math.log(rate / min(clients / time, most)) ** 2 for clients, rate in ordered)
        fits.append((deviation, split, Saturation(event_s=time, capacity=capacity)))
    return min(fits)[2]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
